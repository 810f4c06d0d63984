//! What a process holds, as `/proc` tells it: memory, threads, and every open descriptor by what it is.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;

/// What one process holds at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holding {
    pub(crate) descriptors: Descriptors,
    pub(crate) threads: usize,
    /// Of its runtime, as it tells; not by `/proc`.
    pub(crate) tasks: usize,
    pub(crate) resident: usize,
}

/// Open descriptors: how many there are of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Descriptors(BTreeMap<String, usize>);

/// The ports by which connections are told apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Where the stream is served.
    pub(crate) stream: SocketAddr,
    /// Where the process serves the chat.
    pub(crate) chat: SocketAddr,
}

impl Holding {
    pub(crate) fn of(pid: u32, ports: Ports) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| -> Option<usize> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            descriptors: Descriptors::of(pid, ports)?,
            threads: field("Threads:")?,
            tasks: 0,
            resident: field("VmRSS:")? * 1_024,
        })
    }
}

impl Descriptors {
    fn of(pid: u32, ports: Ports) -> Option<Self> {
        let sockets = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
        let sockets: HashMap<&str, String> = sockets
            .lines()
            .skip(1)
            .filter_map(|line| socket(line, ports))
            .collect();
        let mut counts = BTreeMap::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).ok()? {
            // Closed since the folder was read.
            let Some(target) = entry.ok().and_then(|entry| entry.path().read_link().ok()) else {
                continue;
            };
            let target = target.to_string_lossy();
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'));
            let kind = match inode {
                Some(inode) => sockets.get(inode).map_or("another socket", String::as_str),
                None => target.split(":[").next().unwrap_or_default(),
            };
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
        Some(Self(counts))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.values().sum()
    }

    /// Connections of the stream, from either end.
    pub(crate) fn to_the_stream(&self) -> usize {
        let kinds = self.0.iter().filter(|(kind, _)| is_of_the_stream(kind));
        kinds.map(|(_, count)| count).sum()
    }

    /// All others of which there are more now: what, how many, and how many there were.
    pub(crate) fn others_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a str, usize, usize)> {
        let others = self.0.iter().filter(|(kind, _)| !is_of_the_stream(kind));
        others.filter_map(|(kind, count)| {
            let was = before.0.get(kind).copied().unwrap_or_default();
            (*count > was).then_some((kind.as_str(), *count, was))
        })
    }

    /// Those of which there are more now, or fewer.
    pub(crate) fn since(&self, before: &Self) -> String {
        let mut kinds: Vec<&String> = self.0.keys().chain(before.0.keys()).collect();
        kinds.sort();
        kinds.dedup();
        let of = |all: &Self, kind: &String| all.0.get(kind).copied().unwrap_or_default();
        let changed = kinds.into_iter().filter_map(|kind| {
            let (before, now) = (of(before, kind), of(self, kind));
            (before != now).then(|| format!("{kind}: {before} → {now}"))
        });
        changed.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Descriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.0.iter().map(|(kind, count)| format!("{count} {kind}"));
        f.write_str(&kinds.collect::<Vec<_>>().join(", "))
    }
}

const TO_THE_STREAM: &str = "to the stream";
const AT_THE_STREAM: &str = "at the stream's port";

fn is_of_the_stream(kind: &str) -> bool {
    kind.starts_with(TO_THE_STREAM) || kind.starts_with(AT_THE_STREAM)
}

/// A line of `/proc/PID/net/tcp`: the socket's inode, and what it is.
fn socket(line: &str, ports: Ports) -> Option<(&str, String)> {
    let mut fields = line.split_whitespace().skip(1);
    let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    let local = port(fields.next()?)?;
    let remote = port(fields.next()?)?;
    let state = fields.next()?;
    let inode = fields.nth(5)?;
    let what = if state == "0A" {
        "listening"
    } else if remote == ports.stream.port() {
        TO_THE_STREAM
    } else if local == ports.stream.port() {
        AT_THE_STREAM
    } else if local == ports.chat.port() {
        "at the chat's port"
    } else {
        "to somewhere else"
    };
    let state = match state {
        "01" | "0A" => "",
        "08" => ", closed over there",
        _ => ", ending",
    };
    Some((inode, format!("{what}{state}")))
}
