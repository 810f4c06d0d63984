//! One room's log: who appends, who reads, what is kept.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::chain::{Entry, LogPosition, Node};
use super::memory::Account;
use super::{Encoding, PerEncoding, Wakers};
use crate::message::Room;

/// The most that one node holds, so that dropping the oldest node drops little.
const MAX_NODE_BYTES: usize = 64 * 1024;

/// A mark is set every so many messages: a walk from one to the next takes microseconds.
const MARK_EVERY: u64 = 256;

/// What a room keeps, see the settings of the same names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    /// So many messages at least …
    pub(super) history: u64,
    /// … and everything that is younger, with so many messages before it: whoever came when the
    /// window began was told the position before those.
    pub(super) window: Duration,
}

/// The log of one room.
///
/// Appending takes a lock against other appenders; reading takes none.
#[derive(Debug)]
pub struct RoomLog {
    room: Room,
    account: Account,
    keep: Keep,
    /// What is kept stands after this node.
    head: ArcSwap<Node>,
    /// The last `history` messages stand after this node (and so may some more: a node is whole).
    history: ArcSwap<Node>,
    tail: ArcSwap<Node>,
    /// Every so many messages a node, oldest first, none before the head: where to begin looking
    /// for a position. A stampede of viewers who resume must not walk the whole log each.
    marks: ArcSwap<Vec<Arc<Node>>>,
    /// Held by whoever appends or drops. The newest node that is older than the window, as far as
    /// was looked.
    appending: Mutex<Arc<Node>>,
    /// Set once, under `appending`, when the room leaves the log: nothing may be added after.
    gone: AtomicBool,
    kept: AtomicUsize,
    /// Viewers, or [`EVICTED`].
    viewers: AtomicUsize,
    listeners: PerEncoding<AtomicUsize>,
    /// The workers that have viewers here, a bit each.
    workers: AtomicU64,
    /// The workers that were woken for this room and have not looked yet.
    pending: AtomicU64,
    wakers: Arc<Wakers>,
}

/// A viewer count that says that the room was evicted; no viewer can be added to it.
const EVICTED: usize = usize::MAX;

impl RoomLog {
    pub(super) fn new(
        room: Room,
        start: LogPosition,
        account: Account,
        keep: Keep,
        wakers: Arc<Wakers>,
        now: Instant,
    ) -> Self {
        let node = Arc::new(Node::start(&account, 0, start, now));
        Self {
            room,
            account,
            keep,
            head: ArcSwap::new(Arc::clone(&node)),
            history: ArcSwap::new(Arc::clone(&node)),
            tail: ArcSwap::new(Arc::clone(&node)),
            marks: ArcSwap::default(),
            appending: Mutex::new(node),
            gone: AtomicBool::new(false),
            kept: AtomicUsize::new(0),
            viewers: AtomicUsize::new(0),
            listeners: PerEncoding::default(),
            workers: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            wakers,
        }
    }

    /// The room.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// The node after which everything is kept.
    pub fn head(&self) -> Arc<Node> {
        self.head.load_full()
    }

    /// The node after which the newest history begins.
    pub(super) fn history(&self) -> Arc<Node> {
        self.history.load_full()
    }

    /// A node at or before a position, near it, from which everything is kept; `None` if the room
    /// has dropped something behind the position.
    pub(super) fn near(&self, position: LogPosition) -> Option<Arc<Node>> {
        let head = self.head();
        if position < head.end {
            return None;
        }
        let history = self.history();
        if history.end <= position {
            return Some(history);
        }
        let marks = self.marks.load();
        let before = marks.partition_point(|mark| mark.end <= position);
        let mark = before.checked_sub(1).and_then(|last| marks.get(last));
        Some(mark.map_or(head, Arc::clone))
    }

    /// The newest node.
    pub fn tail(&self) -> Arc<Node> {
        self.tail.load_full()
    }

    /// The bytes that the room itself keeps.
    pub(super) fn kept_bytes(&self) -> usize {
        // A figure to sort by; nothing is published through it.
        self.kept.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Node>> {
        // What the lock guards is swapped whole: a panic cannot leave it half done.
        self.appending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends messages, oldest first, or hands them back if the room has left the log.
    pub(super) fn append(
        self: &Arc<Self>,
        generation: u32,
        entries: Vec<Entry>,
        now: Instant,
    ) -> Result<(), Vec<Entry>> {
        let mut lock = self.lock();
        // Relaxed: it is written under the lock that is held here.
        if self.gone.load(Ordering::Relaxed) {
            return Err(entries);
        }
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let mut bytes = 0;
            let mut batch = Vec::new();
            while let Some(entry) =
                entries.next_if(|e| batch.is_empty() || bytes + e.weight() <= MAX_NODE_BYTES)
            {
                bytes += entry.weight();
                batch.push(entry);
            }
            self.link(generation, batch.into(), now);
        }
        self.trim(&mut lock, now);
        drop(lock);
        self.wake();
        Ok(())
    }

    fn link(&self, generation: u32, entries: Box<[Entry]>, now: Instant) {
        let tail = self.tail.load_full();
        // A count that is just changing costs an encoding too many or one later; no more.
        let wanted = PerEncoding::new(|encoding| {
            let listeners = self.listeners.of(encoding);
            listeners.load(Ordering::Relaxed) > 0
        });
        let (account, room) = (&self.account, &self.room);
        let node = Arc::new(tail.following(account, room, generation, entries, &wanted, now));
        self.kept.fetch_add(node.weight(), Ordering::Relaxed);
        tail.link(Arc::clone(&node));
        let ordinal = node.ordinal;
        if tail.ordinal / MARK_EVERY < ordinal / MARK_EVERY {
            let mut marks = Vec::clone(&self.marks.load());
            marks.push(Arc::clone(&node));
            self.marks.store(Arc::new(marks));
        }
        self.tail.store(node);
        let mut history = self.history.load_full();
        while let Some(next) = history.next().cloned()
            && ordinal - next.ordinal >= self.keep.history
        {
            history = next;
        }
        self.history.store(history);
    }

    /// Tells the workers with viewers here that there is something new.
    fn wake(self: &Arc<Self>) {
        // Partner of the fence in `enter`: either the new viewer's worker sees the node that was
        // just linked, or this load sees its bit.
        fence(Ordering::SeqCst);
        let workers = self.workers.load(Ordering::Relaxed);
        let mut fresh = workers & !self.pending.fetch_or(workers, Ordering::AcqRel);
        while fresh != 0 {
            let worker = fresh.trailing_zeros();
            fresh &= fresh - 1;
            self.wakers.wake(worker as usize, Arc::clone(self));
        }
    }

    /// Called by a worker before it looks for news: from here on a change wakes it again.
    pub fn looking(&self, worker: usize) {
        self.pending.fetch_and(!bit(worker), Ordering::AcqRel);
    }

    /// Called by a worker that leaves something for its next look: it is woken once more, behind
    /// the rooms that it was woken for by now.
    pub fn call_again(self: &Arc<Self>, worker: usize) {
        let pending = self.pending.fetch_or(bit(worker), Ordering::AcqRel);
        if pending & bit(worker) == 0 {
            self.wakers.wake(worker, Arc::clone(self));
        }
    }

    /// Counts a viewer in; false if the room was evicted in between and must be looked up again.
    ///
    /// Load [`tail`](Self::tail) only after it: what is appended later wakes the worker.
    pub fn enter(&self, worker: usize, encoding: Encoding) -> bool {
        let entered = self
            .viewers
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count != EVICTED).then(|| count + 1)
            })
            .is_ok();
        if entered {
            let listeners = self.listeners.of(encoding);
            listeners.fetch_add(1, Ordering::Relaxed);
            self.workers.fetch_or(bit(worker), Ordering::Relaxed);
            // Partner of the fence in `wake`.
            fence(Ordering::SeqCst);
        }
        entered
    }

    /// Counts a viewer out; `last` says that the worker has none left here. True if the room is
    /// now without viewers and without messages, and so may be forgotten.
    pub fn leave(&self, worker: usize, encoding: Encoding, last: bool) -> bool {
        if last {
            self.workers.fetch_and(!bit(worker), Ordering::Relaxed);
        }
        let listeners = self.listeners.of(encoding);
        listeners.fetch_sub(1, Ordering::Relaxed);
        self.viewers.fetch_sub(1, Ordering::AcqRel) == 1 && self.tail.load().ordinal == 0
    }

    /// Viewers on all workers.
    pub fn viewers(&self) -> usize {
        match self.viewers.load(Ordering::Relaxed) {
            EVICTED => 0,
            viewers => viewers,
        }
    }

    /// Takes the room out of use if it has no viewers; returns where its last message stood.
    pub(super) fn evict(&self, only_empty: bool) -> Option<LogPosition> {
        self.viewers
            .compare_exchange(0, EVICTED, Ordering::AcqRel, Ordering::Acquire)
            .ok()?;
        let mut lock = self.lock();
        let tail = self.tail.load_full();
        if only_empty && tail.ordinal > 0 {
            self.viewers.store(0, Ordering::Release);
            return None;
        }
        self.gone.store(true, Ordering::Relaxed);
        // The map may keep the room for a while after its removal; not its messages.
        let empty = Node::start(&self.account, 0, tail.end, tail.appended);
        let empty = Arc::new(empty);
        self.marks.store(Arc::default());
        self.head.store(Arc::clone(&empty));
        self.history.store(Arc::clone(&empty));
        self.tail.store(Arc::clone(&empty));
        *lock = empty;
        Some(tail.end)
    }

    /// Drops what is older than the room keeps.
    fn trim(&self, aged: &mut Arc<Node>, now: Instant) {
        while let Some(next) = aged.next().cloned()
            && now.saturating_duration_since(next.appended) > self.keep.window
        {
            *aged = next;
        }
        let last = aged.ordinal.saturating_sub(self.keep.history);
        self.drop_while(aged, |next, _| next.ordinal <= last);
    }

    /// Drops the oldest nodes as long as that is wanted, by the next and what is freed up to
    /// then; never any of the history. Returns what was freed.
    fn drop_while(&self, aged: &mut Arc<Node>, wanted: impl Fn(&Node, usize) -> bool) -> usize {
        let history = self.history.load_full();
        let mut last = self.head.load_full();
        let mut freed = 0;
        while last.ordinal < history.ordinal
            && let Some(next) = last.next().cloned()
            && next.ordinal <= history.ordinal
            && wanted(&next, freed)
        {
            freed += next.weight();
            last = next;
        }
        if freed > 0 {
            self.drop_up_to(&last, freed);
            // What is dropped must not be held here.
            if aged.ordinal <= last.ordinal {
                *aged = self.head.load_full();
            }
        }
        freed
    }

    /// Drops the oldest nodes until `target` bytes are kept or only the history is left; returns
    /// how many bytes the room let go. The memory is free once no viewer pins it.
    pub(super) fn shrink(&self, target: usize) -> usize {
        let mut lock = self.lock();
        let kept = self.kept_bytes();
        self.drop_while(&mut lock, |_, freed| kept.saturating_sub(freed) > target)
    }

    /// Drops what is due by age; for rooms that nothing is appended to.
    pub(super) fn maintain(&self, now: Instant) {
        let mut lock = self.lock();
        self.trim(&mut lock, now);
    }

    /// Moves the head to where `last` stands. A hollow node takes its place, so that the head
    /// pins no messages.
    fn drop_up_to(&self, last: &Arc<Node>, freed: usize) {
        let Some(next) = last.next().cloned() else {
            return;
        };
        let head = Arc::new(last.hollow(&self.account, next));
        if self.history.load().ordinal == last.ordinal {
            self.history.store(Arc::clone(&head));
        }
        let marks = self.marks.load();
        let gone = marks.partition_point(|mark| mark.ordinal <= last.ordinal);
        if gone > 0 {
            let left = marks.get(gone..).unwrap_or_default().to_vec();
            self.marks.store(Arc::new(left));
        }
        self.head.store(head);
        self.kept.fetch_sub(freed, Ordering::Relaxed);
    }
}

fn bit(worker: usize) -> u64 {
    1 << (worker % 64)
}
