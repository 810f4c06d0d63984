//! A wire that can be listened to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// All bytes of one connection in one direction.
type Heard = Arc<Mutex<Vec<u8>>>;

/// Passes connections on, and keeps what goes over them.
pub(super) struct Wire {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

impl Wire {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let directions = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.expect("the server");
                let (client_out, client_in) = client.into_split();
                let (server_out, server_in) = server.into_split();
                for (from, to) in [(client_out, server_in), (server_out, client_in)] {
                    let heard = Heard::default();
                    directions.lock().unwrap().push(Arc::clone(&heard));
                    tokio::spawn(pass(from, to, heard));
                }
            }
        });
        Self {
            address,
            heard,
            task,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that went over it, one connection and direction after the other.
    pub(super) fn seen(&self) -> Vec<u8> {
        let heard = self.heard.lock().unwrap();
        let all = heard.iter().map(|bytes| bytes.lock().unwrap().clone());
        all.collect::<Vec<_>>().concat()
    }

    /// Each direction is made of TLS records, from its first byte (RFC 8446, 5.1).
    pub(super) fn assert_is_tls(&self) {
        for heard in &*self.heard.lock().unwrap() {
            let bytes = heard.lock().unwrap();
            let mut rest = &bytes[..];
            assert!(!rest.is_empty());
            while let [kind, 3, minor, high, low, after @ ..] = rest {
                assert!((20..=23).contains(kind) && *minor <= 4, "{:?}", &rest[..5]);
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                // The last may still be on its way.
                rest = after.get(length..).unwrap_or_default();
            }
            assert!(rest.len() < 5, "{:?}", &rest[..5]);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, heard: Heard) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        heard.lock().unwrap().extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
