//! The record format of the Kinesis Producer Library: many user records in one record.
//!
//! Magic `F3 89 9A C2`, a protobuf `AggregatedRecord`, and the MD5 of that protobuf.
//! Source: <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>.
//!
//! Reading is lenient, as that document asks: what has not all three of magic, right MD5 and
//! sound protobuf is a plain record, which is one user record. So is what has more than [`MOST_PARTS`].

use std::collections::HashMap;
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message as _;
use prost::encoding::{DecodeContext, decode_key, skip_field};

use super::Record;

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const MD5_BYTES: usize = 16;

/// Keys and user records of one aggregate that are read, counted together. An empty one has two bytes in the record and
/// some sixty in memory: this bounds what one record can cost, to some 5 MiB beside its own bytes. It leaves 16 bytes a part to
/// a record of 1 MiB.
const MOST_PARTS: usize = 65_536;

/// What an aggregate has before and behind its protobuf, in bytes.
pub const OVERHEAD: usize = MAGIC.len() + MD5_BYTES;

#[derive(Clone, PartialEq, prost::Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", required, tag = "3")]
    data: Bytes,
}

/// What one writer meant as one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The partition key that its writer gave it.
    pub partition_key: Arc<str>,
    /// Its data.
    pub data: Bytes,
    /// Which of the record's user records it is, from 0.
    pub index: u32,
}

/// An aggregate in the making, which knows at every moment how large it is.
#[derive(Debug, Default)]
pub struct Aggregate {
    keys: HashMap<Box<str>, u64>,
    content: AggregatedRecord,
    protobuf_bytes: usize,
}

impl Aggregate {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many user records are in it.
    pub fn len(&self) -> usize {
        self.content.records.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.content.records.is_empty()
    }

    /// Exactly how many bytes [`encode`](Self::encode) gives.
    pub fn size(&self) -> usize {
        OVERHEAD + self.protobuf_bytes
    }

    /// Exactly how many bytes it would give with that record.
    pub fn size_with(&self, partition_key: &str, data_bytes: usize) -> usize {
        self.size() + self.cost(partition_key, data_bytes)
    }

    fn cost(&self, partition_key: &str, data_bytes: usize) -> usize {
        let (index, key_bytes) = match self.keys.get(partition_key) {
            Some(index) => (*index, 0),
            None => (self.keys.len() as u64, field_bytes(partition_key.len())),
        };
        let entry = 1 + prost::encoding::encoded_len_varint(index) + field_bytes(data_bytes);
        key_bytes + field_bytes(entry)
    }

    /// Appends a user record.
    pub fn push(&mut self, partition_key: &str, data: Bytes) {
        self.protobuf_bytes += self.cost(partition_key, data.len());
        let index = if let Some(index) = self.keys.get(partition_key) {
            *index
        } else {
            let index = self.keys.len() as u64;
            self.keys.insert(partition_key.into(), index);
            self.content
                .partition_key_table
                .push(partition_key.to_owned());
            index
        };
        self.content.records.push(Entry {
            partition_key_index: index,
            explicit_hash_key_index: None,
            data,
        });
    }

    /// The record's data.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        bytes.extend_from_slice(&MAGIC);
        self.content.encode_raw(&mut bytes);
        let digest = Md5::digest(bytes.get(MAGIC.len()..).unwrap_or_default());
        bytes.extend_from_slice(&digest);
        bytes
    }
}

/// A field of one byte's tag with that many bytes in it.
fn field_bytes(content: usize) -> usize {
    1 + prost::encoding::encoded_len_varint(content as u64) + content
}

/// The user records of a record: itself, if it is a plain one.
pub fn decode(record: &Record) -> UserRecords {
    UserRecords(match aggregate(&record.data) {
        Some((keys, entries)) => Inner::Aggregate {
            keys,
            entries: entries.into_iter(),
            index: 0,
        },
        None => Inner::Plain(Some(UserRecord {
            partition_key: record.partition_key.as_str().into(),
            data: record.data.clone(),
            index: 0,
        })),
    })
}

fn aggregate(data: &Bytes) -> Option<(Vec<Arc<str>>, Vec<Entry>)> {
    if !data.starts_with(&MAGIC) {
        return None;
    }
    let end = data.len().checked_sub(MD5_BYTES)?;
    if end < MAGIC.len() {
        return None;
    }
    // Slices of `Bytes` share the record's memory, and so do the user records' data.
    let (protobuf, digest) = (data.slice(MAGIC.len()..end), data.slice(end..));
    if Md5::digest(&protobuf)[..] != digest[..] {
        return None;
    }
    if !is_within_bounds(&protobuf) {
        return None;
    }
    let content = AggregatedRecord::decode(protobuf).ok()?;
    let keys: Vec<Arc<str>> = content
        .partition_key_table
        .iter()
        .map(|key| key.as_str().into())
        .collect();
    let count = keys.len() as u64;
    let sound = u32::try_from(content.records.len()).is_ok()
        && content
            .records
            .iter()
            .all(|entry| entry.partition_key_index < count);
    sound.then_some((keys, content.records))
}

/// Whether a protobuf can be read without taking much memory; none is taken to find out.
fn is_within_bounds(mut protobuf: &[u8]) -> bool {
    for _ in 0..=MOST_PARTS {
        if protobuf.is_empty() {
            return true;
        }
        let skipped = decode_key(&mut protobuf)
            .and_then(|(tag, kind)| skip_field(kind, tag, &mut protobuf, DecodeContext::default()));
        if skipped.is_err() {
            return false;
        }
    }
    false
}

/// The user records of one record, in order.
#[derive(Debug)]
pub struct UserRecords(Inner);

#[derive(Debug)]
enum Inner {
    Plain(Option<UserRecord>),
    Aggregate {
        keys: Vec<Arc<str>>,
        entries: vec::IntoIter<Entry>,
        index: u32,
    },
}

impl UserRecords {
    /// Whether the record was an aggregate.
    pub fn is_aggregate(&self) -> bool {
        matches!(self.0, Inner::Aggregate { .. })
    }
}

impl Iterator for UserRecords {
    type Item = UserRecord;

    fn next(&mut self) -> Option<UserRecord> {
        match &mut self.0 {
            Inner::Plain(record) => record.take(),
            Inner::Aggregate {
                keys,
                entries,
                index,
            } => {
                let entry = entries.next()?;
                let key = usize::try_from(entry.partition_key_index).ok()?;
                let record = UserRecord {
                    partition_key: keys.get(key)?.clone(),
                    data: entry.data,
                    index: *index,
                };
                *index += 1;
                Some(record)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Inner::Plain(record) => (usize::from(record.is_some()), Some(1)),
            Inner::Aggregate { entries, .. } => entries.size_hint(),
        }
    }
}

#[cfg(test)]
#[path = "kpl_tests.rs"]
mod tests;
