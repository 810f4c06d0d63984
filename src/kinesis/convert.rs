//! From the SDK's types, in which nearly everything is a string or absent, to ours.

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types;
use bytes::Bytes;

use super::shard::{ChildShard, HashKeyRange, Shard, ShardId};
use super::{Error, Record};
use crate::message::{HashKey, SequenceNumber, Timestamp};

pub(super) fn shard(operation: &'static str, shard: types::Shard) -> Result<Shard, Error> {
    let wrong = |what: &str| Error::protocol(operation, &shard.shard_id, what);
    let sequence = |text: &str| {
        text.parse::<SequenceNumber>()
            .map_err(|_| wrong("a sequence number of the shard is none"))
    };
    let range = range(shard.hash_key_range.as_ref())
        .ok_or_else(|| wrong("the shard's hash key range is none"))?;
    let (starting, ending) = match &shard.sequence_number_range {
        None => (SequenceNumber::ZERO, None),
        Some(numbers) => (
            sequence(&numbers.starting_sequence_number)?,
            numbers
                .ending_sequence_number
                .as_deref()
                .map(sequence)
                .transpose()?,
        ),
    };
    let parents = [&shard.parent_shard_id, &shard.adjacent_parent_shard_id];
    Ok(Shard {
        parents: parents
            .into_iter()
            .flatten()
            .map(|id| ShardId::from(id.as_str()))
            .collect(),
        range,
        starting,
        ending,
        id: shard.shard_id.into(),
    })
}

pub(super) fn children(
    operation: &'static str,
    children: Option<Vec<types::ChildShard>>,
) -> Result<Vec<ChildShard>, Error> {
    let child = |child: types::ChildShard| {
        let range = range(child.hash_key_range.as_ref()).ok_or_else(|| {
            let what = "the child shard's hash key range is none";
            Error::protocol(operation, &child.shard_id, what)
        })?;
        Ok(ChildShard {
            id: child.shard_id.into(),
            parents: child.parent_shards.into_iter().map(ShardId::from).collect(),
            range,
        })
    };
    children
        .unwrap_or_default()
        .into_iter()
        .map(child)
        .collect()
}

fn range(range: Option<&types::HashKeyRange>) -> Option<HashKeyRange> {
    let range = range?;
    let key = |text: &str| text.parse().map(HashKey).ok();
    let (start, end) = (key(&range.starting_hash_key)?, key(&range.ending_hash_key)?);
    (start <= end).then_some(HashKeyRange { start, end })
}

pub(super) fn records(
    operation: &'static str,
    shard: &str,
    records: Vec<types::Record>,
) -> Result<Vec<Record>, Error> {
    let record = |record: types::Record| {
        let sequence = record.sequence_number.parse().map_err(|_| {
            let what = "a record's sequence number is none";
            Error::protocol(operation, shard, what)
        })?;
        Ok(Record {
            sequence,
            partition_key: record.partition_key.unwrap_or_default(),
            data: Bytes::from(record.data.into_inner()),
            arrival: record
                .approximate_arrival_timestamp
                .as_ref()
                .map_or(Timestamp::from_millis(0), timestamp),
        })
    };
    records.into_iter().map(record).collect()
}

pub(super) fn timestamp(time: &DateTime) -> Timestamp {
    let millis = time.to_millis().unwrap_or_default();
    Timestamp::from_millis(u64::try_from(millis).unwrap_or_default())
}

pub(super) fn date_time(time: Timestamp) -> DateTime {
    DateTime::from_millis(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(start: &str, end: &str) -> types::Shard {
        types::Shard::builder()
            .shard_id("shardId-000000000002")
            .parent_shard_id("shardId-000000000000")
            .hash_key_range(
                types::HashKeyRange::builder()
                    .starting_hash_key(start)
                    .ending_hash_key(end)
                    .build()
                    .unwrap(),
            )
            .sequence_number_range(
                types::SequenceNumberRange::builder()
                    .starting_sequence_number("7")
                    .build()
                    .unwrap(),
            )
            .build()
            .unwrap()
    }

    #[test]
    fn a_listed_shard_is_read_with_its_range_and_parents() {
        let all = u128::MAX.to_string();
        let shard = shard("ListShards", listed("0", &all)).unwrap();
        assert_eq!(shard.range, HashKeyRange::ALL);
        assert_eq!(shard.parents, [ShardId::from("shardId-000000000000")]);
        assert_eq!(shard.starting, SequenceNumber::from(7));
        assert!(shard.is_open());
    }

    #[test]
    fn a_range_that_is_none_is_an_error_that_names_the_shard() {
        for (start, end) in [("2", "1"), ("x", "1"), ("-1", "1"), ("", ""), ("0", "1e3")] {
            let error = shard("ListShards", listed(start, end)).unwrap_err();
            assert!(
                error.to_string().contains("shardId-000000000002"),
                "{error}"
            );
        }
    }
}
