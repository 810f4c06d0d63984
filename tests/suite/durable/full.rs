//! A disk without space: here, a limit for the size of a file.

use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;

use super::{folder, kill, on};
use crate::harness::{PlainViewer, Server, eventually, within};

/// What the program may make its files grow to: as they are, or as they like.
fn limit(server: &Server, size: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit {
        current: size.or(maximum),
        maximum,
    };
    prlimit(Some(server.pid()), Resource::Fsize, limit).expect("a new limit");
}

fn size(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("stream.redb")).unwrap().len()
}

#[tokio::test]
async fn a_full_disk_refuses_messages_and_nothing_else() {
    let folder = folder();
    let server = on(folder.path())
        // A write beyond the limit is to be an error and no signal, as on a disk that is full.
        .under("trap '' XFSZ")
        .args(&["--publish-timeout", "500ms", "--history", "10000"])
        .start()
        .await;
    let mut viewer = PlainViewer::join(&server, "room=den").await;
    let mut said = Vec::new();
    server.say("den", "before").await;
    said.push("before".to_owned());
    limit(&server, Some(size(folder.path())));
    // There is some space in the file itself.
    let filler = "x".repeat(1_900);
    let post = async |text: &str| {
        server
            .post(&json!({ "room": "den", "text": text }))
            .await
            .status()
    };
    within("the disk is full", async {
        for n in 0.. {
            let text = format!("{n} {filler}");
            match post(&text).await {
                StatusCode::ACCEPTED => said.push(text),
                status => return assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
            }
        }
    })
    .await;
    assert_eq!(post("in vain").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(viewer.take(said.len()).await, said, "who watches sees all");
    let mut late = PlainViewer::join(&server, "room=den").await;
    assert_eq!(late.take(said.len()).await, said, "who comes now, too");
    let metrics = server.metrics().await;
    let failures = "chat_room_embedded_write_failures_total ";
    let failures = metrics.lines().find_map(|line| line.strip_prefix(failures));
    assert!(
        failures.is_some_and(|failures| failures != "0"),
        "{metrics}"
    );

    limit(&server, None);
    eventually("messages are taken again", || async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        post("after").await == StatusCode::ACCEPTED
    })
    .await;
    kill(server).await;
    let server = on(folder.path())
        .args(&["--history", "10000"])
        .start()
        .await;
    let mut again = PlainViewer::join(&server, "room=den").await;
    assert_eq!(again.take(said.len()).await, said);
    again.until("after").await;
}
