//! Reads frames from the server as they come, in pieces of any size, and keeps nothing of them but the stamps.

use crate::choices::Encoding;
use crate::stamp::{LENGTH, MARK, Stamp};

/// The longest compressed payload that is kept: more than a server sends.
const MOST: usize = 1 << 20;
/// A frame's bit that says it is compressed (RFC 7692, section 6).
const RSV1: u8 = 0x40;

/// The first byte of a text frame that is neither a part of a message nor compressed.
const WHOLE_TEXT: u8 = 0x81;

/// What a viewer learns from its bytes.
pub(crate) enum Event<'a> {
    /// A message.
    Message(Stamp),
    /// A whole payload, compressed.
    Deflated(&'a [u8]),
    /// A ping, to be answered.
    Ping(&'a [u8]),
    /// The server's goodbye, with its code.
    Close(Option<u16>),
    /// Not what a server may send.
    Nonsense,
}

/// Where a viewer is in its bytes.
pub(crate) struct Scanner {
    encoding: Encoding,
    /// The frame's head as far as it came; complete when `remaining` is known.
    head: [u8; 10],
    head_length: usize,
    /// What the frame still has; `None` within the head.
    remaining: Option<u64>,
    /// A stamp as far as it came.
    stamp: [u8; LENGTH],
    stamp_length: usize,
    /// Whether the rest of the frame is of no interest.
    skipping: bool,
    /// The payload of a control frame.
    control: [u8; 125],
    control_length: usize,
    /// A compressed payload as far as it came; holds no memory between frames.
    deflated: Vec<u8>,
    /// How many frames came to their end.
    pub(crate) frames: u64,
}

impl Scanner {
    pub(crate) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            head: [0; 10],
            head_length: 0,
            remaining: None,
            stamp: [0; LENGTH],
            stamp_length: 0,
            skipping: false,
            control: [0; 125],
            control_length: 0,
            deflated: Vec::new(),
            frames: 0,
        }
    }

    /// Takes some more bytes and says what they meant.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Event<'_>)) {
        while !bytes.is_empty() {
            let Some(remaining) = self.remaining else {
                bytes = match self.whole_message(bytes) {
                    Some((stamp, rest)) => {
                        tell(Event::Message(stamp));
                        self.frames += 1;
                        rest
                    }
                    None => self.feed_head(bytes, &mut tell),
                };
                continue;
            };
            let here = usize::try_from(remaining)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (payload, rest) = bytes.split_at(here);
            if self.is_control() {
                self.feed_control(payload);
            } else if self.is_deflated() {
                let room = MOST - self.deflated.len();
                self.deflated.extend_from_slice(&payload[..here.min(room)]);
            } else {
                self.feed_data(payload, &mut tell);
            }
            bytes = rest;
            let remaining = remaining - here as u64;
            self.remaining = Some(remaining);
            if remaining == 0 {
                self.end(&mut tell);
            }
        }
    }

    /// The message of a plain frame that begins here and lies here whole, and what comes behind it.
    ///
    /// PERFORMANCE: nearly all are such, and are looked at where they lie.
    fn whole_message<'a>(&self, bytes: &'a [u8]) -> Option<(Stamp, &'a [u8])> {
        let (&[first, second], _) = bytes.split_first_chunk()?;
        if self.head_length != 0 || self.encoding != Encoding::Plain || first != WHOLE_TEXT {
            return None;
        }
        let head = match second {
            126 => 4,
            0..126 => 2,
            _ => return None,
        };
        let length = usize::try_from(head_says(bytes.get(..head)?)?).ok()?;
        let (payload, rest) = bytes.get(head..)?.split_at_checked(length)?;
        Some((Stamp::decode(payload.first_chunk()?)?, rest))
    }

    fn opcode(&self) -> u8 {
        self.head[0] & 0x0f
    }

    fn is_control(&self) -> bool {
        self.opcode() >= 8
    }

    fn is_deflated(&self) -> bool {
        self.head[0] & RSV1 != 0
    }

    fn feed_head<'a>(&mut self, bytes: &'a [u8], tell: &mut impl FnMut(Event<'_>)) -> &'a [u8] {
        let mut taken = 0;
        for &byte in bytes {
            self.head[self.head_length] = byte;
            self.head_length += 1;
            taken += 1;
            if let Some(length) = head_says(&self.head[..self.head_length]) {
                if self.is_control() && length > 125 || self.head[1] & 0x80 != 0 {
                    tell(Event::Nonsense);
                }
                self.remaining = Some(length);
                self.skipping = false;
                self.stamp_length = 0;
                self.control_length = 0;
                if length == 0 {
                    self.end(tell);
                }
                break;
            }
        }
        &bytes[taken..]
    }

    fn feed_control(&mut self, payload: &[u8]) {
        let room = &mut self.control[self.control_length..];
        let taken = payload.len().min(room.len());
        room[..taken].copy_from_slice(&payload[..taken]);
        self.control_length += taken;
    }

    fn feed_data(&mut self, mut payload: &[u8], tell: &mut impl FnMut(Event<'_>)) {
        while !self.skipping && !payload.is_empty() {
            if self.stamp_length == 0 {
                let Some(mark) = payload.iter().position(|&byte| byte == MARK) else {
                    return;
                };
                payload = &payload[mark..];
            }
            let taken = (LENGTH - self.stamp_length).min(payload.len());
            self.stamp[self.stamp_length..self.stamp_length + taken]
                .copy_from_slice(&payload[..taken]);
            self.stamp_length += taken;
            payload = &payload[taken..];
            if self.stamp_length == LENGTH {
                self.stamp_length = 0;
                tell(Stamp::decode(&self.stamp).map_or(Event::Nonsense, Event::Message));
                // A plain frame is one message; one of chat-room.v1 may hold more.
                self.skipping = self.encoding == Encoding::Plain;
            }
        }
    }

    fn end(&mut self, tell: &mut impl FnMut(Event<'_>)) {
        self.frames += 1;
        let control = &self.control[..self.control_length];
        match self.opcode() {
            8 => tell(Event::Close(
                control.first_chunk().map(|code| u16::from_be_bytes(*code)),
            )),
            9 => tell(Event::Ping(control)),
            _ if self.is_deflated() => {
                tell(Event::Deflated(&self.deflated));
                self.deflated = Vec::new();
            }
            _ => {}
        }
        self.remaining = None;
        self.head_length = 0;
    }
}

/// The length of the payload, once the head is complete.
fn head_says(head: &[u8]) -> Option<u64> {
    match head.get(1)? & 0x7f {
        126 => head
            .get(2..)?
            .first_chunk()
            .map(|length| u64::from(u16::from_be_bytes(*length))),
        127 => head
            .get(2..)?
            .first_chunk()
            .map(|length| u64::from_be_bytes(*length)),
        small => Some(u64::from(small)),
    }
}
