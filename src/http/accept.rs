//! The accept loop: from a listening socket to connections, as many as there are places.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use metrics::{Counter, counter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsAcceptor;
use tracing::warn;

use super::connection::Connector;
use super::limits::TooMany;
use super::{Limits, Listener, Permit, Places, Service};
use crate::telemetry::names;

/// What a client gets that finds no place; the body is empty for it may want anything.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Retry-After: 5\r\n\
    Content-Length: 0\r\n\
    Connection: close\r\n\r\n";
/// What a client gets that has as many connections as it may.
const GREEDY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    Retry-After: 5\r\n\
    Content-Length: 0\r\n\
    Connection: close\r\n\r\n";
/// How many refused clients are waited for at a time; those beyond find their connection closed.
const REFUSED_AT_ONCE: usize = 64;
/// How long a refused client has to read that it is.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// The first pause after a failed attempt to accept; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often failed attempts are logged.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// How far a stop has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Serve.
    #[default]
    Serving,
    /// Accept nothing more; finish what is under way until then, and drop the rest.
    Finishing(Instant),
}

/// Accepts and serves connections, over TLS where there is an acceptor, until `phase` says
/// otherwise; to be run on a `LocalSet`.
///
/// Ends when every connection has; those that have become WebSockets are no longer its own.
///
/// # Errors
/// If the socket cannot be handed to this thread's runtime.
pub async fn serve(
    listener: Listener,
    service: Rc<Service>,
    places: Places,
    tls: Option<TlsAcceptor>,
    phase: watch::Receiver<Phase>,
) -> io::Result<()> {
    let tcp = TcpListener::from_std(listener.tcp)?;
    let mut tasks = JoinSet::new();
    let deadline = accept(tcp, service, places, tls, phase, &mut tasks).await;
    // In hyper's own graceful way each connection answers what it has begun.
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout_at(deadline, all).await.is_err() {
        tasks.shutdown().await;
    }
    Ok(())
}

/// The loop itself; returns by when what is under way must be finished.
async fn accept(
    tcp: TcpListener,
    service: Rc<Service>,
    places: Places,
    tls: Option<TlsAcceptor>,
    mut phase: watch::Receiver<Phase>,
    tasks: &mut JoinSet<()>,
) -> Instant {
    let mut refused = JoinSet::new();
    let mut trouble = Trouble::default();
    let accepted = counter!(names::HTTP_CONNECTIONS_ACCEPTED);
    let counters = Refused::counters();
    let limits = service.limits.clone();
    // Without a handshake there is no way to say anything; and that is what is to be spared.
    let refused_at_once = if tls.is_some() { 0 } else { REFUSED_AT_ONCE };
    let connector = Rc::new(Connector::new(service, phase.clone(), tls));
    loop {
        let tcp = tokio::select! {
            deadline = finishing(&mut phase) => return deadline,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            Some(_) = refused.join_next(), if !refused.is_empty() => continue,
            tcp = tcp.accept() => tcp,
        };
        match tcp.map(|(tcp, peer)| (tcp, peer.ip(), admit(&places, &limits, peer.ip()))) {
            Ok((tcp, peer, Ok(permit))) => {
                trouble.over();
                accepted.increment(1);
                tasks.spawn_local(connector.clone().run(tcp, peer, permit));
            }
            Ok((tcp, _, Err(why))) => {
                let [full, greedy] = &counters;
                let (counter, answer) = match why {
                    Refused::Full => (full, FULL),
                    Refused::Greedy => (greedy, GREEDY),
                };
                counter.increment(1);
                if refused.len() < refused_at_once {
                    refused.spawn_local(refuse(tcp, answer));
                }
            }
            Err(error) => {
                counter!(names::HTTP_ACCEPT_ERRORS).increment(1);
                if let Some(pause) = trouble.pause(&error, Instant::now()) {
                    tokio::select! {
                        deadline = finishing(&mut phase) => return deadline,
                        () = sleep(pause) => {}
                    }
                }
            }
        }
    }
}

/// Why there is no place for a connection.
#[derive(Clone, Copy, Debug)]
enum Refused {
    /// There are as many as may be.
    Full,
    /// Its client has as many as it may.
    Greedy,
}

impl Refused {
    fn counters() -> [Counter; 2] {
        ["full", "address"]
            .map(|reason| counter!(names::HTTP_CONNECTIONS_REFUSED, "reason" => reason))
    }
}

/// A place for a connection from `peer`, if it may have one.
fn admit(places: &Places, limits: &Limits, peer: IpAddr) -> Result<Permit, Refused> {
    let permit = places.admit().ok_or(Refused::Full)?;
    match limits.connect(peer, places.open()) {
        Ok(seat) => Ok(permit.seated(seat)),
        Err(TooMany) => Err(Refused::Greedy),
    }
}

/// Waits for the end of serving. Whoever could say so is gone: that is the end as well.
pub(super) async fn finishing(phase: &mut watch::Receiver<Phase>) -> Instant {
    let over = |phase: &Phase| *phase != Phase::Serving;
    match phase.wait_for(over).await.map(|phase| *phase) {
        Ok(Phase::Finishing(deadline)) => deadline,
        Ok(Phase::Serving) | Err(_) => Instant::now(),
    }
}

/// Tells a client why there is no place for it, and waits until it may have read that: closing
/// at once, with its request unread, would reset the connection and lose the answer.
pub(super) async fn refuse(tcp: TcpStream, answer: &'static [u8]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut tcp = tcp;
    let told = async {
        tcp.write_all(answer).await?;
        tcp.shutdown().await?;
        let mut request = [0; 1_024];
        while tcp.read(&mut request).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(REFUSED_FOR, told).await;
}

/// What to do when accepting fails: decides, does no IO.
#[derive(Debug, Default)]
struct Trouble {
    pause: Option<Duration>,
    warned: Option<Instant>,
}

impl Trouble {
    fn over(&mut self) {
        self.pause = None;
    }

    /// How long to wait before the next attempt, if at all.
    ///
    /// Some errors are about the one connection only (accept(2)); the others, such as running out
    /// of file descriptors, would come back at once, for ever.
    fn pause(&mut self, error: &io::Error, now: Instant) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if let ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted = error.kind()
        {
            return None;
        }
        if self
            .warned
            .is_none_or(|last| now.duration_since(last) >= WARN_EVERY)
        {
            self.warned = Some(now);
            warn!(%error, "cannot accept connections");
        }
        let pause = self.pause.map_or(FIRST_PAUSE, |pause| pause * 2);
        let pause = pause.min(LONGEST_PAUSE);
        self.pause = Some(pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_descriptors_is_waited_out_and_never_spun_on() {
        let now = Instant::now();
        let mut trouble = Trouble::default();
        let error = io::Error::from_raw_os_error(24); // EMFILE
        let pauses: Vec<_> = (0..10)
            .map(|_| trouble.pause(&error, now).unwrap())
            .collect();
        assert_eq!(pauses[0], FIRST_PAUSE);
        assert!(pauses.is_sorted());
        assert_eq!(pauses[9], LONGEST_PAUSE);
        trouble.over();
        assert_eq!(trouble.pause(&error, now), Some(FIRST_PAUSE));
    }

    #[test]
    fn a_client_that_gave_up_costs_no_pause() {
        let error = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(Trouble::default().pause(&error, Instant::now()), None);
    }
}
