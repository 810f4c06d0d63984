//! Splits and merges, and the way from one even division of the hash space to another.

use super::hash;
use super::stream::Stream;
use crate::embedded::clock::Now;

impl Stream {
    /// Closes an open shard and opens two for its parts, the second one beginning at `at`. Returns the children; None,
    /// and nothing is changed, when the shard is not open or a part would be empty.
    pub(super) fn split(&mut self, shard: u32, at: u128, now: Now) -> Option<[u32; 2]> {
        let parent = self
            .shards
            .get(&shard)
            .filter(|shard| shard.closed.is_none())?;
        let (low, high) = parent.range.split(at)?;
        let children = [low, high].map(|range| self.add_shard(vec![shard], range, now));
        self.close(shard, &children, now);
        self.index_open();
        Some(children)
    }

    /// Closes two open shards that lie side by side and opens one for both. Returns the child; None, and nothing is
    /// changed, when they are not open or `adjacent` does not directly follow `shard`.
    pub(super) fn merge(&mut self, shard: u32, adjacent: u32, now: Now) -> Option<u32> {
        let open = |number: &u32| {
            self.shards
                .get(number)
                .filter(|shard| shard.closed.is_none())
        };
        let range = open(&shard)?.range.merge(open(&adjacent)?.range)?;
        let child = self.add_shard(vec![shard, adjacent], range, now);
        self.close(shard, &[child], now);
        self.close(adjacent, &[child], now);
        self.index_open();
        Some(child)
    }

    /// Splits and merges until `target` shards divide the hash space evenly. As on AWS this makes shards that live for
    /// no time.
    pub(super) fn resize(&mut self, target: u32, now: Now) {
        for part in hash::even(target).skip(1) {
            let owner = self
                .owner(part.start)
                .map(|owner| (owner.number, owner.range.start));
            if let Some((owner, start)) = owner
                && start < part.start
            {
                self.split(owner, part.start, now);
            }
        }
        for part in hash::even(target) {
            loop {
                let mut within: Vec<_> = self
                    .open_shards()
                    .filter(|shard| shard.range.start >= part.start && shard.range.end <= part.end)
                    .map(|shard| (shard.range.start, shard.number))
                    .collect();
                within.sort_unstable();
                let [(_, first), (_, second), ..] = within.as_slice() else {
                    break;
                };
                if self.merge(*first, *second, now).is_none() {
                    break;
                }
            }
        }
    }
}
