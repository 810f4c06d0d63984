//! The store by itself, its time given by the tests.

mod fanout;
mod life;
mod rates;
mod records;
mod shared;
mod shards;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::embedded::ErrorKind;

const STREAM: &str = "messages";
const SHARD: &str = "shardId-000000000000";
const START: u64 = 1_760_000_000_000;

/// The moment `millis` after the tests' beginning, on both clocks.
fn at(millis: u64) -> Now {
    Now {
        wall: START + millis,
        steady: millis,
    }
}

fn store(config: Config, shards: u32) -> Store {
    let mut store = Store::new(config);
    store
        .create_stream(new_stream(STREAM, shards), at(0))
        .unwrap();
    store
}

fn new_stream(name: &str, shards: u32) -> NewStream {
    NewStream {
        name: name.to_owned(),
        shards,
        mode: Mode::Provisioned,
        max_record: 1024 * 1024,
        warm_throughput: 0,
        tags: Tags::new(),
    }
}

fn record(key: &str, size: usize) -> Put {
    Put {
        hash: of_partition_key(key),
        partition_key: key.into(),
        data: Bytes::from(vec![7; size]),
    }
}

fn put(store: &mut Store, key: &str, now: Now) -> Sequence {
    put_all(store, vec![record(key, 10)], now)[0].sequence
}

/// Writes records, none of which is throttled.
fn put_all(store: &mut Store, records: Vec<Put>, now: Now) -> Vec<Stored> {
    let outcomes = store.put(STREAM, records, now).unwrap();
    outcomes.into_iter().map(Result::unwrap).collect()
}

impl Store {
    /// A read of what is in memory.
    fn look(&mut self, name: &str, from: Cursor, count: usize, now: Now) -> Result<Batch, Error> {
        match self.read(name, from, count, None, now)? {
            Look::Batch(batch) => Ok(batch),
            Look::Load(load) => panic!("there is no disk for {load:?}"),
        }
    }
}

fn start_of(store: &mut Store, number: u32) -> Sequence {
    store.stream(STREAM, at(0)).unwrap().shards[&number].starting()
}

/// Every sequence number of a shard from a start on, through as many reads as it takes.
fn read(store: &mut Store, shard: &str, start: Start, now: Now) -> Vec<Sequence> {
    let mut cursor = Some(store.locate(STREAM, shard, start, now).unwrap());
    let mut read = Vec::new();
    while let Some(from) = cursor {
        let batch = store.look(STREAM, from, 3, now).unwrap();
        if batch.records.is_empty() {
            break;
        }
        read.extend(batch.records.iter().map(|record| record.sequence));
        cursor = batch.next;
    }
    read
}

fn subscribe(store: &mut Store, start: Start, now: Now) -> Result<SubscriptionId, Error> {
    if store.stream(STREAM, now)?.consumers.is_empty() {
        store.register_consumer(STREAM, "reader", Tags::new(), now)?;
    }
    store.subscribe(STREAM, "reader", SHARD, start, now)
}

fn event(step: Step) -> Event {
    match step {
        Step::Event(event) => event,
        other => panic!("no event but {other:?}"),
    }
}
