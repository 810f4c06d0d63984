//! PutRecords: calls and records a second, and a core.

use std::time::Instant;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::kinesis::{Kept, Kinesis, Way, entries, put};
use crate::{SETUPS, Scale, say};

/// Records of a call, and the bytes of each.
const SHAPES: [(usize, usize); 3] = [(1, 200), (10, 1_024), (500, 200)];

pub(crate) async fn report(scale: Scale) {
    say("\nPutRecords");
    say(
        "way        | kept   | callers | records × bytes | calls/s | records/s | p50 ms | p99 ms | calls/s/core | records/s/core",
    );
    for callers in [1, 16] {
        for shape in SHAPES {
            for (way, kept) in SETUPS {
                measure(scale, (way, kept), callers, shape).await;
            }
        }
    }
}

async fn measure(
    scale: Scale,
    (way, kept): (Way, Kept),
    callers: usize,
    (count, size): (usize, usize),
) {
    let kinesis = Kinesis::start(way, kept, 256, 1).await;
    put(&kinesis.client, entries(count, size)).await;
    let (cpu, start) = (kinesis.cpu(), Instant::now());
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (client, records) = (kinesis.client.clone(), entries(count, size));
        running.spawn(async move {
            let mut times = Histogram::<u64>::new_with_max(60_000_000_000, 3).unwrap();
            while start.elapsed() < scale.time {
                let called = Instant::now();
                put(&client, records.clone()).await;
                times.saturating_record(u64::try_from(called.elapsed().as_nanos()).unwrap());
            }
            times
        });
    }
    let mut times = Histogram::<u64>::new_with_max(60_000_000_000, 3).unwrap();
    for of_one in running.join_all().await {
        times.add(of_one).unwrap();
    }
    let calls = times.len() as f64;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), kinesis.cpu() - cpu);
    let records = calls * count as f64;
    let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1e6;
    say(&format!(
        "{:10} | {:6} | {callers:7} | {count:7} × {size:5} | {:7.0} | {:9.0} | {:6.3} | {:6.3} | {:12.0} | {:14.0}",
        way.name(),
        kept.name(),
        calls / seconds,
        records / seconds,
        ms(0.5),
        ms(0.99),
        calls / cpu,
        records / cpu,
    ));
}
