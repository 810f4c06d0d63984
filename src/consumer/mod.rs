//! From the stream into the log: reads every shard, as long as there is one.
//!
//! # What
//! [`start`] makes this instance a consumer of the stream. What it reads it appends to the
//! [`Log`]: decoded, without repeats, each room in the order of the stream.
//!
//! # How
//! Pure cores decide, thin shells do. `registration` has this instance's registered consumer
//! (`enrolment` asks the service about it, `news` tells the others);
//! `lineage` knows which shards there are and which may be read, `schedule` when to list them; a `shard` machine says when
//! to subscribe, to listen and to wait, and `reader` does it; `process` takes each event
//! through `decode` and `repeats` to the log. A `supervisor` task owns all of them.
//! Where no consumer can be registered, `poll` paces `GetRecords` behind the same processing.
//!
//! Instances know of each other by heartbeats in the stream. Whoever runs this writes those of
//! [`Facts::heartbeat`]; those of others are read here, and where one is missing for long, the
//! `reaper` ends the registration that its instance left behind (`orphans` has the rule).
//!
//! # Limits
//! A subscription without an event for 15–20 s is given up; every call has the time limit of
//! [`Kinesis`]. What fails at run time is tried again for ever, at most every 30 s (every 5 min
//! when another process uses this consumer's name). Ids are kept for ten minutes of stream time
//! (see `repeats` for what that costs).
//!
//! # Invariants
//! - I1: a subscription begins exactly behind the last event that was processed, or at the chosen
//!   start; never at LATEST. An event is processed whole or not at all.
//! - I2: a room and id that occurred in the last ten minutes of stream time are not shown again; a
//!   record that is delivered twice is processed once.
//! - I3: a shard is read only when its parents were read to their end, and once.
//! - I5: no record stops its shard, no shard stops the others.

mod backoff;
mod config;
mod cursor;
mod decode;
mod enrolment;
mod error;
mod lineage;
mod name;
mod news;
mod orphans;
mod poll;
mod process;
mod reader;
mod readiness;
mod reaper;
mod registration;
mod repeats;
mod requirements;
mod schedule;
mod shard;
mod supervisor;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use config::{Config, Mode, Start};
pub use error::Error;
pub use poll::PollRules;
pub use readiness::{Readiness, ShardState, ShardStatus};
pub use requirements::{HeadRoom, check_stream};
pub use shard::Rules;

use crate::kinesis::Kinesis;
use crate::log::Log;
use crate::message::{Heartbeat, Timestamp};
use registration::Registrar;
use supervisor::Supervisor;

/// A running consumer. Dropped without [`stop`](Self::stop), it ends at once and leaves its
/// registration behind.
#[derive(Debug)]
pub struct Consumer {
    name: String,
    readiness: watch::Receiver<Readiness>,
    facts: watch::Receiver<Facts>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// What others want to know of this consumer and its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// This instance; another one after every start.
    pub instance: Uuid,
    /// The name of its registered consumer, while it has one.
    pub consumer: Option<Box<str>>,
    /// The stream's limit on a record, in bytes, once it is known.
    pub record_limit: Option<usize>,
}

impl Facts {
    fn new() -> Self {
        Self {
            instance: Uuid::new_v4(),
            consumer: None,
            record_limit: None,
        }
    }

    /// What this instance has to say on the stream, about once a minute.
    pub fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            instance: self.instance,
            consumer: self.consumer.clone(),
        }
    }
}

/// Starts to read the stream into the log. Returns when the consumer is registered, or when that
/// has to be tried again; reading goes on by itself.
///
/// # Errors
/// What trying again would not cure: [`Error`].
pub async fn start(kinesis: Kinesis, log: Arc<Log>, config: Config) -> Result<Consumer, Error> {
    let beginning = config.beginning(Timestamp::now());
    let (mut registrar, news) = Registrar::new(kinesis.clone(), config.clone())?;
    registrar.begin().await?;
    let name = registrar.name().to_owned();
    let facts = news.facts.clone();
    let (supervisor, requests, readiness) = Supervisor::new(kinesis, log, config, beginning, news);
    let (stop, stops) = oneshot::channel();
    let task = tokio::spawn(supervisor.run(registrar, requests, stops));
    Ok(Consumer {
        name,
        readiness,
        facts,
        stop: Some(stop),
        task,
    })
}

impl Consumer {
    /// The registered consumer's name, as it was at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether every shard was read to its tip once, and which are behind.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }

    /// What others want to know of it, as it changes.
    pub fn facts(&self) -> watch::Receiver<Facts> {
        self.facts.clone()
    }

    /// Ends all readers and then the registration. Within `limit`, or it is left behind.
    pub async fn stop(mut self, limit: Duration) {
        if let Some(stop) = self.stop.take() {
            // If nobody listens, it has ended.
            let _ = stop.send(());
        }
        if tokio::time::timeout(limit, &mut self.task).await.is_err() {
            tracing::warn!(consumer = %self.name, "no time to stop the consumer in order");
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
