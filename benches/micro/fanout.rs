//! What a message costs between the stream and the sockets: encoding and compressing, appending, joining, sweeping.
//!
//! `cargo bench --bench fanout`

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use chat_room::connection::Connections;
use chat_room::fanout::{self, JoinRequest, Worker};
use chat_room::log::{Begin, Config, Encoding, Entry, Log, LogShard, OpenShard};
use chat_room::message::{HashKey, Message, MessageId, Position, Room, Timestamp};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use uuid::Uuid;

/// A plain frame with a text of 128 bytes: four bytes of header.
const FRAME: usize = 132;

/// Words in which texts are about as compressible as what people write.
const WORDS: [&str; 24] = [
    "what", "a", "goal", "did", "you", "see", "that", "I", "was", "just", "about", "to", "say",
    "the", "same", "thing", "and", "then", "yes", "haha", "never", "mind", "good", "evening",
];

/// A text of 128 bytes.
fn text(number: u128) -> String {
    let mut random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut text = String::new();
    while text.len() < 128 {
        let index = usize::try_from(random >> 16 & 0xFFFF).unwrap_or(0) % WORDS.len();
        text.extend(WORDS.get(index).copied());
        text.push(' ');
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
    }
    text.truncate(128);
    text
}

fn message(room: &Room, sequence: u128, index: u32) -> Message {
    let number = sequence << 32 | u128::from(index);
    Message {
        id: MessageId::Uuid(Uuid::from_u128(
            number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
        )),
        room: room.clone(),
        name: Some("Ada".into()),
        text: text(number).into(),
        time: Timestamp::now(),
        arrival: Timestamp::now(),
        position: Position {
            sequence: sequence.into(),
            index,
        },
    }
}

fn batch(sequence: u128, messages: u32) -> Vec<Message> {
    (0..messages)
        .map(|index| message(&Room::lobby(), sequence, index))
        .collect()
}

fn log_with_shard() -> (Arc<Log>, Vec<chat_room::log::News>, Arc<LogShard>) {
    let (log, news) = Log::new(Config {
        log_memory: 64 << 20,
        ..Config::default()
    });
    let shard = log.open_shard(OpenShard {
        name: "shardId-000000000000".into(),
        range: (HashKey::MIN, HashKey::MAX),
        generation: 1,
        starting: 1.into(),
    });
    shard.set_floor(0.into());
    (log, news, shard)
}

fn encoding(c: &mut Criterion) {
    for messages in [1, 16, 100] {
        let entries: Vec<Entry> = batch(1, messages).into_iter().map(Entry::from).collect();
        let name = format!("encode {messages} messages of 128 bytes");
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(messages.into()));
        for encoding in Encoding::ALL {
            group.bench_function(encoding.as_str(), |b| {
                b.iter(|| encoding.encode(&Room::lobby(), &entries));
            });
        }
        group.finish();
    }
}

fn appending(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for messages in [1, 100] {
        let (_log, _news, shard) = log_with_shard();
        let mut sequence = 0;
        group.throughput(Throughput::Elements(u64::from(messages)));
        group.bench_function(format!("{messages} messages"), |b| {
            b.iter_batched(
                || {
                    sequence += 1;
                    batch(sequence, messages)
                },
                |batch| shard.append(batch),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn joining(c: &mut Criterion) {
    let (log, _news, shard) = log_with_shard();
    for sequence in 1..5_000 {
        shard.append(batch(sequence, 1));
    }
    shard.advance(5_000.into(), 0);
    let room = log.find(&Room::lobby()).unwrap_or_else(|| unreachable!());
    let mut group = c.benchmark_group("where a viewer begins");
    for (name, after) in [
        ("newcomer", None),
        ("resuming near the end", Some("4900.0")),
        ("resuming far back", Some("500.0")),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| match after {
                None => drop(log.newest(&room, &room.tail(), 100)),
                Some(after) => {
                    let begin = log.start(&room, &room.tail(), after, 100);
                    assert!(matches!(begin, Begin::At(_)));
                }
            });
        });
    }
    group.finish();
}

/// A worker with its viewers, and the clients' ends.
struct Stage {
    runtime: Runtime,
    local: LocalSet,
    shard: Arc<LogShard>,
    worker: Rc<Worker>,
    connections: Rc<Connections>,
    /// For each room its viewers.
    clients: Vec<(Room, Vec<TcpStream>)>,
    sequence: u128,
}

impl Stage {
    fn new(rooms: usize, viewers: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap_or_else(|error| unreachable!("{error}"));
        let local = LocalSet::new();
        let (log, mut news, shard) = log_with_shard();
        let (worker, connections) = local.block_on(&runtime, async {
            let worker = Worker::new(0, log, fanout::Config::default());
            tokio::task::spawn_local(Rc::clone(&worker).run(news.remove(0)));
            (Rc::clone(&worker), Connections::new(worker))
        });
        let mut stage = Self {
            runtime,
            local,
            shard,
            worker,
            connections,
            clients: Vec::new(),
            sequence: 0,
        };
        for number in 0..rooms {
            let room = Room::new(&format!("room-{number}")).unwrap_or_else(|_| unreachable!());
            let clients = (0..viewers).map(|_| stage.connect(&room, 0)).collect();
            stage.clients.push((room, clients));
        }
        stage
    }

    /// Connects a viewer and returns the client's end.
    fn connect(&self, room: &Room, history: usize) -> TcpStream {
        let request = JoinRequest {
            room: room.clone(),
            encoding: Encoding::Plain,
            history: Some(history),
            after: None,
        };
        let connections = Rc::clone(&self.connections);
        let connected = self.local.block_on(&self.runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let client = TcpStream::connect(listener.local_addr()?).await?;
            let (server, _) = listener.accept().await?;
            let serve = connections.serve(server, Bytes::new(), request, ());
            serve.await;
            std::io::Result::Ok(client)
        });
        connected.unwrap_or_else(|error| unreachable!("{error}"))
    }

    fn publish(&mut self, room: &Room) {
        self.sequence += 1;
        self.shard.append(vec![message(room, self.sequence, 0)]);
    }

    /// Reads so many frames at each.
    fn read(&self, clients: &mut [TcpStream], frames: usize) {
        self.local.block_on(&self.runtime, async {
            let mut bytes = vec![0; frames * FRAME];
            for client in clients {
                let read = client.read_exact(&mut bytes).await;
                read.unwrap_or_else(|error| unreachable!("{error}"));
            }
        });
    }
}

/// From an append to the arrival at all of so many viewers, over loopback sockets. Reading is part of what is measured:
/// about as dear as the write.
fn sweeping(c: &mut Criterion) {
    let mut group = c.benchmark_group("sweep");
    group.sample_size(20);
    for viewers in [10, 300] {
        group.throughput(Throughput::Elements(viewers as u64));
        let mut stage = Stage::new(1, viewers);
        group.bench_function(format!("{viewers} viewers"), |b| {
            b.iter(|| {
                for (room, mut clients) in std::mem::take(&mut stage.clients) {
                    stage.publish(&room);
                    stage.read(&mut clients, 1);
                    stage.clients.push((room, clients));
                }
            });
        });
        assert_eq!(stage.worker.viewers(), viewers);
    }
    group.finish();
}

/// A message in one of so many rooms, with eight viewers each: what the other rooms cost.
fn rooms(c: &mut Criterion) {
    const VIEWERS: usize = 8;
    let mut group = c.benchmark_group("8 viewers in each room");
    group.sample_size(20);
    let most = open_files() / (2 * VIEWERS + 1);
    for rooms in [1, 10, 100, 1_000]
        .into_iter()
        .filter(|rooms| *rooms < most)
    {
        group.throughput(Throughput::Elements(VIEWERS as u64));
        let mut stage = Stage::new(rooms, VIEWERS);
        let mut turn = 0;
        group.bench_function(format!("{rooms} rooms"), |b| {
            b.iter(|| {
                turn = (turn + 1) % rooms;
                let (room, mut clients) = stage.clients.swap_remove(turn);
                stage.publish(&room);
                stage.read(&mut clients, 1);
                stage.clients.push((room, clients));
            });
        });
    }
    group.finish();
}

/// How many open files there may be: as many as the rooms need, if the system allows it.
fn open_files() -> usize {
    const MANY: u64 = 65_536;
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current.unwrap_or(MANY);
    let most = limit.maximum.map_or(MANY, |most| most.min(MANY));
    limit.current = Some(before.max(most));
    let now = match setrlimit(Resource::Nofile, limit) {
        Ok(()) => before.max(most),
        Err(_) => before,
    };
    usize::try_from(now).unwrap_or(usize::MAX)
}

/// From an accepted connection to the last byte of the history at the client.
fn newcomers(c: &mut Criterion) {
    let mut group = c.benchmark_group("join");
    for history in [0, 100] {
        let mut stage = Stage::new(0, 0);
        for _ in 0..200 {
            stage.publish(&Room::lobby());
        }
        group.bench_function(format!("history of {history}"), |b| {
            b.iter(|| {
                let client = stage.connect(&Room::lobby(), history);
                stage.read(&mut [client], history);
            });
        });
    }
    group.finish();
}

criterion_group!(
    benches, encoding, appending, joining, newcomers, sweeping, rooms
);
criterion_main!(benches);
