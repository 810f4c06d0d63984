//! Which registered consumers belong to instances that are gone.
//!
//! Pure. It takes in heartbeats with the time at which the stream took them, and judges by that
//! time alone: no clock of any machine has a say.
//!
//! # The rule
//! Whoever judges has read back its own heartbeats for ten minutes, without a long gap: so it
//! writes and reads, and what others wrote in that time it has read, too (all heartbeats have one
//! partition key, so they stand in one order). Its newest own heartbeat is "now". A consumer is
//! silent if in the ten minutes before that no heartbeat named it, and it is older than that. It
//! is an orphan if it is silent and surely ours: it has our tag, or both our prefix in its name
//! and a heartbeat that once named it.
//!
//! What it costs to be wrong: an instance that could not write for ten minutes is deregistered,
//! finds its consumer missing, registers afresh and goes on from its last continuation.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::name;
use crate::kinesis::{ConsumerStatus, RegisteredConsumer, Tags};
use crate::message::{Heartbeat, Timestamp};

/// How many names are remembered at most; a stream has 50 consumers.
const MOST_NAMES: usize = 1_024;

/// What is known of who lives.
#[derive(Debug)]
pub(super) struct Orphans {
    instance: Uuid,
    silence: Duration,
    own: Option<Chain>,
    /// When each consumer was named last.
    named: HashMap<Box<str>, Timestamp>,
}

/// Heartbeats of our own that were read back, none too late after the one before it.
#[derive(Clone, Copy, Debug)]
struct Chain {
    first: Timestamp,
    last: Timestamp,
}

impl Orphans {
    pub(super) fn new(instance: Uuid, silence: Duration) -> Self {
        Self {
            instance,
            silence,
            own: None,
            named: HashMap::new(),
        }
    }

    /// A heartbeat was read that the stream took then. True if it is our own, and a new one.
    pub(super) fn heard(&mut self, heartbeat: &Heartbeat, arrival: Timestamp) -> bool {
        if let Some(name) = &heartbeat.consumer {
            let last = self.named.entry(name.clone()).or_insert(arrival);
            *last = arrival.max(*last);
            self.bound();
        }
        if heartbeat.instance != self.instance {
            return false;
        }
        let gap = self.silence / 3;
        let (own, is_new) = match self.own {
            Some(chain) if arrival <= chain.last => (chain, false),
            Some(chain) if arrival.since(chain.last) <= gap => (
                Chain {
                    last: arrival,
                    ..chain
                },
                true,
            ),
            _ => (
                Chain {
                    first: arrival,
                    last: arrival,
                },
                true,
            ),
        };
        self.own = Some(own);
        is_new
    }

    /// Forgets whoever was heard longest ago, if there are too many.
    fn bound(&mut self) {
        if self.named.len() > MOST_NAMES {
            let oldest = self.named.iter().min_by_key(|(_, last)| **last);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.named.remove(&name);
            }
        }
    }

    /// The stream's time, if we may judge by now.
    fn now(&self) -> Option<Timestamp> {
        self.own
            .filter(|chain| chain.last.since(chain.first) >= self.silence)
            .map(|chain| chain.last)
    }

    /// Whether we may judge by now.
    pub(super) fn may_judge(&self) -> bool {
        self.now().is_some()
    }

    /// Whether nobody has given a sign for this consumer for too long.
    pub(super) fn is_silent(&self, consumer: &RegisteredConsumer) -> bool {
        let Some(now) = self.now() else {
            return false;
        };
        let named = self.named.get(consumer.name.as_str()).copied();
        let sign = named.max(Some(consumer.created)).unwrap_or(now);
        consumer.status != ConsumerStatus::Deleting && now.since(sign) > self.silence
    }

    /// Whether this consumer is surely one of this program's; `tags` if they could be read.
    pub(super) fn is_ours(&self, consumer: &RegisteredConsumer, tags: Option<&Tags>) -> bool {
        let tagged = tags.is_some_and(|tags| tags.contains_key(name::TAG_INSTANCE));
        let named = self.named.contains_key(consumer.name.as_str());
        tagged || (named && consumer.name.starts_with(name::PREFIX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SILENCE: u64 = 600_000;
    const ME: Uuid = Uuid::from_u128(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn beat(instance: u128, consumer: &str) -> Heartbeat {
        Heartbeat {
            instance: Uuid::from_u128(instance),
            consumer: (!consumer.is_empty()).then(|| consumer.into()),
        }
    }

    fn orphans() -> Orphans {
        Orphans::new(ME, Duration::from_millis(SILENCE))
    }

    fn consumer(name: &str, created: u64) -> RegisteredConsumer {
        RegisteredConsumer {
            name: name.to_owned(),
            arn: name.into(),
            status: ConsumerStatus::Active,
            created: at(created),
        }
    }

    /// Our own heartbeats, one a minute.
    fn live(orphans: &mut Orphans, from: u64, to: u64) {
        for minute in (from..=to).step_by(60_000) {
            orphans.heard(&beat(1, "chat-room-me"), at(minute));
        }
    }

    #[test]
    fn who_has_not_read_itself_for_ten_minutes_judges_nobody() {
        let mut orphans = orphans();
        let dead = consumer("chat-room-dead", 0);
        live(&mut orphans, 1_000_000, 1_000_000 + SILENCE - 60_000);
        assert!(!orphans.may_judge());
        assert!(!orphans.is_silent(&dead));
        live(&mut orphans, 1_000_000 + SILENCE, 1_000_000 + SILENCE);
        assert!(orphans.may_judge());
        assert!(orphans.is_silent(&dead));
        // After a long gap of its own it begins anew.
        let later = 1_000_000 + 2 * SILENCE;
        live(&mut orphans, later, later);
        assert!(!orphans.may_judge());
    }

    #[test]
    fn a_consumer_counts_from_its_creation_or_from_what_named_it_last() {
        let mut orphans = orphans();
        let from = 10 * SILENCE;
        orphans.heard(&beat(2, "chat-room-b"), at(from + 1));
        live(&mut orphans, from, from + SILENCE);
        assert!(!orphans.is_silent(&consumer("chat-room-b", 0)));
        assert!(!orphans.is_silent(&consumer("chat-room-c", from + 1)));
        assert!(orphans.is_silent(&consumer("chat-room-c", from - 1)));
        live(&mut orphans, from + SILENCE, from + SILENCE + 60_000);
        assert!(orphans.is_silent(&consumer("chat-room-b", 0)));
        let mut going = consumer("chat-room-b", 0);
        going.status = ConsumerStatus::Deleting;
        assert!(!orphans.is_silent(&going));
    }

    #[test]
    fn only_what_is_surely_ours_is_ours() {
        let mut orphans = orphans();
        orphans.heard(&beat(2, "chat-room-b"), at(1));
        orphans.heard(&beat(3, "web"), at(1));
        let tagged = Tags::from([(name::TAG_INSTANCE.to_owned(), String::new())]);
        let other = Tags::from([("owner".to_owned(), "x".to_owned())]);
        let is_ours = |name: &str, tags| orphans.is_ours(&consumer(name, 0), tags);
        assert!(is_ours("anything", Some(&tagged)));
        assert!(is_ours("chat-room-b", None));
        assert!(is_ours("chat-room-b", Some(&other)));
        assert!(!is_ours("chat-room-c", None), "nobody ever named it");
        assert!(!is_ours("web", None), "the name is not ours");
        assert!(!is_ours("web", Some(&other)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut orphans = orphans();
        for number in 0..5_000_u64 {
            orphans.heard(&beat(2, &format!("chat-room-{number}")), at(number));
        }
        assert_eq!(orphans.named.len(), MOST_NAMES);
        assert!(orphans.named.contains_key("chat-room-4999"));
    }

    /// The rule, word for word, over everything that was heard.
    #[derive(Default)]
    struct Naive(Vec<(Heartbeat, u64)>);

    impl Naive {
        fn now(&self) -> Option<u64> {
            let mut own: Vec<u64> = self
                .0
                .iter()
                .filter(|h| h.0.instance == ME)
                .map(|h| h.1)
                .collect();
            own.sort_unstable();
            let now = *own.last()?;
            let mut first = now;
            for arrival in own.into_iter().rev() {
                if first - arrival > SILENCE / 3 {
                    break;
                }
                first = arrival;
            }
            (now - first >= SILENCE).then_some(now)
        }

        fn is_silent(&self, consumer: &RegisteredConsumer) -> bool {
            let Some(now) = self.now() else { return false };
            let named = self.0.iter().any(|(heartbeat, arrival)| {
                heartbeat.consumer.as_deref() == Some(&consumer.name) && arrival + SILENCE >= now
            });
            !named && consumer.created.as_millis() + SILENCE < now
        }
    }

    /// Who, how much later than the one before.
    fn heard() -> impl Strategy<Value = Vec<(u128, u64)>> {
        let step = prop_oneof![8 => 0..90_000_u64, 1 => 0..SILENCE];
        prop::collection::vec((1..5_u128, step), 0..120)
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_rule_and_never_takes_a_living_one(heard in heard(), created in 0..3 * SILENCE) {
            let (mut orphans, mut naive) = (orphans(), Naive::default());
            let mut arrival = SILENCE;
            for (who, step) in heard {
                arrival += step;
                let heartbeat = beat(who, &format!("chat-room-{who}"));
                orphans.heard(&heartbeat, at(arrival));
                naive.0.push((heartbeat, arrival));
                prop_assert_eq!(orphans.may_judge(), naive.now().is_some());
                for name in ["chat-room-1", "chat-room-2", "chat-room-3", "chat-room-9"] {
                    let consumer = consumer(name, created);
                    prop_assert_eq!(orphans.is_silent(&consumer), naive.is_silent(&consumer));
                }
                // Whoever judges is alive itself.
                prop_assert!(!orphans.is_silent(&consumer("chat-room-1", created)));
            }
        }
    }
}
