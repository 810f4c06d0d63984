//! When the shards are listed: every so often, soon where one is known to be missing, later each
//! time that it fails. Pure: the time is an argument.

use std::time::{Duration, Instant};

use super::backoff::{backoff, jitter};

const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait for a listing that is known to bring something.
const LAST_SOON: Duration = Duration::from_secs(2);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LAST_BACKOFF: Duration = Duration::from_secs(30);

/// The listings of one stream's shards.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    rng: fastrand::Rng,
    is_running: bool,
    next: Instant,
    /// When a listing last came; before the first, when we began.
    last: Instant,
    /// Listings in a row that failed, or lacked what was known to be missing.
    in_vain: u32,
}

impl Schedule {
    /// The first at once, and then one an `interval`, or up to a quarter sooner.
    pub(super) fn new(interval: Duration, rng: fastrand::Rng, now: Instant) -> Self {
        Self {
            interval,
            rng,
            is_running: false,
            next: now,
            last: now,
            in_vain: 0,
        }
    }

    /// When to begin the next one; none while one is under way.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.is_running).then_some(self.next)
    }

    /// When the last one came.
    pub(super) fn last(&self) -> Instant {
        self.last
    }

    /// One is under way.
    pub(super) fn begins(&mut self) {
        self.is_running = true;
    }

    /// It came to nothing, not even a failure.
    pub(super) fn is_dropped(&mut self) {
        self.is_running = false;
    }

    /// It came; `is_all` if nothing that is known of is missing in it.
    pub(super) fn came(&mut self, is_all: bool, now: Instant) {
        self.is_running = false;
        self.last = now;
        if is_all {
            self.in_vain = 0;
            let most = self.interval;
            self.next = now + jitter(most * 3 / 4, most, &mut self.rng);
        } else {
            self.again(now);
        }
    }

    /// It failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.is_running = false;
        self.in_vain = self.in_vain.saturating_add(1);
        self.next = now + backoff(FIRST_BACKOFF, LAST_BACKOFF, self.in_vain, &mut self.rng);
    }

    /// Something new is known to be missing: one is wanted at once.
    pub(super) fn wanted(&mut self, now: Instant) {
        self.in_vain = 0;
        self.again(now);
    }

    /// Something may have changed: one is wanted before long.
    pub(super) fn wanted_soon(&mut self, now: Instant) {
        self.next = self.next.min(now + LAST_SOON);
    }

    /// At once the first time, then less and less soon.
    fn again(&mut self, now: Instant) {
        let wait = match self.in_vain {
            0 => Duration::ZERO,
            attempt => backoff(FIRST_WAIT, LAST_SOON, attempt, &mut self.rng),
        };
        self.in_vain = self.in_vain.saturating_add(1);
        self.next = now + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn schedule(now: Instant) -> Schedule {
        Schedule::new(INTERVAL, fastrand::Rng::with_seed(7), now)
    }

    fn wait(schedule: &Schedule, now: Instant) -> Duration {
        schedule.next().expect("none is under way") - now
    }

    #[test]
    fn one_is_under_way_at_a_time_and_the_next_comes_an_interval_later() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        assert_eq!(wait(&schedule, now), Duration::ZERO);
        schedule.begins();
        assert_eq!(schedule.next(), None);
        schedule.came(true, now);
        assert!((INTERVAL * 3 / 4..=INTERVAL).contains(&wait(&schedule, now)));
        schedule.wanted_soon(now);
        assert_eq!(wait(&schedule, now), LAST_SOON);
        schedule.begins();
        schedule.is_dropped();
        assert!(schedule.next().is_some());
    }

    #[test]
    fn what_is_known_to_be_missing_is_asked_for_at_once_and_then_less_and_less_often() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.wanted(now);
        assert_eq!(wait(&schedule, now), Duration::ZERO);
        let mut waits = Vec::new();
        for _ in 0..10 {
            schedule.begins();
            schedule.came(false, now);
            waits.push(wait(&schedule, now));
        }
        assert!(waits[0] <= FIRST_WAIT, "{waits:?}");
        assert!(
            waits[9] >= LAST_SOON / 2 && waits[9] <= LAST_SOON,
            "{waits:?}"
        );
    }

    #[test]
    fn who_fails_waits_longer_each_time() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        for attempt in 0..20 {
            schedule.begins();
            schedule.failed(now);
            let wait = wait(&schedule, now);
            assert!(wait <= LAST_BACKOFF, "{attempt}: {wait:?}");
            assert!(
                attempt < 10 || wait >= LAST_BACKOFF / 2,
                "{attempt}: {wait:?}"
            );
        }
        schedule.begins();
        schedule.came(true, now);
        schedule.begins();
        schedule.failed(now);
        assert!(wait(&schedule, now) <= FIRST_BACKOFF);
    }
}
