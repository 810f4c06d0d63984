use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::kinesis::HashKeyRange;
use crate::message::SequenceNumber;

fn shard(id: &str, parents: &[&str]) -> Shard {
    Shard {
        id: id.into(),
        parents: parents.iter().map(|id| ShardId::from(*id)).collect(),
        range: HashKeyRange::ALL,
        starting: SequenceNumber::ZERO,
        ending: None,
    }
}

fn ids(shards: &[Shard]) -> Vec<&str> {
    shards.iter().map(|shard| shard.id.as_str()).collect()
}

fn start_all(lineage: &mut Lineage) -> Vec<ShardId> {
    let ready = lineage.startable();
    for shard in &ready {
        lineage.started(&shard.id);
    }
    ready.into_iter().map(|shard| shard.id).collect()
}

#[test]
fn a_child_shard_waits_for_its_parents() {
    let mut lineage = Lineage::default();
    let listing = [shard("a", &[]), shard("b", &[]), shard("c", &["a", "b"])];
    let found = lineage.discover(&listing).found;
    assert_eq!(
        found.iter().map(|f| f.generation).collect::<Vec<_>>(),
        [0, 0, 1]
    );
    assert_eq!(ids(&lineage.startable()), ["a", "b"]);
    start_all(&mut lineage);
    lineage.closed(&"a".into(), &["c".into()]);
    assert!(lineage.startable().is_empty());
    lineage.closed(&"b".into(), &["c".into()]);
    assert_eq!(ids(&lineage.startable()), ["c"]);
}

#[test]
fn a_merged_child_that_both_parents_announce_is_read_once() {
    let mut lineage = Lineage::default();
    lineage.discover(&[shard("a", &[]), shard("b", &[])]);
    start_all(&mut lineage);
    assert!(lineage.closed(&"a".into(), &["c".into()]));
    assert!(!lineage.closed(&"a".into(), &["c".into()]));
    lineage.closed(&"b".into(), &["c".into()]);
    assert!(lineage.wants_listing());
    assert!(lineage.startable().is_empty(), "it is not listed yet");
    let listing = [shard("a", &[]), shard("b", &[]), shard("c", &["a", "b"])];
    lineage.listing_begins();
    lineage.discover(&listing);
    assert!(!lineage.wants_listing());
    assert_eq!(start_all(&mut lineage), ["c".into()]);
    lineage.discover(&listing);
    assert!(lineage.startable().is_empty());
}

#[test]
fn a_child_whose_other_parent_is_not_listed_yet_waits_for_the_listing() {
    // a was split into b and c at once merged with the closed d into e: d's end announces e.
    let mut lineage = Lineage::default();
    lineage.discover(&[shard("a", &[]), shard("d", &[])]);
    start_all(&mut lineage);
    lineage.closed(&"d".into(), &["e".into()]);
    let listing = [
        shard("a", &[]),
        shard("b", &["a"]),
        shard("c", &["a"]),
        shard("d", &[]),
        shard("e", &["c", "d"]),
    ];
    lineage.discover(&listing);
    assert!(
        lineage.startable().is_empty(),
        "c comes first, and a before it"
    );
    lineage.closed(&"a".into(), &[]);
    assert_eq!(start_all(&mut lineage), ["b".into(), "c".into()]);
    lineage.closed(&"c".into(), &[]);
    assert_eq!(start_all(&mut lineage), ["e".into()]);
}

#[test]
fn children_that_no_end_of_a_shard_announced_are_found_by_listing() {
    let mut lineage = Lineage::default();
    lineage.discover(&[shard("a", &[])]);
    start_all(&mut lineage);
    assert!(!lineage.wants_listing());
    lineage.closed(&"a".into(), &[]);
    assert!(lineage.wants_listing(), "something must follow it");
    lineage.listing_begins();
    // Listed a moment too soon: the periodic listing finds them.
    lineage.discover(&[shard("a", &[])]);
    assert!(start_all(&mut lineage).is_empty());
    let both = [shard("a", &[]), shard("b", &["a"]), shard("c", &["a"])];
    lineage.discover(&both);
    assert_eq!(start_all(&mut lineage), ["b".into(), "c".into()]);
}

#[test]
fn a_parent_past_retention_is_not_waited_for() {
    let mut lineage = Lineage::default();
    lineage.discover(&[shard("c", &["a", "b"])]);
    assert_eq!(ids(&lineage.startable()), ["c"]);
}

#[test]
fn a_parent_that_goes_past_retention_before_it_was_read_is_not_waited_for() {
    let mut lineage = Lineage::default();
    lineage.discover(&[shard("a", &[]), shard("b", &["a"])]);
    assert_eq!(start_all(&mut lineage), ["a".into()]);
    let discovery = lineage.discover(&[shard("b", &["a"])]);
    assert_eq!(discovery.lost, ["a".into()]);
    assert!(lineage.startable().is_empty(), "its reader has the word");
    lineage.closed(&"a".into(), &[]);
    assert_eq!(start_all(&mut lineage), ["b".into()]);
    let discovery = lineage.discover(&[shard("b", &["a"])]);
    assert_eq!(discovery.forgotten, ["a".into()]);
}

#[test]
fn the_child_of_a_forgotten_shard_still_comes_after_it() {
    let mut lineage = Lineage::default();
    lineage.discover(&[shard("a", &[]), shard("b", &["a"])]);
    start_all(&mut lineage);
    lineage.closed(&"a".into(), &[]);
    start_all(&mut lineage);
    lineage.closed(&"b".into(), &[]);
    lineage.discover(&[]);
    let found = lineage.discover(&[shard("c", &["b"])]).found;
    assert_eq!(found[0].generation, 2);
    assert!(lineage.is_newborn(&"c".into()));
}

#[test]
fn shards_that_are_their_own_ancestors_do_not_hang_it() {
    let mut lineage = Lineage::default();
    let listing = [shard("a", &["a"]), shard("b", &["c"]), shard("c", &["b"])];
    assert_eq!(lineage.discover(&listing).found.len(), 3);
    assert_eq!(ids(&lineage.startable()), ["a"]);
}

#[test]
fn an_announced_child_that_never_is_listed_is_given_up() {
    let mut lineage = Lineage::default();
    lineage.discover(&[shard("a", &[])]);
    start_all(&mut lineage);
    lineage.closed(&"a".into(), &["b".into()]);
    for _ in 0..PATIENCE {
        assert!(lineage.wants_listing());
        lineage.listing_begins();
        lineage.discover(&[shard("a", &[])]);
    }
    assert!(!lineage.wants_listing());
}

/// A stream that is resharded at random, and the one who reads it.
#[derive(Default)]
struct World {
    stream: BTreeMap<ShardId, Shard>,
    open: Vec<ShardId>,
    trimmed: BTreeSet<ShardId>,
    lineage: Lineage,
    reading: BTreeSet<ShardId>,
    started: BTreeSet<ShardId>,
    done: BTreeSet<ShardId>,
    generations: BTreeMap<ShardId, u32>,
}

#[derive(Clone, Debug)]
enum Step {
    Split(usize),
    Merge(usize, usize),
    /// A reader reaches the end of a closed shard; the event may come twice, and may lack children.
    End {
        which: usize,
        twice: bool,
        children: bool,
    },
    List,
    Trim(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..64_usize;
    prop_oneof![
        2 => n.clone().prop_map(Step::Split),
        2 => (n.clone(), n.clone()).prop_map(|(a, b)| Step::Merge(a, b)),
        4 => (n.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(which, twice, children)| Step::End { which, twice, children }),
        2 => Just(Step::List),
        1 => n.prop_map(Step::Trim),
    ]
}

impl World {
    fn create(&mut self, parents: &[ShardId]) {
        let id = ShardId::from(format!("shard-{:04}", self.stream.len()));
        let shard = Shard {
            parents: parents.to_vec(),
            ..shard(id.as_str(), &[])
        };
        self.open.retain(|open| !parents.contains(open));
        self.open.push(id.clone());
        for parent in parents {
            self.stream.get_mut(parent).unwrap().ending = Some(SequenceNumber::from(9));
        }
        self.stream.insert(id, shard);
    }

    fn children(&self, id: &ShardId) -> Vec<ShardId> {
        let all = self.stream.values();
        all.filter(|shard| shard.parents.contains(id))
            .map(|shard| shard.id.clone())
            .collect()
    }

    fn read(&mut self) {
        for shard in self.lineage.startable() {
            for parent in &shard.parents {
                let read = self.done.contains(parent) || self.trimmed.contains(parent);
                assert!(read, "{} before its parent {parent}", shard.id);
            }
            assert!(self.started.insert(shard.id.clone()), "{} twice", shard.id);
            self.lineage.started(&shard.id);
            self.reading.insert(shard.id);
        }
    }

    fn list(&mut self) {
        let trimmed = &self.trimmed;
        let listing: Vec<_> = self
            .stream
            .values()
            .filter(|shard| !trimmed.contains(&shard.id))
            .rev()
            .cloned()
            .collect();
        self.lineage.listing_begins();
        for found in self.lineage.discover(&listing).found {
            for parent in &found.shard.parents {
                if let Some(older) = self.generations.get(parent) {
                    assert!(*older < found.generation, "{}", found.shard.id);
                }
            }
            self.generations.insert(found.shard.id, found.generation);
        }
        self.read();
    }

    fn end(&mut self, id: &ShardId, twice: bool, children: bool) {
        let children = if children { self.children(id) } else { vec![] };
        assert!(self.lineage.closed(id, &children));
        if twice {
            assert!(!self.lineage.closed(id, &children));
        }
        self.reading.remove(id);
        self.done.insert(id.clone());
        self.read();
    }

    fn closed_and_reading(&self) -> Vec<ShardId> {
        let reading = self.reading.iter();
        reading
            .filter(|id| !self.open.contains(id))
            .cloned()
            .collect()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Split(which) => {
                let parent = self.open[which % self.open.len()].clone();
                self.create(std::slice::from_ref(&parent));
                // The second child of the same parent.
                let id = ShardId::from(format!("shard-{:04}", self.stream.len()));
                self.stream
                    .insert(id.clone(), shard(id.as_str(), &[parent.as_str()]));
                self.open.push(id);
            }
            Step::Merge(a, b) if self.open.len() > 1 => {
                let first = self.open[a % self.open.len()].clone();
                let others: Vec<_> = self
                    .open
                    .iter()
                    .filter(|id| **id != first)
                    .cloned()
                    .collect();
                let second = others[b % others.len()].clone();
                self.create(&[first, second]);
            }
            Step::Merge(..) => {}
            Step::End {
                which,
                twice,
                children,
            } => {
                let closed = self.closed_and_reading();
                if !closed.is_empty() {
                    let id = closed[which % closed.len()].clone();
                    self.end(&id, twice, children);
                }
            }
            Step::List => self.list(),
            Step::Trim(which) => {
                // Retention removes closed shards, the oldest first: here, those that were read.
                let read: Vec<_> = self.done.difference(&self.trimmed).cloned().collect();
                if !read.is_empty() {
                    self.trimmed.insert(read[which % read.len()].clone());
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn parents_come_first_and_every_shard_is_read_once_whatever_happens(
        roots in 1..4_usize,
        before in prop::collection::vec(step(), 0..20),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut world = World::default();
        for _ in 0..roots {
            world.create(&[]);
        }
        for step in before.iter().filter(|step| matches!(step, Step::Split(_) | Step::Merge(..))) {
            world.step(step);
        }
        world.list();
        for step in &steps {
            world.step(step);
        }
        // Resharding is over: list now and then, and read to the end what has one.
        for _ in 0..=world.stream.len() {
            world.list();
            for id in world.closed_and_reading() {
                world.end(&id, false, false);
            }
        }
        world.list();
        for id in world.stream.keys() {
            prop_assert!(world.started.contains(id), "{} was left unread", id);
        }
        prop_assert!(!world.lineage.wants_listing());
    }
}
