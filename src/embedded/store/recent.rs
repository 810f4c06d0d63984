//! What was read last for subscriptions: those at the same place share it, and so do with one encoding of it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::load::Loaded;
use super::shard::{Reading, Shard, Slice};

/// Data and keys of all slices together, about; a larger one is kept alone. Their encodings take a third more.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Slices; they are looked through one by one.
const MOST_SLICES: usize = 64;
/// What a record takes beside its data and key, encoded.
const RECORD_OVERHEAD: usize = 256;

/// Where a slice begins: a shard of a stream, and an index in it.
type Place = (u64, u32, u64);

/// The slices, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    slices: VecDeque<(Place, Arc<Slice>)>,
    bytes: usize,
}

impl Recent {
    /// As [`Shard::read_with`], and shared if others subscribe to the shard.
    pub(super) fn read(
        &mut self,
        stream_uid: u64,
        shard: &Shard,
        next: u64,
        loaded: Option<Loaded>,
        most: (usize, usize),
    ) -> Reading<Arc<Slice>> {
        // Who has not come to the oldest kept record skips some: that is rare, and read afresh.
        let is_shared = shard.subscribers.len() > 1 && shard.keeps(next);
        let place = (stream_uid, shard.number, next);
        if is_shared {
            let mut found = self.slices.iter().rev();
            // A slice that ended at the tip of its time is only half of what could be had now.
            let found = found
                .find(|(at, slice)| *at == place && (slice.is_full || slice.next == shard.end()));
            if let Some((_, slice)) = found {
                return Reading::Slice(Arc::clone(slice));
            }
        }
        let slice = match shard.read_with(next, loaded, most) {
            Reading::Slice(slice) => Arc::new(slice),
            Reading::OnDisk(range) => return Reading::OnDisk(range),
        };
        if is_shared && !slice.records.is_empty() {
            self.keep(place, Arc::clone(&slice));
        }
        Reading::Slice(slice)
    }

    fn keep(&mut self, place: Place, slice: Arc<Slice>) {
        self.bytes += cost(&slice);
        self.slices.push_back((place, slice));
        while self.slices.len() > MOST_SLICES || (self.bytes > MOST_BYTES && self.slices.len() > 1)
        {
            let Some((_, oldest)) = self.slices.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(cost(&oldest));
        }
    }

    /// Forgets everything, where nobody is left to share it with.
    pub(super) fn clear(&mut self) {
        self.slices.clear();
        self.bytes = 0;
    }
}

fn cost(slice: &Slice) -> usize {
    slice.bytes + slice.records.len() * RECORD_OVERHEAD
}
