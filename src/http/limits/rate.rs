//! Token buckets, one for each key: so many at once, and no more than that in a time for ever.
//!
//! A bucket is one number, the time at which it is full again (the generic cell rate algorithm, ITU-T
//! I.371). One that is full says no more than one that is not there: that is when it is forgotten.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;
use std::time::Duration;

/// How often something may happen: `count` times at once, and that many times in each `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
}

/// The text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a rate")]
pub struct InvalidRate;

/// The most that can be allowed at once.
const MOST: u32 = 10_000_000;
/// The longest time in which as many come back.
const LONGEST: Duration = Duration::from_hours(1);

impl FromStr for Rate {
    type Err = InvalidRate;

    /// `5/s`, `30/m` or `30/10s`.
    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (count, per) = text.split_once('/').ok_or(InvalidRate)?;
        let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let count = digits.then(|| count.parse().ok()).flatten();
        let count = count.filter(|count| (1..=MOST).contains(count));
        let per = match per {
            "s" => Some(Duration::from_secs(1)),
            "m" => Some(Duration::from_mins(1)),
            text => humantime::parse_duration(text).ok(),
        };
        let per = per.filter(|per| (Duration::from_millis(1)..=LONGEST).contains(per));
        match (count, per) {
            (Some(count), Some(per)) => Ok(Self { count, per }),
            _ => Err(InvalidRate),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = humantime::format_duration(self.per);
        write!(f, "{}/{per}", self.count)
    }
}

impl Rate {
    /// Takes one out of a bucket that is full again at `full`: when it is now, or how long to wait
    /// until there is one in it. Times are since any common moment.
    fn take(self, full: Duration, now: Duration) -> Result<Duration, Duration> {
        let full = full.max(now) + self.per / self.count;
        match full.checked_sub(now + self.per) {
            None | Some(Duration::ZERO) => Ok(full),
            Some(wait) => Err(wait),
        }
    }
}

/// The buckets of some keys, as many as there may be.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    most: usize,
    /// When each is full again.
    full: HashMap<K, Duration>,
    /// At how many it is looked for full ones.
    clear_at: usize,
    /// The one bucket that those share for whom there is no place.
    others: Duration,
}

impl<K: Eq + Hash> Buckets<K> {
    /// No bucket yet, and never more than `most`.
    pub(super) fn new(rate: Rate, most: usize) -> Self {
        Self {
            rate,
            most,
            full: HashMap::new(),
            clear_at: 0,
            others: Duration::ZERO,
        }
    }

    /// Takes one from a key's bucket, or says how long to wait until there is one in it.
    pub(super) fn take(&mut self, key: K, now: Duration) -> Result<(), Duration> {
        if let Some(full) = self.full.get_mut(&key) {
            *full = self.rate.take(*full, now)?;
            return Ok(());
        }
        if self.full.len() >= self.clear_at.min(self.most) {
            self.clear(now);
        }
        if self.full.len() < self.most {
            let full = self.rate.take(Duration::ZERO, now)?;
            self.full.insert(key, full);
        } else {
            self.others = self.rate.take(self.others, now)?;
        }
        Ok(())
    }

    /// Forgets the full ones. Looked for again when there are twice as many as are left, so that it
    /// costs a key no more than a constant; but when there is no place.
    fn clear(&mut self, now: Duration) {
        self.full.retain(|_, full| *full > now);
        self.full.shrink_to(self.full.len() * 2);
        self.clear_at = (self.full.len() * 2).max(16);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.full.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        for (text, shown) in [
            ("5/s", "5/1s"),
            ("30/m", "30/1m"),
            ("30/10s", "30/10s"),
            ("1/500ms", "1/500ms"),
            ("10000000/1h", "10000000/1h"),
        ] {
            assert_eq!(rate(text).to_string(), shown);
            assert_eq!(rate(shown), rate(text));
        }
        for text in [
            "",
            "5",
            "/s",
            "5/",
            "0/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "5/0s",
            "5/2h",
            "5/x",
            "5/s/s",
            "99999999999/s",
            "5 /s",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate), "{text:?}");
        }
    }

    #[test]
    fn so_many_at_once_and_then_one_after_the_other() {
        let mut buckets = Buckets::new(rate("4/s"), 10);
        let at = Duration::from_millis;
        for _ in 0..4 {
            assert_eq!(buckets.take("a", at(1_000)), Ok(()));
        }
        assert_eq!(buckets.take("a", at(1_000)), Err(at(250)));
        assert_eq!(buckets.take("b", at(1_000)), Ok(()), "a bucket of its own");
        assert_eq!(
            buckets.take("a", at(1_100)),
            Err(at(150)),
            "asking costs nothing"
        );
        assert_eq!(buckets.take("a", at(1_250)), Ok(()));
        assert_eq!(buckets.take("a", at(1_250)), Err(at(250)));
    }

    #[test]
    fn who_finds_no_place_shares_one_bucket_until_others_are_forgotten() {
        let mut buckets = Buckets::new(rate("2/s"), 2);
        let at = Duration::from_millis;
        for key in ["a", "b", "c", "d"] {
            assert_eq!(buckets.take(key, at(0)), Ok(()), "{key}");
        }
        assert_eq!(buckets.take("e", at(0)), Err(at(500)));
        assert_eq!(buckets.take("a", at(0)), Ok(()), "a has its own");
        assert_eq!(buckets.take("e", at(1_500)), Ok(()));
        assert_eq!(buckets.len(), 1, "a and b were full again");
    }

    /// A bucket by the book: tokens that drip in, in units of `per.as_nanos()` parts of a token.
    struct Naive {
        tokens: u128,
        at: Duration,
    }

    proptest! {
        #[test]
        fn it_is_the_bucket_of_the_book(
            count in 1_u32..50,
            per in prop::sample::select(vec![100_u64, 1_000, 10_000]),
            steps in prop::collection::vec((0_u64..400, 0_u8..3), 1..300),
        ) {
            // A whole number of nanoseconds a token, so that both count the same.
            let per = Duration::from_nanos(per * 1_000_000 / u64::from(count) * u64::from(count));
            let rate = Rate { count, per };
            let one = per.as_nanos();
            let all = one * u128::from(count);
            let mut naive: HashMap<u8, Naive> = HashMap::new();
            let mut buckets = Buckets::new(rate, 100);
            let mut now = Duration::ZERO;
            for (step, key) in steps {
                now += Duration::from_millis(step);
                let bucket = naive.entry(key).or_insert(Naive { tokens: all, at: now });
                let dripped = now.saturating_sub(bucket.at).as_nanos() * u128::from(count);
                bucket.tokens = (bucket.tokens + dripped).min(all);
                bucket.at = now;
                let allowed = bucket.tokens >= one;
                if allowed {
                    bucket.tokens -= one;
                }
                let taken = buckets.take(key, now);
                prop_assert_eq!(taken.is_ok(), allowed);
                if let Err(wait) = taken {
                    let missing = one - bucket.tokens;
                    prop_assert_eq!(wait.as_nanos(), missing / u128::from(count));
                }
            }
        }

        #[test]
        fn there_are_never_more_buckets_than_may_be(
            most in 1_usize..40,
            steps in prop::collection::vec((0_u64..300, 0_u16..500), 1..600),
        ) {
            let mut buckets = Buckets::new(rate("3/s"), most);
            let mut now = Duration::ZERO;
            let mut allowed = 0_u128;
            for (step, key) in steps {
                now += Duration::from_millis(step);
                allowed += u128::from(buckets.take(key, now).is_ok());
                prop_assert!(buckets.len() <= most);
            }
            // All of them together get no more than they may, that of those without a place too.
            let keys = 501 * (3 + 3 * now.as_millis() / 1_000 + 1);
            prop_assert!(allowed <= keys);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,20}", count in "[0-9]{0,12}", per in "[0-9smh]{0,6}") {
            let _ = text.parse::<Rate>();
            if let Ok(rate) = format!("{count}/{per}").parse::<Rate>() {
                prop_assert_eq!(rate.to_string().parse(), Ok(rate));
            }
        }
    }
}
