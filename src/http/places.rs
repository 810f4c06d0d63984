//! How many connections there may be, over all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Gauge, gauge};

use super::limits::Seat;
use crate::telemetry::names;

/// The places for connections; shared by all listeners that count together.
#[derive(Clone, Debug)]
pub struct Places(Arc<Shared>);

struct Shared {
    // Relaxed throughout: it is a count, and nothing is published through it.
    open: AtomicUsize,
    limit: usize,
    gauge: Gauge,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.open.load(Ordering::Relaxed);
        write!(f, "{open} of {}", self.limit)
    }
}

impl Places {
    /// Places for `limit` connections.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared {
            open: AtomicUsize::new(0),
            limit,
            gauge: gauge!(names::HTTP_CONNECTIONS),
        }))
    }

    /// How many are taken.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Takes a place, if one is free.
    pub(super) fn admit(&self) -> Option<Permit> {
        let shared = &self.0;
        let more = |open: usize| (open < shared.limit).then_some(open + 1);
        shared
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        shared.gauge.increment(1.0);
        Some(Permit {
            places: self.0.clone(),
            seat: None,
        })
    }
}

/// A connection's place; free again when dropped.
#[derive(Debug)]
pub struct Permit {
    places: Arc<Shared>,
    /// Where it is counted for its client too.
    seat: Option<Box<Seat>>,
}

impl Permit {
    /// Counts it for its client as well, for as long.
    pub(super) fn seated(mut self, seat: Option<Seat>) -> Self {
        if let Some(seat) = seat {
            self.seat = Some(Box::new(seat));
        }
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.places.open.fetch_sub(1, Ordering::Relaxed);
        self.places.gauge.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_the_limit_and_a_place_is_free_again_when_left() {
        let places = Places::new(2);
        let first = places.admit().unwrap();
        let _second = places.admit().unwrap();
        assert!(places.admit().is_none());
        assert_eq!(places.open(), 2);
        drop(first);
        assert!(places.admit().is_some());
    }
}
