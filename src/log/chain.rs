//! The append-only chain of a room: immutable batches, each linked to the next once.
//!
//! # How
//! A reader holds a node and follows `next`; a writer holds the last node and sets its `next`.
//! [`OnceLock`] is what they meet in: set once, read without a lock. A node is freed when neither
//! the room nor a cursor can reach it; the memory it held leaves the account at that moment.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use super::memory::{Account, Charge};
use super::{Encoding, PerEncoding};
use crate::message::{Message, MessageId, Position, Room, SequenceNumber, Timestamp};

/// A message as its room keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its identity within the room.
    pub id: MessageId,
    /// Who wrote it.
    pub name: Option<Box<str>>,
    /// What it says.
    pub text: Box<str>,
    /// When it was taken.
    pub time: Timestamp,
    /// When it arrived in the stream.
    pub arrival: Timestamp,
    /// Where it stands in the stream.
    pub position: Position,
}

impl Entry {
    /// About the bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.text.len() + self.name.as_ref().map_or(0, |name| name.len())
    }
}

impl From<Message> for Entry {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            name: message.name,
            text: message.text,
            time: message.time,
            arrival: message.arrival,
            position: message.position,
        }
    }
}

/// A position along a room's chain of shards: the shard decides first (DESIGN: positions).
///
/// `generation` grows from every shard to its children, so of two shards that owned the room one
/// after the other the later one has the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Of the shard.
    pub generation: u32,
    /// Within the shard.
    pub position: Position,
}

impl LogPosition {
    /// Before everything.
    pub const START: Self = Self {
        generation: 0,
        position: Position {
            sequence: SequenceNumber::ZERO,
            index: 0,
        },
    };
}

/// A batch of a room's messages and the link to the next.
#[derive(Debug)]
pub struct Node {
    /// How many messages the room has had, up to and with this node.
    pub ordinal: u64,
    /// Where its last message stands.
    pub end: LogPosition,
    /// Its messages, oldest first; none in the node that starts a chain.
    pub entries: Box<[Entry]>,
    /// When it was appended.
    pub appended: Instant,
    /// For each encoding, how many bytes the room has had up to and with this node. Exact where
    /// somebody listened, else an estimate: lag is measured with it, not offsets.
    ends: PerEncoding<u64>,
    frames: PerEncoding<OnceLock<Bytes>>,
    /// What it weighed when it was appended.
    weight: usize,
    /// What it holds: more, once an encoding was asked for later.
    charge: Charge,
    next: OnceLock<Arc<Node>>,
}

impl Node {
    /// The node before a room's first, or in place of what was dropped before `next`.
    pub fn start(account: &Account, ordinal: u64, end: LogPosition, now: Instant) -> Self {
        Self {
            ordinal,
            end,
            entries: Box::default(),
            appended: now,
            ends: PerEncoding::default(),
            frames: PerEncoding::default(),
            weight: 0,
            charge: account.charge(size_of::<Self>()),
            next: OnceLock::new(),
        }
    }

    /// A node that stands where this one stood, without its messages.
    pub(super) fn hollow(&self, account: &Account, next: Arc<Node>) -> Self {
        let mut hollow = Self::start(account, self.ordinal, self.end, self.appended);
        hollow.ends = self.ends.clone();
        let linked = hollow.next.set(next);
        debug_assert!(linked.is_ok(), "a fresh node has no next");
        hollow
    }

    /// What follows this node, encoded for those encodings that `wanted` says are listened to.
    pub(super) fn following(
        &self,
        account: &Account,
        room: &Room,
        generation: u32,
        entries: Box<[Entry]>,
        wanted: &PerEncoding<bool>,
        now: Instant,
    ) -> Self {
        let weight: usize = entries.iter().map(Entry::weight).sum();
        let position = entries.last().map_or(self.end.position, |e| e.position);
        let end = LogPosition {
            generation,
            position,
        };
        let mut node = Self::start(account, self.ordinal + entries.len() as u64, end, now);
        node.entries = entries;
        node.ends = self.ends.clone();
        node.charge.add(weight);
        for encoding in Encoding::ALL {
            let bytes = if *wanted.of(encoding) {
                node.frames(encoding, room).len()
            } else {
                weight
            };
            *node.ends.of_mut(encoding) += bytes as u64;
        }
        node.weight = node.charge.bytes();
        node
    }

    /// The node's messages as whole frames; encoded at most once.
    pub fn frames(&self, encoding: Encoding, room: &Room) -> &Bytes {
        self.frames.of(encoding).get_or_init(|| {
            let v1 = self.frames.of(Encoding::V1).get();
            let frames = match v1 {
                Some(v1) if encoding.is_compressed() => Encoding::compress(v1),
                _ => encoding.encode(room, &self.entries),
            };
            // What is too small to be compressed is shared.
            if v1.is_none_or(|v1| v1.as_ptr() != frames.as_ptr()) {
                self.charge.add(frames.len());
            }
            frames
        })
    }

    /// How many bytes of an encoding the room has had, up to and with this node.
    pub fn end_bytes(&self, encoding: Encoding) -> u64 {
        *self.ends.of(encoding)
    }

    /// The memory it held when it was appended, the same for as long as it lives.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// What was appended after it, if anything was.
    pub fn next(&self) -> Option<&Arc<Self>> {
        self.next.get()
    }

    /// Links the next node; the one appender of a room calls this, once a node.
    pub(super) fn link(&self, next: Arc<Self>) {
        let linked = self.next.set(next);
        debug_assert!(linked.is_ok(), "a node is linked once");
    }
}

impl Drop for Node {
    /// Frees a chain one by one: the compiler's way would take a stack frame for every node.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(node) = next {
            next = Arc::into_inner(node).and_then(|mut node| node.next.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_nodes_are_freed_on_a_small_stack() {
        let account = Account::default();
        let now = Instant::now();
        let head = Arc::new(Node::start(&account, 0, LogPosition::START, now));
        let mut tail = Arc::clone(&head);
        for _ in 0..1_000_000 {
            let node = Arc::new(Node::start(&account, 0, LogPosition::START, now));
            tail.link(Arc::clone(&node));
            tail = node;
        }
        drop(tail);
        assert!(account.bytes() > 1_000_000);
        std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(move || drop(head))
            .unwrap()
            .join()
            .unwrap();
        assert_eq!(account.bytes(), 0);
    }
}
