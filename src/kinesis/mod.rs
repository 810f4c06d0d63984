//! The stream, as the rest of the program sees it.
//!
//! # What
//! [`Kinesis`] is a handle on one stream: typed calls, typed answers, typed errors. [`shard`] has
//! the stream's geography, [`kpl`] the format in which many messages share a record.
//!
//! # How
//! Every call goes through the real `aws-sdk-kinesis` client, also to the embedded service, which
//! it reaches through an in-process connector ([`Endpoint::InProcess`]). Puts and reads have an
//! HTTP client each: HTTP/2 flow control is per connection as well as per stream, so a
//! subscription that is not drained must never be able to hold up a put.
//!
//! A call that got no answer in time makes its connection suspect, and the next goes over another;
//! subscriptions are spread over several ([`connections`]).
//!
//! # Limits
//! Every call is ended by a time limit of its own ([`Config`]). `SubscribeToShard` is given one for
//! its opening only; an open subscription that goes silent is for the caller's watchdog to end.
//! The SDK retries control calls (listing, describing, registering) a stated number of times;
//! it never retries `PutRecords`, `SubscribeToShard` and `GetRecords`, whose callers know better.
//!
//! # Invariants
//! - I6: nothing here waits for ever.
//! - No answer of the service is trusted to be well-formed: what is not is [`ErrorKind::Protocol`].
//! - Errors never carry message bodies, keys or tokens.

mod client;
mod connections;
mod control;
mod convert;
mod error;
mod probe;
mod records;
mod subscription;
mod tls;

#[cfg(test)]
mod tests;

pub mod kpl;
pub mod shard;

pub use client::{Config, Endpoint, Kinesis, connect};
pub use control::{
    ConsumerArn, ConsumerStatus, Distribution, RegisteredConsumer, StreamArn, StreamStatus,
    Summary, Tags,
};
pub use error::{Error, ErrorKind};
pub use probe::{Permission, Verdict};
pub use records::{Batch, PutEntry, PutOutcome, Record, ShardIterator, StartingPosition};
pub use shard::{ChildShard, HashKeyRange, Shard, ShardId};
pub use subscription::{Event, Subscription};
