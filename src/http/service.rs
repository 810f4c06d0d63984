//! From a request to its reply: what may be done with which resource, and what is counted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use metrics::{Counter, Histogram, counter, histogram};
use tracing::debug;
use uuid::Uuid;

use super::assets::Policy;
use super::origin;
use super::problem::{Kind, Problem};
use super::reply::{self, Reply};
use super::router::{self, Resource};
use super::trace::TraceParent;
use super::upgrade::Upgrading;
use super::{Config, Limits, ReadyState, Role, Viewer, ops, publish, upgrade};
use crate::message::{Room, Timestamp};
use crate::producer::Publisher;
use crate::telemetry::names;

/// A viewer on its way in.
pub type Joining = LocalBoxFuture<'static, ()>;

/// What the service needs of the rest of the program, on one worker.
#[derive(Clone)]
pub struct Ports {
    /// Where messages go.
    pub publisher: Publisher,
    /// Whether this instance is ready.
    pub ready: Arc<dyn Fn() -> ReadyState + Send + Sync>,
    /// All metrics as text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether there is place for a viewer in this room.
    pub admit: Rc<dyn Fn(&Room) -> bool>,
    /// Where viewers go; what it returns is done when they have joined.
    pub join: Rc<dyn Fn(Viewer) -> Joining>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ports")
    }
}

/// Answers requests; one for each worker and role.
#[derive(Debug)]
pub struct Service {
    pub(super) config: Arc<Config>,
    pub(super) limits: Arc<Limits>,
    pub(super) ports: Ports,
    role: Role,
    policy: Policy,
    counters: RefCell<Counters>,
}

/// What the requests of one connection have in common.
#[derive(Debug)]
pub(super) struct Session {
    /// Who is at the other end.
    peer: IpAddr,
    /// How many of them wait for the stream.
    publishing: Cell<usize>,
    /// What is to become of the connection when the answer is out.
    upgrading: RefCell<Option<Upgrading>>,
}

impl Session {
    pub(super) fn new(peer: IpAddr) -> Self {
        Self {
            peer,
            publishing: Cell::new(0),
            upgrading: RefCell::default(),
        }
    }

    /// The WebSocket that the connection is to become, if it is.
    pub(super) fn upgrading(&self) -> Option<Upgrading> {
        self.upgrading.take()
    }

    /// Whether the connection is to become one.
    pub(super) fn is_upgrading(&self) -> bool {
        self.upgrading.borrow().is_some()
    }

    /// Counts a publish for as long as it is under way, if there may be one more.
    fn publish(&self, most: usize) -> Option<Publishing<'_>> {
        let more = self.publishing.get() + 1;
        (more <= most).then(|| {
            self.publishing.set(more);
            Publishing(&self.publishing)
        })
    }
}

struct Publishing<'a>(&'a Cell<usize>);

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Service {
    /// A service that plays `role`.
    pub fn new(config: Arc<Config>, limits: Arc<Limits>, role: Role, ports: Ports) -> Rc<Self> {
        Rc::new(Self {
            policy: Policy::new(&config.allowed_origins),
            config,
            limits,
            ports,
            role,
            counters: RefCell::default(),
        })
    }

    /// Answers one request of a connection.
    pub(super) async fn answer(&self, request: Request<Incoming>, session: &Session) -> Reply {
        let start = Instant::now();
        let (parts, body) = request.into_parts();
        let resource = router::resource(parts.uri.path(), self.role);
        let method = parts.method.clone();
        let shared = matches!(resource, Resource::Publish);
        let chunked = parts.headers.contains_key(TRANSFER_ENCODING);
        let sender = origin::sender(&parts, &self.config.allowed_origins);

        let result = match (&method, resource) {
            // HTTP/1 ends where it reads one too many; HTTP/2 counts their bytes only.
            _ if parts.headers.len() > self.config.max_headers => Err(Kind::HeadTooLarge.into()),
            (_, Resource::Nothing) => Err(Kind::NotFound.into()),
            (&Method::POST, Resource::Publish) => {
                let answer = match origin::check(&sender) {
                    Ok(()) => self.publish(&parts, body, session).await,
                    Err(problem) => Err(problem),
                };
                counter!(names::HTTP_PUBLISHES, "outcome" => publish::outcome(&answer))
                    .increment(1);
                answer
            }
            (&Method::OPTIONS, Resource::Publish) => origin::preflight(&sender, resource.methods()),
            (&Method::GET, Resource::View) => {
                origin::check(&sender).and_then(|()| self.upgrade(parts, session))
            }
            (&Method::GET | &Method::HEAD, Resource::Asset(asset)) => {
                Ok(asset.serve(&parts.headers, &self.policy))
            }
            (&Method::GET | &Method::HEAD, Resource::Live) => Ok(ops::live()),
            (&Method::GET | &Method::HEAD, Resource::Ready) => {
                Ok(ops::ready(&(self.ports.ready)()))
            }
            (&Method::GET | &Method::HEAD, Resource::Metrics) => {
                ops::report(&(self.ports.ready)());
                Ok(ops::metrics((self.ports.metrics)()))
            }
            (&Method::OPTIONS, resource) => Ok(options(resource.methods())),
            (_, resource) => Err(Problem::from(Kind::MethodNotAllowed).allow(resource.methods())),
        };

        let mut reply = result.unwrap_or_else(Problem::into_reply);
        if shared {
            origin::share(&sender, reply.headers_mut());
        }
        if chunked {
            // There may have been a length too, by which somebody before us found another end (RFC
            // 9112, 6.3); hyper does not tell.
            let headers = reply.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if method == Method::HEAD {
            strip_body(&mut reply);
        }
        let mut counters = self.counters.borrow_mut();
        counters.count(resource, &method, reply.status(), start);
        reply
    }

    async fn publish(
        &self,
        parts: &Parts,
        body: Incoming,
        session: &Session,
    ) -> Result<Reply, Problem> {
        publish::check_head(&parts.headers)?;
        let Config {
            max_body,
            body_timeout,
            max_text,
            connection_publishes,
            ..
        } = *self.config;
        let body = publish::read_body(&parts.headers, body, max_body, body_timeout).await?;
        let draft = publish::parse(&body, max_text, Timestamp::now(), Uuid::new_v4)?;
        drop(body);
        let id = draft.id;
        let under_way = session.publish(connection_publishes);
        let _under_way = under_way.ok_or_else(|| publish::too_many().about(id))?;
        let client = self.limits.client(session.peer, &parts.headers);
        let allowed = self.limits.publish(client, &draft.room, Instant::now());
        allowed.map_err(|busy| publish::busy(busy).about(id))?;
        let answer = publish::answer(id, self.ports.publisher.publish(draft).await);
        log_publish(id, &answer, &parts.headers);
        answer
    }

    fn upgrade(&self, parts: Parts, session: &Session) -> Result<Reply, Problem> {
        let request = upgrade::check(&parts, self.config.compression)?;
        let client = self.limits.client(session.peer, &parts.headers);
        let seat = self.limits.view(session.peer, client).map_err(|_| {
            let wait = std::time::Duration::from_secs(5);
            Problem::from(Kind::TooManyConnections).retry_after(wait)
        })?;
        if !(self.ports.admit)(&request.room) {
            let wait = std::time::Duration::from_secs(10);
            return Err(Problem::from(Kind::TooManyRooms).retry_after(wait));
        }
        let (reply, upgrade) = upgrade::accept(parts, request.encoding)?;
        counter!(names::HTTP_UPGRADES, "encoding" => request.encoding.as_str()).increment(1);
        session.upgrading.replace(Some(Upgrading {
            upgrade,
            request,
            seat,
        }));
        Ok(reply)
    }
}

/// Nothing of the message but its id; a line for each, so only where it is asked for.
fn log_publish(id: Uuid, answer: &Result<Reply, Problem>, headers: &HeaderMap) {
    let outcome = publish::outcome(answer);
    let trace = TraceParent::of(headers);
    let (trace_id, parent_id) = (trace.map(|t| t.trace), trace.map(|t| t.parent));
    debug!(%id, outcome, trace_id, parent_id, "published");
}

fn options(methods: &'static str) -> Reply {
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    reply
}

/// What HEAD gets: the head that GET would get, and no body.
fn strip_body(reply: &mut Reply) {
    let body = std::mem::replace(reply.body_mut(), Full::new(Bytes::new()));
    let has_body = reply.status() != StatusCode::NOT_MODIFIED;
    if let Some(length) = body.size_hint().exact().filter(|_| has_body) {
        reply.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
}

/// This worker's handles on the counters of requests, kept so that they need not be looked up.
#[derive(Default)]
struct Counters {
    requests: HashMap<(&'static str, &'static str, u16), Counter>,
    durations: HashMap<&'static str, Histogram>,
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counters")
    }
}

impl Counters {
    fn count(&mut self, resource: Resource, method: &Method, status: StatusCode, start: Instant) {
        let (resource, method, status) = (resource.name(), method_name(method), status.as_u16());
        let requests = self.requests.entry((resource, method, status));
        requests
            .or_insert_with(|| {
                let status = status.to_string();
                counter!(names::HTTP_REQUESTS, "resource" => resource, "method" => method, "status" => status)
            })
            .increment(1);
        let durations = self.durations.entry(resource);
        durations
            .or_insert_with(|| histogram!(names::HTTP_REQUEST_SECONDS, "resource" => resource))
            .record(publish::seconds_since(start));
    }
}

/// A method's name in the metrics: clients can send any.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
