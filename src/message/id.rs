//! A message's identity.

use std::fmt;

use uuid::Uuid;

use super::Position;

/// What identifies a message within its room.
///
/// Messages published through this program carry a UUID, the client's or one the server made.
/// A record that another writer put on the stream without an id is identified by its position,
/// which is unique as well and the same on every instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// The id in the record.
    Uuid(Uuid),
    /// The record had none: its position stands in.
    Position(Position),
}

impl MessageId {
    /// The UUID, where the record carried one: only such a message can be a repeat.
    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Self::Uuid(id) => Some(*id),
            Self::Position(_) => None,
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(id) => id.fmt(f),
            Self::Position(position) => position.fmt(f),
        }
    }
}
