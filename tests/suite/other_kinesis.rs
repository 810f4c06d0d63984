//! Other implementations: kinesis-local as the service, boto3 and cbor2 as clients, `aws_kinesis_agg` for the bytes of the KPL.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::harness::{
    Launch, PlainViewer, Server, Shown, Viewer, call_kinesis, eventually_in, kinesis_local, python,
    within,
};

/// Runs a script of this folder to its end and gives what it printed.
async fn script(name: &'static str, arguments: Vec<String>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/suite")
        .join(name);
    assert!(path.exists(), "{} is missing", path.display());
    let python = python();
    let run = tokio::task::spawn_blocking(move || {
        std::process::Command::new(python)
            .arg(path)
            .args(&arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    });
    let Output {
        status,
        stdout,
        stderr,
    } = within(name, run).await.expect("the script was run");
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    assert!(
        status.success(),
        "{name}: {status}\n── stdout\n{stdout}\n── stderr\n{}",
        String::from_utf8_lossy(&stderr)
    );
    stdout
}

/// A user record as `kpl_check.py` prints it.
#[derive(Debug, Deserialize)]
struct UserRecord {
    sequence: String,
    index: u32,
    aggregated: bool,
    understood: bool,
    key: String,
    payload: Payload,
}

/// What chat-room writes for a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    id: String,
    room: String,
    name: Option<String>,
    text: String,
    time: String,
}

async fn read_back(server: &Server, count: usize) -> Vec<UserRecord> {
    let endpoint = format!("http://{}", server.kinesis());
    let printed = script(
        "kpl_check.py",
        vec![
            "read".to_owned(),
            endpoint,
            "messages".to_owned(),
            count.to_string(),
        ],
    )
    .await;
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    printed.lines().map(parse).collect()
}

#[tokio::test]
async fn what_aws_kinesis_agg_aggregated_is_shown() {
    let server = Server::start_sharing(&["--embedded-shards", "3"]).await;
    let mut viewer = Viewer::join(&server, "room=den").await;
    let endpoint = format!("http://{}", server.kinesis());
    let arguments = ["put", &endpoint, "messages", "den", "25"].map(str::to_owned);
    script("kpl_check.py", arguments.into()).await;
    let shown = viewer.take(25).await;
    for (number, message) in shown.iter().enumerate() {
        assert_eq!(message.text, format!("aggregated {number}"));
        assert_eq!(message.name.as_deref(), Some("KPL"));
        assert_eq!(message.time, "2026-11-23T12:00:00.000Z");
        assert!(
            message.position.ends_with(&format!(".{number}")),
            "the index within the record: {}",
            message.position
        );
    }
    // And such a position is one to resume from.
    let mut resumed = Viewer::join(&server, &format!("room=den&after={}", shown[9].position)).await;
    assert_eq!(resumed.take(15).await, shown[10..]);
}

#[tokio::test]
async fn aws_kinesis_agg_understands_what_is_written() {
    let server = Arc::new(Server::start_sharing(&["--embedded-shards", "3"]).await);
    let rooms = ["alpha", "beta", "gamma"];
    let mut posts = Vec::new();
    for number in 0..120 {
        let server = Arc::clone(&server);
        posts.push(tokio::spawn(async move {
            server
                .say(rooms[number % 3], &format!("m{number} \"ä€𝄞\""))
                .await
        }));
    }
    let mut receipts = Vec::new();
    for post in posts {
        receipts.push(post.await.expect("a POST"));
    }
    let records = read_back(&server, 120).await;
    assert!(
        records.iter().any(|record| record.aggregated),
        "120 POSTs at once should share records"
    );
    assert_eq!(records.len(), 120);
    for record in &records {
        assert_eq!(
            record.aggregated, record.understood,
            "de-aggregated: {record:?}"
        );
        assert_eq!(record.key, record.payload.room, "partition key = room");
        let position = format!("{}.{}", record.sequence, record.index);
        let receipt = receipts
            .iter()
            .find(|receipt| receipt.id == record.payload.id);
        let receipt = receipt.unwrap_or_else(|| panic!("nobody posted {record:?}"));
        assert_eq!(
            (&receipt.position, &receipt.room),
            (&position, &record.payload.room)
        );
    }
    for room in rooms {
        let wanted = records.iter().filter(|record| record.payload.room == room);
        let wanted: Vec<_> = wanted.map(|record| &record.payload).collect();
        let shown = Viewer::join(&server, &format!("room={room}"))
            .await
            .take(wanted.len())
            .await;
        let fields = |shown: &Shown| {
            (
                shown.id.clone(),
                shown.name.clone(),
                shown.text.clone(),
                shown.time.clone(),
            )
        };
        let shown: Vec<_> = shown.iter().map(fields).collect();
        let wanted: Vec<_> = wanted
            .iter()
            .map(|payload| {
                (
                    payload.id.clone(),
                    payload.name.clone(),
                    payload.text.clone(),
                    payload.time.clone(),
                )
            })
            .collect();
        assert_eq!(
            shown, wanted,
            "{room}: the order of the stream is the order of the room"
        );
    }
}

#[tokio::test]
async fn boto3_is_a_client_of_the_embedded_stream() {
    let server = Server::start_sharing(&[]).await;
    let endpoint = format!("http://{}", server.kinesis());
    let printed = script("embedded/boto3_check.py", vec![endpoint]).await;
    println!("{printed}");
    server.say("lobby", "still here").await;
}

#[tokio::test]
async fn a_client_that_speaks_cbor_is_answered_in_cbor() {
    let server = Server::start_sharing(&[]).await;
    let endpoint = format!("http://{}", server.kinesis());
    let printed = script("embedded/cbor_check.py", vec![endpoint]).await;
    println!("{printed}");
    server.say("lobby", "still here").await;
}

#[tokio::test]
async fn every_constraint_of_the_service_model_holds_in_json() {
    walk_over_the_service_model("json").await;
}

#[tokio::test]
async fn every_constraint_of_the_service_model_holds_in_cbor() {
    walk_over_the_service_model("cbor").await;
}

async fn walk_over_the_service_model(encoding: &str) {
    let server = Server::start_sharing(&["--embedded-shards", "1"]).await;
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let arguments = vec![
        format!("http://{}", server.kinesis()),
        readme.display().to_string(),
        encoding.to_owned(),
    ];
    println!("{}", script("embedded/model_check.py", arguments).await);
    server.say("lobby", "still here").await;
}

#[tokio::test]
async fn two_instances_work_on_kinesis_local() {
    // What it lacks is not asked of it: it has no take-over of subscriptions, never reports child shards, and ticks once a second.
    let (_kinesis, address) = kinesis_local(3, &[]).await;
    let first = Launch::on_kinesis_at(address).start().await;
    let second = Launch::on_kinesis_at(address).start().await;
    let mut viewers = [
        Viewer::join(&first, "room=den").await,
        Viewer::join(&second, "room=den").await,
    ];
    let mut sent = Vec::new();
    for round in 0..10 {
        for (name, server) in [("first", &first), ("second", &second)] {
            sent.push(server.say("den", &format!("{name} {round}")).await.id);
        }
    }
    for viewer in &mut viewers {
        let shown: Vec<_> = viewer
            .take(20)
            .await
            .into_iter()
            .map(|message| message.id)
            .collect();
        assert_eq!(shown, sent);
    }
    let mut late = PlainViewer::join(&second, "room=den&history=3").await;
    assert_eq!(late.take(3).await, ["second 8", "first 9", "second 9"]);
    second.stop().await;
    first.say("den", "alone").await;
    assert_eq!(viewers[0].next().await.text, "alone");
    first.stop().await;
}

#[tokio::test]
async fn an_instance_reads_back_what_was_on_kinesis_local_before_it_started() {
    let (_kinesis, address) = kinesis_local(1, &[]).await;
    let first = Launch::on_kinesis_at(address).start().await;
    for number in 0..5 {
        first.say("den", &number.to_string()).await;
    }
    first.stop().await;
    let second = Launch::on_kinesis_at(address).start().await;
    let mut viewer = PlainViewer::join(&second, "room=den").await;
    assert_eq!(viewer.take(5).await, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn children_that_kinesis_local_announces_to_no_poller_are_found_by_listing() {
    children_are_found("polling").await;
}

#[tokio::test]
async fn children_that_kinesis_local_announces_to_no_subscriber_are_found_by_listing() {
    // To who subscribes it does not even say that a shard has come to its end.
    children_are_found("enhanced").await;
}

async fn children_are_found(mode: &str) {
    let (_kinesis, address) = kinesis_local(1, &[]).await;
    let launch = Launch::on_kinesis_at(address).args(&["--consumer", mode]);
    let server = launch.start().await;
    let rooms = ["alpha", "beta", "gamma", "delta"];
    let mut viewers = Vec::new();
    for room in rooms {
        viewers.push(Viewer::join(&server, &format!("room={room}&history=0")).await);
        server.say(room, "before").await;
    }
    let split = json!({
        "StreamName": "messages",
        "ShardToSplit": "shardId-000000000000",
        "NewStartingHashKey": (1_u128 << 127).to_string(),
    });
    call_kinesis(address, "SplitShard", &split).await;
    for number in 0..5 {
        for room in rooms {
            server.say(room, &number.to_string()).await;
        }
    }
    let unread = async |wanted: &[&str]| {
        let metrics = server.metrics().await;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("chat_room_consumer_shards "));
        line.is_some_and(|count| wanted.contains(&count))
    };
    // Nothing but the list tells of them, and that is asked for twice a minute.
    let lists = Duration::from_mins(2);
    eventually_in(lists, "the children are listed", || unread(&["3", "2"])).await;
    for (viewer, room) in viewers.iter_mut().zip(rooms) {
        let shown = viewer.take(6).await;
        let shown: Vec<_> = shown.into_iter().map(|shown| shown.text).collect();
        assert_eq!(shown, ["before", "0", "1", "2", "3", "4"], "{room}");
    }
    // Of three shards one is read to its end.
    eventually_in(lists, "both children are read", || unread(&["2"])).await;
    server.stop().await;
}
