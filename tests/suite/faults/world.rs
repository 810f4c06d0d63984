//! A stream under faults, somebody who publishes, and two instances that read.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_room::consumer::{self, Consumer, Mode, PollRules, Rules, Start};
use chat_room::embedded::{self, Faults, Listener, ListenerConfig, Service};
use chat_room::kinesis::{self, Endpoint, Kinesis, StartingPosition, kpl};
use chat_room::log::{self, Log, News};
use chat_room::message::payload::Draft;
use chat_room::message::{Room, Text, Timestamp};
use chat_room::producer::{self, ProducerTask, PublishError, Publisher};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::https;
use crate::harness::eventually;

const STREAM: &str = "messages";
const MILLIS: fn(u64) -> Duration = Duration::from_millis;

/// What differs between the tests.
pub(super) struct Settings {
    pub(super) shards: u32,
    pub(super) rooms: usize,
    pub(super) mode: Mode,
    /// How long a subscription lives.
    pub(super) lifetime: Duration,
    /// How many HTTP/2 streams the server allows a connection.
    pub(super) few_streams: Option<u32>,
    /// How long an instance waits for an answer.
    pub(super) patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shards: 2,
            rooms: 6,
            mode: Mode::Enhanced,
            lifetime: Duration::from_mins(5),
            few_streams: None,
            patience: MILLIS(600),
        }
    }
}

/// An instance's reading side.
struct Reader {
    consumer: Consumer,
    log: Arc<Log>,
    _news: Vec<News>,
}

/// A reader that started later.
pub(super) struct Newcomer {
    reader: Reader,
    /// What had been acknowledged by then, by room.
    before: Vec<usize>,
}

pub(super) struct World {
    pub(super) faults: Faults,
    kinesis: Kinesis,
    publisher: Publisher,
    producer: ProducerTask,
    readers: Vec<Reader>,
    rooms: Vec<Room>,
    /// What was acknowledged, by room, in the order of publishing.
    acknowledged: Vec<Vec<Uuid>>,
    /// Kept for as long as the rest.
    listener: Option<Listener>,
}

impl World {
    /// Two readers, ready.
    pub(super) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    pub(super) async fn with(settings: Settings) -> Self {
        let service = Service::new(embedded::Config {
            heartbeat: MILLIS(100),
            takeover_after: MILLIS(150),
            subscription_lifetime: settings.lifetime,
            listener: ListenerConfig {
                tls: https::certificate(),
                ..ListenerConfig::default()
            },
            ..embedded::Config::default()
        });
        service
            .create_stream_if_missing(STREAM, settings.shards)
            .unwrap();
        if let Some(streams) = settings.few_streams {
            let rule = format!("fault = \"few-streams\"\nstreams = {streams}");
            service.faults().add(&rule).unwrap();
        }
        let listener =
            https::certificate().map(|_| service.listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap());
        let connect = || connect(&service, listener.as_ref(), settings.patience);
        let kinesis = connect().await;
        let (publisher, producer) = producer::start(
            kinesis.clone(),
            producer::Config {
                call_timeout: settings.patience,
                publish_timeout: Duration::from_secs(3),
                ..producer::Config::default()
            },
        );
        let mut readers = Vec::new();
        for number in 1..=2 {
            let (log, news) = Log::new(log::Config {
                history: 10_000,
                ..log::Config::default()
            });
            let config = consumer_config(&settings, &format!("reader-{number}"));
            let consumer = consumer::start(connect().await, Arc::clone(&log), config);
            readers.push(Reader {
                consumer: consumer.await.unwrap(),
                log,
                _news: news,
            });
        }
        let rooms = (0..settings.rooms).map(|number| Room::new(&format!("room-{number}")).unwrap());
        let world = Self {
            faults: service.faults(),
            kinesis,
            publisher,
            producer,
            readers,
            rooms: rooms.collect(),
            acknowledged: vec![Vec::new(); settings.rooms],
            listener,
        };
        world.ready().await;
        world
    }

    /// A third reader, which shows what comes from now on.
    pub(super) async fn newcomer(&self) -> Newcomer {
        let (log, news) = Log::new(log::Config::default());
        let config = consumer::Config {
            start: Start::Latest,
            ..consumer_config(&Settings::default(), "newcomer")
        };
        let consumer = consumer::start(self.kinesis.clone(), Arc::clone(&log), config);
        let reader = Reader {
            consumer: consumer.await.unwrap(),
            log,
            _news: news,
        };
        let mut readiness = reader.consumer.readiness();
        crate::harness::within("ready", readiness.wait_for(|readiness| readiness.ready))
            .await
            .unwrap();
        Newcomer {
            before: self.acknowledged.iter().map(Vec::len).collect(),
            reader,
        }
    }

    /// Waits until it shows what was acknowledged since it came: that, and nothing else.
    pub(super) async fn shows_the_rest(&self, newcomer: &Newcomer) {
        let all = self.rooms.iter().zip(&self.acknowledged);
        for ((room, sent), before) in all.zip(&newcomer.before) {
            let expected = &sent[*before..];
            let shown = || newcomer.reader.shown(room);
            eventually("what came since", || async {
                shown().len() >= expected.len()
            })
            .await;
            assert_eq!(shown(), expected, "{room:?}");
        }
    }

    pub(super) async fn ready(&self) {
        for reader in &self.readers {
            let mut readiness = reader.consumer.readiness();
            crate::harness::within("ready", readiness.wait_for(|readiness| readiness.ready))
                .await
                .unwrap();
        }
    }

    /// Publishes so many messages to every room, in all at once, and goes on until all are acknowledged.
    pub(super) async fn publish(&mut self, each: usize) {
        self.publish_long(each, 16).await;
    }

    /// Longer ones, so that a call has several records.
    pub(super) async fn publish_long(&mut self, each: usize, length: usize) {
        let mut tasks = JoinSet::new();
        for (at, room) in self.rooms.iter().cloned().enumerate() {
            let publisher = self.publisher.clone();
            tasks.spawn(async move { (at, publish(&publisher, &room, each, length).await) });
        }
        while let Some(done) = tasks.join_next().await {
            let (at, ids) = done.unwrap();
            self.acknowledged[at].extend(ids);
        }
    }

    /// Publishes, one after the other, until a fault has occurred so often.
    pub(super) async fn publish_until(&mut self, fault: &str, count: u64) {
        let start = Instant::now();
        while self.faults.count(fault) < count {
            self.publish(1).await;
            assert!(
                start.elapsed() < crate::harness::DEADLINE,
                "{fault} does not occur"
            );
        }
    }

    /// Publishes once more, and then both readers must show everything, once, in order. Ends the world.
    pub(super) async fn holds(mut self) {
        self.publish(1).await;
        for (number, reader) in self.readers.iter().enumerate() {
            for (room, sent) in self.rooms.iter().zip(&self.acknowledged) {
                let start = Instant::now();
                loop {
                    let shown = reader.shown(room);
                    if shown == *sent {
                        break;
                    }
                    let set: HashSet<_> = shown.iter().collect();
                    assert_eq!(
                        set.len(),
                        shown.len(),
                        "reader {number} repeats in {room:?}"
                    );
                    assert!(
                        sent.starts_with(&shown),
                        "reader {number}, {room:?}: sent {sent:?}, shown {shown:?}"
                    );
                    assert!(
                        start.elapsed() < crate::harness::DEADLINE,
                        "reader {number} of {room:?} shows {} of {}: {:?}",
                        shown.len(),
                        sent.len(),
                        reader.consumer.readiness().borrow().clone()
                    );
                    sleep(MILLIS(5)).await;
                }
            }
        }
        // What comes too often comes with the next message at the latest, which was the last.
        self.faults.clear();
        let limit = Duration::from_secs(1);
        assert_eq!(self.producer.stop(limit).await, 0);
        for reader in self.readers {
            reader.consumer.stop(limit).await;
        }
        if let Some(listener) = self.listener {
            listener.stop().await;
        }
    }

    /// Waits until both readers show all of the rooms that are not of that shard.
    pub(super) async fn others_show_all(&self, shard: &str) {
        let shards = self.kinesis.list_shards().await.unwrap();
        let stalled = shards
            .iter()
            .find(|known| known.id.as_str() == shard)
            .unwrap();
        for (room, sent) in self.rooms.iter().zip(&self.acknowledged) {
            if stalled.range.contains(room.hash_key()) {
                continue;
            }
            for reader in &self.readers {
                eventually("the other shards", || async { reader.shown(room) == *sent }).await;
            }
        }
    }

    /// How often a fault has occurred; it must have.
    pub(super) fn occurred(&self, fault: &str) -> u64 {
        let count = self.faults.count(fault);
        assert!(
            count > 0,
            "{fault} did not occur: {:?}",
            self.faults.counts()
        );
        count
    }

    /// Waits until a fault has occurred so often.
    pub(super) async fn occurs(&self, fault: &str, count: u64) {
        let faults = &self.faults;
        eventually(fault, || async { faults.count(fault) >= count }).await;
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.iter().map(Vec::len).sum()
    }

    /// How many messages are stored, repeats included.
    pub(super) async fn stored(&self) -> usize {
        let mut stored = 0;
        for shard in self.kinesis.list_shards().await.unwrap() {
            let from = StartingPosition::TrimHorizon;
            let mut next = self.kinesis.get_shard_iterator(&shard.id, from).await.ok();
            while let Some(from) = next {
                let batch = self.kinesis.get_records(&from, 10_000).await.unwrap();
                let tip = batch.records.is_empty() && batch.millis_behind == 0;
                stored += batch
                    .records
                    .iter()
                    .map(|record| kpl::decode(record).count())
                    .sum::<usize>();
                next = batch.next.filter(|_| !tip);
            }
        }
        stored
    }

    pub(super) async fn open_shards(&self) -> usize {
        let shards = self.kinesis.list_shards().await.unwrap();
        shards.iter().filter(|shard| shard.is_open()).count()
    }
}

impl Reader {
    fn shown(&self, room: &Room) -> Vec<Uuid> {
        let Some(room) = self.log.find(room) else {
            return Vec::new();
        };
        let mut shown = Vec::new();
        let mut node = room.head();
        while let Some(next) = node.next().cloned() {
            shown.extend(next.entries.iter().filter_map(|entry| entry.id.uuid()));
            node = next;
        }
        shown
    }
}

/// Publishes one message after the other, each again with its id until it is acknowledged.
async fn publish(publisher: &Publisher, room: &Room, each: usize, length: usize) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for _ in 0..each {
        let draft = Draft {
            id: Uuid::new_v4(),
            room: room.clone(),
            name: None,
            text: Text::new("x".repeat(length)).unwrap(),
            time: Timestamp::now(),
        };
        let start = Instant::now();
        loop {
            match publisher.publish(draft.clone()).await {
                Ok(receipt) => break assert_eq!(receipt.id, draft.id),
                Err(error @ (PublishError::Closing | PublishError::TooLarge { .. })) => {
                    panic!("{error}")
                }
                Err(error) => {
                    assert!(
                        start.elapsed() < crate::harness::DEADLINE,
                        "never acknowledged: {error}"
                    );
                    sleep(MILLIS(20)).await;
                }
            }
        }
        ids.push(draft.id);
    }
    ids
}

async fn connect(service: &Service, listener: Option<&Listener>, patience: Duration) -> Kinesis {
    let endpoint = match listener {
        None => Endpoint::InProcess(service.http_client()),
        Some(listener) => Endpoint::Aws {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(format!(
                "https://localhost:{}",
                listener.local_addr().port()
            )),
        },
    };
    let mut config = kinesis::Config::new(STREAM, endpoint);
    config.call_timeout = patience;
    kinesis::connect(&config).await.unwrap()
}

fn consumer_config(settings: &Settings, name: &str) -> consumer::Config {
    consumer::Config {
        mode: settings.mode,
        name: Some(name.to_owned()),
        start: Start::TrimHorizon,
        list_interval: Duration::from_secs(1),
        rules: Rules {
            call_interval: MILLIS(20),
            takeover_after: MILLIS(200),
            silence: MILLIS(500),
            settled: Duration::from_mins(1),
            backoff_first: MILLIS(20),
            backoff_last: MILLIS(200),
            contended_last: MILLIS(500),
        },
        polling: PollRules {
            busy: MILLIS(20),
            idle: MILLIS(50),
            backoff_last: MILLIS(200),
            ..PollRules::default()
        },
        ..consumer::Config::default()
    }
}
