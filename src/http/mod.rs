//! The HTTP edge: the page, publishing, viewers' handshakes, and what operators ask.
//!
//! # What
//! [`bind`] takes an address with one socket for each worker, [`serve`] runs a worker's accept loop
//! and connections, [`Service`] answers requests. HTTP/1.1 and HTTP/2 (by prior knowledge) share
//! the port. A connection that becomes a WebSocket leaves here as a [`Viewer`].
//!
//! # How
//! Each worker has its own socket, its own single-threaded runtime and its own `Service`; they
//! share nothing but the count of connections ([`Places`]). A request goes through `router` (which resource),
//! `origin` (whose page sent it), then `publish`, `upgrade`, `assets` or `ops`. What goes wrong is a
//! `problem`, the one place where an error becomes a status.
//!
//! # Limits
//! Connections ([`Places`], over all workers), a request's head (16 KiB, 64
//! fields) and the time it may take, a body's size and time, streams and windows of HTTP/2, time
//! between requests. Everything that waits for a client has a time limit.
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
mod places;
mod listener;
mod ops;
mod origin;
mod problem;
mod publish;
mod query;
mod reply;
mod router;
mod service;
mod upgrade;

pub use accept::{Phase, serve};
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
    /// The longest body of a request, in bytes.
    pub max_body: usize,
    /// How long a request's head may take, also the first and the next one.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// Sites whose pages may publish, view and frame ours.
    pub allowed_origins: Vec<Origin>,
    /// Viewers may have their messages compressed.
    pub compression: bool,
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
