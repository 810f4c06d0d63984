//! Shapes that several operations share, and how they are read and written.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ciborium::tag::Captured;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::embedded::store::{ChildShard, HashRange, Record, Sequence, Shard, shard_id};

/// The CBOR tag of a time since the Unix epoch (RFC 8949, section 3.4.2).
const EPOCH_TAG: u64 = 1;

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

            fn visit_byte_buf<E: serde::de::Error>(self, data: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(data.into()))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Read)
        } else {
            deserializer.deserialize_byte_buf(Read)
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

/// A time in milliseconds since the Unix epoch. In a text format it is seconds, with a fraction; in CBOR an integer of
/// milliseconds under the tag for times, as AWS' own clients write and read it.
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

    fn of_seconds<E: serde::de::Error>(seconds: f64) -> Result<Self, E> {
        if !seconds.is_finite() || seconds < 0.0 {
            return Err(E::custom("a timestamp must not lie before 1970"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and the cast saturates"
        )]
        Ok(Self((seconds * 1000.0).round() as u64))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Self::of_seconds(f64::deserialize(deserializer)?);
        }
        match Captured::<Number>::deserialize(deserializer)? {
            Captured(None | Some(EPOCH_TAG), Number(time)) => Ok(time),
            Captured(Some(tag), _) => Err(D::Error::custom(format!("tag {tag} is not for a time"))),
        }
    }
}

/// What stands under the tag.
struct Number(Timestamp);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("milliseconds since 1970")
            }

            fn visit_u64<E: serde::de::Error>(self, millis: u64) -> Result<Number, E> {
                Ok(Number(Timestamp(millis)))
            }

            // No client of AWS writes a fraction; others mean by it what RFC 8949 says.
            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Number, E> {
                Timestamp::of_seconds(seconds).map(Number)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_f64(self.seconds())
        } else {
            Captured(Some(EPOCH_TAG), self.0).serialize(serializer)
        }
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
