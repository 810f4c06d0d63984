//! The lanes against a simulated stream that splits, merges, throttles, fails, answers late or
//! never, and writes what it said it did not.
//!
//! What is checked: nothing is lost; the first occurrences of a room's messages are in the order
//! of publishing; every receipt's position is true, and its record lies in the shard that owns
//! every room in it; a room is in one record of one unanswered call at a time; limits hold.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::batch::Record as CallRecord;
use super::company::GATHERING;
use super::lanes::{Answer, Call, CallId, Lanes, Limits, Settled};
use crate::kinesis::{HashKeyRange, PutEntry, PutOutcome, Record, Shard, ShardId, kpl};
use crate::message::{HashKey, Position, Room, SequenceNumber, Timestamp};

const LIMITS: Limits = Limits {
    record_target: 120,
    call_records: 4,
    call_bytes: 400,
};
const LARGEST: usize = 200;
/// Fewer than the misroutes after which a message is given up.
const MAX_CHANGES: usize = 7;

/// A record in the stream: its shard's range, and the room and number of each message in it.
struct Stored {
    range: HashKeyRange,
    users: Vec<(Room, usize)>,
}

#[derive(Default)]
struct Stream {
    shards: Vec<Shard>,
    log: Vec<(SequenceNumber, Stored)>,
    last: u128,
}

impl Stream {
    fn new(shards: u32) -> Self {
        let mut stream = Self::default();
        let step = u128::MAX / u128::from(shards);
        for at in 0..u128::from(shards) {
            let end = if at + 1 == u128::from(shards) {
                u128::MAX
            } else {
                step * (at + 1) - 1
            };
            stream.open(step * at, end, vec![]);
        }
        stream
    }

    fn tick(&mut self) -> SequenceNumber {
        self.last += 1;
        self.last.into()
    }

    fn open(&mut self, start: u128, end: u128, parents: Vec<ShardId>) {
        let starting = self.tick();
        self.shards.push(Shard {
            id: format!("shardId-{:012}", self.shards.len()).into(),
            parents,
            range: HashKeyRange {
                start: HashKey(start),
                end: HashKey(end),
            },
            starting,
            ending: None,
        });
    }

    fn close(&mut self, at: usize) -> Shard {
        let ending = self.tick();
        self.shards[at].ending = Some(ending);
        self.shards[at].clone()
    }

    fn open_ones(&self) -> Vec<usize> {
        let mut open: Vec<usize> = (0..self.shards.len())
            .filter(|at| self.shards[*at].is_open())
            .collect();
        open.sort_by_key(|at| self.shards[*at].range.start);
        open
    }

    fn split(&mut self, rng: &mut fastrand::Rng) {
        let at = rng.choice(self.open_ones()).unwrap();
        let range = self.shards[at].range;
        let middle = range.start.0 + (range.end.0 - range.start.0) / 2;
        let parent = self.close(at);
        self.open(range.start.0, middle, vec![parent.id.clone()]);
        self.open(middle + 1, range.end.0, vec![parent.id]);
    }

    fn merge(&mut self, rng: &mut fastrand::Rng) {
        let open = self.open_ones();
        if open.len() < 2 {
            return;
        }
        let at = rng.usize(..open.len() - 1);
        let (low, high) = (self.close(open[at]), self.close(open[at + 1]));
        self.open(low.range.start.0, high.range.end.0, vec![low.id, high.id]);
    }

    fn put(&mut self, entry: &PutEntry) -> PutOutcome {
        let sequence = self.tick();
        let hash = HashKey::of(&entry.partition_key);
        let mut open = self.shards.iter().filter(|shard| shard.is_open());
        let shard = open.find(|shard| shard.range.contains(hash)).unwrap();
        let record = Record {
            sequence,
            partition_key: entry.partition_key.clone(),
            data: entry.data.clone().into(),
            arrival: Timestamp::from_millis(0),
        };
        let users = kpl::decode(&record)
            .map(|user| (Room::new(&user.partition_key).unwrap(), number(&user.data)))
            .collect();
        let range = shard.range;
        self.log.push((sequence, Stored { range, users }));
        PutOutcome::Stored {
            shard: shard.id.clone(),
            sequence,
        }
    }
}

/// A message's data: its number, and spaces.
fn data(number: usize, bytes: usize) -> Bytes {
    format!("{number:<bytes$}").into()
}

fn number(data: &[u8]) -> usize {
    std::str::from_utf8(data)
        .unwrap()
        .trim_end()
        .parse()
        .unwrap()
}

/// A call that the lanes wait for: each record is written at a time of its own.
struct Flying {
    id: CallId,
    shard: ShardId,
    entries: Vec<PutEntry>,
    outcomes: Vec<Option<PutOutcome>>,
    rooms: HashSet<Room>,
}

struct World {
    rng: fastrand::Rng,
    now: Instant,
    stream: Stream,
    lanes: Lanes<usize>,
    flying: Vec<Flying>,
    /// Written, or not, when nobody waits for it any more.
    late: Vec<PutEntry>,
    /// The answer to the list that is being asked for, as of when it was.
    list: Option<Vec<Shard>>,
    published: Vec<Room>,
    done: HashMap<usize, Option<Position>>,
    changes: usize,
}

impl World {
    fn new(seed: u64, shards: u32) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            now: Instant::now(),
            stream: Stream::new(shards),
            lanes: Lanes::new(LIMITS, seed),
            flying: Vec::new(),
            late: Vec::new(),
            list: None,
            published: Vec::new(),
            done: HashMap::new(),
            changes: 0,
        }
    }

    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..40 => self.publish(),
            40..65 => self.write_one(true),
            65..80 => self.answer_one(true),
            80..88 => self.list_shards(true),
            88..92 => self.now += Duration::from_millis(self.rng.u64(..1_000)),
            92..96 => self.write_late(),
            _ if self.changes >= MAX_CHANGES => {}
            change => {
                self.changes += 1;
                if change < 98 {
                    self.stream.split(&mut self.rng);
                } else {
                    self.stream.merge(&mut self.rng);
                }
            }
        }
        self.send();
    }

    fn publish(&mut self) {
        let room = Room::new(&format!("room-{}", self.rng.u32(..8))).unwrap();
        let number = self.published.len();
        let bytes = if self.rng.u32(..20) == 0 {
            LARGEST - room.as_str().len()
        } else {
            self.rng.usize(4..60)
        };
        self.published.push(room.clone());
        self.lanes.publish(room, data(number, bytes), number);
    }

    fn send(&mut self) {
        for call in self.lanes.next_calls(self.now) {
            let flying = fly(call);
            for other in &self.flying {
                assert_ne!(other.shard, flying.shard, "two calls for a shard");
                assert!(
                    other.rooms.is_disjoint(&flying.rooms),
                    "a room is in two calls"
                );
            }
            self.flying.push(flying);
        }
    }

    /// One record of one call is written, or not.
    fn write_one(&mut self, faults: bool) {
        let Some(flying) = choose(&mut self.rng, &mut self.flying) else {
            return;
        };
        let open: Vec<usize> = (0..flying.entries.len())
            .filter(|at| flying.outcomes[*at].is_none())
            .collect();
        let Some(at) = self.rng.choice(open) else {
            return;
        };
        let failed = || PutOutcome::Failed {
            code: "InternalFailure".into(),
        };
        let outcome = match self.rng.u32(..10) {
            0 if faults => PutOutcome::Throttled,
            1 if faults => failed(),
            2 if faults => {
                self.stream.put(&flying.entries[at]);
                failed()
            }
            _ => self.stream.put(&flying.entries[at]),
        };
        flying.outcomes[at] = Some(outcome);
    }

    /// One call is answered, or times out.
    fn answer_one(&mut self, faults: bool) {
        if self.flying.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.flying.len());
        let whole = self.flying[at].outcomes.iter().all(Option::is_some);
        let lost = faults && self.rng.u32(..4) == 0;
        if !(whole || lost) {
            return;
        }
        let flying = self.flying.swap_remove(at);
        let answer = if lost {
            let written = flying.outcomes.iter().map(Option::is_some);
            let late = flying.entries.iter().zip(written);
            self.late
                .extend(late.filter(|(_, written)| !written).map(|(e, _)| e.clone()));
            Answer::Lost
        } else {
            Answer::Records(flying.outcomes.into_iter().flatten().collect())
        };
        let settled = self.lanes.answered(self.now, flying.id, answer);
        self.settle(settled);
    }

    fn write_late(&mut self) {
        if !self.late.is_empty() {
            let at = self.rng.usize(..self.late.len());
            let entry = self.late.swap_remove(at);
            if self.rng.bool() {
                self.stream.put(&entry);
            }
        }
    }

    fn list_shards(&mut self, faults: bool) {
        match self.list.take() {
            None if self.lanes.wants_map(self.now) => {
                self.lanes.map_requested();
                self.list = Some(self.stream.shards.clone());
            }
            None => {}
            Some(_) if faults && self.rng.u32(..5) == 0 => self.lanes.map_failed(self.now),
            Some(mut shards) => {
                self.rng.shuffle(&mut shards);
                if faults && self.rng.u32(..5) == 0 {
                    // Amid a change: a shard is closed, and its children are not listed.
                    shards.pop();
                }
                if let Ok(settled) = self.lanes.shard_map(self.now, shards) {
                    self.settle(settled);
                }
            }
        }
    }

    fn settle(&mut self, settled: Settled<usize>) {
        for done in settled.done {
            assert_eq!(done.room, self.published[done.tag]);
            let before = self.done.insert(done.tag, done.position);
            assert_eq!(before, None, "settled twice");
        }
    }

    /// Nothing fails any more, and late writes come or do not.
    fn finish(&mut self) {
        for _ in 0..20_000 {
            if self.done.len() == self.published.len() && self.late.is_empty() {
                return;
            }
            self.write_late();
            self.list_shards(false);
            self.write_one(false);
            self.answer_one(false);
            if self.flying.is_empty() {
                self.now += Duration::from_secs(1);
            }
            self.send();
        }
        panic!(
            "{} of {} are settled: {:?}",
            self.done.len(),
            self.published.len(),
            self.lanes
        );
    }

    fn check(&self) {
        let log: HashMap<SequenceNumber, &Stored> = self
            .stream
            .log
            .iter()
            .map(|(sequence, stored)| (*sequence, stored))
            .collect();
        for (number, position) in &self.done {
            let position = position.expect("nothing is given up");
            let stored = log[&position.sequence];
            let user = &stored.users[position.index as usize];
            assert_eq!(*user, (self.published[*number].clone(), *number));
            let belongs = |(room, _): &(Room, usize)| stored.range.contains(room.hash_key());
            assert!(
                stored.users.iter().all(belongs),
                "acknowledged in a record that a KCL reader drops"
            );
        }
        // The log is in the order of time, and a child takes records only after its parents have
        // closed: for one room it is the order of the chain.
        let mut seen = HashSet::new();
        let mut newest: HashMap<&Room, usize> = HashMap::new();
        for (_, stored) in &self.stream.log {
            for (room, number) in &stored.users {
                if stored.range.contains(room.hash_key()) && seen.insert(*number) {
                    let before = newest.insert(room, *number);
                    assert!(before.is_none_or(|before| before < *number), "out of order");
                }
            }
        }
        assert_eq!(seen.len(), self.published.len(), "lost");
    }
}

fn fly(call: Call) -> Flying {
    let counts: Vec<usize> = call.records.iter().map(CallRecord::messages).collect();
    let entries: Vec<PutEntry> = call.records.into_iter().map(CallRecord::encode).collect();
    let sizes: Vec<usize> = entries
        .iter()
        .map(|entry| entry.data.len() + entry.partition_key.len())
        .collect();
    assert!(!entries.is_empty() && entries.len() <= LIMITS.call_records);
    assert_eq!(sizes.iter().sum::<usize>(), call.bytes);
    assert!(call.bytes <= LIMITS.call_bytes);
    let mut rooms = HashSet::new();
    for ((entry, size), count) in entries.iter().zip(sizes).zip(counts) {
        let limit = if count == 1 {
            LARGEST
        } else {
            LIMITS.record_target
        };
        assert!(size <= limit, "{size} bytes in a record of {count}");
        let record = Record {
            sequence: SequenceNumber::ZERO,
            partition_key: entry.partition_key.clone(),
            data: entry.data.clone().into(),
            arrival: Timestamp::from_millis(0),
        };
        let here: HashSet<Room> = kpl::decode(&record)
            .map(|user| Room::new(&user.partition_key).unwrap())
            .collect();
        assert!(rooms.is_disjoint(&here), "a room is in two records");
        rooms.extend(here);
    }
    Flying {
        id: call.id,
        shard: call.shard,
        outcomes: vec![None; entries.len()],
        entries,
        rooms,
    }
}

fn choose<'a, V>(rng: &mut fastrand::Rng, from: &'a mut [V]) -> Option<&'a mut V> {
    match from.len() {
        0 => None,
        count => from.get_mut(rng.usize(..count)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_fails_nothing_is_lost_and_every_room_keeps_its_order(
        seed: u64, shards in 1_u32..5, steps in 10_usize..800,
    ) {
        let mut world = World::new(seed, shards);
        for _ in 0..steps {
            world.step();
        }
        world.finish();
        world.check();
    }
}

fn at_rest(shards: u32) -> World {
    let mut world = World::new(1, shards);
    world.list_shards(false);
    world.list_shards(false);
    world
}

fn say(world: &mut World, room: &str) {
    let number = world.published.len();
    let room = Room::new(room).unwrap();
    world.published.push(room.clone());
    world.lanes.publish(room, data(number, 8), number);
}

#[test]
fn what_arrives_during_a_call_becomes_the_next_one() {
    let mut world = at_rest(1);
    say(&mut world, "a");
    world.send();
    assert_eq!(world.flying.len(), 1);
    say(&mut world, "a");
    say(&mut world, "b");
    world.send();
    assert_eq!(world.flying.len(), 1);
    world.write_one(false);
    world.answer_one(false);
    world.now += GATHERING;
    world.send();
    assert_eq!(world.flying[0].entries.len(), 1);
    assert_eq!(world.flying[0].rooms.len(), 2);
}

#[test]
fn those_who_were_answered_are_waited_for_but_only_for_a_moment() {
    let mut world = at_rest(1);
    for room in ["a", "b", "c"] {
        say(&mut world, room);
    }
    world.send();
    let answer = |world: &mut World| {
        world.write_one(false);
        world.answer_one(false);
    };
    answer(&mut world);
    // Nobody else was there: nothing waits when all three have come again.
    say(&mut world, "a");
    say(&mut world, "b");
    world.send();
    assert!(world.flying.is_empty());
    let until = world.now + GATHERING;
    assert_eq!(world.lanes.deadline(world.now), Some(until));
    say(&mut world, "c");
    world.send();
    assert_eq!(world.flying[0].rooms.len(), 3);
    // Only one comes: it waits until the time is up.
    answer(&mut world);
    say(&mut world, "a");
    world.send();
    assert!(world.flying.is_empty());
    world.now += GATHERING;
    world.send();
    assert_eq!(world.flying.len(), 1);
    // Whoever is alone is not waited for by itself, nor is who comes much later.
    answer(&mut world);
    say(&mut world, "a");
    world.send();
    assert_eq!(world.flying.len(), 1);
}

#[test]
fn a_childs_lane_waits_for_its_parents_answer() {
    let mut world = at_rest(1);
    say(&mut world, "a");
    world.send();
    // The split is known before the call is answered.
    world.stream.split(&mut fastrand::Rng::with_seed(1));
    world.now += Duration::from_mins(2);
    world.list_shards(false);
    world.list_shards(false);
    assert_eq!(world.lanes.count(), 3);
    say(&mut world, "a");
    world.send();
    assert_eq!(world.flying.len(), 1, "the parent's answer is awaited");
    let id = world.flying.remove(0).id;
    let settled = world.lanes.answered(world.now, id, Answer::Lost);
    assert_eq!(settled.again.lost, 1);
    world.send();
    assert_eq!(world.lanes.count(), 2);
    // Both messages, the parent's first, in one record.
    world.finish();
    world.check();
    assert_eq!(world.stream.log[0].1.users.len(), 2);
}

#[test]
fn an_unknown_shard_in_an_answer_holds_it_until_the_shards_are_listed() {
    let mut world = at_rest(1);
    say(&mut world, "a");
    world.send();
    world.stream.split(&mut fastrand::Rng::with_seed(1));
    world.write_one(false);
    world.answer_one(false);
    assert!(world.done.is_empty());
    assert!(world.lanes.wants_map(world.now));
    say(&mut world, "a");
    world.send();
    assert!(world.flying.is_empty(), "nothing is sent meanwhile");
    world.list_shards(false);
    world.list_shards(false);
    assert_eq!(world.done.len(), 1, "the record is where it belongs");
    world.send();
    assert_eq!(world.flying.len(), 1);
    world.finish();
    world.check();
}

#[test]
fn a_list_that_lacks_the_shard_of_an_answer_keeps_the_lane_waiting_for_the_next() {
    let mut world = at_rest(1);
    say(&mut world, "a");
    world.send();
    let old = world.stream.shards.clone();
    world.stream.split(&mut fastrand::Rng::with_seed(1));
    world.write_one(false);
    world.answer_one(false);
    world.list_shards(false);
    world.list = Some(old);
    world.list_shards(false);
    world.now += Duration::from_secs(1);
    world.send();
    assert!(world.done.is_empty() && world.flying.is_empty());
    world.finish();
    world.check();
}

#[test]
fn a_stream_that_ignores_partition_keys_is_not_written_to_for_ever() {
    let mut world = at_rest(2);
    say(&mut world, "a");
    let wrong = |shard: &ShardId| {
        let other = u8::from(shard.as_str().ends_with('0'));
        ShardId::from(format!("shardId-{other:012}"))
    };
    for call in 1..100 {
        world.send();
        if let Some(flying) = world.flying.pop() {
            let outcome = PutOutcome::Stored {
                shard: wrong(&flying.shard),
                sequence: SequenceNumber::from(call),
            };
            let answer = Answer::Records(vec![outcome]);
            let settled = world.lanes.answered(world.now, flying.id, answer);
            world.settle(settled);
        }
        world.list_shards(false);
        world.list_shards(false);
        world.now += Duration::from_secs(5);
    }
    assert_eq!(world.done.get(&0), Some(&None));
}

#[test]
fn a_refused_call_gives_its_messages_up_and_the_lane_goes_on_after_a_pause() {
    let mut world = at_rest(1);
    say(&mut world, "a");
    world.send();
    let id = world.flying.remove(0).id;
    let settled = world.lanes.answered(world.now, id, Answer::Refused);
    assert_eq!(settled.done[0].position, None);
    say(&mut world, "a");
    world.send();
    assert!(world.flying.is_empty());
    let deadline = world.lanes.deadline(world.now).unwrap();
    assert!(deadline > world.now && deadline <= world.now + Duration::from_millis(50));
    world.now = deadline;
    world.send();
    assert_eq!(world.flying.len(), 1);
}
