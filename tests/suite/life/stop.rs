//! The end in good order.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpStream;

use super::draining;
use crate::harness::raw::CLOSE;
use crate::harness::{Launch, Raw, Server, Viewer, consumers, eventually};
use crate::trouble::Holder;

#[tokio::test]
async fn for_the_drain_delay_everything_is_served_but_readiness() {
    const DELAY: Duration = Duration::from_secs(4);
    let mut server = Server::start(&["--drain-delay", "4s"]).await;
    let mut early = Viewer::join(&server, "room=den").await;
    let signalled = Instant::now();
    server.signal(Signal::TERM);
    draining(&server).await;
    let mut late = Viewer::join(&server, "room=den").await;
    server.say("den", "still here").await;
    assert_eq!(early.next().await.text, "still here");
    assert_eq!(late.next().await.text, "still here");
    for path in ["/", "/livez", "/metrics"] {
        assert_eq!(server.get(path).await.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(early.close_code().await, Some(1001));
    assert!(signalled.elapsed() >= DELAY, "{:?}", signalled.elapsed());
    assert_eq!(late.close_code().await, Some(1001));
    assert_eq!(server.ended().await.code(), Some(0));
}

/// Sent away at 500 a second: over 1.6 s.
const MANY: usize = 800;

#[tokio::test]
async fn i1_viewers_are_sent_away_evenly_and_the_last_are_served_to_the_end() {
    let other = Server::start_sharing(&[]).await;
    let mut server = Server::start_beside(&other, &["--drain", "10s"]).await;
    let mut viewers = Vec::new();
    for _ in 0..MANY {
        let mut viewer = Raw::open(server.address()).await;
        viewer.upgrade("room=den").await;
        viewers.push(viewer);
    }
    server.signal(Signal::TERM);
    let watched = join_all(viewers.into_iter().map(async |mut viewer| {
        let mut texts = 0;
        while let Some(frame) = viewer.frame().await {
            if frame.opcode == CLOSE {
                return (frame.close_code(), Instant::now(), texts);
            }
            texts += 1;
        }
        (None, Instant::now(), texts)
    }));
    let meanwhile = async {
        eventually("no connection is taken any more", || async {
            TcpStream::connect(server.address()).await.is_err()
        })
        .await;
        let refused = Instant::now();
        other.say("den", "for those who are still there").await;
        refused
    };
    let (watched, refused) = tokio::join!(watched, meanwhile);
    assert_eq!(server.ended().await.code(), Some(0));

    let odd = watched.iter().find(|(code, ..)| *code != Some(1001));
    assert_eq!(odd, None);
    let mut times: Vec<_> = watched.iter().map(|(_, time, _)| *time).collect();
    times.sort();
    let after = |index: usize| times[index].duration_since(times[0]).as_secs_f64();
    let whole = after(MANY - 1);
    // 1.6 s, and more only where the machine was busy with something else.
    assert!((1.4..8.0).contains(&whole), "{whole} s");
    let half = after(MANY / 2);
    assert!(
        (whole * 0.2..whole * 0.8).contains(&half),
        "{half} of {whole} s"
    );
    assert!(
        refused < times[MANY - 1],
        "refused before the last has gone"
    );
    let reached = watched.iter().filter(|(.., texts)| *texts > 0).count();
    assert!(
        reached > 0,
        "nobody was served between the signal and the end"
    );
}

#[tokio::test]
async fn the_time_for_sending_away_has_a_limit() {
    let mut server = Server::start(&["--drain", "0s"]).await;
    let mut viewers = Vec::new();
    for _ in 0..200 {
        let mut viewer = Raw::open(server.address()).await;
        viewer.upgrade("room=den").await;
        viewers.push(viewer);
    }
    server.signal(Signal::TERM);
    let codes = join_all(viewers.iter_mut().map(Raw::close_code)).await;
    assert!(codes.iter().all(|code| *code == Some(1001)), "{codes:?}");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&["--drain-delay", "10m"]).await;
    server.signal(Signal::TERM);
    draining(&server).await;
    server.signal(Signal::INT);
    assert_eq!(server.ended().await.code(), Some(1));
    eventually("it says why", || async {
        server.said().contains("on a second signal")
    })
    .await;
}

#[tokio::test]
async fn i1_a_publish_under_way_is_answered_and_stored() {
    let holder = Holder::start(&[]).await;
    let mut server = holder.beside(&[]).start().await;
    let slow = json!({"fault": "delay", "operation": "PutRecords", "delay": "1500ms", "times": 1});
    holder.add(&slow).await;
    let answer = server
        .client()
        .post(server.url("/chat-messages"))
        .json(&json!({"room": "den", "text": "in the last moment"}));
    let answer = tokio::spawn(answer.send());
    eventually("the record is on its way", || async {
        holder.count("delay").await > 0
    })
    .await;
    server.signal(Signal::TERM);
    let answer = answer.await.unwrap().expect("an answer");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(server.ended().await.code(), Some(0));
    let mut viewer = Viewer::join(&holder.server, "room=den").await;
    assert_eq!(viewer.next().await.text, "in the last moment");
}

#[tokio::test]
async fn i6_a_consumer_that_cannot_be_deregistered_is_not_waited_for_longer_than_5_s() {
    let holder = Holder::start(&[]).await;
    let mut server = holder.beside(&[]).start().await;
    let slow = json!({"fault": "delay", "operation": "DeregisterStreamConsumer", "delay": "1m"});
    holder.add(&slow).await;
    let signalled = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0));
    let took = signalled.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(holder.count("delay").await > 0, "it was tried");
    let said = server.said();
    assert!(said.contains("no time to"), "{said}");
}

#[tokio::test]
async fn a_stop_amid_the_registration_leaves_no_consumer_behind() {
    let holder = Holder::start(&[]).await;
    let slow = json!({"fault": "delay", "operation": "RegisterStreamConsumer", "delay": "1s"});
    holder.add(&slow).await;
    let name = ["--consumer-name", "hasty", "--consumer", "enhanced"];
    let mut server = holder.beside(&name).start_unready().await;
    eventually("it registers", || async { holder.count("delay").await > 0 }).await;
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0));
    let registered = consumers(&holder.server).await;
    assert!(!registered.contains("hasty"), "{registered}");
    assert!(server.said().contains("deregistered"), "it was registered");
}

#[tokio::test]
async fn an_address_that_is_taken_ends_the_start_with_1() {
    let first = Server::start(&[]).await;
    let ended = Launch::new().listen(first.address()).run().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("already in use"), "{}", ended.stderr);
}
