//! What the store wants read from disk, and what came of it. Reading is its caller's business.

use std::sync::Arc;

use super::Store;
use super::shard::{Record, Shard, Start};
use super::stream::Stream;
use crate::embedded::Error;
use crate::embedded::clock::Now;

/// Records of a shard that are on disk only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) uid: u64,
    pub(crate) shard: u32,
    /// The second that the shard's sequence numbers begin with.
    pub(crate) second: u64,
    /// Indices; the second one is not wanted.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// What came before this time retention has passed.
    pub(crate) not_before: u64,
    /// At most so many.
    pub(crate) count: usize,
    /// And so many bytes of data and keys, but at least one record if there is any.
    pub(crate) bytes: usize,
}

/// What a load brought.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) records: Vec<Arc<Record>>,
    /// Where to go on: all before that is kept was read.
    pub(crate) next: u64,
    /// When the record there came, if it is on disk only.
    pub(crate) next_arrival: Option<u64>,
}

impl Loaded {
    /// There was nothing.
    pub(crate) fn nothing(load: &Load) -> Self {
        Self {
            records: Vec::new(),
            next: load.to,
            next_arrival: None,
        }
    }
}

/// A place in a shard that is to be found by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Search {
    pub(crate) uid: u64,
    pub(crate) shard: u32,
    /// Milliseconds since the Unix epoch.
    pub(crate) time: u64,
    /// Below this index.
    pub(crate) to: u64,
}

/// What is to be loaded so that a shard can be read from an index on.
pub(super) fn load(
    stream: &Stream,
    shard: &Shard,
    range: std::ops::Range<u64>,
    (count, bytes): (usize, usize),
    now: Now,
) -> Load {
    Load {
        uid: stream.uid,
        shard: shard.number,
        second: shard.second,
        from: range.start,
        to: range.end,
        not_before: now.wall.saturating_sub(stream.settings.retention),
        count,
        bytes,
    }
}

impl Store {
    /// What is to be looked up on disk so that a start can be located; mostly nothing.
    pub(crate) fn search(
        &mut self,
        name: &str,
        shard: &str,
        start: Start,
        now: Now,
    ) -> Result<Option<Search>, Error> {
        let Start::Timestamp(time) = start else {
            return Ok(None);
        };
        let account = self.config.account.clone();
        let stream = self.stream(name, now)?;
        let shard = super::records::shard(stream, shard, &account)?;
        // A time that cannot be is refused here.
        shard.locate(start, now)?;
        let in_memory = shard.oldest().is_some_and(|oldest| oldest.arrival < time);
        Ok((shard.is_on_disk() && !in_memory).then_some(Search {
            uid: stream.uid,
            shard: shard.number,
            time,
            to: shard.in_memory_from,
        }))
    }
}
