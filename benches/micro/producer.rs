//! What a message costs on its way into a record: packing, and the KPL format.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use chat_room::kinesis::{HashKeyRange, PutOutcome, Record, Shard, kpl};
use chat_room::message::{Room, SequenceNumber, Timestamp};
use chat_room::producer::lanes::{Answer, Lanes, Limits};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const MESSAGES: usize = 500;
const BYTES: usize = 200;

fn aggregate(rooms: &[Room]) -> kpl::Aggregate {
    let data = Bytes::from(vec![b'x'; BYTES]);
    let mut aggregate = kpl::Aggregate::new();
    for room in rooms.iter().cycle().take(MESSAGES) {
        aggregate.push(room.as_str(), data.clone());
    }
    aggregate
}

fn rooms(count: usize) -> Vec<Room> {
    (0..count)
        .filter_map(|number| Room::new(&format!("room-{number}")).ok())
        .collect()
}

fn format(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kpl");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let rooms = rooms(8);
    group.bench_function("push", |bencher| {
        bencher.iter(|| aggregate(black_box(&rooms)));
    });
    let whole = aggregate(&rooms);
    group.bench_function("encode", |bencher| {
        bencher.iter(|| black_box(&whole).encode());
    });
    let record = Record {
        sequence: SequenceNumber::ZERO,
        partition_key: "room-0".to_owned(),
        data: whole.encode().into(),
        arrival: Timestamp::from_millis(0),
    };
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            kpl::decode(black_box(&record))
                .map(|user| user.data.len())
                .sum::<usize>()
        });
    });
    group.finish();
}

/// Lanes over one shard that takes the whole hash space.
fn lanes() -> Lanes<usize> {
    let mut lanes = Lanes::new(Limits::default(), 1);
    lanes.map_requested();
    let shard = Shard {
        id: "shardId-000000000000".into(),
        parents: vec![],
        range: HashKeyRange::ALL,
        starting: SequenceNumber::ZERO,
        ending: None,
    };
    let _settled = lanes.shard_map(Instant::now(), vec![shard]);
    lanes
}

/// Takes messages, packs them into calls, and settles the answers, until nothing waits. Time is what the lanes ask for, so
/// that no wait of theirs is in the figure.
fn round(lanes: &mut Lanes<usize>, rooms: &[Room], data: &Bytes) -> usize {
    let mut now = Instant::now();
    for (tag, room) in rooms.iter().cycle().take(MESSAGES).enumerate() {
        lanes.publish(room.clone(), data.clone(), tag);
    }
    let mut settled = 0;
    while settled < MESSAGES {
        let calls = lanes.next_calls(now);
        if calls.is_empty() {
            now = lanes.deadline(now).unwrap_or(now);
        }
        for call in calls {
            let stored = PutOutcome::Stored {
                shard: call.shard,
                sequence: SequenceNumber::ZERO,
            };
            let answer = Answer::Records(vec![stored; call.records.len()]);
            settled += lanes.answered(now, call.id, answer).done.len();
        }
    }
    settled
}

fn packing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lanes");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let data = Bytes::from(vec![b'x'; BYTES]);
    for count in [1, 8, 100] {
        let rooms = rooms(count);
        group.bench_function(format!("{count} rooms"), |bencher| {
            bencher.iter_batched_ref(
                lanes,
                |lanes| round(lanes, &rooms, &data),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, format, packing);
criterion_main!(benches);
