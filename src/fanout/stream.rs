//! A viewer's connection: bytes in and out without waiting, with TLS or without.
//!
//! With TLS, what is written is encrypted into a buffer of at most a record, and that is written to
//! the socket before anything more is taken. So a viewer whose socket is full takes no more than one
//! without TLS, but for that record: it is behind for as long as any of it is left.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;

/// The most that is encrypted and not yet written: a TLS record's worth of text.
const MOST_HELD: usize = 16 * 1024;

/// A connection on which nothing waits.
#[derive(Debug)]
pub enum Stream {
    /// As it comes and goes.
    Plain(TcpStream),
    /// With TLS. Boxed: those without should not pay for it.
    Tls(Box<Tls>),
}

/// A connection with TLS.
#[derive(Debug)]
pub struct Tls {
    tcp: TcpStream,
    session: RefCell<ServerConnection>,
    /// There may be something decrypted that was not read yet.
    unread: Cell<bool>,
}

/// Where a write goes, looked up beforehand.
pub(super) enum Outlet<'a> {
    Plain(BorrowedFd<'a>, &'a TcpStream),
    Tls(&'a Tls),
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self::Plain(tcp)
    }
}

impl Stream {
    /// A connection whose TLS handshake is done.
    pub fn tls(tcp: TcpStream, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(MOST_HELD));
        Self::Tls(Box::new(Tls {
            tcp,
            session: RefCell::new(session),
            unread: Cell::new(true),
        }))
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.tcp,
        }
    }

    /// Whether something may be there to read that the socket no longer has.
    pub(super) fn is_unread(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.unread.get(),
        }
    }

    /// Reads what is there; 0 is the end, `WouldBlock` is nothing.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_read(buffer),
            Self::Tls(tls) => tls.try_read(buffer),
        }
    }

    pub(super) fn outlet(&self) -> Outlet<'_> {
        match self {
            Self::Plain(tcp) => Outlet::Plain(tcp.as_fd(), tcp),
            Self::Tls(tls) => Outlet::Tls(tls),
        }
    }

    /// Writes what was taken, as far as the socket takes it, and says how many bytes are left.
    pub(super) fn flush(&self) -> io::Result<usize> {
        match self {
            Self::Plain(_) => Ok(0),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl Outlet<'_> {
    /// Takes as much as there is room for, 0 if there is none.
    ///
    /// PERFORMANCE: the kernel knows best whether there is room. tokio's record of the socket, which is elsewhere in
    /// memory, is only asked when there is none, for then it has to know.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self {
            Self::Plain(socket, tcp) => match send(socket, bytes, SendFlags::NOSIGNAL) {
                Ok(taken) => return Ok(taken),
                Err(Errno::AGAIN | Errno::INTR) => tcp.try_write(bytes),
                Err(error) => return Err(error.into()),
            },
            Self::Tls(tls) => tls.try_write(bytes),
        };
        match taken {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            taken => taken,
        }
    }

    /// Whether something that was taken is not written yet.
    pub(super) fn holds(&self) -> bool {
        match self {
            Self::Plain(..) => false,
            Self::Tls(tls) => tls.session.borrow().wants_write(),
        }
    }
}

impl Tls {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        match session.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.unread.set(false),
            read => return read,
        }
        // Once only: whoever sends records with nothing in them must not be listened to for ever.
        session.read_tls(&mut NonBlocking(&self.tcp))?;
        let state = session.process_new_packets();
        // An alert, or an answer to a change of keys; what does not go now goes with the next bytes.
        let written = if session.wants_write() {
            write(&mut session, &self.tcp)
        } else {
            Ok(())
        };
        let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        written?;
        self.unread
            .set(state.plaintext_bytes_to_read() > buffer.len());
        session.reader().read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        let mut taken = 0;
        loop {
            write(&mut session, &self.tcp)?;
            let rest = bytes.get(taken..).unwrap_or_default();
            if rest.is_empty() || session.wants_write() {
                return Ok(taken);
            }
            taken += session.writer().write(rest)?;
        }
    }

    fn flush(&self) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        if !session.wants_write() {
            return Ok(0);
        }
        write(&mut session, &self.tcp)?;
        let state = session.process_new_packets();
        let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(state.tls_bytes_to_write())
    }
}

/// Writes what is encrypted, as far as the socket takes it.
fn write(session: &mut ServerConnection, tcp: &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        match session.write_tls(&mut NonBlocking(tcp)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Drop for Tls {
    /// Says that nothing more comes, so that the client knows that nothing was cut off (RFC 8446, 6.1).
    fn drop(&mut self) {
        let session = self.session.get_mut();
        session.send_close_notify();
        let _ = write(session, &self.tcp);
    }
}

/// A socket for those who read and write without waiting.
struct NonBlocking<'a>(&'a TcpStream);

impl Read for NonBlocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for NonBlocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::*;
    use crate::tls::Certificate;
    use crate::tls::tests::make;

    const LIMIT: Duration = Duration::from_secs(20);

    /// Both ends of a connection whose sockets take little.
    async fn pair() -> (Stream, TlsStream<TcpStream>) {
        let folder = tempfile::tempdir().unwrap();
        let (files, root) = make(folder.path());
        let acceptor = Certificate::read(files).unwrap().acceptor().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let client = socket.connect(listener.local_addr().unwrap()).await;
        let (server, _) = listener.accept().await.unwrap();
        let small = socket2::SockRef::from(&server).set_send_buffer_size(4_096);
        small.unwrap();
        let name = "localhost".try_into().unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let ends = tokio::join!(
            acceptor.accept(server),
            connector.connect(name, client.unwrap())
        );
        let (tcp, session) = ends.0.unwrap().into_inner();
        (Stream::tls(tcp, session), ends.1.unwrap())
    }

    #[test]
    fn who_has_no_tls_pays_nothing_for_it() {
        assert_eq!(size_of::<Stream>(), size_of::<TcpStream>());
    }

    #[tokio::test]
    async fn what_is_taken_arrives_whole_and_little_of_it_is_held() {
        let (stream, mut client) = pair().await;
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        // As long as nobody reads, the socket fills, and then nothing more is taken.
        let mut taken = 0;
        loop {
            let more = stream.outlet().try_write(&bytes[taken..]).unwrap();
            taken += more;
            let held = stream.flush().unwrap();
            assert!(held < MOST_HELD + 1_024, "{held}");
            assert_eq!(held > 0, stream.outlet().holds());
            if more == 0 {
                break;
            }
        }
        assert!(stream.outlet().holds() && taken < bytes.len(), "{taken}");
        assert_eq!(stream.outlet().try_write(b"").unwrap(), 0);

        let length = bytes.len();
        let reading = tokio::spawn(async move {
            let mut all = vec![0; length];
            let read = timeout(LIMIT, client.read_exact(&mut all)).await;
            read.expect("all in time").expect("all of it");
            (client, all)
        });
        let mut sizes = [1, 100, 20_000, 70_000].iter().cycle();
        while taken < bytes.len() || stream.outlet().holds() {
            timeout(LIMIT, stream.tcp().writable())
                .await
                .unwrap()
                .unwrap();
            let end = bytes.len().min(taken + sizes.next().unwrap());
            taken += stream.outlet().try_write(&bytes[taken..end]).unwrap();
            stream.flush().unwrap();
        }
        let (mut client, all) = reading.await.unwrap();
        assert!(all == bytes);
        drop(stream);
        // That nothing more comes is said: else this were an error.
        let end = timeout(LIMIT, client.read(&mut [0; 10])).await;
        assert_eq!(end.expect("the end in time").unwrap(), 0);
    }

    #[tokio::test]
    async fn what_comes_is_read_to_its_end_and_what_is_left_is_not_waited_for() {
        let (stream, mut client) = pair().await;
        let mut buffer = [0; 10];
        let nothing = stream.try_read(&mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        client.write_all(&[7; 95]).await.unwrap();
        client.shutdown().await.unwrap();
        let mut read = 0;
        loop {
            // Also when all of it is in one record, which the socket has given up long ago.
            if !stream.is_unread() {
                let readable = timeout(LIMIT, stream.tcp().readable()).await;
                readable.unwrap().unwrap();
            }
            match stream.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(read, 95);
    }

    #[tokio::test]
    async fn what_is_no_tls_any_more_is_an_error() {
        let (stream, client) = pair().await;
        let (mut tcp, _) = client.into_inner();
        tcp.write_all(&[23, 3, 3, 0, 32]).await.unwrap();
        tcp.write_all(&[0; 32]).await.unwrap();
        let mut buffer = [0; 10];
        let error = loop {
            if !stream.is_unread() {
                let readable = timeout(LIMIT, stream.tcp().readable()).await;
                readable.unwrap().unwrap();
            }
            match stream.try_read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => break other.unwrap_err(),
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
