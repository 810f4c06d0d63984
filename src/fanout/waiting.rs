//! Rooms with something new that rest before they are swept again.
//!
//! PERFORMANCE: what a sweep costs is the writes. A busy room that is swept less often has more
//! frames in each write, for some more latency (`sweep_interval`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep_until;

use crate::log::RoomLog;

/// Who waits, by when its time comes.
pub(super) struct Waiting<T = Arc<RoomLog>> {
    /// The number tells those apart whose time is the same, in the order in which they came.
    queue: BTreeMap<(Instant, u64), T>,
    added: u64,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            queue: BTreeMap::new(),
            added: 0,
        }
    }
}

impl<T> Waiting<T> {
    /// Lets somebody wait until then.
    pub(super) fn add(&mut self, until: Instant, who: T) {
        self.queue.insert((until, self.added), who);
        self.added += 1;
    }

    /// The next whose time has come; waits for ever if there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> T {
        let Some((time, _)) = self.queue.keys().next().copied() else {
            return std::future::pending().await;
        };
        sleep_until(time.into()).await;
        match self.queue.pop_first() {
            Some((_, who)) => who,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{self, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn they_come_when_their_time_comes_and_in_the_order_of_their_times() {
        let start = time::Instant::now();
        let mut waiting = Waiting::default();
        for (millis, name) in [(20, "c"), (5, "a"), (20, "d"), (10, "b")] {
            waiting.add(start.into_std() + Duration::from_millis(millis), name);
        }
        assert!(
            timeout(Duration::from_millis(4), waiting.next())
                .await
                .is_err()
        );
        for (name, millis) in [("a", 5), ("b", 10), ("c", 20), ("d", 20)] {
            assert_eq!(waiting.next().await, name);
            assert!(start.elapsed() >= Duration::from_millis(millis), "{name}");
        }
        let more = timeout(Duration::from_hours(1), waiting.next()).await;
        assert!(more.is_err(), "nobody is left");
    }
}
