//! When to subscribe to a shard, when to listen and when to wait: one shard's state machine.
//!
//! Pure: it takes the time as an argument and does no IO. Its shell ([`super::reader`]) asks
//! [`Reader::next`] what to do, does it, and says with [`Reader::on`] what came of it.
//!
//! The rules (Kinesis API reference, `SubscribeToShard`, and what consumers in the wild met):
//! - at most one call a second per consumer and shard;
//! - no call within 5 s of a successful one: it would be refused with `ResourceInUse`;
//! - a subscription ends after five minutes: the next begins at the last continuation;
//! - a connection can die without a sign: after 15–20 s without an event (the service sends one
//!   about every 5 s) the subscription is given up;
//! - another process with the same consumer name takes a shard over: it is taken back, but later
//!   each time;
//! - a position past retention is refused: reading goes on at the oldest record left.

use std::time::{Duration, Instant};

use super::backoff::{backoff, jitter};
use super::cursor::Cursor;
use crate::kinesis::{ErrorKind, StartingPosition};
use crate::message::SequenceNumber;

/// The times that the rules name; settable for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The least time between two calls (the service: 1 s).
    pub call_interval: Duration,
    /// The least time from a successful call to the next (the service: 5 s).
    pub takeover_after: Duration,
    /// The least silence after which a subscription is given up; drawn anew each time up to a
    /// third more.
    pub silence: Duration,
    /// From this age on a subscription that ends has not failed (the service ends it at 5 min).
    pub settled: Duration,
    /// The first wait after a failure; it doubles with each in a row.
    pub backoff_first: Duration,
    /// The longest wait after failures.
    pub backoff_last: Duration,
    /// The longest wait after another process has taken the shard over, again and again.
    pub contended_last: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            call_interval: Duration::from_secs(1),
            takeover_after: Duration::from_secs(5),
            silence: Duration::from_secs(15),
            settled: Duration::from_mins(1),
            backoff_first: Duration::from_millis(500),
            backoff_last: Duration::from_secs(30),
            contended_last: Duration::from_mins(5),
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The subscription is open.
    Opened,
    /// It could not be opened.
    OpenFailed(ErrorKind),
    /// An event came and was processed.
    Event {
        /// Where to go on; none at the end of the shard.
        continuation: Option<SequenceNumber>,
    },
    /// The service ended the subscription.
    Ended,
    /// The subscription broke, or the service ended it with an exception.
    Broken(ErrorKind),
    /// Nothing came until the time that [`Action::Listen`] named.
    Silent,
    /// There is another consumer to subscribe now; what was open or under way was dropped.
    ConsumerChanged,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Subscribe from there.
    Subscribe(StartingPosition),
    /// Wait until then, and ask again.
    Wait(Instant),
    /// Take the next event; if none comes until then, say [`Input::Silent`].
    Listen(Instant),
    /// The shard was read to its end.
    Finish,
}

/// What is worth telling about what happened, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The subscription is renewed; the reason is a metric's label.
    Renewing(&'static str),
    /// It could not be opened, and is tried again.
    Retrying(ErrorKind),
    /// Another process with this consumer's name has taken the shard over, so often in a row.
    TakenOver(u32),
    /// There is no such consumer, or no such shard: somebody must look.
    Missing,
    /// The position is past retention: what lay between it and the oldest record left is lost.
    Trimmed(SequenceNumber),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is open; not before that time will anything be.
    Closed(Instant),
    /// A call is under way.
    Opening,
    /// A subscription is open.
    Open { since: Instant, silent_at: Instant },
}

/// One shard's reader.
#[derive(Debug)]
pub(super) struct Reader {
    rules: Rules,
    rng: fastrand::Rng,
    cursor: Cursor,
    phase: Phase,
    last_call: Option<Instant>,
    /// The last call that succeeded, or may have.
    last_open: Option<Instant>,
    /// Failures in a row.
    failures: u32,
    /// Times in a row that somebody else had the shard.
    contended: u32,
}

impl Reader {
    pub(super) fn new(cursor: Cursor, rules: Rules, rng: fastrand::Rng, now: Instant) -> Self {
        Self {
            rules,
            rng,
            cursor,
            phase: Phase::Closed(now),
            last_call: None,
            last_open: None,
            failures: 0,
            contended: 0,
        }
    }

    /// Where the reader stands.
    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// What to do now.
    pub(super) fn next(&mut self, now: Instant) -> Action {
        if self.cursor.is_finished() {
            return Action::Finish;
        }
        if self.phase == Phase::Opening {
            // Asked while a call is under way: it was dropped, but may have succeeded.
            self.last_open = Some(now);
            self.phase = Phase::Closed(now);
        }
        match self.phase {
            Phase::Open { silent_at, .. } => Action::Listen(silent_at),
            Phase::Closed(not_before) => {
                let at = not_before
                    .max(after(self.last_call, self.rules.call_interval, now))
                    .max(after(self.last_open, self.rules.takeover_after, now));
                if now < at {
                    return Action::Wait(at);
                }
                self.phase = Phase::Opening;
                self.last_call = Some(now);
                Action::Subscribe(self.cursor.from())
            }
            Phase::Opening => Action::Wait(now + self.rules.call_interval),
        }
    }

    /// Takes in what happened.
    pub(super) fn on(&mut self, input: Input, now: Instant) -> Option<Notice> {
        match input {
            Input::Opened => {
                self.last_open = Some(now);
                self.phase = Phase::Open {
                    since: now,
                    silent_at: self.silent_at(now),
                };
                None
            }
            Input::Event { continuation } => {
                self.cursor.advance(continuation);
                let age = self.age(now);
                if let Phase::Open { since, .. } = self.phase {
                    self.phase = Phase::Open {
                        since,
                        silent_at: self.silent_at(now),
                    };
                }
                if age >= self.rules.settled {
                    self.failures = 0;
                }
                None
            }
            Input::OpenFailed(kind) => Some(self.open_failed(kind, now)),
            Input::Ended => {
                let settled = self.age(now) >= self.rules.settled;
                self.end(settled, now);
                Some(Notice::Renewing(if settled { "expired" } else { "ended" }))
            }
            Input::Silent => {
                self.end(self.age(now) >= self.rules.settled, now);
                Some(Notice::Renewing("silent"))
            }
            Input::Broken(ErrorKind::ResourceInUse) => {
                self.contended = self.contended.saturating_add(1);
                let wait = backoff(
                    2 * self.rules.takeover_after,
                    self.rules.contended_last,
                    self.contended,
                    &mut self.rng,
                );
                self.phase = Phase::Closed(now + wait);
                Some(Notice::TakenOver(self.contended))
            }
            Input::Broken(ErrorKind::ResourceNotFound) => {
                self.fail(now);
                Some(Notice::Missing)
            }
            Input::Broken(kind) => {
                self.end(self.age(now) >= self.rules.settled, now);
                Some(Notice::Renewing(kind.as_str()))
            }
            Input::ConsumerChanged => {
                // The rules bind consumer and shard, and this is another consumer.
                self.last_open = None;
                self.failures = 0;
                self.contended = 0;
                self.phase = Phase::Closed(now);
                Some(Notice::Renewing("consumer_changed"))
            }
        }
    }

    fn open_failed(&mut self, kind: ErrorKind, now: Instant) -> Notice {
        match kind {
            ErrorKind::InvalidArgument => {
                if let Some(lost) = self.cursor.restart() {
                    self.phase = Phase::Closed(now);
                    return Notice::Trimmed(lost);
                }
                self.fail(now);
                Notice::Retrying(kind)
            }
            ErrorKind::ResourceInUse => {
                // Not active yet, or somebody (we, by a call whose answer was lost) has subscribed
                // less than 5 s ago.
                self.contended = self.contended.saturating_add(1);
                let wait = backoff(
                    self.rules.call_interval,
                    self.rules.contended_last,
                    self.contended,
                    &mut self.rng,
                );
                self.phase = Phase::Closed(now + wait);
                Notice::Retrying(kind)
            }
            ErrorKind::ResourceNotFound => {
                self.fail(now);
                Notice::Missing
            }
            _ => {
                if kind == ErrorKind::Timeout {
                    // It may have succeeded; to call again at once would be refused.
                    self.last_open = Some(now);
                }
                self.fail(now);
                Notice::Retrying(kind)
            }
        }
    }

    fn fail(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff(
            self.rules.backoff_first,
            self.rules.backoff_last,
            self.failures,
            &mut self.rng,
        );
        self.phase = Phase::Closed(now + wait);
    }

    /// A subscription came to its end: as it should, or too early. The first that ends too early
    /// is renewed as soon as the rules allow it; those after it wait.
    fn end(&mut self, settled: bool, now: Instant) {
        if settled {
            self.failures = 0;
            self.contended = 0;
            self.phase = Phase::Closed(now);
        } else if self.failures == 0 {
            self.failures = 1;
            self.phase = Phase::Closed(now);
        } else {
            self.fail(now);
        }
    }

    fn age(&self, now: Instant) -> Duration {
        match self.phase {
            Phase::Open { since, .. } => now.saturating_duration_since(since),
            Phase::Closed(_) | Phase::Opening => Duration::ZERO,
        }
    }

    fn silent_at(&mut self, now: Instant) -> Instant {
        let least = self.rules.silence;
        now + jitter(least, least + least / 3, &mut self.rng)
    }
}

fn after(last: Option<Instant>, wait: Duration, now: Instant) -> Instant {
    last.map_or(now, |last| last + wait)
}

#[cfg(test)]
#[path = "shard_tests.rs"]
mod tests;
