//! Whether a call waits a moment for those who are likely to send something.
//!
//! PERFORMANCE: a call costs some 100 µs of CPU time, whatever is in it, so that it pays to let those who were just answered
//! into the next one, if they send again at once, as publishers under load do. Others do not come back: then each wait is one
//! for nothing, so after two such the next are left out, twice as many each time. Nobody waits where messages are rare, for
//! nobody is expected but the one who comes.

use std::time::{Duration, Instant};

/// How long others are waited for; a timer may take a millisecond or two more.
pub(super) const GATHERING: Duration = Duration::from_millis(1);
/// A call with so many messages is worth its cost.
const ENOUGH: usize = 64;
/// The most waits that are left out one after the other.
const MOST_LEFT_OUT: u32 = 64;

/// Those who are expected.
#[derive(Debug, Default)]
pub(super) struct Company {
    wait: Option<Wait>,
    /// Waits in vain, one after the other.
    in_vain: u32,
    /// Waits that are still to be left out.
    left_out: u32,
}

#[derive(Debug)]
struct Wait {
    until: Instant,
    /// With so many messages it ends.
    expected: usize,
    /// Messages of the last call, and those that were there when it was answered.
    answered: usize,
    there: usize,
}

impl Company {
    /// So many messages were answered while so many others are there.
    pub(super) fn expect(&mut self, answered: usize, there: usize, now: Instant) {
        let expected = (answered + there).min(ENOUGH);
        // Who is alone is neither waited for nor a sign of anything.
        let wait = expected > there.max(1);
        self.wait = (wait && self.left_out == 0).then(|| Wait {
            until: now + GATHERING,
            expected,
            answered,
            there,
        });
        self.left_out -= u32::from(wait && self.left_out > 0);
    }

    /// Until when others are waited for, with so many messages there.
    pub(super) fn gathers_until(&self, there: usize, now: Instant) -> Option<Instant> {
        let wait = self.wait.as_ref()?;
        (now < wait.until && there < wait.expected).then_some(wait.until)
    }

    /// The next call is made, with so many messages there.
    pub(super) fn depart(&mut self, there: usize) {
        let Some(wait) = self.wait.take() else {
            return;
        };
        let came = there.saturating_sub(wait.there);
        if there >= wait.expected || came * 2 >= wait.answered {
            self.in_vain = 0;
        } else {
            // The first is nothing to go by: under load one comes now and then.
            self.left_out = ((1 << self.in_vain.min(31)) / 2).min(MOST_LEFT_OUT);
            self.in_vain += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each call, whether those who were answered were waited for; of each five, so many come back.
    fn waits(back: usize, calls: usize) -> Vec<bool> {
        let mut now = Instant::now();
        let mut company = Company::default();
        let wait = |_| {
            company.expect(5, 2, now);
            let waits = company.gathers_until(2 + back, now).is_some() || company.wait.is_some();
            now += GATHERING;
            assert_eq!(company.gathers_until(2 + back, now), None);
            company.depart(2 + back);
            waits
        };
        (0..calls).map(wait).collect()
    }

    #[test]
    fn those_who_come_back_are_waited_for_each_time() {
        assert!(waits(5, 100).into_iter().all(|waits| waits));
        assert!(waits(3, 100).into_iter().all(|waits| waits));
    }

    #[test]
    fn those_who_do_not_are_waited_for_less_and_less() {
        let waits = waits(2, 1_000);
        assert_eq!(
            waits[..8],
            [true, true, false, true, false, false, true, false]
        );
        let count = |waits: &[bool]| waits.iter().filter(|waits| **waits).count();
        // Twice as many left out each time, and then 64.
        assert_eq!(count(&waits), 7 + (1_000_usize - 70).div_ceil(65));
    }

    #[test]
    fn whoever_is_alone_or_has_enough_company_does_not_wait() {
        let now = Instant::now();
        let mut company = Company::default();
        company.expect(1, 0, now);
        assert_eq!(company.gathers_until(1, now), None);
        company.expect(500, ENOUGH, now);
        assert_eq!(company.gathers_until(ENOUGH, now), None);
        company.expect(500, 3, now);
        assert_eq!(
            company.gathers_until(ENOUGH - 1, now),
            Some(now + GATHERING)
        );
        assert_eq!(company.gathers_until(ENOUGH, now), None);
    }
}
