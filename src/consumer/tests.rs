//! Over the wire: the whole consumer with the real client and the embedded service.

use std::collections::BTreeMap;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition as From};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::*;
use crate::embedded;
use crate::kinesis::{
    self, Endpoint, ErrorKind, PutEntry, PutOutcome, RegisteredConsumer, Shard, StreamArn, kpl,
};
use crate::log::{self, Begin};
use crate::message::Room;

const SOON: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_millis(5);
const STREAM: &str = "messages";
const NAME: &str = "reader";

/// Times as they suit tests: a hundredth of the true ones, or so.
fn quick() -> Config {
    Config {
        mode: Mode::Enhanced,
        name: Some(NAME.to_owned()),
        start: Start::TrimHorizon,
        list_interval: Duration::from_millis(500),
        upgrade_interval: Duration::from_millis(100),
        creating_limit: Duration::from_millis(500),
        rules: Rules {
            call_interval: Duration::from_millis(10),
            takeover_after: Duration::from_millis(50),
            silence: SOON,
            settled: Duration::from_millis(150),
            backoff_first: Duration::from_millis(10),
            backoff_last: Duration::from_millis(200),
            contended_last: Duration::from_secs(1),
        },
        polling: PollRules {
            busy: Duration::from_millis(5),
            idle: Duration::from_millis(20),
            backoff_last: Duration::from_millis(100),
            page: 100,
        },
        ..Config::default()
    }
}

fn quick_service() -> embedded::Config {
    embedded::Config {
        takeover_after: Duration::from_millis(45),
        heartbeat: Duration::from_millis(50),
        ..embedded::Config::default()
    }
}

struct World {
    service: embedded::Service,
    kinesis: Kinesis,
    /// For what the program itself never asks for.
    client: Client,
    log: Arc<Log>,
}

impl World {
    async fn new(shards: u32, config: embedded::Config) -> Self {
        let service = embedded::Service::new(config);
        if shards > 0 {
            service.create_stream_if_missing(STREAM, shards).unwrap();
        }
        let endpoint = Endpoint::InProcess(service.http_client());
        let config = kinesis::Config::new(STREAM, endpoint);
        let client = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .endpoint_url("http://embedded.invalid")
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .http_client(service.http_client())
            .build();
        Self {
            kinesis: kinesis::connect(&config).await.unwrap(),
            client: Client::from_conf(client),
            log: new_log(),
            service,
        }
    }

    async fn start(&self, config: Config) -> Consumer {
        start(self.kinesis.clone(), Arc::clone(&self.log), config)
            .await
            .unwrap()
    }

    async fn put(&self, key: &str, data: impl Into<Vec<u8>>) -> String {
        let entry = PutEntry {
            partition_key: key.to_owned(),
            data: data.into(),
        };
        let outcome = self.kinesis.put_records(vec![entry], SOON).await.unwrap();
        match &outcome[0] {
            PutOutcome::Stored { sequence, .. } => sequence.to_string(),
            other => panic!("{other:?}"),
        }
    }

    async fn say(&self, room: &str, text: &str) -> String {
        self.put(room, said(room, text, Uuid::new_v4())).await
    }

    fn shown(&self, room: &str) -> Vec<String> {
        shown(&self.log, room)
    }

    /// Waits until the room shows exactly that, and a moment more.
    async fn shows(&self, room: &str, texts: &[String]) {
        until(|| self.shown(room).len() >= texts.len()).await;
        assert_eq!(self.shown(room), texts);
    }

    async fn arn(&self) -> StreamArn {
        self.kinesis.describe_summary().await.unwrap().arn
    }

    async fn consumers(&self) -> Vec<RegisteredConsumer> {
        self.kinesis
            .list_consumers(&self.arn().await)
            .await
            .unwrap()
    }

    async fn split(&self) {
        let shards = self.kinesis.list_shards().await.unwrap();
        let widest = shards.iter().filter(|shard| shard.is_open());
        let widest = widest
            .max_by_key(|shard| shard.range.end.0 - shard.range.start.0)
            .unwrap();
        let middle = widest.range.start.0 + (widest.range.end.0 - widest.range.start.0) / 2;
        self.client
            .split_shard()
            .stream_name(STREAM)
            .shard_to_split(widest.id.as_str())
            .new_starting_hash_key(middle.to_string())
            .send()
            .await
            .unwrap();
    }

    async fn merge(&self) {
        let shards = self.kinesis.list_shards().await.unwrap();
        let mut open: Vec<_> = shards.into_iter().filter(Shard::is_open).collect();
        open.sort_by_key(|shard| shard.range.start);
        self.client
            .merge_shards()
            .stream_name(STREAM)
            .shard_to_merge(open[0].id.as_str())
            .adjacent_shard_to_merge(open[1].id.as_str())
            .send()
            .await
            .unwrap();
    }
}

fn new_log() -> Arc<Log> {
    let config = log::Config {
        history: 100_000,
        ..log::Config::default()
    };
    Log::new(config).0
}

fn shown(log: &Log, room: &str) -> Vec<String> {
    let Some(room) = log.find(&Room::new(room).unwrap()) else {
        return vec![];
    };
    let (mut node, mut shown) = (room.head(), vec![]);
    while let Some(next) = node.next().cloned() {
        shown.extend(next.entries.iter().map(|entry| entry.text.to_string()));
        node = next;
    }
    shown
}

fn said(room: &str, text: &str, id: Uuid) -> Vec<u8> {
    format!(r#"{{"id":"{id}","room":"{room}","text":"{text}"}}"#).into_bytes()
}

fn texts(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(MOMENT).await;
        }
    };
    timeout(SOON, wait).await.expect("it never came to be so");
}

async fn until_ready(consumer: &Consumer) -> Readiness {
    let mut readiness = consumer.readiness();
    let ready = readiness.wait_for(|readiness| readiness.ready);
    timeout(SOON, ready).await.unwrap().unwrap().clone()
}

#[tokio::test]
async fn messages_are_appended_in_the_order_of_the_stream() {
    let world = World::new(3, quick_service()).await;
    for text in texts(0..20) {
        for room in ["lobby", "a", "b", "c"] {
            world.say(room, &text).await;
        }
    }
    let consumer = world.start(quick()).await;
    let readiness = until_ready(&consumer).await;
    assert_eq!(readiness.shards.len(), 3);
    assert_eq!(readiness.behind().count(), 0, "{readiness:?}");
    for text in texts(20..40) {
        for room in ["lobby", "a", "b", "c"] {
            world.say(room, &text).await;
        }
    }
    for room in ["lobby", "a", "b", "c"] {
        world.shows(room, &texts(0..40)).await;
    }
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn it_is_ready_at_once_and_leaves_no_consumer_behind() {
    let world = World::new(1, quick_service()).await;
    let began = Instant::now();
    let consumer = world.start(quick()).await;
    until_ready(&consumer).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(world.consumers().await.len(), 1);
    assert_eq!(consumer.name(), NAME);
    consumer.stop(SOON).await;
    assert_eq!(world.consumers().await.len(), 0);
    until(|| world.service.subscriptions() == 0).await;
}

#[tokio::test]
async fn subscriptions_expire_with_neither_gap_nor_repeat() {
    let service = embedded::Config {
        subscription_lifetime: Duration::from_millis(200),
        ..quick_service()
    };
    let world = World::new(2, service).await;
    let consumer = world.start(quick()).await;
    // Without ids, so that nothing but the reader itself guards against repeats.
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < Duration::from_secs(2) {
        let text = format!(r#"{{"room":"a","text":"{sent}"}}"#);
        world.put("a", text).await;
        sent += 1;
        sleep(MOMENT).await;
    }
    world.shows("a", &texts(0..sent)).await;
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn a_subscription_that_goes_silent_is_renewed() {
    let service = embedded::Config {
        heartbeat: SOON,
        ..quick_service()
    };
    let world = World::new(1, service).await;
    let mut config = quick();
    config.rules.silence = Duration::from_millis(100);
    let consumer = world.start(config).await;
    let mut readiness = consumer.readiness();
    let silent = |readiness: &Readiness| {
        let mut shards = readiness.shards.iter();
        shards.any(|shard| shard.state == ShardState::Connecting("silent"))
    };
    timeout(SOON, readiness.wait_for(silent))
        .await
        .unwrap()
        .unwrap();
    world.say("lobby", "0").await;
    world.shows("lobby", &texts(0..1)).await;
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn a_shard_that_another_process_takes_over_is_taken_back_and_at_last_under_another_name() {
    let world = World::new(1, quick_service()).await;
    let mut config = quick();
    config.rules.settled = SOON;
    let consumer = world.start(config).await;
    until_ready(&consumer).await;
    let victim = world.consumers().await.remove(0);
    let shard = world.kinesis.list_shards().await.unwrap().remove(0).id;
    let thief = async {
        loop {
            let latest = From::builder().r#type(ShardIteratorType::Latest);
            let taken = world
                .client
                .subscribe_to_shard()
                .consumer_arn(victim.arn.as_str())
                .shard_id(shard.as_str())
                .starting_position(latest.build().unwrap())
                .send()
                .await;
            if let Ok(mut taken) = taken {
                while let Ok(Some(_)) = taken.event_stream.recv().await {}
            }
            sleep(MOMENT).await;
        }
    };
    let writer = async {
        let mut sent = 0;
        while world.consumers().await.len() < 2 {
            world
                .put("a", format!(r#"{{"room":"a","text":"{sent}"}}"#))
                .await;
            sent += 1;
            sleep(MOMENT).await;
        }
        sent
    };
    let sent = tokio::select! {
        sent = writer => sent,
        () = thief => unreachable!(),
        () = sleep(SOON) => panic!("it never took another name"),
    };
    world.shows("a", &texts(0..sent)).await;
    let names = world
        .consumers()
        .await
        .into_iter()
        .map(|consumer| consumer.name);
    assert!(names.clone().any(|name| name == NAME));
    assert!(names.clone().any(|name| name.starts_with("reader-")));
    consumer.stop(SOON).await;
    assert_eq!(
        world.consumers().await.len(),
        1,
        "the other's is left alone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn splits_and_merges_while_messages_come_keep_every_rooms_order() {
    let world = World::new(2, quick_service()).await;
    let consumer = world.start(quick()).await;
    let rooms = ["lobby", "a", "b", "c", "d", "e", "f", "g"];
    let mut first = BTreeMap::new();
    for number in 0..120_usize {
        for room in rooms {
            let sequence = world.say(room, &number.to_string()).await;
            first.entry(room).or_insert(sequence);
        }
        match number {
            20 | 40 | 41 | 90 => world.split().await,
            60 | 61 | 62 | 100 => world.merge().await,
            _ => {}
        }
    }
    for room in rooms {
        world.shows(room, &texts(0..120)).await;
    }
    // A viewer resumes across all of that.
    for (name, sequence) in first {
        let room = world.log.room(&Room::new(name).unwrap()).unwrap();
        let after = format!("{sequence}.0");
        match world.log.start(&room, &room.tail(), &after, 10) {
            Begin::At(start) => assert!(start.recovered, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    // Only the open shards are read, once what is closed was read to its end.
    let open = world.kinesis.list_shards().await.unwrap();
    let open = open.iter().filter(|shard| shard.is_open()).count();
    let readiness = consumer.readiness();
    until(|| readiness.borrow().shards.len() == open).await;
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn who_comes_after_splits_and_merges_reads_the_same() {
    let world = World::new(1, quick_service()).await;
    for number in 0..60_usize {
        for room in ["lobby", "a", "b"] {
            world.say(room, &number.to_string()).await;
        }
        match number {
            10 | 11 | 30 => world.split().await,
            20 | 40 => world.merge().await,
            _ => {}
        }
    }
    for (mode, start_at) in [
        (Mode::Enhanced, Start::TrimHorizon),
        (Mode::Polling, Start::TrimHorizon),
        (Mode::Enhanced, Start::Lookback(Duration::from_hours(1))),
    ] {
        let log = new_log();
        let config = Config {
            mode,
            start: start_at,
            ..quick()
        };
        let consumer = start(world.kinesis.clone(), Arc::clone(&log), config)
            .await
            .unwrap();
        until_ready(&consumer).await;
        for room in ["lobby", "a", "b"] {
            assert_eq!(shown(&log, room), texts(0..60), "{mode:?} {start_at:?}");
        }
        consumer.stop(SOON).await;
    }
}

#[tokio::test]
async fn i1_a_polled_shard_without_records_has_a_position_that_others_understand() {
    for start_at in [Start::TrimHorizon, Start::Latest] {
        let world = World::new(2, quick_service()).await;
        let polling = Config {
            mode: Mode::Polling,
            start: start_at,
            ..quick()
        };
        let log = new_log();
        let polling = start(world.kinesis.clone(), Arc::clone(&log), polling);
        let polling = polling.await.unwrap();
        let rooms = ["a", "b", "c", "d"].map(|name| Room::new(name).unwrap());
        let mut positions = vec![];
        for room in &rooms {
            let room = log.room(room).unwrap();
            until(|| log.before_newcomers(&room).is_none()).await;
            positions.push(log.newest(&room, &room.tail(), 100).position.to_string());
        }
        for text in texts(0..9) {
            for room in &rooms {
                world.say(room.as_str(), &text).await;
            }
        }
        // Elsewhere, by another way, begun later.
        let consumer = world.start(quick()).await;
        for (room, after) in rooms.iter().zip(&positions) {
            for log in [&log, &world.log] {
                until(|| shown(log, room.as_str()).len() == 9).await;
                let room = log.find(room).unwrap();
                let resumed = || match log.start(&room, &room.tail(), after, 3) {
                    Begin::At(start) => start.recovered,
                    Begin::Ahead(_) | Begin::Beyond => false,
                };
                until(resumed).await;
            }
        }
        polling.stop(SOON).await;
        consumer.stop(SOON).await;
    }
}

#[tokio::test]
async fn repeats_misrouted_messages_and_garbage_are_passed_over() {
    let world = World::new(4, quick_service()).await;
    let consumer = world.start(quick()).await;
    let id = Uuid::new_v4();
    world.put("a", said("a", "0", id)).await;
    world.put("a", said("a", "repeat", id)).await;
    let mut aggregate = kpl::Aggregate::new();
    for data in [
        said("a", "1", Uuid::new_v4()),
        b"\xff\xfe".to_vec(),
        br#"{"type":"heartbeat"}"#.to_vec(),
        said("a", "repeat", id),
        said("a", "2", Uuid::new_v4()),
    ] {
        aggregate.push("a", data.into());
    }
    world.put("a", aggregate.encode()).await;
    // One of these keys leads to another shard than the room.
    for key in ["b", "c", "d", "e", "f", "g", "h"] {
        world.put(key, said("a", key, Uuid::new_v4())).await;
    }
    for garbage in [
        "",
        "{",
        "null",
        "\u{0}",
        r#"{"room":"a"}"#,
        r#"{"text":"x","room":"/"}"#,
    ] {
        world.put("a", garbage).await;
    }
    let mut broken = aggregate.encode();
    broken.truncate(broken.len() - 1);
    world.put("a", broken).await;
    world.say("a", "last").await;
    until(|| world.shown("a").last().is_some_and(|text| text == "last")).await;
    let shards = world.kinesis.list_shards().await.unwrap();
    let owner = |key: &str| {
        let key = crate::message::HashKey::of(key);
        shards
            .iter()
            .find(|shard| shard.range.contains(key))
            .unwrap()
    };
    let mut expected = texts(0..3);
    for key in ["b", "c", "d", "e", "f", "g", "h"] {
        if owner(key) == owner("a") {
            expected.push(key.to_owned());
        }
    }
    assert!(expected.len() < 10, "one key at least leads elsewhere");
    expected.push("last".to_owned());
    assert_eq!(world.shown("a"), expected);
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn a_start_at_the_tip_shows_what_is_new_and_knows_what_was_before() {
    let world = World::new(1, quick_service()).await;
    let id = Uuid::new_v4();
    world.put("a", said("a", "before", id)).await;
    sleep(MOMENT).await;
    let config = Config {
        start: Start::Latest,
        ..quick()
    };
    let consumer = world.start(config).await;
    until_ready(&consumer).await;
    world.put("a", said("a", "repeat", id)).await;
    world.say("a", "0").await;
    world.shows("a", &texts(0..1)).await;
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn a_consumer_that_is_deregistered_from_outside_registers_afresh_and_goes_on() {
    let world = World::new(2, quick_service()).await;
    let consumer = world.start(quick()).await;
    until_ready(&consumer).await;
    for round in 0..3_usize {
        let registered = world.consumers().await.remove(0);
        world
            .kinesis
            .deregister_consumer(&registered.arn)
            .await
            .unwrap();
        world
            .put("a", format!(r#"{{"room":"a","text":"{round}"}}"#))
            .await;
        world.shows("a", &texts(0..round + 1)).await;
        let again = world.consumers().await.remove(0);
        assert_ne!(registered.arn, again.arn);
    }
    consumer.stop(SOON).await;
    assert_eq!(world.consumers().await.len(), 0);
}

#[tokio::test]
async fn a_consumer_of_this_name_that_is_there_already_is_used() {
    let world = World::new(1, quick_service()).await;
    let arn = world.arn().await;
    world
        .kinesis
        .register_consumer(&arn, NAME, &[])
        .await
        .unwrap();
    let consumer = world.start(quick()).await;
    until_ready(&consumer).await;
    assert_eq!(world.consumers().await.len(), 1);
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn a_consumer_that_takes_its_time_to_become_active_is_waited_for() {
    let service = embedded::Config {
        creating_time: Duration::from_millis(300),
        ..quick_service()
    };
    let world = World::new(1, service).await;
    // The stream is being created, too.
    let consumer = world.start(quick()).await;
    assert!(!consumer.readiness().borrow().ready);
    until_ready(&consumer).await;
    world.say("a", "0").await;
    world.shows("a", &texts(0..1)).await;
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn the_limits_of_registering_are_waited_out() {
    let service = embedded::Config {
        creating_time: Duration::from_millis(300),
        ..quick_service()
    };
    let world = World::new(1, service).await;
    let faults = world.service.faults();
    let throttle = "fault = \"throttle\"\noperation = \"RegisterStreamConsumer\"\ntimes = 2";
    // As many as may be made at once, as soon as there is a stream.
    let arn = loop {
        let summary = world.kinesis.describe_summary().await.unwrap();
        if summary.status == kinesis::StreamStatus::Active {
            break summary.arn;
        }
        sleep(MOMENT).await;
    };
    for number in 0..5 {
        let name = format!("other-{number}");
        let registered = world.kinesis.register_consumer(&arn, &name, &[]);
        registered.await.unwrap();
    }
    faults.add(throttle).unwrap();
    let log = new_log();
    let config = Config {
        creating_limit: SOON,
        ..quick()
    };
    let consumer = start(world.kinesis.clone(), Arc::clone(&log), config);
    let consumer = consumer.await.unwrap();
    until_ready(&consumer).await;
    assert_eq!(faults.count("throttle"), 2);
    let names = world.consumers().await;
    assert!(
        names.iter().any(|consumer| consumer.name == NAME),
        "{names:?}"
    );
    assert_eq!(names.len(), 6);
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn without_a_registration_it_polls_and_moves_back_with_neither_gap_nor_repeat() {
    let service = embedded::Config {
        consumers_per_stream: 1,
        ..quick_service()
    };
    let world = World::new(2, service).await;
    let arn = world.arn().await;
    let other = world
        .kinesis
        .register_consumer(&arn, "other", &[])
        .await
        .unwrap();
    let enhanced = start(world.kinesis.clone(), new_log(), quick()).await;
    let error = enhanced.unwrap_err();
    assert!(
        matches!(error, Error::ConsumerLimit { registered: 1, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--consumer polling"), "{error}");
    let config = Config {
        mode: Mode::Auto,
        ..quick()
    };
    let consumer = world.start(config).await;
    let readiness = until_ready(&consumer).await;
    let [problem] = &*readiness.problems else {
        panic!("{readiness:?}");
    };
    assert!(problem.starts_with("polling meanwhile: "), "{problem}");
    let mut sent = 0;
    let mut write = async |count: usize| {
        for _ in 0..count {
            world
                .put("a", format!(r#"{{"room":"a","text":"{sent}"}}"#))
                .await;
            sent += 1;
        }
    };
    write(50).await;
    world.shows("a", &texts(0..50)).await;
    assert_eq!(world.service.subscriptions(), 0);
    world.kinesis.deregister_consumer(&other.arn).await.unwrap();
    write(50).await;
    until(|| world.service.subscriptions() == 2).await;
    let readiness = consumer.readiness();
    until(|| readiness.borrow().problems.is_empty()).await;
    write(50).await;
    world.shows("a", &texts(0..150)).await;
    // And it goes on when the registration is lost and none is to be had.
    let own = world.consumers().await.remove(0);
    world.kinesis.deregister_consumer(&own.arn).await.unwrap();
    let other = world.kinesis.register_consumer(&arn, "other", &[]).await;
    write(50).await;
    world.shows("a", &texts(0..200)).await;
    drop(other);
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn polling_follows_splits_and_merges() {
    let world = World::new(1, quick_service()).await;
    let config = Config {
        mode: Mode::Polling,
        ..quick()
    };
    let consumer = world.start(config).await;
    for number in 0..60_usize {
        world.say("lobby", &number.to_string()).await;
        match number {
            20 => world.split().await,
            40 => world.merge().await,
            _ => {}
        }
    }
    world.shows("lobby", &texts(0..60)).await;
    assert_eq!(world.consumers().await.len(), 0);
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn what_trying_again_would_not_cure_stops_the_start_with_a_clear_message() {
    let world = World::new(0, quick_service()).await;
    let error = start(world.kinesis.clone(), new_log(), quick())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::StreamNotFound { stream, .. } if stream == STREAM),
        "{error}"
    );
    let config = Config {
        name: Some("a b".to_owned()),
        ..quick()
    };
    let error = start(world.kinesis.clone(), new_log(), config)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("\"a b\""), "{error}");
}

#[tokio::test]
async fn a_dropped_consumer_leaves_no_task_behind() {
    let world = World::new(2, quick_service()).await;
    let consumer = world.start(quick()).await;
    until_ready(&consumer).await;
    assert_eq!(world.service.subscriptions(), 2);
    drop(consumer);
    until(|| world.service.subscriptions() == 0).await;
    until(|| Arc::strong_count(&world.log) <= 3).await;
}

#[tokio::test]
async fn a_deleted_stream_that_is_made_anew_is_read_again() {
    let world = World::new(1, quick_service()).await;
    let consumer = world.start(quick()).await;
    until_ready(&consumer).await;
    world.say("a", "0").await;
    world.shows("a", &texts(0..1)).await;
    world
        .client
        .delete_stream()
        .stream_name(STREAM)
        .enforce_consumer_deletion(true)
        .send()
        .await
        .unwrap();
    let gone = async {
        loop {
            match world.kinesis.describe_summary().await {
                Err(error) if error.kind() == ErrorKind::ResourceNotFound => break,
                _ => sleep(MOMENT).await,
            }
        }
    };
    timeout(SOON, gone).await.unwrap();
    // Numbers hold the second in which their shard was made: the next stream's are to be greater.
    let second = || Timestamp::now().as_millis() / 1000;
    let deleted = second();
    until(|| second() > deleted).await;
    world.service.create_stream_if_missing(STREAM, 1).unwrap();
    world.say("a", "1").await;
    world.shows("a", &texts(0..2)).await;
    consumer.stop(SOON).await;
}

/// Takes each other's shards until one of the two, or both, have a name of their own.
#[tokio::test]
async fn two_instances_with_one_name_come_to_rest_and_both_read_everything() {
    let world = World::new(2, quick_service()).await;
    let mut config = quick();
    config.rules.settled = Duration::from_secs(1);
    let first = world.start(config.clone()).await;
    until_ready(&first).await;
    let log = new_log();
    let second = start(world.kinesis.clone(), Arc::clone(&log), config);
    let second = second.await.unwrap();
    let calm = async {
        let (mut sent, mut calm) = (0, 0);
        while calm < 100 {
            world
                .put("a", format!(r#"{{"room":"a","text":"{sent}"}}"#))
                .await;
            sent += 1;
            sleep(MOMENT).await;
            let at_rest = |consumer: &Consumer| {
                let readiness = consumer.readiness().borrow().clone();
                readiness.behind().count() == 0
            };
            let apart = first.facts().borrow().consumer != second.facts().borrow().consumer;
            let now = apart && at_rest(&first) && at_rest(&second);
            calm = if now { calm + 1 } else { 0 };
        }
        sent
    };
    let sent = timeout(SOON, calm).await.expect("they fight on and on");
    world.shows("a", &texts(0..sent)).await;
    until(|| shown(&log, "a").len() >= sent).await;
    assert_eq!(shown(&log, "a"), texts(0..sent));
    first.stop(SOON).await;
    second.stop(SOON).await;
}

/// Ten minutes of silence, but shorter.
const SILENCE: Duration = Duration::from_millis(600);

fn mourning() -> Config {
    Config {
        orphan_silence: SILENCE,
        check_interval: Duration::from_millis(200),
        ..quick()
    }
}

impl World {
    async fn register(&self, name: &str, tags: &[(&str, &str)]) -> RegisteredConsumer {
        let arn = self.arn().await;
        self.kinesis
            .register_consumer(&arn, name, tags)
            .await
            .unwrap()
    }

    async fn beat(&self, heartbeat: &Heartbeat) {
        let data = heartbeat.encode(Timestamp::now());
        self.put(Heartbeat::room().as_str(), data).await;
    }
}

fn instance(consumer: &str) -> Heartbeat {
    Heartbeat {
        instance: Uuid::new_v4(),
        consumer: Some(consumer.into()),
    }
}

#[tokio::test]
async fn consumers_of_silent_instances_are_deregistered_and_no_others() {
    let world = World::new(3, quick_service()).await;
    let (dead, alive) = (instance("chat-room-dead"), instance("chat-room-alive"));
    for name in [
        "chat-room-dead",
        "chat-room-alive",
        "chat-room-unheard-of",
        "theirs",
    ] {
        world.register(name, &[("owner", "x")]).await;
    }
    // No heartbeat ever named it and its name is not one of ours: its tags alone tell that it is.
    let tag = (name::TAG_INSTANCE, "9f0c");
    world.register("renamed", &[tag]).await;
    world.beat(&dead).await;
    world.beat(&instance("theirs")).await;
    let consumer = world.start(mourning()).await;
    until_ready(&consumer).await;
    let own = consumer.facts().borrow().heartbeat();
    assert_eq!(own.consumer.as_deref(), Some(NAME));
    let reaped = async {
        loop {
            world.beat(&own).await;
            world.beat(&alive).await;
            sleep(SILENCE / 20).await;
            let names = world.consumers().await.into_iter();
            let names: Vec<_> = names.map(|consumer| consumer.name).collect();
            let gone = |name: &str| !names.iter().any(|left| left == name);
            if gone("chat-room-dead") && gone("renamed") {
                break names;
            }
        }
    };
    let began = Instant::now();
    let left = timeout(SOON, reaped).await.expect("it is never reaped");
    assert!(began.elapsed() >= SILENCE, "{:?}", began.elapsed());
    assert_eq!(
        left,
        ["chat-room-alive", "chat-room-unheard-of", NAME, "theirs"]
    );
    consumer.stop(SOON).await;
}

#[tokio::test]
async fn who_is_reaped_wrongly_loses_a_moment_and_no_message() {
    let world = World::new(2, quick_service()).await;
    let judge = world.start(mourning()).await;
    // It reads and writes no heartbeats.
    let log = new_log();
    let config = Config {
        name: Some("chat-room-victim".to_owned()),
        ..quick()
    };
    let victim = start(world.kinesis.clone(), Arc::clone(&log), config);
    let victim = victim.await.unwrap();
    until_ready(&judge).await;
    until_ready(&victim).await;
    world.beat(&victim.facts().borrow().heartbeat()).await;
    let own = judge.facts().borrow().heartbeat();
    let created = async || {
        let consumers = world.consumers().await;
        let victims = consumers
            .into_iter()
            .filter(|c| c.name == "chat-room-victim");
        victims.map(|consumer| consumer.arn).next()
    };
    let first = created().await;
    let mut sent = 0;
    let reaped = async {
        while created().await.is_none_or(|arn| Some(arn) == first) {
            world.beat(&own).await;
            for room in ["a", "b"] {
                let text = format!(r#"{{"room":"{room}","text":"{sent}"}}"#);
                world.put(room, text).await;
            }
            sent += 1;
            sleep(MOMENT).await;
        }
    };
    timeout(SOON, reaped)
        .await
        .expect("it is never registered afresh");
    for room in ["a", "b"] {
        until(|| shown(&log, room).len() >= sent).await;
        assert_eq!(shown(&log, room), texts(0..sent));
        world.shows(room, &texts(0..sent)).await;
    }
    judge.stop(SOON).await;
    victim.stop(SOON).await;
}

#[tokio::test]
async fn trouble_while_running_is_told_and_goes_away_again() {
    let world = World::new(1, quick_service()).await;
    let consumer = world.start(mourning()).await;
    until_ready(&consumer).await;
    let mut readiness = consumer.readiness();
    let delete = world.client.delete_stream().stream_name(STREAM);
    delete.enforce_consumer_deletion(true).send().await.unwrap();
    let is_told = |readiness: &Readiness| {
        let mut problems = readiness.problems.iter();
        problems.any(|problem| problem.starts_with("stream messages: this account has none"))
    };
    let told = timeout(SOON, readiness.wait_for(is_told)).await;
    assert!(told.unwrap().unwrap().ready, "who was ready stays so");
    let second = || Timestamp::now().as_millis() / 1000;
    let deleted = second();
    until(|| second() > deleted).await;
    world.service.create_stream_if_missing(STREAM, 1).unwrap();
    let is_well = |readiness: &Readiness| readiness.problems.is_empty();
    timeout(SOON, readiness.wait_for(is_well))
        .await
        .unwrap()
        .unwrap();
    consumer.stop(SOON).await;
}
