//! What goes over the wire: HTTP heads, bodies in JSON 1.1 and CBOR 1.1, event-stream frames, and the two ways in.

mod body;
mod connection;
mod connector;
mod dispatch;
mod events;
mod faulty;
mod format;
mod line;
mod listener;
mod request;
mod signature;
mod stall;
mod steer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::body::Body;
pub(super) use self::connector::Connector;
use self::dispatch::Request;
use self::faulty::Broken;
use self::format::Format;
use self::line::Line;
pub use self::listener::Listener;
use super::{Error, Service};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// The header that names the operation.
const TARGET: &str = "x-amz-target";
const AMZ_DATE: &str = "x-amz-date";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What matters of a request's head.
#[derive(Debug)]
struct Head<'a> {
    method: &'a str,
    path: &'a str,
    target: Option<&'a str>,
    content_type: Option<&'a str>,
    query: Option<&'a str>,
    authorization: Option<&'a str>,
    /// Whether it says when it was signed.
    has_date: bool,
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
    Ok(match Request::of(service, head) {
        Ok(request) => answer(service, &request, &body, line).await,
        Err(error) => error_response(head.format(), &error),
    })
}

impl Head<'_> {
    fn format(&self) -> Format {
        Format::of(self.content_type)
    }
}

async fn answer(
    service: &Service,
    request: &Request,
    body: &[u8],
    line: &Arc<Line>,
) -> Response<Body> {
    match dispatch::run(service, request, body, line).await {
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
