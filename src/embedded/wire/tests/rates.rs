//! The rates that docs/LIMITS.md lists, asked for over the wire.

use super::*;
use crate::embedded::Limits;

/// Operations with what they allow in a second, and to whom.
fn listed() -> impl Iterator<Item = (&'static str, usize, &'static str)> {
    let docs = include_str!("../../../../docs/LIMITS.md");
    let rows = docs.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, rate, whose] = cells.as_slice() else {
            panic!("a row of three cells: {row}");
        };
        (name.trim_matches('`'), rate.parse().unwrap(), *whose)
    })
}

/// What any operation may be asked, all of it at once: it passes over what is not its own.
fn body(stream: &str) -> Value {
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}");
    json!({
        "StreamName": stream,
        "StreamARN": arn,
        "ConsumerARN": format!("{arn}/consumer/missing:1"),
        "ConsumerName": "reader",
        "ShardCount": 1,
        "TargetShardCount": 1,
        "ScalingType": "UNIFORM_SCALING",
        "ShardToSplit": "shardId-000000000000",
        "NewStartingHashKey": "7",
        "ShardToMerge": "shardId-000000000000",
        "AdjacentShardToMerge": "shardId-000000000001",
        "RetentionPeriodHours": 24,
        "ShardLevelMetrics": ["ALL"],
        "Tags": { "a": "b" },
        "TagKeys": ["a"],
    })
}

/// Whether a call was one too many.
fn is_refused(service: &Service, operation: &str, body: &Value) -> bool {
    let mut body = body.clone();
    // One of an operation's two ways to name what it is about.
    if operation.ends_with("StreamConsumer") && operation != "RegisterStreamConsumer" {
        let members = body.as_object_mut().unwrap();
        members.remove("StreamARN");
        members.remove("ConsumerName");
    }
    let (_, answer) = call(service, operation, body.to_string().as_bytes());
    let message = answer["message"].as_str().unwrap_or_default();
    let is_refused = message.starts_with("Rate exceeded for");
    assert!(
        !is_refused || answer["__type"] == "LimitExceededException",
        "{answer}"
    );
    is_refused
}

#[test]
fn every_operation_has_the_rate_that_the_docs_list() {
    for (operation, rate, whose) in listed() {
        let service = Service::new(Config {
            limits: Limits::Aws,
            ..Config::default()
        });
        service.create_stream_if_missing("a", 2).unwrap();
        service.create_stream_if_missing("b", 2).unwrap();
        let calls = (0..100_000).take_while(|_| !is_refused(&service, operation, &body("a")));
        let calls = calls.count();
        assert!(
            (rate..100_000).contains(&calls),
            "{operation}: {calls} calls"
        );
        if whose == "each stream" {
            assert!(!is_refused(&service, operation, &body("b")), "{operation}");
        } else {
            // Not the first time, should this be held up between the two.
            let of_both = (0..1_000).any(|_| {
                is_refused(&service, operation, &body("a"))
                    && is_refused(&service, operation, &body("b"))
            });
            assert!(of_both, "{operation}");
        }
    }
}
