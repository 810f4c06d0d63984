//! Ends the registrations of instances that are gone, which else would be billed for ever and use
//! up the stream's few consumers. [`super::orphans`] decides; this asks and does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::metrics::{Counter, counter, gauge};
use tokio::sync::{Notify, watch};

use super::Facts;
use super::orphans::Orphans;
use super::readiness::Readiness;
use super::requirements::HeadRoom;
use crate::kinesis::{ConsumerArn, Error, ErrorKind, Kinesis, RegisteredConsumer, Tags};
use crate::message::{Heartbeat, Timestamp};
use crate::telemetry::names;

/// Where the readers of all shards bring the heartbeats they read.
#[derive(Debug)]
pub(super) struct Heard {
    orphans: Mutex<Orphans>,
    own: Notify,
    own_read: Counter,
    others_read: Counter,
}

impl Heard {
    pub(super) fn new(orphans: Orphans) -> Self {
        let read = |whose: &'static str| counter!(names::CONSUMER_HEARTBEATS, "whose" => whose);
        Self {
            orphans: Mutex::new(orphans),
            own: Notify::new(),
            own_read: read("own"),
            others_read: read("other"),
        }
    }

    /// A heartbeat was read that the stream took then.
    pub(super) fn hear(&self, heartbeat: &Heartbeat, arrival: Timestamp) {
        if self.orphans().heard(heartbeat, arrival) {
            self.own_read.increment(1);
            self.own.notify_one();
        } else {
            self.others_read.increment(1);
        }
    }

    fn orphans(&self) -> MutexGuard<'_, Orphans> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after each heartbeat of our own whether others are missing.
#[derive(Debug)]
pub(super) struct Reaper {
    pub(super) kinesis: Kinesis,
    pub(super) heard: Arc<Heard>,
    pub(super) readiness: watch::Receiver<Readiness>,
    pub(super) facts: watch::Receiver<Facts>,
    /// What was asked for once; of those that are still registered.
    pub(super) tags: HashMap<ConsumerArn, Option<Tags>>,
}

impl Reaper {
    pub(super) async fn run(mut self) {
        let mut was_low = false;
        loop {
            self.heard.own.notified().await;
            let head_room = match self.look().await {
                Ok(head_room) => head_room,
                Err(error) => {
                    tracing::warn!(%error, "cannot look for consumers of instances that are gone");
                    continue;
                }
            };
            let low = head_room.filter(|room| room.is_low());
            if let Some(HeadRoom { registered, limit }) = low.filter(|_| !was_low) {
                tracing::warn!(
                    registered,
                    limit,
                    "the stream can hardly take further consumers: deregister those that nobody \
                     uses, or start further instances with --consumer polling"
                );
            }
            was_low = low.is_some();
        }
    }

    fn is_caught_up(&self) -> bool {
        let readiness = self.readiness.borrow();
        readiness.ready && !readiness.shards.is_empty() && readiness.behind().next().is_none()
    }

    async fn look(&mut self) -> Result<Option<HeadRoom>, Error> {
        if !self.heard.orphans().may_judge() || !self.is_caught_up() {
            return Ok(None);
        }
        let summary = self.kinesis.describe_summary().await?;
        if let Some(room) = HeadRoom::of(&summary) {
            gauge!(names::CONSUMER_REGISTERED).set(f64::from(room.registered));
            gauge!(names::CONSUMER_REGISTERED_LIMIT).set(f64::from(room.limit));
        }
        let registered = self.kinesis.list_consumers(&summary.arn).await?;
        self.tags
            .retain(|arn, _| registered.iter().any(|consumer| consumer.arn == *arn));
        for consumer in registered {
            let is_silent = self.heard.orphans().is_silent(&consumer);
            if is_silent && !self.is_own(&consumer) {
                self.suspect(&consumer).await?;
            }
        }
        Ok(HeadRoom::of(&summary))
    }

    fn is_own(&self, consumer: &RegisteredConsumer) -> bool {
        self.facts.borrow().consumer.as_deref() == Some(&consumer.name)
    }

    async fn suspect(&mut self, consumer: &RegisteredConsumer) -> Result<(), Error> {
        if !self.tags.contains_key(&consumer.arn) {
            let tags = match self.kinesis.tags(consumer).await {
                Ok(tags) => Some(tags),
                Err(error) if error.is_retryable() => return Err(error),
                // Not there, or not for us: then only what heartbeats have named counts.
                Err(error) => {
                    tracing::debug!(consumer = %consumer.name, %error, "cannot read its tags");
                    None
                }
            };
            self.tags.insert(consumer.arn.clone(), tags);
        }
        let tags = self.tags.get(&consumer.arn).and_then(Option::as_ref);
        let is_orphan = {
            let orphans = self.heard.orphans();
            // A sign may have come meanwhile.
            orphans.is_ours(consumer, tags) && orphans.is_silent(consumer)
        };
        if !is_orphan || !self.is_caught_up() {
            return Ok(());
        }
        match self.kinesis.deregister_consumer(&consumer.arn).await {
            Ok(()) => {
                counter!(names::CONSUMER_ORPHANS).increment(1);
                tracing::warn!(
                    consumer = %consumer.name,
                    "deregistered a consumer whose instance has given no sign for too long"
                );
                Ok(())
            }
            // Somebody else was faster.
            Err(error) if error.kind() == ErrorKind::ResourceNotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
