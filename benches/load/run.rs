//! One run on one server: join, warm up, publish, wait for the last delivery.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::Error;
use crate::args::Args;
use crate::bar::bar;
use crate::choices::Kind;
use crate::crowd::{self, Counts, Crowd};
use crate::desk::Desk;
use crate::outcome::{Memory, Outcome, Phase};
use crate::publisher::{self, Published, Publishers};
use crate::record::Life;
use crate::rooms::Rooms;
use crate::samples::{LagWatch, Sample, Sampler};
use crate::server::Server;
use crate::target::Target;
use crate::viewer::is_among;

const LOOK: Duration = Duration::from_millis(25);
const JOINED_WITHIN: Duration = Duration::from_mins(3);
const WARM_WITHIN: Duration = Duration::from_mins(1);
/// After the last publisher ended: how long nothing may come before the rest counts as lost.
const QUIET: Duration = Duration::from_secs(5);
/// How long nothing may come to newcomers until they are thought to have it all.
const STILL: Duration = Duration::from_millis(500);
const DRAINED_WITHIN: Duration = Duration::from_mins(1);
/// How long memory may take to settle once all have joined.
const SETTLED_WITHIN: Duration = Duration::from_secs(3);

/// What lasts for the whole run.
struct Run<'a> {
    args: &'a Args,
    server: &'a Server,
    rooms: Rooms,
    target: Target,
    epoch: Instant,
    counts: Arc<Counts>,
    accepted: Arc<AtomicU64>,
    crowds: Vec<Crowd>,
    end: watch::Sender<bool>,
}

/// One run on `server`. All connections are closed when it returns.
pub(crate) fn run(args: &Args, server: &Server) -> Result<Outcome, Error> {
    let prefix = format!("load-{:08x}", fastrand::u32(..));
    let target = Target {
        kind: server.kind,
        address: server.address,
        encoding: args.encoding(),
        compression: args.compression,
        text: args.text,
    };
    let run = Run {
        args,
        server,
        rooms: Rooms::new(&prefix, args.rooms, args.publishers),
        target,
        epoch: Instant::now(),
        counts: Arc::default(),
        accepted: Arc::default(),
        crowds: Vec::new(),
        end: watch::channel(false).0,
    };
    run.all()
}

impl Run<'_> {
    fn all(mut self) -> Result<Outcome, Error> {
        let before = Memory::of(self.server.process());
        let joined = self.join();
        let idle = self.settled_memory();
        let warm = joined.and_then(|joined| self.warm_up().map(|()| joined));
        let published = warm.and_then(|joined| Ok((joined, self.publish()?)));
        let _ = self.end.send(true);
        let seen: Result<Vec<Desk>, _> = self.crowds.drain(..).map(Crowd::seen).collect();
        let seen = seen?;
        let (joined, phase) = published.map_err(|error| with_troubles(&error, &seen))?;
        let mut outcome = Outcome::new(self.args, self.server, &phase)?;
        outcome.joined = joined;
        outcome.set_memory(before.zip(idle), phase.stalled.and_then(|(_, most)| most));
        outcome.set_seen(seen, &self.rooms, &self.counts, &phase)?;
        Ok(outcome)
    }

    /// Connects the viewers; gives how long that took.
    fn join(&mut self) -> Result<Duration, Error> {
        let (stalled, soak, rooms) = (self.args.stalled, self.args.soak, self.args.rooms);
        let life = move |number| {
            if is_among(stalled, number, rooms) {
                Life::Stalls
            } else if soak && is_among(0.5, number, rooms) {
                Life::Roams
            } else {
                Life::Stays
            }
        };
        self.start_crowd(0..self.args.viewers, life);
        self.wait_for(self.args.viewers as u64)?;
        Ok(self.epoch.elapsed())
    }

    fn start_crowd(
        &mut self,
        numbers: std::ops::Range<usize>,
        life: impl Fn(usize) -> Life + Copy + Send + 'static,
    ) {
        let plan = crowd::Plan {
            target: self.target.clone(),
            rooms: self.rooms.clone(),
            history: self.args.history,
            sources: self.args.source_addresses(),
            epoch: self.epoch,
            slot: self.args.slot(),
            counts: Arc::clone(&self.counts),
        };
        let end = self.end.subscribe();
        let crowd = Crowd::start_all(&plan, numbers, self.args.threads, life, &end);
        self.crowds.extend(crowd);
    }

    /// Waits until so many viewers have joined.
    fn wait_for(&self, viewers: u64) -> Result<(), Error> {
        let bar = bar(viewers, "joining");
        let start = Instant::now();
        loop {
            let joined = self.counts.joined.load(Ordering::Relaxed);
            bar.set_position(joined);
            let refused = self.counts.refused.load(Ordering::Relaxed);
            if refused > 0 {
                return Err(format!("{refused} viewers could not join").into());
            }
            if joined >= viewers {
                bar.finish_and_clear();
                return Ok(());
            }
            if start.elapsed() > JOINED_WITHIN {
                let within = format!("within {JOINED_WITHIN:?}");
                return Err(format!("{joined} of {viewers} viewers joined {within}").into());
            }
            // A whole look would count into the time of joining.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The server's memory with all viewers there and nothing said, once it changes no more.
    fn settled_memory(&self) -> Option<Memory> {
        let process = self.server.process()?;
        let start = Instant::now();
        let mut last = Memory::of(Some(process))?;
        while start.elapsed() < SETTLED_WITHIN {
            std::thread::sleep(Duration::from_millis(100));
            let now = Memory::of(Some(process))?;
            if now.user == last.user {
                return Some(now);
            }
            last = now;
        }
        Some(last)
    }

    fn publishing(&self, start: Instant) -> publisher::Plan {
        publisher::Plan {
            target: self.target.clone(),
            rooms: self.rooms.clone(),
            rate: self.args.rate,
            publishers: self.args.publishers,
            epoch: self.epoch,
            start,
            end: start + Duration::from_secs(self.args.seconds),
        }
    }

    /// Publishes until all who stay see it, and as much as newcomers ask for.
    fn warm_up(&self) -> Result<(), Error> {
        let staying = self.staying().count() as u64;
        let each = if self.args.newcomers > 0 {
            self.args.history
        } else {
            1
        };
        publisher::warm_up(&self.publishing(Instant::now()), each, WARM_WITHIN, || {
            self.counts.warm.load(Ordering::Relaxed) >= staying
        })
    }

    /// The rooms of the viewers that stay.
    fn staying(&self) -> impl Iterator<Item = usize> {
        let (args, rooms) = (self.args, self.args.rooms);
        let moves = move |&number: &usize| {
            is_among(args.stalled, number, rooms) || args.soak && is_among(0.5, number, rooms)
        };
        (0..args.viewers)
            .filter(move |number| !moves(number))
            .map(move |number| number % rooms)
    }

    /// Publishes, looks on, and waits for the last deliveries.
    fn publish(&mut self) -> Result<Phase, Error> {
        let start = Instant::now() + Duration::from_millis(100);
        let plan = self.publishing(start);
        let (counts, accepted) = (Arc::clone(&self.counts), Arc::clone(&self.accepted));
        let mut sampler = Sampler {
            server: self.server.process(),
            accepted: &accepted,
            counts: &counts,
            start,
            interval: self.args.slot(),
            samples: Vec::new(),
        };
        let watched = self.args.stalled > 0.0 && self.server.kind == Kind::Ours;
        let watch = watched.then(|| LagWatch::start(self.server.address));
        let before = sampler.look();
        let publishers = Publishers::start(&plan, &accepted)?;
        let newcomers = self.attend(&mut sampler)?;
        let published = publishers.published()?;
        let publishing = start.elapsed();
        let together = self.drain(&published, &mut sampler).duration_since(start);
        let after = sampler.look();
        Ok(Phase {
            published,
            newcomers,
            stalled: watch.map(LagWatch::stop).transpose()?,
            start: start.duration_since(self.epoch),
            publishing,
            together,
            server_cpu: used(&before, &after, |sample| sample.server_cpu),
            tool_cpu: used(&before, &after, |sample| sample.tool_cpu),
            watched: after.at.saturating_sub(before.at),
            samples: sampler.samples,
        })
    }

    /// Looks on while publishers publish; a quarter of the time in, newcomers come. Gives from when to when they came.
    fn attend(&mut self, sampler: &mut Sampler<'_>) -> Result<Option<(Duration, Duration)>, Error> {
        let length = Duration::from_secs(self.args.seconds);
        let bar = bar(self.args.seconds * 1_000, "publishing");
        let (mut coming, mut came) = (None, None);
        let (present, all) = (self.args.viewers, self.args.viewers + self.args.newcomers);
        while sampler.start.elapsed() < length {
            let elapsed = sampler.start.elapsed();
            sampler.look_if_due();
            bar.set_position(u64::try_from(elapsed.as_millis())?);
            bar.set_message(format!(
                "publishing: {} accepted, {} delivered",
                self.accepted.load(Ordering::Relaxed),
                self.counts.all_delivered()
            ));
            if self.args.newcomers > 0 && coming.is_none() && elapsed >= length / 4 {
                coming = Some(self.epoch.elapsed());
                self.start_crowd(present..all, |_| Life::Comes);
            }
            if self.counts.joined.load(Ordering::Relaxed) >= all as u64 {
                came = came.or_else(|| Some(self.epoch.elapsed()));
            }
            // The rate of joining is told to the millisecond.
            let look = if coming.is_some() && came.is_none() {
                1
            } else {
                25
            };
            std::thread::sleep(LOOK.min(Duration::from_millis(look)));
        }
        bar.finish_and_clear();
        if coming.is_some() && came.is_none() {
            self.wait_for(all as u64)?;
            came = Some(self.epoch.elapsed());
        }
        Ok(coming.zip(came))
    }

    /// Waits for all deliveries to those who stay, or until nothing comes any more; gives when the last came.
    fn drain(&self, published: &Published, sampler: &mut Sampler<'_>) -> Instant {
        let in_room = |room| -> u64 {
            let accepted = self.rooms.accepted(room, &published.accepted);
            accepted.into_iter().map(u64::from).sum()
        };
        let by_room: Vec<u64> = (0..self.rooms.count()).map(in_room).collect();
        let wanted: u64 = self.staying().map(|room| by_room[room]).sum();
        let bar = bar(wanted, "the last deliveries");
        let start = Instant::now();
        let (mut last, mut since) = (self.counts.delivered.load(Ordering::Relaxed), start);
        while last < wanted && since.elapsed() < QUIET && start.elapsed() < DRAINED_WITHIN {
            std::thread::sleep(Duration::from_millis(2));
            sampler.look_if_due();
            let delivered = self.counts.delivered.load(Ordering::Relaxed);
            if delivered != last {
                (last, since) = (delivered, Instant::now());
            }
            bar.set_position(delivered);
        }
        bar.finish_and_clear();
        self.drain_to_others();
        since
    }

    /// Waits until nothing comes any more to those who came later: they end with the last message too.
    fn drain_to_others(&self) {
        let start = Instant::now();
        let (mut last, mut since) = (0, start);
        while self.args.newcomers > 0 && since.elapsed() < STILL && start.elapsed() < DRAINED_WITHIN
        {
            std::thread::sleep(Duration::from_millis(10));
            let delivered = self.counts.delivered_to_others.load(Ordering::Relaxed);
            if delivered != last {
                (last, since) = (delivered, Instant::now());
            }
        }
    }
}

/// What was used between two looks.
fn used(
    before: &Sample,
    after: &Sample,
    of: impl Fn(&Sample) -> Option<Duration>,
) -> Option<Duration> {
    of(after)?.checked_sub(of(before)?)
}

/// An error, and what the viewers had to say.
fn with_troubles(error: &Error, seen: &[Desk]) -> Error {
    let troubles: Vec<_> = seen
        .iter()
        .flat_map(|seen| seen.departures.iter().chain(&seen.nonsense))
        .take(5)
        .map(String::as_str)
        .collect();
    format!("{error}; {}", troubles.join("; ")).into()
}
