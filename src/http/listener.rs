//! Listening sockets: one address, one socket for each worker.
//!
//! The kernel spreads new connections over the sockets (`SO_REUSEPORT`), so that workers share
//! nothing when they accept. Options that an accepted socket inherits are set here once.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

/// How many connections may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;
/// After this long without traffic the kernel asks whether the peer is still there …
const KEEPALIVE_AFTER: Duration = Duration::from_mins(1);
/// … and asks again this often …
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// … before it gives up.
const KEEPALIVE_TIMES: u32 = 4;

/// What the kernel may hold for a client, in bytes: what is on its way, and what still waits. Linux takes twice as much, what it
/// needs for its own included, and at most `net.core.wmem_max` twice. Left alone it grows to megabytes (`net.ipv4.tcp_wmem`).
/// It is enough for a full slice of a sweep, and for 2 MB/s to somebody 100 ms away.
const SEND_BUFFER: usize = 256 * 1024;
/// How much of that may wait to be sent (`TCP_NOTSENT_LOWAT`, tcp(7)): all that the kernel holds for a client that reads nothing.
/// What it holds for all clients together is limited (`net.ipv4.tcp_mem`), and who is healthy feels it when thousands who
/// stall bring it there.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", describe(.error))]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

/// A bound socket that already listens; a worker accepts from it with [`super::serve`].
#[derive(Debug)]
pub struct Listener {
    pub(super) tcp: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Where it listens, with the port that the system chose if it was asked to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listens on `address` with as many sockets as there are workers. A connection is given up when
/// what was sent on it stays unacknowledged for `user_timeout` (RFC 5482).
///
/// # Errors
/// [`BindError`], also if another process listens there, be it with `SO_REUSEPORT` too: two
/// servers that get half of the connections each are nobody's wish.
pub fn bind(
    address: SocketAddr,
    workers: usize,
    user_timeout: Duration,
) -> Result<Vec<Listener>, BindError> {
    let refuse = |error| BindError { address, error };
    // Without SO_REUSEPORT a socket cannot share its address with one that listens already. It is
    // never listened on itself, so that the ones after it can have the address; it holds the port
    // that the system may have chosen until they do.
    let probe = socket(address, false, user_timeout).map_err(refuse)?;
    let local = probe.local_addr().map_err(refuse)?;
    let chosen = local.as_socket().unwrap_or(address);
    let listen = |_| -> io::Result<Listener> {
        let socket = socket(chosen, true, user_timeout)?;
        socket.listen(BACKLOG)?;
        Ok(Listener {
            tcp: socket.into(),
            address: chosen,
        })
    };
    let listeners: io::Result<Vec<_>> = (0..workers.max(1)).map(listen).collect();
    listeners.map_err(refuse)
}

fn socket(address: SocketAddr, shared: bool, user_timeout: Duration) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // Lets a restarted server have its port back although old connections linger (tcp(7)).
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    // Inherited by accepted sockets on Linux.
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_keepalive(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TIMES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(user_timeout))?;
        socket.set_tcp_notsent_lowat(UNSENT)?;
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;

    const USER_TIMEOUT: Duration = Duration::from_secs(7);

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn all_sockets_of_one_address_have_its_port() {
        let listeners = bind(any(), 3, USER_TIMEOUT).unwrap();
        let port = listeners[0].address().port();
        assert_ne!(port, 0);
        assert!(
            listeners
                .iter()
                .all(|listener| listener.address().port() == port)
        );
    }

    #[test]
    fn a_second_server_on_the_same_address_is_refused() {
        let first = bind(any(), 2, USER_TIMEOUT).unwrap();
        let address = first[0].address();
        let error = bind(address, 2, USER_TIMEOUT).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {address}: address already in use")
        );
        drop(first);
        assert!(bind(address, 1, USER_TIMEOUT).is_ok());
    }

    #[test]
    fn connections_are_spread_and_have_their_options() {
        let listeners = bind(any(), 2, USER_TIMEOUT).unwrap();
        let address = listeners[0].address();
        let mut accepted = [0, 0];
        // Not all at once: there may be no descriptors for so many.
        for _ in 0..10 {
            let _clients: Vec<_> = (0..100)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            for (count, listener) in accepted.iter_mut().zip(&listeners) {
                while let Ok((tcp, _)) = listener.tcp.accept() {
                    let socket = SockRef::from(&tcp);
                    assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
                    #[cfg(target_os = "linux")]
                    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
                    *count += 1;
                }
            }
        }
        // By the hash of the addresses: chance puts not more than 60 of 100 on one of two, but once in 10^9 times.
        assert_eq!(accepted[0] + accepted[1], 1_000);
        assert!(accepted.iter().all(|count| *count >= 400), "{accepted:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_the_kernel_holds_for_a_client_that_reads_nothing_is_bounded() {
        use std::io::Write;

        let listeners = bind(any(), 1, USER_TIMEOUT).unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // What is in its own buffer is not the server's.
        client.set_recv_buffer_size(4 * 1024).unwrap();
        client.connect(&listeners[0].address().into()).unwrap();
        let (mut server, _) = listeners[0].tcp.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        let mut taken = 0;
        let error = loop {
            match server.write(&[b'x'; 1_000]) {
                Ok(written) => taken += written,
                Err(error) => break error,
            }
            assert!(taken <= 2 * UNSENT as usize, "{taken}");
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(taken >= UNSENT as usize, "{taken}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_a_reason() {
        let error = bind("192.0.2.1:0".parse().unwrap(), 1, USER_TIMEOUT).unwrap_err();
        assert!(error.to_string().contains("no such address"), "{error}");
    }
}
