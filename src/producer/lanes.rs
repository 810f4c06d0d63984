//! What is put when, and what an answer means: the producer without its IO.
//!
//! Whoever drives it publishes messages, carries out [`Lanes::next_calls`], reports every answer
//! with [`Lanes::answered`], fetches a list of shards when [`Lanes::wants_map`], and comes back at
//! [`Lanes::deadline`].

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::batch;
use super::judge::Judge;
use super::lane::{Flight, Held, Lane};
use super::map::ShardMap;
use super::queue::{Queue, Waiting};
use super::refresh::Refresh;
use crate::kinesis::{PutOutcome, Shard};
use crate::message::{HashKey, Room};

pub use super::call::{Again, Answer, Call, CallId, Done, Limits, Settled};
pub use super::map::BadMap;

/// How old a list of shards may get when nothing hints at a change.
const MAP_AGE: Duration = Duration::from_mins(1);

/// All lanes of a stream.
#[derive(Debug)]
pub struct Lanes<T> {
    limits: Limits,
    rng: fastrand::Rng,
    map: ShardMap,
    /// A lane for every open shard, in the order of the hash space, which they cover; none
    /// before the first list of shards.
    open: Vec<Lane<T>>,
    /// Lanes of closed shards that still wait for an answer. What they hold back is older than
    /// anything that the lanes of their hash range have.
    ending: Vec<Lane<T>>,
    /// What came before the first list of shards.
    early: Queue<T>,
    next_order: u64,
    next_call: u64,
    refresh: Refresh,
    closing: bool,
}

impl<T> Lanes<T> {
    /// Without shards yet. The seed is for the jitter of the pauses.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            rng: fastrand::Rng::with_seed(seed),
            map: ShardMap::default(),
            open: Vec::new(),
            ending: Vec::new(),
            early: Queue::new(),
            next_order: 0,
            next_call: 0,
            refresh: Refresh::new(),
            closing: false,
        }
    }

    /// Nobody can come any more: nobody is waited for.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Takes a message. It was checked that it fits into a record; how many may wait is the
    /// caller's to bound.
    pub fn publish(&mut self, room: Room, data: Bytes, tag: T) {
        let hash = room.hash_key();
        let message = Waiting {
            order: self.next_order,
            room,
            data,
            misroutes: 0,
            tag,
        };
        self.next_order += 1;
        let at = owner_index(&self.open, hash);
        match self.open.get_mut(at) {
            Some(lane) => lane.queue.push(message),
            None => self.early.push(message),
        }
    }

    /// The calls that can be made now, at most one for each shard.
    pub fn next_calls(&mut self, now: Instant) -> Vec<Call> {
        let mut calls = Vec::new();
        for lane in &mut self.open {
            let ended = !self
                .ending
                .iter()
                .any(|old| old.range.overlaps(&lane.range));
            let gathers = !self.closing && lane.gathers_until(now).is_some();
            let due = lane.pause.is_over(now) && !gathers;
            if !(ended && lane.is_ready() && due) {
                continue;
            }
            lane.departs();
            let batch = batch::take(&mut lane.queue, &self.limits);
            let id = CallId(self.next_call);
            self.next_call += 1;
            lane.flight = Some(Flight {
                call: id,
                messages: batch.messages,
                held: None,
            });
            calls.push(Call {
                id,
                shard: lane.shard.clone(),
                records: batch.records,
                bytes: batch.bytes,
            });
        }
        calls
    }

    /// Takes a call's answer. Once per call; others are ignored.
    pub fn answered(&mut self, now: Instant, call: CallId, answer: Answer) -> Settled<T> {
        let mut settled = Settled::nothing();
        let all = self.open.iter_mut().chain(&mut self.ending);
        let mut lanes = all.filter(|lane| {
            let flight = lane.flight.as_ref();
            flight.is_some_and(|flight| flight.call == call && flight.held.is_none())
        });
        let Some(lane) = lanes.next() else {
            return settled;
        };
        lane.answered(now);
        match answer {
            Answer::Lost => {
                let flight = lane.flight.iter();
                let messages = flight.flat_map(|flight| &flight.messages);
                settled.again.lost = messages.map(Vec::len).sum();
                lane.land();
                lane.pause.failed(now, &mut self.rng);
            }
            Answer::Refused => {
                lane.pause.failed(now, &mut self.rng);
                let flight = lane.flight.take().into_iter();
                let messages = flight.flat_map(|flight| flight.messages).flatten();
                settled.done.extend(messages.map(|message| Done {
                    tag: message.tag,
                    room: message.room,
                    position: None,
                }));
            }
            Answer::Records(outcomes) => {
                let unheard_of = outcomes.iter().any(|outcome| match outcome {
                    PutOutcome::Stored { shard, .. } => self.map.range(shard).is_none(),
                    PutOutcome::Throttled | PutOutcome::Failed { .. } => false,
                });
                if unheard_of {
                    let until_map = self.refresh.want();
                    if let Some(flight) = &mut lane.flight {
                        flight.held = Some(Held {
                            outcomes,
                            until_map,
                        });
                    }
                } else {
                    let judge = Judge {
                        map: &self.map,
                        refresh: &mut self.refresh,
                        rng: &mut self.rng,
                        now,
                    };
                    judge.judge(lane, outcomes, &mut settled);
                }
            }
        }
        self.end_lanes();
        settled
    }

    /// Whether a list of shards should be asked for now.
    pub fn wants_map(&self, now: Instant) -> bool {
        let refresh = &self.refresh;
        !refresh.running && refresh.due().is_none_or(|due| due <= now)
    }

    /// A list of shards is being asked for.
    pub fn map_requested(&mut self) {
        self.refresh.asked += 1;
        self.refresh.running = true;
        self.refresh.wanted = false;
    }

    /// No list of shards could be had.
    pub fn map_failed(&mut self, now: Instant) {
        self.refresh.running = false;
        self.refresh.wanted = true;
        self.refresh.pause.failed(now, &mut self.rng);
    }

    /// Takes the list of shards that was asked for.
    ///
    /// # Errors
    /// [`BadMap`] if it cannot be the whole truth; it is ignored, and another one wanted.
    pub fn shard_map(&mut self, now: Instant, shards: Vec<Shard>) -> Result<Settled<T>, BadMap> {
        let open = match self.map.replace(shards) {
            Ok(open) => open,
            Err(bad) => {
                self.map_failed(now);
                return Err(bad);
            }
        };
        self.refresh.running = false;
        self.refresh.pause.succeeded();
        self.refresh.old_at = Some(now + MAP_AGE);

        let mut before = std::mem::take(&mut self.open);
        for shard in open {
            let same = |lane: &Lane<T>| lane.shard == shard.id && lane.range == shard.range;
            let lane = match before.iter().position(same) {
                Some(at) => before.swap_remove(at),
                None => Lane::new(shard.id, shard.range),
            };
            self.open.push(lane);
        }
        self.ending.append(&mut before);

        let mut settled = Settled::nothing();
        let asked = self.refresh.asked;
        for lane in self.open.iter_mut().chain(&mut self.ending) {
            if lane.awaits_map.is_some_and(|map| map <= asked) {
                lane.awaits_map = None;
            }
            let held = lane.flight.as_mut().and_then(|flight| flight.held.take());
            match held {
                Some(held) if held.until_map <= asked => {
                    let judge = Judge {
                        map: &self.map,
                        refresh: &mut self.refresh,
                        rng: &mut self.rng,
                        now,
                    };
                    judge.judge(lane, held.outcomes, &mut settled);
                }
                held => {
                    if let Some(flight) = &mut lane.flight {
                        flight.held = held;
                    }
                }
            }
        }
        let early: Vec<_> = self.early.drain().collect();
        self.hand_over(early);
        self.end_lanes();
        Ok(settled)
    }

    /// When to come back, if nothing else happens before.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let ready = self.open.iter().filter(|lane| lane.is_ready());
        let waits = ready.filter_map(|lane| lane.pause.until.max(lane.gathers_until(now)));
        // A lane that waits for nothing of its own waits for something that is an event of its own.
        let ahead = waits.filter(|until| *until > now);
        let map = self.refresh.due().filter(|_| !self.refresh.running);
        ahead.chain(map).min()
    }

    /// How many lanes there are, those that are ending included.
    pub fn count(&self) -> usize {
        self.open.len() + self.ending.len()
    }

    /// Gives up everything that is not stored, and returns what was given along with it.
    pub fn abandon(&mut self) -> Vec<T> {
        let mut tags: Vec<T> = self.early.drain().map(|message| message.tag).collect();
        for lane in self.open.iter_mut().chain(&mut self.ending) {
            lane.land();
            tags.extend(lane.queue.drain().map(|message| message.tag));
        }
        self.ending.clear();
        tags
    }

    /// Lets the lanes of closed shards go that wait for no answer any more: what they have left
    /// moves to the heads of the lanes that own it now.
    fn end_lanes(&mut self) {
        while let Some(at) = self.ending.iter().position(|lane| lane.flight.is_none()) {
            let left: Vec<_> = self.ending.swap_remove(at).queue.drain().collect();
            self.hand_over(left);
        }
    }

    /// Gives messages to the lanes that own their rooms, each at its old place.
    fn hand_over(&mut self, messages: Vec<Waiting<T>>) {
        if self.open.is_empty() {
            self.early.put_back(messages);
            return;
        }
        let mut shares: Vec<Vec<Waiting<T>>> = self.open.iter().map(|_| Vec::new()).collect();
        for message in messages {
            let at = owner_index(&self.open, message.room.hash_key());
            if let Some(share) = shares.get_mut(at) {
                share.push(message);
            }
        }
        for (lane, share) in self.open.iter_mut().zip(shares) {
            lane.queue.put_back(share);
        }
    }
}

/// The open shards cover the hash space, so there is an owner as soon as there are any.
fn owner_index<T>(open: &[Lane<T>], hash: HashKey) -> usize {
    open.partition_point(|lane| lane.range.end < hash)
}
