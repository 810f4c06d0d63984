//! What is said to each kind of server: how a viewer joins and how a message is published.

use std::net::SocketAddr;

use uuid::Uuid;

use crate::choices::{Encoding, Kind};
use crate::stamp::{LENGTH, Stamp};

/// A server, and what is said to it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) encoding: Encoding,
    /// Whether viewers offer permessage-deflate.
    pub(crate) compression: bool,
    /// Bytes of text in a message.
    pub(crate) text: usize,
}

impl Target {
    /// A viewer's handshake.
    pub(crate) fn join(&self, room: &str, history: usize) -> String {
        let path = match self.kind {
            Kind::Ours => format!("/websockets/chat-messages?room={room}&history={history}"),
            _ => format!("/sub/{room}"),
        };
        let protocol = match self.encoding {
            Encoding::Plain => "",
            Encoding::V1 => "Sec-WebSocket-Protocol: chat-room.v1\r\n",
        };
        let extensions = if self.compression {
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
        } else {
            ""
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}{extensions}\r\n",
            self.address
        )
    }

    /// The POST of a message; ours under an id of its own.
    pub(crate) fn publish(&self, room: &str, stamp: Stamp) -> Vec<u8> {
        let text = stamp.encode() + &"x".repeat(self.text - LENGTH);
        let (path, kind, body) = if self.kind == Kind::Ours {
            let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
            let mut digits = Uuid::encode_buffer();
            let id = id.hyphenated().encode_lower(&mut digits);
            let body = format!(r#"{{"room":"{room}","id":"{id}","text":"{text}"}}"#);
            ("/chat-messages".to_owned(), "application/json", body)
        } else {
            (format!("/pub/{room}"), "text/plain", text)
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        (head + &body).into_bytes()
    }

    /// Whether a message has been taken; nchan says 201 where there are viewers.
    pub(crate) fn is_accepted(&self, status: u16) -> bool {
        match self.kind {
            Kind::Ours => status == 202,
            _ => (200..300).contains(&status),
        }
    }
}
