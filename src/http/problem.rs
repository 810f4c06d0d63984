//! Errors as clients see them: the one place where an error becomes a status.
//!
//! The body is `application/problem+json` (RFC 9457) with the extension members `id` (of the
//! message that may or may not have been published) and `errors` (one for each field).
//! Everything in it is written here or in a validated type: internal text cannot get into it.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use http::header::{ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE};
use metrics::counter;
use serde::Serialize;
use uuid::Uuid;

use super::reply::{self, Reply};
use crate::telemetry::names;

/// What kinds of problems there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The body is no JSON object.
    Malformed,
    /// Fields of the message break the rules.
    InvalidMessage,
    /// Parameters in the URL break the rules.
    InvalidQuery,
    /// The handshake of the WebSocket breaks RFC 6455.
    InvalidHandshake,
    /// Another site's page sent it.
    ForeignOrigin,
    /// There is nothing of that name.
    NotFound,
    /// It does not take that method.
    MethodNotAllowed,
    /// The body did not come in time.
    BodyTimeout,
    /// The body, or the message, is too large.
    TooLarge,
    /// The head has too many fields.
    HeadTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// This is for WebSockets only.
    UpgradeRequired,
    /// More messages than may be published to one room.
    RoomBusy,
    /// More messages than one client may publish.
    TooManyMessages,
    /// More messages at a time than one connection may publish.
    TooManyUnderWay,
    /// More connections than one client may have.
    TooManyConnections,
    /// Too many messages are waiting for the stream.
    QueueFull,
    /// The stream takes nothing.
    StreamUnavailable,
    /// The stream did not answer in time.
    NotConfirmed,
    /// There is no place for a further room.
    TooManyRooms,
    /// The server is being stopped.
    Closing,
}

impl Kind {
    /// Its status.
    fn status(self) -> StatusCode {
        match self {
            Self::Malformed
            | Self::InvalidMessage
            | Self::InvalidQuery
            | Self::InvalidHandshake => StatusCode::BAD_REQUEST,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::RoomBusy
            | Self::TooManyMessages
            | Self::TooManyUnderWay
            | Self::TooManyConnections => StatusCode::TOO_MANY_REQUESTS,
            Self::QueueFull
            | Self::StreamUnavailable
            | Self::NotConfirmed
            | Self::TooManyRooms
            | Self::Closing => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Its name in `type` and in the metrics, and its title.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed => ("malformed-body", "The body is not a JSON object"),
            Self::InvalidMessage => ("invalid-message", "The message is not valid"),
            Self::InvalidQuery => ("invalid-query", "A parameter in the URL is not valid"),
            Self::InvalidHandshake => ("invalid-handshake", "The WebSocket handshake is not valid"),
            Self::ForeignOrigin => (
                "foreign-origin",
                "Pages of this origin may not use this server",
            ),
            Self::NotFound => ("not-found", "There is nothing here"),
            Self::MethodNotAllowed => ("method-not-allowed", "The method is not allowed here"),
            Self::BodyTimeout => ("body-timeout", "The body did not arrive in time"),
            Self::TooLarge => ("too-large", "The message is too large"),
            Self::HeadTooLarge => ("head-too-large", "The request has too many header fields"),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                "The body must be application/json",
            ),
            Self::UpgradeRequired => ("upgrade-required", "A WebSocket handshake is needed here"),
            Self::RoomBusy => (
                "room-busy",
                "Too much is written in this room at the moment",
            ),
            Self::TooManyMessages => (
                "too-many-messages",
                "Too much is written from this address at the moment",
            ),
            Self::TooManyUnderWay => (
                "too-many-under-way",
                "Too many messages of this connection are under way",
            ),
            Self::TooManyConnections => (
                "too-many-connections",
                "Too many connections from this address",
            ),
            Self::QueueFull => ("queue-full", "Too many messages are waiting"),
            Self::StreamUnavailable => (
                "stream-unavailable",
                "Messages cannot be stored at the moment",
            ),
            Self::NotConfirmed => ("not-confirmed", "The message was not confirmed in time"),
            Self::TooManyRooms => ("too-many-rooms", "There is no place for a further room"),
            Self::Closing => ("closing", "The server is being stopped"),
        }
    }

    /// Its name in the metrics.
    pub(super) fn name(self) -> &'static str {
        self.words().0
    }
}

/// A rule that a field breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct FieldError {
    /// The field.
    pub(super) field: &'static str,
    /// What is wrong with it.
    pub(super) detail: Cow<'static, str>,
}

/// An error on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldError>,
    id: Option<Uuid>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            detail: None,
            errors: Vec::new(),
            id: None,
            headers: Vec::new(),
        }
    }
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..kind.into()
        }
    }

    /// Fields that break rules.
    pub(super) fn fields(kind: Kind, errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..kind.into()
        }
    }

    /// With the id of the message that it is about, so that it can be sent again safely.
    pub(super) fn about(mut self, id: Uuid) -> Self {
        self.id = Some(id);
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With the time after which to try again, in whole seconds and at least one.
    pub(super) fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1_000).clamp(1, 3_600);
        let seconds = u32::try_from(seconds).unwrap_or(1);
        self.header(RETRY_AFTER, seconds.into())
    }

    /// With the methods that are allowed.
    pub(super) fn allow(self, methods: &'static str) -> Self {
        self.header(ALLOW, HeaderValue::from_static(methods))
    }

    /// With what RFC 6455, section 4.4, wants in the refusal of a handshake.
    pub(super) fn websocket(self) -> Self {
        self.header(UPGRADE, HeaderValue::from_static("websocket"))
            .header(CONNECTION, HeaderValue::from_static("upgrade"))
            .header(
                http::header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            )
    }

    /// And close the connection: what follows on it cannot be understood or is not wanted.
    pub(super) fn close(self) -> Self {
        self.header(CONNECTION, HeaderValue::from_static("close"))
    }

    /// The reply; counts the problem.
    pub(super) fn into_reply(self) -> Reply {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: String,
            title: &'static str,
            status: u16,
            #[serde(skip_serializing_if = "Option::is_none")]
            detail: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<Uuid>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [FieldError],
        }
        let (status, (name, title)) = (self.kind.status(), self.kind.words());
        counter!(names::HTTP_PROBLEMS, "problem" => name).increment(1);
        let body = Body {
            r#type: format!("urn:problem-type:chat-room:{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail.as_deref(),
            id: self.id,
            errors: &self.errors,
        };
        let mut reply = reply::json(status, "application/problem+json", &body);
        reply.headers_mut().extend(self.headers);
        reply
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn text(reply: Reply) -> String {
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.into()).unwrap()
    }

    #[tokio::test]
    async fn bodies_are_as_the_protocol_says() {
        let reply = Problem::from(Kind::NotFound).into_reply();
        assert_eq!(reply.status(), 404);
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
        assert_eq!(reply.headers()["cache-control"], "no-store");
        assert_eq!(
            text(reply).await,
            r#"{"type":"urn:problem-type:chat-room:not-found","title":"There is nothing here","status":404}"#
        );

        let id = Uuid::from_u128(7);
        let reply = Problem::new(Kind::QueueFull, "Try again.")
            .about(id)
            .retry_after(Duration::from_millis(1_001))
            .into_reply();
        assert_eq!(reply.status(), 503);
        assert_eq!(reply.headers()["retry-after"], "2");
        assert_eq!(
            text(reply).await,
            r#"{"type":"urn:problem-type:chat-room:queue-full","title":"Too many messages are waiting","status":503,"detail":"Try again.","id":"00000000-0000-0000-0000-000000000007"}"#
        );

        let errors = vec![FieldError {
            field: "text",
            detail: "must not be empty".into(),
        }];
        let reply = Problem::fields(Kind::InvalidMessage, errors).into_reply();
        assert_eq!(reply.status(), 400);
        assert_eq!(
            text(reply).await,
            r#"{"type":"urn:problem-type:chat-room:invalid-message","title":"The message is not valid","status":400,"errors":[{"field":"text","detail":"must not be empty"}]}"#
        );
    }

    #[test]
    fn a_wait_is_at_least_a_second() {
        for (wait, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (30_500, "31")] {
            let problem = Problem::from(Kind::Closing).retry_after(Duration::from_millis(wait));
            assert_eq!(problem.into_reply().headers()["retry-after"], seconds);
        }
    }
}
