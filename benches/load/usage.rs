//! What processes and the kernel use, from /proc.

use std::fs::{read_dir, read_to_string};
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// A process whose use is asked for: a server, or `None` for the tool itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) Option<u32>);

impl Process {
    pub(crate) const SELF: Self = Self(None);

    fn file(self, name: &str) -> String {
        match self.0 {
            Some(pid) => format!("/proc/{pid}/{name}"),
            None => format!("/proc/self/{name}"),
        }
    }

    /// The CPU time of all its threads so far, also of those that have ended, in user and kernel mode.
    pub(crate) fn cpu(self) -> Option<Duration> {
        let clock = match self.0 {
            None => ClockId::CLOCK_PROCESS_CPUTIME_ID,
            Some(pid) => clock_getcpuclockid(Pid::from_raw(pid.try_into().ok()?)).ok()?,
        };
        Some(clock.now().ok()?.into())
    }

    /// The memory it has in RAM, in bytes.
    pub(crate) fn resident(self) -> Option<u64> {
        kilobytes(&self.file("status"), "VmRSS:")
    }

    /// The part of that which is its own and no file's, in bytes.
    pub(crate) fn anonymous(self) -> Option<u64> {
        kilobytes(&self.file("status"), "RssAnon:")
    }

    /// Its open file descriptors.
    pub(crate) fn descriptors(self) -> Option<usize> {
        Some(read_dir(self.file("fd")).ok()?.count())
    }
}

/// What the kernel keeps for sockets, files and everything else, in bytes, of the whole machine: its slabs, and TCP's buffers.
pub(crate) fn kernel() -> Option<u64> {
    let slab = kilobytes("/proc/meminfo", "Slab:")?;
    let sockets = read_to_string("/proc/net/sockstat").ok()?;
    let pages = sockets.lines().find_map(|line| {
        let (_, pages) = line.strip_prefix("TCP:")?.rsplit_once(" mem ")?;
        pages.trim().parse::<u64>().ok()
    })?;
    Some(slab + pages * rustix::param::page_size() as u64)
}

/// The value of a line such as `VmRSS:   123 kB`, in bytes.
fn kilobytes(path: &str, name: &str) -> Option<u64> {
    let text = read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
