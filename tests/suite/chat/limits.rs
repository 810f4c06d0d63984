//! The chat on a stream that takes as much as one of AWS and no more.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use chat_room::embedded::{Config, Limits, Service};
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Launch, Server, Viewer};

const STREAM: &str = "messages";
const MIB: usize = 1024 * 1024;
/// A record of 10 MiB keeps a shard busy for nine seconds.
const THROTTLED_WITHIN: Duration = Duration::from_secs(90);

fn client(service: &Service) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url("http://kinesis.invalid")
        .http_client(service.http_client())
        .build();
    Client::from_conf(config)
}

/// Takes all that the shard can be written for the next nine seconds.
async fn exhaust(client: &Client) {
    let put = || {
        let put = client.put_record().stream_name(STREAM).partition_key("hog");
        put.data(vec![b'x'; 10 * MIB - 3].into()).send()
    };
    // It goes when nothing was written for a moment.
    while put().await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What became of what was posted, in its order.
#[derive(Default)]
struct Posted {
    accepted: Vec<String>,
    refused: usize,
}

impl Posted {
    /// Posts once more. Whether it was accepted.
    async fn post(&mut self, server: &Server) -> bool {
        let text = format!("message {}", self.accepted.len() + self.refused);
        let answer = server.post(&json!({ "room": "lobby", "text": text })).await;
        if answer.status() == StatusCode::ACCEPTED {
            self.accepted.push(text);
            return true;
        }
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let after = answer.headers()["retry-after"].to_str().unwrap();
        assert!(after.parse::<u64>().unwrap() >= 1, "Retry-After: {after}");
        self.refused += 1;
        false
    }
}

#[tokio::test]
async fn who_is_throttled_is_told_to_come_again_and_nothing_accepted_is_lost() {
    let service = Service::new(Config {
        limits: Limits::Aws,
        ..Config::default()
    });
    let kinesis = client(&service);
    let create = kinesis.create_stream().stream_name(STREAM).shard_count(1);
    let create = create.max_record_size_in_kib(10 * 1024);
    create.send().await.unwrap();
    let listener = service.listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let server = Launch::on_kinesis_at(listener.local_addr())
        .args(&["--publish-timeout", "1s"])
        .start()
        .await;
    let mut viewer = Viewer::join(&server, "room=lobby").await;

    let mut posted = Posted::default();
    assert!(posted.post(&server).await, "an idle stream takes a message");
    let start = Instant::now();
    while posted.refused == 0 {
        exhaust(&kinesis).await;
        // A machine on which nine seconds pass without a post has to be tried again.
        while posted.post(&server).await && start.elapsed() < THROTTLED_WITHIN {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if posted.accepted.len().is_multiple_of(50) {
                break;
            }
        }
        assert!(start.elapsed() < THROTTLED_WITHIN, "never throttled");
    }
    let retries = "chat_room_producer_retries_total{reason=\"throttled\"}";
    assert!(server.metric(retries).await > 0.0);
    let mut in_a_row = 0;
    while in_a_row < 5 {
        in_a_row = if posted.post(&server).await {
            in_a_row + 1
        } else {
            0
        };
        assert!(start.elapsed() < THROTTLED_WITHIN, "no recovery");
    }

    let last = posted.accepted.pop().unwrap();
    let shown = viewer.until(&last).await;
    let shown: Vec<_> = shown.into_iter().map(|message| message.text).collect();
    // What was refused may come all the same, but nothing comes twice, and all keeps its order.
    let mut rest = shown.iter();
    for text in &posted.accepted {
        assert!(rest.any(|shown| shown == text), "{text} in {shown:?}");
    }
    let mut once = shown.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), shown.len(), "{shown:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_takes_its_time_to_be_made_is_waited_for() {
    let args = [
        "--embedded-creating-time",
        "1500ms",
        "--embedded-limits",
        "aws",
    ];
    let server = Server::start(&args).await;
    let mut viewer = Viewer::join(&server, "room=lobby").await;
    server.say("lobby", "first").await;
    assert_eq!(viewer.next().await.text, "first");
    server.stop().await;
}
