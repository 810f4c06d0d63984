//! From messages to the bytes that go over the socket.
//!
//! Frames from server to client are not masked (RFC 6455, 5.1), so a frame is the same for every
//! viewer: it is encoded once and shared.

use bytes::Bytes;
use serde::Serialize;

use super::Entry;
use crate::message::{Position, Room};

/// The first byte of a text frame, final and with no extension's bits (RFC 6455, 5.2).
pub(super) const TEXT: u8 = 0x81;
/// Set in the first byte of a compressed message (RFC 7692, 6).
pub(super) const RSV1: u8 = 0x40;

/// The most payload that one coalesced frame has; a single larger message goes alone.
pub const MAX_COALESCED: usize = 64 * 1024;

const HEAD: &[u8] = br#"{"type":"messages","messages":["#;
const TAIL: &[u8] = b"]}";
const LONGEST_HEADER: usize = 10;

#[derive(Serialize)]
struct MessageV1<'a> {
    id: &'a str,
    room: &'a str,
    name: Option<&'a str>,
    text: &'a str,
    time: &'a str,
    position: &'a str,
}

/// A frame a message, holding its text.
pub(super) fn texts(entries: &[Entry]) -> Bytes {
    let bytes = entries
        .iter()
        .map(|entry| entry.text.len() + LONGEST_HEADER);
    let mut frames = Vec::with_capacity(bytes.sum());
    for entry in entries {
        push_frame(&mut frames, TEXT, entry.text.as_bytes());
    }
    frames.into_boxed_slice().into()
}

/// Frames of `chat-room.v1`, each with as many messages as it may hold.
pub(super) fn messages(room: &Room, entries: &[Entry]) -> Bytes {
    let mut frames = Vec::new();
    let mut payload = HEAD.to_vec();
    let mut object = Vec::new();
    for entry in entries {
        object.clear();
        let written = serde_json::to_writer(
            &mut object,
            &MessageV1 {
                id: &entry.id.to_string(),
                room: room.as_str(),
                name: entry.name.as_deref(),
                text: &entry.text,
                time: &entry.time.to_string(),
                position: &entry.position.to_string(),
            },
        );
        debug_assert!(written.is_ok(), "strings into memory cannot fail");
        let empty = payload.len() == HEAD.len();
        if !empty && payload.len() + 1 + object.len() + TAIL.len() > MAX_COALESCED {
            payload.extend_from_slice(TAIL);
            push_frame(&mut frames, TEXT, &payload);
            payload.truncate(HEAD.len());
        } else if !empty {
            payload.push(b',');
        }
        payload.extend_from_slice(&object);
    }
    if payload.len() > HEAD.len() {
        payload.extend_from_slice(TAIL);
        push_frame(&mut frames, TEXT, &payload);
    }
    frames.into_boxed_slice().into()
}

/// The first frame of `chat-room.v1`.
pub fn joined(room: &Room, position: Position, recovered: bool) -> Bytes {
    // Room names and positions have no character that JSON would escape.
    let payload = format!(
        r#"{{"type":"joined","room":"{room}","position":"{position}","recovered":{recovered}}}"#
    );
    let mut frame = Vec::with_capacity(payload.len() + 4);
    push_frame(&mut frame, TEXT, payload.as_bytes());
    frame.into()
}

/// Appends a frame (RFC 6455, 5.2) with this first byte, unmasked.
pub(super) fn push_frame(frames: &mut Vec<u8>, first: u8, payload: &[u8]) {
    push_header(frames, first, payload.len());
    frames.extend_from_slice(payload);
}

fn push_header(frames: &mut Vec<u8>, first: u8, length: usize) {
    frames.push(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => frames.push(short),
        (_, Ok(medium)) => {
            frames.push(126);
            frames.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            frames.push(127);
            frames.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// A pong that answers a ping's payload, which is at most 125 bytes (RFC 6455, 5.5).
pub fn pong(payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 2);
    push_frame(&mut frame, 0x8A, payload);
    frame.into()
}

/// A ping without a payload.
pub fn ping() -> Bytes {
    Bytes::from_static(b"\x89\x00")
}

/// A close frame with a code and no reason, or without either.
pub fn close(code: Option<u16>) -> Bytes {
    let payload = code.map(u16::to_be_bytes);
    let payload = payload.as_ref().map_or(&[][..], |code| &code[..]);
    let mut frame = Vec::with_capacity(4);
    push_frame(&mut frame, 0x88, payload);
    frame.into()
}

/// A frame made here.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// Without its header.
    pub payload: &'a [u8],
}

/// The frames of a buffer of whole frames made here.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (header, payload) = lengths(rest)?;
        let (bytes, behind) = rest.split_at_checked(header + payload)?;
        rest = behind;
        let payload = bytes.get(header..).unwrap_or_default();
        Some(Frame { bytes, payload })
    })
}

/// The lengths of the first frame's header and payload.
fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    Some(match bytes.get(1)? {
        127 => (10, number(bytes.get(2..10)?)),
        126 => (4, number(bytes.get(2..4)?)),
        short => (2, usize::from(*short)),
    })
}

/// Where the frame that the byte at `offset` belongs to ends, in a buffer of whole frames made
/// here: `offset` itself if a frame starts or the buffer ends there.
pub fn end_of_frame(bytes: &[u8], offset: usize) -> usize {
    let mut end = 0;
    for frame in frames(bytes) {
        if end >= offset {
            break;
        }
        end += frame.bytes.len();
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::Encoding;
    use crate::message::{MessageId, Timestamp};

    fn entry(text: &str) -> Entry {
        let position: Position = "49590338271490256608559692538361571095921575989136588898.2"
            .parse()
            .unwrap();
        Entry {
            id: MessageId::Uuid("0d8f7a1e-6f0c-4f7e-9d0a-2b8f0f3c1a55".parse().unwrap()),
            name: Some("Zoë \"Z\"".into()),
            text: text.into(),
            time: Timestamp::from_millis(1_764_000_000_007),
            arrival: Timestamp::from_millis(1_764_000_000_009),
            position,
        }
    }

    /// Splits whole frames, by the book.
    fn payloads(mut frames: &[u8]) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        while let [0x81, length, rest @ ..] = frames {
            let (length, rest) = match length {
                126 => (
                    usize::from(u16::from_be_bytes(rest[..2].try_into().unwrap())),
                    &rest[2..],
                ),
                127 => (
                    usize::try_from(u64::from_be_bytes(rest[..8].try_into().unwrap())).unwrap(),
                    &rest[8..],
                ),
                short => (usize::from(*short), rest),
            };
            payloads.push(rest[..length].to_vec());
            frames = &rest[length..];
        }
        assert!(frames.is_empty());
        payloads
    }

    #[test]
    fn the_golden_bytes_of_both_encodings() {
        let room = Room::new("golden").unwrap();
        let mut second = entry("two");
        second.name = None;
        let entries = [entry("a\n\"<ü😀"), second];
        assert_eq!(
            &Encoding::Plain.encode(&room, &entries)[..],
            [
                &b"\x81\x0aa\n\"<\xc3\xbc\xf0\x9f\x98\x80"[..],
                &b"\x81\x03two"[..]
            ]
            .concat()
        );
        let v1 = Encoding::V1.encode(&room, &entries);
        assert_eq!(
            String::from_utf8(payloads(&v1).concat()).unwrap(),
            r#"{"type":"messages","messages":[{"id":"0d8f7a1e-6f0c-4f7e-9d0a-2b8f0f3c1a55","room":"golden","name":"Zoë \"Z\"","text":"a\n\"<ü😀","time":"2025-11-24T16:00:00.007Z","position":"49590338271490256608559692538361571095921575989136588898.2"},{"id":"0d8f7a1e-6f0c-4f7e-9d0a-2b8f0f3c1a55","room":"golden","name":null,"text":"two","time":"2025-11-24T16:00:00.007Z","position":"49590338271490256608559692538361571095921575989136588898.2"}]}"#
        );
        let joined = joined(&room, "7.0".parse().unwrap(), true);
        assert_eq!(
            &joined[2..],
            br#"{"type":"joined","room":"golden","position":"7.0","recovered":true}"#
        );
        assert_eq!(&close(Some(4000))[..], b"\x88\x02\x0f\xa0");
        assert_eq!(&close(None)[..], b"\x88\x00");
        assert_eq!(&pong(b"hi")[..], b"\x8a\x02hi");
    }

    #[test]
    fn frames_change_their_header_at_126_and_at_65536_bytes() {
        let room = Room::lobby();
        for length in [0, 125, 126, 65_535, 65_536, 70_000] {
            let frames = Encoding::Plain.encode(&room, &[entry(&"x".repeat(length))]);
            assert_eq!(payloads(&frames), [vec![b'x'; length]], "{length}");
        }
    }

    proptest! {
        #[test]
        fn a_coalesced_frame_holds_at_most_64_kib_or_one_message(
            lengths in prop::collection::vec(0_usize..30_000, 1..12),
        ) {
            let entries: Vec<_> = lengths.iter().map(|n| entry(&"é\"".repeat(n / 3))).collect();
            let frames = Encoding::V1.encode(&Room::lobby(), &entries);
            let mut texts = Vec::new();
            for payload in payloads(&frames) {
                let frame: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                let messages = frame["messages"].as_array().unwrap().clone();
                prop_assert!(payload.len() <= MAX_COALESCED || messages.len() == 1);
                texts.extend(messages.iter().map(|m| m["text"].as_str().unwrap().to_owned()));
            }
            let sent: Vec<_> = entries.iter().map(|entry| entry.text.to_string()).collect();
            prop_assert_eq!(texts, sent);
        }

        #[test]
        fn every_kind_of_text_is_valid_json_and_comes_back(text in "(?s).{0,300}") {
            let frames = Encoding::V1.encode(&Room::lobby(), &[entry(&text)]);
            let frame: serde_json::Value = serde_json::from_slice(&payloads(&frames)[0]).unwrap();
            prop_assert_eq!(frame["messages"][0]["text"].as_str(), Some(&*text));
        }

        #[test]
        fn the_end_of_a_frame_is_found_from_every_byte(
            lengths in prop::collection::vec(prop_oneof![0_usize..130, 65_530_usize..65_540], 1..5),
            at: prop::sample::Index,
        ) {
            let entries: Vec<_> = lengths.iter().map(|n| entry(&"x".repeat(*n))).collect();
            let frames = Encoding::Plain.encode(&Room::lobby(), &entries);
            let ends: Vec<_> = (1..=entries.len())
                .map(|n| Encoding::Plain.encode(&Room::lobby(), &entries[..n]).len())
                .collect();
            let offset = at.index(frames.len() + 1);
            let expected = if offset == 0 { 0 } else { *ends.iter().find(|end| **end >= offset).unwrap() };
            prop_assert_eq!(end_of_frame(&frames, offset), expected);
        }
    }
}
