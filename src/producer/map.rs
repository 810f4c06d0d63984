//! Which shard owns which part of the hash space, as far as `ListShards` has told.

use std::collections::HashMap;

use crate::kinesis::{HashKeyRange, Shard, ShardId};
use crate::message::{HashKey, SequenceNumber};

#[derive(Debug, Default)]
pub(super) struct ShardMap {
    /// Every listed shard: an answer may name a closed one.
    known: HashMap<ShardId, Known>,
}

#[derive(Debug)]
struct Known {
    range: HashKeyRange,
    starting: SequenceNumber,
    open: bool,
}

/// Why a list of shards is not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMap {
    /// The open shards do not cover the hash space exactly once: a split or merge is under way.
    #[error("the open shards do not cover the hash space exactly once")]
    Gap,
    /// A shard that is known to be closed is listed as open: the answer is an old one.
    #[error("a closed shard is listed as open")]
    Stale,
}

impl ShardMap {
    /// Takes a list of shards over and returns the open ones, in the order of the hash space.
    pub(super) fn replace(&mut self, shards: Vec<Shard>) -> Result<Vec<Shard>, BadMap> {
        let reopened = |shard: &Shard| {
            shard.is_open()
                && self
                    .known
                    .get(&shard.id)
                    // With another start it is another shard: the stream was created afresh.
                    .is_some_and(|known| !known.open && known.starting == shard.starting)
        };
        if shards.iter().any(reopened) {
            return Err(BadMap::Stale);
        }
        let mut open: Vec<Shard> = shards.iter().filter(|s| s.is_open()).cloned().collect();
        open.sort_by_key(|shard| shard.range.start);
        let mut next = Some(HashKey::MIN);
        for shard in &open {
            if next != Some(shard.range.start) {
                return Err(BadMap::Gap);
            }
            next = shard.range.end.0.checked_add(1).map(HashKey);
        }
        // Past the highest key there is no next one.
        if open.is_empty() || next.is_some() {
            return Err(BadMap::Gap);
        }
        self.known = shards
            .into_iter()
            .map(|shard| {
                let known = Known {
                    range: shard.range,
                    starting: shard.starting,
                    open: shard.ending.is_none(),
                };
                (shard.id, known)
            })
            .collect();
        Ok(open)
    }

    /// What a shard owns, or owned; `None` if it is not known.
    pub(super) fn range(&self, shard: &ShardId) -> Option<HashKeyRange> {
        self.known.get(shard).map(|known| known.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u128 = 1 << 127;

    fn shard(id: &str, start: u128, end: u128, closed: bool) -> Shard {
        Shard {
            id: id.into(),
            parents: vec![],
            range: HashKeyRange {
                start: HashKey(start),
                end: HashKey(end),
            },
            starting: SequenceNumber::from(1),
            ending: closed.then_some(SequenceNumber::from(9)),
        }
    }

    #[test]
    fn a_list_with_a_gap_or_an_overlap_is_not_taken_over() {
        let mut map = ShardMap::default();
        for bad in [
            vec![],
            vec![shard("0", 0, u128::MAX, true)],
            vec![shard("0", 1, u128::MAX, false)],
            vec![shard("0", 0, u128::MAX - 1, false)],
            vec![shard("0", 0, u128::MAX, false), shard("1", 0, HALF, false)],
            vec![shard("0", 0, 1, false), shard("1", 3, u128::MAX, false)],
        ] {
            assert_eq!(map.replace(bad), Err(BadMap::Gap));
        }
    }

    #[test]
    fn an_old_list_is_not_taken_over_but_a_new_streams_is() {
        let mut map = ShardMap::default();
        let old = vec![shard("0", 0, u128::MAX, false)];
        let new = vec![
            shard("2", HALF, u128::MAX, false),
            shard("0", 0, u128::MAX, true),
            shard("1", 0, HALF - 1, false),
        ];
        map.replace(old.clone()).unwrap();
        let open = map.replace(new).unwrap();
        assert_eq!(open[0].id, "1".into());
        assert_eq!(map.replace(old.clone()), Err(BadMap::Stale));
        assert_eq!(map.range(&"0".into()), Some(HashKeyRange::ALL));
        let mut afresh = old;
        afresh[0].starting = SequenceNumber::from(100);
        assert!(map.replace(afresh).is_ok());
        assert_eq!(map.range(&"1".into()), None);
    }
}
