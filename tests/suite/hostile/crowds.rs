//! Very many at once, and floods.

use std::time::Duration;

use super::Stage;
use crate::harness::raw::{PING, TEXT};
use crate::harness::{Frame, Launch, PlainViewer, Raw, eventually};

const CONTINUATION: u8 = 0;

/// Connections of each kind; with those of the test itself they must fit into its open files.
const EACH: usize = 1_000;

#[tokio::test]
async fn i4_thousands_of_idle_and_slow_connections_disturb_nobody_and_are_gone_in_time() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = limit.current.unwrap_or(u64::MAX);
    // Where a process may have few files, fewer: the program still has as many as its places.
    let each = EACH.min(
        usize::try_from(files)
            .unwrap_or(usize::MAX)
            .saturating_sub(200)
            / 3,
    );
    let server = Launch::new()
        .args(&[
            "--first-request-timeout",
            "20s",
            "--header-timeout",
            "20s",
            "--body-timeout",
            "20s",
        ])
        .start()
        .await;
    let bystander = PlainViewer::join(&server, "room=den").await;
    let mut stage = Stage {
        server,
        bystander,
        round: 0,
    };
    let before = stage.memory().await;
    let beginnings = [
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        "POST /chat-messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n{\"text\":\"",
    ];
    let mut crowd = Vec::new();
    for _ in 0..each {
        for beginning in beginnings {
            let mut raw = Raw::open(stage.server.address()).await;
            raw.send(beginning.as_bytes()).await;
            crowd.push(raw);
        }
        if crowd.len() % 600 == 0 {
            stage.nobody_noticed("some more idle connections").await;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let count = crowd.len() as f64;
    let there = stage.server.metric("chat_room_http_connections").await;
    // Some may have been ended in time already.
    assert!(there > 100.0, "{there} connections of {count} are there");
    let grown = stage.memory().await - before;
    // hyper's buffers, the worker's task, and the kernel's own, which is not ours.
    assert!(
        grown < count * 32e3 + 8e6,
        "{grown} bytes for {count} connections"
    );
    stage.nobody_noticed("thousands of idle connections").await;
    eventually("all of them are gone", || async {
        stage.server.metric("chat_room_http_connections").await < 20.0
    })
    .await;
    stage.nobody_noticed("the end of them").await;
    drop(crowd);
}

#[tokio::test]
async fn i4_a_flood_of_fragments_or_pings_costs_its_sender_only() {
    let mut stage = Stage::new(&[]).await;
    let first = Frame {
        fin: false,
        ..Frame::new(TEXT, "")
    };
    let fragment = Frame {
        fin: false,
        ..Frame::new(CONTINUATION, "")
    };
    let unfinished = Frame::new(TEXT, "x".repeat(4_096)).encode();
    let floods = [
        (
            "empty fragments",
            [first.encode(), fragment.encode().repeat(20_000)].concat(),
        ),
        ("pings", Frame::new(PING, [7; 125]).encode().repeat(20_000)),
        (
            "frames of 4 KiB, and one unfinished",
            [unfinished.repeat(500), unfinished[..4_000].to_vec()].concat(),
        ),
    ];
    let before = stage.memory().await;
    for (what, flood) in floods {
        let mut raws = Vec::new();
        for _ in 0..8 {
            let mut raw = Raw::open_with_little_room(stage.server.address()).await;
            raw.upgrade("room=den&history=0").await;
            raws.push(raw);
        }
        // They never read: pongs would have to be kept, if each ping had one.
        let sending = raws.iter_mut().map(async |raw| {
            let limit = Duration::from_secs(5);
            let _ = tokio::time::timeout(limit, raw.send(&flood)).await;
        });
        futures_util::future::join_all(sending).await;
        let grown = stage.memory().await - before;
        assert!(grown < 24e6, "{what}: {grown} bytes more");
        stage.nobody_noticed(what).await;
    }
}
