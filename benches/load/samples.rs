//! What server and tool use while a run lasts, at set intervals.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::crowd::Counts;
use crate::usage::Process;

/// One look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Since the first message was due.
    pub(crate) at: Duration,
    pub(crate) accepted: u64,
    pub(crate) delivered: u64,
    /// CPU time so far.
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) tool_cpu: Option<Duration>,
    /// Bytes.
    pub(crate) resident: Option<u64>,
}

/// Looks at a server and at the tool itself.
pub(crate) struct Sampler<'a> {
    pub(crate) server: Option<Process>,
    pub(crate) accepted: &'a AtomicU64,
    pub(crate) counts: &'a Counts,
    pub(crate) start: Instant,
    pub(crate) interval: Duration,
    pub(crate) samples: Vec<Sample>,
}

impl Sampler<'_> {
    /// Looks if it is time for it.
    pub(crate) fn look_if_due(&mut self) {
        let last = self.samples.last().map(|sample| sample.at);
        if last.is_none_or(|last| self.start.elapsed() >= last + self.interval) {
            self.look();
        }
    }

    /// Looks now.
    pub(crate) fn look(&mut self) -> Sample {
        let sample = Sample {
            at: self.start.elapsed(),
            accepted: self.accepted.load(Ordering::Relaxed),
            delivered: self.counts.all_delivered(),
            server_cpu: self.server.and_then(Process::cpu),
            tool_cpu: Process::SELF.cpu(),
            resident: self.server.and_then(Process::resident),
        };
        self.samples.push(sample);
        sample
    }
}
