//! When the list of shards is asked for.

use std::time::Instant;

use super::lane::Pause;

/// When to ask for the list of shards.
#[derive(Debug)]
pub(super) struct Refresh {
    /// How many lists have been asked for: the number of the latest.
    pub(super) asked: u64,
    pub(super) running: bool,
    pub(super) wanted: bool,
    pub(super) pause: Pause,
    /// When the list counts as old; `None` before the first.
    pub(super) old_at: Option<Instant>,
}

impl Refresh {
    /// None was asked for yet, and one is wanted.
    pub(super) fn new() -> Self {
        Self {
            asked: 0,
            running: false,
            wanted: true,
            pause: Pause::default(),
            old_at: None,
        }
    }

    /// Wants a list, and returns the number of the one that will do: asked for from now on.
    pub(super) fn want(&mut self) -> u64 {
        self.wanted = true;
        self.asked + 1
    }

    /// When the next list is to be asked for; `None`: at once.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.wanted {
            self.pause.until
        } else {
            self.old_at
        }
    }
}
