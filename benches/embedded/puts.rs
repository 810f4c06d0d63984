//! PutRecords: calls and records a second, and a core.

use std::time::Instant;

use tokio::task::JoinSet;

use crate::kinesis::{Kinesis, Way, entries, put};
use crate::{Scale, WAYS, say};

/// Records of a call, and the bytes of each.
const SHAPES: [(usize, usize); 3] = [(1, 200), (10, 1_024), (500, 200)];

pub(crate) async fn report(scale: Scale) {
    say("\nPutRecords");
    say(
        "way        | callers | records × bytes | calls/s | records/s | calls/s/core | records/s/core",
    );
    for way in WAYS {
        for callers in [1, 16] {
            for shape in SHAPES {
                measure(scale, way, callers, shape).await;
            }
        }
    }
}

async fn measure(scale: Scale, way: Way, callers: usize, (count, size): (usize, usize)) {
    let kinesis = Kinesis::start(way, 256, 1).await;
    put(&kinesis.client, entries(count, size)).await;
    let (cpu, start) = (kinesis.cpu(), Instant::now());
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (client, records) = (kinesis.client.clone(), entries(count, size));
        running.spawn(async move {
            let mut calls = 0_usize;
            while start.elapsed() < scale.time {
                put(&client, records.clone()).await;
                calls += 1;
            }
            calls
        });
    }
    let calls = running.join_all().await.into_iter().sum::<usize>() as f64;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), kinesis.cpu() - cpu);
    let records = calls * count as f64;
    say(&format!(
        "{:10} | {callers:7} | {count:7} × {size:5} | {:7.0} | {:9.0} | {:12.0} | {:14.0}",
        way.name(),
        calls / seconds,
        records / seconds,
        calls / cpu,
        records / cpu,
    ));
}
