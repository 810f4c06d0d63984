//! Replies: what every answer is made of.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// An answer to a client: its body is always complete, never a stream.
pub(super) type Reply = Response<Full<Bytes>>;

/// A reply with a body of this type that nobody may keep.
pub(super) fn fresh(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = empty(status);
    *reply.body_mut() = Full::new(body.into());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A JSON reply that nobody may keep.
pub(super) fn json(status: StatusCode, kind: &'static str, value: &impl Serialize) -> Reply {
    // The types that come here have nothing in them that JSON could refuse.
    fresh(status, kind, serde_json::to_vec(value).unwrap_or_default())
}

/// A reply without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    reply
}
