//! Tags of streams and consumers, and dry runs.

use std::collections::BTreeMap;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType, Tag};

use super::*;

fn pairs(tags: Vec<Tag>) -> Vec<(String, String)> {
    tags.into_iter()
        .map(|tag| (tag.key, tag.value.unwrap_or_default()))
        .collect()
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

impl Kinesis {
    async fn tags(&self, arn: &str) -> Result<Vec<(String, String)>, String> {
        let list = self.client.list_tags_for_resource().resource_arn(arn);
        match list.send().await {
            Ok(output) => Ok(pairs(output.tags.unwrap_or_default())),
            Err(error) => Err(code(&error)),
        }
    }
}

both_ways! {
    async fn a_stream_keeps_its_tags(kinesis = Config::default()) {
        let client = &kinesis.client;
        client.create_stream().stream_name(STREAM).shard_count(1).tags("team", "chat").tags("stage", "").send().await.unwrap();
        let arn = kinesis.stream(1).await;
        assert_eq!(kinesis.tags(&arn).await.unwrap(), expected(&[("stage", ""), ("team", "chat")]));
        client.add_tags_to_stream().stream_name(STREAM).tags("team", "news").tags("a", "1").send().await.unwrap();
        client.tag_resource().resource_arn(&arn).tags("b", "2").send().await.unwrap();
        let all = [("a", "1"), ("b", "2"), ("stage", ""), ("team", "news")];
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = client.list_tags_for_stream().stream_arn(&arn).limit(3).set_exclusive_start_tag_key(after);
            let page = page.send().await.unwrap();
            seen.extend(pairs(page.tags));
            after = seen.last().map(|(key, _)| key.clone());
            if !page.has_more_tags {
                break;
            }
            assert_eq!(seen.len(), 3);
        }
        assert_eq!(seen, expected(&all));
        client.remove_tags_from_stream().stream_name(STREAM).tag_keys("a").tag_keys("none").send().await.unwrap();
        client.untag_resource().resource_arn(&arn).tag_keys("stage").send().await.unwrap();
        assert_eq!(kinesis.tags(&arn).await.unwrap(), expected(&[("b", "2"), ("team", "news")]));
    }

    async fn a_consumer_keeps_its_tags_and_takes_them_with_it(kinesis = Config::default()) {
        let client = &kinesis.client;
        let arn = kinesis.stream(1).await;
        let register = || client.register_stream_consumer().stream_arn(&arn).consumer_name("reader");
        let first = register().tags("instance", "9f0c").send().await.unwrap().consumer.unwrap().consumer_arn;
        assert_eq!(kinesis.tags(&first).await.unwrap(), expected(&[("instance", "9f0c")]));
        client.tag_resource().resource_arn(&first).tags("b", "2").send().await.unwrap();
        client.untag_resource().resource_arn(&first).tag_keys("instance").send().await.unwrap();
        assert_eq!(kinesis.tags(&first).await.unwrap(), expected(&[("b", "2")]));
        assert_eq!(kinesis.tags(&arn).await.unwrap(), [], "the stream's are others");
        client.deregister_stream_consumer().consumer_arn(&first).send().await.unwrap();
        let second = register().send().await.unwrap().consumer.unwrap().consumer_arn;
        assert_eq!(kinesis.tags(&second).await.unwrap(), []);
        assert_eq!(kinesis.tags(&first).await.unwrap_err(), "ResourceNotFoundException");
    }

    async fn tags_that_cannot_be_are_refused(kinesis = Config::default()) {
        let client = &kinesis.client;
        let arn = kinesis.stream(1).await;
        let add = |tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let add = client.add_tags_to_stream().stream_name(STREAM).set_tags(Some(tags.collect()));
            async { add.send().await.map_err(|error| code(&error)) }
        };
        for (tags, wanted) in [
            (&[][..], "ValidationException"),
            (&[("", "x")], "ValidationException"),
            (&[(&*"k".repeat(129), "x")], "ValidationException"),
            (&[("k", &*"v".repeat(257))], "ValidationException"),
            (&[("k", "100%")], "InvalidArgumentException"),
            (&[("aws:k", "x")], "InvalidArgumentException"),
        ] {
            assert_eq!(add(tags).await.unwrap_err(), wanted, "{tags:?}");
        }
        add(&[(&*"ä".repeat(128), &*"v".repeat(256))]).await.unwrap();
        let many: BTreeMap<_, _> = (0..50).map(|n| (n.to_string(), String::new())).collect();
        let full = client.add_tags_to_stream().stream_name(STREAM).set_tags(Some(many.into_iter().collect()));
        assert_eq!(code(&full.send().await.unwrap_err()), "InvalidArgumentException");
        for (arn, wanted) in [
            ("arn:aws:kinesis:us-east-1:000000000000:table/a", "ValidationException"),
            ("arn:aws:kinesis:us-east-1:000000000000:queue/a", "ResourceNotFoundException"),
            ("arn:aws:kinesis:us-east-1:000000000000:stream/a", "ResourceNotFoundException"),
            (&*format!("{arn}/consumer/nobody:1"), "ResourceNotFoundException"),
        ] {
            assert_eq!(kinesis.tags(arn).await.unwrap_err(), wanted, "{arn}");
        }
    }

    async fn a_dry_run_answers_for_every_operation_that_has_one_and_changes_nothing(kinesis = Config::default()) {
        const DRY: &str = "DryRunOperationException";
        let client = &kinesis.client;
        let arn = kinesis.stream(1).await;
        let entry = PutRecordsRequestEntry::builder().partition_key("a").data(Blob::new("x")).build().unwrap();
        let many = client.put_records().stream_name(STREAM).records(entry).dry_run(true).send().await;
        assert_eq!(code(&many.unwrap_err()), DRY);
        let one = client.put_record().stream_name(STREAM).partition_key("a").data(Blob::new("x")).dry_run(true).send().await;
        assert_eq!(code(&one.unwrap_err()), DRY);
        assert_eq!(kinesis.service.kept_bytes(), 0);
        let iterator = || client.get_shard_iterator().stream_arn(&arn).shard_id(SHARD).shard_iterator_type(ShardIteratorType::Latest);
        assert_eq!(code(&iterator().dry_run(true).send().await.unwrap_err()), DRY);
        let iterator = iterator().dry_run(false).send().await.unwrap().shard_iterator.unwrap();
        let read = client.get_records().shard_iterator(iterator).dry_run(true).send().await;
        assert_eq!(code(&read.unwrap_err()), DRY);
        // A subscription that is there stays, and is not in the way of the question.
        let reader = kinesis.register(&arn, "reader").await;
        let position = StartingPosition::builder().r#type(ShardIteratorType::Latest).build().unwrap();
        let mut events = kinesis.subscribe(&reader, SHARD, position.clone()).await.unwrap();
        event(&mut events).await;
        let subscribe = |consumer: &str, shard: &str| {
            let subscribe = client.subscribe_to_shard().consumer_arn(consumer).shard_id(shard).starting_position(position.clone());
            async { code(&subscribe.dry_run(true).send().await.unwrap_err()) }
        };
        assert_eq!(subscribe(&reader, SHARD).await, DRY);
        assert_eq!(subscribe(&reader, "shardId-000000000007").await, "ResourceNotFoundException");
        assert_eq!(subscribe(&format!("{arn}/consumer/nobody:1"), SHARD).await, "ResourceNotFoundException");
        assert_eq!(kinesis.service.subscriptions(), 1);
        kinesis.put("a", b"x").await;
        assert_eq!(full_event(&mut events).await.records.len(), 1);
        // What would fail anyway fails as it would.
        let missing = client.put_record().stream_name("b").partition_key("a").data(Blob::new("x")).dry_run(true).send().await;
        assert_eq!(code(&missing.unwrap_err()), "ResourceNotFoundException");
    }
}
