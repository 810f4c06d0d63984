//! The TCP way in: HTTP/1.1 and HTTP/2 on one port, with TLS or without, told apart by their first bytes.
//!
//! Bounded on every side: connections by a semaphore taken before `accept`, heads by count, size and time, bodies by
//! size, by time, and all of them together by a second semaphore counted in KiB. The accept task owns the
//! connections' tasks; they end with it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use tokio_rustls::TlsAcceptor;

use super::body::Body;
use super::faulty::{Broken, FOR_EVER};
use super::line::{Fate, Line, Resettable};
use super::stall::StallLimit;
use super::{Head, TARGET, error_response, respond, tls};
use crate::embedded::config::ListenerConfig;
use crate::embedded::faults::Moment;
use crate::embedded::{Error, ErrorKind, Service};

/// How long a stop waits for answers under way. Subscriptions are ended at once.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// The first and the longest pause after an accept error.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_STREAMS: u32 = 256;
const PING_EVERY: Duration = Duration::from_secs(20);

/// The service on a TCP port. Dropping it, or [`Listener::stop`], ends the port and every connection.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Binds `addr` (port 0 picks a free one) and starts to serve. Needs a tokio runtime.
    pub(in crate::embedded) fn bind(service: Service, addr: SocketAddr) -> io::Result<Self> {
        let tls = &service.config().listener.tls;
        let tls = tls.as_ref().map(tls::acceptor).transpose()?;
        let std_listener = std::net::TcpListener::bind(addr)?;
        std_listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(std_listener)?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(service, tls, listener, stopped));
        Ok(Self {
            addr,
            stop: Some(stop),
            task,
        })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops: no new connections, subscriptions end, answers under way get two seconds, then whatever is left is cut.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The task owns the JoinSet of connections: aborting it aborts them.
        self.task.abort();
    }
}

/// What every connection of one listener shares.
#[derive(Clone)]
struct Shared {
    service: Service,
    limits: Arc<ListenerConfig>,
    tls: Option<TlsAcceptor>,
    bodies: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

async fn accept(
    service: Service,
    tls: Option<TlsAcceptor>,
    listener: TcpListener,
    mut stopped: oneshot::Receiver<()>,
) {
    let limits = Arc::new(service.config().listener.clone());
    let (stopping, on_stop) = watch::channel(false);
    let bodies = Arc::new(Semaphore::new(kib(limits.bodies_bytes) as usize));
    let places = Arc::new(Semaphore::new(
        limits.connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let shared = Shared {
        service,
        limits,
        tls,
        bodies,
        stopping: on_stop,
    };
    let mut connections = JoinSet::new();
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let accepted = tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => continue,
            accepted = next => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, _))) => {
                pause = ACCEPT_PAUSE.0;
                connections.spawn(serve(shared.clone(), stream, place));
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "embedded kinesis: accept failed");
                sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve(shared: Shared, stream: TcpStream, place: OwnedSemaphorePermit) {
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
    drop(place);
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

/// Serves what comes over one connection, to its end.
async fn converse<S>(shared: &Shared, stream: S, line: &Arc<Line>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = builder(shared);
    let mut stopping = shared.stopping.clone();
    let (calls, on) = (shared.clone(), Arc::clone(line));
    let service = service_fn(move |request| {
        let (shared, line) = (calls.clone(), Arc::clone(&on));
        async move { handle(&shared, &line, request).await }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let stop = async { drop(stopping.wait_for(|stop| *stop).await) };
    tokio::pin!(stop);
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

/// An answer on its way out over TCP. One that streams events ends when the listener stops.
struct Served {
    body: Body,
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Served {
    fn new(body: Body, mut stopping: watch::Receiver<bool>) -> Self {
        let stop =
            matches!(body, Body::Events(_)).then(|| -> Pin<Box<dyn Future<Output = ()> + Send>> {
                Box::pin(async move { drop(stopping.wait_for(|stop| *stop).await) })
            });
        Self { body, stop }
    }
}

impl http_body::Body for Served {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if let Some(stop) = &mut this.stop
            && stop.as_mut().poll(cx).is_ready()
        {
            this.stop = None;
            this.body = Body::Whole(None);
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An error resets the request's stream in HTTP/2, and closes the connection in HTTP/1.1.
async fn handle(
    shared: &Shared,
    line: &Arc<Line>,
    request: Request<Incoming>,
) -> Result<Response<Served>, Broken> {
    match answer(shared, line, request).await {
        Ok(response) => Ok(response.map(|body| Served::new(body, shared.stopping.clone()))),
        Err(Broken::Stream) => Err(Broken::Stream),
        Err(Broken::Connection) => {
            line.strike(Fate::Reset);
            // Whoever serves the connection ends this with it.
            std::future::pending().await
        }
    }
}

async fn answer(
    shared: &Shared,
    line: &Arc<Line>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Broken> {
    let (head, body) = request.into_parts();
    let bytes = match timeout(
        shared.limits.body_read_timeout,
        read(shared, &head.headers, body),
    )
    .await
    {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Ok(error_response(&error)),
        Err(_) => {
            return Ok(error_response(&Error::new(
                ErrorKind::Serialization,
                "the request's body did not arrive in time",
            )));
        }
    };
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let head = Head {
        method: head.method.as_str(),
        path: head.uri.path(),
        target: header(TARGET),
        content_type: header(CONTENT_TYPE.as_str()),
    };
    respond(&shared.service, &head, bytes, line).await
}

/// Reads a body once there is room for it.
async fn read(shared: &Shared, headers: &HeaderMap, body: Incoming) -> Result<Bytes, Error> {
    let limit = shared.limits.body_bytes;
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    let too_large = || {
        Error::new(
            ErrorKind::Serialization,
            format!("the request's body is larger than {limit} bytes"),
        )
    };
    let expected = announced.unwrap_or(limit);
    if expected > limit {
        return Err(too_large());
    }
    let room = kib(expected).clamp(1, kib(shared.limits.bodies_bytes));
    let _room = shared
        .bodies
        .acquire_many(room)
        .await
        .map_err(|_| Error::new(ErrorKind::InternalFailure, "the service is stopping"))?;
    match Limited::new(body, expected).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Error::new(
            ErrorKind::Serialization,
            format!("the request's body broke off: {error}"),
        )),
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024))
        .unwrap_or(u32::MAX >> 3)
        .clamp(1, u32::MAX >> 3)
}
