//! How records lie on disk: some that follow each other in a shard, in one value with a checksum.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | version, `1` |
//! | 4 | CRC-32 of all that follows |
//! | 8, 8 | index and arrival time of the last record |
//! | then for each record: 8, 8 | index and arrival time, in milliseconds since the Unix epoch |
//! | 2, 4 | lengths of partition key and data |
//! | | partition key and data |
//!
//! Numbers are big-endian.

use std::sync::Arc;

use bytes::Bytes;

use crate::embedded::store::{Record, Sequence};

const VERSION: u8 = 1;
const HEADER: usize = 1 + 4 + 8 + 8;
const RECORD_HEADER: usize = 8 + 8 + 2 + 4;
/// Payload of one value, about: a larger record has one of its own.
const BYTES: usize = 256 * 1024;

/// Why a value cannot be what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("it was written by a newer version (format {0})")]
    Version(u8),
    #[error("a checksum is wrong")]
    Checksum,
    #[error("it is cut short")]
    Short,
}

/// Divides records of a shard into values. Each comes with its first index.
pub(super) fn encode<'a>(
    records: impl IntoIterator<Item = &'a Arc<Record>>,
) -> Vec<(u64, Vec<u8>)> {
    let mut chunks: Vec<(u64, Vec<u8>)> = Vec::new();
    for record in records {
        let size = RECORD_HEADER + record.partition_key.len() + record.data.len();
        let chunk = match chunks.last_mut() {
            Some((_, chunk)) if chunk.len() + size <= BYTES => chunk,
            _ => {
                let mut chunk = Vec::with_capacity(size.max(1024) + HEADER);
                chunk.resize(HEADER, VERSION);
                &mut chunks.push_mut((record.sequence.index(), chunk)).1
            }
        };
        append(chunk, record);
    }
    for (_, chunk) in &mut chunks {
        let sum = chunk.get(5..).map_or(0, crc32fast::hash);
        put(chunk, 1, &sum.to_be_bytes());
    }
    chunks
}

fn append(chunk: &mut Vec<u8>, record: &Record) {
    let (index, arrival) = (record.sequence.index(), record.arrival);
    put(chunk, 5, &index.to_be_bytes());
    put(chunk, 13, &arrival.to_be_bytes());
    // Both are far below: a key has at most 256 characters, a record at most 10 MiB.
    let key = u16::try_from(record.partition_key.len()).unwrap_or(u16::MAX);
    let data = u32::try_from(record.data.len()).unwrap_or(u32::MAX);
    chunk.extend_from_slice(&index.to_be_bytes());
    chunk.extend_from_slice(&arrival.to_be_bytes());
    chunk.extend_from_slice(&key.to_be_bytes());
    chunk.extend_from_slice(&data.to_be_bytes());
    chunk.extend_from_slice(record.partition_key.as_bytes());
    chunk.extend_from_slice(&record.data);
}

fn put(chunk: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = chunk.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Index and arrival time of the last record in a value, by its header.
pub(super) fn last(value: &[u8]) -> Result<(u64, u64), Damage> {
    let mut rest = value;
    let [version] = take(&mut rest)?;
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    let [_, _, _, _] = take(&mut rest)?;
    Ok((
        u64::from_be_bytes(take(&mut rest)?),
        u64::from_be_bytes(take(&mut rest)?),
    ))
}

/// The records of a value, from a shard whose numbers begin with `second`.
pub(super) fn decode(value: &[u8], second: u64, shard: u32) -> Result<Vec<Arc<Record>>, Damage> {
    let mut rest = value;
    let [version] = take(&mut rest)?;
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    if u32::from_be_bytes(take(&mut rest)?) != crc32fast::hash(rest) {
        return Err(Damage::Checksum);
    }
    let _: [u8; 16] = take(&mut rest)?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let index = u64::from_be_bytes(take(&mut rest)?);
        let arrival = u64::from_be_bytes(take(&mut rest)?);
        let key = usize::from(u16::from_be_bytes(take(&mut rest)?));
        let data = u32::from_be_bytes(take(&mut rest)?) as usize;
        let key = rest.split_off(..key).ok_or(Damage::Short)?;
        let data = rest.split_off(..data).ok_or(Damage::Short)?;
        records.push(Arc::new(Record {
            sequence: Sequence::new(second, shard, index, arrival / 1000),
            arrival,
            partition_key: str::from_utf8(key).map_err(|_| Damage::Short)?.into(),
            data: Bytes::copy_from_slice(data),
            order: 0,
        }));
    }
    Ok(records)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Damage> {
    let bytes = rest.split_off(..N).ok_or(Damage::Short)?;
    bytes.try_into().map_err(|_| Damage::Short)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn records() -> impl Strategy<Value = Vec<Arc<Record>>> {
        let data = (0..40_000_usize, any::<u8>()).prop_map(|(size, byte)| vec![byte; size]);
        let one = (1..1000_u64, 0..100_000_u64, ".{0,20}", data);
        vec(one, 1..30).prop_map(|parts| {
            let mut index = 0;
            let records = parts.into_iter().map(|(gap, arrival, key, data)| {
                index += gap;
                Arc::new(Record {
                    sequence: Sequence::new(7, 3, index, arrival / 1000),
                    arrival,
                    partition_key: key.into(),
                    data: data.into(),
                    order: 0,
                })
            });
            records.collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn what_was_written_is_read(records in records()) {
            let mut read = Vec::new();
            for (first, value) in encode(&records) {
                let chunk = decode(&value, 7, 3).unwrap();
                prop_assert_eq!(chunk[0].sequence.index(), first);
                let end = chunk.last().unwrap();
                prop_assert_eq!(last(&value), Ok((end.sequence.index(), end.arrival)));
                read.extend(chunk);
            }
            prop_assert_eq!(format!("{read:?}"), format!("{records:?}"));
        }

        #[test]
        fn a_flipped_bit_or_a_cut_is_noticed(records in records(), at: prop::sample::Index, bit in 0..8_u8, cut: bool) {
            let (_, mut value) = encode(&records).remove(0);
            let at = at.index(value.len());
            if cut {
                value.truncate(at);
            } else {
                value[at] ^= 1 << bit;
            }
            prop_assert!(decode(&value, 7, 3).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes, 7, 3);
            let _ = last(&bytes);
        }
    }
}
