//! Several rooms on one worker.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use super::*;
use crate::log::{self, LogShard, OpenShard};
use crate::message::{HashKey, Message, MessageId, Position, Timestamp};

const LIMIT: Duration = Duration::from_secs(5);

/// A worker that does not run yet.
struct Stage {
    worker: Rc<Worker>,
    shard: Arc<LogShard>,
    next: Cell<u128>,
}

impl Stage {
    fn new(config: log::Config) -> (Self, News) {
        let (log, mut news) = Log::new(config);
        let shard = log.open_shard(OpenShard {
            name: "shardId-000000000000".into(),
            range: (HashKey::MIN, HashKey::MAX),
            generation: 1,
            starting: 1.into(),
        });
        shard.set_floor(0.into());
        shard.advance(0.into(), 0);
        let stage = Self {
            worker: Worker::new(0, log, Config::default()),
            shard,
            next: Cell::new(1),
        };
        (stage, news.remove(0))
    }

    /// Publishes a text so many times, each a batch of its own.
    fn publish(&self, room: &Room, text: &str, times: usize) {
        for _ in 0..times {
            let sequence = self.next.replace(self.next.get() + 1);
            self.shard.append(vec![message(room, text, sequence)]);
        }
    }

    /// A viewer, and its client's end.
    async fn join(
        &self,
        room: &Room,
        encoding: Encoding,
        history: usize,
    ) -> (Rc<Viewer>, TcpStream) {
        let (server, client) = connection().await;
        let request = JoinRequest {
            room: room.clone(),
            encoding,
            history: Some(history),
            after: None,
        };
        let viewer = self.worker.join(server.into(), &request).await.unwrap();
        (viewer, client)
    }
}

/// The server's end and the client's.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    (listener.accept().await.unwrap().0, client)
}

/// Counts how often a task is to go on.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn message(room: &Room, text: &str, sequence: u128) -> Message {
    let sequence = sequence.into();
    let position = Position { sequence, index: 0 };
    Message {
        id: MessageId::Position(position),
        room: room.clone(),
        name: None,
        text: text.into(),
        time: Timestamp::now(),
        arrival: Timestamp::now(),
        position,
    }
}

/// The rooms that wait to be swept.
fn waiting(news: &mut News) -> Vec<Arc<RoomLog>> {
    std::iter::from_fn(|| news.try_recv().ok()).collect()
}

fn room(name: &str) -> Room {
    Room::new(name).unwrap()
}

fn names(rooms: &[Arc<RoomLog>]) -> Vec<&Room> {
    rooms.iter().map(|room| room.room()).collect()
}

async fn run(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn what_comes_during_a_sweep_waits_behind_the_other_rooms() {
    run(async {
        let (stage, mut news) = Stage::new(log::Config::default());
        let (busy, quiet) = (room("busy"), room("quiet"));
        // So many that others have their turn within the sweep.
        let mut crowd = Vec::new();
        for _ in 0..100 {
            crowd.push(stage.join(&busy, Encoding::Plain, 0).await);
        }
        let _quiet = stage.join(&quiet, Encoding::Plain, 0).await;
        stage.publish(&busy, "first", 1);
        let [swept] = &waiting(&mut news)[..] else {
            panic!("one room has something new");
        };
        let first = swept.tail();
        let meanwhile = async {
            stage.publish(&quiet, "hello", 1);
            stage.publish(&busy, "second", 1);
        };
        tokio::join!(stage.worker.sweep(swept), meanwhile);
        let local = stage.worker.local(&busy).unwrap();
        assert!(Arc::ptr_eq(&local.cursor(), &first));
        assert_eq!(names(&waiting(&mut news)), [&quiet, &busy]);
    })
    .await;
}

#[tokio::test]
async fn what_is_more_than_a_slice_waits_behind_the_other_rooms_and_does_not_rest() {
    run(async {
        let (mut stage, mut news) = Stage::new(log::Config::default());
        let worker = Rc::get_mut(&mut stage.worker).unwrap();
        worker.config.sweep_interval = Duration::from_hours(1);
        let (long, short) = (room("long"), room("short"));
        let mut clients = Vec::new();
        for room in [&long, &short] {
            clients.push(stage.join(room, Encoding::Plain, 0).await);
        }
        stage.publish(&long, &"x".repeat(50_000), 10);
        stage.publish(&short, "hello", 1);
        let first = news.try_recv().unwrap();
        stage.worker.sweep(&first).await;
        assert_eq!(stage.worker.resting_until(&first), None);
        // However much is appended by then, it waits once.
        stage.publish(&long, "x", 5);
        assert_eq!(names(&waiting(&mut news)), [&short, &long]);
        let local = stage.worker.local(&long).unwrap();
        assert!(!Arc::ptr_eq(&local.cursor(), &first.tail()));
        stage.worker.sweep(&first).await;
        assert!(Arc::ptr_eq(&local.cursor(), &first.tail()));
        assert!(stage.worker.resting_until(&first).is_some());
        assert!(waiting(&mut news).is_empty(), "nothing is left");
    })
    .await;
}

#[tokio::test]
async fn whoever_resumes_in_front_of_the_cursor_sleeps_until_the_sweep() {
    run(async {
        let (stage, mut news) = Stage::new(log::Config::default());
        let room = room("resumed");
        let _somebody = stage.join(&room, Encoding::Plain, 0).await;
        stage.publish(&room, "read elsewhere", 1);
        stage.shard.advance(1.into(), 0);
        let request = JoinRequest {
            room: room.clone(),
            encoding: Encoding::Plain,
            history: None,
            after: Some("1.0".into()),
        };
        let (server, _client) = connection().await;
        let mut join = pin!(stage.worker.join(server.into(), &request));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        assert!(join.as_mut().poll(&mut context).is_pending());
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(woken.times(), 0, "it would go round and round");
        stage.worker.sweep(&news.try_recv().unwrap()).await;
        assert_eq!(woken.times(), 1);
        let Poll::Ready(Ok(viewer)) = join.as_mut().poll(&mut context) else {
            panic!("the cursor has moved on");
        };
        assert!(matches!(*viewer.state.borrow(), State::Live));
    })
    .await;
}

#[tokio::test]
async fn a_slice_of_short_texts_is_as_short_as_one_of_long_texts() {
    run(async {
        let (stage, mut news) = Stage::new(log::Config::default());
        let room = room("short-texts");
        let (_viewer, _client) = stage.join(&room, Encoding::V1, 0).await;
        stage.publish(&room, "x", 20_000);
        let local = stage.worker.local(&room).unwrap();
        let mut last = 0;
        let mut sweeps = 0;
        while let Some(room) = waiting(&mut news).first() {
            stage.worker.sweep(room).await;
            let end = local.cursor().end_bytes(Encoding::V1);
            assert!(end - last < sweep::MAX_SLICE + 1_000, "{}", end - last);
            last = end;
            sweeps += 1;
        }
        assert!(sweeps > 5, "{sweeps}");
        let newest = local.log.tail();
        assert!(Arc::ptr_eq(&local.cursor(), &newest));
    })
    .await;
}

#[tokio::test]
async fn what_quiet_rooms_keep_for_newcomers_is_freed_when_memory_is_short() {
    run(async {
        let limit = 1 << 20;
        let (stage, news) = Stage::new(log::Config {
            log_memory: limit,
            ..log::Config::default()
        });
        let mut viewers = Vec::new();
        for number in 0..20 {
            let room = room(&format!("room-{number}"));
            stage.publish(&room, &"x".repeat(200), 50);
            for history in 43..=50 {
                viewers.push(stage.join(&room, Encoding::Plain, history).await);
            }
        }
        let log = Arc::clone(stage.worker.log());
        assert!(log.account().bytes() > limit);
        spawn_local(Rc::clone(&stage.worker).run(news));
        let freed = async {
            while log.is_over_limit() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(LIMIT, freed).await.is_ok(), "memory is freed");
        // Nobody had to go for it.
        let is_live = |viewer: &Viewer| matches!(*viewer.state.borrow(), State::Live);
        assert!(viewers.iter().all(|(viewer, _)| is_live(viewer)));
    })
    .await;
}
