//! Calls to make, and what their answers have settled.

use super::batch::Record;
use crate::kinesis::{PutOutcome, ShardId};
use crate::message::{Position, Room};

/// How records and calls are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Up to which size, in bytes with the partition key, messages are added to a record. One
    /// message alone may be larger.
    pub record_target: usize,
    /// The most records of a call.
    pub call_records: usize,
    /// The most bytes of a call, with the partition keys; one record alone may be larger.
    pub call_bytes: usize,
}

impl Default for Limits {
    /// 100,000 bytes, which are four provisioned PUT units of 25 KB whichever KB is meant; 500
    /// records, the service's limit; 1 MiB, which is about what a shard takes in a second.
    fn default() -> Self {
        Self {
            record_target: 100_000,
            call_records: 500,
            call_bytes: 1 << 20,
        }
    }
}

/// A call's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub(super) u64);

/// A `PutRecords` call to make.
#[derive(Debug)]
pub struct Call {
    /// Its number, to be given back with the answer.
    pub id: CallId,
    /// The shard that it is meant for.
    pub shard: ShardId,
    /// Its records.
    pub records: Vec<Record>,
    /// Their size, partition keys included.
    pub bytes: usize,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An outcome for each record.
    Records(Vec<PutOutcome>),
    /// No good answer; any of it may have been stored. It is put again.
    Lost,
    /// Refused, and putting it again would not help.
    Refused,
}

/// A message whose way has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// What was given along with it.
    pub tag: T,
    /// Its room.
    pub room: Room,
    /// Where it stands, or nothing if it was given up.
    pub position: Option<Position>,
}

/// How many messages have to be put again, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// The shard's rate was exceeded.
    pub throttled: usize,
    /// The service failed on their record.
    pub failed: usize,
    /// The call got no answer.
    pub lost: usize,
    /// Their record landed where one of its rooms does not belong.
    pub misrouted: usize,
}

/// What an answer, or a list of shards, has settled.
#[derive(Debug)]
pub struct Settled<T> {
    /// The messages whose way has ended.
    pub done: Vec<Done<T>>,
    /// Those that are put again.
    pub again: Again,
}

impl<T> Settled<T> {
    pub(super) fn nothing() -> Self {
        Self {
            done: Vec::new(),
            again: Again::default(),
        }
    }
}
