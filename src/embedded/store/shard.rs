//! A shard: its place in the hash space and in its family, and its records.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::hash::HashRange;
use super::load::Loaded;
use super::rates::ShardRates;
use super::sequence::{MAX_INDEX, Sequence};
use super::subscription::SubscriptionId;
use crate::embedded::Error;
use crate::embedded::clock::Now;

/// What a record costs beside its data and key: its own fields, its allocation and its place in the shard.
const RECORD_OVERHEAD: usize = 128;

/// A stored record. Shared, so that reading one copies nothing.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) sequence: Sequence,
    /// Milliseconds since the Unix epoch.
    pub(crate) arrival: u64,
    pub(crate) partition_key: Box<str>,
    pub(crate) data: Bytes,
    /// Counts all records of the store: the smaller, the older.
    pub(crate) order: u64,
}

impl Record {
    /// Its place in its shard.
    pub(crate) fn index(&self) -> u64 {
        self.sequence.index()
    }

    /// Data and key.
    pub(super) fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }

    pub(super) fn cost(&self) -> usize {
        self.size() + RECORD_OVERHEAD
    }
}

/// Where reading a shard begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    TrimHorizon,
    Latest,
    At(Sequence),
    After(Sequence),
    /// Milliseconds since the Unix epoch.
    Timestamp(u64),
    /// An index that was found on disk.
    Index(u64),
}

/// Consecutive records of a shard, and where the next read goes on.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) records: Vec<Arc<Record>>,
    /// Data and keys.
    pub(super) bytes: usize,
    /// What the wire has made of the records, once for all who are sent them.
    pub(crate) encoded: OnceLock<Encoded>,
    /// There was no room for the record after these.
    pub(super) is_full: bool,
    /// When the record after these came, if it is on disk only.
    pub(super) next_arrival: Option<u64>,
    pub(super) next: u64,
    /// A sequence number after which `next` comes: a checkpoint, also where no record was read yet.
    pub(super) continuation: Sequence,
}

#[cfg(test)]
impl Slice {
    pub(crate) fn of(records: Vec<Record>) -> Arc<Self> {
        Arc::new(Self {
            records: records.into_iter().map(Arc::new).collect(),
            ..Self::default()
        })
    }
}

/// Records as they go over the wire.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) text: Bytes,
    /// CRC-32 of the text, to be joined with that of what stands around it.
    pub(crate) checksum: crc32fast::Hasher,
}

/// What a read comes to.
#[derive(Debug)]
pub(super) enum Reading<S> {
    Slice(S),
    /// The records between these indices are to be had from disk first.
    OnDisk(Range<u64>),
}

/// How a shard ended.
#[derive(Debug)]
pub(crate) struct Closed {
    /// Milliseconds since the Unix epoch.
    pub(crate) at: u64,
    pub(crate) ending: Sequence,
    pub(crate) children: Vec<u32>,
}

/// One shard of a stream.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) number: u32,
    pub(crate) id: Arc<str>,
    /// The parent, and for a merged shard the adjacent parent.
    pub(crate) parents: Vec<u32>,
    pub(crate) range: HashRange,
    /// Milliseconds since the Unix epoch.
    pub(crate) created: u64,
    /// The second in this shard's sequence numbers. Never one of a parent's.
    pub(super) second: u64,
    pub(crate) closed: Option<Closed>,
    pub(super) subscribers: Vec<SubscriptionId>,
    pub(super) rates: ShardRates,
    /// What can be read, in the order of indices. Those grow, and not always by one: what could not be stored leaves a
    /// gap.
    records: VecDeque<Arc<Record>>,
    /// Nothing below this index is kept. Indices begin at 1.
    pub(super) horizon: u64,
    /// Of what is not kept, that below this index was dropped before its time.
    dropped_below: u64,
    /// What is kept from the horizon to this index is on disk only; without a disk, that is nothing.
    pub(super) in_memory_from: u64,
    /// Sequence number of the last record that could ever be read; the starting one where there was none.
    pub(super) last: Sequence,
    /// Index of the record that will be prepared next.
    pub(super) next: u64,
    /// How much was prepared and is not to be seen yet: records, and the closing.
    unsettled: usize,
    pub(super) last_arrival: u64,
}

impl Shard {
    pub(super) fn new(
        number: u32,
        parents: Vec<u32>,
        range: HashRange,
        second: u64,
        now: Now,
    ) -> Self {
        Self {
            number,
            id: id(number).into(),
            parents,
            range,
            created: now.wall,
            second,
            closed: None,
            subscribers: Vec::new(),
            rates: ShardRates::default(),
            records: VecDeque::new(),
            horizon: 1,
            dropped_below: 0,
            in_memory_from: 1,
            last: Sequence::new(second, number, 0, second),
            next: 1,
            unsettled: 0,
            last_arrival: now.wall,
        }
    }

    pub(crate) fn starting(&self) -> Sequence {
        Sequence::new(self.second, self.number, 0, self.second)
    }

    /// Closes the shard: nothing more is prepared. Readers see it once it is settled.
    pub(super) fn close(&mut self, children: Vec<u32>, now: Now) {
        self.unsettled += 1;
        let ending = Sequence::new(self.second, self.number, MAX_INDEX, now.wall / 1000);
        self.closed = Some(Closed {
            at: now.wall,
            ending,
            children,
        });
    }

    /// How the shard ended, once all that was prepared before is settled: till then its readers are not told.
    pub(crate) fn ended(&self) -> Option<&Closed> {
        self.closed.as_ref().filter(|_| self.unsettled == 0)
    }

    /// Index after the last record that can be read.
    pub(super) fn end(&self) -> u64 {
        self.last.index() + 1
    }

    /// The oldest kept record.
    pub(super) fn oldest(&self) -> Option<&Arc<Record>> {
        self.records.front()
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.records.iter().map(|record| record.cost()).sum()
    }

    /// Gives a record its number. It is to be seen when it is published.
    pub(super) fn prepare(
        &mut self,
        partition_key: Box<str>,
        data: Bytes,
        order: u64,
        now: Now,
    ) -> Arc<Record> {
        // Arrival times never run backwards within a shard, though a machine's clock may.
        self.last_arrival = self.last_arrival.max(now.wall);
        let index = self.next;
        self.next += 1;
        self.unsettled += 1;
        Arc::new(Record {
            sequence: Sequence::new(self.second, self.number, index, self.last_arrival / 1000),
            arrival: self.last_arrival,
            partition_key,
            data,
            order,
        })
    }

    /// Lets a prepared record be seen.
    pub(super) fn publish(&mut self, record: Arc<Record>) {
        self.last = record.sequence;
        self.records.push_back(record);
    }

    /// What was prepared, this many things of it, has been published or given up.
    pub(super) fn settle(&mut self, count: usize) {
        self.unsettled = self.unsettled.saturating_sub(count);
    }

    /// Lets go of the oldest record in memory and returns what it cost.
    pub(super) fn evict_oldest(&mut self) -> usize {
        let Some(record) = self.records.pop_front() else {
            return 0;
        };
        self.in_memory_from = record.index() + 1;
        record.cost()
    }

    /// Nothing that is not in memory is kept.
    pub(super) fn trim_to_memory(&mut self) {
        self.trim_to(self.in_memory_from);
    }

    /// The same; and positions of what is not kept are refused from now on.
    pub(super) fn drop_to_memory(&mut self) {
        self.trim_to_memory();
        self.dropped_below = self.horizon;
    }

    /// Nothing below an index is kept.
    pub(super) fn trim_to(&mut self, index: u64) {
        self.horizon = self.horizon.max(index);
    }

    /// Whether what came before a time was put on disk and can be there still.
    pub(super) fn is_on_disk(&self) -> bool {
        self.horizon < self.in_memory_from
    }

    /// Records from index `next` on; what was trimmed is skipped. At most `count`, and no more than fit into `bytes` of
    /// data and keys, but at least one if there is any.
    pub(super) fn read(&self, next: u64, (count, bytes): (usize, usize)) -> Reading<Slice> {
        let next = next.clamp(self.horizon, self.end().max(self.horizon));
        if next < self.in_memory_from {
            return Reading::OnDisk(next..self.in_memory_from);
        }
        let mut records = Vec::new();
        let mut size = 0;
        let mut is_full = false;
        for record in self.records.range(self.place(next)..).take(count) {
            let with = size + record.size();
            if with > bytes && !records.is_empty() {
                is_full = true;
                break;
            }
            size = with;
            records.push(Arc::clone(record));
        }
        is_full |= records.len() == count;
        let last = records.last().map(|record| record.sequence);
        Reading::Slice(Slice {
            next: last.map_or(next, |last| last.index() + 1),
            continuation: last.unwrap_or(self.last),
            bytes: size,
            encoded: OnceLock::new(),
            is_full,
            next_arrival: None,
            records,
        })
    }

    /// As [`Shard::read`], with what that wanted loaded.
    pub(super) fn read_with(
        &self,
        next: u64,
        loaded: Option<Loaded>,
        most: (usize, usize),
    ) -> Reading<Slice> {
        let Some(loaded) = loaded else {
            return self.read(next, most);
        };
        match loaded.records.last().map(|record| record.sequence) {
            // Retention has passed it all, or there was a gap.
            None => self.read(loaded.next.max(next), most),
            Some(continuation) => Reading::Slice(Slice {
                next: loaded.next,
                continuation,
                bytes: loaded.records.iter().map(|record| record.size()).sum(),
                encoded: OnceLock::new(),
                // Nothing can come to be between these records and the next.
                is_full: true,
                next_arrival: loaded.next_arrival,
                records: loaded.records,
            }),
        }
    }

    /// Where in `records` the first one stands whose index is not below `index`.
    fn place(&self, index: u64) -> usize {
        let first = self
            .records
            .front()
            .map_or(0, |first| first.sequence.index());
        let near = usize::try_from(index.saturating_sub(first)).unwrap_or(usize::MAX);
        // There, unless there are gaps.
        match self.records.get(near) {
            Some(record) if record.sequence.index() == index => near,
            _ => self
                .records
                .partition_point(|record| record.sequence.index() < index),
        }
    }

    /// Whether the record at this index is kept, or is still to come.
    pub(super) fn keeps(&self, index: u64) -> bool {
        index >= self.horizon
    }

    /// How far a reader who has read a slice is behind the tip.
    pub(super) fn millis_behind(&self, slice: &Slice, now: Now) -> u64 {
        let unread = || self.records.get(self.place(slice.next));
        let arrival = slice
            .next_arrival
            .or_else(|| unread().map(|record| record.arrival));
        arrival.map_or(0, |arrival| now.wall.saturating_sub(arrival))
    }

    /// The index at which a read begins.
    ///
    /// The service's documents do not say what becomes of a sequence number past retention. Some who met it were given
    /// the oldest record left, as here; others were refused, as here once records were dropped before their time.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when the sequence number was never given by this shard, what it stands for was dropped, or the
    /// timestamp lies in the future.
    pub(super) fn locate(&self, start: Start, now: Now) -> Result<u64, Error> {
        match start {
            Start::TrimHorizon => Ok(self.horizon),
            Start::Latest => Ok(self.end()),
            Start::Index(index) => Ok(index.max(self.horizon)),
            Start::At(sequence) => {
                self.check(sequence)?;
                self.check_kept(sequence, sequence.index())?;
                Ok(sequence.index().max(self.horizon))
            }
            Start::After(sequence) => {
                self.check(sequence)?;
                self.check_kept(sequence, sequence.index() + 1)?;
                Ok((sequence.index() + 1).max(self.horizon))
            }
            Start::Timestamp(time) => {
                if time > now.wall.saturating_add(CLOCK_SKEW) {
                    return Err(Error::invalid_argument(format!(
                        "The timestamp {time} cannot be greater than the current timestamp in milliseconds, {}",
                        now.wall
                    )));
                }
                let at = self.records.partition_point(|record| record.arrival < time);
                let found = self.records.get(at);
                Ok(found.map_or(self.end(), |record| record.sequence.index()))
            }
        }
    }

    fn check_kept(&self, sequence: Sequence, index: u64) -> Result<(), Error> {
        if index >= self.dropped_below {
            return Ok(());
        }
        Err(Error::invalid_argument(format!(
            "StartingSequenceNumber {sequence} used on shard {} is invalid because it is older than the oldest record.",
            self.id
        )))
    }

    fn check(&self, sequence: Sequence) -> Result<(), Error> {
        if sequence.shard() != self.number {
            return Err(Error::invalid_argument(format!(
                "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {}",
                id(sequence.shard()),
                self.id
            )));
        }
        let given = self.starting() <= sequence
            && match &self.closed {
                Some(closed) => sequence <= closed.ending,
                None => sequence <= self.last,
            };
        if sequence.shard_second() == self.second && given {
            return Ok(());
        }
        Err(Error::invalid_argument(format!(
            "StartingSequenceNumber {sequence} used on shard {} is invalid because it did not come from this stream.",
            self.id
        )))
    }
}

/// How far a client's clock may run ahead of ours before its `AT_TIMESTAMP` counts as a time in the future.
const CLOCK_SKEW: u64 = 2_000;

/// A shard's name.
pub(crate) fn id(number: u32) -> String {
    format!("shardId-{number:012}")
}

/// The number in a shard's name.
pub(crate) fn number(id: &str) -> Option<u32> {
    let digits = id.strip_prefix("shardId-")?;
    (digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}
