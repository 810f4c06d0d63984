//! What the registrar tells the others, and what they ask of it.

use ::metrics::gauge;
use tokio::sync::watch;

use super::Facts;
use crate::kinesis::ConsumerArn;
use crate::telemetry::names;

/// What is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nothing yet.
    Pending,
    /// A registered consumer, which is active.
    Consumer(ConsumerArn),
    /// The shards themselves.
    Polling,
}

/// What readers ask for.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// The consumer, or the shard, is not there: look.
    Missing(ConsumerArn),
    /// Another process uses this consumer's name for good.
    Contended(ConsumerArn),
}

/// What the registrar tells.
#[derive(Debug)]
pub(super) struct News {
    pub(super) source: watch::Receiver<Source>,
    /// What keeps it from registering.
    pub(super) problem: watch::Receiver<Option<String>>,
    pub(super) facts: watch::Receiver<Facts>,
}

/// Where the registrar tells it.
#[derive(Debug)]
pub(super) struct Outlets {
    source: watch::Sender<Source>,
    problem: watch::Sender<Option<String>>,
    facts: watch::Sender<Facts>,
}

impl Outlets {
    pub(super) fn new() -> (Self, News) {
        let (source, source_news) = watch::channel(Source::Pending);
        let (problem, problem_news) = watch::channel(None);
        let (facts, facts_news) = watch::channel(Facts::new());
        let outlets = Self {
            source,
            problem,
            facts,
        };
        let news = News {
            source: source_news,
            problem: problem_news,
            facts: facts_news,
        };
        (outlets, news)
    }

    /// What is wrong now, if anything is.
    pub(super) fn tell(&self, problem: Option<String>) {
        self.problem.send_if_modified(|current| {
            let changed = *current != problem;
            *current = problem;
            changed
        });
    }

    /// Changes what is known of this instance; the others learn it by our heartbeats.
    pub(super) fn learn(&self, learn: impl FnOnce(&mut Facts)) {
        self.facts.send_if_modified(|facts| {
            let before = facts.clone();
            learn(facts);
            *facts != before
        });
    }

    /// What is known of this instance.
    pub(super) fn facts(&self) -> Facts {
        self.facts.borrow().clone()
    }

    /// What is read from.
    pub(super) fn source(&self) -> Source {
        self.source.borrow().clone()
    }

    /// From now on this is read from.
    pub(super) fn publish(&self, source: Source) {
        let is_polling = source == Source::Polling;
        gauge!(names::CONSUMER_MODE, "mode" => "polling").set(if is_polling { 1.0 } else { 0.0 });
        gauge!(names::CONSUMER_MODE, "mode" => "enhanced").set(if is_polling { 0.0 } else { 1.0 });
        self.source.send_if_modified(|current| {
            let changed = *current != source;
            if changed {
                match &source {
                    Source::Consumer(arn) => tracing::info!(consumer = %arn, "consumer is active"),
                    Source::Polling => tracing::info!("reading by polling"),
                    Source::Pending => {}
                }
                *current = source;
            }
            changed
        });
    }
}
