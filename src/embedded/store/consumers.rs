//! Registering consumers, and their subscriptions.

use std::collections::HashMap;
use std::sync::Arc;

use super::consumer::{Consumer, Lease};
use super::load::Loaded;
use super::shard::Start;
use super::subscription::{Step, Subject, SubscriptionId};
use super::{Status, Store, Stream, Tags, rates, records};
use crate::embedded::Error;
use crate::embedded::clock::{Now, millis};

/// Consumers of one stream that may be in CREATING at once.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html>
const CREATING_AT_ONCE: usize = 5;

impl Store {
    /// Registers a consumer. It is CREATING first.
    pub(crate) fn register_consumer(
        &mut self,
        stream: &str,
        name: &str,
        tags: Tags,
        now: Now,
    ) -> Result<&Consumer, Error> {
        let account = self.config.account.clone();
        let limit = self.config.consumers_per_stream;
        let creating_time = millis(self.config.creating_time);
        let stream = self.stream_mut(stream, now)?;
        match stream.status {
            Status::Active | Status::Updating => {}
            Status::Creating => {
                return Err(Error::in_use(format!(
                    "Stream {} under account {account} is in state CREATING.",
                    stream.name
                )));
            }
            Status::Deleting => {
                return Err(Error::not_found(format!(
                    "Stream {} under account {account} not found.",
                    stream.name
                )));
            }
        }
        if stream.consumers.contains_key(name) {
            return Err(Error::in_use(format!(
                "Consumer {name} under stream {} already exists for account {account}.",
                stream.name
            )));
        }
        let creating = stream
            .consumers
            .values()
            .filter(|consumer| consumer.is_creating(now))
            .count();
        if stream.consumers.len() >= limit || creating >= CREATING_AT_ONCE {
            return Err(Error::limit_exceeded(format!(
                "Stream {} under account {account} has {} consumers, {creating} of them in CREATING; it may have {limit}, \
                 {CREATING_AT_ONCE} of them in CREATING.",
                stream.name,
                stream.consumers.len()
            )));
        }
        let second =
            (now.wall / 1000).max(stream.deregistered_second.map_or(0, |second| second + 1));
        let name: Arc<str> = name.into();
        let consumer = Consumer {
            name: Arc::clone(&name),
            created: now.wall,
            tags,
            second,
            active_at: now.steady.saturating_add(creating_time),
            gone_at: None,
            leases: HashMap::new(),
            subscribing: HashMap::new(),
        };
        Ok(stream.consumers.entry(name).or_insert(consumer))
    }

    /// Deregisters a consumer. Its subscriptions end at once; it is DELETING first.
    pub(crate) fn deregister_consumer(
        &mut self,
        stream: &str,
        name: &str,
        now: Now,
    ) -> Result<(), Error> {
        let creating_time = millis(self.config.creating_time);
        self.settle(stream, now);
        // Not through `stream_mut`: the subscriptions are ended beside the stream.
        let consumer = self
            .streams
            .get_mut(stream)
            .and_then(|stream| stream.consumers.get_mut(name))
            .filter(|consumer| consumer.gone_at.is_none())
            .ok_or_else(|| no_consumer(name))?;
        consumer.gone_at = Some(now.steady.saturating_add(creating_time));
        let gone = Error::not_found(format!("Consumer {name} was deregistered."));
        for (_, lease) in consumer.leases.drain() {
            self.subscriptions.end(lease.id, gone.clone());
        }
        if let Some(stream) = self.streams.get(stream) {
            self.journal.changed(&stream.name);
        }
        self.settle(stream, now);
        Ok(())
    }

    /// Subscribes a consumer to a shard.
    ///
    /// A second call within the take-over time of a successful one is refused, whatever became of that one; later it
    /// takes over, and the older subscription ends. Where rates are limited, a call soon after one that failed is refused
    /// too, with `LimitExceeded`.
    pub(crate) fn subscribe(
        &mut self,
        stream: &str,
        consumer: &str,
        shard: &str,
        start: Start,
        now: Now,
    ) -> Result<SubscriptionId, Error> {
        let account = self.config.account.clone();
        let takeover_after = millis(self.config.takeover_after);
        let is_limited = self.is_limited();
        self.settle(stream, now);
        // Not through `stream_mut`: the subscriptions are changed beside the stream.
        let stream = self
            .streams
            .get_mut(stream)
            .ok_or_else(|| no_consumer(consumer))?;
        let found = stream
            .consumers
            .get(consumer)
            .ok_or_else(|| no_consumer(consumer))?;
        if !found.is_active(now) {
            return Err(Error::in_use(format!(
                "Consumer {consumer} with creation timestamp {} under stream: {}, account {account} is not in ACTIVE status.",
                found.second, stream.name
            )));
        }
        let number = records::shard(stream, shard, &account)?.number;
        let found = stream
            .consumers
            .get_mut(consumer)
            .ok_or_else(|| no_consumer(consumer))?;
        let former = found.leases.get(&number).copied();
        if former.is_some_and(|lease| now.steady < lease.since.saturating_add(takeover_after)) {
            return Err(Error::in_use(format!(
                "Another active subscription exists for this consumer: {consumer}:{} and shard {shard}",
                found.second
            )));
        }
        if is_limited {
            let rate = found.subscribing.entry(number);
            if !rate.or_insert_with(rates::subscribing).try_take(1, now) {
                return Err(Error::limit_exceeded(format!(
                    "Rate exceeded for consumer {consumer}:{} and shard {shard}",
                    found.second
                )));
            }
        }
        let next = records::shard(stream, shard, &account)?.locate(start, now)?;
        let subject = Subject {
            stream: Arc::clone(&stream.name),
            stream_uid: stream.uid,
            shard: number,
        };
        let id = self.subscriptions.open(subject, next, now);
        if let Some(consumer) = stream.consumers.get_mut(consumer) {
            consumer.leases.insert(
                number,
                Lease {
                    id,
                    since: now.steady,
                },
            );
        }
        if let Some(shard) = stream.shards.get_mut(&number) {
            shard.subscribers.push(id);
        }
        if let Some(former) = former {
            let text = format!("Another subscription of this consumer to shard {shard} took over.");
            self.subscriptions.end(former.id, Error::in_use(text));
        }
        Ok(id)
    }

    /// What a subscription does next, with what it wanted loaded.
    pub(crate) fn next(&mut self, id: SubscriptionId, loaded: Option<Loaded>, now: Now) -> Step {
        let Some(subject) = self.subscriptions.subject(id) else {
            return Step::End(None);
        };
        let (name, uid) = (Arc::clone(&subject.stream), subject.stream_uid);
        self.settle(&name, now);
        let stream = self.streams.get(&name).filter(|stream| stream.uid == uid);
        let step = self.subscriptions.next(id, stream, loaded, now);
        if matches!(step, Step::End(_)) {
            self.unsubscribe(id);
        }
        step
    }

    /// Forgets a subscription: its client is gone.
    pub(crate) fn unsubscribe(&mut self, id: SubscriptionId) {
        let Some(subject) = self.subscriptions.close(id) else {
            return;
        };
        let stream = self
            .streams
            .get_mut(&subject.stream)
            .filter(|stream: &&mut Stream| stream.uid == subject.stream_uid);
        if let Some(shard) = stream.and_then(|stream| stream.shards.get_mut(&subject.shard)) {
            shard.subscribers.retain(|subscriber| *subscriber != id);
        }
    }
}

fn no_consumer(name: &str) -> Error {
    Error::not_found(format!("Consumer {name} not found."))
}
