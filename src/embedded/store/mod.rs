//! All state of the service and every decision: streams, shards, records, consumers, subscriptions.
//!
//! Plain code: it takes the time as an argument and does no IO. Changes that take time (CREATING, UPDATING, DELETING)
//! are noted with the moment they are due and happen when the stream is next looked at after it ([`Store::settle`]);
//! nothing observable happens in between, for whoever looks settles first.

mod account;
mod consumer;
mod consumers;
mod hash;
mod journal;
mod ledger;
mod load;
mod rates;
mod recent;
mod records;
mod reshard;
mod sequence;
mod settings;
mod shard;
mod snapshot;
mod stream;
mod subscription;
mod tags;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use self::account::{AccountLimits, Commitment};
pub(crate) use self::consumer::Consumer;
pub(crate) use self::hash::{HashRange, of_partition_key};
pub(crate) use self::journal::{Commit, What};
pub(crate) use self::load::{Load, Loaded, Search};
pub(crate) use self::records::{Batch, Cursor, Look, Put, Stored};
pub(crate) use self::sequence::Sequence;
pub(crate) use self::settings::{Longer, Metric, Settings};
pub(crate) use self::shard::{
    Encoded, Record, Shard, Slice, Start, id as shard_id, number as shard_number,
};
pub(crate) use self::snapshot::{Extent, Globals, Horizon, StreamSnapshot};
pub(crate) use self::stream::{Mode, NewStream, Status, Stream};
pub(crate) use self::subscription::{ChildShard, Event, Step, SubscriptionId};
pub(crate) use self::tags::{Resource, Tags, admit};

use self::journal::Journal;
use self::ledger::Ledger;
use self::rates::Accounts;
use self::stream::{Change, Pending};
use self::subscription::{Lifetimes, Subscriptions};
use super::clock::{Now, millis};
use super::{Config, Error, Limits};

/// Streams that may be in CREATING at once, where that is limited.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>
const CREATING_AT_ONCE: usize = 5;
/// Shards of one stream, closed ones included, that have not been forgotten yet.
const SHARDS_PER_STREAM: usize = 10_000;
/// How often a stream looks for what retention has passed, in milliseconds.
const SWEEP_EVERY: u64 = 1_000;

/// The store.
#[derive(Debug)]
pub(crate) struct Store {
    config: Config,
    streams: BTreeMap<Arc<str>, Stream>,
    ledger: Ledger,
    /// What was prepared and is not to be seen yet.
    journal: Journal,
    subscriptions: Subscriptions,
    accounts: Accounts,
    account: Commitment,
    last_uid: u64,
    last_order: u64,
    /// The largest second in the sequence numbers of a shard whose stream was deleted.
    deleted_second: Option<u64>,
}

impl Store {
    pub(crate) fn new(config: Config) -> Self {
        let lifetimes = Lifetimes {
            subscription: millis(config.subscription_lifetime),
            // A heartbeat without a pause would be a busy loop.
            heartbeat: millis(config.heartbeat).max(1),
            limits: config.limits,
        };
        Self {
            config,
            streams: BTreeMap::new(),
            ledger: Ledger::default(),
            journal: Journal::default(),
            subscriptions: Subscriptions::new(lifetimes),
            accounts: Accounts::default(),
            account: Commitment::default(),
            last_uid: 0,
            last_order: 0,
            deleted_second: None,
        }
    }

    /// Subscriptions that were waiting and have something to do now. To be woken by the caller.
    pub(crate) fn take_woken(&mut self) -> Vec<SubscriptionId> {
        self.subscriptions.take_woken()
    }

    /// Bytes of all kept records, as counted against the bound.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.ledger.kept()
    }

    /// Live subscriptions.
    pub(crate) fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// Counts a call of an operation whose rate is limited for each account.
    ///
    /// # Errors
    ///
    /// `LimitExceeded`, when there were too many.
    pub(crate) fn count_call(
        &mut self,
        account: &str,
        operation: &str,
        now: Now,
    ) -> Result<(), Error> {
        if self.is_limited() && !self.accounts.admit(account, operation, now) {
            let text = format!("Rate exceeded for {operation} under account {account}.");
            return Err(Error::limit_exceeded(text));
        }
        Ok(())
    }

    /// Counts a call of an operation whose rate is limited for each stream.
    ///
    /// # Errors
    ///
    /// `LimitExceeded`, when there were too many.
    pub(crate) fn count_stream_call(
        &mut self,
        operation: &str,
        name: &str,
        now: Now,
    ) -> Result<(), Error> {
        let stream = self.streams.get_mut(name);
        if let Some(stream) = stream.filter(|_| self.config.limits == Limits::Aws)
            && !stream.calls.of_stream(operation, now)
        {
            return Err(Error::limit_exceeded(format!(
                "Rate exceeded for stream {name} under account {}.",
                self.config.account
            )));
        }
        Ok(())
    }

    fn is_limited(&self) -> bool {
        self.config.limits == Limits::Aws
    }

    /// All streams, in the order of their names.
    pub(crate) fn streams(&mut self, now: Now) -> impl Iterator<Item = &Stream> {
        let names: Vec<_> = self.streams.keys().cloned().collect();
        for name in names {
            self.settle(&name, now);
        }
        self.streams.values()
    }

    /// A stream by name.
    pub(crate) fn stream(&mut self, name: &str, now: Now) -> Result<&Stream, Error> {
        self.find(name, now).map(|stream| &*stream)
    }

    /// A stream that is about to be changed: what is known of it is written with the next commit.
    fn stream_mut(&mut self, name: &str, now: Now) -> Result<&mut Stream, Error> {
        let name = Arc::clone(&self.find(name, now)?.name);
        self.journal.changed(&name);
        self.find(&name, now)
    }

    fn find(&mut self, name: &str, now: Now) -> Result<&mut Stream, Error> {
        self.settle(name, now);
        let missing = || {
            Error::not_found(format!(
                "Stream {name} under account {} not found.",
                self.config.account
            ))
        };
        self.streams.get_mut(name).ok_or_else(missing)
    }

    /// Makes a stream. It is CREATING first.
    pub(crate) fn create_stream(&mut self, new: NewStream, now: Now) -> Result<(), Error> {
        self.settle(&new.name, now);
        if self.streams.contains_key(new.name.as_str()) {
            let (name, account) = (&new.name, &self.config.account);
            return Err(Error::in_use(format!(
                "Stream {name} under account {account} already exists."
            )));
        }
        if self.is_limited() {
            let streams = self.streams(now);
            let creating = streams.filter(|stream| stream.status == Status::Creating);
            if creating.count() >= CREATING_AT_ONCE {
                return Err(Error::limit_exceeded(format!(
                    "Account {} has {CREATING_AT_ONCE} streams in CREATING.",
                    self.config.account
                )));
            }
        }
        self.check_open_shards(new.shards as usize)?;
        if new.mode == Mode::OnDemand {
            self.check_on_demand()?;
        }
        settings::check_warm(new.warm_throughput, new.mode, self.account.is_enabled())?;
        self.last_uid += 1;
        // Above whatever a stream of this name gave, also in this second or when the clock ran back.
        let above = self.deleted_second.map_or(0, |second| second + 1);
        let second = (now.wall / 1000).max(above);
        let retention = millis(self.config.retention);
        let stream = Stream::new(new, self.last_uid, retention, second, now);
        let name = Arc::clone(&stream.name);
        self.streams.insert(Arc::clone(&name), stream);
        self.begin(&name, Change::Create, now);
        Ok(())
    }

    /// Deletes a stream. Its subscriptions end at once.
    pub(crate) fn delete_stream(
        &mut self,
        name: &str,
        with_consumers: bool,
        now: Now,
    ) -> Result<(), Error> {
        let account = self.config.account.clone();
        let stream = self.stream_mut(name, now)?;
        // "If the stream is in the ACTIVE state, you can delete it": API_DeleteStream.
        if matches!(stream.status, Status::Creating | Status::Updating) {
            let status = stream.status.name();
            return Err(Error::in_use(format!(
                "Stream {name} under account {account} not ACTIVE, instead in state {status}"
            )));
        }
        if !stream.consumers.is_empty() && !with_consumers {
            return Err(Error::in_use(format!(
                "Stream {name} under account {account} has registered consumers. Deregister them or set EnforceConsumerDeletion."
            )));
        }
        if stream.status == Status::Deleting {
            return Ok(());
        }
        let gone = Error::not_found(format!(
            "Stream {name} under account {account} was deleted."
        ));
        let consumers = std::mem::take(&mut stream.consumers);
        for lease in consumers
            .values()
            .flat_map(|consumer| consumer.leases.values())
        {
            self.subscriptions.end(lease.id, gone.clone());
        }
        self.begin(name, Change::Delete, now);
        Ok(())
    }

    /// Splits an open shard: the second child begins at `at`.
    pub(crate) fn split_shard(
        &mut self,
        name: &str,
        shard: &str,
        at: u128,
        now: Now,
    ) -> Result<(), Error> {
        self.check_open_shards(1)?;
        let account = self.config.account.clone();
        let stream = self.reshardable(name, now)?;
        let parent = open_shard(stream, shard, &account)?;
        let range = parent.range;
        let number = parent.number;
        // Both children must be wider than one hash key (observed).
        if at <= range.start.saturating_add(1) || at >= range.end {
            return Err(Error::invalid_argument(format!(
                "NewStartingHashKey {at} used in SplitShard() on shard {shard} in stream {name} under account {account} \
                 is not both greater than one plus the shard's StartingHashKey {} and less than the shard's EndingHashKey {}.",
                range.start, range.end
            )));
        }
        self.begin(name, Change::Split { shard: number, at }, now);
        Ok(())
    }

    /// Merges two open shards, of which the second directly follows the first.
    pub(crate) fn merge_shards(
        &mut self,
        name: &str,
        shard: &str,
        adjacent: &str,
        now: Now,
    ) -> Result<(), Error> {
        let account = self.config.account.clone();
        let stream = self.reshardable(name, now)?;
        let first = open_shard(stream, shard, &account)?;
        let second = open_shard(stream, adjacent, &account)?;
        if first.range.merge(second.range).is_none() {
            return Err(Error::invalid_argument(format!(
                "Shards {shard} and {adjacent} in stream {name} under account {account} are not an adjacent pair of shards \
                 eligible for merging"
            )));
        }
        let change = Change::Merge {
            shard: first.number,
            adjacent: second.number,
        };
        self.begin(name, change, now);
        Ok(())
    }

    /// Divides the hash space evenly among `target` shards. Returns how many there were.
    pub(crate) fn update_shard_count(
        &mut self,
        name: &str,
        target: u32,
        now: Now,
    ) -> Result<usize, Error> {
        let limit = self.config.open_shards;
        let others: usize = self
            .streams
            .values()
            .filter(|stream| *stream.name != *name)
            .map(Stream::open_count)
            .sum();
        let stream = self.reshardable(name, now)?;
        let (current, wanted) = (stream.open_count(), target as usize);
        let counts = format!("Current open shard count: {current}, Target shard count: {target}");
        if wanted.saturating_add(others) > limit {
            let text = format!(
                "Target shard count or number of open shards cannot be greater than {limit}. {counts}"
            );
            return Err(Error::limit_exceeded(text));
        }
        if wanted > current * 2 {
            let text = format!(
                "UpdateShardCount cannot scale up over double your current open shard count. {counts}"
            );
            return Err(Error::limit_exceeded(text));
        }
        if wanted * 2 < current {
            let text = format!(
                "UpdateShardCount cannot scale down below half your current open shard count. {counts}"
            );
            return Err(Error::limit_exceeded(text));
        }
        self.begin(name, Change::Resize { target }, now);
        Ok(current)
    }

    /// A stream whose shards may be changed now.
    fn reshardable(&mut self, name: &str, now: Now) -> Result<&mut Stream, Error> {
        let account = self.config.account.clone();
        if self.stream(name, now)?.settings.mode == Mode::OnDemand {
            return Err(Error::validation(format!(
                "Stream {name} under account {account} is in ON_DEMAND mode."
            )));
        }
        let stream = self.active(name, now)?;
        if stream.shards.len() >= SHARDS_PER_STREAM {
            return Err(Error::limit_exceeded(format!(
                "Stream {name} has {SHARDS_PER_STREAM} shards, most of them closed."
            )));
        }
        Ok(stream)
    }

    fn check_open_shards(&self, more: usize) -> Result<(), Error> {
        let (open, limit) = (
            self.streams.values().map(Stream::open_count).sum::<usize>(),
            self.config.open_shards,
        );
        if open.saturating_add(more) > limit {
            return Err(Error::limit_exceeded(format!(
                "This request would exceed the shard limit for the account {}. Current shard count: {open}. Limit: {limit}. \
                 Number of additional shards that would have resulted from this request: {more}.",
                self.config.account
            )));
        }
        Ok(())
    }

    /// Notes a change, and lets it happen if it takes no time.
    fn begin(&mut self, name: &str, change: Change, now: Now) {
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        stream.status = Status::during(&change);
        let at = now.steady.saturating_add(millis(self.config.creating_time));
        stream.pending = Some(Pending { at, change });
        self.journal.changed(&stream.name);
        // Whoever waits on this stream must look again when the change is due.
        for shard in stream.shards.values() {
            self.subscriptions.wake(&shard.subscribers);
        }
        self.settle(name, now);
    }

    /// Brings a stream up to date: the change that is due happens, what retention has passed goes.
    fn settle(&mut self, name: &str, now: Now) {
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        if stream.drop_consumers(now) {
            self.journal.changed(&stream.name);
        }
        if let Some(pending) = stream.pending.take_if(|pending| now.steady >= pending.at) {
            stream.status = Status::Active;
            self.journal.changed(&stream.name);
            match pending.change {
                Change::Create => {}
                Change::Delete => return self.remove(name),
                Change::Split { shard, at } => drop(stream.split(shard, at, now)),
                Change::Merge { shard, adjacent } => drop(stream.merge(shard, adjacent, now)),
                Change::Resize { target } => stream.resize(target, now),
                Change::Settings(settings) => {
                    stream.settings = *settings;
                    // Records that are kept no longer go at once.
                    stream.sweep_at = now.wall;
                }
            }
            let closed = stream.take_closed();
            if !closed.is_empty() {
                let (name, uid) = (Arc::clone(&stream.name), stream.uid);
                self.prepared(name, uid, What::Closed(closed));
            }
        }
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        if now.wall >= stream.sweep_at {
            stream.sweep_at = now.wall.saturating_add(SWEEP_EVERY);
            sweep(stream, &mut self.ledger, &mut self.journal, now);
        }
    }

    fn remove(&mut self, name: &str) {
        let Some(stream) = self.streams.remove(name) else {
            return;
        };
        self.journal.gone(stream.uid, None);
        for shard in stream.shards.values() {
            self.deleted_second = self.deleted_second.max(Some(shard.second));
            self.ledger.forget(shard);
            self.subscriptions.wake(&shard.subscribers);
        }
    }
}

/// Drops the records retention has passed, and the closed shards with them.
fn sweep(stream: &mut Stream, ledger: &mut Ledger, journal: &mut Journal, now: Now) {
    let horizon = now.wall.saturating_sub(stream.settings.retention);
    journal.expiring(stream.uid, horizon);
    for shard in stream.shards.values_mut() {
        while shard
            .oldest()
            .is_some_and(|record| record.arrival < horizon)
        {
            ledger.evict(shard);
            shard.trim_to_memory();
        }
    }
    let passed = |shard: &Shard| {
        shard
            .closed
            .as_ref()
            .is_some_and(|closed| closed.at < horizon)
    };
    stream.shards.retain(|_, shard| {
        let gone = passed(shard) && shard.oldest().is_none();
        if gone {
            journal.gone(stream.uid, Some(shard.number));
            journal.changed(&stream.name);
            for consumer in stream.consumers.values_mut() {
                consumer.leases.remove(&shard.number);
                consumer.subscribing.remove(&shard.number);
            }
        }
        !gone
    });
}

/// An open shard by its id.
fn open_shard<'a>(stream: &'a Stream, id: &str, account: &str) -> Result<&'a Shard, Error> {
    let shard = shard_number(id).and_then(|number| stream.shards.get(&number));
    let shard = shard.ok_or_else(|| {
        Error::not_found(format!(
            "Could not find shard {id} in stream {} under account {account}.",
            stream.name
        ))
    })?;
    if shard.closed.is_some() {
        return Err(Error::invalid_argument(format!(
            "Shard {id} in stream {} under account {account} has already been merged or split, and thus is not eligible \
             for merging or splitting.",
            stream.name
        )));
    }
    Ok(shard)
}
