//! Where a viewer begins: with the newest history, or where it was.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Log;
use super::chain::{Entry, LogPosition, Node};
use super::room::RoomLog;
use super::shard::{LogShard, Verdict};
use crate::message::{HashKey, Position};
use crate::telemetry::names;

/// Where a viewer begins.
#[derive(Clone, Debug)]
pub struct Start {
    /// What it gets stands after this node …
    pub node: Arc<Node>,
    /// … but for so many messages of the one that follows it.
    pub skip: usize,
    /// The position behind which it begins.
    pub position: Position,
    /// It gets exactly what followed the position that it asked for.
    pub recovered: bool,
}

/// What [`Log::start`] finds.
#[derive(Debug)]
pub enum Begin {
    /// The viewer can begin.
    At(Start),
    /// Its position is not read here yet: [`Log::wait`], then ask again.
    Ahead(Wait),
    /// Its position is read, but lies behind `end`: ask again once the worker's cursor has moved.
    Beyond,
}

/// What a viewer has to wait for before it can begin; see [`Log::wait`].
#[derive(Debug)]
pub struct Wait(Awaited);

#[derive(Debug)]
enum Awaited {
    /// That the shard is read as far as the viewer is.
    Reading {
        shard: Arc<LogShard>,
        after: Position,
        /// The shard's events when the viewer came.
        events: u64,
    },
    /// That any shard of the room is known: before the first list of them, none is.
    Shards(HashKey),
    /// That the room was once read to its tip.
    Tip(HashKey),
}

/// How long a viewer waits for its position, or any, to be read here.
const PATIENCE: Duration = Duration::from_secs(5);

impl Log {
    /// Finds where a viewer begins whose last message is `after`, or the newest `history` messages
    /// up to and with `end` if it cannot resume.
    pub fn start(&self, room: &RoomLog, end: &Arc<Node>, after: &str, history: usize) -> Begin {
        let Ok(after) = after.parse::<Position>() else {
            return self.not_recovered("malformed", room, end, history);
        };
        let key = room.room().hash_key();
        let lineage = self.lineage(key);
        if lineage.0.is_empty() {
            return Begin::Ahead(Wait(Awaited::Shards(key)));
        }
        match lineage.judge(after) {
            Verdict::Ahead(shard) => Begin::Ahead(Wait(Awaited::Reading {
                events: shard.progress.load().events,
                shard,
                after,
            })),
            Verdict::Known(position) => match resume(room, end, position) {
                Some(Begin::At(start)) => {
                    metrics::counter!(names::LOG_RESUMES, "outcome" => "recovered").increment(1);
                    Begin::At(start)
                }
                Some(begin) => begin,
                None => self.not_recovered("trimmed", room, end, history),
            },
            Verdict::Unknown => self.not_recovered("unknown", room, end, history),
        }
    }

    /// What a newcomer has to wait for who is to be told a position: that its room was read to its
    /// tip once. Before, the only position to tell would be one long past, from which it could
    /// not resume elsewhere, or none at all: if that is waited for in vain it is told none.
    pub fn before_newcomers(&self, room: &RoomLog) -> Option<Wait> {
        let key = room.room().hash_key();
        let is_caught_up = self.lineage(key).was_at_tip();
        (!is_caught_up).then_some(Wait(Awaited::Tip(key)))
    }

    /// Whether something of the room was read, and its tip never reached: whatever stands ahead of
    /// that is no stranger's, but yet to be read.
    pub fn is_catching_up(&self, room: &RoomLog) -> bool {
        let lineage = self.lineage(room.room().hash_key());
        lineage.is_read() && !lineage.was_at_tip()
    }

    fn not_recovered(
        &self,
        outcome: &'static str,
        room: &RoomLog,
        end: &Arc<Node>,
        history: usize,
    ) -> Begin {
        metrics::counter!(names::LOG_RESUMES, "outcome" => outcome).increment(1);
        Begin::At(self.newest(room, end, history))
    }

    /// Where a viewer begins that [waited](Self::wait) for its position in vain.
    ///
    /// If nothing of its room was read here yet, it keeps the position that it came with: should it
    /// lose this connection as well, it can still resume elsewhere, and nothing is lost.
    pub fn start_in_vain(
        &self,
        room: &RoomLog,
        end: &Arc<Node>,
        after: &str,
        history: usize,
    ) -> Start {
        let mut start = self.newest(room, end, history);
        let lineage = self.lineage(room.room().hash_key());
        if end.ordinal == 0
            && !lineage.is_read()
            && let Ok(after) = after.parse()
        {
            start.position = after;
        }
        start
    }

    /// Waits for that, or until it can be said that it will not come, but never longer than 5 s.
    /// If this is true, or the viewer is a newcomer, [`start`](Self::start) is asked again, else
    /// [`start_in_vain`](Self::start_in_vain).
    pub async fn wait(&self, wait: &Wait) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let came = match &wait.0 {
            Awaited::Tip(key) => {
                let was_at_tip = || self.lineage(*key).was_at_tip();
                return until(&self.tips, was_at_tip, deadline).await;
            }
            Awaited::Shards(key) => {
                let is_known = || !self.lineage(*key).0.is_empty();
                until(&self.opened, is_known, deadline).await
            }
            Awaited::Reading {
                shard,
                after,
                events,
            } => wait_for_reading(shard, *after, *events, deadline).await,
        };
        if !came {
            metrics::counter!(names::LOG_RESUMES, "outcome" => "ahead").increment(1);
        }
        came
    }

    /// Where a newcomer begins: with the newest messages up to and with `end`. Its position is one
    /// to resume from if it need not [wait](Self::before_newcomers).
    pub fn newest(&self, room: &RoomLog, end: &Arc<Node>, history: usize) -> Start {
        let history = history.min(self.config().history) as u64;
        let first = end.ordinal.saturating_sub(history);
        let mut node = room.history();
        if node.ordinal > first {
            // What was appended since `end` moved the mark on, or less is kept.
            node = room.head();
        }
        if node.ordinal >= end.ordinal {
            node = Arc::clone(end);
        }
        while let Some(next) = node.next().cloned()
            && next.ordinal <= first
        {
            node = next;
        }
        let skip = usize::try_from(first.saturating_sub(node.ordinal)).unwrap_or(usize::MAX);
        let lineage = self.lineage(room.room().hash_key());
        // In this order: what was read by the first look is appended by the second.
        let read_to = lineage.read_to();
        let is_end = room.tail().ordinal == end.ordinal;
        let position = if node.ordinal + (skip as u64) < end.ordinal {
            // Just before the first message that will be sent: whoever loses the connection in
            // between and resumes from here gets it all.
            first_after(&node, skip).map(|entry| entry.position.before())
        } else if end.ordinal > 0 {
            Some(end.end.position)
        } else if is_end {
            read_to
        } else {
            // Something came that this viewer has yet to get.
            first_after(end, 0).map(|entry| entry.position.before())
        };
        Start {
            node,
            skip,
            position: position.unwrap_or(LogPosition::START.position),
            recovered: false,
        }
    }
}

/// Waits until it is so, looking whenever it is notified; false if the time is up.
async fn until(notify: &Notify, is_so: impl Fn() -> bool, deadline: Instant) -> bool {
    loop {
        let mut notified = std::pin::pin!(notify.notified());
        // Registered before the look, so that nothing falls between the two.
        notified.as_mut().enable();
        if is_so() {
            return true;
        }
        if timeout_at(deadline, notified).await.is_err() {
            return false;
        }
    }
}

async fn wait_for_reading(
    shard: &LogShard,
    after: Position,
    events: u64,
    deadline: Instant,
) -> bool {
    loop {
        let mut advanced = std::pin::pin!(shard.advanced.notified());
        // Registered before the look, so that no advance falls between the two.
        advanced.as_mut().enable();
        let progress = **shard.progress.load();
        let read = progress.read_to.map(Position::end_of);
        if read >= Some(after) {
            return true;
        }
        // Only an event that came after the viewer tells: what the viewer saw elsewhere may
        // have been written after the one before.
        let ours = !(progress.at_tip && progress.events > events || progress.closed);
        if !ours || timeout_at(deadline, advanced).await.is_err() {
            return false;
        }
    }
}

fn first_after(node: &Node, skip: usize) -> Option<&Entry> {
    node.next()?.entries.get(skip)
}

/// Finds what follows a position, if the room still keeps all of it.
fn resume(room: &RoomLog, end: &Arc<Node>, after: LogPosition) -> Option<Begin> {
    let seen = |entry: &Entry, generation| {
        let position = entry.position;
        LogPosition {
            generation,
            position,
        } <= after
    };
    let mut node = room.near(after)?;
    if node.ordinal < end.ordinal && end.end <= after {
        node = Arc::clone(end);
    }
    let mut skip = 0;
    while let Some(next) = node.next().cloned() {
        if next.end > after {
            let generation = next.end.generation;
            let entries = next.entries.iter();
            skip = entries.take_while(|entry| seen(entry, generation)).count();
            break;
        }
        node = next;
    }
    // A viewer must not be in front of the cursor that its worker sweeps with.
    if node.ordinal > end.ordinal || (node.ordinal == end.ordinal && skip > 0) {
        return Some(Begin::Beyond);
    }
    Some(Begin::At(Start {
        node,
        skip,
        position: after.position,
        recovered: true,
    }))
}
