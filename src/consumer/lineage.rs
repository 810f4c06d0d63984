//! Which shards there are and which of them may be read: parents before children, each once.
//!
//! Everything is learnt from `ListShards`. That a shard has ended, and what the service then says
//! of its children, only tells that it is time to list again: a child that was announced is not
//! read before it is listed, because the announcement lacks its first sequence number, and because
//! only a listing that has the child tells whether a parent that is not in it is gone for good or
//! not known yet (a split followed at once by a merge).
//!
//! Pure: no clock, no IO.

use std::collections::BTreeMap;

use crate::kinesis::{Shard, ShardId};

/// After so many listings without it, an announced child is taken to be gone already.
const PATIENCE: u32 = 50;

/// All shards that are known, and how far each has come.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    shards: BTreeMap<ShardId, Node>,
    /// Children that the end of a shard announced, until they are listed, and how many listings
    /// lacked them.
    announced: BTreeMap<ShardId, u32>,
    /// The greatest generation of those that were forgotten: their children come after it.
    forgotten: u32,
    /// Whether there was a listing yet.
    listed: bool,
    /// A shard ended, and no listing has begun since.
    stale: bool,
}

#[derive(Debug)]
struct Node {
    shard: Shard,
    generation: u32,
    /// It was not there yet when the shards were listed first.
    is_newborn: bool,
    stage: Stage,
    /// Whether the latest listing has it.
    listed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its parents are not read to their end yet.
    Waiting,
    /// Somebody reads it.
    Reading,
    /// It was read to its end.
    Done,
}

/// A shard that has become known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Discovered {
    /// The shard.
    pub(super) shard: Shard,
    /// Greater than that of each of its parents.
    pub(super) generation: u32,
}

/// What a complete listing has brought.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    /// Those that were not known before, parents first.
    pub(super) found: Vec<Discovered>,
    /// Those that were read to their end and are past retention: forgotten.
    pub(super) forgotten: Vec<ShardId>,
    /// Those that are being read although they are no longer listed: past retention or deleted.
    pub(super) lost: Vec<ShardId>,
}

impl Lineage {
    /// The shards are about to be listed: what ends from now on may be missing there.
    pub(super) fn listing_begins(&mut self) {
        self.stale = false;
    }

    /// Takes a complete listing in.
    pub(super) fn discover(&mut self, listing: &[Shard]) -> Discovery {
        for node in self.shards.values_mut() {
            node.listed = false;
        }
        let mut fresh: BTreeMap<&ShardId, &Shard> = BTreeMap::new();
        for shard in listing {
            match self.shards.get_mut(&shard.id) {
                Some(node) => {
                    node.listed = true;
                    node.shard.ending = shard.ending;
                }
                None => {
                    fresh.insert(&shard.id, shard);
                }
            }
        }
        let is_newborn = self.listed;
        self.listed = true;
        let mut discovery = Discovery {
            found: self.add(fresh, is_newborn),
            ..Discovery::default()
        };
        let shards = &self.shards;
        self.announced.retain(|id, misses| {
            *misses += 1;
            !shards.contains_key(id) && *misses < PATIENCE
        });
        self.forget(&mut discovery);
        discovery
    }

    /// Adds shards, parents first, so that each generation is greater than its parents'.
    fn add(&mut self, mut fresh: BTreeMap<&ShardId, &Shard>, is_newborn: bool) -> Vec<Discovered> {
        let mut found = Vec::with_capacity(fresh.len());
        while !fresh.is_empty() {
            let waits = |shard: &Shard| {
                let mut parents = shard.parents.iter();
                parents.any(|parent| *parent != shard.id && fresh.contains_key(parent))
            };
            let mut round: Vec<_> = fresh.values().copied().filter(|s| !waits(s)).collect();
            if round.is_empty() {
                // Each is the ancestor of another: no stream has that. Take them as they come.
                round.extend(fresh.values().copied());
            }
            for shard in round {
                fresh.remove(&shard.id);
                let generation = self.generation(shard);
                let node = Node {
                    shard: shard.clone(),
                    generation,
                    is_newborn,
                    stage: Stage::Waiting,
                    listed: true,
                };
                self.shards.insert(shard.id.clone(), node);
                found.push(Discovered {
                    shard: shard.clone(),
                    generation,
                });
            }
        }
        found
    }

    fn generation(&self, shard: &Shard) -> u32 {
        let parents = shard.parents.iter().map(|parent| {
            let known = self.shards.get(parent);
            known.map_or(self.forgotten, |node| node.generation)
        });
        parents.max().map_or(0, |oldest| oldest.saturating_add(1))
    }

    fn forget(&mut self, discovery: &mut Discovery) {
        for (id, node) in &self.shards {
            if !node.listed && node.stage == Stage::Reading {
                discovery.lost.push(id.clone());
            }
        }
        let gone: Vec<_> = self
            .shards
            .iter()
            .filter(|(id, node)| {
                // Kept while a child waits: it wants to know that this one was read.
                !node.listed && node.stage != Stage::Reading && !self.has_waiting_children(id)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            if let Some(node) = self.shards.remove(&id) {
                self.forgotten = self.forgotten.max(node.generation);
                discovery.forgotten.push(id);
            }
        }
    }

    fn has_waiting_children(&self, parent: &ShardId) -> bool {
        self.shards.values().any(|node| {
            node.listed && node.stage == Stage::Waiting && node.shard.parents.contains(parent)
        })
    }

    /// The shards whose parents all were read to their end, or are past retention. Call
    /// [`started`](Self::started) for each that is then read.
    pub(super) fn startable(&self) -> Vec<Shard> {
        let ready = |node: &&Node| {
            let mut parents = node.shard.parents.iter().filter(|id| **id != node.shard.id);
            node.stage == Stage::Waiting
                && node.listed
                && parents.all(|id| match self.shards.get(id) {
                    Some(parent) => {
                        parent.stage == Stage::Done
                            || (parent.stage == Stage::Waiting && !parent.listed)
                    }
                    None => true,
                })
        };
        let ready = self.shards.values().filter(ready);
        ready.map(|node| node.shard.clone()).collect()
    }

    /// Somebody reads that shard now.
    pub(super) fn started(&mut self, id: &ShardId) {
        if let Some(node) = self.shards.get_mut(id)
            && node.stage == Stage::Waiting
        {
            node.stage = Stage::Reading;
        }
    }

    /// That shard was read to its end; those are said to follow it. Until the next listing they
    /// are only a reason to list. True the first time.
    pub(super) fn closed(&mut self, id: &ShardId, children: &[ShardId]) -> bool {
        let Some(node) = self.shards.get_mut(id) else {
            return false;
        };
        if node.stage == Stage::Done {
            return false;
        }
        node.stage = Stage::Done;
        // A shard's children come to be at once: who knows one knows all.
        if !self.has_children(id) {
            self.stale = true;
        }
        for child in children {
            if !self.shards.contains_key(child) {
                self.announced.entry(child.clone()).or_default();
            }
        }
        true
    }

    /// Whether nothing is written to the shard any more, by the listings.
    pub(super) fn is_closed(&self, id: &ShardId) -> bool {
        let node = self.shards.get(id);
        node.is_some_and(|node| !node.shard.is_open())
    }

    /// Whether those that follow a shard are known.
    pub(super) fn has_children(&self, id: &ShardId) -> bool {
        let mut shards = self.shards.values();
        shards.any(|node| node.shard.parents.contains(id))
    }

    /// Whether a listing would bring something that is known to be missing.
    pub(super) fn wants_listing(&self) -> bool {
        self.stale || !self.listed || !self.announced.is_empty()
    }

    /// Whether the shard came to be after the first listing, so that all of it is new.
    pub(super) fn is_newborn(&self, id: &ShardId) -> bool {
        self.shards.get(id).is_some_and(|node| node.is_newborn)
    }

    /// Whether every shard that is known to follow is being read or was: nobody will inherit
    /// from it any more. False while none is known.
    pub(super) fn is_survived_by_all(&self, id: &ShardId) -> bool {
        let children = || {
            let shards = self.shards.values();
            shards.filter(|node| node.shard.parents.contains(id))
        };
        !self.stale
            && self.announced.is_empty()
            && children().next().is_some()
            && children().all(|node| node.stage != Stage::Waiting)
    }
}

#[cfg(test)]
#[path = "lineage_tests.rs"]
mod tests;
