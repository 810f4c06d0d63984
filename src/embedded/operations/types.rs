//! Shapes that several operations share, and how they are read and written.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::embedded::store::{ChildShard, HashRange, Record, Sequence, Shard, shard_id};

/// A blob: base64 in a text format, bytes in a binary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Bytes);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a blob")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Blob, E> {
                STANDARD
                    .decode(text)
                    .map(|data| Blob(data.into()))
                    .map_err(|error| E::custom(format!("not base64: {error}")))
            }

            fn visit_bytes<E: serde::de::Error>(self, data: &[u8]) -> Result<Blob, E> {
                Ok(Blob(Bytes::copy_from_slice(data)))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Read)
        } else {
            deserializer.deserialize_bytes(Read)
        }
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

/// A time in milliseconds since the Unix epoch; on the wire seconds, with a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp(pub(crate) u64);

impl Timestamp {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of this epoch have 41 bits"
    )]
    pub(crate) fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if !seconds.is_finite() || seconds < 0.0 {
            return Err(D::Error::custom("a timestamp must not lie before 1970"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and the cast saturates"
        )]
        Ok(Self((seconds * 1000.0).round() as u64))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.seconds())
    }
}

/// `HashKeyRange`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HashKeyRange {
    starting_hash_key: String,
    ending_hash_key: String,
}

impl From<HashRange> for HashKeyRange {
    fn from(range: HashRange) -> Self {
        Self {
            starting_hash_key: range.start.to_string(),
            ending_hash_key: range.end.to_string(),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumberRange {
    starting_sequence_number: Sequence,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<Sequence>,
}

/// `Shard`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ShardShape {
    shard_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<String>,
    hash_key_range: HashKeyRange,
    sequence_number_range: SequenceNumberRange,
}

impl From<&Shard> for ShardShape {
    fn from(shard: &Shard) -> Self {
        let mut parents = shard.parents.iter().copied().map(shard_id);
        Self {
            shard_id: shard.id.to_string(),
            parent_shard_id: parents.next(),
            adjacent_parent_shard_id: parents.next(),
            hash_key_range: shard.range.into(),
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: shard.starting(),
                ending_sequence_number: shard.closed.as_ref().map(|closed| closed.ending),
            },
        }
    }
}

/// `ChildShard`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChildShardShape {
    shard_id: String,
    parent_shards: Vec<String>,
    hash_key_range: HashKeyRange,
}

impl From<ChildShard> for ChildShardShape {
    fn from(child: ChildShard) -> Self {
        Self {
            shard_id: child.id.to_string(),
            parent_shards: child.parents,
            hash_key_range: child.range.into(),
        }
    }
}

/// `Record`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RecordShape {
    sequence_number: Sequence,
    approximate_arrival_timestamp: Timestamp,
    data: Blob,
    partition_key: String,
}

impl From<&Record> for RecordShape {
    fn from(record: &Record) -> Self {
        Self {
            sequence_number: record.sequence,
            approximate_arrival_timestamp: Timestamp(record.arrival),
            data: Blob(record.data.clone()),
            partition_key: record.partition_key.to_string(),
        }
    }
}
