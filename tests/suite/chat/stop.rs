//! The end: a clean stop says so to everybody.

use rustix::process::Signal;

use super::{texts, two_instances};
use crate::harness::{Launch, PlainViewer, Server, Viewer, consumers, eventually};

#[tokio::test]
async fn a_clean_stop_closes_viewers_with_1001_and_ends_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&[]).await;
        let mut viewer = Viewer::join(&server, "room=den").await;
        let mut plain = PlainViewer::join(&server, "room=den").await;
        server.say("den", "last").await;
        server.signal(signal);
        assert_eq!(viewer.close_code().await, Some(1001), "{signal:?}");
        assert_eq!(plain.close_code().await, Some(1001), "{signal:?}");
        assert_eq!(server.ended().await.code(), Some(0), "{signal:?}");
    }
}

#[tokio::test]
async fn a_stop_of_one_instance_leaves_the_other_at_work() {
    let (first, second) = two_instances().await;
    let mut viewer = Viewer::join(&first, "room=den").await;
    second.say("den", "from the second").await;
    second.stop().await;
    first.say("den", "from the first").await;
    let shown: Vec<_> = viewer
        .take(2)
        .await
        .into_iter()
        .map(|message| message.text)
        .collect();
    assert_eq!(shown, ["from the second", "from the first"]);
}

#[tokio::test]
async fn a_clean_stop_takes_back_the_registered_consumer() {
    let first = Server::start_sharing(&[]).await;
    let second = Launch::on_kinesis_at(first.kinesis())
        .args(&["--consumer-name", "the-second"])
        .start()
        .await;
    assert!(
        consumers(&first).await.contains("the-second"),
        "{}",
        consumers(&first).await
    );
    second.stop().await;
    eventually(
        "the stopped instance's consumer is deregistered",
        || async { !consumers(&first).await.contains("the-second") },
    )
    .await;
}

#[tokio::test]
async fn i1_what_was_accepted_before_a_stop_is_there_afterwards() {
    let first = Server::start_sharing(&["--embedded-shards", "3"]).await;
    let second = Server::start_beside(&first, &[]).await;
    let sent = texts("m", 30);
    second.say_all("den", &sent).await;
    second.stop().await;
    let mut viewer = Viewer::join(&first, "room=den").await;
    let shown: Vec<_> = viewer
        .take(30)
        .await
        .into_iter()
        .map(|message| message.text)
        .collect();
    assert_eq!(shown, sent);
}
