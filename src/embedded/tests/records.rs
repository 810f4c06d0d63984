//! Writing records, and reading them by iterators.

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};

use super::*;

impl Kinesis {
    async fn iterator(
        &self,
        shard: &str,
        kind: ShardIteratorType,
        sequence: Option<String>,
    ) -> Result<String, String> {
        let iterator = self
            .client
            .get_shard_iterator()
            .stream_name(STREAM)
            .shard_id(shard)
            .shard_iterator_type(kind);
        let iterator = iterator.set_starting_sequence_number(sequence).send().await;
        iterator
            .map(|output| output.shard_iterator.unwrap())
            .map_err(|error| code(&error))
    }

    async fn get(&self, iterator: &str, limit: i32) -> Result<GetRecordsOutput, String> {
        let get = self
            .client
            .get_records()
            .shard_iterator(iterator)
            .limit(limit);
        get.send().await.map_err(|error| code(&error))
    }
}

fn entry(key: &str, data: &[u8]) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder()
        .partition_key(key)
        .data(Blob::new(data))
        .build()
        .unwrap()
}

both_ways! {
    async fn records_of_one_call_keep_their_order_and_say_where_they_went(kinesis = Config::default()) {
        kinesis.stream(2).await;
        let keys = ["a", "b", "c", "a", "b", "c"];
        let put = kinesis.client.put_records().stream_name(STREAM);
        let put = put.set_records(Some(keys.iter().map(|key| entry(key, key.as_bytes())).collect()));
        let output = put.send().await.unwrap();
        assert_eq!((output.failed_record_count, output.records.len()), (Some(0), keys.len()));
        for (first, second) in output.records.iter().zip(output.records.iter().skip(3)) {
            assert_eq!(first.shard_id, second.shard_id);
            assert!(first.sequence_number < second.sequence_number, "56 digits each, so texts compare as numbers");
        }
        let explicit = kinesis.client.put_record().stream_name(STREAM).partition_key("a").data(Blob::new("x"));
        let explicit = explicit.explicit_hash_key(u128::MAX.to_string()).send().await.unwrap();
        assert_eq!(explicit.shard_id, "shardId-000000000001");
    }

    async fn a_closed_shard_is_paged_through_to_its_children(kinesis = Config::default()) {
        kinesis.stream(1).await;
        let mut sequences = Vec::new();
        for number in 0..5 {
            sequences.push(kinesis.put("a", &[number]).await);
        }
        let split = kinesis.client.split_shard().stream_name(STREAM).shard_to_split(SHARD);
        split.new_starting_hash_key("1000").send().await.unwrap();
        let mut iterator = Some(kinesis.iterator(SHARD, ShardIteratorType::TrimHorizon, None).await.unwrap());
        let mut read = Vec::new();
        let mut children = Vec::new();
        while let Some(at) = iterator {
            let output = kinesis.get(&at, 2).await.unwrap();
            assert!(children.is_empty());
            read.extend(output.records.iter().map(|record| record.sequence_number.clone()));
            children = output.child_shards.unwrap_or_default();
            iterator = output.next_shard_iterator;
        }
        assert_eq!(read, sequences);
        assert_eq!(children.len(), 2);
    }

    async fn iterators_begin_where_they_are_told(kinesis = Config::default()) {
        kinesis.stream(1).await;
        let first = kinesis.put("a", b"1").await;
        let second = kinesis.put("a", b"2").await;
        for (kind, sequence, expected) in [
            (ShardIteratorType::TrimHorizon, None, vec![&first, &second]),
            (ShardIteratorType::Latest, None, vec![]),
            (ShardIteratorType::AtSequenceNumber, Some(&second), vec![&second]),
            (ShardIteratorType::AfterSequenceNumber, Some(&first), vec![&second]),
        ] {
            let iterator = kinesis.iterator(SHARD, kind, sequence.cloned()).await.unwrap();
            let output = kinesis.get(&iterator, 10).await.unwrap();
            assert_eq!(output.records.iter().map(|record| &record.sequence_number).collect::<Vec<_>>(), expected);
            assert_eq!(output.millis_behind_latest, Some(0));
            assert!(output.next_shard_iterator.is_some() && output.child_shards.is_none());
        }
        let at_time = kinesis.client.get_shard_iterator().stream_name(STREAM).shard_id(SHARD);
        let at_time = at_time.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_secs(1));
        let iterator = at_time.send().await.unwrap().shard_iterator.unwrap();
        assert_eq!(kinesis.get(&iterator, 10).await.unwrap().records.len(), 2);
    }

    async fn iterators_that_are_forged_or_too_old_are_refused(kinesis = Config { token_lifetime: Duration::ZERO, ..Config::default() }) {
        kinesis.stream(1).await;
        let iterator = kinesis.iterator(SHARD, ShardIteratorType::TrimHorizon, None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(kinesis.get(&iterator, 1).await.unwrap_err(), "ExpiredIteratorException");
        let mut forged = iterator.into_bytes();
        forged[20] ^= 1;
        for forged in [String::from_utf8(forged).unwrap().as_str(), "x", "AAAA", "öö"] {
            assert_eq!(kinesis.get(forged, 1).await.unwrap_err(), "InvalidArgumentException");
        }
    }

    async fn iterators_that_make_no_sense_are_refused(kinesis = Config::default()) {
        kinesis.stream(2).await;
        let sequence = kinesis.put("a", b"1").await;
        let other = kinesis.iterator("shardId-000000000000", ShardIteratorType::AtSequenceNumber, Some(sequence.clone())).await;
        let same = kinesis.iterator("shardId-000000000001", ShardIteratorType::AtSequenceNumber, Some(sequence.clone())).await;
        let refused = [other, same].into_iter().filter_map(Result::err).collect::<Vec<_>>();
        assert_eq!(refused, ["InvalidArgumentException"], "a sequence number is of one shard");
        for (shard, kind, sequence, expected) in [
            (SHARD, ShardIteratorType::AtSequenceNumber, None, "InvalidArgumentException"),
            (SHARD, ShardIteratorType::Latest, Some(sequence), "InvalidArgumentException"),
            (SHARD, ShardIteratorType::AtSequenceNumber, Some("x".to_owned()), "ValidationException"),
            (SHARD, ShardIteratorType::from("NEAR"), None, "ValidationException"),
            ("shardId-000000000007", ShardIteratorType::Latest, None, "ResourceNotFoundException"),
        ] {
            assert_eq!(kinesis.iterator(shard, kind, sequence).await.unwrap_err(), expected);
        }
    }

    async fn what_is_too_much_is_refused_as_a_whole(kinesis = Config::default()) {
        kinesis.stream(1).await;
        let put = |records: Vec<PutRecordsRequestEntry>| {
            let put = kinesis.client.put_records().stream_name(STREAM).set_records(Some(records));
            async { put.send().await.map(|_| ()).map_err(|error| code(&error)) }
        };
        let mib = 1024 * 1024;
        assert_eq!(put(vec![]).await.unwrap_err(), "ValidationException");
        assert_eq!(put(vec![entry("a", b""); 501]).await.unwrap_err(), "ValidationException");
        assert_eq!(put(vec![entry("a", b"x"), entry("a", &vec![0; mib])]).await.unwrap_err(), "InvalidArgumentException");
        assert_eq!(put(vec![entry("a", &vec![0; mib - 1]); 11]).await.unwrap_err(), "InvalidArgumentException");
        assert_eq!(put(vec![entry(&"k".repeat(257), b"x")]).await.unwrap_err(), "ValidationException");
        assert_eq!(put(vec![entry("", b"x")]).await.unwrap_err(), "ValidationException");
        assert_eq!(kinesis.service.kept_bytes(), 0);
        put(vec![entry("a", &vec![0; mib - 1]); 10]).await.unwrap();
        put(vec![entry(&"ä".repeat(256), b"")]).await.unwrap();
        put(vec![entry("a", b""); 500]).await.unwrap();
    }
}
