//! One connection: HTTP by hyper, its limits in time, and its handing on when it becomes a
//! WebSocket.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::accept::finishing;
use super::service::Session;
use super::tls::{Handshakes, Stream};
use super::{Permit, Phase, Service, upgrade};

/// Requests under way on one HTTP/2 connection, beside those that publish.
const MORE_STREAMS: usize = 16;
/// TLS handshakes under way on one worker: each takes some 20 KB.
const MOST_HANDSHAKES: usize = 1_024;
/// What an HTTP/2 client may send before we have read it, on one stream and in all.
const STREAM_WINDOW: u32 = 64 * 1_024;
const CONNECTION_WINDOW: u32 = 256 * 1_024;
/// How often an HTTP/2 client is asked whether it is still there, and how long it may take.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may stay open between requests; HTTP/1's is the header time limit.
const IDLE: Duration = Duration::from_secs(75);

/// Runs hyper's tasks on this thread. They belong to HTTP/2 streams and end with their connection.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// What all connections of a worker have in common.
pub(super) struct Connector {
    service: Rc<Service>,
    phase: watch::Receiver<Phase>,
    http: Builder<Local>,
    handshakes: Option<Handshakes>,
}

impl Connector {
    pub(super) fn new(
        service: Rc<Service>,
        phase: watch::Receiver<Phase>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let config = &service.config;
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut http = Builder::new(Local);
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_headers(config.max_headers)
            // Of the connection's buffers too; hyper wants no less.
            .max_buf_size(config.max_head.max(8 * 1_024));
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(small(config.connection_publishes + MORE_STREAMS))
            .max_header_list_size(small(config.max_head))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN);
        let handshakes =
            tls.map(|tls| Handshakes::new(tls, MOST_HANDSHAKES, config.header_timeout));
        Self {
            service,
            phase,
            http,
            handshakes,
        }
    }

    /// Serves one connection to its end, or hands it on.
    pub(super) async fn run(self: Rc<Self>, tcp: TcpStream, peer: IpAddr, permit: Permit) {
        let stream = match &self.handshakes {
            None => Some(Stream::Plain(tcp)),
            // Boxed: those without TLS should not pay for it.
            Some(handshakes) => Box::pin(handshakes.shake(tcp)).await,
        };
        let Some(stream) = stream else { return };
        let session = Rc::new(Session::new(peer));
        self.serve(stream, &session).await;
        let Some(upgrading) = session.upgrading() else {
            return;
        };
        let service = self.service.clone();
        drop((self, session));
        // hyper has sent its answer or given up by now; this is not more than picking the connection up.
        if let Some(viewer) = upgrade::take(upgrading, permit).await {
            (service.ports.join)(viewer).await;
        }
    }

    async fn serve(&self, stream: Stream, session: &Rc<Session>) {
        let activity = Rc::new(Activity::new(self.service.config.first_request_timeout));
        let answer = service_fn(|request| {
            let (activity, service) = (activity.clone(), self.service.clone());
            let (busy, session) = (Activity::begin(activity.clone()), session.clone());
            async move {
                let reply = service.answer(request, &session).await;
                drop(busy);
                if session.is_upgrading() {
                    activity.ends_within(service.config.upgrade_timeout);
                }
                Ok::<_, Infallible>(reply)
            }
        });
        let io = TokioIo::new(stream);
        let mut http = pin!(self.http.serve_connection_with_upgrades(io, answer));
        let mut phase = self.phase.clone();
        let mut ending = false;
        loop {
            tokio::select! {
                end = http.as_mut() => {
                    if let Err(error) = end {
                        debug!(%error, "connection ended");
                    }
                    return;
                }
                () = activity.idle_too_long() => {
                    debug!("connection idle for too long");
                    return;
                }
                _ = finishing(&mut phase), if !ending => {
                    ending = true;
                    http.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Since when a connection has had no request under way.
///
/// hyper ends HTTP/1 connections whose next head does not come in time, but neither those on which
/// it does not know yet which HTTP is spoken, nor idle ones of HTTP/2.
struct Activity {
    under_way: Cell<usize>,
    idle_until: Cell<Instant>,
    /// Tells that there is less time than there was.
    sooner: Notify,
}

struct Busy(Rc<Activity>);

impl Activity {
    /// The first request must come within `first`; hyper's own limit, where it is as long, is first.
    fn new(first: Duration) -> Self {
        let grace = Duration::from_millis(250);
        Self {
            under_way: Cell::new(0),
            idle_until: Cell::new(Instant::now() + first + grace),
            sooner: Notify::new(),
        }
    }

    fn begin(activity: Rc<Self>) -> Busy {
        activity.under_way.set(activity.under_way.get() + 1);
        Busy(activity)
    }

    /// No request follows the last one: what is left is to send its answer, for which whoever reads nothing leaves no room.
    fn ends_within(&self, limit: Duration) {
        self.idle_until.set(Instant::now() + limit);
        self.sooner.notify_one();
    }

    async fn idle_too_long(&self) {
        loop {
            let limit = self.idle_until.get();
            tokio::select! {
                () = sleep_until(limit) => {}
                () = self.sooner.notified() => continue,
            }
            if self.under_way.get() > 0 {
                // Looked at again in a while; requests have limits of their own.
                self.idle_until.set(Instant::now() + IDLE);
            } else if self.idle_until.get() <= Instant::now() {
                return;
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Activity {
            under_way,
            idle_until,
            ..
        } = &*self.0;
        under_way.set(under_way.get() - 1);
        idle_until.set(Instant::now() + IDLE);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_between_requests() {
        let activity = Rc::new(Activity::new(Duration::from_secs(10)));
        let start = Instant::now();
        let busy = Activity::begin(activity.clone());
        let long = timeout(Duration::from_hours(1), activity.idle_too_long()).await;
        assert!(long.is_err(), "it has a request under way");
        drop(busy);
        let freed = Instant::now();
        activity.idle_too_long().await;
        assert!(freed.elapsed() >= IDLE && freed.elapsed() < IDLE * 2);
        assert!(start.elapsed() > IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn behind_the_last_request_there_is_less_time() {
        let activity = Rc::new(Activity::new(Duration::from_secs(10)));
        let start = Instant::now();
        drop(Activity::begin(activity.clone()));
        let last = async {
            sleep_until(start + Duration::from_secs(1)).await;
            activity.ends_within(Duration::from_secs(5));
        };
        tokio::join!(activity.idle_too_long(), last);
        assert!(start.elapsed() < Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_must_come_in_time() {
        let start = Instant::now();
        Activity::new(Duration::from_secs(10)).idle_too_long().await;
        assert!(start.elapsed() < Duration::from_secs(11));
    }
}
