//! Subscriptions that are never read, while a backlog flows: each costs the service an event, and no more however much comes.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::RecvStream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{DEADLINE, Server, call_kinesis, eventually, within};

const STREAM: &str = "data";
const SHARDS: usize = 5;
const CONSUMERS: usize = 10;
const SUBSCRIPTIONS: usize = SHARDS * CONSUMERS;
const MIB: usize = 1 << 20;
/// What the service keeps, in MiB, and what flows through it while nobody reads.
const KEPT: usize = 16;
const FLOWING: usize = 50;
/// What has come to a client before it counts as one that has a backlog and does not read it.
const BEGUN: usize = 64 * 1024;
/// A subscription's share of the service's memory: the largest event, 1.4 MiB, and what surrounds it.
const MOST_EACH: usize = 2 * MIB;

/// A service that keeps so much and no more; the requests of all subscriptions.
async fn full() -> (Server, Vec<String>) {
    let kept = format!("{KEPT}MiB");
    let server = Server::start_sharing(&["--embedded-memory", &kept]).await;
    let kinesis = server.kinesis();
    let create = json!({ "StreamName": STREAM, "ShardCount": SHARDS });
    call_kinesis(kinesis, "CreateStream", &create).await;
    put(kinesis, KEPT + 4).await;
    let mut requests = Vec::new();
    for number in 0..CONSUMERS {
        let register = json!({
            "StreamARN": format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}"),
            "ConsumerName": format!("reader-{number}"),
        });
        let registered = call_kinesis(kinesis, "RegisterStreamConsumer", &register).await;
        let registered: Value = serde_json::from_str(&registered).unwrap();
        requests.extend((0..SHARDS).map(|shard| {
            let request = json!({
                "ConsumerARN": registered["Consumer"]["ConsumerARN"],
                "ShardId": format!("shardId-{shard:012}"),
                "StartingPosition": { "Type": "TRIM_HORIZON" },
            });
            request.to_string()
        }));
    }
    (server, requests)
}

/// Records of nearly a MiB, each shard's in turn.
async fn put(kinesis: SocketAddr, mib: usize) {
    let data = STANDARD.encode(vec![b'x'; MIB - 64]);
    for number in 0..mib {
        let hash = u128::MAX / SHARDS as u128 * (number % SHARDS) as u128 + 1;
        let put = json!({
            "StreamName": STREAM,
            "PartitionKey": "a",
            "ExplicitHashKey": hash.to_string(),
            "Data": data,
        });
        let stored = call_kinesis(kinesis, "PutRecord", &put).await;
        assert!(stored.contains("SequenceNumber"), "{stored}");
    }
}

/// The memory a service has in use.
fn memory(server: &Server) -> usize {
    let status = format!("/proc/{}/status", server.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.unwrap().trim().parse::<usize>().unwrap() * 1024
}

/// Lets a backlog flow past subscriptions, of which `unread` tells what has come to each, and holds the memory to the bound.
async fn hold_to_the_bound<F: Future<Output = Vec<usize>>>(
    server: &Server,
    before: usize,
    mut unread: impl FnMut() -> F,
) {
    let has_begun = |unread: &Vec<usize>| {
        unread.len() == SUBSCRIPTIONS && unread.iter().all(|bytes| *bytes >= BEGUN)
    };
    eventually("a backlog has come to all", || {
        let unread = unread();
        async move { has_begun(&unread.await) }
    })
    .await;
    let mut most = memory(server);
    for _ in 0..FLOWING / SHARDS {
        put(server.kinesis(), SHARDS).await;
        most = most.max(memory(server));
    }
    // Until it has been the same for half a second.
    let (begun, mut since, mut last) = (Instant::now(), Instant::now(), most);
    while since.elapsed() < Duration::from_millis(500) {
        assert!(begun.elapsed() < DEADLINE, "the memory grows and grows");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = memory(server);
        if now.abs_diff(last) > MIB / 4 {
            (since, last) = (Instant::now(), now);
        }
        most = most.max(now);
    }
    let each = most.saturating_sub(before) / SUBSCRIPTIONS;
    println!("{} KiB each", each / 1024);
    assert!(
        each <= MOST_EACH,
        "{each} bytes for each of {SUBSCRIPTIONS} subscriptions"
    );
    server.say("lobby", "still here").await;
}

const TARGET: &str = "Kinesis_20131202.SubscribeToShard";

#[tokio::test]
async fn over_http_1_they_cost_bounded_memory() {
    let (server, requests) = full().await;
    let before = memory(&server);
    let mut held = Vec::new();
    for request in requests {
        let mut stream = TcpStream::connect(server.kinesis()).await.unwrap();
        let length = request.len();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {TARGET}\r\nContent-Length: {length}\r\n\r\n{request}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        let answered = within("an answer", stream.read_exact(&mut status)).await;
        answered.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        held.push(stream);
    }
    let unread = |stream| usize::try_from(rustix::io::ioctl_fionread(stream).unwrap()).unwrap();
    hold_to_the_bound(&server, before, || {
        std::future::ready(held.iter().map(unread).collect())
    })
    .await;
}

#[tokio::test]
async fn over_http_2_they_cost_bounded_memory() {
    let (server, requests) = full().await;
    let before = memory(&server);
    let stream = TcpStream::connect(server.kinesis()).await.unwrap();
    // Large enough a window for all of them together, so that none holds up another.
    let (calls, connection) = h2::client::Builder::new()
        .initial_window_size(524_288)
        .initial_connection_window_size(64 << 20)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut held: Vec<RecvStream> = Vec::new();
    for body in requests {
        let request = http::Request::post("http://localhost/").header("x-amz-target", TARGET);
        let mut calls = calls.clone().ready().await.unwrap();
        let (answer, mut sends) = calls
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        sends.send_data(body.into(), true).unwrap();
        let answer = within("an answer", answer).await.unwrap();
        assert_eq!(answer.status(), 200);
        held.push(answer.into_body());
    }
    hold_to_the_bound(&server, before, || {
        let unread = held
            .iter_mut()
            .map(|events| events.flow_control().used_capacity());
        std::future::ready(unread.collect())
    })
    .await;
    assert!(!connection.is_finished(), "it was open all the time");
}
