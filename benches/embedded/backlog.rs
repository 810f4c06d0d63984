//! A backlog read through by one subscription: how long it takes, and the memory beside the records.

use std::time::Instant;

use aws_sdk_kinesis::types::ShardIteratorType;

use crate::kinesis::{Kept, Kinesis, MIB, Subscription, Way, entries, put};
use crate::{Scale, say};

const BYTES: usize = 10 * 1024;
const RECORDS: usize = 100;

pub(crate) async fn report(scale: Scale) {
    say("\na backlog of records of 10 KiB, read by one subscription over TCP");
    say("MiB  | filled in s | read in s | MiB/s | memory with it | at its highest | more");
    let kinesis = Kinesis::start(Way::Tcp, Kept::InMemory, scale.backlog * 2, 1).await;
    let calls = (scale.backlog * MIB).div_ceil(BYTES * RECORDS);
    let start = Instant::now();
    for _ in 0..calls {
        put(&kinesis.client, entries(RECORDS, BYTES)).await;
    }
    let filled = start.elapsed().as_secs_f64();
    let consumer = kinesis.register("reader").await;
    let (before, _) = kinesis.memory();
    let start = Instant::now();
    let reader = kinesis.another();
    let mut events = Subscription::open(&reader, &consumer, ShardIteratorType::TrimHorizon).await;
    events.take(calls * RECORDS).await;
    let read = start.elapsed().as_secs_f64();
    let (_, highest) = kinesis.memory();
    say(&format!(
        "{:4} | {filled:11.2} | {read:9.2} | {:5.0} | {before:10.0} MiB | {highest:10.0} MiB | {:.1} MiB",
        scale.backlog,
        scale.backlog as f64 / read,
        highest - before,
    ));
}
