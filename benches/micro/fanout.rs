//! What a message costs between the stream and the sockets: encoding, appending, joining, sweeping.
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
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use uuid::Uuid;

/// A plain frame with a text of 128 bytes: four bytes of header.
const FRAME: usize = 132;

fn message(sequence: u128, index: u32) -> Message {
    Message {
        id: MessageId::Uuid(Uuid::from_u128(sequence)),
        room: Room::lobby(),
        name: Some("Ada".into()),
        text: "x".repeat(128).into(),
        time: Timestamp::now(),
        position: Position {
            sequence: sequence.into(),
            index,
        },
    }
}

fn batch(sequence: u128, messages: u32) -> Vec<Message> {
    (0..messages)
        .map(|index| message(sequence, index))
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
    let entries: Vec<Entry> = batch(1, 100).into_iter().map(Entry::from).collect();
    let mut group = c.benchmark_group("encode 100 messages of 128 bytes");
    group.throughput(Throughput::Elements(100));
    for encoding in Encoding::ALL {
        group.bench_function(encoding.as_str(), |b| {
            b.iter(|| encoding.encode(&Room::lobby(), &entries));
        });
    }
    group.finish();
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

/// From an append to the arrival at all of so many viewers, over loopback sockets.
fn sweeping(c: &mut Criterion) {
    let mut group = c.benchmark_group("sweep");
    group.sample_size(20);
    for viewers in [10_u64, 300] {
        group.throughput(Throughput::Elements(viewers));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap_or_else(|error| unreachable!("{error}"));
        let local = LocalSet::new();
        let (log, mut news, shard) = log_with_shard();
        let (worker, mut clients) = local.block_on(&runtime, async {
            let worker = Worker::new(0, log, fanout::Config::default());
            tokio::task::spawn_local(Rc::clone(&worker).run(news.remove(0)));
            let connections = Connections::new(Rc::clone(&worker));
            let mut clients = Vec::new();
            for _ in 0..viewers {
                let client = connect(&connections).await;
                clients.push(client.unwrap_or_else(|error| unreachable!("{error}")));
            }
            (worker, clients)
        });
        let mut sequence = 0;
        group.bench_function(format!("{viewers} viewers"), |b| {
            b.iter(|| {
                sequence += 1;
                shard.append(batch(sequence, 1));
                local.block_on(&runtime, async {
                    // Reading is part of what is measured: about as dear as the write.
                    let mut frame = [0; FRAME];
                    for client in &mut clients {
                        let read = client.read_exact(&mut frame).await;
                        read.unwrap_or_else(|error| unreachable!("{error}"));
                    }
                });
            });
        });
        assert_eq!(worker.viewers() as u64, viewers);
    }
    group.finish();
}

/// Connects a viewer and returns the client's end.
async fn connect(connections: &Rc<Connections>) -> std::io::Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    let request = JoinRequest {
        room: Room::lobby(),
        encoding: Encoding::Plain,
        history: Some(0),
        after: None,
    };
    let connections = Rc::clone(connections);
    connections
        .serve(server, Bytes::new(), request, Box::new(()))
        .await;
    Ok(client)
}

criterion_group!(benches, encoding, appending, joining, sweeping);
criterion_main!(benches);
