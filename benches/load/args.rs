//! What can be asked for, within bounds.

use std::net::SocketAddr;
use std::str::FromStr;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, ValueEnum};

use crate::stamp;

/// Load the program with viewers and publishers over loopback.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Args {
    /// Viewers of one room.
    #[arg(long, default_value_t = 1_000, value_parser = up_to(50_000))]
    pub(crate) viewers: usize,
    /// Publishers, each with one connection and one message under way.
    #[arg(long, default_value_t = 16, value_parser = up_to(1_000))]
    pub(crate) publishers: usize,
    /// Messages a second from all publishers together, or `flat` for as many as are accepted.
    #[arg(long, default_value = "20")]
    pub(crate) rate: Rate,
    /// How long to publish.
    #[arg(long, default_value_t = 10, value_parser = RangedU64ValueParser::<u64>::new().range(1..=3_600))]
    pub(crate) seconds: u64,
    /// Bytes of text in a message.
    #[arg(long, default_value_t = 128, value_parser = text_length())]
    pub(crate) text: usize,
    /// What viewers ask for.
    #[arg(long, value_enum, default_value_t = Encoding::Plain)]
    pub(crate) encoding: Encoding,
    /// Threads for the viewers.
    #[arg(long, default_value_t = 1, value_parser = up_to(64))]
    pub(crate) threads: usize,
    /// A server that runs already, such as <http://127.0.0.1:8080>, instead of one of our own.
    #[arg(long, value_parser = loopback)]
    pub(crate) url: Option<SocketAddr>,
    /// The process of the server at --url, for its CPU time.
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
    /// Small and quick, only to see that it works.
    #[arg(long)]
    smoke: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    /// Given by `cargo bench NAME`.
    #[arg(hide = true)]
    pub(crate) filter: Option<String>,
}

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

impl Args {
    /// Whether to do little: asked for, or not called by `cargo bench` and nothing else asked for.
    pub(crate) fn is_smoke(&self) -> bool {
        self.smoke || (!self.bench && std::env::args_os().len() <= 1)
    }

    /// The same, but small.
    pub(crate) fn smaller(&self, encoding: Encoding) -> Self {
        Self {
            viewers: 20,
            publishers: 4,
            rate: Rate::PerSecond(200.0),
            seconds: 1,
            encoding,
            ..self.clone()
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

fn up_to(most: u64) -> impl clap::builder::TypedValueParser<Value = usize> {
    clap::builder::TypedValueParser::map(
        RangedU64ValueParser::<u64>::new().range(1..=most),
        to_usize,
    )
}

fn text_length() -> impl clap::builder::TypedValueParser<Value = usize> {
    let range = stamp::LENGTH as u64..=2_000;
    clap::builder::TypedValueParser::map(RangedU64ValueParser::<u64>::new().range(range), to_usize)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn loopback(url: &str) -> Result<SocketAddr, String> {
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
