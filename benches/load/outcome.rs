//! What came of a run.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Error;
use crate::args::Args;
use crate::choices::Kind;
use crate::crowd::Counts;
use crate::desk::{Desk, Left};
use crate::publisher::Published;
use crate::record::Life;
use crate::rooms::Rooms;
use crate::samples::Sample;
use crate::server::Server;
use crate::stalled::Stalled;
use crate::timeline::{Timeline, histogram};
use crate::usage::{self, Process};
use crate::viewer::is_among;

/// How many troubles are named; more are alike.
const NAMED: usize = 5;

/// What the time of publishing has come to.
pub(crate) struct Phase {
    pub(crate) published: Published,
    /// From when to when newcomers came.
    pub(crate) newcomers: Option<(Duration, Duration)>,
    /// How the server fared with those who never read, and the kernel's memory at most, in bytes.
    pub(crate) stalled: Option<(Stalled, Option<u64>)>,
    /// When the first message was due.
    pub(crate) start: Duration,
    pub(crate) publishing: Duration,
    /// From the first message to the last delivery.
    pub(crate) together: Duration,
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) tool_cpu: Option<Duration>,
    /// The time in which that was used.
    pub(crate) watched: Duration,
    pub(crate) samples: Vec<Sample>,
}

/// Memory in bytes: the server's own, and the kernel's of the whole machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) user: u64,
    pub(crate) kernel: u64,
}

/// What newcomers have seen.
pub(crate) struct Newcomers {
    pub(crate) count: usize,
    pub(crate) per_second: f64,
    /// Messages of history that the one with the fewest got.
    pub(crate) least_history: u64,
    /// Microseconds from asking to join to the end of the history.
    pub(crate) whole_history: Histogram<u64>,
    /// Microseconds from due to read, of those who were there already, while others came.
    pub(crate) meanwhile: Histogram<u64>,
}

/// The figures of one run.
pub(crate) struct Outcome {
    pub(crate) args: Args,
    pub(crate) kind: Kind,
    pub(crate) ready: Option<Duration>,
    pub(crate) joined: Duration,
    pub(crate) offered: u64,
    pub(crate) accepted: u64,
    pub(crate) retried: u64,
    /// To all viewers who read, history not counted.
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    /// Of them, those that came when the viewer's connection had ended.
    lost_when_gone: u64,
    pub(crate) repeated: u64,
    pub(crate) out_of_order: u64,
    pub(crate) gone: u64,
    /// Viewers with whom compression was agreed on.
    pub(crate) compressed: u64,
    /// How many times smaller compression made frames.
    pub(crate) ratio: Option<f64>,
    pub(crate) visits: u64,
    pub(crate) start: Duration,
    pub(crate) publishing: Duration,
    pub(crate) together: Duration,
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) tool_cpu: Option<Duration>,
    pub(crate) watched: Duration,
    pub(crate) resident: Option<u64>,
    /// Bytes for a viewer: the server's own, the kernel's.
    pub(crate) user_per_viewer: Option<f64>,
    pub(crate) kernel_per_viewer: Option<f64>,
    pub(crate) stalled: Option<Stalled>,
    /// Bytes that the kernel holds for each viewer who never reads, if what it holds for the others is little beside it.
    pub(crate) kernel_per_stalled: Option<f64>,
    pub(crate) frames_per_read: f64,
    pub(crate) bytes: u64,
    /// Microseconds from due to read.
    pub(crate) latency: Histogram<u64>,
    /// Microseconds from due to accepted.
    pub(crate) acknowledged: Histogram<u64>,
    pub(crate) newcomers: Option<Newcomers>,
    pub(crate) timeline: Timeline,
    pub(crate) samples: Vec<Sample>,
    /// What should not have come.
    nonsense: Vec<String>,
    /// Why viewers could not stay, and why publishers gave up.
    departures: Vec<String>,
}

impl Memory {
    pub(crate) fn of(process: Option<Process>) -> Option<Self> {
        Some(Self {
            user: process?.anonymous()?,
            kernel: usage::kernel()?,
        })
    }
}

impl Outcome {
    /// With what publishing has come to; memory and what viewers saw are set apart.
    pub(crate) fn new(args: &Args, server: &Server, phase: &Phase) -> Result<Self, Error> {
        let published = &phase.published;
        Ok(Self {
            args: args.clone(),
            kind: server.kind,
            ready: server.ready,
            joined: Duration::ZERO,
            offered: published.offered,
            accepted: published.accepted.iter().copied().map(u64::from).sum(),
            retried: published.retried,
            delivered: 0,
            lost: 0,
            lost_when_gone: 0,
            repeated: 0,
            out_of_order: 0,
            gone: 0,
            compressed: 0,
            ratio: None,
            visits: 0,
            start: phase.start,
            publishing: phase.publishing,
            together: phase.together,
            server_cpu: phase.server_cpu,
            tool_cpu: phase.tool_cpu,
            watched: phase.watched,
            resident: phase.samples.last().and_then(|sample| sample.resident),
            user_per_viewer: None,
            kernel_per_viewer: None,
            stalled: phase.stalled.map(|(stalled, _)| stalled),
            kernel_per_stalled: None,
            frames_per_read: 0.0,
            bytes: 0,
            latency: histogram()?,
            acknowledged: published.latency.clone(),
            newcomers: None,
            timeline: Timeline::new(args.slot()),
            samples: phase.samples.clone(),
            nonsense: Vec::new(),
            departures: published.troubles.clone(),
        })
    }

    /// Takes the memory before anybody joined, with all viewers idle, and what the kernel came to while they were sent something.
    pub(crate) fn set_memory(&mut self, memory: Option<(Memory, Memory)>, most: Option<u64>) {
        let Some((before, idle)) = memory else { return };
        let viewers = self.args.viewers as u64;
        self.user_per_viewer = Some(ratio(idle.user.saturating_sub(before.user), viewers));
        // Both ends of each connection are on this machine.
        let kernel = idle.kernel.saturating_sub(before.kernel);
        self.kernel_per_viewer = Some(ratio(kernel, 2 * viewers));
        let (share, rooms) = (self.args.stalled, self.args.rooms);
        let stalled = (0..self.args.viewers).filter(|&number| is_among(share, number, rooms));
        let (stalled, held) = (stalled.count() as u64, most);
        self.kernel_per_stalled = held.map(|held| ratio(held.saturating_sub(idle.kernel), stalled));
    }

    /// Takes what viewers saw.
    pub(crate) fn set_seen(
        &mut self,
        seen: Vec<Desk>,
        rooms: &Rooms,
        counts: &Counts,
        phase: &Phase,
    ) -> Result<(), Error> {
        let accepted: Vec<Vec<u32>> = (0..rooms.count())
            .map(|room| rooms.accepted(room, &phase.published.accepted))
            .collect();
        let (mut frames, mut reads, mut left) = (0, 0, Left::default());
        let (mut packed, mut unpacked) = (0, 0);
        let (mut histories, mut whole_history) = (Vec::new(), histogram()?);
        for desk in seen {
            for record in &desk.records {
                match record.life {
                    Life::Stalls => {}
                    Life::Roams => left.add(&record.ledger),
                    Life::Stays | Life::Comes => {
                        let (ledger, accepted) = (&record.ledger, &accepted[record.room]);
                        left.add_to_the_end(ledger, accepted);
                        if record.gone {
                            self.lost_when_gone += ledger.lost(accepted) - ledger.lost_between();
                        }
                    }
                }
            }
            left.add_all(desk.left);
            frames += desk.frames;
            reads += desk.reads;
            self.bytes += desk.bytes;
            packed += desk.inflated.0;
            unpacked += desk.inflated.1;
            self.nonsense.extend(desk.nonsense);
            self.departures.extend(desk.departures);
            let coming = desk
                .records
                .iter()
                .filter(|record| record.life == Life::Comes);
            let coming: Vec<u64> = coming.map(|record| record.history).collect();
            if coming.is_empty() {
                self.timeline.add(desk.timeline)?;
            } else {
                // What newcomers see is theirs: it would hide how those fare who are there already.
                histories.extend(coming);
                whole_history.add(desk.joining)?;
            }
        }
        self.delivered = left.delivered;
        self.lost = left.lost;
        self.repeated = left.repeated;
        self.out_of_order = left.out_of_order;
        self.gone = counts.gone.load(Ordering::Relaxed);
        self.compressed = counts.compressed.load(Ordering::Relaxed);
        self.visits = counts.visits.load(Ordering::Relaxed);
        self.ratio = (packed > 0).then(|| ratio(unpacked, packed));
        self.frames_per_read = ratio(frames, reads);
        self.latency = self.timeline.whole()?;
        if let (Some((from, to)), Some(&least)) = (phase.newcomers, histories.iter().min()) {
            self.newcomers = Some(Newcomers {
                count: histories.len(),
                per_second: per_second(histories.len() as u64, to.saturating_sub(from)),
                least_history: least,
                whole_history,
                meanwhile: self.timeline.between(from, to)?,
            });
        }
        Ok(())
    }

    /// Why the run is a failure, if it is one.
    pub(crate) fn wrong(&self) -> Option<String> {
        let wrong: Vec<_> = [self.damage(), self.overload()]
            .into_iter()
            .flatten()
            .collect();
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }

    /// What must not be at any rate.
    pub(crate) fn damage(&self) -> Option<String> {
        let short = self
            .newcomers
            .as_ref()
            .is_some_and(|newcomers| newcomers.least_history < self.args.history as u64);
        let none_behind = self
            .stalled
            .is_some_and(|stalled| stalled == Stalled::default());
        let counts = [
            (self.lost - self.lost_when_gone, "lost"),
            (self.repeated, "repeated"),
            (self.out_of_order, "out of order"),
            (u64::from(short), "newcomers' history is short"),
        ];
        let mut damage = named(&counts);
        damage.extend(none_behind.then(|| {
            "none of the stalled viewers fell behind, for the kernel had room for all they were sent: \
             more has to be said to them (--text 2000, --rate, --seconds)"
                .to_owned()
        }));
        damage.extend(self.nonsense.iter().take(NAMED).cloned());
        (!damage.is_empty()).then(|| damage.join("; "))
    }

    /// What comes of a rate beyond what the server takes.
    pub(crate) fn overload(&self) -> Option<String> {
        let counts = [
            (self.gone, "viewers disconnected"),
            (u64::from(self.accepted == 0), "nothing was accepted"),
        ];
        let mut overload = named(&counts);
        overload.extend(self.departures.iter().take(NAMED).cloned());
        (!overload.is_empty()).then(|| overload.join("; "))
    }

    /// Whether everything that was due was accepted and delivered to those who read.
    pub(crate) fn kept_up(&self) -> bool {
        self.accepted == self.offered && self.overload().is_none()
    }

    pub(crate) fn deliveries_per_second(&self) -> f64 {
        per_second(self.delivered, self.together)
    }

    pub(crate) fn accepted_per_second(&self) -> f64 {
        per_second(self.accepted, self.publishing)
    }

    pub(crate) fn joins_per_second(&self) -> f64 {
        per_second(self.args.viewers as u64, self.joined)
    }

    /// From due to read.
    pub(crate) fn p99(&self) -> Duration {
        Duration::from_micros(self.latency.value_at_quantile(0.99))
    }

    /// From due to read, in milliseconds.
    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        ratio(self.latency.value_at_quantile(quantile), 1_000)
    }

    /// Nanoseconds.
    pub(crate) fn server_per_delivery(&self) -> Option<f64> {
        self.per_delivery(self.server_cpu)
    }

    /// Nanoseconds.
    pub(crate) fn tool_per_delivery(&self) -> Option<f64> {
        self.per_delivery(self.tool_cpu)
    }

    /// How many cores were busy with this much CPU time.
    pub(crate) fn cores(&self, cpu: Option<Duration>) -> Option<f64> {
        Some(cpu?.as_secs_f64() / self.watched.as_secs_f64())
    }

    fn per_delivery(&self, cpu: Option<Duration>) -> Option<f64> {
        (self.delivered > 0).then_some(cpu?.as_secs_f64() * 1e9 / ratio(self.delivered, 1))
    }
}

/// The counts that are not zero, with their names.
fn named(counts: &[(u64, &str)]) -> Vec<String> {
    let wrong = counts.iter().filter(|(count, _)| *count > 0);
    wrong
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn ratio(count: u64, of: u64) -> f64 {
    if of == 0 {
        0.0
    } else {
        count as f64 / of as f64
    }
}

pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 {
        ratio(count, 1) / seconds
    } else {
        0.0
    }
}
