//! Latencies by the time at which a message was due.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Error;

/// Stretches at most: none of a run is beyond, what is garbled is.
const MOST: usize = 10_000;

/// A histogram for each stretch of time.
pub(crate) struct Timeline {
    /// Microseconds.
    slot: u64,
    slots: Vec<Option<Histogram<u64>>>,
}

/// Microseconds from one to sixty million, to three digits.
pub(crate) fn histogram() -> Result<Histogram<u64>, Error> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// Microseconds, as all times are recorded.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Timeline {
    pub(crate) fn new(slot: Duration) -> Self {
        Self {
            slot: micros(slot).max(1),
            slots: Vec::new(),
        }
    }

    /// Records that a message due at `due` came `late`, both in microseconds.
    pub(crate) fn record(&mut self, due: u64, late: u64) -> Result<(), Error> {
        let index = usize::try_from(due / self.slot)?;
        if index > MOST {
            return Err(format!("a message that was due after {due} µs, which cannot be").into());
        }
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        let slot = &mut self.slots[index];
        if slot.is_none() {
            *slot = Some(histogram()?);
        }
        if let Some(slot) = slot {
            slot.saturating_record(late);
        }
        Ok(())
    }

    /// Takes in what another thread has recorded.
    pub(crate) fn add(&mut self, other: Self) -> Result<(), Error> {
        if other.slots.len() > self.slots.len() {
            self.slots.resize_with(other.slots.len(), || None);
        }
        for (slot, other) in self.slots.iter_mut().zip(other.slots) {
            match (slot, other) {
                (Some(slot), Some(other)) => slot.add(other)?,
                (slot, Some(other)) => *slot = Some(other),
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// All of it as one.
    pub(crate) fn whole(&self) -> Result<Histogram<u64>, Error> {
        self.between(Duration::ZERO, Duration::MAX)
    }

    /// The stretches that lie between two times or reach into that.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> Result<Histogram<u64>, Error> {
        let mut whole = histogram()?;
        for (start, slot) in self.slots() {
            let end = start + Duration::from_micros(self.slot);
            if end > from && start < to {
                whole.add(slot)?;
            }
        }
        Ok(whole)
    }

    /// When each stretch began, and what was recorded in it.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (Duration, &Histogram<u64>)> {
        let starts = (0..).map(|index| Duration::from_micros(index * self.slot));
        starts
            .zip(&self.slots)
            .filter_map(|(start, slot)| Some((start, slot.as_ref()?)))
    }
}
