//! What the log knows of the shards: which part of the hash space each owned, and how far it was
//! read. From that it tells whether a position can be resumed from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::Log;
use super::chain::{Entry, LogPosition};
use crate::message::{HashKey, Message, Position, Room, SequenceNumber};
use crate::telemetry::names;

/// So many milliseconds behind the tip are next to none.
pub const NEAR_TIP: u64 = 1_000;

/// What makes a shard known to the log.
#[derive(Clone, Debug)]
pub struct OpenShard {
    /// Its id, for diagnosis.
    pub name: Arc<str>,
    /// The part of the hash space that it owns, both ends included.
    pub range: (HashKey, HashKey),
    /// Greater than that of each of its parents.
    pub generation: u32,
    /// Where its sequence numbers begin.
    pub starting: SequenceNumber,
}

/// How far a shard was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Everything behind it is known; `None` before the first event.
    pub(super) floor: Option<SequenceNumber>,
    /// Everything up to and with it was read.
    pub(super) read_to: Option<SequenceNumber>,
    /// The last event said that nothing is left to be read.
    pub(super) at_tip: bool,
    /// An event once said that next to nothing is.
    pub(super) was_at_tip: bool,
    /// It was read to its end.
    pub(super) closed: bool,
    /// Counts events: an event that came after a moment has a higher number.
    pub(super) events: u64,
}

/// One shard, as the log sees it. Its reader calls, in stream order, [`append`](Self::append) and
/// [`advance`](Self::advance).
#[derive(Debug)]
pub struct LogShard {
    pub(super) open: OpenShard,
    pub(super) progress: ArcSwap<Progress>,
    pub(super) advanced: Notify,
    log: Arc<Log>,
    /// Guards changes of `progress`: of one reader, but of who evicts rooms too.
    changing: Mutex<()>,
    /// Where the last message of the evicted room that had the latest stood.
    pub(super) evicted: ArcSwap<LogPosition>,
}

impl LogShard {
    pub(super) fn new(open: OpenShard, log: Arc<Log>) -> Self {
        Self {
            open,
            progress: ArcSwap::default(),
            advanced: Notify::new(),
            log,
            changing: Mutex::new(()),
            evicted: ArcSwap::from_pointee(LogPosition::START),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        let _lock = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut progress = *self.progress.load_full();
        change(&mut progress);
        self.progress.store(Arc::new(progress));
    }

    /// Says from where on everything is known: called before the first message, and again while
    /// the reader passes over messages that are not shown.
    pub fn set_floor(&self, floor: SequenceNumber) {
        self.change(|progress| progress.floor = Some(floor));
    }

    /// Appends messages in stream order, of whatever rooms.
    pub fn append(&self, messages: Vec<Message>) {
        let now = Instant::now();
        let mut rooms: HashMap<Room, Vec<Entry>> = HashMap::new();
        for message in messages {
            let room = message.room.clone();
            rooms.entry(room).or_default().push(message.into());
        }
        for (room, entries) in rooms {
            let count = entries.len() as u64;
            if !self.log.append(&room, self.open.generation, entries, now) {
                metrics::counter!(names::LOG_MESSAGES_REFUSED).increment(count);
            }
        }
    }

    /// Says that everything up to and with `read_to` was read and appended, and by how many
    /// milliseconds the shard's tip is ahead of it. Called after every event, also an empty one.
    pub fn advance(&self, read_to: SequenceNumber, millis_behind: u64) {
        let mut is_first = false;
        self.change(|progress| {
            progress.read_to = progress.read_to.max(Some(read_to));
            progress.at_tip = millis_behind == 0;
            is_first = !progress.was_at_tip && millis_behind <= NEAR_TIP;
            progress.was_at_tip |= is_first;
            progress.events += 1;
        });
        self.advanced.notify_waiters();
        if is_first {
            self.log.tips.notify_waiters();
        }
    }

    /// Says that the shard was read to its end.
    pub fn close(&self) {
        self.change(|progress| {
            progress.closed = true;
            progress.at_tip = true;
            progress.events += 1;
        });
        self.advanced.notify_waiters();
    }

    pub(super) fn raise_evicted(&self, to: LogPosition) {
        let _lock = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if **self.evicted.load() < to {
            self.evicted.store(Arc::new(to));
        }
    }

    pub(super) fn owns(&self, key: HashKey) -> bool {
        let (start, end) = self.open.range;
        start <= key && key <= end
    }

    /// Whether the shard's first message is known: nothing of it was passed over.
    fn known_from_its_start(&self) -> bool {
        let floor = self.progress.load().floor;
        floor.is_none_or(|floor| floor < self.open.starting)
    }
}

/// The shards that owned a room one after the other, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Lineage(pub(super) Vec<Arc<LogShard>>);

/// What can be said of a position that somebody wants to resume from.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Everything behind it is known, if the room still keeps it.
    Known(LogPosition),
    /// It is ahead of what was read of this shard.
    Ahead(Arc<LogShard>),
    /// It is below the floor, or of another stream.
    Unknown,
}

impl Lineage {
    /// The shard that a position belongs to: the latest that starts at or below it, for
    /// a child starts above its parents' end.
    pub(super) fn judge(&self, after: Position) -> Verdict {
        let Some(index) = self
            .0
            .iter()
            .rposition(|shard| Position::end_of(shard.open.starting.before()) <= after)
        else {
            return Verdict::Unknown;
        };
        let Some((shard, later)) = self.0.get(index..).and_then(<[_]>::split_first) else {
            return Verdict::Unknown;
        };
        let progress = **shard.progress.load();
        let Some((floor, read_to)) = progress.floor.zip(progress.read_to) else {
            return Verdict::Ahead(Arc::clone(shard));
        };
        if after < Position::end_of(floor)
            || !later.iter().all(|shard| shard.known_from_its_start())
        {
            return Verdict::Unknown;
        }
        if after > Position::end_of(read_to) {
            return if progress.closed {
                Verdict::Unknown
            } else {
                Verdict::Ahead(Arc::clone(shard))
            };
        }
        Verdict::Known(LogPosition {
            generation: shard.open.generation,
            position: after,
        })
    }

    /// Whether the room was read to its tip once; in that shard, or in one before it.
    pub(super) fn was_at_tip(&self) -> bool {
        let mut shards = self.0.iter();
        shards.any(|shard| shard.progress.load().was_at_tip)
    }

    /// Whether anything of the room was read yet.
    pub(super) fn is_read(&self) -> bool {
        let mut shards = self.0.iter();
        shards.any(|shard| shard.progress.load().read_to.is_some())
    }

    /// How far the room's newest shard was read, or where it starts.
    pub(super) fn read_to(&self) -> Option<Position> {
        let read = self.0.iter().rev().find_map(|shard| {
            let read_to = shard.progress.load().read_to?;
            Some(Position::end_of(read_to))
        });
        read.or_else(|| {
            let first = self.0.first()?;
            Some(Position::end_of(first.open.starting.before()))
        })
    }

    /// Where evicted rooms of this lineage ended: a room that is made anew starts behind it.
    pub(super) fn evicted(&self) -> LogPosition {
        let ends = self.0.iter().map(|shard| **shard.evicted.load());
        ends.max().unwrap_or(LogPosition::START)
    }

    pub(super) fn raise_evicted(&self, to: LogPosition) {
        if let Some(shard) = self.0.last() {
            shard.raise_evicted(to);
        }
    }
}
