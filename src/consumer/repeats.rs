//! Which messages are repeats: DESIGN.md, "Repeats".
//!
//! A message is a repeat if its room and id occurred, shown or dropped, in the preceding ten
//! minutes of stream time. Every occurrence counts, so a repeat of a repeat is one as well.
//!
//! # The clock
//! Stream time is the greatest arrival timestamp seen so far in the shard and those before it: it
//! never goes back. Reading at a timestamp T begins at the first record that arrived at or after
//! T, so everything before it had a clock below T, and from that record on the clocks of all who
//! read are the same, whenever they started. So two windows agree on every message whose clock is
//! ten minutes or more past the later start.
//!
//! # Keys
//! 16 bytes: the id's UUID XOR the hash of its room. Two messages with different rooms or ids have
//! the same key only if somebody made an id for it, for which he must know the other's id before it
//! is in the stream; whoever knows that could as well use the same id in the same room. The hash
//! map's own hash is keyed, so ids made to collide there are no use either.
//!
//! # Memory
//! Generations of at most a quarter of the window each, dropped whole: maps from key to the time
//! within the generation. A slot has 21 bytes (16 of key, 4 of time, 1 of the map's own), and a
//! map is between 7/16 and 7/8 full: 24 to 48 bytes an id, of at most 12.5 minutes. A generation
//! is also at its end when its map is full at 11 MB, so that a busy shard pays 24 bytes and no map
//! is ever grown beyond that. A room with 100 messages a second has 75,000 ids, 2 to 4 MB; a shard
//! filled to its limit, 1 MB/s, with messages of 150 bytes has 4.1 million: measured (see
//! `what_an_id_costs` below) 26 bytes an id, 106 MB.
//!
//! A child shard goes on with its parents' generations, which it shares with its siblings.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::message::{Room, Timestamp};

/// How long an id is remembered, in stream time.
pub(super) const WINDOW: Duration = Duration::from_mins(10);

/// A generation holds so much of the window. More of them would be dropped more evenly, fewer are
/// faster to look through: a message that is no repeat is looked for in all.
const GENERATIONS: u64 = 4;

/// How many ids a generation holds: as many as fit a map of 2^19 slots, 11 MB.
const GENERATION_IDS: usize = 7 << 16;

/// As four words, for the alignment: 16 + 4 bytes a slot instead of 32.
type Key = [u32; 4];

/// Ids of a stretch of stream time.
#[derive(Clone, Debug)]
struct Generation {
    /// When it began, in stream time.
    start: u64,
    /// The clock when it was last used.
    newest: u64,
    /// When each occurred last, in milliseconds since `start`.
    last: HashMap<Key, u32>,
}

impl Generation {
    fn begin(clock: u64) -> Self {
        Self {
            start: clock,
            newest: clock,
            last: HashMap::new(),
        }
    }

    fn has(&self, key: &Key, since: u64) -> bool {
        let last = self.last.get(key);
        last.is_some_and(|offset| self.start + u64::from(*offset) >= since)
    }
}

/// The ids of one shard in the last ten minutes of its time.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// How long each is remembered; nothing is a repeat if it is zero.
    millis: u64,
    /// The greatest arrival timestamp seen; none before the first record.
    clock: Option<u64>,
    /// Full ones, oldest first; shared with the windows that inherited them.
    full: Vec<Arc<Generation>>,
    current: Option<Generation>,
    generation_ids: usize,
}

impl Window {
    /// An empty one, in which each id is remembered for so long.
    pub(super) fn new(remembered: Duration) -> Self {
        Self {
            millis: u64::try_from(remembered.as_millis()).unwrap_or(u64::MAX),
            clock: None,
            full: Vec::new(),
            current: None,
            generation_ids: GENERATION_IDS,
        }
    }

    /// As the window of a child shard: with everything that its parents' windows know.
    pub(super) fn inherit<'a>(mut self, parents: impl IntoIterator<Item = &'a Self>) -> Self {
        for parent in parents {
            self.clock = self.clock.max(parent.clock);
            self.full.extend(parent.full.iter().cloned());
        }
        self.full.sort_by_key(|generation| generation.newest);
        // Both parents may themselves come from one split.
        self.full.dedup_by(|a, b| Arc::ptr_eq(a, b));
        self.expire();
        self
    }

    /// Makes what is known ready to be inherited, by as many children as there are.
    pub(super) fn seal(&mut self) {
        if let Some(current) = self.current.take()
            && !current.last.is_empty()
        {
            self.full.push(Arc::new(current));
        }
    }

    /// Stream time, or none before the first record.
    pub(super) fn clock(&self) -> Option<Timestamp> {
        self.clock.map(Timestamp::from_millis)
    }

    /// A record that arrived then comes next.
    pub(super) fn tick(&mut self, arrival: Timestamp) {
        let arrival = arrival.as_millis();
        if self.clock.is_none_or(|clock| clock < arrival) {
            self.clock = Some(arrival);
            self.expire();
        }
    }

    fn expire(&mut self) {
        let since = self.since();
        self.full.retain(|generation| generation.newest >= since);
    }

    /// The oldest time that still counts.
    fn since(&self) -> u64 {
        self.clock.unwrap_or_default().saturating_sub(self.millis)
    }

    /// Whether the message is a repeat; from now on it has occurred.
    pub(super) fn occurs(&mut self, room: &Room, id: Uuid) -> bool {
        if self.millis == 0 {
            return false;
        }
        let key = key(room, id);
        let clock = self.clock.unwrap_or_default();
        let since = self.since();
        let is_full = |generation: &Generation| {
            clock - generation.start >= self.millis / GENERATIONS
                || generation.last.len() >= self.generation_ids
        };
        if self.current.as_ref().is_some_and(is_full) {
            self.seal();
            self.expire();
        }
        let current = self.current.get_or_insert_with(|| Generation::begin(clock));
        // The newest first: most repeats come soon. (An old generation's entries are checked by
        // their own time, for a generation lives until its newest is too old.)
        let repeat =
            current.has(&key, since) || self.full.iter().rev().any(|full| full.has(&key, since));
        current.newest = clock;
        let offset = u32::try_from(clock - current.start).unwrap_or(u32::MAX);
        current.last.insert(key, offset);
        repeat
    }

    /// How many ids are kept; one that occurred in two generations counts twice.
    pub(super) fn len(&self) -> usize {
        let full: usize = self.full.iter().map(|full| full.last.len()).sum();
        full + self
            .current
            .as_ref()
            .map_or(0, |current| current.last.len())
    }
}

fn key(room: &Room, id: Uuid) -> Key {
    let key = id.as_u128() ^ room.hash_key().0;
    #[expect(clippy::cast_possible_truncation, reason = "a word of it is meant")]
    [0, 32, 64, 96].map(|shift| (key >> shift) as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW_MILLIS: u64 = 10 * 60 * 1000;

    impl Default for Window {
        fn default() -> Self {
            Self::new(WINDOW)
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// A window whose generations are full soon.
    fn small() -> Window {
        Window {
            generation_ids: 3,
            ..Window::default()
        }
    }

    fn occurs(window: &mut Window, arrival: u64, id: u128) -> bool {
        window.tick(at(arrival));
        window.occurs(&Room::lobby(), Uuid::from_u128(id))
    }

    #[test]
    fn an_id_is_a_repeat_for_exactly_ten_minutes_after_its_last_occurrence() {
        let mut window = Window::default();
        assert!(!occurs(&mut window, 1_000, 1));
        assert!(occurs(&mut window, 1_000 + WINDOW_MILLIS, 1));
        assert!(occurs(&mut window, 1_000 + 2 * WINDOW_MILLIS, 1));
        assert!(!occurs(&mut window, 1_001 + 3 * WINDOW_MILLIS, 1));
    }

    #[test]
    fn where_nothing_is_remembered_nothing_is_a_repeat() {
        let mut window = Window::new(Duration::ZERO);
        for _ in 0..2 {
            assert!(!occurs(&mut window, 1_000, 1));
        }
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn the_same_id_in_another_room_is_another_message() {
        let mut window = Window::default();
        window.tick(at(1));
        let id = Uuid::from_u128(7);
        assert!(!window.occurs(&Room::lobby(), id));
        assert!(!window.occurs(&Room::new("other").unwrap(), id));
        assert!(window.occurs(&Room::lobby(), id));
    }

    #[test]
    fn both_children_of_a_split_know_their_parents_ids_and_not_each_others() {
        let mut parent = Window::default();
        occurs(&mut parent, 1, 1);
        parent.seal();
        let (mut a, mut b) = (
            Window::default().inherit([&parent]),
            Window::default().inherit([&parent]),
        );
        assert!(occurs(&mut a, 2, 1));
        assert!(occurs(&mut b, 2, 1));
        assert!(!occurs(&mut a, 2, 2));
        assert!(!occurs(&mut b, 2, 2));
        a.seal();
        b.seal();
        let mut merged = Window::default().inherit([&a, &b]);
        assert_eq!(merged.len(), 5, "the shared generation is there once");
        assert!(occurs(&mut merged, 3, 2));
    }

    #[test]
    fn what_is_past_the_window_takes_no_memory() {
        let mut window = Window::default();
        for minute in 0..600_u32 {
            for id in 0..10 {
                let id = u128::from(minute * 10 + id);
                assert!(!occurs(&mut window, 60_000 * u64::from(minute), id));
            }
        }
        assert!(window.len() <= 10 * 14, "{}", window.len());
    }

    /// The figures in the module's documentation. Run by hand, for the map of this Rust version:
    /// `cargo test --lib what_an_id_costs -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    fn what_an_id_costs() {
        fn resident() -> usize {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("VmRSS"));
            let kib = line.unwrap().split_whitespace().nth(1).unwrap();
            kib.parse::<usize>().unwrap() * 1024
        }
        let mut window = Window::default();
        let before = resident();
        let (rate, seconds) = (6_667_u64, 750_u64);
        let began = std::time::Instant::now();
        for second in 0..seconds {
            for _ in 0..rate {
                occurs(&mut window, second * 1000, fastrand::u128(..));
            }
        }
        let took = began.elapsed().as_nanos() / u128::from(rate * seconds);
        let bytes = (resident() - before) / window.len();
        println!("{} ids, {bytes} bytes and {took} ns each", window.len());
    }

    /// The rule, word for word.
    #[derive(Default)]
    struct Naive {
        clock: u64,
        seen: Vec<(u128, u64)>,
    }

    impl Naive {
        fn occurs(&mut self, arrival: u64, id: u128) -> bool {
            self.clock = self.clock.max(arrival);
            let since = self.clock.saturating_sub(WINDOW_MILLIS);
            let repeat = self
                .seen
                .iter()
                .any(|(seen, at)| *seen == id && *at >= since);
            self.seen.push((id, self.clock));
            repeat
        }
    }

    /// Arrivals that mostly grow, by steps that are now and then longer than the window, and
    /// sometimes go back a little; few ids, so that most are repeats.
    fn records() -> impl Strategy<Value = Vec<(u64, u128)>> {
        let step = prop_oneof![
            4 => 0..1_000_i64,
            4 => 0..(WINDOW_MILLIS.cast_signed() / 3),
            1 => 0..(2 * WINDOW_MILLIS.cast_signed()),
            1 => -30_000..0_i64,
        ];
        prop::collection::vec((step, 0..12_u128), 1..200).prop_map(|steps| {
            let mut at = 1_000_000_i64;
            let mut arrivals = vec![];
            for (step, id) in steps {
                at = (at + step).max(0);
                arrivals.push((u64::try_from(at).unwrap(), id));
            }
            arrivals
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_rule(records in records()) {
            let (mut window, mut naive) = (small(), Naive::default());
            for (arrival, id) in records {
                prop_assert_eq!(occurs(&mut window, arrival, id), naive.occurs(arrival, id));
            }
        }

        #[test]
        fn it_agrees_with_the_rule_across_splits_and_merges(
            records in records(),
            handovers in prop::collection::vec(0..200_usize, 0..6),
        ) {
            // One room's messages: its shard is split off and merged with an idle one in turn.
            let (mut window, mut naive) = (Window::default(), Naive::default());
            for (index, (arrival, id)) in records.into_iter().enumerate() {
                for _ in handovers.iter().filter(|at| **at == index) {
                    window.seal();
                    let (mut a, mut b) = (Window::default().inherit([&window]), Window::default().inherit([&window]));
                    a.seal();
                    b.seal();
                    window = Window::default().inherit([&a, &b]);
                }
                prop_assert_eq!(occurs(&mut window, arrival, id), naive.occurs(arrival, id));
            }
        }

        #[test]
        fn two_windows_that_start_at_different_times_agree_from_ten_minutes_on(
            records in records(),
            start in 0..200_usize,
        ) {
            let start_at = records[start % records.len()].0;
            // Reading at a timestamp begins with the first record that arrived then or later.
            let first = records.iter().position(|(arrival, _)| *arrival >= start_at).unwrap();
            let (mut early, mut late) = (small(), Window::default());
            for (index, (arrival, id)) in records.into_iter().enumerate() {
                let by_early = occurs(&mut early, arrival, id);
                if index < first {
                    continue;
                }
                let by_late = occurs(&mut late, arrival, id);
                prop_assert_eq!(early.clock(), late.clock());
                if late.clock().unwrap() >= at(start_at + WINDOW_MILLIS) {
                    prop_assert_eq!(by_early, by_late);
                }
            }
        }
    }
}
