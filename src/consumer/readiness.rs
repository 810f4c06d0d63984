//! Whether every shard was read to its tip once, and which are behind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::kinesis::ShardId;
use crate::log::NEAR_TIP;
use crate::message::SequenceNumber;

/// What `/readyz` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Every shard has once been within a second of its tip, or has made no progress for
    /// [`Config::ready_timeout`](super::Config::ready_timeout). Once it is so it stays so.
    pub ready: bool,
    /// All shards that are known and not read to their end.
    pub shards: Vec<ShardStatus>,
    /// What is wrong with the consumer as a whole, such as a registration that is refused; without
    /// the service's own words.
    pub problems: Vec<String>,
}

impl Readiness {
    /// The shards that are not within a second of their tip, or not known to be.
    pub fn behind(&self) -> impl Iterator<Item = &ShardStatus> {
        self.shards.iter().filter(|shard| {
            shard.state != ShardState::Reading
                || shard.millis_behind.is_none_or(|lag| lag > NEAR_TIP)
        })
    }
}

/// How one shard is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    /// Its name.
    pub id: ShardId,
    /// How far behind its tip it was read, by the last event; none before the first.
    pub millis_behind: Option<u64>,
    /// What its reader does.
    pub state: ShardState,
    /// What went wrong last, if nothing was read since.
    pub trouble: Option<Arc<str>>,
}

/// What a shard's reader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// It waits until the shard's parents are read to their end.
    WaitingForParents,
    /// It waits for a registered consumer.
    WaitingForConsumer,
    /// It subscribes, or waits to do so; the reason why it must.
    Connecting(&'static str),
    /// Events come.
    Reading,
}

impl ShardState {
    /// A short fixed name, with the reason in it where there is one.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaitingForParents => "waiting_for_parents",
            Self::WaitingForConsumer => "waiting_for_consumer",
            Self::Connecting(reason) => reason,
            Self::Reading => "reading",
        }
    }
}

/// One shard's reader tells here how it is doing.
#[derive(Debug)]
pub(super) struct Progress(Mutex<Snapshot>);

#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) state: ShardState,
    pub(super) millis_behind: Option<u64>,
    /// It was at its tip, or its end, once.
    pub(super) caught_up: bool,
    /// When it came further last; when it began, before that.
    pub(super) progressed: Instant,
    /// How far it came.
    pub(super) read_to: Option<SequenceNumber>,
    /// What went wrong since then.
    pub(super) trouble: Option<Arc<str>>,
    /// By the list of shards nothing is written to it any more.
    pub(super) is_closed: bool,
}

impl Progress {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Snapshot {
            state: ShardState::WaitingForParents,
            millis_behind: None,
            caught_up: false,
            progressed: now,
            read_to: None,
            trouble: None,
            is_closed: false,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self) -> Snapshot {
        self.lock().clone()
    }

    pub(super) fn is(&self, state: ShardState) {
        self.lock().state = state;
    }

    /// The shard was closed.
    pub(super) fn closes(&self) {
        self.lock().is_closed = true;
    }

    /// Something went wrong.
    pub(super) fn fails(&self, state: ShardState, trouble: &str) {
        let mut now = self.lock();
        now.state = state;
        now.trouble = Some(trouble.into());
    }

    /// An event was processed. True if this is the first time that the shard was at its tip.
    pub(super) fn advance(
        &self,
        read_to: Option<SequenceNumber>,
        millis_behind: u64,
        now: Instant,
    ) -> bool {
        let mut state = self.lock();
        state.state = ShardState::Reading;
        state.millis_behind = Some(millis_behind);
        state.trouble = None;
        if state.read_to != read_to {
            state.read_to = read_to;
            state.progressed = now;
        }
        let first = !state.caught_up && millis_behind <= NEAR_TIP;
        state.caught_up |= first;
        first
    }
}

/// Whether all shards have settled: each was at its tip once, or made no progress for so long.
/// One that waits for its parents has settled with them.
pub(super) fn all_settled<'a>(
    states: impl IntoIterator<Item = &'a Snapshot>,
    timeout: Duration,
    now: Instant,
) -> bool {
    let is_stuck = |state: &&Snapshot| now.saturating_duration_since(state.progressed) >= timeout;
    let (waiting, started): (Vec<_>, Vec<_>) = states
        .into_iter()
        .partition(|state| state.state == ShardState::WaitingForParents);
    let stuck = started
        .iter()
        .any(|state| !state.caught_up && is_stuck(state));
    let settled = started
        .iter()
        .all(|state| state.caught_up || is_stuck(state));
    // If none is stuck, those before them will be at their end sooner or later.
    settled && (waiting.is_empty() || (stuck && waiting.iter().all(is_stuck)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_mins(1);

    fn state(state: ShardState, caught_up: bool, progressed: Instant) -> Snapshot {
        Snapshot {
            state,
            millis_behind: None,
            caught_up,
            progressed,
            read_to: None,
            trouble: None,
            is_closed: false,
        }
    }

    #[test]
    fn only_a_shard_that_makes_no_progress_is_not_waited_for() {
        let start = Instant::now();
        let now = start + TIMEOUT;
        let moment = now.checked_sub(Duration::from_secs(1)).unwrap();
        let stuck = state(ShardState::Connecting("timeout"), false, start);
        let slow = state(ShardState::Reading, false, moment);
        let done = state(ShardState::Reading, true, start);
        let child = state(ShardState::WaitingForParents, false, start);
        assert!(all_settled([&done], TIMEOUT, now));
        assert!(all_settled([&done, &stuck], TIMEOUT, now));
        assert!(!all_settled([&done, &stuck, &slow], TIMEOUT, now));
        assert!(!all_settled([&stuck], TIMEOUT, moment));
        assert!(all_settled([&stuck, &child], TIMEOUT, now));
        assert!(!all_settled([&done, &child], TIMEOUT, now));
        assert!(!all_settled([&slow, &child], TIMEOUT, now));
    }

    #[test]
    fn a_shard_is_at_its_tip_for_the_first_time_once() {
        let now = Instant::now();
        let progress = Progress::new(now);
        assert!(!progress.advance(Some(1.into()), 5_000, now));
        assert!(progress.advance(Some(2.into()), 1_000, now));
        assert!(!progress.advance(Some(3.into()), 0, now));
        assert!(progress.get().caught_up);
    }
}
