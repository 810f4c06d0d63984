//! Shards: the pieces of the hash space, and who follows whom.

use std::fmt;
use std::sync::Arc;

use crate::message::{HashKey, SequenceNumber};

/// A shard's name, such as `shardId-000000000003`. Opaque: only compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Arc<str>);

impl ShardId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl From<&str> for ShardId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for ShardId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The part of the hash space that a shard owns; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashKeyRange {
    /// The lowest key of the shard.
    pub start: HashKey,
    /// The highest key of the shard.
    pub end: HashKey,
}

impl HashKeyRange {
    /// The whole hash space.
    pub const ALL: Self = Self {
        start: HashKey::MIN,
        end: HashKey::MAX,
    };

    /// Whether a key lies in the range.
    pub fn contains(&self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }

    /// Whether the two have a key in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// A shard, as `ListShards` tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub id: ShardId,
    /// Those it was split or merged from: none, one or two. They may be gone (past retention).
    pub parents: Vec<ShardId>,
    /// What it owns of the hash space.
    pub range: HashKeyRange,
    /// The lowest sequence number a record of it can have.
    pub starting: SequenceNumber,
    /// The highest, once the shard is closed; `None` while it is open.
    pub ending: Option<SequenceNumber>,
}

impl Shard {
    /// Whether records can still be put into it.
    pub fn is_open(&self) -> bool {
        self.ending.is_none()
    }
}

/// A shard that follows one which has ended, as the last event of that one tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildShard {
    /// Its name.
    pub id: ShardId,
    /// Those it was split or merged from.
    pub parents: Vec<ShardId>,
    /// What it owns of the hash space.
    pub range: HashKeyRange,
}
