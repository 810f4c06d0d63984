//! The vocabulary that every stage shares: what a room, a message and a position are.
//!
//! # What
//! Validated newtypes. A value of one of these types has passed its checks, so that no later
//! stage checks again: whoever holds a [`Room`] holds a name that may stand in a URL.
//!
//! # Limits
//! Room names have 1–64 characters of `A-Za-z0-9._~-`, names of people at most 64 characters,
//! texts 1–2,000. They bind what is *published here*; what other writers put on the stream is
//! taken as it is (see [`payload`]), for a message that is on the stream has happened.

mod heartbeat;
mod id;
mod position;
mod room;
mod text;
mod time;

pub mod payload;

pub use heartbeat::Heartbeat;
pub use id::MessageId;
pub use position::{ParsePositionError, Position, SequenceNumber};
pub use room::{HashKey, InvalidRoom, Room};
pub use text::{InvalidText, MAX_NAME_CHARS, MAX_TEXT_CHARS, Name, Text};
pub use time::Timestamp;

/// A message as it was read from the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its identity within its room.
    pub id: MessageId,
    /// The room it was written to.
    pub room: Room,
    /// Who wrote it, if it says so.
    pub name: Option<Box<str>>,
    /// What it says.
    pub text: Box<str>,
    /// When the server that took it saw it, or when the stream did.
    pub time: Timestamp,
    /// When it arrived in the stream; [`time`](Self::time), if the stream does not say.
    pub arrival: Timestamp,
    /// Where it stands in the stream.
    pub position: Position,
}
