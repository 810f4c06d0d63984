//! Viewers that come while an instance has read nothing yet, or not all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::json;

use super::Holder;
use crate::harness::{PlainViewer, Viewer, call_kinesis, eventually};

/// An instance that listens, and whose first subscriptions take a while.
const LATE: &[&str] = &["--consumer", "enhanced", "--consumer-name", "late"];

#[tokio::test]
async fn i1_a_viewer_that_joined_before_anything_was_read_resumes_elsewhere_and_misses_nothing() {
    let holder = Holder::start(&["--history", "3", "--embedded-shards", "2"]).await;
    let first = &holder.server;
    let late = json!({"fault": "delay", "operation": "SubscribeToShard", "consumer": "late", "delay": "1500ms", "times": 2});
    for (round, room) in ["den", "hall"].into_iter().enumerate() {
        holder.add(&late).await;
        if round > 0 {
            // In the second round the room has messages: more than the history.
            first
                .say_all(room, &["0", "1", "2", "3", "4"].map(str::to_owned))
                .await;
        }
        let second = holder.beside(LATE).start_unready().await;
        let viewer = Viewer::join_patiently(&second, &format!("room={room}&history=3")).await;
        assert!(!viewer.joined.recovered);
        // It shows nothing more, and then the connection is gone.
        second.signal(Signal::STOP);
        let missed: Vec<_> = (0..20).map(|number| format!("missed {number}")).collect();
        first.say_all(room, &missed).await;
        let position = viewer.joined.position.clone();
        drop((viewer, second));
        let mut resumed = Viewer::join(first, &format!("room={room}&after={position}")).await;
        assert!(resumed.joined.recovered, "{position}: {:?}", resumed.joined);
        let before = resumed.until("missed 0").await;
        assert!(before.len() <= 3, "{before:?}");
        let shown = resumed.take(missed.len() - 1).await;
        let shown: Vec<_> = shown.into_iter().map(|shown| shown.text).collect();
        assert_eq!(shown, missed[1..]);
    }
}

/// More records than an event of a subscription holds.
const RECORDS: usize = 1_200;

#[tokio::test]
async fn i1_a_newcomer_is_not_told_a_position_long_past_by_an_instance_that_catches_up() {
    let holder = Holder::start(&["--history", "3"]).await;
    let first = &holder.server;
    for part in (0..RECORDS).collect::<Vec<_>>().chunks(400) {
        let record = |number: &usize| {
            let data = json!({"room": "den", "text": number.to_string()}).to_string();
            json!({"PartitionKey": "den", "Data": STANDARD.encode(data)})
        };
        let records: Vec<_> = part.iter().map(record).collect();
        let body = json!({"StreamName": "messages", "Records": records});
        let answer = call_kinesis(holder.server.kinesis(), "PutRecords", &body).await;
        assert!(answer.contains(r#""FailedRecordCount":0"#), "{answer}");
    }
    // It gets the oldest of them, and then nothing for so long that it looks for another connection.
    let late = json!({"rule": [
        {"fault": "delay", "operation": "SubscribeToShard", "consumer": "late", "delay": "1500ms"},
        {"fault": "silent", "consumer": "late", "nth": 2},
    ]});
    holder.add(&late).await;
    let second = holder.beside(LATE).start_unready().await;
    let has_read =
        |line: &str| line.starts_with("chat_room_consumer_records_total ") && !line.ends_with(" 0");
    eventually("it has read something", || async {
        second.metrics().await.lines().any(has_read)
    })
    .await;
    let mut plain = PlainViewer::join(&second, "room=den").await;
    assert_eq!(Viewer::sent_away(&second, "room=den").await, Some(4001));
    assert_eq!(holder.count("silent").await, 1);
    let ready = second.get("/readyz").await;
    assert_eq!(ready.status(), 503);
    let ready = ready.text().await.unwrap();
    assert!(
        ready.contains(r#""behind":[{"shard":"shardId-000000000000""#),
        "{ready}"
    );
    // Who needs no position is shown what there is.
    let shown: usize = plain.next().await.parse().unwrap();
    assert!(shown < RECORDS - 3, "{shown}");
    // Another instance is further; and this one will be.
    let newest = (RECORDS - 1).to_string();
    for server in [first, &second] {
        let mut viewer = Viewer::join_patiently(server, "room=den&history=3").await;
        assert_eq!(viewer.until(&newest).await.len(), 2);
    }
}
