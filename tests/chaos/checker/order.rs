//! One order for a room, or why there is none.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use super::{Key, Recording, Stay};

/// Two viewers that saw two messages in opposite orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inversion {
    pub(crate) first: Key,
    pub(crate) second: Key,
    /// Saw `first` first.
    pub(crate) one: String,
    /// Saw `second` first.
    pub(crate) other: String,
}

impl fmt::Display for Inversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            second,
            one,
            other,
        } = self;
        write!(f, "{one} saw {first} before {second}, {other} after it")
    }
}

/// The place of each message in the room's one order; or, if there is none, a pair that shows it, where two stays do.
///
/// Every stay is a chain. If the graph of all chains has no cycle, its topological order is one that all viewers agree with.
pub(crate) fn of_room(
    recording: &Recording,
    room: usize,
) -> Result<HashMap<Key, usize>, Option<Inversion>> {
    let stays: Vec<(&str, &Stay)> = recording
        .viewers
        .iter()
        .filter(|viewer| viewer.room == room)
        .flat_map(|viewer| viewer.stays.iter().map(|stay| (viewer.name.as_str(), stay)))
        .collect();
    let chains: Vec<Vec<Key>> = stays.iter().map(|(_, stay)| firsts(&stay.shown)).collect();
    let mut followers: HashMap<Key, Vec<Key>> = HashMap::new();
    let mut waits_for: HashMap<Key, usize> = HashMap::new();
    for chain in &chains {
        for key in chain {
            waits_for.entry(*key).or_default();
        }
        for (before, after) in chain.iter().zip(chain.iter().skip(1)) {
            let known = followers.entry(*before).or_default();
            if !known.contains(after) {
                known.push(*after);
                *waits_for.entry(*after).or_default() += 1;
            }
        }
    }
    let mut ready: VecDeque<Key> = waits_for
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(key, _)| *key)
        .collect();
    let mut places = HashMap::with_capacity(waits_for.len());
    while let Some(key) = ready.pop_front() {
        places.insert(key, places.len());
        for follower in followers.remove(&key).unwrap_or_default() {
            if let Some(count) = waits_for.get_mut(&follower) {
                *count -= 1;
                if *count == 0 {
                    ready.push_back(follower);
                }
            }
        }
    }
    if places.len() == waits_for.len() {
        return Ok(places);
    }
    let names = stays.iter().map(|(name, _)| *name);
    Err(inversion(&names.zip(&chains).collect::<Vec<_>>()))
}

/// Without repeats, which are a violation of their own.
fn firsts(shown: &[Key]) -> Vec<Key> {
    let mut seen = HashSet::with_capacity(shown.len());
    shown
        .iter()
        .copied()
        .filter(|key| seen.insert(*key))
        .collect()
}

/// The first two stays that contradict each other.
fn inversion(chains: &[(&str, &Vec<Key>)]) -> Option<Inversion> {
    let index = |chain: &[Key]| -> HashMap<Key, usize> {
        chain
            .iter()
            .enumerate()
            .map(|(place, key)| (*key, place))
            .collect()
    };
    for (nth, (one, chain)) in chains.iter().enumerate() {
        let places = index(chain);
        for (other, theirs) in chains.iter().skip(nth + 1) {
            let common: Vec<Key> = theirs
                .iter()
                .copied()
                .filter(|key| places.contains_key(key))
                .collect();
            // In the other's order the places in ours must ascend.
            let wrong = common
                .iter()
                .zip(common.iter().skip(1))
                .find(|(before, after)| places.get(before) > places.get(after));
            if let Some((second, first)) = wrong {
                return Some(Inversion {
                    first: *first,
                    second: *second,
                    one: (*one).to_owned(),
                    other: (*other).to_owned(),
                });
            }
        }
    }
    None
}
