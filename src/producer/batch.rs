//! Packing: from the front of a queue into the records of one call.

use std::collections::HashMap;

use bytes::Bytes;

use super::lanes::Limits;
use super::queue::{Queue, Waiting};
use crate::kinesis::PutEntry;
use crate::kinesis::kpl::Aggregate;
use crate::message::Room;

/// How many messages are passed over, because their room's record is full, before packing ends.
/// It bounds the work when one busy room fills the queue; the front moves on with every call.
const MAX_PASSED_OVER: usize = 1_024;

/// One record of a call while it is filled.
#[derive(Debug)]
struct Filling<T> {
    messages: Vec<Waiting<T>>,
    aggregate: Aggregate,
}

impl<T> Filling<T> {
    fn new() -> Self {
        Self {
            messages: Vec::new(),
            aggregate: Aggregate::new(),
        }
    }

    /// The partition key: the first room. All rooms in it belong to the same shard.
    fn key(&self) -> &str {
        self.messages
            .first()
            .map_or("", |first| first.room.as_str())
    }

    /// What counts against the limits: data and partition key.
    fn size(&self) -> usize {
        match self.messages.as_slice() {
            [] => 0,
            [alone] => plain_size(alone),
            _ => self.aggregate.size() + self.key().len(),
        }
    }

    fn size_with(&self, message: &Waiting<T>) -> usize {
        if self.messages.is_empty() {
            return plain_size(message);
        }
        let room = message.room.as_str();
        self.aggregate.size_with(room, message.data.len()) + self.key().len()
    }

    fn push(&mut self, message: Waiting<T>) {
        self.aggregate
            .push(message.room.as_str(), message.data.clone());
        self.messages.push(message);
    }

    /// What is sent, and the messages that wait for what becomes of it.
    fn finish(self) -> (Record, Vec<Waiting<T>>) {
        let partition_key = self.key().to_owned();
        let content = match self.messages.as_slice() {
            [alone] => Content::Plain(alone.data.clone()),
            _ => Content::Aggregate(self.aggregate),
        };
        let record = Record {
            partition_key,
            content,
        };
        (record, self.messages)
    }
}

/// A record that is packed but not encoded yet: encoding is work for whoever makes the call.
#[derive(Debug)]
pub struct Record {
    partition_key: String,
    content: Content,
}

/// A message alone is a plain record, which anybody can read; more are an aggregate.
#[derive(Debug)]
enum Content {
    Plain(Bytes),
    Aggregate(Aggregate),
}

impl Record {
    /// How many messages are in it.
    pub fn messages(&self) -> usize {
        match &self.content {
            Content::Plain(_) => 1,
            Content::Aggregate(aggregate) => aggregate.len(),
        }
    }

    /// The record as it is put.
    pub fn encode(self) -> PutEntry {
        PutEntry {
            partition_key: self.partition_key,
            data: match self.content {
                Content::Plain(data) => data.into(),
                Content::Aggregate(aggregate) => aggregate.encode(),
            },
        }
    }
}

fn plain_size<T>(message: &Waiting<T>) -> usize {
    message.room.as_str().len() + message.data.len()
}

/// What packing came to: the records, the messages of each, and the size that counts against
/// the limits.
#[derive(Debug)]
pub(super) struct Batch<T> {
    pub(super) records: Vec<Record>,
    pub(super) messages: Vec<Vec<Waiting<T>>>,
    pub(super) bytes: usize,
}

/// Takes from the queue what goes into the next call. The rest stays, in its order.
///
/// A room is in one record only: a message that does not fit into its room's record stays, and
/// so does every later one of that room.
pub(super) fn take<T>(queue: &mut Queue<T>, limits: &Limits) -> Batch<T> {
    // Which record a room is in; `None` once that is full.
    let mut rooms: HashMap<Room, Option<usize>> = HashMap::new();
    let mut records: Vec<Filling<T>> = Vec::new();
    let mut total = 0;
    let mut passed_over = Vec::new();
    while let Some(message) = queue.pop() {
        let fits = |at: usize| {
            let record = records.get(at);
            record.is_some_and(|record| record.size_with(&message) <= limits.record_target)
        };
        let last = records.len().saturating_sub(1);
        let known = rooms.get(&message.room).copied();
        let at = match known {
            None if fits(last) => last,
            None if records.len() < limits.call_records => records.len(),
            Some(Some(at)) if fits(at) => at,
            None => {
                passed_over.push(message);
                break;
            }
            Some(_) => {
                rooms.insert(message.room.clone(), None);
                passed_over.push(message);
                if passed_over.len() >= MAX_PASSED_OVER {
                    break;
                }
                continue;
            }
        };
        let (before, after) = match records.get(at) {
            Some(record) => (record.size(), record.size_with(&message)),
            None => (0, plain_size(&message)),
        };
        // The first message goes whatever its size: it was checked when it was taken.
        if total - before + after > limits.call_bytes && !records.is_empty() {
            passed_over.push(message);
            break;
        }
        total = total - before + after;
        if known.is_none() {
            rooms.insert(message.room.clone(), Some(at));
        }
        if at == records.len() {
            records.push(Filling::new());
        }
        if let Some(record) = records.get_mut(at) {
            record.push(message);
        }
    }
    queue.put_back(passed_over);
    let (records, messages) = records.into_iter().map(Filling::finish).unzip();
    Batch {
        records,
        messages,
        bytes: total,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        record_target: 100,
        call_records: 3,
        call_bytes: 250,
    };

    fn queue(messages: &[(&str, usize)]) -> Queue<()> {
        let mut queue = Queue::new();
        for (order, (room, bytes)) in (0..).zip(messages) {
            queue.push(Waiting {
                order,
                room: Room::new(room).unwrap(),
                data: Bytes::from(vec![b'x'; *bytes]),
                misroutes: 0,
                tag: (),
            });
        }
        queue
    }

    fn orders(batch: &Batch<()>) -> Vec<Vec<u64>> {
        let of = |messages: &Vec<Waiting<()>>| messages.iter().map(|m| m.order).collect();
        batch.messages.iter().map(of).collect()
    }

    #[test]
    fn a_room_whose_record_is_full_waits_while_others_go() {
        let mut queue = queue(&[("a", 50), ("a", 50), ("a", 1), ("b", 10), ("c", 60)]);
        let batch = take(&mut queue, &LIMITS);
        // The third message would fit, but not before the second.
        assert_eq!(orders(&batch), [vec![0, 3], vec![4]]);
        let sizes: usize = batch
            .records
            .into_iter()
            .map(|record| record.encode().data.len() + 1)
            .sum();
        assert_eq!(batch.bytes, sizes);
        assert_eq!(orders(&take(&mut queue, &LIMITS)), [vec![1, 2]]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_message_above_the_target_has_a_record_of_its_own() {
        let mut queue = queue(&[("a", 500), ("b", 5), ("c", 500)]);
        let batch = take(&mut queue, &LIMITS);
        assert_eq!(orders(&batch), [vec![0]]);
        assert_eq!(batch.bytes, 501);
        assert_eq!(
            batch
                .records
                .into_iter()
                .next()
                .unwrap()
                .encode()
                .data
                .len(),
            500
        );
        assert_eq!(orders(&take(&mut queue, &LIMITS)), [vec![1]]);
        assert_eq!(orders(&take(&mut queue, &LIMITS)), [vec![2]]);
    }

    #[test]
    fn a_call_has_no_more_records_than_allowed() {
        let mut queue = queue(&[("a", 70), ("b", 70), ("c", 70), ("d", 30), ("a", 1)]);
        let batch = take(&mut queue, &LIMITS);
        assert_eq!(orders(&batch), [vec![0], vec![1], vec![2]]);
        assert_eq!(orders(&take(&mut queue, &LIMITS)), [vec![3, 4]]);
    }
}
