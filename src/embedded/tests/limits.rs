//! Limits, as a client meets them. The store's tests say at which moment; these say that it gets through.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use futures_util::future::join_all;

use super::*;
use crate::embedded::Limits;

fn limited() -> Config {
    Config {
        limits: Limits::Aws,
        ..Config::default()
    }
}

fn entry(size: usize) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder()
        .partition_key("a")
        .data(Blob::new(vec![b'x'; size]))
        .build()
        .unwrap()
}

both_ways! {
    async fn what_a_shard_has_no_room_for_fails_by_itself(kinesis = limited()) {
        let arn = kinesis.stream(1).await;
        // One call is one moment: a MiB is stored of it, however slow the machine is.
        let sizes = [400_000, 400_000, 400_000, 1_000, 400_000, 500];
        let put = kinesis.client.put_records().stream_arn(&arn);
        let put = put.set_records(Some(sizes.map(entry).to_vec())).send().await.unwrap();
        assert_eq!(put.failed_record_count, Some(2));
        for result in put.records() {
            let is_stored = result.error_code().is_none();
            assert_eq!(result.sequence_number().is_some(), is_stored);
            assert_eq!(result.shard_id().is_some(), is_stored);
        }
        let failed: Vec<_> = put.records().iter().map(|result| result.error_code()).collect();
        let exceeded = Some("ProvisionedThroughputExceededException");
        assert_eq!(failed, [None, None, exceeded, None, exceeded, None]);
        assert_eq!(
            put.records()[2].error_message(),
            Some("Rate exceeded for shard shardId-000000000000 in stream messages under account 000000000000.")
        );
    }

    async fn too_many_calls_are_refused_and_later_ones_are_not(kinesis = limited()) {
        kinesis.stream(1).await;
        let calls = join_all((0..60).map(|_| kinesis.client.list_streams().send())).await;
        let refused: Vec<_> = calls.iter().filter_map(|call| call.as_ref().err()).map(code).collect();
        assert!((1..=55).contains(&refused.len()), "{} of 60 calls at 5 a second", refused.len());
        assert!(refused.iter().all(|code| code == "LimitExceededException"), "{refused:?}");
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while kinesis.client.list_streams().send().await.is_err() {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_throttled_is_taken_a_second_later() {
    let kinesis = Kinesis::in_process(limited());
    kinesis.stream(1).await;
    let put = || {
        let put = kinesis.client.put_record().stream_name(STREAM);
        put.partition_key("a")
            .data(vec![0; 1_000_000].into())
            .send()
    };
    put().await.unwrap();
    assert_eq!(
        code(&put().await.unwrap_err()),
        "ProvisionedThroughputExceededException"
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    put().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reading_is_throttled_after_a_large_answer() {
    let kinesis = Kinesis::in_process(limited());
    let arn = kinesis.stream(1).await;
    for _ in 0..3 {
        kinesis.put("a", &vec![0; 1024 * 1024 - 1]).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let iterator = kinesis.client.get_shard_iterator().stream_arn(&arn);
    let iterator = iterator
        .shard_id(SHARD)
        .shard_iterator_type(ShardIteratorType::TrimHorizon);
    let iterator = iterator.send().await.unwrap().shard_iterator;
    let get = || {
        let get = kinesis.client.get_records();
        get.set_shard_iterator(iterator.clone()).send()
    };
    assert_eq!(get().await.unwrap().records.len(), 3);
    assert_eq!(
        code(&get().await.unwrap_err()),
        "ProvisionedThroughputExceededException"
    );
    tokio::time::advance(Duration::from_millis(1_500)).await;
    assert_eq!(get().await.unwrap().records.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_comes_at_two_megabytes_a_second_and_without_an_error() {
    let kinesis = Kinesis::in_process(limited());
    let arn = kinesis.stream(1).await;
    let consumer = kinesis.register(&arn, "reader").await;
    for _ in 0..10 {
        kinesis.put("a", &vec![0; 1024 * 1024 - 1]).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let start = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon);
    let started = tokio::time::Instant::now();
    let mut events = kinesis
        .subscribe(&consumer, SHARD, start.build().unwrap())
        .await
        .unwrap();
    for _ in 0..10 {
        let event = full_event(&mut events).await;
        assert_eq!(event.records.len(), 1);
    }
    // Two megabytes at once, the other eight at two a second.
    assert_eq!(started.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn consumers_can_be_more_by_setting() {
    let kinesis = Kinesis::in_process(Config {
        consumers_per_stream: 50,
        ..limited()
    });
    let arn = kinesis.stream(1).await;
    for number in 0..50 {
        kinesis.register(&arn, &format!("reader-{number}")).await;
        tokio::time::advance(Duration::from_millis(200)).await;
    }
    let register = kinesis.client.register_stream_consumer().stream_arn(&arn);
    let refused = register.consumer_name("one-more").send().await;
    assert_eq!(code(&refused.unwrap_err()), "LimitExceededException");
}
