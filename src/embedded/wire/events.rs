//! Event-stream frames: one message per event, JSON within.
//!
//! <https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html> describes the framing (lengths, headers,
//! CRCs), which aws-smithy-eventstream does; only the frame of an event is put together here, because its records are
//! shared. The smallest limit that a client puts on a frame is 16 MiB (aws-c-event-stream, the SDKs for Go and Kotlin;
//! botocore 24 MiB, the SDKs for Rust and JavaScript none): the largest record, 10 MiB with its key, makes 14 MiB of it.

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
use crate::embedded::store::{Encoded, Event, Record, Slice};

pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// What an event has beside its records, about: lengths, CRCs, headers, continuation.
const FRAME_OVERHEAD: usize = 256;
/// Two lengths and their CRC, before the headers; a CRC of all, at the end.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;
/// What stands before the records.
const BEGIN: &[u8] = b"{\"Records\":[";
/// Records up to so many bytes are copied into one piece with what stands around them: that is cheaper to send than
/// three.
const SMALL: usize = 16 * 1024;
/// What a record's JSON has beside its data and key: names, the sequence number, the time.
const RECORD_OVERHEAD: usize = 176;

/// The frame that opens every stream. Clients wait for it before they call the subscription successful.
pub(super) fn initial_response() -> Bytes {
    static FRAME: OnceLock<Bytes> = OnceLock::new();
    FRAME
        .get_or_init(|| frame("event", "initial-response", Bytes::from_static(b"{}")))
        .clone()
}

/// A frame, in pieces that follow each other.
pub(super) type Frame = Vec<Bytes>;

/// A `SubscribeToShardEvent`. Its records are encoded once for all who are sent them; what stands around them is each
/// subscriber's own.
pub(super) fn event(event: &Event) -> Frame {
    let records = event.slice.encoded.get_or_init(|| encode(&event.slice));
    let mut end = Vec::with_capacity(FRAME_OVERHEAD);
    write_end(&mut end, event);
    let headers = event_headers();
    let payload = BEGIN.len() + records.text.len() + end.len();
    let length = PRELUDE + headers.len() + payload + CHECKSUM;
    // A record is at most 10 MiB, so a length fits; if it did not, a client would see a broken frame and come again.
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();

    let is_small = records.text.len() <= SMALL;
    let room = if is_small { length } else { FRAME_OVERHEAD };
    let mut begin = Vec::with_capacity(room);
    begin.extend_from_slice(&size(length));
    begin.extend_from_slice(&size(headers.len()));
    let prelude = crc32fast::hash(&begin);
    begin.extend_from_slice(&prelude.to_be_bytes());
    begin.extend_from_slice(headers);
    begin.extend_from_slice(BEGIN);
    if is_small {
        begin.extend_from_slice(&records.text);
        begin.append(&mut end);
        let checksum = crc32fast::hash(&begin);
        begin.extend_from_slice(&checksum.to_be_bytes());
        return vec![begin.into()];
    }
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&begin);
    checksum.combine(&records.checksum);
    checksum.update(&end);
    end.extend_from_slice(&checksum.finalize().to_be_bytes());
    vec![begin.into(), records.text.clone(), end.into()]
}

/// The headers of every event, encoded.
fn event_headers() -> &'static [u8] {
    static HEADERS: OnceLock<Bytes> = OnceLock::new();
    HEADERS.get_or_init(|| {
        let mut empty = frame("event", "SubscribeToShardEvent", Bytes::new());
        empty.truncate(empty.len().saturating_sub(CHECKSUM));
        empty.slice(PRELUDE.min(empty.len())..)
    })
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

/// The JSON of records, written by hand: this is the hot path, and data is encoded straight into its place.
fn encode(slice: &Slice) -> Encoded {
    let sizes = slice.records.iter().map(|record| {
        record.data.len().div_ceil(3) * 4 + record.partition_key.len() + RECORD_OVERHEAD
    });
    let mut text = Vec::with_capacity(sizes.sum());
    for (index, record) in slice.records.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        write_record(&mut text, record);
    }
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&text);
    Encoded {
        text: text.into(),
        checksum,
    }
}

/// What follows the records.
fn write_end(out: &mut Vec<u8>, event: &Event) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "],\"MillisBehindLatest\":{}", event.millis_behind);
    if let Some(continuation) = event.continuation {
        let _ = write!(out, ",\"ContinuationSequenceNumber\":\"{continuation}\"");
    }
    if !event.children.is_empty() {
        let children = event.children.iter().cloned().map(ChildShardShape::from);
        out.extend_from_slice(b",\"ChildShards\":");
        let _ = serde_json::to_writer(&mut *out, &children.collect::<Vec<_>>());
    }
    out.push(b'}');
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

    fn read(frame: &[Bytes]) -> (Vec<(String, String)>, serde_json::Value) {
        let message = read_message_from(Bytes::from(frame.concat())).unwrap();
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
            slice: Slice::of(vec![record]),
            continuation: Some(sequence()),
            millis_behind: 7,
            children: vec![],
        };
        let (headers, payload) = read(&super::event(&event));
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

    /// Small ones are one piece, large ones three; either way a client that checks every CRC reads them.
    #[test]
    fn records_are_encoded_once_for_all_who_are_sent_them() {
        for (size, pieces) in [(0, 1), (9_000, 1), (13_000, 3), (10 * 1024 * 1024 - 9, 3)] {
            let record = Record {
                sequence: sequence(),
                arrival: 1,
                partition_key: "\u{1}\u{2}\u{3}\"\\\n\r\t\u{7}".into(),
                data: Bytes::from(vec![0xfb; size]),
                order: 1,
            };
            let slice = Slice::of(vec![record]);
            let events = [0, 7].map(|millis_behind| Event {
                slice: Arc::clone(&slice),
                continuation: Some(sequence()),
                millis_behind,
                children: vec![],
            });
            let frames = events.map(|event| super::event(&event));
            let text = &slice.encoded.get().unwrap().text;
            for (frame, millis) in frames.into_iter().zip([0, 7]) {
                assert_eq!(frame.len(), pieces);
                if pieces == 3 {
                    assert_eq!(
                        frame[1].as_ptr(),
                        text.as_ptr(),
                        "the same bytes, not a copy"
                    );
                }
                assert!(frame.concat().len() < 16 * 1024 * 1024);
                let (_, payload) = read(&frame);
                assert_eq!(payload["MillisBehindLatest"], millis);
                let data = payload["Records"][0]["Data"].as_str().unwrap();
                assert_eq!(STANDARD.decode(data).unwrap(), slice.records[0].data);
            }
        }
    }

    #[test]
    fn the_last_event_has_children_and_no_continuation() {
        let child = ChildShard {
            id: "shardId-000000000001".into(),
            parents: vec!["shardId-000000000000".into()],
            range: HashRange { start: 0, end: 9 },
        };
        let (_, payload) = read(&event(&Event {
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
        let (headers, payload) = read(&[exception(&Error::not_found("gone"))]);
        assert!(headers.contains(&(":message-type".into(), "exception".into())));
        assert!(headers.contains(&(":exception-type".into(), "ResourceNotFoundException".into())));
        assert_eq!(payload["message"], "gone");
    }
}
