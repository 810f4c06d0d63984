//! Event-stream frames, read by a decoder that shares nothing with what wrote them.

use aws_smithy_eventstream::frame::read_message_from;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;

use super::*;

/// A frame's headers and its payload.
pub(super) type Message = (Vec<(String, String)>, Vec<u8>);

/// Reads a frame. Never panics, whatever the bytes are.
///
/// The format: lengths of all and of the headers, a CRC of these, headers of a name's length, the name, the type (7: text),
/// the value's length and the value; the payload; a CRC of all before it. Numbers are big-endian.
pub(super) fn read(frame: &[u8]) -> Result<Message, &'static str> {
    let mut rest = frame;
    let total = number(&mut rest)?;
    let headers = number(&mut rest)?;
    if number(&mut rest)? != crc(&frame[..8]) {
        return Err("the prelude's sum is wrong");
    }
    if total as usize != frame.len() {
        return Err("the length is not that of the frame");
    }
    let body = frame.len().checked_sub(4).ok_or("too short")?;
    if number(&mut &frame[body..])? != crc(&frame[..body]) {
        return Err("the frame's sum is wrong");
    }
    let mut rest = frame.get(12..body).ok_or("too short")?;
    let mut headers = take(&mut rest, headers as usize)?;
    let mut read = Vec::new();
    while !headers.is_empty() {
        let length = usize::from(take(&mut headers, 1)?[0]);
        let name = String::from_utf8(take(&mut headers, length)?.to_vec());
        if take(&mut headers, 1)? != [7] {
            return Err("a header is no text");
        }
        let length = take(&mut headers, 2)?;
        let length = u16::from_be_bytes([length[0], length[1]]);
        let value = String::from_utf8(take(&mut headers, length.into())?.to_vec());
        match (name, value) {
            (Ok(name), Ok(value)) => read.push((name, value)),
            _ => return Err("a header is not UTF-8"),
        }
    }
    Ok((read, rest.to_vec()))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], &'static str> {
    let (taken, left) = rest.split_at_checked(count).ok_or("too short")?;
    *rest = left;
    Ok(taken)
}

fn number(rest: &mut &[u8]) -> Result<u32, &'static str> {
    let bytes = take(rest, 4)?;
    Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// CRC-32 of ISO 3309, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[derive(Debug, TypeGenerator)]
struct Stream {
    #[generator(bolero::produce::<Vec<(Text, Vec<u8>)>>().with().len(1..8_usize))]
    records: Vec<(Text, Vec<u8>)>,
    damage: Changes,
}

fn subscribe(service: &Service) -> Body {
    let arn: Value = "arn:aws:kinesis:us-east-1:000000000000:stream/one".into();
    let register = map(vec![("StreamARN", arn), ("ConsumerName", "c".into())]);
    let register = encode(Format::Cbor, &register);
    let registered = send(service, "RegisterStreamConsumer", Format::Cbor, &register).right();
    let subscribe = map(vec![
        (
            "ConsumerARN",
            member(member(&registered, "Consumer"), "ConsumerARN").clone(),
        ),
        ("ShardId", "shardId-000000000000".into()),
        (
            "StartingPosition",
            map(vec![("Type", "TRIM_HORIZON".into())]),
        ),
    ]);
    let body = encode(Format::Cbor, &subscribe);
    match send(service, "SubscribeToShard", Format::Cbor, &body) {
        Answer::Events(body) => body,
        _ => panic!("no subscription"),
    }
}

#[test]
fn what_is_put_is_what_another_decoder_reads_and_damage_shows() {
    assert_eq!(crc(b"123456789"), 0xcbf4_3926);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    fuzz!(500, Stream, |stream: &Stream| {
        let _entered = runtime.enter();
        let service = Service::new(Config::default());
        service.create_stream_if_missing("one", 1).unwrap();
        let mut put = Vec::new();
        for (key, data) in &stream.records {
            let record = vec![
                ("StreamName", "one".into()),
                ("PartitionKey", key.text().into()),
                ("Data", Value::Bytes(data.clone())),
            ];
            let body = encode(Format::Cbor, &map(record));
            // A key may not be empty.
            if let Answer::Right(_) = send(&service, "PutRecord", Format::Cbor, &body) {
                put.push((key.text(), data.clone()));
            }
        }
        let mut events = subscribe(&service);
        let mut got = Vec::new();
        while let Some(Some(Ok(frame))) = events.frame().now_or_never() {
            let frame = frame.into_data().unwrap();
            let (headers, payload) = read(&frame).unwrap();
            assert_eq!(headers[0], (":message-type".to_owned(), "event".to_owned()));
            let event: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            for record in event["Records"].as_array().into_iter().flatten() {
                let key = record["PartitionKey"].as_str().unwrap().to_owned();
                got.push((
                    key,
                    STANDARD.decode(record["Data"].as_str().unwrap()).unwrap(),
                ));
            }
            let changed = stream.damage.apply(frame.to_vec());
            if changed != frame {
                assert!(read(&changed).is_err());
                // Nor does the SDK, which would begin another frame with what follows one.
                let is_longer = changed.starts_with(&frame);
                let taken = read_message_from(Bytes::from(changed));
                assert_eq!(taken.is_ok(), is_longer);
            }
            if got.len() == put.len() && !event["Records"].is_null() {
                break;
            }
        }
        assert_eq!(got, put);
    });
}
