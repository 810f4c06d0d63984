//! Faults on demand: what goes wrong at AWS, made to go wrong here.
//!
//! # What
//! Rules say which fault strikes whom and when: a call of some operation, an event of a subscription, a connection, the
//! stream itself. [`Faults`] is the handle: it adds rules, takes them away, and tells how often each fault did occur.
//! docs/FAULTS.md lists the faults and the keys of a rule.
//!
//! # How
//! [`engine`] decides, and does nothing else: it knows rules, counts and a seed. What it decides is carried out at the
//! few points where it can be: `wire::faulty` around a call, the body of a subscription, the listener. A fault is counted
//! where it is carried out, not where it was decided.
//!
//! # Limits
//! So many rules are kept at most; faults that let a caller wait for ever let it wait five minutes. Without rules it all
//! costs one load of an atomic flag a call and event.

mod act;
mod engine;
mod rule;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub(super) use self::act::act;
use self::engine::Engine;
pub(super) use self::engine::{Moment, Subject};
pub use self::rule::RuleError;
pub(super) use self::rule::{Fault, Rule};
use self::rule::{MOST_RULES, Rules};
use super::Service;

/// The rules of one service, and who carries out what must wait.
#[derive(Debug)]
pub(super) struct Board {
    /// Whether there are rules. Relaxed: whoever sees it late is struck late.
    active: AtomicBool,
    engine: Mutex<Engine>,
    started: Instant,
    /// Writes that are yet to happen, changes at a moment. They end with the service.
    waiting: Mutex<JoinSet<()>>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            active: AtomicBool::new(false),
            engine: Mutex::new(Engine::new()),
            started: Instant::now(),
            waiting: Mutex::new(JoinSet::new()),
        }
    }

    /// Whether any fault may strike.
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// The faults that strike now.
    pub(super) fn at(&self, moment: Moment<'_>) -> Vec<Arc<Rule>> {
        if !self.is_active() {
            return Vec::new();
        }
        let now = self.started.elapsed();
        self.engine().decide(moment, now)
    }

    /// A fault did occur.
    pub(super) fn occurred(&self, rule: &Rule) {
        tracing::debug!(
            fault = rule.name(),
            "embedded kinesis: a fault, as asked for"
        );
        self.engine().occurred(rule);
    }

    /// Which of so many records a rule refuses.
    pub(super) fn refused(&self, rule: &Rule, count: usize) -> Vec<bool> {
        self.engine().refused(rule, count)
    }

    /// Does something later, unless the service has ended by then.
    pub(super) fn later(&self, wait: Duration, task: impl Future<Output = ()> + Send + 'static) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.try_join_next().is_some() {}
        waiting.spawn(async move {
            sleep(wait).await;
            task.await;
        });
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The faults of a [`Service`]: adds rules, takes them away, counts.
///
/// To be used within a tokio runtime.
#[derive(Debug, Clone)]
pub struct Faults {
    service: Service,
}

/// How things stand, as the endpoint tells it.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    rules: usize,
    counts: BTreeMap<String, u64>,
}

impl Faults {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }

    /// Adds rules: TOML, either one or a list of them.
    ///
    /// # Errors
    /// [`RuleError`] says what is wrong; no rule is added then.
    pub fn add(&self, rules: &str) -> Result<(), RuleError> {
        self.take(Rules::from_toml(rules)?)
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// [`RuleError`] says what is wrong; no rule is added then.
    pub fn add_json(&self, rules: &[u8]) -> Result<(), RuleError> {
        self.take(Rules::from_json(rules)?)
    }

    fn take(&self, rules: Rules) -> Result<(), RuleError> {
        let board = self.service.board();
        let mut at_once = Vec::new();
        {
            let mut engine = board.engine();
            if engine.len() + rules.rule.len() > MOST_RULES {
                return Err(RuleError(format!("more than {MOST_RULES} rules")));
            }
            if let Some(seed) = rules.seed {
                engine.seed(seed);
            }
            let now = board.started.elapsed();
            for rule in rules.rule {
                let rule = Arc::new(rule);
                if rule.is_timed() {
                    at_once.push(rule);
                } else {
                    engine.add(rule, now);
                }
            }
            board.active.store(engine.len() > 0, Ordering::Relaxed);
        }
        for rule in at_once {
            if rule.after.is_zero() {
                change(&self.service, &rule, &Subject::default());
                continue;
            }
            let service = self.service.downgrade();
            board.later(rule.after, async move {
                if let Some(service) = service.upgrade() {
                    change(&service, &rule, &Subject::default());
                }
            });
        }
        Ok(())
    }

    /// Takes all rules away. What has been struck stays so; counters stay.
    pub fn clear(&self) {
        let board = self.service.board();
        let mut engine = board.engine();
        engine.clear();
        board.active.store(false, Ordering::Relaxed);
    }

    /// How often each fault did occur, by name.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.service.board().engine().counts().clone()
    }

    /// How often one of them did.
    pub fn count(&self, name: &str) -> u64 {
        let board = self.service.board();
        let engine = board.engine();
        engine.counts().get(name).copied().unwrap_or_default()
    }

    pub(super) fn standing(&self) -> Standing {
        let board = self.service.board();
        let engine = board.engine();
        Standing {
            rules: engine.len(),
            counts: engine.counts().clone(),
        }
    }
}

/// Changes the stream, and counts it if it could be done.
pub(super) fn change(service: &Service, rule: &Rule, subject: &Subject) {
    let done = service.with(|store, now| act(store, rule, subject, now));
    match done {
        Ok(()) => service.board().occurred(rule),
        Err(error) => {
            tracing::debug!(fault = rule.name(), %error, "embedded kinesis: no fault after all");
        }
    }
}
