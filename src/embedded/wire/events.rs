//! Event-stream frames: one message per event, JSON within.
//!
//! <https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html> describes the framing (lengths, headers,
//! CRCs), which aws-smithy-eventstream does.

use std::io::Write as _;
use std::sync::OnceLock;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use aws_smithy_types::str_bytes::StrBytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use super::format::Format;
use crate::embedded::Error;
use crate::embedded::operations::types::{ChildShardShape, Timestamp};
use crate::embedded::store::{Event, Record};

pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// What a frame has beside its payload, about: lengths, CRCs and headers.
const FRAME_OVERHEAD: usize = 192;
/// What a record's JSON has beside its data and key: names, the sequence number, the time.
const RECORD_OVERHEAD: usize = 176;

/// The frame that opens every stream. Clients wait for it before they call the subscription successful.
pub(super) fn initial_response() -> Bytes {
    static FRAME: OnceLock<Bytes> = OnceLock::new();
    FRAME
        .get_or_init(|| frame("event", "initial-response", Bytes::from_static(b"{}")))
        .clone()
}

/// A `SubscribeToShardEvent`.
pub(super) fn event(event: Event) -> Bytes {
    frame("event", "SubscribeToShardEvent", payload(event).into())
}

/// An exception, after which the stream ends.
pub(super) fn exception(error: &Error) -> Bytes {
    frame(
        "exception",
        error.kind().name(),
        Format::Json.encode_error(error).into(),
    )
}

fn frame(kind: &'static str, name: &'static str, payload: Bytes) -> Bytes {
    let header = |name: &'static str, value: &'static str| {
        Header::new(
            StrBytes::from(name),
            HeaderValue::String(StrBytes::from(value)),
        )
    };
    let name_header = if kind == "exception" {
        ":exception-type"
    } else {
        ":event-type"
    };
    let mut buffer = BytesMut::with_capacity(payload.len() + FRAME_OVERHEAD);
    let message = Message::new(payload)
        .add_header(header(":message-type", kind))
        .add_header(header(name_header, name))
        .add_header(header(":content-type", Format::Json.content_type()));
    if let Err(error) = write_message_to(&message, &mut buffer) {
        // Three short headers and a payload below 4 GiB always fit. A client sees a cut-off stream and comes again.
        tracing::error!(%error, "embedded kinesis: an event could not be framed");
        return Bytes::new();
    }
    buffer.freeze()
}

/// The JSON of an event, written by hand: this is the hot path, and data is encoded straight into its place.
fn payload(event: Event) -> Vec<u8> {
    let size: usize = event
        .records
        .iter()
        .map(|record| record.data.len() / 3 * 4 + record.partition_key.len() + RECORD_OVERHEAD)
        .sum();
    let mut out = Vec::with_capacity(size + FRAME_OVERHEAD);
    out.extend_from_slice(b"{\"Records\":[");
    for (index, record) in event.records.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_record(&mut out, record);
    }
    out.extend_from_slice(b"],\"MillisBehindLatest\":");
    // Writing to a vector cannot fail.
    let _ = write!(out, "{}", event.millis_behind);
    if let Some(continuation) = event.continuation {
        let _ = write!(out, ",\"ContinuationSequenceNumber\":\"{continuation}\"");
    }
    if !event.children.is_empty() {
        let children: Vec<_> = event
            .children
            .into_iter()
            .map(ChildShardShape::from)
            .collect();
        out.extend_from_slice(b",\"ChildShards\":");
        let _ = serde_json::to_writer(&mut out, &children);
    }
    out.push(b'}');
    out
}

fn write_record(out: &mut Vec<u8>, record: &Record) {
    let _ = write!(
        out,
        "{{\"SequenceNumber\":\"{}\",\"ApproximateArrivalTimestamp\":{},\"PartitionKey\":",
        record.sequence,
        Timestamp(record.arrival).seconds()
    );
    let _ = serde_json::to_writer(&mut *out, &*record.partition_key);
    out.extend_from_slice(b",\"Data\":\"");
    write_base64(out, &record.data);
    out.extend_from_slice(b"\"}");
}

fn write_base64(out: &mut Vec<u8>, data: &[u8]) {
    let start = out.len();
    out.resize(start + data.len().div_ceil(3) * 4, 0);
    if let Some(place) = out.get_mut(start..)
        && let Err(error) = STANDARD.encode_slice(data, place)
    {
        tracing::error!(%error, "embedded kinesis: no room for base64");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_smithy_eventstream::frame::read_message_from;
    use serde_json::json;

    use super::*;
    use crate::embedded::store::{ChildShard, HashRange, Record, Sequence};

    fn read(frame: Bytes) -> (Vec<(String, String)>, serde_json::Value) {
        let message = read_message_from(frame).unwrap();
        let header = |header: &Header| {
            (
                header.name().as_str().to_owned(),
                header.value().as_string().unwrap().as_str().to_owned(),
            )
        };
        (
            message.headers().iter().map(header).collect(),
            serde_json::from_slice(message.payload()).unwrap(),
        )
    }

    fn sequence() -> Sequence {
        "49590338271490256608559692538361571095921575989136588802"
            .parse()
            .unwrap()
    }

    #[test]
    fn an_event_carries_its_records_as_the_model_says() {
        let record = Record {
            sequence: sequence(),
            arrival: 1_760_000_000_123,
            partition_key: "ro\"om\n\u{1f600}".into(),
            data: Bytes::from_static(b"\x00\xffhello"),
            order: 1,
        };
        let event = Event {
            records: vec![Arc::new(record)],
            continuation: Some(sequence()),
            millis_behind: 7,
            children: vec![],
        };
        let (headers, payload) = read(super::event(event));
        assert!(headers.contains(&(":message-type".into(), "event".into())));
        assert!(headers.contains(&(":event-type".into(), "SubscribeToShardEvent".into())));
        assert!(headers.contains(&(":content-type".into(), "application/x-amz-json-1.1".into())));
        let expected = json!({
            "Records": [{
                "SequenceNumber": sequence().to_string(),
                "ApproximateArrivalTimestamp": 1_760_000_000.123,
                "PartitionKey": "ro\"om\n\u{1f600}",
                "Data": "AP9oZWxsbw==",
            }],
            "MillisBehindLatest": 7,
            "ContinuationSequenceNumber": sequence().to_string(),
        });
        assert_eq!(payload, expected);
    }

    #[test]
    fn the_last_event_has_children_and_no_continuation() {
        let child = ChildShard {
            id: "shardId-000000000001".into(),
            parents: vec!["shardId-000000000000".into()],
            range: HashRange { start: 0, end: 9 },
        };
        let (_, payload) = read(event(Event {
            children: vec![child],
            ..Event::default()
        }));
        let expected = json!({
            "Records": [],
            "MillisBehindLatest": 0,
            "ChildShards": [{
                "ShardId": "shardId-000000000001",
                "ParentShards": ["shardId-000000000000"],
                "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "9" },
            }],
        });
        assert_eq!(payload, expected);
    }

    #[test]
    fn an_exception_names_its_type() {
        let (headers, payload) = read(exception(&Error::not_found("gone")));
        assert!(headers.contains(&(":message-type".into(), "exception".into())));
        assert!(headers.contains(&(":exception-type".into(), "ResourceNotFoundException".into())));
        assert_eq!(payload["message"], "gone");
    }
}
