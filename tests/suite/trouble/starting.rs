//! Viewers that come while an instance has read nothing yet.

use rustix::process::Signal;
use serde_json::json;

use super::Holder;
use crate::harness::Viewer;

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
