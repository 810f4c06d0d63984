//! How viewers want their messages, and what there is for each of these ways.

use bytes::Bytes;
use metrics::counter;

use super::{Entry, deflate, frame};
use crate::message::Room;
use crate::telemetry::names;

/// How a viewer wants its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// No subprotocol: one text frame a message, holding its text only, as the original serves it.
    Plain,
    /// `chat-room.v1`: JSON frames with as many messages as were coalesced.
    V1,
    /// The frames of `chat-room.v1`, those compressed for which it pays (permessage-deflate).
    V1Deflate,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::V1, Self::V1Deflate];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::V1 => "v1",
            Self::V1Deflate => "v1-deflate",
        }
    }

    /// Whether it is `chat-room.v1`, which tells viewers positions.
    pub fn is_v1(self) -> bool {
        self != Self::Plain
    }

    /// Whether permessage-deflate was negotiated.
    pub fn is_compressed(self) -> bool {
        self == Self::V1Deflate
    }

    /// The same without compression, which every client understands who understands this one.
    #[must_use]
    pub fn uncompressed(self) -> Self {
        match self {
            Self::Plain => Self::Plain,
            Self::V1 | Self::V1Deflate => Self::V1,
        }
    }

    /// Encodes messages of one room, oldest first, as whole frames.
    pub fn encode(self, room: &Room, entries: &[Entry]) -> Bytes {
        self.count();
        match self {
            Self::Plain => frame::texts(entries),
            Self::V1 => frame::messages(room, entries),
            Self::V1Deflate => deflate::compress(&frame::messages(room, entries)),
        }
    }

    /// Encodes messages from their frames in [`V1`](Self::V1), for [`V1Deflate`](Self::V1Deflate).
    pub(super) fn compress(v1: &Bytes) -> Bytes {
        Self::V1Deflate.count();
        deflate::compress(v1)
    }

    fn count(self) {
        counter!(names::LOG_ENCODINGS, "encoding" => self.as_str()).increment(1);
    }
}

/// Something for each encoding.
#[derive(Clone, Debug, Default)]
pub struct PerEncoding<T> {
    plain: T,
    v1: T,
    v1_deflate: T,
}

impl<T> PerEncoding<T> {
    /// What `make` makes for each.
    pub fn new(mut make: impl FnMut(Encoding) -> T) -> Self {
        Self {
            plain: make(Encoding::Plain),
            v1: make(Encoding::V1),
            v1_deflate: make(Encoding::V1Deflate),
        }
    }

    /// What there is for this one.
    pub fn of(&self, encoding: Encoding) -> &T {
        match encoding {
            Encoding::Plain => &self.plain,
            Encoding::V1 => &self.v1,
            Encoding::V1Deflate => &self.v1_deflate,
        }
    }

    /// What there is for this one, to be changed.
    pub fn of_mut(&mut self, encoding: Encoding) -> &mut T {
        match encoding {
            Encoding::Plain => &mut self.plain,
            Encoding::V1 => &mut self.v1,
            Encoding::V1Deflate => &mut self.v1_deflate,
        }
    }
}
