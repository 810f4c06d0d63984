//! A stream: its shards, its consumers, and the change it is going through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::consumer::Consumer;
use super::hash::{self, HashRange};
use super::rates::Calls;
use super::settings::Settings;
use super::shard::Shard;
use super::tags::Tags;
use crate::embedded::clock::Now;

/// The state of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Active,
    Updating,
    Deleting,
}

impl Status {
    /// The state of a stream while it changes.
    pub(super) fn during(change: &Change) -> Self {
        match change {
            Change::Create => Self::Creating,
            Change::Delete => Self::Deleting,
            Change::Split { .. }
            | Change::Merge { .. }
            | Change::Resize { .. }
            | Change::Settings(_) => Self::Updating,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}

/// How a stream is paid for on AWS; here it decides only who may reshard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    Provisioned,
    OnDemand,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Provisioned => "PROVISIONED",
            Self::OnDemand => "ON_DEMAND",
        }
    }
}

/// What a stream will have done once its time is up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Change {
    Create,
    Delete,
    Split { shard: u32, at: u128 },
    Merge { shard: u32, adjacent: u32 },
    Resize { target: u32 },
    Settings(Box<Settings>),
}

#[derive(Debug)]
pub(super) struct Pending {
    /// Steady time.
    pub(super) at: u64,
    pub(super) change: Change,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: Arc<str>,
    /// Tells streams of one name apart.
    pub(crate) uid: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) created: u64,
    pub(crate) status: Status,
    pub(crate) settings: Settings,
    pub(crate) tags: Tags,
    /// By number: open ones, and closed ones until retention has passed them.
    pub(crate) shards: BTreeMap<u32, Shard>,
    pub(crate) consumers: BTreeMap<Arc<str>, Consumer>,
    /// The largest second in the ARN of a consumer that was deregistered.
    pub(super) deregistered_second: Option<u64>,
    pub(super) pending: Option<Pending>,
    pub(super) calls: Calls,
    /// Wall time of the next look at what retention has passed.
    pub(super) sweep_at: u64,
    /// The open shards by the end of their range: whose a hash is, by binary search.
    pub(super) open: Vec<(u128, u32)>,
    pub(super) next_shard: u32,
    /// Shards that were closed since this was last asked.
    pub(super) closed: Vec<u32>,
}

/// What a new stream is to be.
#[derive(Debug, Clone)]
pub(crate) struct NewStream {
    pub(crate) name: String,
    pub(crate) shards: u32,
    pub(crate) mode: Mode,
    pub(crate) max_record: usize,
    /// MiB/s; 0 if nobody asked for any.
    pub(crate) warm_throughput: u32,
    pub(crate) tags: Tags,
}

impl Stream {
    /// A stream whose shards' sequence numbers begin with `second`.
    pub(super) fn new(new: NewStream, uid: u64, retention: u64, second: u64, now: Now) -> Self {
        let mut stream = Self {
            name: new.name.into(),
            uid,
            created: now.wall,
            status: Status::Creating,
            settings: Settings {
                mode: new.mode,
                retention,
                max_record: new.max_record,
                key: None,
                metrics: BTreeSet::new(),
                warm_throughput: new.warm_throughput,
            },
            tags: new.tags,
            shards: BTreeMap::new(),
            consumers: BTreeMap::new(),
            deregistered_second: None,
            pending: None,
            calls: Calls::default(),
            sweep_at: now.wall,
            open: Vec::new(),
            next_shard: 0,
            closed: Vec::new(),
        };
        for range in hash::even(new.shards) {
            stream.insert_shard(Vec::new(), range, second, now);
        }
        stream.index_open();
        stream
    }

    /// Adds an open shard, whose sequence numbers begin above those of its parents. Call [`Stream::index_open`] after.
    pub(super) fn add_shard(&mut self, parents: Vec<u32>, range: HashRange, now: Now) -> u32 {
        let above = parents
            .iter()
            .filter_map(|parent| self.shards.get(parent))
            .map(|parent| parent.second + 1)
            .max();
        let second = (now.wall / 1000).max(above.unwrap_or(0));
        self.insert_shard(parents, range, second, now)
    }

    fn insert_shard(&mut self, parents: Vec<u32>, range: HashRange, second: u64, now: Now) -> u32 {
        let number = self.next_shard;
        self.next_shard += 1;
        self.shards
            .insert(number, Shard::new(number, parents, range, second, now));
        number
    }

    /// Closes a shard that others follow.
    pub(super) fn close(&mut self, shard: u32, children: &[u32], now: Now) {
        if let Some(shard) = self.shards.get_mut(&shard) {
            shard.close(children.to_vec(), now);
            self.closed.push(shard.number);
        }
    }

    /// The shards that were closed since this was last asked.
    pub(super) fn take_closed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.closed)
    }

    pub(super) fn index_open(&mut self) {
        self.open = self
            .open_shards()
            .map(|shard| (shard.range.end, shard.number))
            .collect();
        self.open.sort_unstable();
    }

    pub(crate) fn open_shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.values().filter(|shard| shard.closed.is_none())
    }

    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The open shard a hash belongs to.
    pub(super) fn owner(&mut self, hash: u128) -> Option<&mut Shard> {
        let at = self.open.partition_point(|(end, _)| *end < hash);
        let (_, number) = self.open.get(at)?;
        self.shards.get_mut(number)
    }

    /// Forgets the consumers whose deregistration is done; whether there were any.
    pub(super) fn drop_consumers(&mut self, now: Now) -> bool {
        let before = self.consumers.len();
        let latest = &mut self.deregistered_second;
        self.consumers.retain(|_, consumer| {
            let is_gone = consumer.gone_at.is_some_and(|at| now.steady >= at);
            if is_gone {
                *latest = (*latest).max(Some(consumer.second));
            }
            !is_gone
        });
        self.consumers.len() < before
    }

    /// Whether records can be written and read.
    pub(super) fn is_usable(&self) -> bool {
        matches!(self.status, Status::Active | Status::Updating)
    }

    /// The steady time of the next change, if one is under way.
    pub(super) fn pending_at(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.at)
    }
}
