//! Rates: what a shard, a subscription and a caller may have in a second, under
//! [`Limits::Aws`](crate::embedded::Limits).
//!
//! AWS states rates and not how they are counted. Here each is a token bucket that holds what one second brings: who was
//! idle may take a second's worth at once, and over any longer time nobody gets more than the rate and that second's worth.
//! Something larger than a second's worth (a record of 10 MiB, an answer to GetRecords) goes when the bucket is full,
//! and is paid for afterwards. `MB` is read as 1,048,576 bytes throughout, as most pages of AWS write it.
//!
//! The figures: <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html> and, for each operation,
//! its page in <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Operations.html>.

use std::collections::{BTreeMap, HashMap};

use crate::embedded::clock::Now;

const MIB: u64 = 1024 * 1024;
/// Written to a shard in a second, keys included.
const WRITTEN_BYTES: u64 = MIB;
const WRITTEN_RECORDS: u64 = 1_000;
/// Read from a shard in a second by all GetRecords together, and pushed in a second to one subscription.
const READ_BYTES: u64 = 2 * MIB;
const READ_CALLS: u64 = 5;
/// GetShardIterator, for a shard.
const ITERATOR_CALLS: u64 = 5;
/// SubscribeToShard, for a consumer and a shard.
const SUBSCRIBE_CALLS: u64 = 1;

/// Accounts that are remembered without a look at who can be forgotten.
const FEW_ACCOUNTS: usize = 100;

/// Who shares a rate of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Account,
    Stream,
}

/// Calls in a second, of operations that are not about one shard. Above it: `LimitExceededException`.
const CALLS: &[(&str, u64, Per)] = &[
    ("AddTagsToStream", 5, Per::Account),
    ("CreateStream", 5, Per::Account),
    ("DecreaseStreamRetentionPeriod", 5, Per::Stream),
    ("DeleteStream", 5, Per::Account),
    ("DeregisterStreamConsumer", 5, Per::Stream),
    ("DescribeAccountSettings", 5, Per::Account),
    ("DescribeLimits", 1, Per::Account),
    ("DescribeStream", 10, Per::Account),
    ("DescribeStreamConsumer", 20, Per::Stream),
    ("DescribeStreamSummary", 20, Per::Account),
    ("DisableEnhancedMonitoring", 5, Per::Stream),
    ("EnableEnhancedMonitoring", 5, Per::Stream),
    ("IncreaseStreamRetentionPeriod", 5, Per::Stream),
    ("ListShards", 1_000, Per::Stream),
    ("ListStreamConsumers", 5, Per::Stream),
    ("ListStreams", 5, Per::Account),
    ("ListTagsForStream", 5, Per::Account),
    ("MergeShards", 5, Per::Account),
    ("RegisterStreamConsumer", 5, Per::Account),
    ("RemoveTagsFromStream", 5, Per::Account),
    ("SplitShard", 5, Per::Account),
    ("UpdateShardCount", 10, Per::Account),
];

/// A token bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// Tokens that come in a second; as many as it holds.
    rate: u64,
    /// Thousandths of tokens that were taken and have not come back: a millisecond brings `rate` of them.
    owed: u64,
    /// The steady time up to which what came back is counted.
    at: u64,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: u64) -> Self {
        Self {
            rate,
            owed: 0,
            at: 0,
        }
    }

    fn settle(&mut self, now: Now) {
        let back = now.steady.saturating_sub(self.at).saturating_mul(self.rate);
        self.owed = self.owed.saturating_sub(back);
        self.at = self.at.max(now.steady);
    }

    fn most_owed(&self, amount: u64) -> u64 {
        self.rate
            .saturating_mul(1_000)
            .saturating_sub(amount.saturating_mul(1_000))
    }

    /// Whether so much can be taken. More than a full bucket holds can be taken from a full one.
    pub(super) fn has(&mut self, amount: u64, now: Now) -> bool {
        self.settle(now);
        self.owed <= self.most_owed(amount)
    }

    /// Takes so much, be it there or not.
    pub(super) fn take(&mut self, amount: u64, now: Now) {
        self.settle(now);
        self.owed = self.owed.saturating_add(amount.saturating_mul(1_000));
    }

    /// Takes so much if it can be taken.
    pub(super) fn try_take(&mut self, amount: u64, now: Now) -> bool {
        let has = self.has(amount, now);
        if has {
            self.take(amount, now);
        }
        has
    }

    fn is_full(&mut self, now: Now) -> bool {
        self.settle(now);
        self.owed == 0
    }

    /// The steady time from which on so much can be taken.
    pub(super) fn due(&self, amount: u64) -> u64 {
        let missing = self.owed.saturating_sub(self.most_owed(amount));
        self.at.saturating_add(missing.div_ceil(self.rate.max(1)))
    }
}

/// The rates of one shard.
#[derive(Debug)]
pub(super) struct ShardRates {
    written_bytes: Bucket,
    written_records: Bucket,
    read_bytes: Bucket,
    read_calls: Bucket,
    iterator_calls: Bucket,
    /// GetRecords gave more than there was; nothing is given until the bucket is full again.
    drained: bool,
}

impl Default for ShardRates {
    fn default() -> Self {
        Self {
            written_bytes: Bucket::new(WRITTEN_BYTES),
            written_records: Bucket::new(WRITTEN_RECORDS),
            read_bytes: Bucket::new(READ_BYTES),
            read_calls: Bucket::new(READ_CALLS),
            iterator_calls: Bucket::new(ITERATOR_CALLS),
            drained: false,
        }
    }
}

impl ShardRates {
    /// Whether a record of so many bytes may be written. If so, it is counted.
    pub(super) fn write(&mut self, bytes: usize, now: Now) -> bool {
        let bytes = bytes as u64;
        let has = self.written_bytes.has(bytes, now) && self.written_records.has(1, now);
        if has {
            self.written_bytes.take(bytes, now);
            self.written_records.take(1, now);
        }
        has
    }

    /// Whether GetRecords may read now.
    ///
    /// An answer may have up to 10 MiB whatever is there. After one of 10 MiB nothing is read for five seconds, after one
    /// that took the rest of a second's worth for one: the bucket has to fill up.
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
    pub(super) fn read(&mut self, now: Now) -> bool {
        if self.drained && !self.read_bytes.has(READ_BYTES, now) {
            return false;
        }
        self.drained = false;
        self.read_calls.try_take(1, now)
    }

    /// Counts what GetRecords has read.
    pub(super) fn has_read(&mut self, bytes: usize, now: Now) {
        self.read_bytes.take(bytes as u64, now);
        self.drained = !self.read_bytes.has(1, now);
    }

    /// Whether GetShardIterator may be called now.
    pub(super) fn iterate(&mut self, now: Now) -> bool {
        self.iterator_calls.try_take(1, now)
    }
}

/// The pace of one subscription's events.
pub(super) fn events() -> Bucket {
    Bucket::new(READ_BYTES)
}

/// The rate at which a consumer may subscribe to a shard.
pub(super) fn subscribing() -> Bucket {
    Bucket::new(SUBSCRIBE_CALLS)
}

/// Calls that are counted together: those of an account, or those about one stream.
#[derive(Debug, Default)]
pub(super) struct Calls(BTreeMap<&'static str, Bucket>);

impl Calls {
    /// Whether an operation that has a rate for each stream may be called.
    pub(super) fn of_stream(&mut self, operation: &str, now: Now) -> bool {
        self.admit(operation, Per::Stream, now)
    }

    fn admit(&mut self, operation: &str, per: Per, now: Now) -> bool {
        let row = CALLS
            .iter()
            .find(|(name, _, whose)| *name == operation && *whose == per);
        let Some((name, rate, _)) = row else {
            return true;
        };
        let bucket = self.0.entry(name).or_insert_with(|| Bucket::new(*rate));
        bucket.try_take(1, now)
    }

    /// Whether there is as much as if nothing had ever been called.
    fn are_full(&mut self, now: Now) -> bool {
        self.0.values_mut().all(|bucket| bucket.is_full(now))
    }
}

/// The calls of each account. Whose buckets are full again is as who never called, and is forgotten: it is no use to
/// call by ever new names.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    calls: HashMap<Box<str>, Calls>,
    /// At how many it is looked who can be forgotten.
    look_at: usize,
}

impl Accounts {
    /// Whether an operation that has a rate for each account may be called.
    pub(super) fn admit(&mut self, account: &str, operation: &str, now: Now) -> bool {
        if let Some(calls) = self.calls.get_mut(account) {
            return calls.admit(operation, Per::Account, now);
        }
        if self.calls.len() >= self.look_at {
            self.calls.retain(|_, calls| !calls.are_full(now));
            self.look_at = FEW_ACCOUNTS.max(2 * self.calls.len());
        }
        let calls = self.calls.entry(account.into()).or_default();
        calls.admit(operation, Per::Account, now)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }
}

/// The rates of calls, as docs/LIMITS.md lists them.
#[cfg(test)]
pub(super) fn rows() -> Vec<String> {
    let row = |(name, rate, per): &(&str, u64, Per)| {
        let whose = match per {
            Per::Account => "each account",
            Per::Stream => "each stream",
        };
        format!("| `{name}` | {rate} | {whose} |")
    };
    CALLS.iter().map(row).collect()
}
