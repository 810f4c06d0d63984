//! When which fault strikes. Pure: it takes the time and draws from its seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::rule::{Fault, Rule, Scope};
use crate::embedded::operations::Operation;

/// What a call or a subscription is about, as far as rules ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subject {
    pub(crate) operation: Option<Operation>,
    pub(crate) stream: Option<String>,
    pub(crate) shard: Option<String>,
    /// A consumer's name.
    pub(crate) consumer: Option<String>,
    /// It goes on at a sequence number.
    pub(crate) resumes: bool,
}

/// Something that a fault can strike.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment<'a> {
    /// A call, before it is carried out.
    Call(&'a Subject),
    /// An event of a subscription, before it is delivered.
    Event { of: &'a Subject, has_records: bool },
    /// A connection that was accepted.
    Connection,
    /// A stream is described.
    Summary(&'a Subject),
}

#[derive(Debug)]
struct Armed {
    rule: Arc<Rule>,
    rng: fastrand::Rng,
    /// When it was added.
    since: Duration,
    seen: u64,
    struck: u64,
    /// It was due, and another fault came first.
    is_owed: bool,
}

/// All rules, and what came of them.
#[derive(Debug)]
pub(super) struct Engine {
    rules: Vec<Armed>,
    counts: BTreeMap<String, u64>,
    seed: u64,
    added: u64,
}

impl Engine {
    pub(super) fn new() -> Self {
        let zero = |fault: &Fault| (fault.name().to_owned(), 0);
        Self {
            rules: Vec::new(),
            counts: Fault::ALL.iter().map(zero).collect(),
            seed: 0,
            added: 0,
        }
    }

    /// Rules that are added from now on draw from this.
    pub(super) fn seed(&mut self, seed: u64) {
        self.seed = seed;
        self.added = 0;
    }

    pub(super) fn add(&mut self, rule: Arc<Rule>, now: Duration) {
        self.counts.entry(rule.name().to_owned()).or_default();
        self.added += 1;
        let seed = self.seed ^ self.added.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.rules.push(Armed {
            rule,
            rng: fastrand::Rng::with_seed(seed),
            since: now,
            seen: 0,
            struck: 0,
            is_owed: false,
        });
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    /// A fault did occur.
    pub(super) fn occurred(&mut self, rule: &Rule) {
        *self.counts.entry(rule.name().to_owned()).or_default() += 1;
    }

    pub(super) fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    /// The faults that strike now, in the order of their rules; only the last may be one that ends what it strikes.
    pub(super) fn decide(&mut self, moment: Moment<'_>, now: Duration) -> Vec<Arc<Rule>> {
        let mut hits = Vec::new();
        let mut ended = false;
        for armed in &mut self.rules {
            if !armed.concerns(moment, now) || !armed.is_due() {
                continue;
            }
            // A planned one for which another came first strikes at the next.
            armed.is_owed = ended && armed.rule.rate.is_none();
            if !ended {
                armed.struck += 1;
                ended = !armed.rule.fault.goes_on();
                hits.push(Arc::clone(&armed.rule));
            }
        }
        hits
    }

    /// Which of so many records a rule refuses: one at least.
    pub(super) fn refused(&mut self, rule: &Rule, count: usize) -> Vec<bool> {
        let Some(armed) = self.rules.iter_mut().find(|armed| *armed.rule == *rule) else {
            return Vec::new();
        };
        let rng = &mut armed.rng;
        let mut refused: Vec<bool> = (0..count).map(|_| rng.f64() < rule.share()).collect();
        if !refused.contains(&true)
            && let Some(one) = rng.choice(refused.iter_mut())
        {
            *one = true;
        }
        refused
    }
}

impl Armed {
    fn concerns(&mut self, moment: Moment<'_>, now: Duration) -> bool {
        let age = now.saturating_sub(self.since);
        if age < self.rule.after || self.rule.until.is_some_and(|until| age >= until) {
            return false;
        }
        let concerned = self.rule.concerns(moment);
        self.seen += u64::from(concerned);
        concerned
    }

    fn is_due(&mut self) -> bool {
        if self.rule.times.is_some_and(|times| self.struck >= times) {
            return false;
        }
        if self.is_owed {
            return true;
        }
        match (self.rule.nth, self.rule.every, self.rule.rate) {
            (Some(nth), _, _) => self.seen == nth,
            (_, Some(every), _) => self.seen.is_multiple_of(every),
            (_, _, Some(rate)) => self.rng.f64() < rate,
            (None, None, None) => true,
        }
    }
}

impl Rule {
    fn concerns(&self, moment: Moment<'_>) -> bool {
        let scope = self.fault.scope();
        // A connection's fault strikes subscriptions by their events, unless another operation is named.
        let by_events = match scope {
            Scope::Events | Scope::Records => true,
            Scope::Connections => self
                .only
                .is_none_or(|only| only == Operation::SubscribeToShard),
            _ => false,
        };
        match moment {
            Moment::Connection => scope == Scope::Accepts,
            Moment::Summary(subject) => scope == Scope::Summaries && self.names(subject),
            Moment::Event { of, has_records } => {
                by_events && (has_records || scope != Scope::Records) && self.names(of)
            }
            Moment::Call(subject) => {
                let fits = subject.operation.is_some_and(|operation| match scope {
                    Scope::Changes => self.only.unwrap_or(Operation::PutRecords) == operation,
                    _ => self.fault.fits(operation),
                });
                let resumes = subject.resumes || scope != Scope::Resumptions;
                let later = by_events || scope == Scope::Summaries || self.is_timed();
                !later && fits && resumes && self.names(subject)
            }
        }
    }

    /// Whether the subject is one that the rule speaks of.
    fn names(&self, subject: &Subject) -> bool {
        let is = |wanted: &Option<String>, given: &Option<String>| {
            wanted.is_none() || wanted.as_deref() == given.as_deref()
        };
        // A change names the shard and consumer that it changes, not those of the call at which it does.
        let anybody = self.fault.scope() == Scope::Changes;
        self.only.is_none_or(|only| subject.operation == Some(only))
            && (anybody || is(&self.shard, &subject.shard) && is(&self.consumer, &subject.consumer))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rule::Rules;
    use super::*;

    fn engine(text: &str) -> Engine {
        let mut engine = Engine::new();
        let rules = Rules::from_toml(text).unwrap();
        engine.seed(rules.seed.unwrap_or(0));
        for rule in rules.rule {
            engine.add(Arc::new(rule), Duration::ZERO);
        }
        engine
    }

    fn call(operation: Operation, shard: &str) -> Subject {
        Subject {
            operation: Some(operation),
            shard: Some(shard.to_owned()),
            ..Subject::default()
        }
    }

    fn strikes(engine: &mut Engine, subject: &Subject, calls: usize) -> Vec<bool> {
        let mut decide = || engine.decide(Moment::Call(subject), Duration::ZERO);
        (0..calls).map(|_| !decide().is_empty()).collect()
    }

    #[test]
    fn the_nth_call_of_an_operation_and_shard_is_struck_and_no_other() {
        let mut engine =
            engine("fault = \"throttle\"\noperation = \"PutRecords\"\nshard = \"a\"\nnth = 2");
        let other = call(Operation::PutRecords, "b");
        assert_eq!(strikes(&mut engine, &other, 3), [false; 3]);
        let other = call(Operation::GetRecords, "a");
        assert_eq!(strikes(&mut engine, &other, 3), [false; 3]);
        let meant = call(Operation::PutRecords, "a");
        assert_eq!(strikes(&mut engine, &meant, 4), [false, true, false, false]);
    }

    #[test]
    fn every_so_many_and_at_most_so_often() {
        let mut engine = engine("fault = \"delay\"\nevery = 2\ntimes = 2");
        let subject = call(Operation::ListShards, "a");
        let expected = [false, true, false, true, false, false, false, false];
        assert_eq!(strikes(&mut engine, &subject, 8), expected);
    }

    #[test]
    fn a_window_of_time_begins_when_the_rule_was_added() {
        let mut engine = Engine::new();
        let rules =
            Rules::from_toml("fault = \"throttle\"\nafter = \"2s\"\nuntil = \"3s\"").unwrap();
        let start = Duration::from_secs(10);
        engine.add(Arc::new(rules.rule[0].clone()), start);
        let subject = call(Operation::PutRecords, "a");
        let struck = |millis| {
            let now = start + Duration::from_millis(millis);
            !engine.decide(Moment::Call(&subject), now).is_empty()
        };
        let seen: Vec<bool> = [0, 1_999, 2_000, 2_999, 3_000].map(struck).to_vec();
        assert_eq!(seen, [false, false, true, true, false]);
    }

    #[test]
    fn one_fault_ends_a_call_and_a_delay_before_it_does_not() {
        let mut engine = engine(
            "[[rule]]\nfault = \"delay\"\n[[rule]]\nfault = \"internal-error\"\n[[rule]]\nfault = \"reset\"\n",
        );
        let subject = call(Operation::PutRecords, "a");
        let hits = engine.decide(Moment::Call(&subject), Duration::ZERO);
        let names: Vec<_> = hits.iter().map(|hit| hit.name()).collect();
        assert_eq!(names, ["delay", "internal-error"]);
    }

    #[test]
    fn a_planned_fault_for_which_another_came_first_strikes_at_the_next() {
        let mut engine = engine(
            "[[rule]]\nfault = \"throttle\"\nnth = 2\n[[rule]]\nfault = \"reset\"\nnth = 2\n",
        );
        let subject = call(Operation::PutRecords, "a");
        let mut names = Vec::new();
        for _ in 0..5 {
            let hits = engine.decide(Moment::Call(&subject), Duration::ZERO);
            names.extend(hits.first().map(|hit| hit.fault.name()));
        }
        assert_eq!(names, ["throttle", "reset"]);
    }

    #[test]
    fn faults_of_subscriptions_are_counted_in_events() {
        let mut engine =
            engine("[[rule]]\nfault = \"black-hole\"\n[[rule]]\nfault = \"duplicate\"");
        let subject = call(Operation::SubscribeToShard, "a");
        assert_eq!(strikes(&mut engine, &subject, 1), [false]);
        let event = Moment::Event {
            of: &subject,
            has_records: false,
        };
        let hits = engine.decide(event, Duration::ZERO);
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].fault, Fault::BlackHole);
        assert!(engine.decide(Moment::Connection, Duration::ZERO).is_empty());
    }

    #[test]
    fn a_start_is_trimmed_only_where_reading_goes_on() {
        let mut engine = engine("fault = \"trimmed-start\"");
        let mut subject = call(Operation::SubscribeToShard, "a");
        assert_eq!(strikes(&mut engine, &subject, 1), [false]);
        subject.resumes = true;
        assert_eq!(strikes(&mut engine, &subject, 1), [true]);
    }

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_faults_at_about_the_rate(seed in 0..u64::from(u32::MAX), rate in 0.0..=1.0_f64) {
            let text = format!("seed = {seed}\n[[rule]]\nfault = \"throttle\"\nrate = {rate:.3}");
            let subject = call(Operation::PutRecords, "a");
            let first = strikes(&mut engine(&text), &subject, 1_000);
            let second = strikes(&mut engine(&text), &subject, 1_000);
            prop_assert_eq!(&first, &second);
            let struck = u32::try_from(first.iter().filter(|struck| **struck).count()).unwrap();
            prop_assert!((f64::from(struck) / 1_000.0 - rate).abs() < 0.1);
        }

        #[test]
        fn at_least_one_record_is_refused_and_as_many_are_told_as_there_are(count in 1_usize..500, share in 0.0..=1.0_f64) {
            let mut engine = engine(&format!("fault = \"throttle-records\"\nshare = {share:.3}"));
            let subject = call(Operation::PutRecords, "a");
            let hits = engine.decide(Moment::Call(&subject), Duration::ZERO);
            let refused = engine.refused(&hits[0], count);
            prop_assert_eq!(refused.len(), count);
            prop_assert!(refused.contains(&true));
        }
    }
}
