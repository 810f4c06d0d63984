//! The words that options are made of.

use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

/// How many messages are offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    /// Each publisher sends as soon as its last message was accepted.
    Flat,
    /// This many a second, from all publishers together.
    PerSecond(f64),
}

/// The two encodings a viewer can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encoding {
    /// A text frame a message.
    Plain,
    /// The subprotocol chat-room.v1.
    V1,
}

/// Which server is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// This program.
    #[value(skip)]
    Ours,
    /// Bun's own WebSocket server and its publish.
    Bun,
    /// nginx with the nchan module.
    Nchan,
    /// The ws package on Node.
    Ws,
    /// A bare loop of our own: one write(2) of a ready frame for each socket.
    Write,
}

/// What grows from run to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vary {
    pub(crate) what: Varied,
    pub(crate) values: Vec<usize>,
}

/// What can grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Varied {
    Viewers,
    Rooms,
    /// Milliseconds of the server's --sweep-interval.
    Sweep,
}

impl Rate {
    /// So many times as much; more than all is all.
    pub(crate) fn times(self, factor: usize) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        match self {
            Self::Flat => Self::Flat,
            Self::PerSecond(rate) => Self::PerSecond(rate * factor as f64),
        }
    }
}

impl Encoding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::V1 => "chat-room.v1",
        }
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "chat-room",
            Self::Bun => "Bun",
            Self::Nchan => "nchan",
            Self::Ws => "ws",
            Self::Write => "write(2) loop",
        }
    }
}

impl Varied {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Viewers => "viewers",
            Self::Rooms => "rooms",
            Self::Sweep => "sweep",
        }
    }

    /// As an axis is labelled.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Viewers => "viewers",
            Self::Rooms => "rooms",
            Self::Sweep => "--sweep-interval, ms",
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flat => out.write_str("flat out"),
            Self::PerSecond(rate) => write!(out, "{rate} messages/s"),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "flat" {
            return Ok(Self::Flat);
        }
        match text.parse() {
            Ok(rate) if (0.01..=1_000_000.0).contains(&rate) => Ok(Self::PerSecond(rate)),
            _ => Err("flat, or messages a second from 0.01 to 1,000,000".to_owned()),
        }
    }
}

impl FromStr for Vary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "viewers=, rooms= or sweep= with numbers, such as viewers=1000,2000,5000";
        let (what, values) = text.split_once('=').ok_or_else(wanted)?;
        let (what, range) = match what {
            "viewers" => (Varied::Viewers, 1..=1_000_000),
            "rooms" => (Varied::Rooms, 1..=10_000),
            "sweep" => (Varied::Sweep, 0..=10_000),
            _ => return Err(wanted().to_owned()),
        };
        let values: Option<Vec<usize>> = values
            .split(',')
            .map(|value| value.parse().ok().filter(|value| range.contains(value)))
            .collect();
        let values = values.ok_or_else(wanted)?;
        Ok(Self { what, values })
    }
}

/// A length of time, such as 25ms.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// A part of the whole, below 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=0.99).contains(&share) => Ok(share),
        _ => Err("a share from 0 to 0.99, such as 0.5".to_owned()),
    }
}
