//! Fan-out: workers, each with its own viewers, sweeping new frames to their sockets.
//!
//! # What
//! A worker lives on one thread and shares nothing but the log. For each room that it has viewers
//! in it keeps one cursor; a viewer that is not behind has no state but its socket.
//!
//! # How
//! The log names rooms with something new; the worker *sweeps* each: the new batches as one slice,
//! one non-blocking write a viewer. What comes meanwhile waits until the other rooms have had their
//! turn. Whose socket is full gets a cursor of its own and a task that lives until it has caught up.
//!
//! # Limits
//! A viewer more than `lag_limit` bytes or `lag_time` behind that does not come nearer for two
//! seconds is closed with 4000, or dropped if its socket does not even take that within 5 s; while
//! the log is over its memory limit, what is kept for newcomers is freed and then the furthest
//! behind are dropped. Every `ping_interval` each viewer is asked whether it is still there, and
//! dropped if nothing came from it since it was last asked: who vanishes is gone within twice the
//! interval.
//!
//! # Invariants
//! I4: a slow viewer costs itself. I7: nothing here blocks who appends.

mod catch_up;
mod departures;
mod outbox;
mod pings;
mod room;
mod stream;
mod sweep;
mod turns;
mod viewer;
mod waiting;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use bytes::Bytes;

pub use stream::{Stream, Tls};
pub use viewer::Viewer;

use crate::log::{Begin, Crowded, Encoding, Log, News, PerEncoding, RoomLog, Start, close, pong};
use crate::message::Room;
use crate::telemetry::names;
use departures::Departures;
use outbox::Outbox;
use pings::Wheel;
use room::LocalRoom;
use turns::Turns;
use viewer::State;
use waiting::Waiting;

/// Limits for viewers.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many bytes a viewer may be behind for more than a moment.
    pub lag_limit: u64,
    /// How long what a viewer has not taken yet may wait for it, for more than a moment.
    pub lag_time: Duration,
    /// The least time between two sweeps of a room.
    pub sweep_interval: Duration,
    /// How often each viewer is asked whether it is still there, if at all.
    pub ping_interval: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lag_limit: 1 << 20,
            lag_time: Duration::from_secs(20),
            sweep_interval: Duration::ZERO,
            ping_interval: Some(Duration::from_secs(30)),
        }
    }
}

/// What a viewer wants to see.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The room.
    pub room: Room,
    /// How.
    pub encoding: Encoding,
    /// How much history; `None` is all that there is for newcomers.
    pub history: Option<usize>,
    /// The position to resume behind.
    pub after: Option<Box<str>>,
}

/// The code that says: this was not read here yet, reconnect.
const CLOSE_NOT_READ: u16 = 4001;

/// How long a viewer has to answer a close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// How often lag is looked at where nothing is appended.
const TICK: Duration = Duration::from_millis(500);

/// What is counted for each encoding.
struct Delivered {
    viewers: Gauge,
    messages: Counter,
    frames: Counter,
    bytes: Counter,
}

struct Metrics {
    delivered: PerEncoding<Delivered>,
    lagging: Gauge,
    pings: Counter,
    dead: Counter,
    publish_to_write: Histogram,
    arrival_to_write: Histogram,
}

impl Metrics {
    fn new() -> Self {
        let delivered = |encoding: Encoding| {
            let label = encoding.as_str();
            Delivered {
                viewers: gauge!(names::FANOUT_VIEWERS, "encoding" => label),
                messages: counter!(names::FANOUT_MESSAGES, "encoding" => label),
                frames: counter!(names::FANOUT_FRAMES, "encoding" => label),
                bytes: counter!(names::FANOUT_BYTES, "encoding" => label),
            }
        };
        Self {
            delivered: PerEncoding::new(delivered),
            lagging: gauge!(names::FANOUT_VIEWERS_LAGGING),
            pings: counter!(names::FANOUT_PINGS),
            dead: counter!(names::FANOUT_DEAD_DISCONNECTS),
            publish_to_write: histogram!(names::FANOUT_PUBLISH_TO_WRITE),
            arrival_to_write: histogram!(names::FANOUT_ARRIVAL_TO_WRITE),
        }
    }

    fn of(&self, encoding: Encoding) -> &Delivered {
        self.delivered.of(encoding)
    }
}

/// A worker: its viewers and what they need. Lives on one thread, within a `LocalSet`.
pub struct Worker {
    index: usize,
    log: Arc<Log>,
    config: Config,
    rooms: RefCell<HashMap<Room, Rc<LocalRoom>>>,
    viewers: Cell<usize>,
    wheel: RefCell<Wheel<Rc<Viewer>>>,
    turns: Turns,
    departures: Departures<Viewer>,
    scratch: RefCell<Vec<u8>>,
    metrics: Metrics,
}

impl Worker {
    /// The worker with this index of those that the log was made for.
    pub fn new(index: usize, log: Arc<Log>, config: Config) -> Rc<Self> {
        let wheel = Wheel::new(pings::slots(config.ping_interval.unwrap_or_default()));
        Rc::new(Self {
            index,
            log,
            config,
            rooms: RefCell::default(),
            viewers: Cell::new(0),
            wheel: RefCell::new(wheel),
            turns: Turns::new(Instant::now()),
            departures: Departures::new(CLOSE_PATIENCE),
            scratch: RefCell::default(),
            metrics: Metrics::new(),
        })
    }

    /// Sweeps rooms, looks after those that lag or have gone, and ends their connections, until the log is gone.
    pub async fn run(self: Rc<Self>, news: News) {
        // Side by side: where there is always something new, there is no end of sweeping.
        tokio::select! {
            () = self.sweep_all(news) => {}
            () = self.look_after_all() => {}
            () = self.ask_all() => {}
            () = self.end_all() => {}
        }
    }

    async fn sweep_all(self: &Rc<Self>, mut news: News) {
        let mut waiting = Waiting::default();
        loop {
            tokio::select! {
                room = waiting.next() => self.sweep(&room).await,
                room = news.recv() => {
                    let Some(room) = room else { return };
                    match self.resting_until(&room) {
                        Some(time) => waiting.add(time, room),
                        None => self.sweep(&room).await,
                    }
                }
            }
        }
    }

    /// When a room may be swept again, if not yet.
    fn resting_until(&self, room: &RoomLog) -> Option<Instant> {
        let rest = self.config.sweep_interval;
        if rest.is_zero() {
            return None;
        }
        let swept = self.local(room.room())?.swept.get()?;
        Some(swept + rest).filter(|time| *time > Instant::now())
    }

    async fn look_after_all(self: &Rc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.look_after_lagging();
        }
    }

    async fn end_all(&self) {
        loop {
            self.departures.next().await.abort();
            tokio::task::yield_now().await;
        }
    }

    /// Lets others have their turn, if it is theirs.
    async fn give_way(&self) {
        if !self.turns.are_counted() {
            return;
        }
        let now = Instant::now();
        if self.turns.are_others_next(now) {
            self.pause(now).await;
        }
    }

    /// Lets others have their turn between two sweeps, if this one was long.
    async fn give_way_between(&self, now: Instant) {
        if self.turns.was_long(now) {
            self.pause(now).await;
        }
    }

    async fn pause(&self, began: Instant) {
        tokio::task::yield_now().await;
        self.turns.others_had(began, Instant::now());
    }

    /// How many viewers it has.
    pub fn viewers(&self) -> usize {
        self.viewers.get()
    }

    /// Where the log and what is held of it are.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    fn local(&self, room: &Room) -> Option<Rc<LocalRoom>> {
        self.rooms.borrow().get(room).cloned()
    }

    /// Adds a viewer: it gets what it asked for and from then on everything new.
    ///
    /// Waits, for at most some 5 s, only if the viewer wants to resume from a position that was
    /// not read here yet, or is to be told one and its room was not read to its tip yet. If reading
    /// is still on its way to there when the time is up, it is sent away with 4001: another
    /// instance knows more, or this one later.
    ///
    /// # Errors
    /// [`Crowded`] if there is no place for its room.
    pub async fn join(
        self: &Rc<Self>,
        stream: Stream,
        request: &JoinRequest,
    ) -> Result<Rc<Viewer>, Crowded> {
        let membership = Membership::enter(self, &request.room, request.encoding)?;
        let local = Rc::clone(&membership.local);
        let history = request.history.unwrap_or(usize::MAX);
        let history = history.min(self.log.config().history);
        let start = match &request.after {
            Some(after) => self.find_start(&local, after, history).await,
            None => {
                self.newcomers_start(&local, request.encoding, history)
                    .await
            }
        };
        // From here on to the end nothing waits: the cursor stays where it is.
        let outbox = match &start {
            Some(start) => local.outbox(self.log.account(), request.encoding, start, history),
            None => local.silent_outbox(request.encoding),
        };
        let room = Rc::clone(&local);
        let viewer = Viewer::new(stream, request.encoding, room, outbox);
        let viewer = Rc::new(viewer);
        membership.keep();
        self.viewers.set(self.viewers.get() + 1);
        let seat = self.wheel.borrow_mut().sit(Rc::clone(&viewer));
        viewer.seat.set(seat);
        self.metrics.of(request.encoding).viewers.increment(1);
        let State::Lagging(outbox) = viewer.state.replace(State::Closed) else {
            return Ok(viewer);
        };
        self.lag(&viewer, *outbox);
        if start.is_none() {
            self.close(&viewer, Some(CLOSE_NOT_READ));
        }
        Ok(viewer)
    }

    /// Where a viewer begins that wants to resume; `None` if reading is on its way to there, and
    /// not there in time.
    async fn find_start(&self, local: &LocalRoom, after: &str, history: usize) -> Option<Start> {
        let log = &self.log;
        loop {
            match log.start(&local.log, &local.cursor(), after, history) {
                Begin::At(start) => return Some(start),
                Begin::Ahead(wait) => {
                    if !log.wait(&wait).await {
                        let start = log.start_in_vain(&local.log, &local.cursor(), after, history);
                        return (!log.is_catching_up(&local.log)).then_some(start);
                    }
                }
                // The sweep that moves the cursor is due, or the room rests until then.
                Begin::Beyond => local.moved().await,
            }
        }
    }

    /// Where a newcomer begins; `None` if it is to be told a position, and reading is not at the tip in time.
    async fn newcomers_start(
        &self,
        local: &LocalRoom,
        encoding: Encoding,
        history: usize,
    ) -> Option<Start> {
        let log = &self.log;
        if encoding.is_v1()
            && let Some(wait) = log.before_newcomers(&local.log)
            && !log.wait(&wait).await
        {
            return None;
        }
        Some(log.newest(&local.log, &local.cursor(), history))
    }

    /// Answers a ping.
    pub fn pong(self: &Rc<Self>, viewer: &Rc<Viewer>, payload: &[u8]) {
        self.say(viewer, pong(payload), Outbox::pong);
    }

    /// Sends a close frame, with a code or empty, after the frame that was begun; ends the
    /// connection if the client has not within 5 s.
    pub fn close(self: &Rc<Self>, viewer: &Rc<Viewer>, code: Option<u16>) {
        let live = match &mut *viewer.state.borrow_mut() {
            State::Live => true,
            State::Lagging(outbox) if !outbox.is_closing() => {
                outbox.close(close(code));
                false
            }
            State::Lagging(_) | State::Closed | State::Gone => return,
        };
        if live {
            let mut outbox = viewer.room.fall_back(viewer);
            outbox.close(close(code));
            self.lag(viewer, outbox);
        }
        self.departures.add_patiently(viewer);
    }

    /// Sends a viewer a frame of its own: at once if it is not behind, else behind what is queued.
    fn say(self: &Rc<Self>, viewer: &Rc<Viewer>, frame: Bytes, queue: fn(&mut Outbox, Bytes)) {
        match &mut *viewer.state.borrow_mut() {
            State::Lagging(outbox) => return queue(outbox, frame),
            State::Closed | State::Gone => return,
            State::Live => {}
        }
        self.turns.wrote();
        match viewer.try_write(&frame) {
            Ok(written) if written == frame.len() && !viewer.holds() => {
                let metrics = self.metrics.of(viewer.encoding);
                metrics.bytes.increment(written as u64);
            }
            Ok(written) => {
                let mut outbox = viewer.room.fall_back(viewer);
                queue(&mut outbox, frame);
                outbox.wrote(written);
                self.lag(viewer, outbox);
            }
            Err(_) => {
                viewer.room.take_out(viewer, State::Closed);
                viewer.abort();
            }
        }
    }

    /// Closes all viewers with a code, evenly over a time.
    pub async fn close_all(self: &Rc<Self>, code: u16, over: Duration) {
        let rooms: Vec<_> = self.rooms.borrow().values().cloned().collect();
        let all: Vec<_> = rooms.iter().flat_map(|room| room.everybody()).collect();
        let start = tokio::time::Instant::now();
        let step = over / u32::try_from(all.len().max(1)).unwrap_or(u32::MAX);
        for (index, viewer) in (0_u32..).zip(all) {
            tokio::time::sleep_until(start + step * index).await;
            self.close(&viewer, Some(code));
        }
    }

    /// The viewer's connection has ended: whoever reads from it calls this, once.
    pub fn leave(self: &Rc<Self>, viewer: &Rc<Viewer>) {
        let local = Rc::clone(&viewer.room);
        match local.take_out(viewer, State::Gone) {
            // A task that still tries to write to it finds that it is gone.
            State::Lagging(_) => {
                self.metrics.lagging.decrement(1.0);
                viewer.abort();
            }
            State::Gone => return,
            State::Live | State::Closed => {}
        }
        self.viewers.set(self.viewers.get() - 1);
        self.wheel.borrow_mut().stand(viewer.seat.get());
        self.metrics.of(viewer.encoding).viewers.decrement(1);
        self.part(&local, viewer.encoding);
    }

    fn part(&self, local: &Rc<LocalRoom>, encoding: Encoding) {
        local.members.set(local.members.get() - 1);
        let last = local.members.get() == 0;
        if last {
            self.rooms.borrow_mut().remove(local.room());
        }
        if local.log.leave(self.index, encoding, last) {
            self.log.forget_if_empty(&local.log);
        }
    }
}

/// Counts a viewer in; out again if it does not come to be one.
struct Membership<'a> {
    worker: &'a Rc<Worker>,
    local: Rc<LocalRoom>,
    encoding: Encoding,
    kept: bool,
}

impl<'a> Membership<'a> {
    fn enter(worker: &'a Rc<Worker>, room: &Room, encoding: Encoding) -> Result<Self, Crowded> {
        loop {
            let log = worker.log.room(room)?;
            // Evicted in between: look it up again.
            if !log.enter(worker.index, encoding) {
                continue;
            }
            let mut rooms = worker.rooms.borrow_mut();
            let local = rooms
                .entry(room.clone())
                .or_insert_with(|| Rc::new(LocalRoom::new(log)));
            local.members.set(local.members.get() + 1);
            return Ok(Self {
                worker,
                local: Rc::clone(local),
                encoding,
                kept: false,
            });
        }
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.worker.part(&self.local, self.encoding);
        }
    }
}

#[cfg(test)]
mod tests;
