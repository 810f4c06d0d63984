//! What the producer does for the consumer: writes its heartbeats, and learns the stream's limit.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::consumer::Facts;
use crate::producer::Publisher;

/// How often this instance says that it lives.
pub(super) const HEARTBEAT: Duration = Duration::from_mins(1);

/// Runs for as long as the consumer does.
pub(super) async fn attend(publisher: Publisher, mut facts: watch::Receiver<Facts>) {
    facts.mark_changed();
    // The first after half a minute or more: who was registered just now counts as alive, and who
    // starts and fails again and again need not write.
    let mut next = Instant::now() + HEARTBEAT.mul_f64(0.5 + fastrand::f64() / 2.0);
    loop {
        tokio::select! {
            changed = facts.changed() => {
                if changed.is_err() {
                    return;
                }
                if let Some(limit) = facts.borrow_and_update().record_limit {
                    publisher.limit_records(limit);
                }
            }
            () = sleep_until(next) => {
                let heartbeat = facts.borrow().heartbeat();
                // Never waits longer than a message does.
                if let Err(error) = publisher.announce(&heartbeat).await {
                    warn!(%error, "could not write a heartbeat; the next one is due as ever");
                }
                // Not in step with others.
                next = Instant::now() + HEARTBEAT.mul_f64(0.9 + fastrand::f64() / 10.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::kinesis::{self, Endpoint, Kinesis, StartingPosition};
    use crate::message::payload::{self, Draft, Payload};
    use crate::message::{Room, Text, Timestamp};
    use crate::producer::PublishError;
    use crate::{embedded, producer};

    async fn payloads(kinesis: &Kinesis) -> Vec<Payload> {
        let shard = kinesis.list_shards().await.unwrap().remove(0).id;
        let from = StartingPosition::TrimHorizon;
        let from = kinesis.get_shard_iterator(&shard, from).await.unwrap();
        let records = kinesis.get_records(&from, 100).await.unwrap().records;
        let decode = |record: &kinesis::Record| payload::decode(&record.data).unwrap();
        records.iter().map(decode).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_a_minute_is_written_and_the_streams_limit_is_kept() {
        let service = embedded::Service::new(embedded::Config::default());
        service.create_stream_if_missing("messages", 1).unwrap();
        let endpoint = Endpoint::InProcess(service.http_client());
        let config = kinesis::Config::new("messages", endpoint);
        let kinesis = kinesis::connect(&config).await.unwrap();
        let (publisher, _task) = producer::start(kinesis.clone(), producer::Config::default());
        let facts = Facts {
            instance: Uuid::new_v4(),
            consumer: Some("c".into()),
            record_limit: Some(400),
        };
        let (sender, receiver) = watch::channel(facts.clone());
        let attending = tokio::spawn(attend(publisher.clone(), receiver));
        tokio::time::sleep(HEARTBEAT * 5).await;
        let beats = payloads(&kinesis).await;
        assert!((5..=6).contains(&beats.len()), "{beats:?}");
        let own = Payload::Heartbeat(facts.heartbeat());
        assert!(beats.iter().all(|beat| *beat == own), "{beats:?}");
        let draft = Draft {
            id: Uuid::new_v4(),
            room: Room::lobby(),
            name: None,
            text: Text::new("x".repeat(400)).unwrap(),
            time: Timestamp::now(),
        };
        let refused = publisher.publish(draft).await;
        assert!(matches!(
            refused,
            Err(PublishError::TooLarge { limit: 400, .. })
        ));
        drop(sender);
        attending.await.unwrap();
    }
}
