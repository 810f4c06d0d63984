//! What a viewer whose socket is full still has to get, and in which order.
//!
//! Pure: it holds bytes and cursors, and knows nothing of sockets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::log::{Account, Charge, Encoding, Node, end_of_frame};
use crate::message::Room;

/// Whole frames.
#[derive(Clone, Debug)]
pub(super) enum Chunk {
    /// A batch of the room; holding the node holds its place in the memory account.
    Node(Arc<Node>),
    /// Frames that other viewers get too.
    Shared(Arc<SharedFrames>),
    /// Frames of its own.
    Own(Bytes),
}

/// Frames outside the log's batches, counted into its memory.
#[derive(Debug)]
pub(super) struct SharedFrames {
    bytes: Bytes,
    _charge: Charge,
}

impl SharedFrames {
    pub(super) fn new(bytes: Bytes, account: &Account) -> Self {
        let charge = account.charge(bytes.len());
        Self {
            bytes,
            _charge: charge,
        }
    }
}

impl Chunk {
    fn bytes<'a>(&'a self, room: &Room, encoding: Encoding) -> &'a Bytes {
        match self {
            Self::Node(node) => node.frames(encoding, room),
            Self::Shared(frames) => &frames.bytes,
            Self::Own(bytes) => bytes,
        }
    }
}

/// What to do about a viewer that lags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lag {
    /// It may go on.
    Tolerable,
    /// It is too many bytes behind.
    TooFar,
    /// What it has not taken yet has waited for too long.
    TooLong,
}

/// How far behind a viewer may be for more than a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

/// How long a viewer may be too far behind without coming nearer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much is looked ahead: as much as is put into one write.
pub(super) const WINDOW: usize = 64 * 1024;

/// A viewer's own cursor.
#[derive(Debug)]
pub(super) struct Outbox {
    room: Room,
    encoding: Encoding,
    queue: VecDeque<Chunk>,
    /// Bytes of the first chunk that are written.
    offset: usize,
    /// Everything up to and with this node is written or queued; `None` once nothing more is to
    /// be, so that it pins nothing.
    node: Option<Arc<Node>>,
    /// A pong is queued: one answers all pings until it is written (RFC 6455, 5.5.3).
    pong: bool,
    /// A ping is queued: another one would say no more.
    ping: bool,
    /// Bytes that were taken for the viewer's socket and that it has not taken yet.
    held: usize,
    /// When the viewer came to be behind.
    since: Instant,
    /// The nearest that the viewer came to the newest, and when.
    nearest: (u64, Instant),
}

impl Outbox {
    /// A viewer that still has to get the queued chunks and then what follows `node`.
    pub(super) fn new(
        room: Room,
        encoding: Encoding,
        queue: impl Into<VecDeque<Chunk>>,
        node: Arc<Node>,
        now: Instant,
    ) -> Self {
        let mut queue: VecDeque<_> = queue.into();
        // A history without messages is no reason for a write.
        queue.retain(|chunk| !chunk.bytes(&room, encoding).is_empty());
        Self {
            room,
            encoding,
            queue,
            offset: 0,
            node: Some(node),
            pong: false,
            ping: false,
            held: 0,
            since: now,
            nearest: (u64::MAX, now),
        }
    }

    /// A viewer that took `written` bytes of the frames of `nodes` and then no more.
    pub(super) fn cut_off(
        room: Room,
        encoding: Encoding,
        nodes: &[Arc<Node>],
        written: usize,
        now: Instant,
    ) -> Option<Self> {
        let mut offset = written;
        for (index, node) in nodes.iter().enumerate() {
            let length = node.frames(encoding, &room).len();
            if offset < length {
                let rest = nodes.get(index..).unwrap_or_default();
                let queue: VecDeque<_> = rest.iter().cloned().map(Chunk::Node).collect();
                let last = Arc::clone(nodes.last()?);
                let mut outbox = Self::new(room, encoding, queue, last, now);
                outbox.offset = offset;
                return Some(outbox);
            }
            offset -= length;
        }
        // It is behind only by what it has taken and its socket has not.
        let last = Arc::clone(nodes.last()?);
        Some(Self::new(room, encoding, [], last, now))
    }

    /// The next bytes to write: up to [`WINDOW`] and at least one chunk, as one slice; `None` if
    /// nothing is left up to `newest`, the node that the others have reached.
    pub(super) fn next<'a>(
        &'a mut self,
        newest: &Arc<Node>,
        scratch: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        self.refill(newest);
        let (first, others) = {
            let mut chunks = self.queue.iter();
            (chunks.next()?, chunks)
        };
        let first = first
            .bytes(&self.room, self.encoding)
            .get(self.offset..)
            .unwrap_or_default();
        if others.len() == 0 || first.len() >= WINDOW {
            return Some(first);
        }
        scratch.clear();
        scratch.extend_from_slice(first);
        for chunk in others {
            let bytes = chunk.bytes(&self.room, self.encoding);
            if scratch.len() + bytes.len() > WINDOW {
                break;
            }
            scratch.extend_from_slice(bytes);
        }
        Some(scratch)
    }

    fn refill(&mut self, newest: &Arc<Node>) {
        let mut ahead = self.queued();
        while ahead < WINDOW
            && let Some(node) = self.node.take_if(|node| !Arc::ptr_eq(node, newest))
        {
            let Some(next) = node.next().cloned() else {
                self.node = Some(node);
                break;
            };
            ahead += next.frames(self.encoding, &self.room).len();
            self.node = Some(Arc::clone(&next));
            self.queue.push_back(Chunk::Node(next));
        }
    }

    /// Takes note that so many bytes were written; returns how many messages of batches went out
    /// whole with them.
    pub(super) fn wrote(&mut self, bytes: usize) -> usize {
        self.offset += bytes;
        let mut messages = 0;
        while let Some(first) = self.queue.front() {
            let length = first.bytes(&self.room, self.encoding).len();
            if self.offset < length {
                break;
            }
            self.offset -= length;
            if let Chunk::Node(node) = first {
                messages += node.entries.len();
            }
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.pong = false;
            self.ping = false;
        }
        messages
    }

    /// Takes note that so many bytes of what was written are not in the socket yet.
    pub(super) fn holds(&mut self, bytes: usize) {
        self.held = bytes;
    }

    /// Queues a pong behind what is queued, unless one is or the viewer is being closed.
    pub(super) fn pong(&mut self, frame: Bytes) {
        if !self.pong && !self.is_closing() {
            self.pong = true;
            self.queue.push_back(Chunk::Own(frame));
        }
    }

    /// Queues a ping likewise.
    pub(super) fn ping(&mut self, frame: Bytes) {
        if !self.ping && !self.is_closing() {
            self.ping = true;
            self.queue.push_back(Chunk::Own(frame));
        }
    }

    /// Drops everything but the rest of the frame that was begun, and queues a close frame.
    pub(super) fn close(&mut self, frame: Bytes) {
        if self.node.take().is_none() {
            return;
        }
        self.queue.truncate(usize::from(self.offset > 0));
        if let Some(first) = self.queue.pop_front() {
            let bytes = first.bytes(&self.room, self.encoding);
            let rest = bytes.get(self.offset..end_of_frame(bytes, self.offset));
            // Copied, so that it does not keep the whole batch in memory.
            let rest = Bytes::copy_from_slice(rest.unwrap_or_default());
            self.queue.push_back(Chunk::Own(rest));
        }
        self.offset = 0;
        self.queue.push_back(Chunk::Own(frame));
    }

    /// The close frame is queued or written.
    pub(super) fn is_closing(&self) -> bool {
        self.node.is_none()
    }

    fn queued(&self) -> usize {
        let chunks = self.queue.iter();
        let bytes: usize = chunks
            .map(|chunk| chunk.bytes(&self.room, self.encoding).len())
            .sum();
        bytes.saturating_sub(self.offset)
    }

    /// How many bytes the viewer is behind the node that the others have reached.
    pub(super) fn behind(&self, newest: &Arc<Node>) -> u64 {
        let reached = self.node.as_ref().unwrap_or(newest);
        let ahead = newest
            .end_bytes(self.encoding)
            .saturating_sub(reached.end_bytes(self.encoding));
        ahead + (self.queued() + self.held) as u64
    }

    /// For how long the oldest of what the viewer has not taken yet has waited for it: since it was
    /// appended, or since the viewer came, whichever was later.
    fn late(&self, now: Instant) -> Duration {
        let appended = match self.queue.front() {
            Some(Chunk::Node(node)) => Some(node.appended),
            Some(Chunk::Shared(_) | Chunk::Own(_)) => Some(self.since),
            None => self
                .node
                .as_ref()
                .and_then(|node| node.next())
                .map(|next| next.appended),
        };
        let waits = |appended: Instant| now.saturating_duration_since(appended.max(self.since));
        appended.map(waits).unwrap_or_default()
    }

    /// Judges the lag: over the limits it may be for two seconds, and for as long as it comes
    /// nearer than it had been. So one who resumes from afar and reads may catch up.
    pub(super) fn judge(&mut self, newest: &Arc<Node>, limits: Limits, now: Instant) -> Lag {
        let behind = self.behind(newest);
        let (nearest, at) = self.nearest;
        if behind < nearest {
            self.nearest = (behind, now);
            return Lag::Tolerable;
        }
        if now.saturating_duration_since(at) < PATIENCE {
            return Lag::Tolerable;
        }
        if behind > limits.bytes {
            Lag::TooFar
        } else if self.late(now) > limits.time {
            Lag::TooLong
        } else {
            Lag::Tolerable
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::{Config, Log, OpenShard};
    use crate::message::{HashKey, Message, MessageId, Position, Timestamp};

    /// A room with batches of texts; the node before them and all of them.
    fn batches(texts: &[Vec<String>]) -> (Arc<Node>, Vec<Arc<Node>>) {
        let (log, _news) = Log::new(Config::default());
        let shard = log.open_shard(OpenShard {
            name: "shardId-0".into(),
            range: (HashKey::MIN, HashKey::MAX),
            generation: 1,
            starting: 1.into(),
        });
        let room = log.room(&Room::lobby()).unwrap();
        let start = room.tail();
        let mut nodes = Vec::new();
        for (sequence, batch) in (1_u128..).zip(texts) {
            let messages = (0_u32..).zip(batch).map(|(index, text)| {
                let position = Position {
                    sequence: sequence.into(),
                    index,
                };
                Message {
                    id: MessageId::Position(position),
                    room: Room::lobby(),
                    name: None,
                    text: text.as_str().into(),
                    time: Timestamp::from_millis(0),
                    arrival: Timestamp::from_millis(0),
                    position,
                }
            });
            shard.append(messages.collect());
        }
        let mut node = Arc::clone(&start);
        while let Some(next) = node.next().cloned() {
            nodes.push(Arc::clone(&next));
            node = next;
        }
        (start, nodes)
    }

    fn all(encoding: Encoding, nodes: &[Arc<Node>]) -> Vec<u8> {
        let room = Room::lobby();
        let frames = nodes.iter().map(|n| n.frames(encoding, &room).to_vec());
        frames.collect::<Vec<_>>().concat()
    }

    fn encodings() -> impl Strategy<Value = Encoding> {
        prop::sample::select(&Encoding::ALL[..])
    }

    fn drain(outbox: &mut Outbox, newest: &Arc<Node>, sizes: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut scratch = Vec::new();
        let mut sizes = sizes.iter().cycle();
        while let Some(bytes) = outbox.next(newest, &mut scratch) {
            let size = bytes.len().min(*sizes.next().unwrap());
            out.extend_from_slice(&bytes[..size]);
            outbox.wrote(size);
        }
        out
    }

    fn texts() -> impl Strategy<Value = Vec<Vec<String>>> {
        prop::collection::vec(prop::collection::vec("[a-z]{0,200}", 1..4), 1..20)
    }

    proptest! {
        #[test]
        fn whatever_the_socket_takes_the_bytes_are_those_of_the_log(
            encoding in encodings(),
            texts in texts(),
            cut: prop::sample::Index,
            sizes in prop::collection::vec(1_usize..500, 1..10),
        ) {
            let (_start, nodes) = batches(&texts);
            let swept = 1 + cut.index(nodes.len());
            let expected = all(encoding, &nodes);
            let slice = all(encoding, &nodes[..swept]);
            let written = cut.index(slice.len());
            let mut outbox = Outbox::cut_off(
                Room::lobby(), encoding, &nodes[..swept], written, Instant::now(),
            ).unwrap();
            let newest = nodes.last().unwrap();
            prop_assert!(outbox.behind(newest) >= (slice.len() - written) as u64);
            let rest = drain(&mut outbox, newest, &sizes);
            prop_assert_eq!(&rest[..], &expected[written..]);
        }

        #[test]
        fn closing_completes_the_frame_that_was_begun_and_no_more(
            encoding in encodings(),
            texts in texts(),
            cut: prop::sample::Index,
            sizes in prop::collection::vec(1_usize..500, 1..10),
        ) {
            let (_start, nodes) = batches(&texts);
            let expected = all(encoding, &nodes);
            let written = cut.index(expected.len());
            let mut outbox = Outbox::cut_off(
                Room::lobby(), encoding, &nodes, written, Instant::now(),
            ).unwrap();
            outbox.close(Bytes::from_static(b"CLOSE"));
            outbox.pong(Bytes::from_static(b"PONG"));
            let rest = drain(&mut outbox, nodes.last().unwrap(), &sizes);
            let end = end_of_frame(&expected, written);
            prop_assert_eq!(rest, [&expected[written..end], b"CLOSE"].concat());
        }
    }

    #[test]
    fn pings_without_end_queue_one_pong() {
        let (start, nodes) = batches(&[vec!["x".into()]]);
        let mut outbox = Outbox::new(Room::lobby(), Encoding::Plain, [], start, Instant::now());
        for _ in 0..1_000 {
            outbox.pong(Bytes::from_static(b"P"));
        }
        assert_eq!(drain(&mut outbox, &nodes[0], &[7]), b"P\x81\x01x");
        outbox.pong(Bytes::from_static(b"P"));
        assert_eq!(drain(&mut outbox, &nodes[0], &[7]), b"P");
    }

    #[test]
    fn who_has_nothing_to_get_is_sent_nothing() {
        let (start, _) = batches(&[]);
        let nothing = Chunk::Own(Bytes::new());
        let node = Arc::clone(&start);
        let mut outbox = Outbox::new(
            Room::lobby(),
            Encoding::Plain,
            [nothing],
            node,
            Instant::now(),
        );
        assert_eq!(outbox.next(&start, &mut Vec::new()), None);
    }

    fn limits(bytes: u64) -> Limits {
        Limits {
            bytes,
            time: Duration::from_hours(1),
        }
    }

    #[test]
    fn who_is_far_behind_may_stay_while_it_comes_nearer() {
        let texts: Vec<_> = (0..100).map(|_| vec!["x".repeat(1_000)]).collect();
        let (start, nodes) = batches(&texts);
        let newest = nodes.last().unwrap();
        let mut now = Instant::now();
        let mut outbox = Outbox::new(Room::lobby(), Encoding::Plain, [], start, now);
        let mut scratch = Vec::new();
        for _ in 0..10 {
            assert_eq!(outbox.judge(newest, limits(1_000), now), Lag::Tolerable);
            now += PATIENCE;
            let _ = outbox.next(newest, &mut scratch);
            outbox.wrote(100);
        }
        assert_eq!(outbox.judge(newest, limits(1_000), now), Lag::Tolerable);
        now += PATIENCE;
        assert_eq!(
            outbox.judge(newest, limits(1_000_000), now),
            Lag::Tolerable,
            "not far"
        );
        assert_eq!(outbox.judge(newest, limits(1_000), now), Lag::TooFar);
    }

    #[test]
    fn who_takes_nothing_may_be_late_by_the_limit_however_little_it_is() {
        let (start, nodes) = batches(&[vec!["x".into()]]);
        let newest = nodes.last().unwrap();
        let came = Instant::now();
        let limits = Limits {
            bytes: 1_000,
            time: Duration::from_secs(10),
        };
        // It resumes from before a message that was appended a while before it came.
        let came = came + Duration::from_mins(1);
        let mut outbox = Outbox::new(Room::lobby(), Encoding::Plain, [], start, came);
        for seconds in 0..=10 {
            let now = came + Duration::from_secs(seconds);
            assert_eq!(outbox.judge(newest, limits, now), Lag::Tolerable);
        }
        let now = came + Duration::from_secs(11);
        assert_eq!(outbox.judge(newest, limits, now), Lag::TooLong);
        // Who has everything is not late, however long ago that was.
        drain(&mut outbox, newest, &[100]);
        assert_eq!(outbox.judge(newest, limits, now), Lag::Tolerable);
        let later = now + Duration::from_mins(1);
        assert_eq!(outbox.judge(newest, limits, later), Lag::Tolerable);
    }
}
