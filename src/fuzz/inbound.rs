//! What viewers send, and what a stream may hold.

use bolero::TypeGenerator;
use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::{Changes, Text, fuzz};
use crate::connection::inbound::{Heard, Inbound};
use crate::kinesis::Record;
use crate::kinesis::kpl::{self, Aggregate};
use crate::message::payload;
use crate::message::{SequenceNumber, Timestamp};

/// A frame of a client: masked, unless it was changed not to be.
#[derive(Debug, TypeGenerator)]
struct Frame {
    head: u8,
    mask: [u8; 4],
    payload: Vec<u8>,
    changed: Changes,
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.head];
        if let Ok(length @ ..126) = u8::try_from(self.payload.len()) {
            bytes.push(0x80 | length);
        } else {
            // What follows is the length, in two bytes.
            bytes.push(0xfe);
            let length = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
            bytes.extend(length.to_be_bytes());
        }
        bytes.extend(self.mask);
        let masked = self.payload.iter().zip(self.mask.iter().cycle());
        bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
        self.changed.apply(bytes)
    }
}

#[test]
fn websocket_frames_are_heard_the_same_however_they_are_cut() {
    fuzz!(2_000, (Vec<Frame>, u8), |(frames, step): &(
        Vec<Frame>,
        u8
    )| {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        let is_end = |heard: &Option<Heard>| !matches!(heard, None | Some(Heard::Ping(_)));
        let whole = Inbound::default().take(&bytes);
        let mut inbound = Inbound::default();
        let mut last = None;
        for piece in bytes.chunks(usize::from(*step) + 1) {
            let heard = inbound.take(piece);
            last = heard.or(last);
            if is_end(&last) {
                break;
            }
        }
        // How a connection ends must not depend on how its bytes came.
        assert_eq!(is_end(&whole), is_end(&last), "{whole:?} {last:?}");
        if is_end(&whole) {
            assert_eq!(whole, last);
        }
    });
}

#[test]
fn record_payloads_are_read_or_refused() {
    let right = [
        r#"{"id":"8c2f7a34-6a0c-4a6e-9f0b-0d1b6f1f0c11","room":"lobby","name":"A","text":"hi","time":"2026-11-23T12:00:00.000Z"}"#,
        r#"{"text":"hi"}"#,
        r#"{"type":"heartbeat","consumer":"c","time":"2026-11-23T12:00:00.000Z"}"#,
        r#"{"type":null,"text":"\ud83d\ude00","room":"~"}"#,
    ];
    fuzz!(5_000, (u8, Changes), |(of, changes): &(u8, Changes)| {
        let bytes = right[usize::from(*of) % right.len()].as_bytes().to_vec();
        let bytes = changes.apply(bytes);
        if let Err(error) = payload::decode(&bytes) {
            assert!(!error.to_string().is_empty());
        }
    });
}

fn record(data: Vec<u8>) -> Record {
    Record {
        sequence: SequenceNumber::from(1),
        partition_key: "outer".to_owned(),
        data: data.into(),
        arrival: Timestamp::from_millis(0),
    }
}

/// What is changed lies under a digest that is right again, so that what reads the protobuf is reached.
#[test]
fn aggregates_are_taken_apart_or_are_plain_records() {
    type Users = Vec<(Text, Vec<u8>)>;
    fuzz!(2_000, (Users, Changes), |(users, changes): &(
        Users,
        Changes
    )| {
        let mut aggregate = Aggregate::new();
        for (key, data) in users {
            aggregate.push(&key.text(), Bytes::copy_from_slice(data));
        }
        let bytes = aggregate.encode();
        let read: Vec<_> = kpl::decode(&record(bytes.clone()))
            .map(|user| (user.partition_key.to_string(), user.data.to_vec()))
            .collect();
        let wrote: Vec<_> = users
            .iter()
            .map(|(key, data)| (key.text(), data.clone()))
            .collect();
        assert_eq!(read, wrote);

        let (magic, rest) = bytes.split_at(4);
        let protobuf = changes.apply(rest[..rest.len() - 16].to_vec());
        let digest = Md5::digest(&protobuf);
        let changed = [magic, &protobuf, &digest].concat();
        let length = changed.len();
        let users = kpl::decode(&record(changed.clone()));
        let is_aggregate = users.is_aggregate();
        let users: Vec<_> = users.collect();
        let held: usize = users.iter().map(|user| user.data.len()).sum();
        assert!(held <= length, "no more comes out than went in");
        if !is_aggregate {
            assert_eq!(users.len(), 1);
            assert_eq!(users[0].data, changed);
        }
        for (index, user) in users.iter().enumerate() {
            assert_eq!(user.index as usize, index);
        }
    });
}
