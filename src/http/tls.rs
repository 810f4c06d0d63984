//! TLS on a connection: its handshake, how long it may take, and how many there may be.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use metrics::{Counter, counter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::accept::refuse;
use crate::fanout;
use crate::telemetry::names;

/// What a client gets that does not know that TLS is spoken here.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 36\r\n\
    Connection: close\r\n\r\n\
    TLS is spoken here: use https://...\n";
/// The first byte of a TLS connection: a record with a part of the handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// A connection as HTTP sees it. Boxed with TLS: those without should not pay for it.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl From<Stream> for fanout::Stream {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Plain(tcp) => Self::Plain(tcp),
            Stream::Tls(tls) => {
                let (tcp, session) = tls.into_inner();
                Self::tls(tcp, session)
            }
        }
    }
}

/// The handshakes of one worker.
pub(super) struct Handshakes {
    acceptor: TlsAcceptor,
    /// How long one may take.
    within: Duration,
    /// How many there may be: the longest under way makes place for a new one. An honest one takes a
    /// moment, so that those who let it wait displace each other.
    most: usize,
    /// Those under way, in the order in which they began; who is told makes place.
    under_way: RefCell<BTreeMap<u64, oneshot::Sender<()>>>,
    begun: Cell<u64>,
    outcomes: Outcomes,
}

struct Outcomes {
    done: Counter,
    failed: Counter,
    late: Counter,
    displaced: Counter,
    plain: Counter,
}

/// A handshake under way, until dropped.
struct Turn<'a> {
    handshakes: &'a Handshakes,
    number: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.handshakes.under_way.borrow_mut().remove(&self.number);
    }
}

impl Handshakes {
    pub(super) fn new(acceptor: TlsAcceptor, most: usize, within: Duration) -> Self {
        let of = |outcome| counter!(names::HTTP_TLS_HANDSHAKES, "outcome" => outcome);
        Self {
            acceptor,
            within,
            most,
            under_way: RefCell::default(),
            begun: Cell::new(0),
            outcomes: Outcomes {
                done: of("done"),
                failed: of("failed"),
                late: of("late"),
                displaced: of("displaced"),
                plain: of("plain"),
            },
        }
    }

    /// Makes a TLS connection of a connection, if its client does its part in time.
    pub(super) async fn shake(&self, tcp: TcpStream) -> Option<Stream> {
        let (_turn, displaced) = self.begin();
        let outcomes = &self.outcomes;
        let shaken = tokio::select! {
            shaken = timeout(self.within, self.hands(tcp)) => shaken,
            _ = displaced => {
                outcomes.displaced.increment(1);
                return None;
            }
        };
        match shaken {
            Ok(Ok(Some(tls))) => {
                outcomes.done.increment(1);
                return Some(Stream::Tls(Box::new(tls)));
            }
            Ok(Ok(None)) => outcomes.plain.increment(1),
            Ok(Err(error)) => {
                outcomes.failed.increment(1);
                debug!(%error, "no TLS handshake");
            }
            Err(_) => outcomes.late.increment(1),
        }
        None
    }

    fn begin(&self) -> (Turn<'_>, oneshot::Receiver<()>) {
        let number = self.begun.get();
        self.begun.set(number + 1);
        let (displace, displaced) = oneshot::channel();
        let mut under_way = self.under_way.borrow_mut();
        if under_way.len() >= self.most
            && let Some((_, oldest)) = under_way.pop_first()
        {
            // It may have ended in this very moment.
            let _ = oldest.send(());
        }
        under_way.insert(number, displace);
        let turn = Turn {
            handshakes: self,
            number,
        };
        (turn, displaced)
    }

    /// The handshake itself; `None` for a client that speaks HTTP without TLS and was told.
    async fn hands(&self, tcp: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let mut first = [0];
        let read = tcp.peek(&mut first).await?;
        if read == 1 && first != [HANDSHAKE] && first[0].is_ascii_uppercase() {
            refuse(tcp, PLAIN).await;
            return Ok(None);
        }
        self.acceptor.accept(tcp).await.map(Some)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::{JoinHandle, LocalSet, spawn_local};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::*;
    use crate::tls::Certificate;
    use crate::tls::tests::make;

    struct Port {
        listener: TcpListener,
        handshakes: Rc<Handshakes>,
        connector: TlsConnector,
        _folder: tempfile::TempDir,
    }

    impl Port {
        async fn new(most: usize, within: Duration) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (files, root) = make(folder.path());
            let acceptor = Certificate::read(files).unwrap().acceptor().unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(root).unwrap();
            let config = ClientConfig::builder_with_provider(Arc::new(
                tokio_rustls::rustls::crypto::aws_lc_rs::default_provider(),
            ));
            let config = config.with_safe_default_protocol_versions().unwrap();
            let config = config.with_root_certificates(roots).with_no_client_auth();
            Self {
                listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
                handshakes: Rc::new(Handshakes::new(acceptor, most, within)),
                connector: TlsConnector::from(Arc::new(config)),
                _folder: folder,
            }
        }

        /// A connection, and what its handshake comes to.
        async fn connect(&self) -> (TcpStream, JoinHandle<Option<Stream>>) {
            let address = self.listener.local_addr().unwrap();
            let client = TcpStream::connect(address).await.unwrap();
            let (server, _) = self.listener.accept().await.unwrap();
            let handshakes = self.handshakes.clone();
            let begun = handshakes.begun.get();
            let shaking = spawn_local({
                let handshakes = handshakes.clone();
                async move { handshakes.shake(server).await }
            });
            while handshakes.begun.get() == begun {
                tokio::task::yield_now().await;
            }
            (client, shaking)
        }
    }

    #[tokio::test]
    async fn the_longest_under_way_makes_place_and_an_honest_one_is_done() {
        let all = async {
            let port = Port::new(2, Duration::from_mins(1)).await;
            let (_first, first) = port.connect().await;
            let (mut second, second_end) = port.connect().await;
            let (client, third) = port.connect().await;
            assert!(first.await.unwrap().is_none(), "the first makes place");
            let name = "localhost".try_into().unwrap();
            let mut client = port.connector.connect(name, client).await.unwrap();
            let mut stream = third.await.unwrap().unwrap();
            client.write_all(b"hello").await.unwrap();
            let mut read = [0; 5];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"hello");
            assert!(
                !second_end.is_finished(),
                "the second may still take its time"
            );
            second
                .write_all(&[22, 3, 1, 0, 4, 77, 0, 0, 0])
                .await
                .unwrap();
            assert!(second_end.await.unwrap().is_none(), "but not say anything");
            assert!(port.handshakes.under_way.borrow().is_empty());
        };
        LocalSet::new().run_until(all).await;
    }

    #[tokio::test]
    async fn who_takes_too_long_is_left_and_who_speaks_http_is_told() {
        let all = async {
            let port = Port::new(8, Duration::from_millis(200)).await;
            for beginning in [&b""[..], &[22], &[22, 3, 1, 0, 200]] {
                let (mut client, end) = port.connect().await;
                client.write_all(beginning).await.unwrap();
                assert!(end.await.unwrap().is_none());
            }
            let (mut client, end) = port.connect().await;
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let mut answer = [0; 24];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 400 Bad Request");
            drop(client);
            assert!(end.await.unwrap().is_none());
            assert!(port.handshakes.under_way.borrow().is_empty());
        };
        LocalSet::new().run_until(all).await;
    }

    #[test]
    fn the_answer_to_plain_http_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
