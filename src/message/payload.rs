//! The JSON inside a user record: `{"id","room","name","text","time"}`.
//!
//! A superset of what the original chat-room writes (`{"text": …}`), so both can share a stream.
//! Writing is strict, reading is lenient: absent fields have defaults, unknown ones are passed
//! over, and a `"type"` that this version does not know is [`Payload::Unknown`], not an error, so
//! that versions can be mixed. `"type": "heartbeat"` is an instance's [`Heartbeat`].

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Heartbeat, InvalidRoom, Name, Room, Text, Timestamp};

/// A message on its way into the stream: checked, but without a position yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its id, the client's or one that the server made.
    pub id: Uuid,
    /// The room it goes to.
    pub room: Room,
    /// Who writes it.
    pub name: Option<Name>,
    /// What it says.
    pub text: Text,
    /// When it was taken.
    pub time: Timestamp,
}

#[derive(Serialize)]
struct Written<'a> {
    id: Uuid,
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    text: &'a str,
    time: String,
}

impl Draft {
    /// The user record's data.
    pub fn encode(&self) -> Vec<u8> {
        let written = Written {
            id: self.id,
            room: self.room.as_str(),
            name: self.name.as_ref().map(Name::as_str),
            text: self.text.as_str(),
            time: self.time.to_string(),
        };
        // Strings and a UUID: there is nothing in it that JSON could refuse.
        serde_json::to_vec(&written).unwrap_or_default()
    }
}

/// What a user record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A chat message.
    Message(Content),
    /// An instance says that it lives.
    Heartbeat(Heartbeat),
    /// Something of a type that this version does not know.
    Unknown,
}

/// A chat message as it stands in a record; what is absent gets its default from the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its id; absent in the original's records.
    pub id: Option<Uuid>,
    /// Its room; the lobby if absent.
    pub room: Room,
    /// Who wrote it.
    pub name: Option<Box<str>>,
    /// What it says.
    pub text: Box<str>,
    /// When it was taken; absent in the original's records.
    pub time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Read {
    #[serde(rename = "type")]
    kind: Option<serde::de::IgnoredAny>,
    id: Option<Uuid>,
    room: Option<Box<str>>,
    name: Option<Box<str>>,
    text: Option<Box<str>>,
    time: Option<Box<str>>,
}

/// Reads a user record's data.
///
/// # Errors
/// [`PayloadError`] if it is no JSON object of the kind, or lacks a text.
pub fn decode(data: &[u8]) -> Result<Payload, PayloadError> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: Option<serde::de::IgnoredAny>,
    }
    let read: Read = match serde_json::from_slice(data) {
        Ok(read) => read,
        // Another type's fields may have our names and other types: look at the type alone.
        Err(error) => {
            return match serde_json::from_slice::<Kind>(data) {
                Ok(Kind { kind: Some(_) }) => Ok(typed(data)),
                _ => Err(error.into()),
            };
        }
    };
    if read.kind.is_some() {
        return Ok(typed(data));
    }
    let time = read.time.map(|time| time.parse()).transpose();
    Ok(Payload::Message(Content {
        id: read.id,
        room: read.room.as_deref().map_or(Ok(Room::lobby()), Room::new)?,
        name: read.name.filter(|name| !name.is_empty()),
        text: read.text.ok_or(PayloadError::NoText)?,
        time: time.map_err(|_| PayloadError::Time)?,
    }))
}

/// What says that it is of some type.
fn typed(data: &[u8]) -> Payload {
    Heartbeat::decode(data).map_or(Payload::Unknown, Payload::Heartbeat)
}

/// Why a user record's data is no message. Never shows the data itself.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// It is not JSON, or a field has the wrong type.
    #[error("not a message in JSON: line {}, column {}", .0.line(), .0.column())]
    Json(#[from] serde_json::Error),
    /// It has no text.
    #[error("the field \"text\" is missing")]
    NoText,
    /// Its room's name is not allowed.
    #[error("the field \"room\": {0}")]
    Room(#[from] InvalidRoom),
    /// Its time is not RFC 3339.
    #[error("the field \"time\" is not RFC 3339 in UTC")]
    Time,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(data: &str) -> Content {
        match decode(data.as_bytes()) {
            Ok(Payload::Message(message)) => message,
            other => panic!("{data}: {other:?}"),
        }
    }

    #[test]
    fn the_originals_record_is_a_message_in_the_lobby() {
        let message = message(r#"{"text":"hello"}"#);
        assert_eq!(message.room, Room::lobby());
        assert_eq!(&*message.text, "hello");
        assert_eq!((message.id, message.name, message.time), (None, None, None));
    }

    #[test]
    fn another_type_is_passed_over_whatever_its_fields_are() {
        for data in [
            r#"{"type":"heartbeat"}"#,
            r#"{"type":"x","text":5}"#,
            r#"{"type":7}"#,
        ] {
            assert_eq!(decode(data.as_bytes()).unwrap(), Payload::Unknown, "{data}");
        }
    }

    #[test]
    fn what_is_no_message_is_an_error_and_never_a_panic() {
        for data in [
            "",
            "null",
            "[]",
            "5",
            "{",
            r#"{"text":5}"#,
            "{}",
            r#"{"text":"a","room":"/"}"#,
            r#"{"text":"a","id":"7"}"#,
            r#"{"text":"a","time":"noon"}"#,
            "\u{feff}{}",
        ] {
            assert!(decode(data.as_bytes()).is_err(), "{data}");
        }
        assert!(decode(b"{\"text\":\"\xff\"}").is_err());
        assert!(decode("[".repeat(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn every_text_survives_the_round_trip(text in "(?s).{1,200}", name in "\\PC{0,20}") {
            let Ok(text) = Text::new(text) else { return Ok(()) };
            let Ok(name) = Name::new(name) else { return Ok(()) };
            let draft = Draft {
                id: Uuid::new_v4(),
                room: Room::new("r").unwrap(),
                name,
                text,
                time: Timestamp::from_millis(1_764_000_000_007),
            };
            let Ok(Payload::Message(read)) = decode(&draft.encode()) else { panic!() };
            prop_assert_eq!(&*read.text, draft.text.as_str());
            prop_assert_eq!(read.name.as_deref(), draft.name.as_ref().map(Name::as_str));
            prop_assert_eq!(read.id, Some(draft.id));
            prop_assert_eq!(read.time, Some(draft.time));
        }

        #[test]
        fn no_bytes_panic(data: Vec<u8>) {
            let _ = decode(&data);
        }
    }
}
