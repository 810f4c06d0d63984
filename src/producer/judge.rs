//! What an answer means: which messages are stored where they belong, and which are put again.

use std::time::Instant;

use super::call::{Done, Settled};
use super::lane::Lane;
use super::map::ShardMap;
use super::queue::Waiting;
use super::refresh::Refresh;
use crate::kinesis::PutOutcome;
use crate::message::Position;

/// How often a message may land in a shard that is not its room's. A split or merge costs one or
/// two; a stream that ignores partition keys (AUTO) would cost them for ever.
const MAX_MISROUTES: u8 = 8;

/// What it takes to understand an answer.
pub(super) struct Judge<'a> {
    pub(super) map: &'a ShardMap,
    pub(super) refresh: &'a mut Refresh,
    pub(super) rng: &'a mut fastrand::Rng,
    pub(super) now: Instant,
}

impl Judge<'_> {
    /// Settles a lane's flight. A record is stored only if every room in it belongs to the shard
    /// that has it: a KCL reader drops the whole record otherwise, and ours the rooms that do not.
    pub(super) fn judge<T>(
        self,
        lane: &mut Lane<T>,
        outcomes: Vec<PutOutcome>,
        settled: &mut Settled<T>,
    ) {
        let Some(flight) = lane.flight.take() else {
            return;
        };
        let mut outcomes = outcomes.into_iter();
        let mut back = Vec::new();
        let mut stored = false;
        for mut messages in flight.messages {
            let count = messages.len();
            match outcomes.next() {
                Some(PutOutcome::Stored { shard, sequence }) => {
                    if shard != lane.shard {
                        lane.awaits_map = Some(self.refresh.want());
                    }
                    let range = self.map.range(&shard);
                    let belongs = |message: &Waiting<T>| {
                        range.is_some_and(|range| range.contains(message.room.hash_key()))
                    };
                    if messages.iter().all(belongs) {
                        stored = true;
                        settled
                            .done
                            .extend((0..).zip(messages).map(|(index, message)| Done {
                                tag: message.tag,
                                room: message.room,
                                position: Some(Position { sequence, index }),
                            }));
                        continue;
                    }
                    settled.again.misrouted += count;
                    for message in &mut messages {
                        message.misroutes += 1;
                    }
                    // All messages of a record have been misrouted equally often or less.
                    let given_up =
                        messages.extract_if(.., |message| message.misroutes >= MAX_MISROUTES);
                    settled.done.extend(given_up.map(|message| Done {
                        tag: message.tag,
                        room: message.room,
                        position: None,
                    }));
                }
                Some(PutOutcome::Throttled) => settled.again.throttled += count,
                Some(PutOutcome::Failed { .. }) | None => settled.again.failed += count,
            }
            back.append(&mut messages);
        }
        if back.is_empty() {
            lane.pause.succeeded();
        } else if stored {
            lane.pause.partly_failed(self.now, self.rng);
        } else {
            lane.pause.failed(self.now, self.rng);
        }
        lane.queue.put_back(back);
    }
}
