//! A stream that takes nothing for a while: what was taken is kept, what cannot be is refused, and it ends by itself.

use std::collections::HashSet;
use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Holder;
use crate::harness::{Server, Viewer, eventually};

/// Posted by each of so many at once, one after the other.
const WRITERS: usize = 12;

/// What came of a POST.
enum Outcome {
    Accepted(String),
    Refused(String),
}

async fn post(server: &Server, text: &str) -> Outcome {
    let answer = server.post(&json!({"room": "den", "text": text})).await;
    let status = answer.status();
    if status == StatusCode::ACCEPTED {
        return Outcome::Accepted(text.to_owned());
    }
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    let wait = answer.headers().get("retry-after").expect("Retry-After");
    let wait: u64 = wait.to_str().unwrap().parse().expect("seconds");
    assert!(wait >= 1, "{wait}");
    let problem: Value = answer.json().await.expect("a problem");
    problem["id"].as_str().expect("the id to send again with");
    Outcome::Refused(problem["type"].as_str().unwrap_or_default().to_owned())
}

/// How many POSTs ended so.
fn publishes(metrics: &str, outcome: &str) -> f64 {
    let metric = format!("chat_room_http_publishes_total{{outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&metric));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

fn resident(metrics: &str) -> f64 {
    let line = metrics
        .lines()
        .find(|line| line.starts_with("process_resident_memory_bytes "));
    let value = line
        .and_then(|line| line.rsplit_once(' '))
        .expect("the metric")
        .1;
    value.parse().expect("a number")
}

#[tokio::test]
async fn i4_a_stream_that_is_throttled_leads_to_503_and_bounded_memory_and_recovers_with_every_202_kept()
 {
    let holder = Holder::start(&[]).await;
    let given = ["--publish-timeout", "1s", "--publish-queue", "2MiB"];
    let server = Arc::new(holder.beside(&given).start().await);
    let mut viewer = Viewer::join(&server, "room=den&history=0").await;
    server.say("den", "before").await;
    let before = resident(&server.metrics().await);

    holder
        .add(&json!({"fault": "throttle", "operation": "PutRecords"}))
        .await;
    let long = "x".repeat(2_000);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (server, long) = (Arc::clone(&server), long.clone());
        writers.spawn(async move {
            let mut accepted = Vec::new();
            let mut refused = Vec::new();
            // Long enough that some wait until they are given up, and go on until it is over.
            for number in 0.. {
                let text = format!("{writer} {number} {}", &long[..1_900]);
                match post(&server, &text).await {
                    Outcome::Refused(why) => refused.push(why),
                    Outcome::Accepted(text) => {
                        accepted.push(text);
                        if !refused.is_empty() {
                            break;
                        }
                    }
                }
            }
            (accepted, refused)
        });
    }
    eventually("enough is refused", || async {
        publishes(&server.metrics().await, "not-confirmed") >= 24.0
    })
    .await;
    assert!(holder.count("throttle").await > 0);
    let grown = resident(&server.metrics().await) - before;
    assert!(grown < 64.0 * 1_048_576.0, "{grown} bytes more");

    holder.clear().await;
    let mut accepted = vec!["before".to_owned()];
    let mut refused = 0;
    while let Some(ended) = writers.join_next().await {
        let (theirs, why) = ended.expect("a writer");
        accepted.extend(theirs);
        refused += why.len();
    }
    assert!(refused >= 24, "{refused}");
    server.say("den", "after").await;
    let shown = viewer.until("after").await;
    let texts: HashSet<String> = shown.iter().map(|shown| shown.text.clone()).collect();
    assert_eq!(texts.len(), shown.len(), "shown twice");
    for text in accepted {
        assert!(
            texts.contains(&text),
            "acknowledged and lost: {}",
            &text[..8.min(text.len())]
        );
    }
}

#[tokio::test]
async fn i4_a_full_queue_refuses_at_once_and_takes_again_when_it_is_emptied() {
    let holder = Holder::start(&[]).await;
    // The least there is: a place for one record of the stream's largest size.
    let given = ["--publish-timeout", "25s", "--publish-queue", "1MiB"];
    let server = Arc::new(holder.beside(&given).start().await);
    let mut viewer = Viewer::join(&server, "room=den&history=0").await;
    holder
        .add(&json!({"fault": "throttle", "operation": "PutRecords"}))
        .await;
    let long = "😀".repeat(1_990);
    let mut posts = JoinSet::new();
    // More than fits: some wait, the others are refused.
    for number in 0..250 {
        let (server, text) = (Arc::clone(&server), format!("{number} {long}"));
        posts.spawn(async move { post(&server, &text).await });
    }
    eventually("the queue is full", || async {
        publishes(&server.metrics().await, "queue-full") > 0.0
    })
    .await;
    holder.clear().await;
    let (mut accepted, mut refused) = (HashSet::new(), 0);
    while let Some(outcome) = posts.join_next().await {
        match outcome.expect("a POST") {
            Outcome::Accepted(text) => assert!(accepted.insert(text)),
            Outcome::Refused(_) => refused += 1,
        }
    }
    assert!(
        refused > 0 && !accepted.is_empty(),
        "{refused} and {}",
        accepted.len()
    );
    server.say("den", "after").await;
    let shown = viewer.until("after").await;
    let shown: HashSet<String> = shown.into_iter().map(|shown| shown.text).collect();
    assert!(accepted.is_subset(&shown), "acknowledged and lost");
}
