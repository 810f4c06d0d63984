//! One TCP connection, from its handshake to its end: HTTP/1.1 or HTTP/2, told apart by its first bytes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::faulty::FOR_EVER;
use super::line::{Fate, Line, Resettable};
use super::request::handle;
use super::stall::StallLimit;
use crate::embedded::Service;
use crate::embedded::config::ListenerConfig;
use crate::embedded::faults::Moment;

const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_STREAMS: u32 = 256;
const PING_EVERY: Duration = Duration::from_secs(20);

/// What every connection of one listener shares.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) service: Service,
    pub(super) limits: Arc<ListenerConfig>,
    tls: Option<TlsAcceptor>,
    /// Room for bodies that are being read, in KiB.
    bodies: Arc<Semaphore>,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Shared {
    pub(super) fn new(
        service: Service,
        tls: Option<TlsAcceptor>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let limits = Arc::new(service.config().listener.clone());
        Self {
            bodies: Arc::new(Semaphore::new(kib(limits.bodies_bytes) as usize)),
            service,
            limits,
            tls,
            stopping,
        }
    }

    /// Waits for room for a body.
    pub(super) async fn room_for(&self, bytes: usize) -> Result<SemaphorePermit<'_>, AcquireError> {
        let most = kib(self.limits.bodies_bytes);
        self.bodies.acquire_many(kib(bytes).min(most)).await
    }
}

/// At least one, and no more than a semaphore can give.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024))
        .unwrap_or(u32::MAX)
        .clamp(1, u32::MAX >> 3)
}

/// Serves a connection to its end.
pub(super) async fn serve(shared: Shared, stream: TcpStream) {
    // Events are small and must leave at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "embedded kinesis: no TCP_NODELAY");
    }
    let line = Line::new();
    let stream = Resettable {
        stream,
        line: Arc::clone(&line),
    };
    let stream = StallLimit::new(stream, shared.limits.write_stall_timeout);
    match &shared.tls {
        None => converse(&shared, stream, &line).await,
        Some(tls) => {
            let shaken = timeout(shared.limits.header_read_timeout, tls.accept(stream)).await;
            match shaken {
                Ok(Ok(stream)) => converse(&shared, stream, &line).await,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "embedded kinesis: no TLS handshake");
                }
                Err(_) => tracing::debug!("embedded kinesis: no TLS handshake in time"),
            }
        }
    }
}

fn builder(shared: &Shared) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header_read_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(max_streams(&shared.service))
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_connection_window_size(4 * 1024 * 1024)
        .initial_stream_window_size(1024 * 1024)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}

/// How many streams a new connection may have at once.
fn max_streams(service: &Service) -> u32 {
    let board = service.board();
    match board.at(Moment::Connection).pop() {
        Some(rule) => {
            board.occurred(&rule);
            rule.streams()
        }
        None => MAX_STREAMS,
    }
}

async fn converse<S>(shared: &Shared, stream: S, line: &Arc<Line>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = builder(shared);
    let mut stopping = shared.stopping.clone();
    let service = service_fn(move |request| handle(shared.clone(), Arc::clone(line), request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stop = pin!(async { drop(stopping.wait_for(|stop| *stop).await) });
    let mut known = Fate::Whole;
    let mut until: Option<Instant> = None;
    let outcome = loop {
        tokio::select! {
            outcome = connection.as_mut() => break outcome,
            () = stop.as_mut() => {
                connection.as_mut().graceful_shutdown();
                break connection.await;
            }
            fate = line.other_than(known) => {
                known = fate;
                match fate {
                    Fate::Whole => {}
                    Fate::GoingAway(after) => {
                        connection.as_mut().graceful_shutdown();
                        until = after.map(|after| Instant::now() + after);
                    }
                    Fate::BlackHoled(after) => {
                        // Not polled, it neither reads nor writes; held, its socket stays open.
                        let _stopped = timeout(after.unwrap_or(FOR_EVER), stop.as_mut()).await;
                        return;
                    }
                    Fate::Reset => return,
                }
            }
            () = at(until) => return,
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "embedded kinesis: connection ended");
    }
}

async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
