//! The sweep: everything new in a room, as one slice, in one write a viewer.
//!
//! PERFORMANCE: a write costs 6–10 µs whatever is in it, and a frame in it some 50 ns. So under
//! load everything is won by putting more frames into a write, and load does that by itself: what
//! arrives while a sweep goes on is the next sweep.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::Worker;
use super::outbox::Outbox;
use super::room::LocalRoom;
use super::stream::Outlet;
use super::viewer::{State, Viewer};
use crate::log::{Encoding, Node, RoomLog, frames};
use crate::message::Timestamp;

/// The most that one sweep sends a viewer, and what is left of its last batch: more than a socket
/// usually takes is of no use.
pub(super) const MAX_SLICE: u64 = 256 * 1024;

/// So many viewers are looked up before the first of them is written to.
const AHEAD: usize = 16;

/// What one sweep sends.
struct Span {
    nodes: Vec<Arc<Node>>,
    last: Arc<Node>,
    /// There may be more.
    full: bool,
}

impl Span {
    fn behind(first: &Arc<Node>) -> Self {
        // Of the encoding that takes the most: what is around a short text is longer than the text.
        let bytes = |last: &Node| {
            let sent = |encoding| last.end_bytes(encoding) - first.end_bytes(encoding);
            Encoding::ALL.map(sent).into_iter().max().unwrap_or(0)
        };
        let mut nodes = Vec::new();
        let mut last = Arc::clone(first);
        while bytes(&last) < MAX_SLICE
            && let Some(next) = last.next().cloned()
        {
            nodes.push(Arc::clone(&next));
            last = next;
        }
        let full = bytes(&last) >= MAX_SLICE;
        Self { nodes, last, full }
    }
}

/// A span of the log, as one slice.
struct Slice {
    nodes: Vec<Arc<Node>>,
    bytes: bytes::Bytes,
    messages: u64,
    frames: u64,
}

impl Slice {
    fn new(local: &LocalRoom, encoding: Encoding, nodes: &[Arc<Node>]) -> Self {
        let encoded = |node: &Arc<Node>| node.frames(encoding, local.room()).clone();
        let bytes = match nodes {
            [one] => encoded(one),
            many => {
                let encoded: Vec<_> = many.iter().map(encoded).collect();
                encoded.concat().into()
            }
        };
        Self {
            messages: nodes.iter().map(|node| node.entries.len() as u64).sum(),
            frames: frames(&bytes).count() as u64,
            nodes: nodes.to_vec(),
            bytes,
        }
    }
}

/// The viewers in the next slots, without those who joined during this sweep: they have begun behind what it sends.
///
/// PERFORMANCE: each lies elsewhere in memory and was last touched a sweep ago. Looked up one after the other, they are
/// waited for together; with a write between two of them, each on its own.
fn ahead(
    live: &Slab<Rc<Viewer>>,
    from: usize,
    sweep: u64,
) -> [Option<(&Rc<Viewer>, Outlet<'_>)>; AHEAD] {
    std::array::from_fn(|place| {
        let viewer = live.get(from + place)?;
        (viewer.since.get() != sweep).then(|| (viewer, viewer.outlet()))
    })
}

impl Worker {
    /// Sends what is new in a room, once: whatever came meanwhile, and what is more than a slice,
    /// waits until the other rooms have had their turn.
    pub(super) async fn sweep(self: &Rc<Self>, room: &Arc<RoomLog>) {
        // Before the look: what is appended from here on calls for another sweep.
        room.looking(self.index);
        let Some(local) = self.local(room.room()) else {
            return;
        };
        let Span { nodes, last, full } = Span::behind(&local.cursor());
        if nodes.is_empty() {
            return;
        }
        local.begin_sweep(last);
        // What is left does not rest: else a room with more than a slice an interval would never
        // be through.
        local.swept.set((!full).then(Instant::now));
        let mut sent = false;
        for encoding in Encoding::ALL {
            if !local.live(encoding).borrow().is_empty() {
                sent = true;
                let slice = Slice::new(&local, encoding, &nodes);
                self.send(&local, encoding, &slice).await;
            }
        }
        local.end_sweep();
        if sent {
            let now = Timestamp::now();
            for first in nodes.iter().filter_map(|node| node.entries.first()) {
                let metrics = &self.metrics;
                metrics.publish_to_write.record(now.since(first.time));
                metrics.arrival_to_write.record(now.since(first.arrival));
            }
        }
        if full {
            room.call_again(self.index);
        }
        let now = Instant::now();
        self.check_lag(&local, now);
        self.give_way_between(now).await;
    }

    async fn send(self: &Rc<Self>, local: &Rc<LocalRoom>, encoding: Encoding, slice: &Slice) {
        let sweep = local.sweeps.get();
        let end = local.live(encoding).borrow().capacity();
        let mut key = 0;
        let mut written = 0_u64;
        while key < end {
            let mut fell_behind: Vec<(Rc<Viewer>, io::Result<usize>)> = Vec::new();
            {
                let live = local.live(encoding).borrow();
                while key < end && !self.turns.are_counted() {
                    let next = ahead(&live, key, sweep);
                    key += next.len();
                    for (viewer, outlet) in next.iter().flatten() {
                        self.turns.wrote();
                        match outlet.try_write(&slice.bytes) {
                            Ok(n) if n == slice.bytes.len() => {
                                written += 1;
                                if outlet.holds() {
                                    fell_behind.push((Rc::clone(viewer), Ok(n)));
                                }
                            }
                            result => fell_behind.push((Rc::clone(viewer), result)),
                        }
                    }
                }
            }
            for (viewer, result) in fell_behind {
                self.cut_off(local, &viewer, slice, result);
            }
            local.swept(encoding, key);
            self.give_way().await;
        }
        let metrics = self.metrics.of(encoding);
        metrics.messages.increment(written * slice.messages);
        metrics.frames.increment(written * slice.frames);
        metrics.bytes.increment(written * slice.bytes.len() as u64);
    }

    /// Its socket took only a part, or not yet all that was taken for it, or failed.
    fn cut_off(
        self: &Rc<Self>,
        local: &Rc<LocalRoom>,
        viewer: &Rc<Viewer>,
        slice: &Slice,
        result: io::Result<usize>,
    ) {
        let outbox = result.ok().and_then(|written| {
            let room = local.room().clone();
            Outbox::cut_off(room, viewer.encoding, &slice.nodes, written, Instant::now())
        });
        local.take_out(viewer, State::Closed);
        if let Some(outbox) = outbox {
            self.lag(viewer, outbox);
        } else {
            viewer.abort();
        }
    }
}
