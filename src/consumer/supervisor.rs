//! The task that owns all others: lists the shards, starts a reader for each whose parents are
//! read, hands on what a shard leaves to its children, and tells whether all is well.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::metrics::{counter, gauge};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::config::Beginning;
use super::cursor::Cursor;
use super::lineage::{Discovery, Lineage};
use super::news::{News, Request};
use super::orphans::Orphans;
use super::poll::Pace;
use super::process::Processor;
use super::reader::{Finished, MISSING, Outside, Task};
use super::readiness::{self, Progress, Readiness, ShardState, ShardStatus};
use super::reaper::{Heard, Reaper};
use super::registration::Registrar;
use super::repeats::Window;
use super::schedule::Schedule;
use super::shard::Reader;
use super::{Config, Facts};
use crate::kinesis::{Error, Kinesis, Shard, ShardId, StartingPosition};
use crate::log::{Log, LogShard, OpenShard};
use crate::telemetry::names;

/// How often readiness is looked at if nothing calls for it.
const TICK: Duration = Duration::from_millis(500);

/// What one of the tasks has come to.
#[derive(Debug)]
enum Done {
    Listed(Result<Vec<Shard>, Error>),
    Read(ShardId, Finished),
}

/// A known shard.
#[derive(Debug)]
struct Entry {
    shard: Shard,
    log: Arc<LogShard>,
    progress: Arc<Progress>,
    /// It is read from its birth on, so nothing in it precedes the start.
    is_whole: bool,
    task: Option<AbortHandle>,
    /// What its children inherit, from its end until all have it.
    window: Option<Window>,
    /// It was read to its end, and the log does not know yet.
    is_ending: bool,
}

#[derive(Debug)]
pub(super) struct Supervisor {
    kinesis: Kinesis,
    log: Arc<Log>,
    config: Config,
    beginning: Beginning,
    lineage: Lineage,
    entries: BTreeMap<ShardId, Entry>,
    tasks: JoinSet<Done>,
    readers: HashMap<Id, ShardId>,
    outside: Outside,
    heard: Arc<Heard>,
    facts: watch::Receiver<Facts>,
    problem: watch::Receiver<Option<String>>,
    /// Why the shards could not be listed.
    listing_problem: Option<String>,
    readiness: watch::Sender<Readiness>,
    listings: Schedule,
    rng: fastrand::Rng,
}

impl Supervisor {
    pub(super) fn new(
        kinesis: Kinesis,
        log: Arc<Log>,
        config: Config,
        beginning: Beginning,
        news: News,
    ) -> (Self, mpsc::Receiver<Request>, watch::Receiver<Readiness>) {
        let (requests, for_registrar) = mpsc::channel(16);
        let (readiness, readiness_news) = watch::channel(Readiness::default());
        let outside = Outside {
            source: news.source,
            requests,
            changed: Arc::new(Notify::new()),
            takeovers_before_new_name: config.takeovers_before_new_name,
        };
        let instance = news.facts.borrow().instance;
        let orphans = Orphans::new(instance, config.orphan_silence);
        let mut rng = fastrand::Rng::new();
        let listings = Schedule::new(config.list_interval, rng.fork(), now());
        let supervisor = Self {
            kinesis,
            heard: Arc::new(Heard::new(orphans)),
            facts: news.facts,
            log,
            config,
            beginning,
            lineage: Lineage::default(),
            entries: BTreeMap::new(),
            tasks: JoinSet::new(),
            readers: HashMap::new(),
            outside,
            problem: news.problem,
            listing_problem: None,
            readiness,
            listings,
            rng,
        };
        (supervisor, for_registrar, readiness_news)
    }

    /// Runs until `stop` speaks or is dropped; then ends the readers and after them the
    /// registration.
    pub(super) async fn run(
        mut self,
        registrar: Registrar,
        requests: mpsc::Receiver<Request>,
        stop: oneshot::Receiver<()>,
    ) {
        let (stop_registrar, registrar_stops) = oneshot::channel();
        // In a set of its own: dropped with us if we are aborted.
        let mut registration = JoinSet::new();
        registration.spawn(registrar.run(requests, registrar_stops));
        let reaper = Reaper {
            kinesis: self.kinesis.clone(),
            heard: Arc::clone(&self.heard),
            readiness: self.readiness.subscribe(),
            facts: self.facts.clone(),
            tags: HashMap::new(),
        };
        let mut reaping = JoinSet::new();
        reaping.spawn(reaper.run());
        tokio::select! {
            _ = stop => {}
            () = self.supervise() => {}
        }
        reaping.shutdown().await;
        self.tasks.shutdown().await;
        // Whether it still listens does not matter: it is waited for.
        let _ = stop_registrar.send(());
        while registration.join_next().await.is_some() {}
    }

    async fn supervise(&mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let changed = Arc::clone(&self.outside.changed);
        loop {
            tokio::select! {
                Some(done) = self.tasks.join_next_with_id() => self.done(done),
                () = at(self.listings.next()) => self.list(),
                () = changed.notified() => self.look(),
                _ = ticks.tick() => {}
            }
            self.report();
        }
    }

    fn list(&mut self) {
        self.listings.begins();
        self.lineage.listing_begins();
        let kinesis = self.kinesis.clone();
        self.tasks
            .spawn(async move { Done::Listed(kinesis.list_shards().await) });
    }

    fn done(&mut self, done: Result<(Id, Done), JoinError>) {
        match done {
            Ok((_, Done::Listed(listed))) => self.listed(listed),
            Ok((id, Done::Read(shard, finished))) => {
                self.readers.remove(&id);
                self.finished(&shard, finished.window, &finished.children);
            }
            Err(error) => match self.readers.remove(&error.id()) {
                Some(shard) if error.is_panic() => {
                    tracing::error!(%shard, %error, "a reader came to grief; starting another");
                    self.read(&shard, self.empty_window(), true);
                }
                Some(_) => {}
                None => self.listings.is_dropped(),
            },
        }
    }

    fn listed(&mut self, listed: Result<Vec<Shard>, Error>) {
        match listed {
            Ok(listing) => {
                self.listing_problem = None;
                let discovery = self.lineage.discover(&listing);
                self.take(discovery);
                self.listings.came(!self.lineage.wants_listing(), now());
            }
            Err(error) => {
                tracing::warn!(%error, "cannot list the shards, trying again");
                let kind = error.kind().as_str();
                counter!(names::CONSUMER_ERRORS, "kind" => kind).increment(1);
                self.listing_problem = Some(error.outline());
                self.listings.failed(now());
            }
        }
    }

    fn take(&mut self, discovery: Discovery) {
        for found in discovery.found {
            let shard = found.shard;
            tracing::info!(shard = %shard.id, parents = ?shard.parents, "found a shard");
            let log = self.log.open_shard(OpenShard {
                name: shard.id.name(),
                range: (shard.range.start, shard.range.end),
                generation: found.generation,
                starting: shard.starting,
            });
            let entry = Entry {
                log,
                progress: Arc::new(Progress::new(now())),
                is_whole: false,
                task: None,
                window: None,
                is_ending: false,
                shard,
            };
            self.entries.insert(entry.shard.id.clone(), entry);
        }
        // Those that follow them are known to the log now: no viewer who resumes falls between.
        for entry in self.entries.values_mut() {
            if std::mem::take(&mut entry.is_ending) {
                entry.log.close();
            }
        }
        for (id, entry) in &self.entries {
            if self.lineage.is_closed(id) {
                entry.progress.closes();
            }
        }
        for id in discovery.lost {
            self.lose(&id);
        }
        for id in discovery.forgotten {
            if let Some(entry) = self.entries.remove(&id) {
                self.log.forget_shard(&entry.log);
            }
        }
        self.start();
    }

    /// A shard is not listed any more: if its reader cannot read it either, it is gone.
    fn lose(&mut self, id: &ShardId) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        if entry.progress.get().state != MISSING {
            return;
        }
        tracing::error!(shard = %id, "the shard is gone, before it was read to its end");
        if let Some(task) = entry.task.take() {
            task.abort();
        }
        self.finished(&id.clone(), self.empty_window(), &[]);
    }

    fn finished(&mut self, id: &ShardId, window: Window, children: &[ShardId]) {
        if !self.lineage.closed(id, children) {
            return;
        }
        tracing::info!(shard = %id, ?children, "read a shard to its end");
        let has_children = self.lineage.has_children(id);
        if let Some(entry) = self.entries.get_mut(id) {
            entry.window = Some(window);
            entry.task = None;
            if has_children {
                entry.log.close();
            } else {
                entry.is_ending = true;
            }
        }
        if self.lineage.wants_listing() {
            self.listings.wanted(now());
        }
        self.start();
    }

    fn empty_window(&self) -> Window {
        Window::new(self.config.repeats)
    }

    /// Starts a reader for each shard that may be read.
    fn start(&mut self) {
        for shard in self.lineage.startable() {
            let parents = || shard.parents.iter().filter_map(|id| self.entries.get(id));
            let known = parents().filter_map(|parent| parent.window.as_ref());
            let window = self.empty_window().inherit(known);
            // What follows a shard of which we read something came to be after that.
            let is_whole = self.lineage.is_newborn(&shard.id)
                || parents().any(|parent| {
                    let window = parent.window.as_ref();
                    parent.is_whole || window.is_some_and(|window| window.clock().is_some())
                });
            if let Some(entry) = self.entries.get_mut(&shard.id) {
                entry.is_whole = is_whole;
                entry.progress = Arc::new(Progress::new(now()));
                if self.lineage.is_closed(&shard.id) {
                    entry.progress.closes();
                }
            }
            self.lineage.started(&shard.id);
            self.read(&shard.id, window, false);
        }
        for (id, entry) in &mut self.entries {
            if entry.window.is_some() && self.lineage.is_survived_by_all(id) {
                entry.window = None;
            }
        }
    }

    /// Starts the reader of one shard; or another, if the last one came to grief.
    fn read(&mut self, id: &ShardId, window: Window, again: bool) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let read_to = entry.progress.get().read_to;
        let from = match (read_to, self.beginning.read_from) {
            (Some(read_to), _) => StartingPosition::AfterSequence(read_to),
            (None, Some(time)) if !entry.is_whole => StartingPosition::AtTimestamp(time),
            (None, _) => StartingPosition::TrimHorizon,
        };
        let mut processor = Processor::new(
            &entry.shard,
            Arc::clone(&entry.log),
            window,
            self.beginning.show_from,
            entry.is_whole && read_to.is_none(),
            Arc::clone(&self.heard),
            self.config.warn_interval,
        );
        if let Some(read_to) = read_to {
            processor.resume_after(read_to);
        }
        let wait = if again {
            self.config.rules.backoff_last
        } else {
            Duration::ZERO
        };
        entry.progress.is(ShardState::Connecting("starting"));
        let reader = Reader::new(
            Cursor::new(from),
            self.config.rules,
            self.rng.fork(),
            now() + wait,
        );
        let task = Task {
            kinesis: self.kinesis.clone(),
            shard: entry.shard.clone(),
            reader,
            pace: Pace::new(self.config.polling, self.rng.fork()),
            page: self.config.polling.page,
            processor,
            progress: Arc::clone(&entry.progress),
            outside: self.outside.clone(),
            children: Vec::new(),
        };
        let id = id.clone();
        let handle = self
            .tasks
            .spawn(async move { Done::Read(id, task.run().await) });
        self.readers.insert(handle.id(), entry.shard.id.clone());
        entry.task = Some(handle);
    }

    /// A reader has something to say.
    fn look(&mut self) {
        let is_missing =
            |entry: &Entry| entry.task.is_some() && entry.progress.get().state == MISSING;
        if self.entries.values().any(is_missing) {
            // Is the shard gone? Only a listing tells.
            self.listings.wanted_soon(now());
        }
    }

    fn report(&self) {
        let now = now();
        let unread = self.entries.iter().filter(|(_, entry)| {
            entry.task.is_some() || entry.progress.get().state == ShardState::WaitingForParents
        });
        let states: Vec<_> = unread
            .map(|(id, entry)| (id, entry.progress.get()))
            .collect();
        let timeout = self.config.ready_timeout;
        // A shard that is not known yet counts, too, unless listing makes no progress either.
        let all_known = !states.is_empty() && !self.lineage.wants_listing();
        let settled = (all_known || now.saturating_duration_since(self.listings.last()) >= timeout)
            && readiness::all_settled(states.iter().map(|(_, state)| state), timeout, now);
        let statuses: Vec<_> = states
            .into_iter()
            .map(|(id, state)| ShardStatus {
                id: id.clone(),
                millis_behind: state.millis_behind,
                state: state.state,
                trouble: state.trouble,
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
        gauge!(names::CONSUMER_SHARDS).set(statuses.len() as f64);
        let problem = self.problem.borrow().clone();
        let problems = problem.into_iter().chain(self.listing_problem.clone());
        let problems: Vec<_> = problems.collect();
        self.readiness.send_if_modified(|readiness| {
            let next = Readiness {
                ready: readiness.ready || settled,
                shards: statuses,
                problems,
            };
            let changed = *readiness != next;
            *readiness = next;
            changed
        });
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Now, also where a test has stopped the time.
fn now() -> Instant {
    TokioInstant::now().into_std()
}
