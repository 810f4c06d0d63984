use crate::choices::Encoding;
use crate::scanner::{Event, Scanner};
use crate::stamp::Stamp;

fn stamp(number: u32) -> Stamp {
    Stamp {
        publisher: 1,
        number,
        due: 77,
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short");
    let mut frame = vec![first];
    if length < 126 {
        frame.push(length as u8);
    } else {
        frame.push(126);
        frame.extend(length.to_be_bytes());
    }
    frame.extend_from_slice(payload);
    frame
}

/// What is told of `bytes`, fed in pieces of `piece`.
fn told(encoding: Encoding, bytes: &[u8], piece: usize) -> Vec<String> {
    let mut scanner = Scanner::new(encoding);
    let mut told = Vec::new();
    for piece in bytes.chunks(piece) {
        scanner.feed(piece, |event| {
            told.push(match event {
                Event::Message(stamp) => format!("message {}", stamp.number),
                Event::Deflated(payload) => format!("deflated {payload:?}"),
                Event::Ping(payload) => format!("ping {payload:?}"),
                Event::Close(code) => format!("close {code:?}"),
                Event::Nonsense => "nonsense".to_owned(),
            });
        });
    }
    told
}

#[test]
fn frames_are_understood_in_pieces_of_any_size() {
    let long = format!("{}{}", stamp(1).encode(), "x".repeat(300));
    let both = format!("[{}, {}]", stamp(2).encode(), stamp(3).encode());
    let plain = [
        frame(0x81, stamp(0).encode().as_bytes()),
        frame(0x81, long.as_bytes()),
    ]
    .concat();
    let v1 = [
        frame(0x81, both.as_bytes()),
        frame(0x89, b"hi"),
        frame(0xc1, &[1, 2, 3]),
        frame(0x81, b""),
        frame(0x88, &[0x0f, 0xa0]),
    ]
    .concat();
    for piece in 1..=v1.len() {
        assert_eq!(
            told(Encoding::Plain, &plain, piece),
            ["message 0", "message 1"]
        );
        assert_eq!(
            told(Encoding::V1, &v1, piece),
            [
                "message 2",
                "message 3",
                "ping [104, 105]",
                "deflated [1, 2, 3]",
                "close Some(4000)"
            ],
            "in pieces of {piece}"
        );
    }
}

#[test]
fn a_masked_frame_is_nonsense_from_a_server() {
    assert_eq!(told(Encoding::Plain, &[0x81, 0x80], 2), ["nonsense"]);
}
