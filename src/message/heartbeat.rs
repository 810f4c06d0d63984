//! What an instance says of itself on the stream, so that the others know that it lives.
//!
//! JSON like a message's, with `"type": "heartbeat"`: who does not know the type passes it over.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Room, Timestamp};

/// The value of `"type"`.
const KIND: &str = "heartbeat";
/// The longest name a registered consumer can have.
/// Source: the Kinesis API reference, `RegisterStreamConsumer`.
const MAX_CONSUMER: usize = 128;

/// That an instance lives, and which registered consumer it reads with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The instance: another one after every start.
    pub instance: Uuid,
    /// The name of its registered consumer, while it has one.
    pub consumer: Option<Box<str>>,
}

#[derive(Serialize)]
struct Written<'a> {
    r#type: &'static str,
    instance: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<&'a str>,
    version: &'static str,
    time: String,
}

#[derive(Deserialize)]
struct Read {
    r#type: Box<str>,
    instance: Uuid,
    consumer: Option<Box<str>>,
}

impl Heartbeat {
    /// Whose partition key heartbeats have: one for all of them, so that they share a shard, and
    /// with it a clock and a fate. While that shard takes none, nobody's is missed alone.
    pub fn room() -> Room {
        Room::heartbeats()
    }

    /// The user record's data. `now` is for people; nothing is judged by it.
    pub fn encode(&self, now: Timestamp) -> Vec<u8> {
        let written = Written {
            r#type: KIND,
            instance: self.instance,
            consumer: self.consumer.as_deref(),
            version: env!("CARGO_PKG_VERSION"),
            time: now.to_string(),
        };
        // Strings and a UUID: there is nothing in it that JSON could refuse.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// A user record's data, if it is a heartbeat that this version understands.
    pub(super) fn decode(data: &[u8]) -> Option<Self> {
        let read: Read = serde_json::from_slice(data).ok()?;
        let is_name = |name: &str| (1..=MAX_CONSUMER).contains(&name.len());
        let fits = read.consumer.as_deref().is_none_or(is_name);
        (&*read.r#type == KIND && fits).then_some(Self {
            instance: read.instance,
            consumer: read.consumer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::payload::{self, Payload};

    #[test]
    fn a_heartbeat_is_read_as_it_was_written() {
        for consumer in [None, Some("chat-room-a-0123".into())] {
            let beat = Heartbeat {
                instance: Uuid::new_v4(),
                consumer,
            };
            let data = beat.encode(Timestamp::from_millis(1_764_000_000_007));
            assert_eq!(
                payload::decode(&data).unwrap(),
                Payload::Heartbeat(beat.clone())
            );
        }
    }

    #[test]
    fn its_bytes_are_those_that_other_versions_know() {
        let beat = Heartbeat {
            instance: Uuid::nil(),
            consumer: Some("c".into()),
        };
        let text = String::from_utf8(beat.encode(Timestamp::from_millis(0))).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text,
            format!(
                r#"{{"type":"heartbeat","instance":"00000000-0000-0000-0000-000000000000","consumer":"c","version":"{version}","time":"1970-01-01T00:00:00.000Z"}}"#
            )
        );
    }

    #[test]
    fn what_only_looks_like_one_is_of_an_unknown_type() {
        let long = format!(
            r#"{{"type":"heartbeat","instance":"{}","consumer":"{}"}}"#,
            Uuid::nil(),
            "x".repeat(129)
        );
        for data in [
            r#"{"type":"heartbeat"}"#,
            r#"{"type":"heartbeat","instance":"7"}"#,
            r#"{"type":"heart","instance":"00000000-0000-0000-0000-000000000000"}"#,
            r#"{"type":7,"instance":"00000000-0000-0000-0000-000000000000"}"#,
            &long,
        ] {
            assert_eq!(payload::decode(data.as_bytes()).unwrap(), Payload::Unknown);
        }
    }
}
