//! A worker's view of one room: a cursor, and the viewers that stand at it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;
use tokio::sync::Notify;

use super::outbox::{Chunk, Outbox, SharedFrames};
use super::viewer::{State, Viewer};
use crate::log::{Account, Encoding, Entry, Node, PerEncoding, RoomLog, Start, joined};
use crate::message::{Position, Room};

/// The viewers that one worker has in one room.
pub(super) struct LocalRoom {
    pub(super) log: Arc<RoomLog>,
    /// Everything up to and with this node is sent to all that are live.
    pub(super) cursor: RefCell<Arc<Node>>,
    /// Counts sweeps.
    pub(super) sweeps: Cell<u64>,
    /// When the last one began, unless it left something.
    pub(super) swept: Cell<Option<Instant>>,
    live: PerEncoding<RefCell<Slab<Rc<Viewer>>>>,
    pub(super) lagging: RefCell<Slab<Rc<Viewer>>>,
    /// Joining viewers and others: the room is kept while there are any.
    pub(super) members: Cell<usize>,
    pub(super) lag_checked: Cell<Instant>,
    /// What a newcomer gets, for each encoding, length of history and position that it is told;
    /// until the next sweep, or until memory is short.
    newcomers: RefCell<HashMap<(Encoding, usize, Position), Arc<SharedFrames>>>,
    sweep: RefCell<Option<Underway>>,
    /// Tells of each sweep's begin.
    moved: Notify,
}

/// A sweep that others have their turn within.
struct Underway {
    /// The node behind which its slice begins.
    from: Arc<Node>,
    /// For each encoding, the slots below which everybody has the slice.
    done: PerEncoding<usize>,
}

/// More lengths of history than this are not worth remembering.
const MAX_NEWCOMER_SLICES: usize = 8;

impl LocalRoom {
    pub(super) fn new(log: Arc<RoomLog>) -> Self {
        let cursor = log.tail();
        Self {
            log,
            cursor: RefCell::new(cursor),
            sweeps: Cell::new(0),
            swept: Cell::new(None),
            live: PerEncoding::default(),
            lagging: RefCell::default(),
            members: Cell::new(0),
            lag_checked: Cell::new(Instant::now()),
            newcomers: RefCell::default(),
            sweep: RefCell::default(),
            moved: Notify::new(),
        }
    }

    pub(super) fn room(&self) -> &Room {
        self.log.room()
    }

    pub(super) fn cursor(&self) -> Arc<Node> {
        Arc::clone(&self.cursor.borrow())
    }

    /// Moves the cursor on, for a sweep of what lies between. From here on newcomers start behind
    /// `node`.
    pub(super) fn begin_sweep(&self, node: Arc<Node>) {
        self.sweeps.set(self.sweeps.get() + 1);
        let from = self.cursor.replace(node);
        self.newcomers.borrow_mut().clear();
        let done = PerEncoding::default();
        self.sweep.replace(Some(Underway { from, done }));
        self.moved.notify_waiters();
    }

    /// Waits until the cursor moves on.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Everybody in a slot below `done` has the slice.
    pub(super) fn swept(&self, encoding: Encoding, done: usize) {
        if let Some(sweep) = &mut *self.sweep.borrow_mut() {
            *sweep.done.of_mut(encoding) = done;
        }
    }

    pub(super) fn end_sweep(&self) {
        self.sweep.take();
    }

    /// What a live viewer has: everything up to the cursor, unless a sweep is under way that has
    /// not come to it yet.
    pub(super) fn reached(&self, viewer: &Viewer) -> Arc<Node> {
        if let Some(sweep) = &*self.sweep.borrow()
            && viewer.since.get() != self.sweeps.get()
            && viewer.slot.get() >= *sweep.done.of(viewer.encoding)
        {
            return Arc::clone(&sweep.from);
        }
        self.cursor()
    }

    pub(super) fn live(&self, encoding: Encoding) -> &RefCell<Slab<Rc<Viewer>>> {
        self.live.of(encoding)
    }

    /// The viewer has everything up to the cursor: it is swept from the next sweep on.
    pub(super) fn set_live(&self, viewer: &Rc<Viewer>) {
        viewer.since.set(self.sweeps.get());
        let slot = self
            .live(viewer.encoding)
            .borrow_mut()
            .insert(Rc::clone(viewer));
        viewer.slot.set(slot);
        viewer.state.replace(State::Live);
    }

    /// The viewer has a cursor of its own.
    pub(super) fn set_lagging(&self, viewer: &Rc<Viewer>, outbox: Outbox) {
        let slot = self.lagging.borrow_mut().insert(Rc::clone(viewer));
        viewer.slot.set(slot);
        viewer.state.replace(State::Lagging(Box::new(outbox)));
    }

    /// Takes a viewer out of the list that it is in, and gives it another state.
    pub(super) fn take_out(&self, viewer: &Rc<Viewer>, state: State) -> State {
        let before = viewer.state.replace(state);
        match before {
            State::Live => drop(
                self.live(viewer.encoding)
                    .borrow_mut()
                    .try_remove(viewer.slot.get()),
            ),
            State::Lagging(_) => {
                drop(self.lagging.borrow_mut().try_remove(viewer.slot.get()));
            }
            State::Closed | State::Gone => {}
        }
        before
    }

    /// Takes a live viewer out of the list and makes it a cursor of its own.
    pub(super) fn fall_back(&self, viewer: &Rc<Viewer>) -> Outbox {
        let reached = self.reached(viewer);
        self.take_out(viewer, State::Closed);
        let room = self.room().clone();
        Outbox::new(room, viewer.encoding, [], reached, Instant::now())
    }

    /// All viewers that have not been sent a close frame.
    pub(super) fn everybody(&self) -> Vec<Rc<Viewer>> {
        let mut all = Vec::new();
        for encoding in Encoding::ALL {
            let live = self.live(encoding).borrow();
            all.extend(live.iter().map(|(_, viewer)| Rc::clone(viewer)));
        }
        let lagging = self.lagging.borrow();
        all.extend(lagging.iter().map(|(_, viewer)| Rc::clone(viewer)));
        all
    }

    /// What a viewer that begins at `start` has to get, `history` being how much it asked for.
    pub(super) fn outbox(
        &self,
        account: &Account,
        encoding: Encoding,
        start: &Start,
        history: usize,
    ) -> Outbox {
        let (chunk, node) = if start.recovered {
            // The rest of the batch it was cut off in, for this viewer alone, and so not worth
            // compressing; then whole batches.
            let rest = if start.skip > 0 {
                start.node.next()
            } else {
                None
            };
            let entries = rest.map_or(&[][..], |node| {
                node.entries.get(start.skip..).unwrap_or_default()
            });
            let node = rest.unwrap_or(&start.node);
            let bytes = self.first_frames(encoding.uncompressed(), start, entries);
            (Chunk::Own(bytes), Arc::clone(node))
        } else {
            let frames = self.newcomer(account, encoding, start, history);
            (Chunk::Shared(frames), self.cursor())
        };
        Outbox::new(self.room().clone(), encoding, [chunk], node, Instant::now())
    }

    /// For a viewer that gets nothing.
    pub(super) fn silent_outbox(&self, encoding: Encoding) -> Outbox {
        let room = self.room().clone();
        Outbox::new(room, encoding, [], self.cursor(), Instant::now())
    }

    /// What every newcomer gets who asks for as much history: encoded once.
    fn newcomer(
        &self,
        account: &Account,
        encoding: Encoding,
        start: &Start,
        history: usize,
    ) -> Arc<SharedFrames> {
        let mut newcomers = self.newcomers.borrow_mut();
        let key = (encoding, history, start.position);
        if let Some(found) = newcomers.get(&key) {
            return Arc::clone(found);
        }
        let cursor = self.cursor();
        let mut entries: Vec<Entry> = Vec::new();
        let mut node = Arc::clone(&start.node);
        while !Arc::ptr_eq(&node, &cursor)
            && let Some(next) = node.next().cloned()
        {
            entries.extend_from_slice(&next.entries);
            node = next;
        }
        let entries = entries.get(start.skip..).unwrap_or_default();
        let bytes = self.first_frames(encoding, start, entries);
        let frames = Arc::new(SharedFrames::new(bytes, account));
        if newcomers.len() < MAX_NEWCOMER_SLICES {
            newcomers.insert(key, Arc::clone(&frames));
        }
        frames
    }

    /// Frees what is only kept so that it need not be encoded again.
    pub(super) fn forget_newcomers(&self) {
        self.newcomers.take();
    }

    fn first_frames(&self, encoding: Encoding, start: &Start, entries: &[Entry]) -> Bytes {
        let frames = encoding.encode(self.room(), entries);
        if encoding.is_v1() {
            let joined = joined(self.room(), start.position, start.recovered);
            [joined, frames].concat().into()
        } else {
            frames
        }
    }
}
