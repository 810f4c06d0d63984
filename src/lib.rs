//! chat-room: live chat over one Amazon Kinesis stream.
//!
//! The modules are the stages of a message's way, in the order in which it passes them; below them
//! stand what all of them share and what joins them. ARCHITECTURE.md has the map and the reasons.
//!
//! What must always hold, cited by number throughout:
//! - **I1** A message acknowledged with 202 reaches every viewer of its room who stays connected, or
//!   resumes within the resume window, on every instance.
//! - **I2** A message is shown once, whatever was retried.
//! - **I3** Within a room all viewers on all instances see one order.
//! - **I4** Memory is bounded; one slow or hostile client costs itself, never the others.
//! - **I5** One bad record, failing shard or throttled call never stops the rest.
//! - **I6** Nothing waits for ever.
//! - **I7** Whoever reads the log never blocks whoever appends to it, nor the other way round.

pub mod http;
pub mod producer;
pub mod kinesis;
pub mod consumer;
pub mod log;
pub mod fanout;
pub mod connection;

pub mod embedded;
pub mod message;
pub mod telemetry;
pub mod tls;

pub mod cli;
pub mod config;
pub mod app;

#[cfg(test)]
mod fuzz;
