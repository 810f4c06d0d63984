//! Enhanced fan-out.

use std::time::Instant;

use aws_sdk_kinesis::types::ShardIteratorType;
use futures_util::future::join_all;

use super::*;

fn start(kind: ShardIteratorType) -> StartingPosition {
    StartingPosition::builder().r#type(kind).build().unwrap()
}

fn latest() -> StartingPosition {
    start(ShardIteratorType::Latest)
}

fn horizon() -> StartingPosition {
    start(ShardIteratorType::TrimHorizon)
}

fn after(sequence: &str) -> StartingPosition {
    let kind = ShardIteratorType::AfterSequenceNumber;
    StartingPosition::builder()
        .r#type(kind)
        .sequence_number(sequence)
        .build()
        .unwrap()
}

fn quick() -> Config {
    Config {
        heartbeat: Duration::from_millis(50),
        takeover_after: Duration::from_millis(300),
        subscription_lifetime: Duration::from_millis(700),
        ..Config::default()
    }
}

/// Nothing happens by time.
fn patient() -> Config {
    Config {
        takeover_after: Duration::ZERO,
        ..Config::default()
    }
}

both_ways! {
    async fn a_record_is_pushed_when_it_arrives(kinesis = patient()) {
        let arn = kinesis.stream(1).await;
        let consumer = kinesis.register(&arn, "reader").await;
        let mut events = kinesis.subscribe(&consumer, SHARD, latest()).await.unwrap();
        let first = event(&mut events).await;
        assert_eq!((first.records.len(), first.millis_behind_latest), (0, 0));
        assert!(!first.continuation_sequence_number.is_empty());
        for text in ["one", "two"] {
            let begin = Instant::now();
            let sequence = kinesis.put("lobby", text.as_bytes()).await;
            let event = event(&mut events).await;
            // The next empty event is five seconds away.
            assert!(begin.elapsed() < Duration::from_secs(4));
            let [record] = event.records() else { panic!("{event:?}") };
            assert_eq!(record.data.as_ref(), text.as_bytes());
            assert_eq!(record.partition_key(), Some("lobby"));
            assert_eq!(record.sequence_number, sequence);
            assert!(record.approximate_arrival_timestamp.is_some());
            assert_eq!(event.continuation_sequence_number, sequence);
            assert_eq!(event.millis_behind_latest, 0);
        }
    }

    async fn a_silent_shard_sends_empty_events_that_can_be_continued_from(kinesis = quick()) {
        let arn = kinesis.stream(1).await;
        let consumer = kinesis.register(&arn, "reader").await;
        let first = kinesis.put("a", b"1").await;
        let mut events = kinesis.subscribe(&consumer, SHARD, latest()).await.unwrap();
        for _ in 0..3 {
            let event = event(&mut events).await;
            assert_eq!((event.records.len(), event.continuation_sequence_number.as_str()), (0, first.as_str()));
        }
    }

    async fn a_subscription_expires_and_goes_on_from_its_last_continuation(kinesis = quick()) {
        let arn = kinesis.stream(1).await;
        let consumer = kinesis.register(&arn, "reader").await;
        kinesis.put("a", b"1").await;
        let mut events = kinesis.subscribe(&consumer, SHARD, horizon()).await.unwrap();
        let mut continuation = event(&mut events).await.continuation_sequence_number;
        loop {
            match next(&mut events).await {
                Came::Event(event) => continuation = event.continuation_sequence_number,
                Came::End => break,
                Came::Exception(code) => panic!("{code}"),
            }
        }
        let second = kinesis.put("a", b"2").await;
        let mut events = kinesis.subscribe(&consumer, SHARD, after(&continuation)).await.unwrap();
        let event = event(&mut events).await;
        assert_eq!(event.records().iter().map(|record| &record.sequence_number).collect::<Vec<_>>(), [&second]);
    }

    async fn a_second_subscription_is_refused_and_later_takes_over(kinesis = quick()) {
        let arn = kinesis.stream(1).await;
        let consumer = kinesis.register(&arn, "reader").await;
        let mut older = kinesis.subscribe(&consumer, SHARD, latest()).await.unwrap();
        let refused = kinesis.subscribe(&consumer, SHARD, latest()).await.err();
        assert_eq!(refused.as_deref(), Some("ResourceInUseException"));
        let deadline = Instant::now() + DEADLINE;
        let mut newer = loop {
            if let Ok(events) = kinesis.subscribe(&consumer, SHARD, latest()).await {
                break events;
            }
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let end = loop {
            match next(&mut older).await {
                Came::Event(_) => {}
                end => break end,
            }
        };
        assert!(matches!(end, Came::Exception(code) if code == "ResourceInUseException"));
        event(&mut newer).await;
    }

    async fn a_split_ends_the_subscription_with_its_children(kinesis = patient()) {
        let arn = kinesis.stream(1).await;
        let consumer = kinesis.register(&arn, "reader").await;
        let mut events = kinesis.subscribe(&consumer, SHARD, horizon()).await.unwrap();
        let sequence = kinesis.put("a", b"last").await;
        assert_eq!(full_event(&mut events).await.continuation_sequence_number, sequence);
        let split = kinesis.client.split_shard().stream_name(STREAM).shard_to_split(SHARD);
        split.new_starting_hash_key((1_u128 << 127).to_string()).send().await.unwrap();
        for round in 0..2 {
            let last = event(&mut events).await;
            assert_eq!(last.records.len(), 0);
            assert_eq!(last.continuation_sequence_number, "", "the SDK's reading of none");
            let children = last.child_shards();
            assert_eq!(children.iter().map(|child| child.shard_id.as_str()).collect::<Vec<_>>(),
                ["shardId-000000000001", "shardId-000000000002"]);
            assert_eq!(children[0].parent_shards, [SHARD]);
            let range = children[1].hash_key_range.as_ref().unwrap();
            assert_eq!(range.starting_hash_key, (1_u128 << 127).to_string());
            assert!(matches!(next(&mut events).await, Came::End));
            if round == 0 {
                // Subscribed again at its end, a closed shard says the same at once.
                events = kinesis.subscribe(&consumer, SHARD, after(&sequence)).await.unwrap();
            }
        }
    }

    async fn a_merge_is_announced_by_both_parents(kinesis = patient()) {
        let arn = kinesis.stream(2).await;
        let consumer = kinesis.register(&arn, "reader").await;
        let shards = [SHARD, "shardId-000000000001"];
        let mut subscriptions = Vec::new();
        for shard in shards {
            subscriptions.push(kinesis.subscribe(&consumer, shard, latest()).await.unwrap());
        }
        let merge = kinesis.client.merge_shards().stream_arn(&arn).shard_to_merge(shards[0]);
        merge.adjacent_shard_to_merge(shards[1]).send().await.unwrap();
        for events in &mut subscriptions {
            let last = full_event(events).await;
            let [child] = last.child_shards() else { panic!("{last:?}") };
            assert_eq!(child.parent_shards, shards);
            assert!(matches!(next(events).await, Came::End));
        }
    }

    async fn deregistering_ends_the_subscription_with_an_exception(kinesis = patient()) {
        let arn = kinesis.stream(1).await;
        let consumer = kinesis.register(&arn, "reader").await;
        let mut events = kinesis.subscribe(&consumer, SHARD, latest()).await.unwrap();
        event(&mut events).await;
        kinesis.client.deregister_stream_consumer().consumer_arn(&consumer).send().await.unwrap();
        assert!(matches!(next(&mut events).await, Came::Exception(code) if code == "ResourceNotFoundException"));
        let refused = kinesis.subscribe(&consumer, SHARD, latest()).await.err();
        assert_eq!(refused.as_deref(), Some("ResourceNotFoundException"));
    }

    async fn deleting_the_stream_ends_the_subscription_with_an_exception(kinesis = patient()) {
        let arn = kinesis.stream(1).await;
        let consumer = kinesis.register(&arn, "reader").await;
        let mut events = kinesis.subscribe(&consumer, SHARD, latest()).await.unwrap();
        event(&mut events).await;
        let delete = || kinesis.client.delete_stream().stream_name(STREAM);
        assert_eq!(code(&delete().send().await.unwrap_err()), "ResourceInUseException");
        delete().enforce_consumer_deletion(true).send().await.unwrap();
        assert!(matches!(next(&mut events).await, Came::Exception(code) if code == "ResourceNotFoundException"));
    }

    async fn a_backlog_of_large_records_is_read_through(kinesis = patient()) {
        let arn = kinesis.stream(1).await;
        let consumer = kinesis.register(&arn, "reader").await;
        let mut sequences = Vec::new();
        for _ in 0..6 {
            sequences.push(kinesis.put("a", &vec![b'x'; 1024 * 1024 - 1]).await);
        }
        let mut events = kinesis.subscribe(&consumer, SHARD, horizon()).await.unwrap();
        let mut read = Vec::new();
        while read.len() < sequences.len() {
            let event = event(&mut events).await;
            assert_eq!(event.records.len(), 1, "each is as much as one event holds");
            read.extend(event.records.into_iter().map(|record| record.sequence_number));
        }
        assert_eq!(read, sequences);
    }

    async fn every_consumer_gets_every_record(kinesis = patient()) {
        let arn = kinesis.stream(1).await;
        let mut subscriptions = Vec::new();
        for number in 0..20 {
            let consumer = kinesis.register(&arn, &format!("reader-{number}")).await;
            subscriptions.push(kinesis.subscribe(&consumer, SHARD, latest()).await.unwrap());
        }
        let refused = kinesis.client.register_stream_consumer().stream_arn(&arn).consumer_name("one-more").send().await;
        assert_eq!(code(&refused.unwrap_err()), "LimitExceededException");
        let sequence = kinesis.put("a", b"for all").await;
        let all = join_all(subscriptions.iter_mut().map(full_event)).await;
        assert!(all.iter().all(|event| event.records[0].sequence_number == sequence));
    }

    async fn a_dropped_subscription_is_forgotten(kinesis = quick()) {
        let arn = kinesis.stream(1).await;
        let consumer = kinesis.register(&arn, "reader").await;
        let events = kinesis.subscribe(&consumer, SHARD, latest()).await.unwrap();
        assert_eq!(kinesis.service.subscriptions(), 1);
        drop(events);
        let deadline = Instant::now() + DEADLINE;
        while kinesis.service.subscriptions() > 0 {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn what_cannot_be_subscribed_to_is_refused(kinesis = patient()) {
        let arn = kinesis.stream(1).await;
        let consumer = kinesis.register(&arn, "reader").await;
        let other_time = format!("{}:1", consumer.rsplit_once(':').unwrap().0);
        for (consumer, shard, start, expected) in [
            (consumer.as_str(), "shardId-000000000009", latest(), "ResourceNotFoundException"),
            (other_time.as_str(), SHARD, latest(), "ResourceNotFoundException"),
            ("nonsense", SHARD, latest(), "ValidationException"),
            (&consumer, "no shard!", latest(), "ValidationException"),
            (&consumer, SHARD, after("1"), "InvalidArgumentException"),
            (&consumer, SHARD, start(ShardIteratorType::AtTimestamp), "InvalidArgumentException"),
            (&consumer, SHARD, start(ShardIteratorType::from("SOMEWHERE")), "ValidationException"),
        ] {
            let refused = kinesis.subscribe(consumer, shard, start, ).await.err();
            assert_eq!(refused.as_deref(), Some(expected), "{consumer} {shard}");
        }
        let dry = kinesis.client.subscribe_to_shard().consumer_arn(&consumer).shard_id(SHARD).starting_position(latest());
        assert_eq!(code(&dry.dry_run(true).send().await.unwrap_err()), "DryRunOperationException");
        kinesis.subscribe(&consumer, SHARD, latest()).await.unwrap();
    }
}
