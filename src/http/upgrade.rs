//! `GET /websockets/chat-messages`: from a request to a viewer.
//!
//! The handshake is fastwebsockets'; what it does not look at is checked here: method, version,
//! `Upgrade` and `Connection`, the key's shape, the subprotocol, the extensions.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{
    HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
};
use http::request::Parts;
use http::{HeaderMap, Request, Version};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;

use super::limits::Seat;
use super::problem::{FieldError, Kind, Problem};
use super::query;
use super::reply::Reply;
use super::{Permit, extensions, tls};
use crate::fanout::{JoinRequest, Stream};
use crate::log::Encoding;
use crate::message::Room;

/// The subprotocol of JSON frames.
pub const SUBPROTOCOL: &str = "chat-room.v1";

/// A connection that has become a WebSocket: the handshake is done, nothing was sent yet.
#[derive(Debug)]
pub struct Viewer {
    /// The connection.
    pub stream: Stream,
    /// What the client sent behind its handshake: the beginning of its frames.
    pub leftover: Bytes,
    /// What it asks for.
    pub request: JoinRequest,
    /// Its place among the connections; to be kept for as long as the connection is.
    pub permit: Permit,
}

/// Checks the handshake and reads what the viewer asks for; compressed where `compression` allows
/// it.
pub(super) fn check(request: &Parts, compression: bool) -> Result<JoinRequest, Problem> {
    let headers = &request.headers;
    if request.version != Version::HTTP_11 {
        return Err(Problem::new(
            Kind::InvalidHandshake,
            "WebSockets are served over HTTP/1.1.",
        ));
    }
    let upgrade = has_token(headers, http::header::UPGRADE, "websocket");
    if !upgrade || !has_token(headers, http::header::CONNECTION, "upgrade") {
        return Err(Problem::from(Kind::UpgradeRequired).websocket());
    }
    // RFC 6455, section 4.4
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .map(HeaderValue::as_bytes)
        != Some(b"13")
    {
        let detail = "Only version 13 of the WebSocket protocol is spoken here.";
        return Err(Problem::new(Kind::UpgradeRequired, detail).websocket());
    }
    // RFC 6455, section 4.1: sixteen bytes in base64
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.and_then(|key| BASE64_STANDARD.decode(key).ok());
    if key.is_none_or(|key| key.len() != 16)
        || headers.get_all(SEC_WEBSOCKET_KEY).iter().count() != 1
    {
        let detail = "Sec-WebSocket-Key must be sixteen bytes in base64.";
        return Err(Problem::new(Kind::InvalidHandshake, detail));
    }
    let v1 = has_token(headers, SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    // Only with `chat-room.v1`, whose clients have no data to send.
    let encoding = match v1 {
        true if compression && extensions::agree(headers).is_some() => Encoding::V1Deflate,
        true => Encoding::V1,
        false => Encoding::Plain,
    };
    wish(request.uri.query().unwrap_or_default(), encoding)
}

/// Reads the parameters; unknown ones are passed over.
fn wish(text: &str, encoding: Encoding) -> Result<JoinRequest, Problem> {
    let [room, history, after] = query::parameters(text, ["room", "history", "after"])
        .map_err(|error| refuse(error.name, error.to_string()))?;
    let room = match room {
        Some(room) => Room::new(&room).map_err(|error| refuse("room", error.to_string()))?,
        None => Room::lobby(),
    };
    let history = match history {
        Some(text) if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(refuse("history", "must be a whole number".into()));
        }
        // What does not fit is more than there is anyway.
        Some(text) => Some(text.parse().unwrap_or(usize::MAX)),
        None => None,
    };
    Ok(JoinRequest {
        room,
        encoding,
        history,
        after: after.map(String::into_boxed_str),
    })
}

fn refuse(field: &'static str, detail: String) -> Problem {
    let detail = detail.into();
    Problem::fields(Kind::InvalidQuery, vec![FieldError { field, detail }])
}

/// Whether a header that is a list has this element; case counts only in subprotocols' names,
/// where a client that gets it wrong means another one.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let exact = name == SEC_WEBSOCKET_PROTOCOL;
    let values = headers.get_all(name);
    let elements = values.iter().filter_map(|value| value.to_str().ok());
    elements
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|element| {
            if exact {
                element == token
            } else {
                element.eq_ignore_ascii_case(token)
            }
        })
}

/// Answers a checked handshake; the second part becomes the connection once the answer is out.
pub(super) fn accept(parts: Parts, encoding: Encoding) -> Result<(Reply, OnUpgrade), Problem> {
    let mut request = Request::from_parts(parts, ());
    // Taken before fastwebsockets does: it would wrap the connection into a WebSocket with a read
    // buffer, only for us to take it out again.
    let on_upgrade = hyper::upgrade::on(&mut request);
    let handshake = fastwebsockets::upgrade::upgrade(&mut request);
    // All that it checks was checked before.
    let (reply, _) = handshake.map_err(|_| Problem::from(Kind::InvalidHandshake))?;
    let mut reply = reply.map(|_| Full::default());
    if encoding.is_v1() {
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        reply.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let agreed = extensions::agree(request.headers());
    if let Some(agreed) = agreed.filter(|_| encoding.is_compressed()) {
        reply.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, agreed);
    }
    Ok((reply, on_upgrade))
}

/// A connection that is about to become a WebSocket.
#[derive(Debug)]
pub(super) struct Upgrading {
    pub(super) upgrade: OnUpgrade,
    pub(super) request: JoinRequest,
    /// Where it is counted for the client behind a proxy.
    pub(super) seat: Option<Seat>,
}

/// Takes the connection out of hyper's hands.
pub(super) async fn take(upgrading: Upgrading, permit: Permit) -> Option<Viewer> {
    let Upgrading {
        upgrade,
        request,
        seat,
    } = upgrading;
    let upgraded = upgrade.await.ok()?;
    let parts = downcast::<TokioIo<tls::Stream>>(upgraded).ok()?;
    Some(Viewer {
        stream: parts.io.into_inner().into(),
        leftover: parts.read_buf,
        request,
        permit: permit.seated(seat),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The handshake of RFC 6455, section 1.2, with changes.
    fn handshake(query: &str, changes: &[(&str, Option<&str>)]) -> Parts {
        let mut request = Request::builder()
            .uri(format!("/websockets/chat-messages{query}"))
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-version", "13")
            .body(())
            .unwrap();
        for (name, value) in changes {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().remove(&name);
            if let Some(value) = value {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        request.into_parts().0
    }

    #[test]
    fn without_parameters_it_is_the_lobby_in_the_originals_way() {
        let request = check(&handshake("", &[]), true).unwrap();
        assert_eq!(request.room, Room::lobby());
        assert_eq!(request.encoding, Encoding::Plain);
        assert!(request.history.is_none() && request.after.is_none());
    }

    #[test]
    fn parameters_and_subprotocol_are_read() {
        let query = "?room=d%65n&history=5&after=495.7&other=%zz";
        let changes = [("sec-websocket-protocol", Some("other, chat-room.v1"))];
        let request = check(&handshake(query, &changes), true).unwrap();
        assert_eq!(request.room.as_str(), "den");
        assert_eq!(request.encoding, Encoding::V1);
        assert_eq!(request.history, Some(5));
        assert_eq!(request.after.as_deref(), Some("495.7"));
        let huge = check(&handshake("?history=99999999999999999999999", &[]), true).unwrap();
        assert_eq!(huge.history, Some(usize::MAX));
        let other = [("sec-websocket-protocol", Some("chat-room.v2"))];
        assert_eq!(
            check(&handshake("", &other), true).unwrap().encoding,
            Encoding::Plain
        );
    }

    #[test]
    fn bad_parameters_are_refused() {
        for query in [
            "?room=",
            "?room=a%20b",
            "?room=%zz",
            "?room=%ff",
            "?room=a&room=a",
            "?room",
            "?history=-1",
            "?history=",
            "?history=1.5",
            "?history=1&history=1",
            "?after=1&after=2",
            "?after=%f",
        ] {
            let problem = check(&handshake(query, &[]), true).unwrap_err();
            assert_eq!(problem.kind, Kind::InvalidQuery, "{query}");
            assert_eq!(problem.into_reply().status(), 400);
        }
    }

    #[test]
    fn bad_handshakes_are_refused() {
        for (header, value, status) in [
            ("upgrade", None, 426),
            ("upgrade", Some("h2c"), 426),
            ("connection", Some("close"), 426),
            ("sec-websocket-version", Some("8"), 426),
            ("sec-websocket-version", None, 426),
            ("sec-websocket-key", None, 400),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZQ=="), 400),
            ("sec-websocket-key", Some("????????????????????????"), 400),
        ] {
            let problem = check(&handshake("", &[(header, value)]), true).unwrap_err();
            let reply = problem.into_reply();
            assert_eq!(reply.status(), status, "{header} {value:?}");
            if status == 426 {
                assert_eq!(reply.headers()["sec-websocket-version"], "13");
                assert_eq!(reply.headers()["upgrade"], "websocket");
            }
        }
        let mut parts = handshake("", &[]);
        parts.version = Version::HTTP_2;
        assert_eq!(check(&parts, true).unwrap_err().into_reply().status(), 400);
        parts.version = Version::HTTP_10;
        assert_eq!(check(&parts, true).unwrap_err().into_reply().status(), 400);
    }

    #[test]
    fn the_answer_is_the_one_of_the_rfc() {
        let (reply, _) = accept(handshake("", &[]), Encoding::V1).unwrap();
        assert_eq!(reply.status(), 101);
        // RFC 6455, section 1.3
        assert_eq!(
            reply.headers()["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(reply.headers()["sec-websocket-protocol"], SUBPROTOCOL);
        let (reply, _) = accept(handshake("", &[]), Encoding::Plain).unwrap();
        assert!(!reply.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn compression_is_agreed_on_with_the_subprotocol_only_and_where_it_is_allowed() {
        let offer = ("sec-websocket-extensions", Some("permessage-deflate"));
        let v1 = ("sec-websocket-protocol", Some(SUBPROTOCOL));
        let unmet = (
            "sec-websocket-extensions",
            Some("permessage-deflate; server_max_window_bits=9"),
        );
        for (changes, allowed, encoding) in [
            (&[offer, v1][..], true, Encoding::V1Deflate),
            (&[offer, v1], false, Encoding::V1),
            (&[unmet, v1], true, Encoding::V1),
            (&[v1], true, Encoding::V1),
            (&[offer], true, Encoding::Plain),
        ] {
            let parts = handshake("", changes);
            let request = check(&parts, allowed).unwrap();
            assert_eq!(request.encoding, encoding, "{changes:?} {allowed}");
            let (reply, _) = accept(parts, encoding).unwrap();
            let agreed = reply.headers().get("sec-websocket-extensions");
            assert_eq!(agreed.is_some(), encoding.is_compressed());
            assert_eq!(
                reply.headers().contains_key("sec-websocket-protocol"),
                encoding.is_v1()
            );
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "[a-z=&%+0-9]{0,60}", other in "\\PC{0,40}") {
            for text in [query, other] {
                let _ = wish(&text, Encoding::Plain);
            }
        }
    }
}
