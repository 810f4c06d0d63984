//! What goes over the wire: HTTP heads, bodies in JSON 1.1 and CBOR 1.1, event-stream frames, and the two ways in.

mod body;
mod connection;
mod connector;
mod events;
mod faulty;
mod format;
mod line;
mod listener;
mod request;
mod stall;
mod steer;
mod tls;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::body::{Body, EventBody};
pub(super) use self::connector::Connector;
use self::faulty::Broken;
use self::format::Format;
use self::line::Line;
pub use self::listener::Listener;
use super::operations::{Operation, consumers, records, shards, streams, tags};
use super::{Error, ErrorKind, Service};

/// The header that names the operation.
const TARGET: &str = "x-amz-target";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What matters of a request's head. Signatures are accepted and not verified.
#[derive(Debug)]
struct Head<'a> {
    method: &'a str,
    path: &'a str,
    target: Option<&'a str>,
    content_type: Option<&'a str>,
}

/// Answers one request, or breaks what it came over, if a fault says so.
async fn respond(
    service: &Service,
    head: &Head<'_>,
    body: Bytes,
    line: &Arc<Line>,
) -> Result<Response<Body>, Broken> {
    if let Some(steered) = steer::answer(service, head, &body) {
        return Ok(steered);
    }
    if service.board().is_active() {
        return faulty::respond(service, head, body, line).await;
    }
    Ok(match Request::of(head) {
        Ok(request) => answer(service, &request, &body, line).await,
        Err(error) => error_response(head.format(), &error),
    })
}

impl Head<'_> {
    fn format(&self) -> Format {
        Format::of(self.content_type)
    }
}

/// What is to be carried out.
#[derive(Debug)]
struct Request {
    operation: Operation,
    /// How its body is encoded, and its answer is to be.
    format: Format,
    /// The records that are throttled.
    refused: Vec<bool>,
}

impl Request {
    /// What a head asks for.
    fn of(head: &Head<'_>) -> Result<Self, Error> {
        if head.method != "POST" || head.path != "/" {
            return Err(Error::new(
                ErrorKind::UnknownOperation,
                "Operations are called by POST to /.",
            ));
        }
        Ok(Self {
            operation: head.target.unwrap_or_default().parse()?,
            format: head.format(),
            refused: Vec::new(),
        })
    }
}

async fn answer(
    service: &Service,
    request: &Request,
    body: &[u8],
    line: &Arc<Line>,
) -> Response<Body> {
    match run(service, request, body, line).await {
        Ok(body) => {
            let content_type = match &body {
                Body::Whole(_) => request.format.content_type(),
                Body::Events(_) => events::CONTENT_TYPE,
            };
            response(StatusCode::OK, content_type, body)
        }
        Err(error) => error_response(request.format, &error),
    }
}

/// Runs one operation on the body of its request.
async fn run(
    service: &Service,
    request: &Request,
    body: &[u8],
    line: &Arc<Line>,
) -> Result<Body, Error> {
    let call = Call {
        format: request.format,
        body,
    };
    service.count_call(request.operation)?;
    match request.operation {
        Operation::CreateStream => silent(streams::create(service, call.input()?).await),
        Operation::DeleteStream => silent(streams::delete(service, call.input()?).await),
        Operation::DescribeStream => call.answered(streams::describe(service, call.input()?)),
        Operation::DescribeStreamSummary => {
            call.answered(streams::summarize(service, call.input()?))
        }
        Operation::ListStreams => call.answered(streams::list(service, call.input()?)),
        Operation::ListShards => call.answered(shards::list(service, call.input()?)),
        Operation::SplitShard => silent(shards::split(service, call.input()?).await),
        Operation::MergeShards => silent(shards::merge(service, call.input()?).await),
        Operation::UpdateShardCount => {
            call.answered(shards::update_count(service, call.input()?).await)
        }
        Operation::PutRecord => call.answered(records::put_one(service, call.input()?).await),
        Operation::PutRecords => {
            call.answered(records::put_many(service, call.input()?, &request.refused).await)
        }
        Operation::GetShardIterator => call.answered(records::iterator(service, call.input()?)),
        Operation::GetRecords => call.answered(records::get(service, call.input()?)),
        Operation::RegisterStreamConsumer => {
            call.answered(consumers::register(service, call.input()?).await)
        }
        Operation::DescribeStreamConsumer => {
            call.answered(consumers::describe(service, call.input()?))
        }
        Operation::ListStreamConsumers => call.answered(consumers::list(service, call.input()?)),
        Operation::DeregisterStreamConsumer => {
            silent(consumers::deregister(service, call.input()?).await)
        }
        Operation::AddTagsToStream => silent(tags::add(service, call.input()?).await),
        Operation::RemoveTagsFromStream => silent(tags::remove(service, call.input()?).await),
        Operation::ListTagsForStream => call.answered(tags::list(service, call.input()?)),
        Operation::TagResource => silent(tags::tag(service, call.input()?).await),
        Operation::UntagResource => silent(tags::untag(service, call.input()?).await),
        Operation::ListTagsForResource => call.answered(tags::list_of(service, call.input()?)),
        Operation::SubscribeToShard => {
            let subscribed = consumers::subscribe(service, call.input()?)?;
            let events = EventBody::new(service.clone(), subscribed, Arc::clone(line));
            Ok(Body::Events(events))
        }
    }
}

/// A request's body and the form of its answer.
#[derive(Clone, Copy)]
struct Call<'a> {
    format: Format,
    body: &'a [u8],
}

impl Call<'_> {
    fn input<I: DeserializeOwned>(self) -> Result<I, Error> {
        self.format.decode(self.body)
    }

    fn answered(self, outcome: Result<impl Serialize, Error>) -> Result<Body, Error> {
        Ok(Body::whole(self.format.encode(&outcome?)?))
    }
}

/// For operations whose answer has no members: the body is empty.
fn silent(outcome: Result<(), Error>) -> Result<Body, Error> {
    outcome.map(|()| Body::Whole(None))
}

fn error_response(format: Format, error: &Error) -> Response<Body> {
    tracing::debug!(kind = %error.kind(), "embedded kinesis: refused");
    let mut response = response(
        error.kind().status(),
        format.content_type(),
        Body::whole(format.encode_error(error)),
    );
    let kind = HeaderValue::from_static(error.kind().name());
    response.headers_mut().insert("x-amzn-errortype", kind);
    response
}

fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Clients log it; it names nothing here.
    let id = format!("{:032x}", fastrand::u128(..));
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}
