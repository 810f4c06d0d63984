//! Many subscriptions on one shard: what each of them adds.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::types::ShardIteratorType;
use tokio::task::JoinSet;

use crate::kinesis::{Kept, Kinesis, MIB, Subscription, Way, entries, put};
use crate::{Scale, say};

const SUBSCRIPTIONS: [usize; 2] = [1, 20];
/// Of each record.
const BYTES: usize = 1_024;

pub(crate) async fn report(scale: Scale) {
    say("\nsubscriptions on one shard, over TCP: CPU of the service");
    say("what      | subscriptions | MiB written | CPU s | µs CPU a record delivered");
    for subscriptions in SUBSCRIPTIONS {
        live(scale, subscriptions).await;
    }
    for subscriptions in SUBSCRIPTIONS {
        behind(scale, subscriptions).await;
    }
}

/// Ten records every ten milliseconds, each sent on at once. The CPU of the writes is in it.
async fn live(scale: Scale, subscriptions: usize) {
    const RECORDS: usize = 10;
    let kinesis = Kinesis::start(Way::Tcp, Kept::InMemory, 256, 1).await;
    let rounds = usize::try_from(scale.time.as_millis() / 10).unwrap();
    let mut reading = open(&kinesis, subscriptions, rounds * RECORDS).await;
    let cpu = kinesis.cpu();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..rounds {
        ticks.tick().await;
        put(&kinesis.client, entries(RECORDS, BYTES)).await;
    }
    while reading.join_next().await.is_some() {}
    say_cost(
        "as it comes",
        &kinesis,
        cpu,
        subscriptions,
        rounds * RECORDS,
    );
}

/// All from the beginning of a backlog, as fast as they can.
async fn behind(scale: Scale, subscriptions: usize) {
    let kinesis = Kinesis::start(Way::Tcp, Kept::InMemory, 512, 1).await;
    let calls = scale.backlog.min(100) * 2;
    let records = calls * 500;
    for _ in 0..calls {
        put(&kinesis.client, entries(500, BYTES)).await;
    }
    let (cpu, start) = (kinesis.cpu(), Instant::now());
    let mut reading = open(&kinesis, subscriptions, records).await;
    while reading.join_next().await.is_some() {}
    say_cost("backlog", &kinesis, cpu, subscriptions, records);
    let read = (records * BYTES * subscriptions) as f64 / MIB as f64;
    say(&format!(
        "          | {:.0} MiB/s to all together",
        read / start.elapsed().as_secs_f64()
    ));
}

async fn open(kinesis: &Kinesis, subscriptions: usize, records: usize) -> JoinSet<()> {
    let mut reading = JoinSet::new();
    for number in 0..subscriptions {
        let consumer = kinesis.register(&format!("reader-{number}")).await;
        let client = kinesis.another();
        let mut events =
            Subscription::open(&client, &consumer, ShardIteratorType::TrimHorizon).await;
        reading.spawn(async move { events.take(records).await });
    }
    reading
}

fn say_cost(what: &str, kinesis: &Kinesis, before: f64, subscriptions: usize, records: usize) {
    let cpu = kinesis.cpu() - before;
    say(&format!(
        "{what:11} | {subscriptions:11} | {:11.1} | {cpu:5.2} | {:8.2}",
        (records * BYTES) as f64 / MIB as f64,
        cpu * 1e6 / (records * subscriptions) as f64,
    ));
}
