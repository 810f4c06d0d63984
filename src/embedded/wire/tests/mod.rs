//! Input from anyone: it is answered or refused, and never a panic.

mod cbor;
mod fuzz;
mod rates;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::embedded::Config;

const OPERATIONS: &[&str] = &[
    "CreateStream",
    "DeleteStream",
    "DeregisterStreamConsumer",
    "DescribeStream",
    "DescribeStreamConsumer",
    "DescribeStreamSummary",
    "GetRecords",
    "GetShardIterator",
    "ListShards",
    "ListStreamConsumers",
    "ListStreams",
    "MergeShards",
    "PutRecord",
    "PutRecords",
    "RegisterStreamConsumer",
    "SplitShard",
    "SubscribeToShard",
    "UpdateShardCount",
];

fn respond(service: &Service, head: &Head<'_>, body: &[u8]) -> Response<Body> {
    let body = Bytes::copy_from_slice(body);
    let line = Line::new();
    let answered = super::respond(service, head, body, &line);
    // Without faults nothing is waited for.
    answered.now_or_never().unwrap().unwrap()
}

fn call(service: &Service, operation: &str, body: &[u8]) -> (StatusCode, Value) {
    let target = format!("Kinesis_20131202.{operation}");
    let head = Head {
        method: "POST",
        path: "/",
        target: Some(&target),
        content_type: Some(Format::Json.content_type()),
        query: None,
        authorization: None,
        has_date: false,
    };
    let response = respond(service, &head, body);
    let status = response.status();
    let value = match response.into_body() {
        Body::Whole(Some(bytes)) => serde_json::from_slice(&bytes).expect("an answer is JSON"),
        Body::Whole(None) | Body::Events(_) => Value::Null,
    };
    (status, value)
}

fn refusal(service: &Service, operation: &str, body: &[u8]) -> String {
    let (status, value) = call(service, operation, body);
    assert_eq!(
        status,
        StatusCode::BAD_REQUEST,
        "{operation} {}: {value}",
        String::from_utf8_lossy(body)
    );
    assert!(value["message"].is_string());
    value["__type"].as_str().unwrap_or_default().to_owned()
}

fn service() -> Service {
    let service = Service::new(Config {
        memory: 1024 * 1024,
        ..Config::default()
    });
    service.create_stream_if_missing("a", 2).unwrap();
    service
}

#[test]
fn what_is_not_an_object_of_the_right_types_is_a_serialization_error() {
    let service = service();
    for operation in OPERATIONS {
        for body in [
            "{",
            "nonsense",
            "1",
            "\"x\"",
            "{\"a\":",
            "\u{0}",
            &"[".repeat(100_000),
        ] {
            assert_eq!(
                refusal(&service, operation, body.as_bytes()),
                "SerializationException",
                "{operation} {body}"
            );
        }
        assert_eq!(
            refusal(&service, operation, b"\xff\xfe"),
            "SerializationException"
        );
    }
    for (operation, body) in [
        (
            "PutRecord",
            json!({ "StreamName": "a", "PartitionKey": "k", "Data": "not base64!" }),
        ),
        (
            "PutRecord",
            json!({ "StreamName": "a", "PartitionKey": 1, "Data": "" }),
        ),
        ("PutRecords", json!({ "StreamName": "a", "Records": "x" })),
        (
            "GetRecords",
            json!({ "ShardIterator": "x", "Limit": 1e300 }),
        ),
        ("GetRecords", json!({ "ShardIterator": "x", "Limit": 1.5 })),
        (
            "CreateStream",
            json!({ "StreamName": "b", "ShardCount": "1" }),
        ),
        ("GetShardIterator", json!({ "Timestamp": -1 })),
    ] {
        assert_eq!(
            refusal(&service, operation, body.to_string().as_bytes()),
            "SerializationException",
            "{body}"
        );
    }
}

#[test]
fn huge_numbers_are_refused_and_not_allocated_for() {
    let service = service();
    for number in [
        i64::MIN,
        -1,
        0,
        i64::from(i32::MAX),
        i64::from(u32::MAX) + 1,
        i64::MAX,
    ] {
        for (operation, body) in [
            (
                "CreateStream",
                json!({ "StreamName": "b", "ShardCount": number }),
            ),
            (
                "UpdateShardCount",
                json!({ "StreamName": "a", "TargetShardCount": number, "ScalingType": "UNIFORM_SCALING" }),
            ),
            ("ListStreams", json!({ "Limit": number })),
            (
                "ListShards",
                json!({ "StreamName": "a", "MaxResults": number }),
            ),
            (
                "DescribeStream",
                json!({ "StreamName": "a", "Limit": number }),
            ),
        ] {
            refusal(&service, operation, body.to_string().as_bytes());
        }
    }
    for hash in [
        "340282366920938463463374607431768211456",
        "9".repeat(39).as_str(),
    ] {
        let body =
            json!({ "StreamName": "a", "PartitionKey": "k", "Data": "", "ExplicitHashKey": hash });
        assert_eq!(
            refusal(&service, "PutRecord", body.to_string().as_bytes()),
            "InvalidArgumentException"
        );
    }
    for hash in ["-1", "01", "", "1e3", &"9".repeat(40)] {
        let body =
            json!({ "StreamName": "a", "PartitionKey": "k", "Data": "", "ExplicitHashKey": hash });
        assert_eq!(
            refusal(&service, "PutRecord", body.to_string().as_bytes()),
            "ValidationException",
            "{hash}"
        );
    }
}

#[test]
fn what_is_no_operation_is_an_unknown_operation() {
    let service = service();
    for target in [
        None,
        Some(""),
        Some("ListStreams"),
        Some("Kinesis_20131202."),
        Some("Kinesis_20131202.ListChannels"),
    ] {
        let head = Head {
            method: "POST",
            path: "/",
            target,
            content_type: None,
            query: None,
            authorization: None,
            has_date: false,
        };
        assert_eq!(
            respond(&service, &head, b"{}").status(),
            StatusCode::BAD_REQUEST
        );
    }
    for (method, path) in [("GET", "/"), ("POST", "/x")] {
        let head = Head {
            method,
            path,
            target: Some("Kinesis_20131202.ListStreams"),
            content_type: None,
            query: None,
            authorization: None,
            has_date: false,
        };
        assert_eq!(
            respond(&service, &head, b"{}").status(),
            StatusCode::BAD_REQUEST
        );
    }
}

#[test]
fn unknown_and_null_members_are_passed_over() {
    let service = service();
    let body = json!({ "StreamName": "a", "StreamARN": null, "StreamId": null, "Whatever": [{}], "Data": "eA==", "PartitionKey": "k" });
    assert_eq!(
        call(&service, "PutRecord", body.to_string().as_bytes()).0,
        StatusCode::OK
    );
    let (status, streams) = call(&service, "ListStreams", b"");
    assert_eq!(
        (status, &streams["StreamNames"]),
        (StatusCode::OK, &json!(["a"]))
    );
}

/// A value for a member, more or less like one that belongs there.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u8>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[0-9]{1,60}".prop_map(Value::from),
        prop::sample::select(vec![
            "a",
            "b",
            "shardId-000000000000",
            "shardId-000000000001",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/c:1",
            "AT_SEQUENCE_NUMBER",
            "TRIM_HORIZON",
            "AT_TIMESTAMP",
            "UNIFORM_SCALING",
            "AAAA",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(member(), inner, 0..4).prop_map(|map| Value::Object(
                map.into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            )),
        ]
    })
}

/// The members' names. Proptest and bolero choose among them.
const MEMBERS: &[&str] = &[
    "StreamName",
    "StreamARN",
    "ShardId",
    "ShardCount",
    "Limit",
    "MaxResults",
    "NextToken",
    "Records",
    "Data",
    "PartitionKey",
    "ExplicitHashKey",
    "ShardIterator",
    "ShardIteratorType",
    "StartingSequenceNumber",
    "SequenceNumber",
    "Timestamp",
    "Type",
    "StartingPosition",
    "ConsumerARN",
    "ConsumerName",
    "ShardFilter",
    "ShardToSplit",
    "ShardToMerge",
    "AdjacentShardToMerge",
    "NewStartingHashKey",
    "TargetShardCount",
    "ScalingType",
    "ExclusiveStartShardId",
    "StreamModeDetails",
    "StreamMode",
    "Tags",
    "TagKeys",
    "ResourceARN",
    "RetentionPeriodHours",
    "EncryptionType",
    "KeyId",
    "ShardLevelMetrics",
    "MaxRecordSizeInKiB",
    "WarmThroughputMiBps",
    "DryRun",
];

fn member() -> impl Strategy<Value = &'static str> {
    prop::sample::select(MEMBERS)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_members_hold_it_is_answered(
        operation in prop::sample::select(OPERATIONS),
        members in prop::collection::btree_map(member(), value(), 0..6),
    ) {
        let service = service();
        let body = serde_json::to_vec(&members).unwrap();
        let (status, _) = call(&service, operation, &body);
        prop_assert!(status == StatusCode::OK || status == StatusCode::BAD_REQUEST);
        prop_assert_eq!(call(&service, "ListStreams", b"{}").0, StatusCode::OK);
    }

    #[test]
    fn whatever_the_bytes_are_it_is_answered(operation in prop::sample::select(OPERATIONS), body: Vec<u8>) {
        let (status, _) = call(&service(), operation, &body);
        prop_assert!(status == StatusCode::OK || status == StatusCode::BAD_REQUEST);
    }
}
