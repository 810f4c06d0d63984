//! From the call of PutRecords to the event, one at a time.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::types::ShardIteratorType;
use hdrhistogram::Histogram;

use crate::kinesis::{Kinesis, Subscription, entries, put};
use crate::{SETUPS, Scale, say};

pub(crate) async fn report(scale: Scale) {
    say("\nput to event, one record of 200 bytes at a time");
    say("way        | kept   | p50 ms | p99 ms | max ms");
    for (way, kept) in SETUPS {
        let kinesis = Kinesis::start(way, kept, 256, 1).await;
        let consumer = kinesis.register("reader").await;
        let reader = kinesis.another();
        let mut events =
            Subscription::open(&reader, &consumer, ShardIteratorType::TrimHorizon).await;
        // Up to a minute.
        let mut times = Histogram::<u64>::new_with_max(60_000_000_000, 3).unwrap();
        for sample in 0..scale.samples + 20 {
            let start = Instant::now();
            let came = async {
                events.take(1).await;
                start.elapsed()
            };
            let ((), time) = tokio::join!(put(&kinesis.client, entries(1, 200)), came);
            // The first ones open connections.
            if sample >= 20 {
                times.saturating_record(u64::try_from(time.as_nanos()).unwrap());
            }
            // A pause, as between the messages of a quiet room: nothing is hot.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ms = |nanos: u64| nanos as f64 / 1e6;
        say(&format!(
            "{:10} | {:6} | {:6.3} | {:6.3} | {:6.3}",
            way.name(),
            kept.name(),
            ms(times.value_at_quantile(0.5)),
            ms(times.value_at_quantile(0.99)),
            ms(times.max()),
        ));
    }
}
