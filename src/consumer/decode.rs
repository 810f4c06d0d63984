//! From a record to the messages in it.
//!
//! Nothing that a record may hold stops its shard: what is no message is counted, told of now and
//! then (with its sequence number, never with its data) and passed over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::metrics::{Counter, counter};

use super::reaper::Heard;
use crate::kinesis::{HashKeyRange, Record, ShardId, kpl};
use crate::message::payload::{self, Content, Payload};
use crate::message::{Message, MessageId, Position, Timestamp};
use crate::telemetry::names;

/// Decodes the records of one shard.
#[derive(Debug)]
pub(super) struct Decoder {
    shard: ShardId,
    range: HashKeyRange,
    heard: Arc<Heard>,
    user_records: Counter,
    misrouted: Counter,
    undecodable: Counter,
    unknown_type: Counter,
    about_misrouted: NowAndThen,
    about_undecodable: NowAndThen,
}

impl Decoder {
    /// `interval`: how often at most a warning of one kind is written.
    pub(super) fn new(
        shard: ShardId,
        range: HashKeyRange,
        heard: Arc<Heard>,
        interval: Duration,
    ) -> Self {
        let outcome =
            |outcome: &'static str| counter!(names::CONSUMER_MESSAGES, "outcome" => outcome);
        Self {
            shard,
            range,
            heard,
            user_records: counter!(names::CONSUMER_USER_RECORDS),
            misrouted: outcome("misrouted"),
            undecodable: outcome("undecodable"),
            unknown_type: outcome("unknown_type"),
            about_misrouted: NowAndThen::new(interval),
            about_undecodable: NowAndThen::new(interval),
        }
    }

    /// Gives the record's messages, in order.
    pub(super) fn decode(&mut self, record: &Record, now: Instant, mut sink: impl FnMut(Message)) {
        for user_record in kpl::decode(record) {
            self.user_records.increment(1);
            match payload::decode(&user_record.data) {
                Ok(Payload::Message(content)) => {
                    let key = content.room.hash_key();
                    if self.range.contains(key) {
                        sink(message(content, record, user_record.index));
                    } else {
                        self.misrouted(record, now);
                    }
                }
                Ok(Payload::Heartbeat(heartbeat)) => {
                    if let Some(arrival) = arrival(record) {
                        self.heard.hear(&heartbeat, arrival);
                    }
                }
                Ok(Payload::Unknown) => self.unknown_type.increment(1),
                Err(error) => self.undecodable(record, &error, now),
            }
        }
    }

    fn misrouted(&mut self, record: &Record, now: Instant) {
        self.misrouted.increment(1);
        if let Some(more) = self.about_misrouted.is_due(now) {
            tracing::warn!(
                shard = %self.shard, sequence = %record.sequence, more,
                "skipped a message whose room belongs to another shard; its writer must use the \
                 room as partition key"
            );
        }
    }

    fn undecodable(&mut self, record: &Record, error: &payload::PayloadError, now: Instant) {
        self.undecodable.increment(1);
        if let Some(more) = self.about_undecodable.is_due(now) {
            tracing::warn!(
                shard = %self.shard, sequence = %record.sequence, %error, more,
                "skipped a record that is no message"
            );
        }
    }
}

fn message(content: Content, record: &Record, index: u32) -> Message {
    let position = Position {
        sequence: record.sequence,
        index,
    };
    let time = content.time.unwrap_or(record.arrival);
    Message {
        id: content
            .id
            .map_or(MessageId::Position(position), MessageId::Uuid),
        room: content.room,
        name: content.name,
        text: content.text,
        time,
        arrival: arrival(record).unwrap_or(time),
        position,
    }
}

/// When the stream took the record; none if it does not say.
pub(super) fn arrival(record: &Record) -> Option<Timestamp> {
    (record.arrival.as_millis() > 0).then_some(record.arrival)
}

/// Lets something be told once an interval.
#[derive(Debug)]
pub(super) struct NowAndThen {
    interval: Duration,
    told: Option<Instant>,
    untold: u64,
}

impl NowAndThen {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            told: None,
            untold: 0,
        }
    }

    /// Whether it is to be told now, and how often it was not since it was told last.
    pub(super) fn is_due(&mut self, now: Instant) -> Option<u64> {
        let due = |told: Instant| now.saturating_duration_since(told) >= self.interval;
        if self.told.is_none_or(due) {
            self.told = Some(now);
            Some(std::mem::take(&mut self.untold))
        } else {
            self.untold += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::super::orphans::Orphans;
    use super::*;
    use crate::message::{HashKey, Room};

    fn record(data: impl Into<Bytes>) -> Record {
        Record {
            sequence: 7.into(),
            partition_key: "lobby".into(),
            data: data.into(),
            arrival: Timestamp::from_millis(5_000),
        }
    }

    fn decode(range: HashKeyRange, record: &Record) -> Vec<Message> {
        let heard = Heard::new(Orphans::new(Uuid::nil(), Duration::from_mins(10)));
        let interval = Duration::from_secs(30);
        let mut decoder = Decoder::new("s".into(), range, Arc::new(heard), interval);
        let mut messages = vec![];
        decoder.decode(record, Instant::now(), |message| messages.push(message));
        messages
    }

    #[test]
    fn what_a_plain_record_lacks_is_taken_from_where_it_stands() {
        let messages = decode(HashKeyRange::ALL, &record(r#"{"text":"hello"}"#));
        let position = "7.0".parse().unwrap();
        assert_eq!(
            messages,
            [Message {
                id: MessageId::Position(position),
                room: Room::lobby(),
                name: None,
                text: "hello".into(),
                time: Timestamp::from_millis(5_000),
                arrival: Timestamp::from_millis(5_000),
                position,
            }]
        );
    }

    #[test]
    fn the_messages_of_an_aggregate_count_from_zero_and_the_others_among_them_count_too() {
        let mut aggregate = kpl::Aggregate::new();
        for data in [
            r#"{"text":"a"}"#,
            "garbage",
            r#"{"type":"new"}"#,
            r#"{"text":"b"}"#,
        ] {
            aggregate.push("lobby", Bytes::from_static(data.as_bytes()));
        }
        let messages = decode(HashKeyRange::ALL, &record(aggregate.encode()));
        let positions = messages.iter().map(|m| m.position.to_string());
        assert_eq!(positions.collect::<Vec<_>>(), ["7.0", "7.3"]);
    }

    #[test]
    fn a_message_counts_only_in_the_shard_that_owns_its_room() {
        let lobby = Room::lobby().hash_key();
        let data = record(r#"{"text":"hello"}"#);
        let range = |start, end| HashKeyRange { start, end };
        assert_eq!(decode(range(lobby, lobby), &data).len(), 1);
        let above = HashKey(lobby.0 + 1);
        assert!(decode(range(above, HashKey::MAX), &data).is_empty());
    }

    #[test]
    fn a_warning_is_written_once_an_interval_with_the_number_of_those_that_were_not() {
        let mut now = Instant::now();
        let mut warnings = NowAndThen::new(Duration::from_secs(30));
        assert_eq!(warnings.is_due(now), Some(0));
        for _ in 0..5 {
            now += Duration::from_secs(5);
            assert_eq!(warnings.is_due(now), None);
        }
        now += Duration::from_secs(5);
        assert_eq!(warnings.is_due(now), Some(5));
    }
}
