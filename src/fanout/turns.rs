//! Whose turn it is on a worker's thread: the sweeps', or everybody else's.
//!
//! PERFORMANCE: publishers who are served within a sweep make the next one larger, so they have a
//! turn after every few dozen writes. But their turn takes as long as there are some who wait:
//! when a crowd comes in, a thousand handshakes. So a turn of theirs that was long is followed by a
//! turn of the sweeps as long, and a crowd leaves half of the time to those who are there.
//!
//! Writes are not all that a sweep costs: in a room with few viewers and long messages it is the
//! encoding. So between two sweeps the clock counts too.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The least writes of a turn of the sweeps.
const WRITES: usize = 32;

/// After so long a turn of the sweeps ends between two of them, however few writes there were.
const LONG: Duration = Duration::from_millis(1);

/// The longest that a turn of the sweeps lasts because of the one before it.
const LONGEST: Duration = Duration::from_millis(20);

/// Keeps the turns.
pub(super) struct Turns {
    writes: Cell<usize>,
    /// When the sweeps' turn began.
    began: Cell<Instant>,
    /// The sweeps' turn lasts until then at least.
    until: Cell<Instant>,
}

impl Turns {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            writes: Cell::new(0),
            began: Cell::new(now),
            until: Cell::new(now),
        }
    }

    /// Counts a write.
    pub(super) fn wrote(&self) {
        self.writes.set(self.writes.get() + 1);
    }

    /// Whether there were so many writes that the clock is to be looked at.
    pub(super) fn are_counted(&self) -> bool {
        self.writes.get() >= WRITES
    }

    /// Whether others are to have their turn; otherwise it is looked again after as many writes.
    pub(super) fn are_others_next(&self, now: Instant) -> bool {
        self.writes.set(0);
        now >= self.until.get()
    }

    /// Between two sweeps: whether others are to have their turn because this one was long.
    pub(super) fn was_long(&self, now: Instant) -> bool {
        now >= self.until.get() && now.saturating_duration_since(self.began.get()) >= LONG
    }

    /// Others had a turn.
    pub(super) fn others_had(&self, began: Instant, now: Instant) {
        let taken = now.saturating_duration_since(began).min(LONGEST);
        self.began.set(now);
        self.until.set(now + taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of a second that sweeps have whose writes take 10 µs each, when a turn of the others
    /// takes this long.
    fn share(others: Duration) -> f64 {
        let start = Instant::now();
        let mut now = start;
        let turns = Turns::new(now);
        let mut swept = Duration::ZERO;
        while now - start < Duration::from_secs(1) {
            now += Duration::from_micros(10);
            swept += Duration::from_micros(10);
            turns.wrote();
            if turns.are_counted() && turns.are_others_next(now) {
                let began = now;
                now += others;
                turns.others_had(began, now);
            }
        }
        swept.as_secs_f64() / (now - start).as_secs_f64()
    }

    #[test]
    fn sweeps_have_half_of_the_time_however_many_others_wait() {
        for millis in [3, 5, 20] {
            let share = share(Duration::from_millis(millis));
            assert!((0.45..0.7).contains(&share), "{millis} ms: {share}");
        }
        // But nobody waits much longer than the longest turn, even after a pause of the machine.
        assert!(share(Duration::from_millis(400)) < 0.1);
    }

    #[test]
    fn others_have_a_turn_every_few_milliseconds_although_hardly_anything_is_written() {
        let start = Instant::now();
        let mut now = start;
        let turns = Turns::new(now);
        let mut had = 0;
        while now - start < Duration::from_secs(1) {
            // One write, of what took long to encode.
            now += Duration::from_micros(700);
            turns.wrote();
            if turns.was_long(now) {
                let began = now;
                now += Duration::from_micros(300);
                turns.others_had(began, now);
                had += 1;
            }
        }
        assert!((500..700).contains(&had), "{had} turns in a second");
    }

    #[test]
    fn who_needs_little_has_it_after_every_few_dozen_writes() {
        let share = share(Duration::from_micros(100));
        let turn = 0.32;
        assert!((share - turn / (turn + 0.1)).abs() < 0.01, "{share}");
    }
}
