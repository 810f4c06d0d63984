//! What is kept how long: which records retention has passed, and what is left of shards and streams that are gone.

use std::collections::BTreeMap;

use redb::{ReadableTable as _, Table};

use super::disk::{DiskError, last_of};
use crate::embedded::store::Horizon;

/// Bytes that one commit deletes at most, so that none takes long.
const AT_ONCE: usize = 32 << 20;

/// Both ends of a shard's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// Index of the first record.
    pub(super) first: u64,
    /// When the last record of the first value came.
    pub(super) head_arrival: u64,
    /// Index of the first record of the last value.
    pub(super) newest: u64,
}

/// Decides what a commit deletes.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    ends: BTreeMap<(u64, u32), Ends>,
    /// Stream → what came before this time is not kept.
    before: BTreeMap<u64, u64>,
    /// Streams, and shards of streams, whose records are left over.
    gone: Vec<(u64, Option<u32>)>,
}

impl Keeper {
    pub(super) fn know(&mut self, uid: u64, shard: u32, ends: Ends) {
        self.ends.insert((uid, shard), ends);
    }

    pub(super) fn added(&mut self, uid: u64, shard: u32, first: u64, arrival: u64) {
        let ends = self.ends.entry((uid, shard)).or_insert(Ends {
            first,
            head_arrival: arrival,
            newest: first,
        });
        ends.newest = first;
    }

    /// Whatever is left of a shard, or of all of a stream, is to go.
    pub(super) fn forget(&mut self, uid: u64, shard: Option<u32>) {
        self.ends
            .retain(|(of, number), _| *of != uid || shard.is_some_and(|shard| shard != *number));
        if shard.is_none() {
            self.before.remove(&uid);
        }
        self.gone.push((uid, shard));
    }

    /// From now on, records of these streams from before a time may go.
    pub(crate) fn expect(&mut self, expiring: &BTreeMap<u64, u64>) {
        for (uid, before) in expiring {
            self.before.insert(*uid, *before);
        }
    }

    /// Whether there is something to delete.
    pub(crate) fn is_due(&self) -> bool {
        !self.gone.is_empty()
            || self
                .ends
                .iter()
                .any(|(key, ends)| self.is_past(*key, *ends))
    }

    /// The newest value of a shard stays: it tells which numbers were given.
    fn is_past(&self, (uid, _): (u64, u32), ends: Ends) -> bool {
        let before = self.before.get(&uid).copied().unwrap_or(0);
        ends.first != ends.newest && ends.head_arrival < before
    }

    /// Deletes what is due, but not too much at once; returns from where on shards are kept now.
    pub(super) fn trim(
        &mut self,
        table: &mut Table<'_, (u64, u32, u64), &'static [u8]>,
    ) -> Result<Vec<Horizon>, DiskError> {
        let mut left = AT_ONCE;
        while let Some((uid, shard)) = self.gone.last().copied() {
            let range = (uid, shard.unwrap_or(0), 0)..=(uid, shard.unwrap_or(u32::MAX), u64::MAX);
            match first(table, range)? {
                None => drop(self.gone.pop()),
                Some(_) if left == 0 => break,
                Some((key, _, size)) => {
                    table.remove(key)?;
                    left = left.saturating_sub(size);
                }
            }
        }
        let due: Vec<_> = self
            .ends
            .iter()
            .filter(|(key, ends)| self.is_past(**key, **ends))
            .map(|(key, ends)| (*key, *ends))
            .collect();
        let mut horizons = Vec::new();
        for ((uid, shard), mut ends) in due {
            while left > 0 && self.is_past((uid, shard), ends) {
                let Some((key, _, size)) = first(table, (uid, shard, 0)..=(uid, shard, u64::MAX))?
                else {
                    break;
                };
                table.remove(key)?;
                left = left.saturating_sub(size);
                let next = first(table, (uid, shard, 0)..=(uid, shard, u64::MAX))?;
                let Some(((_, _, index), arrival, _)) = next else {
                    break;
                };
                ends = Ends {
                    first: index,
                    head_arrival: arrival,
                    ..ends
                };
            }
            self.ends.insert((uid, shard), ends);
            horizons.push(Horizon {
                uid,
                shard,
                first: ends.first,
            });
        }
        Ok(horizons)
    }
}

type Head = ((u64, u32, u64), u64, usize);

/// Key, arrival time of the last record, and size of the first value in a range.
fn first(
    table: &Table<'_, (u64, u32, u64), &'static [u8]>,
    range: std::ops::RangeInclusive<(u64, u32, u64)>,
) -> Result<Option<Head>, DiskError> {
    let Some(row) = table.range(range)?.next() else {
        return Ok(None);
    };
    let (key, value) = row?;
    let (_, arrival) = last_of(value.value(), key.value())?;
    Ok(Some((key.value(), arrival, value.value().len())))
}
