//! A Kinesis service in memory, so that a chat on one machine needs no AWS and tests need no account.
//!
//! # What
//!
//! [`Service`] answers the Kinesis API as the real service does: streams, shards with true hash ranges, splits and
//! merges, records with growing sequence numbers, iterators, registered consumers, and enhanced fan-out with events
//! pushed when a record arrives. The real `aws-sdk-kinesis` client talks to it, either in process
//! ([`Service::http_client`]: no port, no socket) or over TCP ([`Service::listen`], for any Kinesis client).
//!
//! # How
//!
//! Three layers, each knowing only the one below it.
//! - `wire`: HTTP, JSON 1.1, CBOR 1.1 and event-stream framing; the in-process connector and the TCP listener. IO lives here.
//! - `operations`: a request's typed input, checked as the service model says, then one call of the store, then a typed
//!   answer or a typed error. No formats, no IO.
//! - `store`: all state and every decision. Plain code that takes the time as an argument: no IO, no async, no clock.
//!
//! A subscription is a position in a shard and a response body. Nothing is queued for it: when its client can take
//! more, the body asks the store for the records after the position; when there are none, the body leaves its waker and
//! the next put wakes it. So a client that does not read costs nothing but its entry.
//!
//! Beside them `faults`: rules by which, on demand, calls, subscriptions and connections go wrong as they do at AWS.
//!
//! # Limits
//!
//! Rates are limited as AWS limits them if [`Config::limits`] says so. Kept records are bounded by [`Config::memory`]; above it the oldest are trimmed, whatever their stream. Shards,
//! consumers, connections, heads and bodies are bounded by [`Config`]. Requests are not authenticated: signatures are
//! read for the caller's region and account and not verified, so a port belongs on a trusted network.
//!
//! # Invariants
//!
//! - Sequence numbers grow strictly within a shard, and a child shard's lie strictly above those of its parents.
//! - At any moment the open shards of a stream cover the hash space exactly once.
//! - A record is returned by every read of its shard in the order of its sequence number, until it is trimmed.
//! - An operation either happens as a whole, under one lock, or answers an error and changes nothing.

mod clock;
mod config;
mod durable;
mod error;
mod faults;
mod operations;
mod service;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod wire;

pub use config::{Config, Limits, ListenerConfig};
pub use durable::OpenError;
pub use error::{Error, ErrorKind};
pub use faults::{Faults, RuleError};
pub use operations::lists as operation_lists;
pub use service::Service;
pub use wire::Listener;

pub use crate::tls::Files as Tls;
