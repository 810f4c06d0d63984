//! What messages take on disk.

use tokio::task::JoinSet;

use crate::kinesis::{Kept, Kinesis, Way, entries, put};
use crate::{Scale, say};

/// Bytes of a message: a text of 60 characters and a name, with its envelope, without the key.
const MESSAGE: usize = 186;
/// Callers, and how many messages are in a call.
const PACES: [(usize, usize); 4] = [(1, 1), (16, 1), (16, 10), (16, 100)];

pub(crate) async fn report(scale: Scale) {
    say("\nDisk, messages of 190 bytes with their key");
    say("callers | messages a call | messages | MiB | bytes each");
    for (callers, count) in PACES {
        let kinesis = Kinesis::start(Way::InProcess, Kept::OnDisk, 64, 1).await;
        let empty = kinesis.disk();
        let calls = scale.messages / callers / count;
        let mut running = JoinSet::new();
        for _ in 0..callers {
            let (client, records) = (kinesis.client.clone(), entries(count, MESSAGE));
            running.spawn(async move {
                for _ in 0..calls {
                    put(&client, records.clone()).await;
                }
            });
        }
        running.join_all().await;
        let (taken, messages) = (kinesis.disk() - empty, callers * calls * count);
        say(&format!(
            "{callers:7} | {count:15} | {messages:8} | {:5.1} | {:6.1}",
            taken as f64 / (1024.0 * 1024.0),
            taken as f64 / messages as f64,
        ));
    }
}
