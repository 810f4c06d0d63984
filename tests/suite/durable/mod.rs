//! The embedded stream in a folder: the real program, killed, started again, with a full disk, on a damaged file.

mod crash;
mod full;

use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{Ended, Launch, PlainViewer, Server};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A start with the stream in a folder, and its Kinesis on a port.
fn on(folder: &Path) -> Launch {
    let folder = folder.to_str().expect("a path in UTF-8");
    Launch::new().args(&[
        "--embedded-data",
        folder,
        "--embedded-listen",
        "127.0.0.1:0",
        "--consumer-name",
        "reader",
    ])
}

async fn kill(mut server: Server) {
    server.signal(Signal::KILL);
    server.ended().await;
}

#[tokio::test]
async fn a_start_says_where_the_stream_is() {
    let server = Server::start(&[]).await;
    assert!(
        server.stderr().contains("in memory only"),
        "{}",
        server.stderr()
    );
    let folder = folder();
    let server = on(folder.path()).start().await;
    let said = server.stderr();
    assert!(said.contains(folder.path().to_str().unwrap()), "{said}");
    assert!(!said.contains("in memory only"), "{said}");
}

#[tokio::test]
async fn messages_are_there_after_a_clean_stop_and_after_a_kill() {
    let folder = folder();
    let mut said: Vec<String> = Vec::new();
    for round in 0..4 {
        let server = on(folder.path()).start().await;
        let mut viewer = PlainViewer::join(&server, "room=den").await;
        assert_eq!(viewer.take(said.len()).await, said);
        let texts: Vec<_> = (0..5).map(|n| format!("{round} {n}")).collect();
        server.say_all("den", &texts).await;
        assert_eq!(viewer.take(5).await, texts);
        said.extend(texts);
        if round % 2 == 0 {
            kill(server).await;
        } else {
            server.stop().await;
        }
    }
}

fn assert_refused(ended: &Ended, names: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for name in names {
        assert!(ended.stderr.contains(name), "{name}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_second_process_on_a_folder_is_refused() {
    let folder = folder();
    let server = on(folder.path()).start().await;
    let ended = on(folder.path()).run().await;
    assert_refused(
        &ended,
        &["in use by another process", folder.path().to_str().unwrap()],
    );
    server.say("den", "the first one goes on").await;
}

#[tokio::test]
async fn a_damaged_file_is_told_by_its_name_and_left_alone() {
    let folder = folder();
    let server = on(folder.path()).start().await;
    server.say("den", "hello").await;
    server.stop().await;
    let file = folder.path().join("stream.redb");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[..64].fill(0xa5);
    std::fs::write(&file, &bytes).unwrap();
    let ended = on(folder.path()).run().await;
    assert_refused(&ended, &[file.to_str().unwrap(), "damaged", "backup"]);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[tokio::test]
async fn a_file_in_the_place_of_the_folder_is_refused() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert_refused(
        &on(&file).run().await,
        &["is not a folder", file.to_str().unwrap()],
    );
}
