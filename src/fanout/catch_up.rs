//! Viewers whose socket is full: each gets a cursor of its own and a task until it has caught up.

use std::cmp::Reverse;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ::metrics::counter;

use super::Worker;
use super::outbox::{Lag, Limits, Outbox};
use super::room::LocalRoom;
use super::viewer::{State, Viewer};
use crate::telemetry::names;

/// How many writes a viewer makes before others have their turn.
const WRITES_A_TURN: usize = 4;

/// Lag is looked at on append, but not more often than this a room: with ten thousand lagging
/// viewers a look costs as much as some of the writes it is to protect.
const LAG_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The code that says: too far behind, reconnect and resume.
const CLOSE_LAGGED: u16 = 4000;

enum Progress {
    /// The socket took all there was: the viewer is live, closed or gone.
    Done,
    /// The socket is full.
    Full,
    /// There is more, but others wait too.
    More,
}

impl Worker {
    /// Writes what a viewer has to get, now as far as its socket takes it, and the rest in a task.
    pub(super) fn lag(self: &Rc<Self>, viewer: &Rc<Viewer>, outbox: Outbox) {
        viewer.room.set_lagging(viewer, outbox);
        self.metrics.lagging.increment(1.0);
        if !matches!(self.write_on(viewer), Progress::Done) {
            tokio::task::spawn_local(Rc::clone(self).catch_up(Rc::clone(viewer)));
        }
    }

    async fn catch_up(self: Rc<Self>, viewer: Rc<Viewer>) {
        loop {
            match self.write_on(&viewer) {
                Progress::Done => return,
                Progress::More => tokio::task::yield_now().await,
                // Whoever takes nothing for too long is closed or dropped: that ends this too.
                Progress::Full => {
                    if viewer.writable().await.is_err() {
                        self.expel(&viewer);
                        return;
                    }
                }
            }
        }
    }

    fn write_on(self: &Rc<Self>, viewer: &Rc<Viewer>) -> Progress {
        for _ in 0..WRITES_A_TURN {
            match self.write_once(viewer) {
                Ok(None) => return Progress::Done,
                Ok(Some(true)) => {}
                Ok(Some(false)) => return Progress::Full,
                Err(_) => {
                    self.end_lagging(viewer, State::Closed);
                    viewer.abort();
                    return Progress::Done;
                }
            }
        }
        Progress::More
    }

    /// One write; `None` if there was nothing to write, else whether the socket took it all.
    fn write_once(self: &Rc<Self>, viewer: &Rc<Viewer>) -> io::Result<Option<bool>> {
        let closing = {
            let mut state = viewer.state.borrow_mut();
            let State::Lagging(outbox) = &mut *state else {
                return Ok(None);
            };
            let mut scratch = self.scratch.borrow_mut();
            let cursor = viewer.room.cursor();
            if let Some(bytes) = outbox.next(&cursor, &mut scratch) {
                let wanted = bytes.len();
                let written = viewer.try_write(bytes)?;
                let messages = outbox.wrote(written);
                outbox.holds(viewer.flush()?);
                if written > 0 {
                    viewer.show_life();
                }
                let metrics = self.metrics.of(viewer.encoding);
                metrics.bytes.increment(written as u64);
                metrics.messages.increment(messages as u64);
                return Ok(Some(written == wanted));
            }
            // Nothing is left to be written, but what was may not be in the socket yet.
            let held = viewer.flush()?;
            outbox.holds(held);
            if held > 0 {
                return Ok(Some(false));
            }
            outbox.is_closing()
        };
        if closing {
            self.end_lagging(viewer, State::Closed);
        } else {
            self.end_lagging(viewer, State::Live);
            viewer.room.set_live(viewer);
        }
        Ok(None)
    }

    fn end_lagging(&self, viewer: &Rc<Viewer>, state: State) {
        if let State::Lagging(_) = viewer.room.take_out(viewer, state) {
            self.metrics.lagging.decrement(1.0);
        }
    }

    fn drop_lagging(&self, viewer: &Rc<Viewer>, reason: &'static str) {
        counter!(names::FANOUT_LAG_DISCONNECTS, "reason" => reason).increment(1);
        self.expel(viewer);
    }

    /// Ends a viewer's connection as soon as it is its turn; nothing more is written to it.
    pub(super) fn expel(&self, viewer: &Rc<Viewer>) {
        self.end_lagging(viewer, State::Closed);
        self.departures.add(Rc::clone(viewer));
    }

    /// Looks at who lags in a room where something was appended.
    pub(super) fn check_lag(self: &Rc<Self>, local: &LocalRoom, now: Instant) {
        let since = now.saturating_duration_since(local.lag_checked.get());
        if since >= LAG_CHECK_INTERVAL && !local.lagging.borrow().is_empty() {
            local.lag_checked.set(now);
            self.judge_lagging(local, now);
        }
    }

    fn judge_lagging(self: &Rc<Self>, local: &LocalRoom, now: Instant) {
        let newest = local.log.tail();
        let limits = Limits {
            bytes: self.config.lag_limit,
            time: self.config.lag_time,
        };
        let judge = |viewer: &Rc<Viewer>| match &mut *viewer.state.borrow_mut() {
            State::Lagging(outbox) if !outbox.is_closing() => {
                match outbox.judge(&newest, limits, now) {
                    Lag::Tolerable => None,
                    Lag::TooFar => Some("too_far_behind"),
                    Lag::TooLong => Some("too_long_behind"),
                }
            }
            _ => None,
        };
        let too_far: Vec<_> = {
            let lagging = local.lagging.borrow();
            let viewers = lagging.iter().map(|(_, viewer)| viewer);
            let judged = viewers.map(|viewer| Some((Rc::clone(viewer), judge(viewer)?)));
            judged.flatten().collect()
        };
        for (viewer, reason) in too_far {
            counter!(names::FANOUT_LAG_DISCONNECTS, "reason" => reason).increment(1);
            self.close(&viewer, Some(CLOSE_LAGGED));
        }
    }

    /// What is due by time.
    pub(super) fn look_after_lagging(self: &Rc<Self>) {
        let now = Instant::now();
        let rooms: Vec<_> = self.rooms.borrow().values().cloned().collect();
        for local in &rooms {
            if !local.lagging.borrow().is_empty() {
                self.judge_lagging(local, now);
            }
        }
        if self.log.is_over_limit() {
            self.relieve_memory(&rooms);
        }
    }

    /// The log holds more than it may because of what is kept for newcomers, which goes first, or
    /// because viewers pin it: the furthest behind go.
    fn relieve_memory(&self, rooms: &[Rc<LocalRoom>]) {
        for local in rooms {
            local.forget_newcomers();
        }
        let mut lagging: Vec<(u64, Rc<Viewer>)> = Vec::new();
        for local in rooms {
            let newest = local.log.tail();
            for (_, viewer) in &*local.lagging.borrow() {
                if let State::Lagging(outbox) = &*viewer.state.borrow() {
                    lagging.push((outbox.behind(&newest), Rc::clone(viewer)));
                }
            }
        }
        lagging.sort_by_key(|(behind, _)| Reverse(*behind));
        for (_, viewer) in lagging {
            if !self.log.is_over_limit() {
                break;
            }
            self.drop_lagging(&viewer, "memory");
        }
    }
}
