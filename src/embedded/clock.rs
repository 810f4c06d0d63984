//! The one place where this stage reads clocks. Everything below takes a [`Now`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A moment, on two clocks.
///
/// What clients see and what retention is counted in is wall-clock time. Deadlines are counted on the steady clock, so
/// that setting the machine's time neither ends nor prolongs a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Now {
    /// Milliseconds since the Unix epoch.
    pub(super) wall: u64,
    /// Milliseconds since the service was made.
    pub(super) steady: u64,
}

/// Reads both clocks.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            wall: millis(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default(),
            ),
            steady: millis(self.started.elapsed()),
        }
    }

    /// The instant of a steady time, for a timer.
    pub(super) fn instant(&self, steady: u64) -> Instant {
        // A deadline that the clock cannot express is as good as a day away: the timer is only ever a wake-up.
        self.started
            .checked_add(Duration::from_millis(steady))
            .unwrap_or_else(|| Instant::now() + Duration::from_hours(24))
    }
}

/// A duration in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
