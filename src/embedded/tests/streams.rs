//! Streams, shards and consumers, as they are made, listed and described.

use aws_sdk_kinesis::operation::list_shards::builders::ListShardsFluentBuilder;
use aws_sdk_kinesis::types::{
    ConsumerStatus, ScalingType, ShardFilter, ShardFilterType, StreamMode, StreamModeDetails,
    StreamStatus,
};

use super::*;

/// The ids of all shards a listing gives, page by page.
async fn ids(kinesis: &Kinesis, list: ListShardsFluentBuilder) -> Vec<u32> {
    let mut page = list.send().await.unwrap();
    let mut ids = Vec::new();
    loop {
        let shards = page.shards.take().unwrap_or_default();
        ids.extend(
            shards
                .iter()
                .map(|shard| shard.shard_id["shardId-".len()..].parse::<u32>().unwrap()),
        );
        let Some(token) = page.next_token else {
            return ids;
        };
        page = kinesis
            .client
            .list_shards()
            .next_token(token)
            .max_results(2)
            .send()
            .await
            .unwrap();
    }
}

fn filter(kind: ShardFilterType) -> ShardFilter {
    ShardFilter::builder().r#type(kind).build().unwrap()
}

both_ways! {
    async fn a_stream_lives_from_its_creation_to_its_deletion(kinesis = Config { creating_time: Duration::from_millis(150), ..Config::default() }) {
        let client = &kinesis.client;
        let create = || client.create_stream().stream_name("events").shard_count(3).tags("team", "chat");
        create().send().await.unwrap();
        assert_eq!(code(&create().send().await.unwrap_err()), "ResourceInUseException");
        let status = || async {
            let summary = client.describe_stream_summary().stream_name("events").send().await;
            summary.map(|summary| summary.stream_description_summary.unwrap().stream_status).map_err(|error| code(&error))
        };
        assert_eq!(status().await, Ok(StreamStatus::Creating));
        while status().await == Ok(StreamStatus::Creating) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let stream = client.describe_stream().stream_name("events").send().await.unwrap().stream_description.unwrap();
        assert_eq!(stream.stream_status, StreamStatus::Active);
        assert_eq!(stream.stream_arn, "arn:aws:kinesis:us-east-1:000000000000:stream/events");
        assert_eq!((stream.shards.len(), stream.has_more_shards, stream.retention_period_hours), (3, false, 24));
        let range = stream.shards[0].hash_key_range.as_ref().unwrap();
        assert_eq!(range.ending_hash_key, "113427455640312821154458202477256070484");
        let sequences = stream.shards[0].sequence_number_range.as_ref().unwrap();
        assert_eq!((sequences.starting_sequence_number.len(), &sequences.ending_sequence_number), (56, &None));
        client.delete_stream().stream_arn(&stream.stream_arn).send().await.unwrap();
        assert_eq!(status().await, Ok(StreamStatus::Deleting));
        while status().await == Ok(StreamStatus::Deleting) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(status().await.unwrap_err(), "ResourceNotFoundException");
    }

    async fn streams_are_listed_page_by_page(kinesis = Config::default()) {
        for name in ["c", "a", "e", "b", "d"] {
            kinesis.service.create_stream_if_missing(name, 1).unwrap();
        }
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let page = kinesis.client.list_streams().limit(2).set_next_token(token).send().await.unwrap();
            assert_eq!(page.stream_summaries().len(), page.stream_names.len());
            assert_eq!(page.has_more_streams, page.next_token.is_some());
            names.extend(page.stream_names);
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(names, ["a", "b", "c", "d", "e"]);
        let rest = kinesis.client.list_streams().exclusive_start_stream_name("c").send().await.unwrap();
        assert_eq!(rest.stream_names, ["d", "e"]);
    }

    async fn shards_are_listed_page_by_page_and_by_filter(kinesis = Config::default()) {
        let arn = kinesis.stream(4).await;
        let list = || kinesis.client.list_shards().stream_name(STREAM);
        assert_eq!(ids(&kinesis, list().max_results(3)).await, [0, 1, 2, 3]);
        assert_eq!(ids(&kinesis, list().exclusive_start_shard_id("shardId-000000000001")).await, [2, 3]);
        let merge = kinesis.client.merge_shards().stream_name(STREAM).shard_to_merge(SHARD);
        merge.adjacent_shard_to_merge("shardId-000000000001").send().await.unwrap();
        let by = |kind| kinesis.client.list_shards().stream_arn(&arn).max_results(2).shard_filter(filter(kind));
        assert_eq!(ids(&kinesis, by(ShardFilterType::AtLatest)).await, [2, 3, 4]);
        assert_eq!(ids(&kinesis, by(ShardFilterType::AtTrimHorizon)).await, [0, 1, 2, 3]);
        assert_eq!(ids(&kinesis, by(ShardFilterType::FromTrimHorizon)).await, [0, 1, 2, 3, 4]);
        let from_id = ShardFilter::builder().r#type(ShardFilterType::AfterShardId).shard_id("shardId-000000000002");
        assert_eq!(ids(&kinesis, list().shard_filter(from_id.build().unwrap())).await, [3, 4]);
        let all = list().send().await.unwrap().shards.unwrap();
        assert_eq!(all[4].parent_shard_id(), Some(SHARD));
        assert_eq!(all[4].adjacent_parent_shard_id(), Some("shardId-000000000001"));
        assert!(all[0].sequence_number_range.as_ref().unwrap().ending_sequence_number.is_some());
        let page = list().max_results(1).send().await.unwrap();
        let both = list().set_next_token(page.next_token).send().await;
        assert_eq!(code(&both.unwrap_err()), "InvalidArgumentException");
        let forged = kinesis.client.list_shards().next_token("forged").send().await;
        assert_eq!(code(&forged.unwrap_err()), "InvalidArgumentException");
        let incomplete = list().shard_filter(filter(ShardFilterType::AtTimestamp)).send().await;
        assert_eq!(code(&incomplete.unwrap_err()), "InvalidArgumentException");
    }

    async fn the_shard_count_is_updated(kinesis = Config::default()) {
        kinesis.stream(1).await;
        let update = |target| kinesis.client.update_shard_count().stream_name(STREAM).target_shard_count(target)
            .scaling_type(ScalingType::UniformScaling);
        let output = update(2).send().await.unwrap();
        assert_eq!((output.current_shard_count, output.target_shard_count), (Some(1), Some(2)));
        let list = kinesis.client.list_shards().stream_name(STREAM).shard_filter(filter(ShardFilterType::AtLatest));
        assert_eq!(ids(&kinesis, list).await, [1, 2]);
        assert_eq!(code(&update(5).send().await.unwrap_err()), "LimitExceededException");
    }

    async fn consumers_are_registered_listed_and_described(kinesis = Config::default()) {
        let arn = kinesis.stream(1).await;
        for name in ["c", "a", "b"] {
            kinesis.register(&arn, name).await;
        }
        let again = kinesis.client.register_stream_consumer().stream_arn(&arn).consumer_name("a").send().await;
        assert_eq!(code(&again.unwrap_err()), "ResourceInUseException");
        let page = kinesis.client.list_stream_consumers().stream_arn(&arn).max_results(2).send().await.unwrap();
        let rest = kinesis.client.list_stream_consumers().stream_arn(&arn).set_next_token(page.next_token.clone());
        let rest = rest.send().await.unwrap();
        assert!(rest.next_token.is_none());
        let names: Vec<_> = page.consumers().iter().chain(rest.consumers()).map(|c| c.consumer_name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let by_name = kinesis.client.describe_stream_consumer().stream_arn(&arn).consumer_name("a").send().await.unwrap();
        let described = by_name.consumer_description.unwrap();
        assert_eq!((&described.consumer_status, &described.stream_arn), (&ConsumerStatus::Active, &arn));
        kinesis.client.deregister_stream_consumer().consumer_arn(&described.consumer_arn).send().await.unwrap();
        let by_arn = kinesis.client.describe_stream_consumer().consumer_arn(&described.consumer_arn).send().await;
        assert_eq!(code(&by_arn.unwrap_err()), "ResourceNotFoundException");
        let summary = kinesis.client.describe_stream_summary().stream_arn(&arn).send().await.unwrap();
        assert_eq!(summary.stream_description_summary.unwrap().consumer_count, Some(2));
    }

    async fn what_does_not_exist_or_makes_no_sense_is_refused(kinesis = Config { open_shards: 4, ..Config::default() }) {
        let client = &kinesis.client;
        let create = |name: &str, shards| client.create_stream().stream_name(name).shard_count(shards);
        assert_eq!(code(&create("no spaces", 1).send().await.unwrap_err()), "ValidationException");
        assert_eq!(code(&create("a", 0).send().await.unwrap_err()), "ValidationException");
        assert_eq!(code(&create("a", 5).send().await.unwrap_err()), "LimitExceededException");
        assert_eq!(code(&client.create_stream().stream_name("a").send().await.unwrap_err()), "ValidationException");
        let on_demand = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap();
        client.create_stream().stream_name("a").stream_mode_details(on_demand).send().await.unwrap();
        let split = client.split_shard().stream_name("a").shard_to_split(SHARD).new_starting_hash_key("100");
        assert_eq!(code(&split.send().await.unwrap_err()), "LimitExceededException");
        let describe = || client.describe_stream_summary();
        assert_eq!(code(&describe().stream_name("b").send().await.unwrap_err()), "ResourceNotFoundException");
        assert_eq!(code(&describe().send().await.unwrap_err()), "InvalidArgumentException");
        for (arn, expected) in [
            ("arn:aws:kinesis:us-east-1:000000000000:stream/b", "ResourceNotFoundException"),
            ("arn:aws:kinesis:eu-west-1:000000000000:stream/a", "ResourceNotFoundException"),
            ("arn:aws:kinesis:us-east-1:111111111111:stream/a", "ResourceNotFoundException"),
            ("arn:aws:kinesis:us-east-1:000000000000:table/a", "ValidationException"),
        ] {
            assert_eq!(code(&describe().stream_arn(arn).send().await.unwrap_err()), expected, "{arn}");
        }
        let lacking = client.get_resource_policy().resource_arn("arn:aws:kinesis:us-east-1:000000000000:stream/a").send().await;
        assert_eq!(code(&lacking.unwrap_err()), "UnknownOperationException");
    }
}
