//! The task that owns the lanes: takes submissions in, carries calls out, answers back.

use std::collections::HashMap;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::batch::Record;
use super::lanes::{Answer, Call, CallId, Lanes, Limits, Settled};
use super::metrics::{self, Metrics};
use super::publisher::{Submission, Ticket};
use super::{Config, PublishError};
use crate::kinesis::{self, Kinesis, PutOutcome, Shard};

/// When to try again after the stream has refused a message: nothing gets better by hurrying.
const REFUSED_RETRY: Duration = Duration::from_secs(5);
/// How many submissions are taken in one go.
const INTAKE: usize = 1_024;
/// How often trouble of one kind is logged at most.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What a task of the dispatcher brings back.
enum Report {
    Put {
        call: CallId,
        result: Result<Vec<PutOutcome>, kinesis::Error>,
        took: Duration,
    },
    Map(Result<Vec<Shard>, kinesis::Error>),
}

pub(super) struct Dispatcher {
    kinesis: Kinesis,
    call_timeout: Duration,
    lanes: Lanes<Ticket>,
    work: JoinSet<Report>,
    /// The call that a task makes: should the task panic, its number is known from here.
    calls: HashMap<task::Id, CallId>,
    /// How many messages are in the lanes.
    held: usize,
    metrics: Metrics,
    trouble: watch::Sender<Option<String>>,
    put_log: Seldom,
    map_log: Seldom,
}

impl Dispatcher {
    /// Beside it, what keeps messages from being stored.
    pub(super) fn new(
        kinesis: Kinesis,
        config: &Config,
    ) -> (Self, watch::Receiver<Option<String>>) {
        let defaults = Limits::default();
        let limits = Limits {
            record_target: defaults.record_target.min(config.record_limit),
            ..defaults
        };
        let (trouble, news) = watch::channel(None);
        let dispatcher = Self {
            kinesis,
            call_timeout: config.call_timeout,
            lanes: Lanes::new(limits, fastrand::u64(..)),
            work: JoinSet::new(),
            calls: HashMap::new(),
            held: 0,
            metrics: Metrics::new(),
            trouble,
            put_log: Seldom::default(),
            map_log: Seldom::default(),
        };
        (dispatcher, news)
    }

    /// Runs until it is stopped and nothing waits any more, or the limit of stopping has come.
    /// Returns how many messages were given up then.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Submission>,
        mut stopped: oneshot::Receiver<Instant>,
    ) -> usize {
        let mut intake = Vec::with_capacity(INTAKE);
        let mut open = true;
        let mut until: Option<Instant> = None;
        let mut alarm = pin!(sleep(Duration::ZERO));
        loop {
            let now = Instant::now();
            self.start_work(now.into_std());
            if !open && self.held == 0 {
                return 0;
            }
            let deadline = self.lanes.deadline(now.into_std()).map(Instant::from_std);
            if let Some(deadline) = deadline
                && alarm.deadline() != deadline
            {
                alarm.as_mut().reset(deadline);
            }
            tokio::select! {
                taken = inbox.recv_many(&mut intake, INTAKE), if open => {
                    open = taken > 0;
                    self.take_in(&mut intake);
                }
                Some(done) = self.work.join_next_with_id() => {
                    let now = Instant::now();
                    self.report(now, done);
                    while let Some(done) = self.work.try_join_next_with_id() {
                        self.report(now, done);
                    }
                }
                () = &mut alarm, if deadline.is_some() => {}
                limit = &mut stopped, if until.is_none() => {
                    // What was submitted before is still taken in.
                    inbox.close();
                    self.lanes.close();
                    let now = Instant::now();
                    until = Some(limit.unwrap_or(now));
                }
                () = at(until) => return self.give_up(&mut inbox, &mut intake),
            }
        }
    }

    fn take_in(&mut self, intake: &mut Vec<Submission>) {
        self.held += intake.len();
        for submission in intake.drain(..) {
            self.lanes
                .publish(submission.room, submission.data, submission.ticket);
        }
        self.gauge();
    }

    /// Starts what can be started now.
    fn start_work(&mut self, now: std::time::Instant) {
        if self.lanes.wants_map(now) {
            self.lanes.map_requested();
            let kinesis = self.kinesis.clone();
            self.work
                .spawn(async move { Report::Map(kinesis.list_shards().await) });
        }
        for call in self.lanes.next_calls(now) {
            self.metrics.bytes.increment(call.bytes as u64);
            let id = call.id;
            let put = put(self.kinesis.clone(), call, self.call_timeout);
            self.calls.insert(self.work.spawn(put).id(), id);
        }
    }

    fn report(&mut self, now: Instant, done: Result<(task::Id, Report), JoinError>) {
        let (id, report) = match done {
            Ok((id, report)) => (id, Some(report)),
            Err(error) => {
                tracing::error!(%error, "a task of the producer has failed");
                (error.id(), None)
            }
        };
        let call = self.calls.remove(&id);
        match (report, call) {
            (Some(Report::Put { call, result, took }), _) => {
                self.metrics.duration.record(took);
                let answer = self.answer(now, result);
                let settled = self.lanes.answered(now.into_std(), call, answer);
                self.settle(settled);
            }
            (Some(Report::Map(result)), _) => self.shard_map(now, result),
            (None, Some(call)) => {
                let settled = self.lanes.answered(now.into_std(), call, Answer::Lost);
                self.settle(settled);
            }
            (None, None) => self.lanes.map_failed(now.into_std()),
        }
    }

    /// Counts and logs what came of a call.
    fn answer(&mut self, now: Instant, result: Result<Vec<PutOutcome>, kinesis::Error>) -> Answer {
        let error = match result {
            Ok(outcomes) => {
                let is_stored =
                    |outcome: &&PutOutcome| matches!(outcome, PutOutcome::Stored { .. });
                let stored = outcomes.iter().filter(is_stored).count();
                self.metrics.records.increment(stored as u64);
                self.metrics.call(match stored {
                    0 => "rejected",
                    all if all == outcomes.len() => "stored",
                    _ => "partial",
                });
                let failed = outcomes.iter().find_map(|outcome| match outcome {
                    PutOutcome::Failed { code } => Some(&**code),
                    PutOutcome::Throttled => Some("throttled"),
                    PutOutcome::Stored { .. } => None,
                });
                self.trouble_is(match failed {
                    Some(code) if stored == 0 => Some(format!("PutRecords: {code}")),
                    _ => None,
                });
                if let Some(code) = failed
                    && let Some(times) = self.put_log.tell(now)
                {
                    let records = outcomes.len();
                    tracing::warn!(stored, records, code, times, "records are put again");
                }
                return Answer::Records(outcomes);
            }
            Err(error) => error,
        };
        self.metrics.call(error.kind().as_str());
        self.trouble_is(Some(error.outline()));
        let again = error.is_retryable();
        if let Some(times) = self.put_log.tell(now) {
            tracing::warn!(%error, again, times, "a call to store messages has failed");
        }
        if again { Answer::Lost } else { Answer::Refused }
    }

    fn trouble_is(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|current| {
            let changed = *current != trouble;
            *current = trouble;
            changed
        });
    }

    fn shard_map(&mut self, now: Instant, result: Result<Vec<Shard>, kinesis::Error>) {
        match result {
            Ok(shards) => match self.lanes.shard_map(now.into_std(), shards) {
                Ok(settled) => {
                    metrics::shard_map("taken");
                    tracing::debug!(lanes = self.lanes.count(), "took the list of shards");
                    self.settle(settled);
                }
                Err(error) => {
                    metrics::shard_map("ignored");
                    if let Some(times) = self.map_log.tell(now) {
                        tracing::warn!(%error, times, "the list of shards is not taken over");
                    }
                }
            },
            Err(error) => {
                metrics::shard_map(error.kind().as_str());
                if let Some(times) = self.map_log.tell(now) {
                    tracing::warn!(%error, times, "no list of shards");
                }
                self.lanes.map_failed(now.into_std());
            }
        }
    }

    fn settle(&mut self, settled: Settled<Ticket>) {
        self.metrics.again(settled.again);
        self.held -= settled.done.len();
        let mut stored = 0;
        let mut given_up = 0;
        for done in settled.done {
            match done.position {
                Some(_) => stored += u64::from(done.tag.is_message),
                None => given_up += 1,
            }
            done.tag
                .answer(done.position.ok_or(PublishError::Unavailable {
                    retry_after: REFUSED_RETRY,
                }));
        }
        self.metrics.user_records.increment(stored);
        self.metrics.given_up.increment(given_up);
        self.gauge();
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floating-point numbers"
    )]
    fn gauge(&self) {
        self.metrics.queue_messages.set(self.held as f64);
        self.metrics.lanes.set(self.lanes.count() as f64);
    }

    fn give_up(
        &mut self,
        inbox: &mut mpsc::Receiver<Submission>,
        intake: &mut Vec<Submission>,
    ) -> usize {
        while let Ok(submission) = inbox.try_recv() {
            intake.push(submission);
        }
        self.take_in(intake);
        let left = self.lanes.abandon();
        let count = left.len();
        for ticket in left {
            ticket.answer(Err(PublishError::Closing));
        }
        self.metrics.given_up.increment(count as u64);
        self.held = 0;
        self.gauge();
        tracing::warn!(messages = count, "stopped before everything was stored");
        count
    }
}

async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => pending().await,
    }
}

async fn put(kinesis: Kinesis, call: Call, limit: Duration) -> Report {
    let began = Instant::now();
    let entries = call.records.into_iter().map(Record::encode);
    let result = kinesis.put_records(entries.collect(), limit).await;
    Report::Put {
        call: call.id,
        result,
        took: began.elapsed(),
    }
}

/// Keeps a log line from coming more than once per interval.
#[derive(Debug, Default)]
struct Seldom {
    last: Option<Instant>,
    times: u64,
}

impl Seldom {
    /// Whether to log now, and if so for how many occurrences.
    fn tell(&mut self, now: Instant) -> Option<u64> {
        self.times += 1;
        if self.last.is_some_and(|last| now - last < LOG_INTERVAL) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}
