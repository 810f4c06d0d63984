//! What clients send: read as RFC 6455 wants it, answered, and otherwise discarded.
//!
//! The server never needs a data frame from a client. So an idle connection holds no read buffer:
//! bytes come in through one that all share, and only the beginning of a frame whose rest has not
//! come yet is kept, at most [`MAX_MESSAGE`] bytes of it and its header.

use fastwebsockets::{CloseCode, Frame, OpCode, Role, WebSocket, WebSocketError};
use futures_util::FutureExt;

/// The longest message that a client may send, in bytes.
pub const MAX_MESSAGE: usize = 4 * 1024;

/// RFC 6455, 7.4.1: protocol error.
pub const PROTOCOL_ERROR: u16 = 1002;
/// RFC 6455, 7.4.1: a type of data that cannot be accepted.
pub const UNSUPPORTED: u16 = 1003;
/// RFC 6455, 7.4.1: a message's data do not fit its type.
pub const INVALID_DATA: u16 = 1007;
/// RFC 6455, 7.4.1: message too big.
pub const TOO_BIG: u16 = 1009;

/// What is to be done about what a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Answer with a pong. Of several pings only the last is to be answered (RFC 6455, 5.5.3).
    Ping(Vec<u8>),
    /// The client closes: answer with a close frame with the same code, then end.
    Close(Option<u16>),
    /// The client broke a rule: close with this code.
    Fail(u16),
}

/// The read side of one connection.
#[derive(Debug, Default)]
pub struct Inbound {
    /// The beginning of a frame.
    carry: Vec<u8>,
    /// The bytes so far of a message whose last fragment has not come.
    fragmented: Option<u16>,
    /// Nothing after a close frame or a broken rule counts.
    finished: bool,
    /// permessage-deflate was negotiated.
    compression: bool,
}

impl Inbound {
    /// Of a connection that negotiated permessage-deflate or did not.
    pub fn new(compression: bool) -> Self {
        Self {
            compression,
            ..Self::default()
        }
    }

    /// Takes bytes in; returns what is to be done, if anything is.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Heard> {
        if self.finished {
            return None;
        }
        if self.carry.is_empty() {
            return self.read(bytes);
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(bytes);
        self.read(&carry)
    }

    fn read(&mut self, bytes: &[u8]) -> Option<Heard> {
        let mut frames = 0;
        let mut end = 0;
        let mut broken = None;
        loop {
            let rest = bytes.get(end..).unwrap_or_default();
            match frame_length(rest, self.compression) {
                Ok(Some(length)) if length <= rest.len() => {
                    frames += 1;
                    end += length;
                }
                Ok(_) => {
                    self.carry = rest.to_vec();
                    break;
                }
                Err(code) => {
                    broken = Some(Heard::Fail(code));
                    break;
                }
            }
        }
        let heard = self.read_frames(bytes.get(..end).unwrap_or_default(), frames);
        let heard = match (heard, broken) {
            (Some(end @ (Heard::Close(_) | Heard::Fail(_))), _) | (_, Some(end)) => Some(end),
            (ping, None) => ping,
        };
        if matches!(heard, Some(Heard::Close(_) | Heard::Fail(_))) {
            self.finished = true;
            self.carry = Vec::new();
        }
        heard
    }

    /// Reads so many whole frames.
    fn read_frames(&mut self, bytes: &[u8], frames: usize) -> Option<Heard> {
        if frames == 0 {
            return None;
        }
        let mut socket =
            WebSocket::after_handshake(tokio::io::join(bytes, tokio::io::sink()), Role::Server);
        socket.set_auto_close(false);
        socket.set_auto_pong(false);
        // The library refuses what reaches its limit, not what exceeds it.
        socket.set_max_message_size(MAX_MESSAGE + 1);
        let mut ping = None;
        for _ in 0..frames {
            let heard = match socket.read_frame().now_or_never() {
                Some(Ok(frame)) => self.judge(&frame),
                Some(Err(error)) => Some(Heard::Fail(code_of(&error))),
                // All bytes are there, so it never has to wait.
                None => Some(Heard::Fail(PROTOCOL_ERROR)),
            };
            match heard {
                Some(Heard::Ping(payload)) => ping = Some(Heard::Ping(payload)),
                Some(end) => return Some(end),
                None => {}
            }
        }
        ping
    }

    fn judge(&mut self, frame: &Frame<'_>) -> Option<Heard> {
        let length = frame.payload.len();
        match frame.opcode {
            OpCode::Ping => return Some(Heard::Ping(frame.payload.to_vec())),
            OpCode::Pong => return None,
            OpCode::Close => return Some(close(&frame.payload)),
            OpCode::Text | OpCode::Binary if self.fragmented.is_some() => {
                return Some(Heard::Fail(PROTOCOL_ERROR));
            }
            OpCode::Continuation if self.fragmented.is_none() => {
                return Some(Heard::Fail(PROTOCOL_ERROR));
            }
            OpCode::Text | OpCode::Binary | OpCode::Continuation => {}
        }
        let total = self.fragmented.take().map_or(0, usize::from) + length;
        if total > MAX_MESSAGE {
            return Some(Heard::Fail(TOO_BIG));
        }
        if !frame.fin {
            self.fragmented = u16::try_from(total).ok();
        }
        None
    }
}

/// RFC 6455, 5.5.1 and 7.4.
fn close(payload: &[u8]) -> Heard {
    let [high, low, reason @ ..] = payload else {
        return if payload.is_empty() {
            Heard::Close(None)
        } else {
            Heard::Fail(PROTOCOL_ERROR)
        };
    };
    let code = u16::from_be_bytes([*high, *low]);
    if !CloseCode::from(code).is_allowed() {
        return Heard::Fail(PROTOCOL_ERROR);
    }
    if std::str::from_utf8(reason).is_err() {
        return Heard::Fail(INVALID_DATA);
    }
    Heard::Close(Some(code))
}

fn code_of(error: &WebSocketError) -> u16 {
    match error {
        WebSocketError::InvalidUTF8 => INVALID_DATA,
        WebSocketError::FrameTooLarge => TOO_BIG,
        _ => PROTOCOL_ERROR,
    }
}

/// The length of the frame that starts here, header included (RFC 6455, 5.2), or `None` if too
/// little of it is there; a close code if it can be refused already. So nobody can make the server
/// wait for, or hold, more than a frame of the allowed size.
fn frame_length(bytes: &[u8], compression: bool) -> Result<Option<usize>, u16> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        // 5.1: a client masks every frame.
        return Err(PROTOCOL_ERROR);
    }
    // A compressed message (RFC 7692, 6): the server needs no data, so it does not inflate any. In
    // other frames, or where nothing was negotiated, the bit is an error like the other two.
    if compression && matches!(first & 0x7F, 0x41 | 0x42) {
        return Err(UNSUPPORTED);
    }
    let control = first & 0x08 != 0;
    let (header, length) = match second & 0x7F {
        short @ ..126 => (6, usize::from(short)),
        _ if control => return Err(PROTOCOL_ERROR),
        126 => {
            let Some(length) = rest.first_chunk() else {
                return Ok(None);
            };
            let length = usize::from(u16::from_be_bytes(*length));
            if length < 126 {
                // 5.2: the shortest form must be used.
                return Err(PROTOCOL_ERROR);
            }
            (8, length)
        }
        // Whatever follows, it is more than allowed.
        _ => return Err(TOO_BIG),
    };
    if length > MAX_MESSAGE {
        return Err(TOO_BIG);
    }
    Ok(Some(header + length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A masked frame, by the book.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            short @ ..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
            medium => {
                frame.push(0xFE);
                frame.extend(u16::try_from(medium).unwrap().to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(p, m)| p ^ m));
        frame
    }

    const TEXT: u8 = 0x81;
    const PING: u8 = 0x89;
    const CLOSE: u8 = 0x88;

    #[test]
    fn every_broken_rule_has_its_code() {
        let unmasked = [0x81, 0x00].to_vec();
        let long_form = [&[0x81, 0xFE, 0, 5, 1, 2, 3, 4][..], &[0; 5]].concat();
        let cases = [
            (unmasked, PROTOCOL_ERROR, "unmasked"),
            (frame(0xC1, b""), PROTOCOL_ERROR, "RSV1"),
            (frame(0xA1, b""), PROTOCOL_ERROR, "RSV2"),
            (frame(0x83, b""), PROTOCOL_ERROR, "unknown data opcode"),
            (frame(0x8B, b""), PROTOCOL_ERROR, "unknown control opcode"),
            (frame(0x09, b""), PROTOCOL_ERROR, "fragmented ping"),
            (frame(PING, &[0; 126]), PROTOCOL_ERROR, "long ping"),
            (frame(0x8A, &[0; 126]), PROTOCOL_ERROR, "long pong"),
            (frame(0x80, b"x"), PROTOCOL_ERROR, "continuation of nothing"),
            (
                [frame(0x01, b"a"), frame(TEXT, b"b")].concat(),
                PROTOCOL_ERROR,
                "a message within a message",
            ),
            (long_form, PROTOCOL_ERROR, "length not in its shortest form"),
            (frame(TEXT, b"\xff"), INVALID_DATA, "text that is no UTF-8"),
            (frame(CLOSE, b"\x03"), PROTOCOL_ERROR, "half a close code"),
            (frame(CLOSE, b"\x03\xee"), PROTOCOL_ERROR, "close code 1006"),
            (
                frame(CLOSE, b"\x03\xe8\xff"),
                INVALID_DATA,
                "reason that is no UTF-8",
            ),
            (frame(0x82, &[0; MAX_MESSAGE + 1]), TOO_BIG, "large frame"),
            (
                vec![0x82, 0xFF, 0, 0, 0],
                TOO_BIG,
                "64-bit length, before it is there",
            ),
            (
                [frame(0x02, &[0; 4000]), frame(0x80, &[0; 97])].concat(),
                TOO_BIG,
                "large message in fragments",
            ),
        ];
        for (bytes, code, what) in cases {
            let mut inbound = Inbound::default();
            assert_eq!(inbound.take(&bytes), Some(Heard::Fail(code)), "{what}");
            assert_eq!(
                inbound.take(&frame(PING, b"")),
                None,
                "{what}: nothing after it"
            );
        }
    }

    #[test]
    fn what_is_allowed_is_discarded_answered_or_closed() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.take(&frame(TEXT, "hé".as_bytes())), None);
        assert_eq!(inbound.take(&frame(0x82, &[0xFF; MAX_MESSAGE])), None);
        assert_eq!(inbound.take(&frame(0x01, b"a")), None);
        assert_eq!(
            inbound.take(&frame(PING, b"hi")),
            Some(Heard::Ping(b"hi".to_vec()))
        );
        assert_eq!(inbound.take(&frame(0x80, b"b")), None);
        let pings = [frame(PING, b"1"), frame(PING, b"2")].concat();
        assert_eq!(inbound.take(&pings), Some(Heard::Ping(b"2".to_vec())));
        let close = frame(CLOSE, b"\x03\xe8bye");
        assert_eq!(inbound.take(&close), Some(Heard::Close(Some(1000))));
        assert_eq!(
            Inbound::default().take(&frame(CLOSE, b"")),
            Some(Heard::Close(None))
        );
    }

    #[test]
    fn a_compressed_message_is_not_accepted_where_it_could_be_sent() {
        for (first, code, what) in [
            (0xC1, UNSUPPORTED, "text"),
            (0xC2, UNSUPPORTED, "binary"),
            (0x41, UNSUPPORTED, "the first fragment of a text"),
            (0xC0, PROTOCOL_ERROR, "continuation (RFC 7692, 6.1)"),
            (0xC9, PROTOCOL_ERROR, "ping (RFC 7692, 6.1)"),
            (0xE1, PROTOCOL_ERROR, "text with RSV2"),
            (0xC3, PROTOCOL_ERROR, "unknown data opcode"),
        ] {
            let mut inbound = Inbound::new(true);
            let heard = inbound.take(&frame(first, b"\x4a\x04"));
            assert_eq!(heard, Some(Heard::Fail(code)), "{what}");
        }
        assert_eq!(Inbound::new(true).take(&frame(TEXT, b"hi")), None);
    }

    proptest! {
        #[test]
        fn frames_cut_anywhere_are_heard_the_same(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..125), 1..6),
            cuts in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|p| frame(PING, p)).collect();
            let mut inbound = Inbound::default();
            let mut last = None;
            let mut rest = &bytes[..];
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                last = inbound.take(now).or(last);
                rest = later;
            }
            prop_assert_eq!(last, payloads.last().cloned().map(Heard::Ping));
        }

        #[test]
        fn no_bytes_panic_and_little_is_kept(chunks: Vec<Vec<u8>>) {
            let mut inbound = Inbound::default();
            for chunk in chunks {
                let _ = inbound.take(&chunk);
                prop_assert!(inbound.carry.len() <= MAX_MESSAGE + 14);
            }
        }
    }
}
