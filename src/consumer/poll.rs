//! When to poll a shard: the pace of `GetRecords`.
//!
//! Pure. Five calls a second and shard are allowed, to all who poll it together (Kinesis API
//! reference, `GetRecords`), so whoever is throttled goes back, and nobody polls in step.

use std::time::{Duration, Instant};

use super::backoff::{backoff, jitter};

/// The times of polling; settable for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollRules {
    /// The least time between two calls (the service: 200 ms, if nobody else polls).
    pub busy: Duration,
    /// The longest time between two calls while nothing comes.
    pub idle: Duration,
    /// The longest wait after failures.
    pub backoff_last: Duration,
    /// Records asked for at once.
    pub page: u16,
}

impl Default for PollRules {
    fn default() -> Self {
        Self {
            busy: Duration::from_millis(200),
            idle: Duration::from_secs(1),
            backoff_last: Duration::from_secs(10),
            page: 10_000,
        }
    }
}

/// The pace at which one shard is polled.
#[derive(Debug)]
pub(super) struct Pace {
    rules: PollRules,
    rng: fastrand::Rng,
    empty: u32,
    failures: u32,
}

impl Pace {
    pub(super) fn new(rules: PollRules, rng: fastrand::Rng) -> Self {
        Self {
            rules,
            rng,
            empty: 0,
            failures: 0,
        }
    }

    /// A page came, called for at `called`: when to call next.
    pub(super) fn page(&mut self, records: usize, millis_behind: u64, called: Instant) -> Instant {
        self.failures = 0;
        let busy = self.rules.busy;
        if records > 0 || millis_behind > 0 {
            self.empty = 0;
            return called + jitter(busy, busy + busy / 4, &mut self.rng);
        }
        self.empty = self.empty.saturating_add(1);
        let wait = backoff(2 * busy, self.rules.idle, self.empty, &mut self.rng);
        called + wait.max(busy)
    }

    /// The call failed: when to try again.
    pub(super) fn failed(&mut self, now: Instant) -> Instant {
        self.failures = self.failures.saturating_add(1);
        let (first, last) = (5 * self.rules.busy, self.rules.backoff_last);
        now + backoff(first, last, self.failures, &mut self.rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(from: Instant, to: Instant) -> u128 {
        to.duration_since(from).as_millis()
    }

    #[test]
    fn it_polls_often_while_something_comes_and_once_a_second_at_last_while_nothing_does() {
        let mut pace = Pace::new(PollRules::default(), fastrand::Rng::with_seed(7));
        let now = Instant::now();
        assert!((200..=250).contains(&millis(now, pace.page(3, 0, now))));
        assert!((200..=250).contains(&millis(now, pace.page(0, 9, now))));
        assert!((200..=400).contains(&millis(now, pace.page(0, 0, now))));
        for _ in 0..100 {
            let wait = millis(now, pace.page(0, 0, now));
            assert!((200..=1_000).contains(&wait), "{wait}");
        }
        assert!((200..=250).contains(&millis(now, pace.page(1, 0, now))));
    }

    #[test]
    fn it_goes_back_while_it_is_throttled() {
        let mut pace = Pace::new(PollRules::default(), fastrand::Rng::with_seed(7));
        let now = Instant::now();
        assert!((500..=1_000).contains(&millis(now, pace.failed(now))));
        for _ in 0..10 {
            pace.failed(now);
        }
        assert!((5_000..=10_000).contains(&millis(now, pace.failed(now))));
        pace.page(1, 0, now);
        assert!((500..=1_000).contains(&millis(now, pace.failed(now))));
    }
}
