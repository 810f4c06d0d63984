//! The log: rooms, their messages in stream order, and where to resume in them.
//!
//! # What
//! The one place where the consumer and the viewers meet. The consumer appends what it reads, a
//! shard at a time; workers read rooms through cursors and send what they find.
//!
//! # How
//! A room is an append-only chain of immutable batches ([`chain`]). Each batch is encoded once an
//! encoding and shared by all viewers ([`encoding`], [`frame`], [`deflate`]). Positions are Kinesis' own, so what one instance
//! handed out another understands ([`shard`], [`join`]).
//!
//! # Limits
//! `log_memory` over all rooms, counted where it is held ([`memory`]): above it the oldest batches
//! of the largest rooms go first, never a room's newest `history` messages; what lagging viewers
//! pin counts too, and the workers disconnect those while the log is over its limit. `max_rooms`:
//! the room that was idle longest makes place, its end remembered by its shard.
//!
//! # Invariants
//! I3: a room's batches come from its chain of shards, parents first, so their order is the
//! stream's. I4: memory is bounded. I7: appending may lock, reading, joining and sweeping do not.

mod chain;
mod deflate;
mod encoding;
mod frame;
mod join;
mod memory;
mod room;
mod shard;

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc};

pub use chain::{Entry, LogPosition, Node};
pub use encoding::{Encoding, PerEncoding};
pub use frame::{MAX_COALESCED, close, end_of_frame, frames, joined, ping, pong};
pub use join::{Begin, Start, Wait};
pub use memory::{Account, Charge};
pub use room::RoomLog;
pub use shard::{LogShard, NEAR_TIP, OpenShard};

use crate::message::{HashKey, Room};
use crate::telemetry::names;
use room::Keep;
use shard::Lineage;

/// What the log keeps.
#[derive(Clone, Debug)]
pub struct Config {
    /// Messages that every room keeps, and the most that a newcomer gets.
    pub history: usize,
    /// How long everything is kept, so that a viewer can resume.
    pub resume_window: Duration,
    /// The most that all rooms together hold, in bytes.
    pub log_memory: usize,
    /// The most rooms.
    pub max_rooms: usize,
    /// Workers that read the log, at most 64.
    pub workers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            history: 100,
            resume_window: Duration::from_mins(2),
            log_memory: 256 << 20,
            max_rooms: 10_000,
            workers: 1,
        }
    }
}

/// The rooms in which something was appended, for one worker: each at most once until the worker
/// says that it is [`looking`](RoomLog::looking), so there are never more than it has rooms.
pub type News = mpsc::UnboundedReceiver<Arc<RoomLog>>;

/// How the workers are told.
#[derive(Debug)]
struct Wakers(Vec<mpsc::UnboundedSender<Arc<RoomLog>>>);

impl Wakers {
    fn wake(&self, worker: usize, room: Arc<RoomLog>) {
        if let Some(waker) = self.0.get(worker) {
            // A worker that has ended needs no news.
            let _ = waker.send(room);
        }
    }
}

/// All rooms.
#[derive(Debug)]
pub struct Log {
    config: Config,
    account: Account,
    rooms: papaya::HashMap<Room, Arc<RoomLog>>,
    count: AtomicUsize,
    /// Held by who adds or removes a room.
    admitting: Mutex<()>,
    shards: ArcSwap<Vec<Arc<LogShard>>>,
    /// Notified when a shard is made known.
    opened: Notify,
    /// Notified when a shard was at its tip for the first time.
    tips: Notify,
    wakers: Arc<Wakers>,
    /// When it may be tried again to drop what is too much.
    shrinking: Mutex<Instant>,
}

/// No place for another room: all have viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no place for another room")]
pub struct Crowded;

impl Log {
    /// An empty log, and for each worker the rooms with something new.
    pub fn new(config: Config) -> (Arc<Self>, Vec<News>) {
        let (wakers, news) = (0..config.workers.clamp(1, 64))
            .map(|_| mpsc::unbounded_channel())
            .unzip();
        let log = Self {
            config,
            account: Account::default(),
            rooms: papaya::HashMap::new(),
            count: AtomicUsize::new(0),
            admitting: Mutex::new(()),
            shards: ArcSwap::default(),
            opened: Notify::new(),
            tips: Notify::new(),
            wakers: Arc::new(Wakers(wakers)),
            shrinking: Mutex::new(Instant::now()),
        };
        (Arc::new(log), news)
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where what the log keeps, and what viewers hold of it, is counted.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// More is held than allowed, although the rooms dropped what they may: viewers that lag pin
    /// it, and the furthest behind must go.
    pub fn is_over_limit(&self) -> bool {
        self.account.bytes() > self.config.log_memory
    }

    /// Makes a shard known.
    pub fn open_shard(self: &Arc<Self>, open: OpenShard) -> Arc<LogShard> {
        let shard = Arc::new(LogShard::new(open, Arc::clone(self)));
        self.shards.rcu(|shards| {
            let mut shards = Vec::clone(shards);
            shards.push(Arc::clone(&shard));
            shards.sort_by_key(|shard| shard.open.generation);
            shards
        });
        self.opened.notify_waiters();
        shard
    }

    /// Forgets a shard whose messages nobody can resume from any more.
    pub fn forget_shard(&self, shard: &Arc<LogShard>) {
        self.shards.rcu(|shards| {
            let mut shards = Vec::clone(shards);
            shards.retain(|known| !Arc::ptr_eq(known, shard));
            shards
        });
    }

    fn lineage(&self, key: HashKey) -> Lineage {
        let shards = self.shards.load();
        Lineage(shards.iter().filter(|s| s.owns(key)).cloned().collect())
    }

    /// Whether a room is there or there is place for it.
    pub fn admits(&self, room: &Room) -> bool {
        self.rooms.pin().contains_key(room)
            || self.count.load(Ordering::Relaxed) < self.config.max_rooms
            || self.rooms.pin().values().any(|room| room.viewers() == 0)
    }

    /// The room, if it is there.
    pub fn find(&self, room: &Room) -> Option<Arc<RoomLog>> {
        self.rooms.pin().get(room).cloned()
    }

    /// The room, made if it is not there.
    ///
    /// # Errors
    /// [`Crowded`] if there are `max_rooms` and all have viewers.
    pub fn room(&self, room: &Room) -> Result<Arc<RoomLog>, Crowded> {
        if let Some(found) = self.find(room) {
            return Ok(found);
        }
        let _lock = self
            .admitting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = self.find(room) {
            return Ok(found);
        }
        if self.count.load(Ordering::Relaxed) >= self.config.max_rooms && !self.evict_one() {
            return Err(Crowded);
        }
        let keep = Keep {
            // One at least: the newest node is where the next is linked.
            history: self.config.history.max(1) as u64,
            window: self.config.resume_window,
        };
        let made = Arc::new(RoomLog::new(
            room.clone(),
            self.lineage(room.hash_key()).evicted(),
            self.account.clone(),
            keep,
            Arc::clone(&self.wakers),
            Instant::now(),
        ));
        self.rooms.pin().insert(room.clone(), Arc::clone(&made));
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(made)
    }

    /// Removes the room without viewers that was idle longest. The caller holds `admitting`.
    fn evict_one(&self) -> bool {
        loop {
            let idlest = {
                let rooms = self.rooms.pin();
                let idle = rooms.values().filter(|room| room.viewers() == 0);
                idle.min_by_key(|room| room.tail().appended).cloned()
            };
            let Some(room) = idlest else { return false };
            if self.remove(&room, false) {
                metrics::counter!(names::LOG_ROOMS_EVICTED).increment(1);
                return true;
            }
        }
    }

    /// Removes a room without viewers. The caller holds `admitting`.
    fn remove(&self, room: &Arc<RoomLog>, only_empty: bool) -> bool {
        let Some(end) = room.evict(only_empty) else {
            return false;
        };
        // First the floor, then the removal: a room made anew must start behind it.
        self.lineage(room.room().hash_key()).raise_evicted(end);
        self.rooms.pin().remove(room.room());
        self.count.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Forgets a room that has neither viewers nor messages: joining stores nothing lasting.
    pub fn forget_if_empty(&self, room: &Arc<RoomLog>) {
        let _lock = self
            .admitting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.remove(room, true);
    }

    /// Appends to a room; false if there is no place for it.
    fn append(&self, name: &Room, generation: u32, mut entries: Vec<Entry>, now: Instant) -> bool {
        metrics::counter!(names::LOG_MESSAGES).increment(entries.len() as u64);
        loop {
            let Ok(room) = self.room(name) else {
                return false;
            };
            match room.append(generation, entries, now) {
                Ok(()) => break,
                // Evicted in between: once more, with a fresh one.
                Err(returned) => entries = returned,
            }
        }
        if self.is_over_limit() {
            self.shrink(now);
        }
        true
    }

    /// Drops the oldest of the largest rooms until the log is a sixteenth below its limit.
    fn shrink(&self, now: Instant) {
        let Ok(mut next_try) = self.shrinking.try_lock() else {
            return;
        };
        if now < *next_try {
            return;
        }
        // Where nothing may be dropped, trying at every append would cost more than it frees.
        *next_try = now + Duration::from_millis(100);
        let goal = self.config.log_memory - self.config.log_memory / 16;
        let mut excess = self.account.bytes().saturating_sub(goal);
        let mut rooms: Vec<_> = self.rooms.pin().values().cloned().collect();
        rooms.sort_by_cached_key(|room| Reverse(room.kept_bytes()));
        for (index, room) in rooms.iter().enumerate() {
            if excess == 0 {
                break;
            }
            // Down to the size of the next largest, at most by what is too much.
            let next = rooms.get(index + 1).map_or(0, |room| room.kept_bytes());
            let target = room.kept_bytes().saturating_sub(excess).max(next / 2);
            excess = excess.saturating_sub(room.shrink(target));
        }
    }

    /// What is due by time: drops what no room keeps any longer, sets the gauges. Every second.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub fn maintain(&self, now: Instant) {
        let rooms: Vec<_> = self.rooms.pin().values().cloned().collect();
        for room in &rooms {
            room.maintain(now);
        }
        if self.is_over_limit() {
            self.shrink(now);
        }
        metrics::gauge!(names::LOG_ROOMS).set(rooms.len() as f64);
        metrics::gauge!(names::LOG_MEMORY).set(self.account.bytes() as f64);
    }
}

#[cfg(test)]
mod tests;
