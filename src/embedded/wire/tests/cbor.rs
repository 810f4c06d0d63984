//! CBOR 1.1: what the Java SDK writes, what it reads, and what nobody ought to send.

use ciborium::Value;

use super::*;

/// A request in CBOR; the answer's status, content type and body.
fn ask(service: &Service, operation: &str, body: &[u8]) -> (StatusCode, String, Body) {
    let target = format!("Kinesis_20131202.{operation}");
    let head = Head {
        method: "POST",
        path: "/",
        target: Some(&target),
        content_type: Some("application/x-amz-cbor-1.1"),
        query: None,
        authorization: None,
        has_date: false,
    };
    let (parts, body) = respond(service, &head, body).into_parts();
    let content_type = parts.headers[CONTENT_TYPE].to_str().unwrap().to_owned();
    (parts.status, content_type, body)
}

fn bytes(body: Body) -> Bytes {
    match body {
        Body::Whole(bytes) => bytes.unwrap_or_default(),
        Body::Events(_) => panic!("a stream of events"),
    }
}

/// The members of an answer.
fn members(body: &[u8]) -> Vec<(String, Value)> {
    let value: Value = ciborium::from_reader(body).unwrap();
    let members = value.into_map().unwrap();
    let named = |(name, value): (Value, Value)| (name.into_text().unwrap(), value);
    members.into_iter().map(named).collect()
}

fn member(members: &[(String, Value)], name: &str) -> Value {
    let found = members.iter().find(|(of, _)| of == name);
    found.unwrap_or_else(|| panic!("no {name}")).1.clone()
}

fn answer(service: &Service, operation: &str, body: &[u8]) -> Vec<(String, Value)> {
    let (status, content_type, body) = ask(service, operation, body);
    let body = bytes(body);
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    assert_eq!(content_type, "application/x-amz-cbor-1.1");
    members(&body)
}

fn refusal(service: &Service, operation: &str, body: &[u8]) -> String {
    let (status, content_type, answer) = ask(service, operation, body);
    let answer = bytes(answer);
    assert_eq!(
        (status, content_type.as_str()),
        (StatusCode::BAD_REQUEST, "application/x-amz-cbor-1.1"),
        "{}",
        hex_of(body)
    );
    let members = members(&answer);
    assert!(member(&members, "message").is_text());
    member(&members, "__type").into_text().unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| u8::try_from(digit).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] * 16 + pair[1])
        .collect()
}

/// The first bytes, to tell a body by.
fn hex_of(bytes: &[u8]) -> String {
    let shown: Vec<_> = bytes
        .iter()
        .take(64)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    shown.concat()
}

fn text(value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

/// A map of these members, whose values are given as they are on the wire.
fn map(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![0xbf];
    for (name, value) in members {
        out.extend(text(name));
        out.extend_from_slice(value);
    }
    out.push(0xff);
    out
}

/// `{"StreamName": "a", "PartitionKey": "k", "Data": <value>}`
fn put(data: &[u8]) -> Vec<u8> {
    map(&[
        ("StreamName", &text("a")),
        ("PartitionKey", &text("k")),
        ("Data", data),
    ])
}

/// Asks for an iterator from a time, given as it is on the wire.
fn at(time: &[u8]) -> Vec<u8> {
    map(&[
        ("StreamName", &text("a")),
        ("ShardId", &text("shardId-000000000000")),
        ("ShardIteratorType", &text("AT_TIMESTAMP")),
        ("Timestamp", time),
    ])
}

fn records(service: &Service, iterator: &[(String, Value)]) -> Vec<(String, Value)> {
    let iterator = member(iterator, "ShardIterator").into_text().unwrap();
    answer(
        service,
        "GetRecords",
        &map(&[("ShardIterator", &text(&iterator))]),
    )
}

/// Written by Jackson's CBOR generator (2.7.8) as `SdkCborGenerator` of aws-sdk-java-v2 calls it: maps and lists without
/// a length, blobs as byte strings, times as an integer of milliseconds under tag 1. The end of the last one is the same as
/// that captured from a Java client in <https://github.com/floci-io/floci/issues/2368>.
#[test]
fn what_the_java_sdk_writes_is_understood() {
    let service = Service::new(Config::default());
    service.create_stream_if_missing("messages", 1).unwrap();
    let put = hex(
        "bf 6a53747265616d4e616d65 686d65737361676573 6444617461 4568656c6c6f 6c506172746974696f6e4b6579 6161 ff",
    );
    let put = answer(&service, "PutRecord", &put);
    assert_eq!(member(&put, "ShardId"), Value::from("shardId-000000000000"));
    let many = hex(
        "bf 6a53747265616d4e616d65 686d65737361676573 675265636f726473 9f \
         bf 6444617461 436f6e65 6c506172746974696f6e4b6579 6161 ff \
         bf 6444617461 4374776f 6c506172746974696f6e4b6579 6161 ff ff ff",
    );
    let many = answer(&service, "PutRecords", &many);
    assert_eq!(member(&many, "FailedRecordCount"), Value::from(0));
    assert_eq!(member(&many, "Records").as_array().unwrap().len(), 2);
    let from_2026 = hex(
        "bf 6a53747265616d4e616d65 686d65737361676573 6753686172644964 74736861726449642d303030303030303030303030 \
         7153686172644974657261746f7254797065 6c41545f54494d455354414d50 6954696d657374616d70 c11b000001a013accc38 ff",
    );
    let iterator = answer(&service, "GetShardIterator", &from_2026);
    let got = records(&service, &iterator);
    let data: Vec<_> = member(&got, "Records")
        .into_array()
        .unwrap()
        .into_iter()
        .map(|record| {
            let record = record.into_map().unwrap();
            let of = |(name, _): &&(Value, Value)| *name == Value::from("Data");
            record.iter().find(of).unwrap().1.clone()
        })
        .collect();
    let expected = ["hello", "one", "two"].map(|data| Value::from(data.as_bytes()));
    assert_eq!(data, expected);
    // `ListStreams` of a client that has nothing to say.
    assert_eq!(answer(&service, "ListStreams", &hex("bfff")).len(), 3);
    assert_eq!(answer(&service, "ListStreams", b"").len(), 3);
}

/// Jackson cuts long strings into pieces.
#[test]
fn a_string_in_pieces_is_one_string() {
    let service = service();
    let pieces = [
        &[0x7f][..],
        &text("shardId-"),
        &text(""),
        &text("000000000000"),
        &[0xff],
    ]
    .concat();
    let body = map(&[
        ("StreamName", &text("a")),
        ("ShardId", &pieces),
        ("ShardIteratorType", &text("LATEST")),
    ]);
    answer(&service, "GetShardIterator", &body);
    let blob = [&[0x5f][..], &[0x41, b'x'], &[0x40], &[0x42, 0, 1], &[0xff]].concat();
    answer(&service, "PutRecord", &put(&blob));
    let key = text(&"9".repeat(5000));
    let long = map(&[
        ("StreamName", &text("a")),
        ("PartitionKey", &key),
        ("Data", &hex("40")),
    ]);
    assert_eq!(
        refusal(&service, "PutRecord", &long),
        "ValidationException",
        "of its length, and for no other reason"
    );
}

/// As AWS' Java SDK parses it (`StringToInstant`, format `UNIX_TIMESTAMP_MILLIS`): a fraction would be an exception there.
#[test]
fn a_time_is_answered_in_whole_milliseconds_under_its_tag() {
    let service = service();
    let before = service.now().wall;
    answer(&service, "PutRecord", &put(&hex("4100")));
    let shards = ["shardId-000000000000", "shardId-000000000001"];
    let found = shards.into_iter().find_map(|shard| {
        let body = map(&[
            ("StreamName", &text("a")),
            ("ShardId", &text(shard)),
            ("ShardIteratorType", &text("TRIM_HORIZON")),
        ]);
        let got = records(&service, &answer(&service, "GetShardIterator", &body));
        member(&got, "Records").into_array().unwrap().pop()
    });
    let record = found.unwrap().into_map().unwrap();
    let of = |(name, _): &&(Value, Value)| *name == Value::from("ApproximateArrivalTimestamp");
    let time = &record.iter().find(of).unwrap().1;
    let (tag, time) = time.as_tag().unwrap();
    let time = u64::try_from(time.as_integer().unwrap()).unwrap();
    assert_eq!(tag, 1);
    assert!((before..=service.now().wall).contains(&time), "{time}");
}

#[test]
fn a_time_may_be_whole_milliseconds_or_a_fraction_of_seconds() {
    let service = service();
    for time in [
        "c1 1b 000001a013accc38",
        "1b 000001a013accc38",
        "c1 00",
        // RFC 8949, for clients that go by it: halves, singles, doubles.
        "c1 f9 3c00",
        "c1 fa 4e800000",
        "c1 fb 41da90fc2d2b020c",
        "fb 41da90fc2d2b020c",
    ] {
        answer(&service, "GetShardIterator", &at(&hex(time)));
    }
    for time in [
        "c1 20",
        "c1 f9 7e00",
        "c1 fb 7ff0000000000000",
        "c1 fb fff0000000000000",
        "c1 fb bff0000000000000",
        "c1 60",
        "c0 60",
        "c2 41 01",
        "c1 c1 01",
        "c1 80",
        "c1 f6",
        "f4",
    ] {
        assert_eq!(
            refusal(&service, "GetShardIterator", &at(&hex(time))),
            "SerializationException",
            "{time}"
        );
    }
}

#[test]
fn an_error_is_answered_in_kind() {
    let service = Service::new(Config::default());
    let body = map(&[("StreamName", &text("none"))]);
    let (status, content_type, answer) = ask(&service, "DescribeStream", &body);
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(content_type, "application/x-amz-cbor-1.1");
    let expected = [
        &[0xa2][..],
        &text("__type"),
        &text("ResourceNotFoundException"),
        &text("message"),
        &text("Stream none under account 000000000000 not found."),
    ]
    .concat();
    assert_eq!(bytes(answer), expected);
    assert_eq!(
        refusal(&service, "Nothing", &body),
        "UnknownOperationException"
    );
    assert_eq!(
        refusal(&service, "SubscribeToShard", &hex("bf")),
        "SerializationException"
    );
}

#[tokio::test]
async fn events_are_json_whatever_the_request_was() {
    use aws_smithy_eventstream::frame::read_message_from;
    use http_body_util::BodyExt as _;

    // A shard without records says so soon.
    let service = Service::new(Config {
        heartbeat: std::time::Duration::from_millis(1),
        ..Config::default()
    });
    service.create_stream_if_missing("a", 2).unwrap();
    let arn = text("arn:aws:kinesis:us-east-1:000000000000:stream/a");
    let register = map(&[("StreamARN", &arn), ("ConsumerName", &text("c"))]);
    let registered = member(
        &answer(&service, "RegisterStreamConsumer", &register),
        "Consumer",
    );
    let registered = registered.into_map().unwrap();
    let of = |(name, _): &&(Value, Value)| *name == Value::from("ConsumerARN");
    let consumer = registered.iter().find(of).unwrap().1.as_text().unwrap();
    answer(&service, "PutRecord", &put(b"\x45hello"));
    let shards = answer(&service, "ListShards", &map(&[("StreamName", &text("a"))]));
    let mut heard = 0;
    for shard in member(&shards, "Shards").into_array().unwrap() {
        let shard = shard.into_map().unwrap();
        let shard = shard[0].1.as_text().unwrap();
        let start = map(&[("Type", &text("TRIM_HORIZON"))]);
        let subscribe = map(&[
            ("ConsumerARN", &text(consumer)),
            ("ShardId", &text(shard)),
            ("StartingPosition", &start),
        ]);
        let (status, content_type, mut body) = ask(&service, "SubscribeToShard", &subscribe);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(content_type, "application/vnd.amazon.eventstream");
        let opening = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(&read_message_from(opening).unwrap().payload()[..], b"{}");
        let event = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let event = read_message_from(event).unwrap();
        let payload: serde_json::Value = serde_json::from_slice(event.payload()).unwrap();
        for record in payload["Records"].as_array().unwrap() {
            assert_eq!(record["Data"], "aGVsbG8=");
            heard += 1;
        }
    }
    assert_eq!(heard, 1);
}

/// A member nobody knows, of every shape there is, is no reason to refuse what is around it.
#[test]
fn unknown_members_of_every_shape_are_passed_over() {
    let service = service();
    for value in [
        "00",
        "1903e8",
        "1bffffffffffffffff",
        "20",
        "3bffffffffffffffff",
        "4100",
        "5f4100ff",
        "6161",
        "7f6161ff",
        "80",
        "820102",
        "9f01ff",
        "a0",
        "a10102",
        "bf0102ff",
        "a1f600",
        "c11a00000000",
        "c24101",
        "c349010000000000000000",
        "d9d9f7a0",
        "f4",
        "f5",
        "f6",
        "f7",
        "f90000",
        "f97e00",
        "fa7f800000",
        "fbfff0000000000000",
    ] {
        let value = hex(value);
        let body = map(&[
            ("Whatever", &value),
            ("StreamName", &text("a")),
            ("PartitionKey", &text("k")),
            ("Data", &hex("40")),
            ("Another", &value),
        ]);
        assert_eq!(
            ask(&service, "PutRecord", &body).0,
            StatusCode::OK,
            "{}",
            hex_of(&value)
        );
    }
    let null = map(&[("StreamName", &text("a")), ("StreamARN", &hex("f6"))]);
    answer(&service, "DescribeStreamSummary", &null);
}

#[test]
fn what_is_not_cbor_of_the_right_types_is_a_serialization_error() {
    let service = service();
    let deep = |prefix: &str| {
        let nested = hex(&prefix.repeat(100_000));
        map(&[("Whatever", &nested)])
    };
    let mut bodies: Vec<Vec<u8>> = [
        // No map, or none that ends.
        "00",
        "60",
        "80",
        "f6",
        "ff",
        "bf",
        "a1",
        "a16161",
        "bf6161ff",
        "bbffffffffffffffff",
        "a26161f66162",
        // Something after it.
        "a000",
        "bfffff",
        "a0a0",
        "bfff00",
        // Lengths beyond the body.
        "a1 6a53747265616d4e616d65 7bffffffffffffffff",
        "a1 6a53747265616d4e616d65 7a7fffffff 61",
        "a1 6a53747265616d4e616d65 7b7fffffffffffffff 61",
        "a1 6444617461 5bffffffffffffffff 00",
        "a1 675265636f726473 9bffffffffffffffff",
        "a1 675265636f726473 9b0000ffffffffffff a0",
        "bb7fffffffffffffff 6161 00",
        // Reserved and unassigned.
        "1c",
        "fc",
        "a16161 1c",
        "a16161 f820",
        "a16161 fc",
        "a16161 f0",
        "a16161 ff",
        // Not UTF-8.
        "a1 6a53747265616d4e616d65 61ff",
        "a1 61ff 00",
        "a1 6161 61ff",
        // Strings whose pieces are of another kind, or have no length themselves.
        "a1 6a53747265616d4e616d65 7f4161ff",
        "a1 6444617461 5f6161ff",
        "a1 6a53747265616d4e616d65 7f00ff",
        // Names that are no strings.
        "a1 00 00",
        "a1 80 00",
        "a1 f6 00",
        "a1 fb0000000000000000 00",
        "bf 7f6161ff 00 ff",
    ]
    .into_iter()
    .map(hex)
    .collect();
    bodies.extend(
        [
            "81", "9f", "a100", "bf6161", "c1", "d9d9f7", "5f", "7f", "c2",
        ]
        .map(deep),
    );
    for (index, body) in bodies.iter().enumerate() {
        for operation in [
            "PutRecords",
            "PutRecord",
            "GetShardIterator",
            "SubscribeToShard",
        ] {
            assert_eq!(
                refusal(&service, operation, body),
                "SerializationException",
                "{operation}, {index}: {}",
                hex_of(body)
            );
        }
    }
    for (operation, body) in [
        ("PutRecord", put(&text("aGVsbG8="))),
        ("PutRecord", put(&hex("820102"))),
        ("PutRecord", put(&hex("01"))),
        ("ListStreams", map(&[("Limit", &hex("f93c00"))])),
        ("ListStreams", map(&[("Limit", &text("1"))])),
        ("ListStreams", map(&[("Limit", &hex("1bffffffffffffffff"))])),
        (
            "ListStreams",
            map(&[("Limit", &hex("c249010000000000000000"))]),
        ),
        ("PutRecords", map(&[("Records", &text("x"))])),
        ("PutRecords", map(&[("Records", &hex("f4"))])),
        ("ListShards", map(&[("StreamName", &hex("41 61"))])),
        ("ListShards", map(&[("StreamName", &hex("00"))])),
        (
            "ListShards",
            map(&[("StreamName", &text("a")), ("StreamName", &text("a"))]),
        ),
    ] {
        assert_eq!(
            refusal(&service, operation, &body),
            "SerializationException",
            "{operation} {}",
            hex_of(&body)
        );
    }
}

#[test]
fn a_body_that_is_cut_anywhere_is_refused() {
    let service = service();
    let whole = put(&hex("c1 43 010203"));
    answer(&service, "PutRecord", &whole);
    for end in 1..whole.len() {
        assert_eq!(
            refusal(&service, "PutRecord", &whole[..end]),
            "SerializationException",
            "{end}"
        );
    }
}
