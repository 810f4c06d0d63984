//! Subscriptions whose clients never read: what they cost.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::kinesis::{Kept, Kinesis, MIB, Way, entries, put, shard};
use crate::{Scale, say};

const SHARDS: usize = 5;
const CONSUMERS: usize = 20;

pub(crate) async fn report(scale: Scale) {
    say("\n100 subscriptions (20 consumers, 5 shards) behind a backlog that are never read");
    say("protocol | backlog MiB | memory before | with them | each, MiB");
    for is_h2 in [false, true] {
        let kinesis = Kinesis::start(
            Way::Tcp,
            Kept::InMemory,
            1024,
            i32::try_from(SHARDS).unwrap(),
        )
        .await;
        let backlog = scale.backlog.min(256);
        fill(&kinesis, backlog).await;
        let mut consumers = Vec::new();
        for number in 0..CONSUMERS {
            consumers.push(kinesis.register(&format!("reader-{number}")).await);
        }
        let (before, _) = kinesis.memory();
        let requests = consumers.iter().flat_map(|consumer| {
            (0..SHARDS).map(move |number| {
                format!(
                    r#"{{"ConsumerARN":"{consumer}","ShardId":"{}","StartingPosition":{{"Type":"TRIM_HORIZON"}}}}"#,
                    shard(number)
                )
            })
        });
        let address = kinesis.url.trim_start_matches("http://");
        let after = if is_h2 {
            let held = over_h2(address, requests.collect()).await;
            let after = settled(&kinesis).await;
            drop(held);
            after
        } else {
            let held: Vec<_> = requests.map(|body| over_h1(address, &body)).collect();
            let after = settled(&kinesis).await;
            drop(held);
            after
        };
        say(&format!(
            "{:8} | {backlog:11} | {before:9.1} MiB | {after:5.1} MiB | {:.2}",
            if is_h2 { "HTTP/2" } else { "HTTP/1.1" },
            (after - before) / (SHARDS * CONSUMERS) as f64,
        ));
    }
}

/// Records of a MiB, in all shards.
async fn fill(kinesis: &Kinesis, mib: usize) {
    for number in 0..mib {
        let mut records = entries(1, MIB - 64);
        let step = u128::MAX / SHARDS as u128;
        let hash = step * (number % SHARDS) as u128 + 1;
        records[0].explicit_hash_key = Some(hash.to_string());
        put(&kinesis.client, records).await;
    }
}

/// The memory once it grows no more.
async fn settled(kinesis: &Kinesis) -> f64 {
    let start = Instant::now();
    let mut last = kinesis.memory().0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = kinesis.memory().0;
        if (now - last).abs() < 0.5 || start.elapsed() > Duration::from_secs(20) {
            return now;
        }
        last = now;
    }
}

const TARGET: &str = "Kinesis_20131202.SubscribeToShard";
const TYPE: &str = "application/x-amz-json-1.1";

/// Reads the head, and nothing more.
fn over_h1(address: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: {TARGET}\r\nContent-Type: {TYPE}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    stream
}

type Held = (
    Vec<hyper::Response<hyper::body::Incoming>>,
    hyper::client::conn::http2::SendRequest<Full<Bytes>>,
);

/// All over one connection, with the windows that hyper gives by itself.
async fn over_h2(address: &str, bodies: Vec<String>) -> Held {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for body in bodies {
        let request = hyper::Request::post(format!("http://{address}/"))
            .header("x-amz-target", TARGET)
            .header("content-type", TYPE)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answers.push(answer);
    }
    (answers, sender)
}
