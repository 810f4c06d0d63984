//! What can be asked for, within bounds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::builder::{RangedU64ValueParser, TypedValueParser};

use crate::choices::{Encoding, Kind, Rate, Vary, duration, share};
use crate::stamp;

/// Viewers of one source address at most: its ports are not endless.
const AN_ADDRESS: usize = 20_000;

/// Load a chat over loopback: connect viewers, publish, and say what came through, how fast and at what cost.
///
/// It starts the program itself, or takes the one at --url. A table and a line of JSON say what came of each run.
#[derive(Clone, Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(name = "load", bin_name = "cargo bench --bench load --")]
pub(crate) struct Args {
    /// Viewers, of all rooms together.
    #[arg(long, default_value_t = 1_000, value_parser = number(1..=1_000_000))]
    pub(crate) viewers: usize,
    /// Publishers, each with one connection and one message under way.
    #[arg(long, default_value_t = 16, value_parser = number(1..=1_000))]
    pub(crate) publishers: usize,
    /// Messages a second from all publishers together, or `flat` for as many as are accepted.
    #[arg(long, default_value = "20")]
    pub(crate) rate: Rate,
    /// Rooms, over which viewers and messages are spread evenly.
    #[arg(long, default_value_t = 1, value_parser = number(1..=10_000))]
    pub(crate) rooms: usize,
    /// How long to publish, in seconds.
    #[arg(long, default_value_t = 10, value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Bytes of text in a message.
    #[arg(long, default_value_t = 128, value_parser = number(stamp::LENGTH as u64..=2_000))]
    pub(crate) text: usize,
    /// What viewers ask for.
    #[arg(long, value_enum, default_value_t = Encoding::Plain)]
    pub(crate) encoding: Encoding,
    /// Viewers offer permessage-deflate, and ask for chat-room.v1, without which there is none.
    #[arg(long)]
    pub(crate) compression: bool,
    /// The share of viewers that join and never read, such as 0.5. All figures are those of the others.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(crate) stalled: f64,
    /// Further viewers that join while messages are delivered, as fast as they can, and ask for history.
    #[arg(long, default_value_t = 0, value_parser = number(0..=100_000))]
    pub(crate) newcomers: usize,
    /// Messages of history that newcomers ask for.
    #[arg(long, default_value_t = 100, value_parser = number(0..=10_000))]
    pub(crate) history: usize,
    /// Source addresses, 127.0.0.1 and following, that connections are spread over; 0: one for each 20,000.
    #[arg(long, default_value_t = 0, value_parser = number(0..=250))]
    pub(crate) sources: usize,
    /// Threads for the viewers.
    #[arg(long, default_value_t = 1, value_parser = number(1..=64))]
    pub(crate) threads: usize,

    /// A server that runs already, such as <http://127.0.0.1:8080>, instead of one of our own.
    #[arg(long, value_parser = loopback)]
    pub(crate) url: Option<SocketAddr>,
    /// The process of the server at --url, for its CPU time and memory.
    #[arg(long, requires = "url")]
    pub(crate) pid: Option<u32>,
    /// Cores for the server, such as 0 or 0,1.
    #[arg(long, value_delimiter = ',', conflicts_with = "url")]
    pub(crate) server_cores: Vec<usize>,
    /// Cores for viewers and publishers.
    #[arg(long, value_delimiter = ',')]
    pub(crate) client_cores: Vec<usize>,
    /// A further argument for the server; can be given again.
    #[arg(
        long = "server-arg",
        allow_hyphen_values = true,
        conflicts_with = "url"
    )]
    pub(crate) further: Vec<String>,

    /// The same work on other servers too, in turn with ours, and the ratios (see benches/peers).
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with_all = ["url", "compression", "newcomers", "ramp", "vary", "soak"])]
    pub(crate) against: Vec<Kind>,
    /// Rounds of --against; with --vary, runs of each value.
    #[arg(long, value_parser = number(1..=100))]
    pub(crate) rounds: Option<usize>,
    /// Find the largest rate, from --rate on, that keeps p99 within this bound, such as 25ms.
    #[arg(long, value_parser = duration, conflicts_with_all = ["vary", "soak"])]
    pub(crate) ramp: Option<Duration>,
    /// A run for each value: viewers=1000,18000, rooms=1,10,100 (--rate is then for each room, so that deliveries are as many),
    /// or sweep=0,20 (milliseconds of --sweep-interval).
    #[arg(long, conflicts_with = "soak")]
    pub(crate) vary: Option<Vary>,
    /// Half of the viewers come and go; at the end memory and descriptors must be back where they were.
    #[arg(long, conflicts_with = "newcomers")]
    pub(crate) soak: bool,
    /// Write a page with charts, and the charts, into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,

    /// Small and quick, only to see that it works.
    #[arg(long)]
    pub(crate) smoke: bool,
    /// Be the bare loop that --against write compares with.
    #[arg(long, hide = true)]
    pub(crate) be_write_loop: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
    /// Given by `cargo bench NAME`.
    #[arg(hide = true)]
    pub(crate) filter: Option<String>,
}

impl Args {
    /// Whether to do little: asked for, or not called by `cargo bench` and nothing else asked for.
    pub(crate) fn is_smoke(&self) -> bool {
        self.smoke || (!self.bench && std::env::args_os().len() <= 1)
    }

    /// The same, but small: some of everything.
    pub(crate) fn smaller(&self) -> Self {
        Self {
            viewers: 20,
            publishers: 4,
            rate: Rate::PerSecond(200.0),
            rooms: 3,
            seconds: 1,
            ..self.clone()
        }
    }

    /// What viewers ask for, all options considered.
    pub(crate) fn encoding(&self) -> Encoding {
        if self.compression {
            Encoding::V1
        } else {
            self.encoding
        }
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds
            .unwrap_or(if self.against.is_empty() { 1 } else { 3 })
    }

    /// Connections at the same time at most.
    pub(crate) fn connections(&self) -> usize {
        self.viewers + self.newcomers + self.publishers
    }

    /// How many source addresses are bound; none if the system's own choice will do.
    pub(crate) fn source_addresses(&self) -> usize {
        match self.sources {
            0 if self.connections() <= AN_ADDRESS => 0,
            0 => self.connections().div_ceil(AN_ADDRESS),
            asked => asked,
        }
    }

    /// How long a point of the charts is: some hundred of them, none shorter than a quarter of a second.
    pub(crate) fn slot(&self) -> Duration {
        (Duration::from_secs(self.seconds) / 120).max(Duration::from_millis(250))
    }
}

fn number(range: std::ops::RangeInclusive<u64>) -> impl TypedValueParser<Value = usize> {
    let parser = RangedU64ValueParser::<u64>::new().range(range);
    parser.map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

pub(crate) fn loopback(url: &str) -> Result<SocketAddr, String> {
    let address = url
        .strip_prefix("http://")
        .unwrap_or(url)
        .trim_end_matches('/');
    match address.parse::<SocketAddr>() {
        Ok(address) if address.is_ipv4() && address.ip().is_loopback() => Ok(address),
        _ => Err(
            "only a loopback address with a port is loaded, such as http://127.0.0.1:8080"
                .to_owned(),
        ),
    }
}
