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
        Ok(request) => answer(service, &request, &body, line),
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

fn answer(service: &Service, request: &Request, body: &[u8], line: &Arc<Line>) -> Response<Body> {
    match run(service, request, body, line) {
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
fn run(service: &Service, request: &Request, body: &[u8], line: &Arc<Line>) -> Result<Body, Error> {
    let format = request.format;
    let call = Call {
        service,
        format,
        body,
    };
    match request.operation {
        Operation::CreateStream => call.silent(streams::create),
        Operation::DeleteStream => call.silent(streams::delete),
        Operation::DescribeStream => call.answered(streams::describe),
        Operation::DescribeStreamSummary => call.answered(streams::summarize),
        Operation::ListStreams => call.answered(streams::list),
        Operation::ListShards => call.answered(shards::list),
        Operation::SplitShard => call.silent(shards::split),
        Operation::MergeShards => call.silent(shards::merge),
        Operation::UpdateShardCount => call.answered(shards::update_count),
        Operation::PutRecord => call.answered(records::put_one),
        Operation::PutRecords => {
            call.answered(|service, input| records::put_many(service, input, &request.refused))
        }
        Operation::GetShardIterator => call.answered(records::iterator),
        Operation::GetRecords => call.answered(records::get),
        Operation::RegisterStreamConsumer => call.answered(consumers::register),
        Operation::DescribeStreamConsumer => call.answered(consumers::describe),
        Operation::ListStreamConsumers => call.answered(consumers::list),
        Operation::DeregisterStreamConsumer => call.silent(consumers::deregister),
        Operation::AddTagsToStream => call.silent(tags::add),
        Operation::RemoveTagsFromStream => call.silent(tags::remove),
        Operation::ListTagsForStream => call.answered(tags::list),
        Operation::TagResource => call.silent(tags::tag),
        Operation::UntagResource => call.silent(tags::untag),
        Operation::ListTagsForResource => call.answered(tags::list_of),
        Operation::SubscribeToShard => {
            let subscribed = consumers::subscribe(service, format.decode(body)?)?;
            let events = EventBody::new(service.clone(), subscribed, Arc::clone(line));
            Ok(Body::Events(events))
        }
    }
}

#[derive(Clone, Copy)]
struct Call<'a> {
    service: &'a Service,
    format: Format,
    body: &'a [u8],
}

impl Call<'_> {
    fn answered<I, O>(
        self,
        operation: impl FnOnce(&Service, I) -> Result<O, Error>,
    ) -> Result<Body, Error>
    where
        I: DeserializeOwned,
        O: Serialize,
    {
        let answer = operation(self.service, self.format.decode(self.body)?)?;
        Ok(Body::whole(self.format.encode(&answer)?))
    }

    /// For operations whose answer has no members: the body is empty.
    fn silent<I: DeserializeOwned>(
        self,
        operation: impl FnOnce(&Service, I) -> Result<(), Error>,
    ) -> Result<Body, Error> {
        operation(self.service, self.format.decode(self.body)?)?;
        Ok(Body::Whole(None))
    }
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
