//! One shard's lane: what waits for it, and the one call that may be under way.

use std::time::{Duration, Instant};

use super::company::Company;
use super::lanes::CallId;
use super::queue::{Queue, Waiting};
use crate::kinesis::{HashKeyRange, PutOutcome, ShardId};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
#[derive(Debug)]
pub(super) struct Lane<T> {
    pub(super) shard: ShardId,
    pub(super) range: HashKeyRange,
    pub(super) queue: Queue<T>,
    pub(super) flight: Option<Flight<T>>,
    /// An answer came from another shard, so this one has closed: nothing is sent before a list
    /// of shards that was asked for after that.
    pub(super) awaits_map: Option<u64>,
    pub(super) pause: Pause,
    company: Company,
}

/// A call under way, or answered and waiting for a list of shards to be understood.
#[derive(Debug)]
pub(super) struct Flight<T> {
    pub(super) call: CallId,
    /// The messages of each record.
    pub(super) messages: Vec<Vec<Waiting<T>>>,
    pub(super) held: Option<Held>,
}

/// An answer that names a shard nobody has heard of.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) outcomes: Vec<PutOutcome>,
    /// The list of shards that will tell, by its number.
    pub(super) until_map: u64,
}

impl<T> Lane<T> {
    pub(super) fn new(shard: ShardId, range: HashKeyRange) -> Self {
        Self {
            shard,
            range,
            queue: Queue::new(),
            flight: None,
            awaits_map: None,
            pause: Pause::default(),
            company: Company::default(),
        }
    }

    /// Whether it has something to send and nothing of its own that keeps it from sending but,
    /// maybe, its pause.
    pub(super) fn is_ready(&self) -> bool {
        !self.queue.is_empty() && self.flight.is_none() && self.awaits_map.is_none()
    }

    /// An answer has come: whoever it was for may send again at once, beside those who wait.
    pub(super) fn answered(&mut self, now: Instant) {
        let flight = self.flight.iter().flat_map(|flight| &flight.messages);
        let answered = flight.map(Vec::len).sum();
        self.company.expect(answered, self.queue.len(), now);
    }

    /// Until when more messages are waited for before the next call, if they are.
    pub(super) fn gathers_until(&self, now: Instant) -> Option<Instant> {
        self.company.gathers_until(self.queue.len(), now)
    }

    /// A call is made with what waits: whether waiting was worth it is known.
    pub(super) fn departs(&mut self) {
        self.company.depart(self.queue.len());
    }

    /// Takes the flight's messages back to the head of the queue.
    pub(super) fn land(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.queue
                .put_back(flight.messages.into_iter().flatten().collect());
        }
    }
}

/// Back-off: exponential, jittered.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    pub(super) until: Option<Instant>,
}

impl Pause {
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Somewhat worked: pause, but from the start.
    pub(super) fn partly_failed(&mut self, now: Instant, rng: &mut fastrand::Rng) {
        self.failures = 0;
        self.failed(now, rng);
    }

    pub(super) fn failed(&mut self, now: Instant, rng: &mut fastrand::Rng) {
        let longest = FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        // Between half of it and all of it.
        self.until = Some(now + longest.mul_f64(0.5 + rng.f64() / 2.0));
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_are_never_the_same() {
        let now = Instant::now();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut pause = Pause::default();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            pause.failed(now, &mut rng);
            pauses.push(pause.until.unwrap() - now);
        }
        assert!(pauses[0] >= FIRST_PAUSE / 2 && pauses[0] <= FIRST_PAUSE);
        assert!(pauses[39] >= LONGEST_PAUSE / 2 && pauses[39] <= LONGEST_PAUSE);
        assert_ne!(pauses[38], pauses[39]);
        assert!(!pause.is_over(now));
        pause.succeeded();
        assert!(pause.is_over(now));
    }
}
