//! How long to wait before trying again.

use std::time::Duration;

/// The wait before the `attempt`th try in a row (from 1): it doubles from `first` up to `last`,
/// and is drawn from its upper half, so that those who failed together do not try together.
pub(super) fn backoff(
    first: Duration,
    last: Duration,
    attempt: u32,
    rng: &mut fastrand::Rng,
) -> Duration {
    let doublings = attempt.saturating_sub(1).min(20);
    let whole = first.saturating_mul(1 << doublings).min(last);
    jitter(whole / 2, whole, rng)
}

/// A wait between the two.
pub(super) fn jitter(least: Duration, most: Duration, rng: &mut fastrand::Rng) -> Duration {
    least + most.saturating_sub(least).mul_f64(rng.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_bound_and_stays_in_the_upper_half() {
        let mut rng = fastrand::Rng::with_seed(7);
        let (first, last) = (Duration::from_secs(1), Duration::from_secs(30));
        for (attempt, whole) in [(0, 1), (1, 1), (2, 2), (5, 16), (6, 30), (u32::MAX, 30)] {
            for _ in 0..100 {
                let wait = backoff(first, last, attempt, &mut rng);
                assert!(
                    wait >= Duration::from_secs(whole) / 2,
                    "{attempt}: {wait:?}"
                );
                assert!(wait <= Duration::from_secs(whole), "{attempt}: {wait:?}");
            }
        }
    }
}
