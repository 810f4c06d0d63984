//! What messages say: their room, their publisher and their number, so that each can be told by its text alone.

use serde::Deserialize;

use crate::checker::Key;

/// The text of a message.
pub(crate) fn of(room: &str, key: Key) -> String {
    format!("{room} {} {}", key.publisher, key.number)
}

/// The room that a text names, and its message.
pub(crate) fn parse(text: &str) -> Option<(&str, Key)> {
    let mut parts = text.split(' ');
    let room = parts.next()?;
    let publisher = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    Some((room, Key { publisher, number }))
}

/// The same of a record's payload; the room is the one that the payload names.
pub(crate) fn of_payload(data: &[u8]) -> Option<(String, Key)> {
    #[derive(Deserialize)]
    struct Payload {
        room: String,
        text: String,
    }
    let payload: Payload = serde_json::from_slice(data).ok()?;
    let (_, key) = parse(&payload.text)?;
    Some((payload.room, key))
}
