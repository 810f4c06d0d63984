//! What was decided and is not to be seen yet.
//!
//! A put gives its records their numbers and notes them here; so does the end of a shard. One after the other, in the
//! order in which they were decided, they become visible: at once where the store lives in memory only, else when they
//! are on disk.

use std::sync::Arc;

use super::shard::Record;
use super::{Store, Stream};

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

/// What becomes visible next, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
}

impl Store {
    /// Notes what is to become visible.
    pub(super) fn prepared(&mut self, stream: Arc<str>, uid: u64, what: What) {
        self.journal.entries.push(Entry { stream, uid, what });
    }

    /// Lets all that was prepared be seen, if nothing has to be written before.
    pub(super) fn commit_in_memory(&mut self) {
        let batch = std::mem::take(&mut self.journal);
        self.publish(batch);
    }

    /// Lets a batch be seen, and wakes who waits for it.
    pub(super) fn publish(&mut self, batch: Batch) {
        for Entry { stream, uid, what } in batch.entries {
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
}
