//! Enhanced fan-out: a subscription is a position in a shard, asked for its next event whenever its client can take one.

use std::collections::HashMap;
use std::sync::Arc;

use super::hash::HashRange;
use super::load::{Load, Loaded, load};
use super::rates::{self, Bucket};
use super::recent::Recent;
use super::sequence::Sequence;
use super::shard::{Reading, Shard, Slice};
use super::stream::Stream;
use crate::embedded::clock::Now;
use crate::embedded::{Error, Limits};

/// Data and keys in one event, about. AWS states no size; a MiB keeps an event far below the 16 MiB that clients'
/// frame parsers stop at, and what a slow client has in flight small. A larger record travels alone.
const EVENT_BYTES: usize = 1024 * 1024;
/// Records in one event, so that many tiny ones do not make a huge one by their names and numbers.
const EVENT_RECORDS: usize = 1_000;

/// Names a subscription. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SubscriptionId(pub(crate) u64);

/// What a subscription does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this.
    Event(Event),
    /// Load this and come again with it.
    Load(Load),
    /// Nothing before this steady time, unless the subscription is woken.
    Wait(u64),
    /// The stream of events ends, with an exception or without.
    End(Option<Error>),
}

/// One `SubscribeToShardEvent`.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) slice: Arc<Slice>,
    /// None only in the last event of a closed shard.
    pub(crate) continuation: Option<Sequence>,
    pub(crate) millis_behind: u64,
    /// Only in the last event of a closed shard.
    pub(crate) children: Vec<ChildShard>,
}

/// A shard that follows a closed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChildShard {
    pub(crate) id: Arc<str>,
    pub(crate) parents: Vec<String>,
    pub(crate) range: HashRange,
}

/// How often a subscription speaks and how long it lives, in milliseconds, and whether its pace is limited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetimes {
    pub(super) subscription: u64,
    pub(super) heartbeat: u64,
    pub(super) limits: Limits,
}

/// What identifies a subscription's shard and consumer.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) stream: Arc<str>,
    pub(super) stream_uid: u64,
    pub(super) shard: u32,
}

#[derive(Debug)]
struct Subscription {
    subject: Subject,
    /// Index of the record to read next.
    next: u64,
    /// Steady times.
    expires: u64,
    heartbeat_due: u64,
    waiting: Waiting,
    /// What may still be sent, where that is limited.
    pace: Option<Bucket>,
    end: Option<End>,
}

/// What a subscription waits for, besides its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Nothing: it is about to be asked for its next step.
    No,
    Records,
    /// There are records, and it has had too many already.
    Pace,
}

#[derive(Debug)]
enum End {
    /// The last event of a closed shard was sent.
    OfShard,
    With(Error),
}

/// All live subscriptions.
#[derive(Debug)]
pub(super) struct Subscriptions {
    lifetimes: Lifetimes,
    live: HashMap<SubscriptionId, Subscription>,
    recent: Recent,
    woken: Vec<SubscriptionId>,
    last: u64,
}

impl Subscriptions {
    pub(super) fn new(lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            live: HashMap::new(),
            recent: Recent::default(),
            woken: Vec::new(),
            last: 0,
        }
    }

    pub(super) fn open(&mut self, subject: Subject, next: u64, now: Now) -> SubscriptionId {
        self.last += 1;
        let id = SubscriptionId(self.last);
        let subscription = Subscription {
            subject,
            next,
            expires: now.steady.saturating_add(self.lifetimes.subscription),
            // The first event goes out at once, with records or without: it tells the reader where it is.
            heartbeat_due: now.steady,
            waiting: Waiting::No,
            pace: (self.lifetimes.limits == Limits::Aws).then(rates::events),
            end: None,
        };
        self.live.insert(id, subscription);
        id
    }

    pub(super) fn close(&mut self, id: SubscriptionId) -> Option<Subject> {
        let closed = self.live.remove(&id);
        if self.live.len() < 2 {
            self.recent.clear();
        }
        closed.map(|subscription| subscription.subject)
    }

    pub(super) fn subject(&self, id: SubscriptionId) -> Option<&Subject> {
        self.live.get(&id).map(|subscription| &subscription.subject)
    }

    /// Ends a subscription: its next step is `error`.
    pub(super) fn end(&mut self, id: SubscriptionId, error: Error) {
        if let Some(subscription) = self.live.get_mut(&id) {
            subscription.end = Some(End::With(error));
            self.wake(&[id]);
        }
    }

    /// Something has happened that ends them, or changes when they end.
    pub(super) fn wake(&mut self, ids: &[SubscriptionId]) {
        self.wake_from(ids, |waiting| waiting != Waiting::No);
    }

    /// There are new records.
    pub(super) fn wake_for_records(&mut self, ids: &[SubscriptionId]) {
        self.wake_from(ids, |waiting| waiting == Waiting::Records);
    }

    fn wake_from(&mut self, ids: &[SubscriptionId], is_woken: impl Fn(Waiting) -> bool) {
        for id in ids {
            if let Some(subscription) = self.live.get_mut(id)
                && is_woken(subscription.waiting)
            {
                subscription.waiting = Waiting::No;
                self.woken.push(*id);
            }
        }
    }

    pub(super) fn take_woken(&mut self) -> Vec<SubscriptionId> {
        std::mem::take(&mut self.woken)
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// The next step of a subscription. `stream` is the one it belongs to, if that still exists.
    pub(super) fn next(
        &mut self,
        id: SubscriptionId,
        stream: Option<&Stream>,
        loaded: Option<Loaded>,
        now: Now,
    ) -> Step {
        let heartbeat = self.lifetimes.heartbeat;
        let Some(subscription) = self.live.get_mut(&id) else {
            return Step::End(None);
        };
        match subscription.end.take() {
            Some(End::OfShard) => return Step::End(None),
            Some(End::With(error)) => return Step::End(Some(error)),
            None => {}
        }
        if now.steady >= subscription.expires {
            return Step::End(None);
        }
        let Some((stream, shard)) = stream
            .and_then(|stream| Some((stream, stream.shards.get(&subscription.subject.shard)?)))
        else {
            let error = format!(
                "Stream {} or its shard is gone",
                subscription.subject.stream
            );
            return Step::End(Some(Error::not_found(error)));
        };
        let most = (EVENT_RECORDS, EVENT_BYTES);
        let read = self
            .recent
            .read(stream.uid, shard, subscription.next, loaded, most);
        let slice = match read {
            Reading::Slice(slice) => slice,
            Reading::OnDisk(range) => {
                subscription.next = range.start;
                return Step::Load(load(stream, shard, range, most, now));
            }
        };
        if let Some(pace) = &mut subscription.pace
            && !pace.try_take(slice.bytes as u64, now)
        {
            subscription.waiting = Waiting::Pace;
            return Step::Wait(pace.due(slice.bytes as u64).min(subscription.expires));
        }
        subscription.next = slice.next;
        if slice.records.is_empty() {
            if shard.ended().is_some() {
                subscription.end = Some(End::OfShard);
                return Step::Event(Event {
                    children: children(stream, shard),
                    ..Event::default()
                });
            }
            if now.steady < subscription.heartbeat_due {
                subscription.waiting = Waiting::Records;
                let change = stream.pending_at().unwrap_or(u64::MAX);
                return Step::Wait(
                    subscription
                        .heartbeat_due
                        .min(subscription.expires)
                        .min(change),
                );
            }
        }
        subscription.heartbeat_due = now.steady.saturating_add(heartbeat);
        Step::Event(Event {
            continuation: Some(slice.continuation),
            millis_behind: shard.millis_behind(&slice, now),
            slice,
            children: Vec::new(),
        })
    }
}

/// The shards that follow a closed one.
pub(crate) fn children(stream: &Stream, shard: &Shard) -> Vec<ChildShard> {
    let numbers = shard.closed.iter().flat_map(|closed| &closed.children);
    let children = numbers.filter_map(|number| stream.shards.get(number));
    children
        .map(|child| ChildShard {
            id: Arc::clone(&child.id),
            parents: child
                .parents
                .iter()
                .copied()
                .map(super::shard::id)
                .collect(),
            range: child.range,
        })
        .collect()
}
