//! From a message to a record that is stored, and to the receipt that says so.
//!
//! # What
//! [`Publisher::publish`] takes a draft and returns its [`Receipt`] when the stream has it. In
//! between, one task (the dispatcher) owns a *lane* per open shard.
//!
//! # How
//! The request in flight is the linger: a lane has at most one `PutRecords` call under way, and
//! what arrives meanwhile becomes the next one, packed into KPL aggregates. After an answer
//! those it was for are waited for, for a moment, if they are such as send again at once
//! ([`company`]). Everything that is
//! decided is decided by [`lanes::Lanes`], which does no IO and takes the time as an argument;
//! the dispatcher only carries calls out and answers back.
//!
//! # Limits
//! Records: 1 MiB, of which aggregates are filled up to 100,000 bytes (four PUT units of 25 KB); calls: 500 records,
//! 1 MiB (one second of a shard). Source: the Kinesis service quotas. Waiting messages and their
//! bytes: [`Config`]. A caller waits for [`Config::publish_timeout`] at most, a call takes
//! [`Config::call_timeout`] at most.
//!
//! # Invariants
//! - I1: a receipt means that the record is stored in the shard that owns every room in it.
//! - I3: the first occurrences of a room's messages in the stream are in the order in which the
//!   dispatcher took them, whatever fails in between. Within a call a room is in one record only;
//!   what was not stored goes first in the next; when a shard closes, its lane's answer is
//!   awaited, what is not stored goes to the head of the children's lanes, and only then may
//!   those send.
//! - I4: the backlog is bounded by messages and by bytes; past that, publishing fails at once.
//! - I6: no wait without a limit.

mod batch;
mod call;
mod company;
mod dispatcher;
mod judge;
mod lane;
mod map;
mod metrics;
mod publisher;
mod queue;
mod refresh;

pub mod lanes;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use uuid::Uuid;

use crate::message::{Position, Room};

pub use publisher::{ProducerTask, Publisher, start};

/// How much may wait, how long, and how it is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The most messages that are accepted and not yet stored. Above it: [`PublishError::Full`].
    pub queue_messages: usize,
    /// The most bytes of theirs.
    pub queue_bytes: usize,
    /// How long a caller waits for its receipt. Its message stays queued nevertheless.
    pub publish_timeout: Duration,
    /// How long one `PutRecords` call may take. After that its messages are put again, with the
    /// same ids: what was in fact written then is a repeat, which readers drop.
    pub call_timeout: Duration,
    /// The stream's limit on a record, in bytes, partition key included, until
    /// [`Publisher::limit_records`] says what it is.
    pub record_limit: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_messages: 10_000,
            queue_bytes: 16 << 20,
            publish_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(5),
            record_limit: 1 << 20,
        }
    }
}

/// What proves that a message is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message's id.
    pub id: Uuid,
    /// Its room.
    pub room: Room,
    /// Where it stands in the stream. Put twice, it stands there twice; this is one of the two.
    pub position: Position,
}

/// Why there is no receipt. Unless said otherwise the message may still get stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Too much is waiting already; this message was not taken.
    #[error("too many messages are waiting to be stored")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// The stream refuses it, or keeps sending it to the wrong shard.
    #[error("the stream does not take messages")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// It was not stored in time.
    #[error("the message was not stored in time")]
    Timeout,
    /// It does not fit into a record; it was not taken.
    #[error("the message has {bytes} bytes, a record may have {limit}")]
    TooLarge {
        /// How large it is as a record.
        bytes: usize,
        /// How large a record may be.
        limit: usize,
    },
    /// The producer is stopping.
    #[error("the server is stopping")]
    Closing,
}
