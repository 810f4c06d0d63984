//! The memory bound: what all kept records cost, and which of them is the oldest.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::shard::{Record, Shard};

/// Counts kept bytes over all streams, and knows the oldest record of every shard that has one.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    kept: usize,
    /// Order of a shard's oldest record → stream and shard.
    oldest: BTreeMap<u64, (Arc<str>, u32)>,
}

impl Ledger {
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// Counts a record that was appended.
    pub(super) fn add(&mut self, stream: &Arc<str>, shard: u32, record: &Record, is_first: bool) {
        self.kept += record.cost();
        if is_first {
            self.oldest
                .insert(record.order, (Arc::clone(stream), shard));
        }
    }

    /// Lets go of a shard's oldest record in memory.
    pub(super) fn evict(&mut self, shard: &mut Shard) {
        let entry = shard
            .oldest()
            .and_then(|oldest| self.oldest.remove(&oldest.order));
        self.kept = self.kept.saturating_sub(shard.evict_oldest());
        if let (Some(entry), Some(oldest)) = (entry, shard.oldest()) {
            self.oldest.insert(oldest.order, entry);
        }
    }

    /// Forgets a shard and all it keeps.
    pub(super) fn forget(&mut self, shard: &Shard) {
        if let Some(oldest) = shard.oldest() {
            self.oldest.remove(&oldest.order);
        }
        self.kept = self.kept.saturating_sub(shard.kept_bytes());
    }

    /// Where the oldest record of all is.
    pub(super) fn oldest(&self) -> Option<(Arc<str>, u32)> {
        self.oldest
            .first_key_value()
            .map(|(_, entry)| entry.clone())
    }
}
