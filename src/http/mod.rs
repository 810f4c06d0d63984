//! The HTTP edge: the page, publishing, viewers' handshakes, and what operators ask.
//!
//! # What
//! [`bind`] takes an address with one socket for each worker, [`serve`] runs a worker's accept loop
//! and connections, with TLS or without, [`Service`] answers requests. HTTP/1.1 and HTTP/2 (by ALPN, or by
//! prior knowledge) share the port. A connection that becomes a WebSocket leaves here as a [`Viewer`].
//!
//! # How
//! Each worker has its own socket, its own single-threaded runtime and its own `Service`; they
//! share nothing but the counts behind the limits ([`Places`], [`Limits`]). A request goes through `router` (which
//! resource), `origin` (whose page sent it), then `publish`, `upgrade`, `assets` or `ops`. What goes wrong is a
//! `problem`, the one place where an error becomes a status.
//!
//! # Limits
//! Connections in all ([`Places`]) and of one client, publishes a second of one room and of one client
//! ([`Limits`]), all over all workers; a request's head in size, fields and time, a body's size and
//! time, publishes under way on one connection, streams and windows of HTTP/2, time between
//! requests; TLS handshakes under way and their time. Everything that waits for a client has a time limit.
//!
//! # Invariants
//! - I1: 202 is sent only with a receipt of the producer.
//! - I4, I6: what a client can hold on to here is bounded, in size and in time.
//! - No text that is not written in this module, or checked by `message`, gets into an error reply.

use std::time::Duration;

mod accept;
mod assets;
mod connection;
mod extensions;
mod limits;
mod listener;
mod ops;
mod origin;
mod places;
mod problem;
mod publish;
mod query;
mod reply;
mod router;
mod service;
mod tls;
mod trace;
mod upgrade;

pub use accept::{Phase, serve};
pub use limits::{InvalidNetwork, InvalidRate, Limits, Network, Rate};
pub use listener::{BindError, Listener, bind};
pub use ops::{Behind, Readiness, ReadyState};
pub use origin::{InvalidOrigin, Origin};
pub use places::{Permit, Places};
pub use router::Role;
pub use service::{Joining, Ports, Service};
pub use upgrade::{SUBPROTOCOL, Viewer};

/// What can be set here.
#[derive(Clone, Debug)]
pub struct Config {
    /// The longest head of a request, in bytes; at least 8 KiB.
    pub max_head: usize,
    /// The most header fields of a request.
    pub max_headers: usize,
    /// The longest body of a request, in bytes.
    pub max_body: usize,
    /// The longest text of a message, in characters.
    pub max_text: usize,
    /// How long a new connection may take until its first request's head is there.
    pub first_request_timeout: Duration,
    /// How long a request's head may take, and over HTTP/1.1 the pause before it.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long a connection may take to become a WebSocket once its handshake was answered.
    pub upgrade_timeout: Duration,
    /// Publishes under way on one connection.
    pub connection_publishes: usize,
    /// Publishes to one room, if they are limited.
    pub room_rate: Option<Rate>,
    /// Publishes of one client, if they are limited.
    pub address_rate: Option<Rate>,
    /// Connections of one client, if they are limited.
    pub address_connections: Option<usize>,
    /// Those whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Sites whose pages may publish, view and frame ours.
    pub allowed_origins: Vec<Origin>,
    /// Viewers may have their messages compressed.
    pub compression: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_head: 16 * 1_024,
            max_headers: 64,
            max_body: 16 * 1_024,
            max_text: crate::message::MAX_TEXT_CHARS,
            first_request_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            upgrade_timeout: Duration::from_secs(5),
            connection_publishes: 64,
            room_rate: None,
            address_rate: None,
            address_connections: None,
            trusted_proxies: Vec::new(),
            allowed_origins: Vec::new(),
            compression: true,
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
