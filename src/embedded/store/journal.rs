//! What was decided and is not to be seen yet.
//!
//! A put gives its records their numbers and notes them here; so does the end of a shard. One after the other, in the
//! order in which they were decided, they become visible: at once where the store lives in memory only, else when they
//! are on disk. With them goes, whenever it has changed, all else that is known of a stream ([`StreamSnapshot`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::shard::Record;
use super::snapshot::{Globals, Horizon, StreamSnapshot};
use super::{Store, Stream};

/// Bytes of records that are committed at once, about: what one commit keeps in memory twice.
const AT_ONCE: usize = 8 << 20;

/// Something that becomes visible at once.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) stream: Arc<str>,
    /// Which stream of that name.
    pub(crate) uid: u64,
    pub(crate) what: What,
}

/// What becomes visible.
#[derive(Debug)]
pub(crate) enum What {
    /// The records of one put, each with its shard's number.
    Records(Vec<(u32, Arc<Record>)>),
    /// That these shards have ended.
    Closed(Vec<u32>),
}

impl Entry {
    fn cost(&self) -> usize {
        match &self.what {
            What::Records(records) => records.iter().map(|(_, record)| record.cost()).sum(),
            What::Closed(_) => 0,
        }
    }
}

/// What is written, and then becomes visible, at once.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub(crate) entries: Vec<Entry>,
    /// Streams of which something has changed that is no record.
    pub(crate) snapshots: Vec<StreamSnapshot>,
    pub(crate) globals: Option<Globals>,
    /// Streams, and shards of streams, that are no more.
    pub(crate) gone: Vec<(u64, Option<u32>)>,
    /// Streams whose records from before a time retention has passed.
    pub(crate) expiring: BTreeMap<u64, u64>,
}

impl Commit {
    /// Whether there is nothing to write but what retention makes one delete.
    pub(crate) fn is_idle(&self) -> bool {
        self.entries.is_empty()
            && self.snapshots.is_empty()
            && self.globals.is_none()
            && self.gone.is_empty()
    }
}

/// What was decided since the last commit.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Whether a commit is written; else it is seen at once.
    pub(super) is_kept: bool,
    entries: Vec<Entry>,
    bytes: usize,
    changed: BTreeSet<Arc<str>>,
    globals_changed: bool,
    gone: Vec<(u64, Option<u32>)>,
    expiring: BTreeMap<u64, u64>,
    count: u64,
}

impl Journal {
    /// Something of a stream has changed that is no record.
    pub(super) fn changed(&mut self, stream: &Arc<str>) {
        if self.is_kept {
            self.changed.insert(Arc::clone(stream));
            self.count += 1;
        }
    }

    /// Something beside the streams has changed.
    pub(super) fn globals_changed(&mut self) {
        if self.is_kept {
            self.globals_changed = true;
            self.count += 1;
        }
    }

    /// A stream, or a shard of one, is no more.
    pub(super) fn gone(&mut self, uid: u64, shard: Option<u32>) {
        if self.is_kept {
            self.gone.push((uid, shard));
            self.count += 1;
        }
    }

    /// Retention has passed what came before a time.
    pub(super) fn expiring(&mut self, uid: u64, before: u64) {
        if self.is_kept {
            self.expiring.insert(uid, before);
        }
    }
}

impl Store {
    /// Counts what was decided that is to be written: if an operation makes it grow, its answer has to wait.
    pub(crate) fn decided(&self) -> u64 {
        self.journal.count
    }

    /// Bytes of records that were prepared and not taken to be committed.
    pub(crate) fn prepared_bytes(&self) -> usize {
        self.journal.bytes
    }

    /// Whether there is something to be committed.
    pub(crate) fn has_prepared(&self) -> bool {
        let journal = &self.journal;
        journal.is_kept
            && !(journal.entries.is_empty()
                && journal.changed.is_empty()
                && !journal.globals_changed
                && journal.gone.is_empty()
                && journal.expiring.is_empty())
    }

    /// Notes what is to become visible.
    pub(super) fn prepared(&mut self, stream: Arc<str>, uid: u64, what: What) {
        let entry = Entry { stream, uid, what };
        self.journal.bytes += entry.cost();
        self.journal.entries.push(entry);
        self.journal.count += 1;
        if !self.journal.is_kept {
            let commit = self.take_commit();
            self.publish(commit);
        }
    }

    /// What is to be committed next. All of it, or as many records as go at once; what is left is the next commit.
    pub(crate) fn take_commit(&mut self) -> Commit {
        let mut entries = std::mem::take(&mut self.journal.entries);
        let mut bytes = 0;
        let fitting = entries.iter().take_while(|entry| {
            let fits = bytes < AT_ONCE;
            bytes += entry.cost();
            fits
        });
        let fitting = fitting.count();
        self.journal.entries = entries.split_off(fitting);
        self.journal.bytes = self.journal.entries.iter().map(Entry::cost).sum();
        let changed = std::mem::take(&mut self.journal.changed);
        let snapshots: Vec<_> = changed
            .iter()
            .filter_map(|name| self.streams.get(name))
            .map(Stream::snapshot)
            .collect();
        let gone = std::mem::take(&mut self.journal.gone);
        let has_changed = std::mem::take(&mut self.journal.globals_changed);
        let has_changed = has_changed || !snapshots.is_empty() || !gone.is_empty();
        Commit {
            entries,
            globals: has_changed.then(|| self.globals()),
            snapshots,
            gone,
            expiring: std::mem::take(&mut self.journal.expiring),
        }
    }

    /// Lets a commit be seen, and wakes who waits for it.
    pub(crate) fn publish(&mut self, commit: Commit) {
        for Entry { stream, uid, what } in commit.entries {
            let found = self.streams.get_mut(&stream);
            let Some(stream) = found.filter(|stream: &&mut Stream| stream.uid == uid) else {
                continue;
            };
            match what {
                What::Records(records) => {
                    for (number, record) in records {
                        let Some(shard) = stream.shards.get_mut(&number) else {
                            continue;
                        };
                        let is_first = shard.oldest().is_none();
                        self.ledger.add(&stream.name, number, &record, is_first);
                        shard.publish(record);
                        shard.settle(1);
                        self.subscriptions.wake_for_records(&shard.subscribers);
                    }
                }
                What::Closed(numbers) => {
                    for number in numbers {
                        if let Some(shard) = stream.shards.get_mut(&number) {
                            shard.settle(1);
                            self.subscriptions.wake(&shard.subscribers);
                        }
                    }
                }
            }
        }
        self.trim_to_bound();
    }

    /// Retention has deleted records on disk.
    pub(crate) fn trimmed(&mut self, horizons: &[Horizon]) {
        for Horizon { uid, shard, first } in horizons {
            let stream = self.streams.values_mut().find(|stream| stream.uid == *uid);
            if let Some(shard) = stream.and_then(|stream| stream.shards.get_mut(shard)) {
                shard.trim_to(*first);
            }
        }
    }
}
