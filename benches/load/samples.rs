//! What server and tool use while a run lasts, at set intervals.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Error;
use crate::crowd::Counts;
use crate::http;
use crate::stalled::Stalled;
use crate::usage::{self, Process};

/// How often a server is asked who is behind: seldom enough not to matter.
const ASK: Duration = Duration::from_millis(500);
/// One that is as busy as can be answers late.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

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

/// Asks a server of ours who is behind, at intervals, in a thread of its own.
pub(crate) struct LagWatch {
    end: mpsc::Sender<()>,
    thread: JoinHandle<Result<(Stalled, Option<u64>), Error>>,
}

impl LagWatch {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let (end, ended) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let ask = || {
                Ok::<_, Error>(Stalled::read(
                    &http::get(address, "/metrics", ANSWERED_WITHIN)?.text(),
                ))
            };
            let before = ask()?;
            let (mut stalled, mut kernel) = (Stalled::default(), None);
            loop {
                // The last look is at the end of what is watched, also where that has failed and the sender is gone.
                let over = ended.recv_timeout(ASK) != Err(mpsc::RecvTimeoutError::Timeout);
                stalled.look_again(ask()?, before);
                kernel = kernel.max(usage::kernel());
                if over {
                    return Ok((stalled, kernel));
                }
            }
        });
        Self { end, thread }
    }

    /// What it has seen, and the kernel's memory at most, in bytes.
    pub(crate) fn stop(self) -> Result<(Stalled, Option<u64>), Error> {
        let _ = self.end.send(());
        let seen = self.thread.join();
        seen.map_err(|_| "who asks for /metrics panicked")?
    }
}
