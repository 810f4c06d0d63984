//! Over the wire: the whole producer with the real client and the embedded service.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::*;
use crate::embedded;
use crate::kinesis::{self, Endpoint, Kinesis, Record, Shard, StartingPosition, kpl};
use crate::message::payload::{self, Draft, Payload};
use crate::message::{HashKey, Heartbeat, Text, Timestamp};

const SOON: Duration = Duration::from_secs(30);

/// The way to the service, with faults in it: some answers get lost after the call was carried
/// out, some calls never arrive. All of them wait while the way is blocked.
#[derive(Clone, Debug)]
struct Way {
    connector: SharedHttpConnector,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    puts: AtomicUsize,
    /// Every so many puts: 0 for none.
    lose_answer: AtomicUsize,
    lose_call: AtomicUsize,
    blocked: AtomicUsize,
    /// How long an answer takes, in milliseconds.
    delay: AtomicUsize,
}

impl HttpConnector for Way {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let put = request
            .headers()
            .get("x-amz-target")
            .is_some_and(|target| target.ends_with(".PutRecords"));
        let (connector, faults) = (self.connector.clone(), Arc::clone(&self.faults));
        HttpConnectorFuture::new(async move {
            if !put {
                return connector.call(request).await;
            }
            let number = 1 + faults.puts.fetch_add(1, Ordering::Relaxed);
            while faults.blocked.load(Ordering::Relaxed) > 0 {
                sleep(Duration::from_millis(5)).await;
            }
            let due = |every: &AtomicUsize| {
                let every = every.load(Ordering::Relaxed);
                every > 0 && number.is_multiple_of(every)
            };
            let lost = || Err(ConnectorError::io("lost on the way".into()));
            if due(&faults.lose_call) {
                return lost();
            }
            let answer = connector.call(request).await;
            let delay = faults.delay.load(Ordering::Relaxed) as u64;
            if delay > 0 {
                sleep(Duration::from_millis(delay)).await;
            }
            if due(&faults.lose_answer) {
                return lost();
            }
            answer
        })
    }
}

impl HttpClient for Way {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The SDK asks its HTTP client for a connector; the embedded service's is always the same.
#[derive(Debug)]
struct Lazy {
    client: SharedHttpClient,
    faults: Arc<Faults>,
}

impl HttpClient for Lazy {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Way {
            connector: self.client.http_connector(settings, components),
            faults: Arc::clone(&self.faults),
        })
    }
}

struct World {
    service: embedded::Service,
    faults: Arc<Faults>,
    kinesis: Kinesis,
}

impl World {
    async fn new(shards: u32) -> Self {
        let world = Self::without_stream().await;
        world
            .service
            .create_stream_if_missing("messages", shards)
            .unwrap();
        world
    }

    async fn without_stream() -> Self {
        let service = embedded::Service::new(embedded::Config::default());
        let faults = Arc::new(Faults::default());
        let client = Lazy {
            client: service.http_client(),
            faults: Arc::clone(&faults),
        };
        let endpoint = Endpoint::InProcess(SharedHttpClient::new(client));
        let config = kinesis::Config::new("messages", endpoint);
        Self {
            service,
            faults,
            kinesis: kinesis::connect(&config).await.unwrap(),
        }
    }

    /// Every shard with all its records.
    async fn read_all(&self) -> Vec<(Shard, Vec<Record>)> {
        let mut all = Vec::new();
        for shard in self.kinesis.list_shards().await.unwrap() {
            let from = StartingPosition::TrimHorizon;
            let mut next = self.kinesis.get_shard_iterator(&shard.id, from).await.ok();
            let mut records = Vec::new();
            while let Some(from) = next {
                let batch = self.kinesis.get_records(&from, 10_000).await.unwrap();
                let tip = batch.records.is_empty() && batch.millis_behind == 0;
                records.extend(batch.records);
                next = batch.next.filter(|_| !tip);
            }
            all.push((shard, records));
        }
        all
    }
}

fn draft(room: &str, text: &str) -> Draft {
    Draft {
        id: Uuid::new_v4(),
        room: Room::new(room).unwrap(),
        name: None,
        text: Text::new(text).unwrap(),
        time: Timestamp::now(),
    }
}

fn id_of(data: &[u8]) -> Uuid {
    match payload::decode(data).unwrap() {
        Payload::Message(content) => content.id.unwrap(),
        other => panic!("not a message: {other:?}"),
    }
}

#[tokio::test]
async fn a_receipt_tells_where_the_message_stands() {
    let world = World::new(1).await;
    let (publisher, task) = start(world.kinesis.clone(), Config::default());
    let sent = draft("lobby", "hello");
    let receipt = publisher.publish(sent.clone()).await.unwrap();
    assert_eq!((receipt.id, &receipt.room), (sent.id, &sent.room));
    let record = world.read_all().await.remove(0).1.remove(0);
    assert_eq!(record.sequence, receipt.position.sequence);
    assert_eq!(receipt.position.index, 0);
    assert_eq!(record.data, sent.encode(), "alone it is a plain record");
    assert_eq!(record.partition_key, "lobby");
    assert_eq!(task.stop(SOON).await, 0);
    assert_eq!(publisher.publish(sent).await, Err(PublishError::Closing));
}

/// Publishes from several tasks, each waiting for its receipts, while shards split and merge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_survive_splits_merges_and_lost_answers_in_order() {
    const TASKS: usize = 20;
    const EACH: usize = 50;
    let world = World::new(1).await;
    world.faults.lose_answer.store(7, Ordering::Relaxed);
    world.faults.lose_call.store(11, Ordering::Relaxed);
    let config = Config {
        publish_timeout: SOON,
        ..Config::default()
    };
    let (publisher, task) = start(world.kinesis.clone(), config);
    let received = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let (publisher, received) = (publisher.clone(), Arc::clone(&received));
        tasks.spawn(async move {
            let mut receipts = Vec::new();
            for at in 0..EACH {
                // A room for every two tasks.
                let draft = draft(&format!("room-{}", number / 2), &at.to_string());
                receipts.push(publisher.publish(draft).await.unwrap());
                received.fetch_add(1, Ordering::Relaxed);
            }
            receipts
        });
    }
    for (change, at) in [
        (Change::Split, 100),
        (Change::Split, 300),
        (Change::Merge, 600),
    ] {
        timeout(SOON, async {
            while received.load(Ordering::Relaxed) < at {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap();
        change.make(&world).await;
    }
    let receipts: Vec<Vec<Receipt>> = timeout(SOON, tasks.join_all()).await.unwrap();
    assert_eq!(task.stop(SOON).await, 0);

    let mut stored: HashMap<Position, Uuid> = HashMap::new();
    // Shards are listed in the order of their making, so parents before children.
    let mut first: HashMap<Room, Vec<Uuid>> = HashMap::new();
    let mut seen = HashSet::new();
    for (shard, records) in world.read_all().await {
        for record in records {
            let inside = kpl::decode(&record)
                .all(|user| shard.range.contains(HashKey::of(&user.partition_key)));
            for user in kpl::decode(&record) {
                let (room, id) = (Room::new(&user.partition_key).unwrap(), id_of(&user.data));
                let position = Position {
                    sequence: record.sequence,
                    index: user.index,
                };
                if inside {
                    stored.insert(position, id);
                }
                if shard.range.contains(room.hash_key()) && seen.insert(id) {
                    first.entry(room).or_default().push(id);
                }
            }
        }
    }
    assert_eq!(seen.len(), TASKS * EACH);
    for receipts in receipts {
        let ids: Vec<Uuid> = receipts.iter().map(|receipt| receipt.id).collect();
        for receipt in &receipts {
            assert_eq!(stored.get(&receipt.position), Some(&receipt.id));
        }
        // A task's messages follow one another, whatever the other task of the room does.
        let mine: HashSet<Uuid> = ids.iter().copied().collect();
        let order = first[&receipts[0].room]
            .iter()
            .filter(|id| mine.contains(id));
        assert!(order.eq(ids.iter()), "out of order");
    }
}

#[derive(Clone, Copy)]
enum Change {
    Split,
    Merge,
}

impl Change {
    async fn make(self, world: &World) {
        let client = world.kinesis.client();
        let mut open = world.kinesis.list_shards().await.unwrap();
        open.retain(Shard::is_open);
        open.sort_by_key(|shard| shard.range.start);
        match self {
            Self::Split => {
                let range = open[0].range;
                let middle = range.start.0 + (range.end.0 - range.start.0) / 2;
                let split = client
                    .split_shard()
                    .stream_name("messages")
                    .shard_to_split(open[0].id.as_str())
                    .new_starting_hash_key(middle.to_string());
                split.send().await.unwrap();
            }
            Self::Merge => {
                let merge = client
                    .merge_shards()
                    .stream_name("messages")
                    .shard_to_merge(open[0].id.as_str())
                    .adjacent_shard_to_merge(open[1].id.as_str());
                merge.send().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_full_backlog_refuses_at_once_and_recovers() {
    let world = World::new(1).await;
    world.faults.blocked.store(1, Ordering::Relaxed);
    let config = Config {
        queue_messages: 2,
        ..Config::default()
    };
    let (publisher, task) = start(world.kinesis.clone(), config);
    let mut waiting = JoinSet::new();
    for _ in 0..2 {
        let publisher = publisher.clone();
        waiting.spawn(async move { publisher.publish(draft("lobby", "early")).await });
    }
    let full = timeout(SOON, async {
        loop {
            // Whoever is taken instead of one of the two waits; leaving does not free its place.
            let attempt = timeout(
                Duration::from_millis(20),
                publisher.publish(draft("lobby", "late")),
            );
            if let Ok(result) = attempt.await {
                break result;
            }
        }
    });
    assert!(matches!(
        full.await.unwrap(),
        Err(PublishError::Full { .. })
    ));
    world.faults.blocked.store(0, Ordering::Relaxed);
    for result in timeout(SOON, waiting.join_all()).await.unwrap() {
        assert!(matches!(result, Ok(_) | Err(PublishError::Full { .. })));
    }
    assert!(publisher.publish(draft("lobby", "again")).await.is_ok());
    task.stop(SOON).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cancel_its_message() {
    let world = World::new(1).await;
    world.faults.blocked.store(1, Ordering::Relaxed);
    let config = Config {
        publish_timeout: Duration::from_millis(30),
        ..Config::default()
    };
    let (publisher, task) = start(world.kinesis.clone(), config);
    let result = publisher.publish(draft("lobby", "patience")).await;
    assert_eq!(result, Err(PublishError::Timeout));
    world.faults.blocked.store(0, Ordering::Relaxed);
    assert_eq!(task.stop(SOON).await, 0, "stopping stores what waits");
    assert_eq!(world.read_all().await[0].1.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_stored_before_the_limit_of_stopping_is_answered() {
    let world = World::new(1).await;
    world.faults.blocked.store(1, Ordering::Relaxed);
    let (publisher, task) = start(world.kinesis.clone(), Config::default());
    let waiting = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish(draft("lobby", "never")).await }
    });
    timeout(SOON, async {
        while world.faults.puts.load(Ordering::Relaxed) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(task.stop(Duration::from_millis(20)).await, 1);
    assert_eq!(waiting.await.unwrap(), Err(PublishError::Closing));
}

#[tokio::test]
async fn a_message_that_fits_into_no_record_is_not_taken() {
    let world = World::new(1).await;
    let config = Config {
        record_limit: 150,
        ..Config::default()
    };
    let (publisher, _task) = start(world.kinesis.clone(), config);
    let error = publisher.publish(draft("lobby", &"x".repeat(200))).await;
    assert!(matches!(
        error,
        Err(PublishError::TooLarge { limit: 150, .. })
    ));
    assert!(publisher.publish(draft("lobby", "x")).await.is_ok());
    // The stream's own limit is learnt later.
    publisher.limit_records(1 << 20);
    let long = draft("lobby", &"x".repeat(200));
    assert!(publisher.publish(long).await.is_ok());
}

#[tokio::test]
async fn a_heartbeat_is_stored_under_the_key_that_all_heartbeats_have() {
    let world = World::new(4).await;
    let (publisher, task) = start(world.kinesis.clone(), Config::default());
    let heartbeat = Heartbeat {
        instance: Uuid::new_v4(),
        consumer: None,
    };
    publisher.announce(&heartbeat).await.unwrap();
    task.stop(SOON).await;
    let mut found = Vec::new();
    for (shard, records) in world.read_all().await {
        for record in records {
            let key = Heartbeat::room();
            assert_eq!(record.partition_key, key.as_str());
            assert!(shard.range.contains(key.hash_key()));
            found.push(payload::decode(&record.data).unwrap());
        }
    }
    assert_eq!(found, [Payload::Heartbeat(heartbeat)]);
}

#[tokio::test]
async fn what_keeps_messages_from_being_stored_is_told_until_one_is() {
    let world = World::new(1).await;
    world.faults.lose_call.store(1, Ordering::Relaxed);
    let (publisher, task) = start(world.kinesis.clone(), Config::default());
    let mut trouble = task.trouble();
    assert_eq!(*trouble.borrow(), None);
    let publishing = tokio::spawn(async move { publisher.publish(draft("lobby", "x")).await });
    let told = timeout(SOON, trouble.wait_for(Option::is_some)).await;
    let told = told.unwrap().unwrap().clone().unwrap();
    assert_eq!(told, "PutRecords messages: the connection failed");
    world.faults.lose_call.store(0, Ordering::Relaxed);
    assert!(publishing.await.unwrap().is_ok());
    assert_eq!(*trouble.borrow(), None);
}

#[tokio::test]
async fn what_is_published_before_the_stream_is_there_waits_for_it() {
    let world = World::without_stream().await;
    let (publisher, task) = start(world.kinesis.clone(), Config::default());
    let publishing = publisher.publish(draft("lobby", "early"));
    let creating = async {
        sleep(Duration::from_millis(20)).await;
        world
            .service
            .create_stream_if_missing("messages", 2)
            .unwrap();
    };
    let (receipt, ()) = timeout(SOON, async { tokio::join!(publishing, creating) })
        .await
        .unwrap();
    assert!(receipt.is_ok());
    assert_eq!(task.stop(SOON).await, 0);
}

/// The figures in the README, "What it costs". Run by hand:
/// `cargo test --lib what_a_message_costs -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
async fn what_a_message_costs() {
    for (rate, delay, seconds) in [(1, 15, 10), (20, 15, 10), (500, 15, 6), (500, 50, 6)] {
        let world = World::new(1).await;
        world.faults.delay.store(delay, Ordering::Relaxed);
        let (publisher, task) = start(world.kinesis.clone(), Config::default());
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
        let mut waiting = JoinSet::new();
        for _ in 0..rate * seconds {
            ticks.tick().await;
            let publisher = publisher.clone();
            let mut draft = draft("lobby", &"x".repeat(60));
            draft.name = crate::message::Name::new("Ada").unwrap();
            waiting.spawn(async move { publisher.publish(draft).await.unwrap() });
        }
        let messages = waiting.join_all().await.len();
        task.stop(SOON).await;
        let (_, records) = world.read_all().await.remove(0);
        let sizes = records.iter().map(|r| r.data.len() + r.partition_key.len());
        let sizes: Vec<usize> = sizes.collect();
        let per_message = |all: usize| format!("{:.3}", all as f64 / messages as f64);
        println!(
            "{rate}/s, answers after {delay} ms: {:.2} messages a record; a message: {} bytes, {} \
             PUT units of 25 KB, {} KB on demand",
            messages as f64 / records.len() as f64,
            per_message(sizes.iter().sum()),
            per_message(sizes.iter().map(|size| size.div_ceil(25_000)).sum()),
            per_message(sizes.iter().map(|size| size.div_ceil(1_024)).sum()),
        );
    }
}
