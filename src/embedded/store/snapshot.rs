//! All that is to be known of a stream beside its records, in a form that lasts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::account::Commitment;
use super::consumer::Consumer;
use super::hash::HashRange;
use super::rates::Calls;
use super::sequence::Sequence;
use super::settings::Settings;
use super::shard::{Closed, Shard};
use super::stream::{Change, Pending, Status, Stream};
use super::{Store, Tags};
use crate::embedded::Config;

/// How far the numbers of a shard's records jump at a restart. More than can ever have been given before one and not
/// been stored, so that no number is given twice.
const RESTART_GAP: u64 = 1 << 32;

/// What is known beside the streams. New members need a default, so that older files can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Globals {
    last_uid: u64,
    deleted_second: Option<u64>,
    #[serde(default)]
    account: Commitment,
}

/// A stream without its records. New members need a default, so that older files can be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StreamSnapshot {
    name: String,
    pub(crate) uid: u64,
    created: u64,
    settings: Settings,
    tags: Tags,
    pending: Option<Change>,
    next_shard: u32,
    deregistered_second: Option<u64>,
    consumers: Vec<ConsumerSnapshot>,
    pub(crate) shards: Vec<ShardSnapshot>,
}

/// A consumer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ConsumerSnapshot {
    name: String,
    created: u64,
    second: u64,
    tags: Tags,
}

/// A shard without its records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ShardSnapshot {
    pub(crate) number: u32,
    parents: Vec<u32>,
    range: HashRange,
    created: u64,
    pub(crate) second: u64,
    /// Index and arrival time of the last record, as far as was known.
    last: (u64, u64),
    closed: Option<ClosedSnapshot>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ClosedSnapshot {
    at: u64,
    second: u64,
    children: Vec<u32>,
}

/// From where on the records of a shard are kept, now that retention has passed some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizon {
    pub(crate) uid: u64,
    pub(crate) shard: u32,
    /// Index of the first record.
    pub(crate) first: u64,
}

/// Where the records of a shard begin and end on disk: indices, and the arrival time of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) last_arrival: u64,
}

impl Stream {
    pub(super) fn snapshot(&self) -> StreamSnapshot {
        // Who is DELETING is gone after a restart.
        let (kept, gone): (Vec<_>, Vec<_>) = self
            .consumers
            .values()
            .partition(|consumer| consumer.gone_at.is_none());
        let gone_second = gone.iter().map(|consumer| consumer.second).max();
        let consumers = kept.into_iter().map(|consumer| ConsumerSnapshot {
            name: consumer.name.to_string(),
            created: consumer.created,
            second: consumer.second,
            tags: consumer.tags.clone(),
        });
        StreamSnapshot {
            name: self.name.to_string(),
            uid: self.uid,
            created: self.created,
            settings: self.settings.clone(),
            tags: self.tags.clone(),
            pending: self.pending.as_ref().map(|pending| pending.change.clone()),
            next_shard: self.next_shard,
            deregistered_second: self.deregistered_second.max(gone_second),
            consumers: consumers.collect(),
            shards: self.shards.values().map(Shard::snapshot).collect(),
        }
    }

    fn restore(snapshot: StreamSnapshot, extents: &HashMap<(u64, u32), Extent>) -> Self {
        let consumers = snapshot.consumers.into_iter().map(|consumer| {
            let name: Arc<str> = consumer.name.into();
            let consumer = Consumer {
                name: Arc::clone(&name),
                created: consumer.created,
                tags: consumer.tags,
                second: consumer.second,
                active_at: 0,
                gone_at: None,
                leases: HashMap::new(),
                subscribing: HashMap::new(),
            };
            (name, consumer)
        });
        let uid = snapshot.uid;
        let shards = snapshot.shards.into_iter().map(|shard| {
            let extent = extents.get(&(uid, shard.number)).copied();
            (shard.number, Shard::restore(shard, extent))
        });
        let status = snapshot.pending.as_ref().map(Status::during);
        let mut stream = Self {
            name: snapshot.name.into(),
            uid,
            created: snapshot.created,
            status: status.unwrap_or(Status::Active),
            settings: snapshot.settings,
            tags: snapshot.tags,
            shards: shards.collect(),
            consumers: consumers.collect(),
            deregistered_second: snapshot.deregistered_second,
            // What was under way is done at the first look.
            pending: snapshot.pending.map(|change| Pending { at: 0, change }),
            calls: Calls::default(),
            sweep_at: 0,
            open: Vec::new(),
            next_shard: snapshot.next_shard,
            closed: Vec::new(),
        };
        stream.index_open();
        stream
    }
}

impl Shard {
    fn snapshot(&self) -> ShardSnapshot {
        ShardSnapshot {
            number: self.number,
            parents: self.parents.clone(),
            range: self.range,
            created: self.created,
            second: self.second,
            last: (self.last.index(), self.last_arrival),
            closed: self.closed.as_ref().map(|closed| ClosedSnapshot {
                at: closed.at,
                second: closed.ending.second(),
                children: closed.children.clone(),
            }),
        }
    }

    fn restore(snapshot: ShardSnapshot, extent: Option<Extent>) -> Self {
        let ShardSnapshot { number, second, .. } = snapshot;
        let now = crate::embedded::clock::Now {
            wall: snapshot.created,
            steady: 0,
        };
        let mut shard = Self::new(number, snapshot.parents, snapshot.range, second, now);
        let (mut last, mut last_arrival) = snapshot.last;
        if let Some(extent) = extent.filter(|extent| extent.last >= last) {
            (last, last_arrival) = (extent.last, last_arrival.max(extent.last_arrival));
        }
        if last > 0 {
            let of_last = extent.map_or(last_arrival, |extent| extent.last_arrival);
            shard.last = Sequence::new(second, number, last, of_last / 1000);
        }
        shard.last_arrival = last_arrival;
        shard.next = last + 1 + RESTART_GAP;
        shard.in_memory_from = last + 1;
        shard.horizon = extent.map_or(last + 1, |extent| extent.first);
        let ended = snapshot.closed;
        shard.closed = ended.map(|closed| Closed {
            at: closed.at,
            ending: Sequence::new(second, number, super::sequence::MAX_INDEX, closed.second),
            children: closed.children,
        });
        shard
    }
}

impl Store {
    /// What is known beside the streams.
    pub(super) fn globals(&self) -> Globals {
        Globals {
            last_uid: self.last_uid,
            deleted_second: self.deleted_second,
            account: self.account,
        }
    }

    /// A store with what was kept on disk.
    pub(crate) fn restore(
        config: Config,
        globals: &Globals,
        streams: Vec<StreamSnapshot>,
        extents: &HashMap<(u64, u32), Extent>,
    ) -> Self {
        let mut store = Self::new(config);
        store.last_uid = globals.last_uid;
        store.deleted_second = globals.deleted_second;
        store.account = globals.account;
        let streams = streams.into_iter().map(|snapshot| {
            let stream = Stream::restore(snapshot, extents);
            (Arc::clone(&stream.name), stream)
        });
        store.streams = streams.collect::<BTreeMap<_, _>>();
        store.journal.is_kept = true;
        store
    }
}
