//! The settings: what can be set, where it comes from, and what it means.
//!
//! # What
//! [`Settings`], flat and typed, read at the start and when the program is asked to reload.
//!
//! # How
//! Four layers, the later over the earlier: defaults, a TOML file (`chat-room.toml`, or the one
//! that `--config` names), environment variables (`CHAT_ROOM_*`), flags. figment keeps for each
//! value where it came from, so that a message can say so. [`SETTINGS`] is the one table from
//! which help, README and the check for unknown keys are made.
//!
//! # Limits
//! Each number, size and duration has a range; see [`Settings::load`]'s code.
//!
//! # Invariants
//! An unknown key or a bad value never passes silently: it stops the start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::embedded;
use crate::http;
use crate::message::MAX_TEXT_CHARS;
use crate::telemetry::{LogFilter, LogFormat};

mod layers;
mod table;
mod value;

pub use layers::Origin;
pub use table::{Fallback, SETTINGS, Setting, settings_table};

use layers::Layers;

/// What every environment variable of this program begins with.
pub const ENV_PREFIX: &str = "CHAT_ROOM_";
/// The file that is read if it is there and no other is named.
pub const DEFAULT_FILE: &str = "chat-room.toml";

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_hours(24);

/// Which Kinesis is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinesis {
    /// The service in this process.
    Embedded,
    /// AWS, or whatever answers at the endpoint.
    Aws,
}

/// How the stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// Enhanced fan-out; polling where no registration can be had.
    Auto,
    /// Enhanced fan-out only.
    Enhanced,
    /// `GetRecords` only.
    Polling,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest record there is.
    TrimHorizon,
    /// The time of the start.
    Latest,
    /// This long before the start.
    Ago(Duration),
}

/// All settings; the table [`SETTINGS`] says what each is for. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table says it once")]
pub struct Settings {
    pub listen: SocketAddr,
    pub metrics_listen: Option<SocketAddr>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub kinesis: Kinesis,
    pub stream: String,
    pub region: Option<String>,
    pub endpoint_url: Option<String>,
    pub consumer_name: Option<String>,
    pub consumer: Consumer,
    pub start: Start,
    pub history: usize,
    pub resume_window: Duration,
    pub log_memory: usize,
    pub max_rooms: usize,
    pub lag_limit: usize,
    pub lag_time: Duration,
    pub sweep_interval: Duration,
    pub ping_interval: Option<Duration>,
    pub compression: bool,
    pub allowed_origins: Vec<http::Origin>,
    pub trusted_proxies: Vec<http::Network>,
    pub max_connections: Option<usize>,
    pub address_connections: Option<usize>,
    pub room_rate: Option<http::Rate>,
    pub address_rate: Option<http::Rate>,
    pub connection_publishes: usize,
    pub max_text: usize,
    pub max_head: usize,
    pub max_headers: usize,
    pub max_body: usize,
    pub first_request_timeout: Duration,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub upgrade_timeout: Duration,
    pub publish_queue: usize,
    pub publish_timeout: Duration,
    pub workers: usize,
    pub ready_timeout: Duration,
    pub drain: Duration,
    pub drain_delay: Duration,
    pub flush: Duration,
    pub embedded_listen: Option<SocketAddr>,
    pub embedded_shards: usize,
    pub embedded_data: Option<PathBuf>,
    pub embedded_memory: usize,
    pub embedded_creating_time: Duration,
    pub embedded_limits: embedded::Limits,
    pub embedded_consumers: usize,
    pub embedded_tls_cert: Option<PathBuf>,
    pub embedded_tls_key: Option<PathBuf>,
    pub embedded_faults: Option<PathBuf>,
    pub log_format: LogFormat,
    pub log_level: LogFilter,
    texts: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Reads all layers.
    ///
    /// `flags` are keys and values from the command line, `file` is the file it names; `env` is
    /// the environment, of which only what begins with `CHAT_ROOM_` counts.
    ///
    /// # Errors
    /// The first thing that is wrong, with its key, its value and where it came from.
    pub fn load(
        flags: impl IntoIterator<Item = (String, String)>,
        file: Option<&Path>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let env: Vec<_> = env.into_iter().collect();
        let mut layers = Layers::new();
        let config = env_name("config");
        let named = env.iter().find(|(name, _)| name == config.as_str());
        let named = file.or(named.map(|(_, path)| Path::new(path)));
        let default = Path::new(DEFAULT_FILE);
        if let Some(path) = named.or(default.exists().then_some(default)) {
            layers = layers.with_file(path)?;
        }
        let layers = layers.with_env(env)?.with_flags(flags);
        let settings = Self::read(&layers)?;
        settings.check(&layers)?;
        Ok(settings)
    }

    fn read(layers: &Layers) -> Result<Self, Error> {
        let seconds = |from, to| Duration::from_secs(from)..=Duration::from_secs(to);
        let moment = Duration::from_millis(100);
        let patience = || moment..=Duration::from_hours(1);
        let kinesis = layers.required("kinesis", value::kinesis)?;
        let start = match kinesis {
            Kinesis::Embedded => Start::TrimHorizon,
            Kinesis::Aws => Start::Ago(Duration::from_mins(15)),
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let listen = layers.required("listen", value::address)?;
        let metrics = layers.optional("metrics-listen", value::address)?;
        Ok(Self {
            listen,
            // The same address is not a second one, unless the system is to choose each.
            metrics_listen: metrics.filter(|other| *other != listen || listen.port() == 0),
            tls_cert: layers.optional("tls-cert", value::file_or_off)?.flatten(),
            tls_key: layers.optional("tls-key", value::file_or_off)?.flatten(),
            kinesis,
            stream: layers.required("stream", value::kinesis_name)?,
            region: layers.optional("region", value::region)?,
            endpoint_url: layers.optional("endpoint-url", value::url)?,
            consumer_name: layers.optional("consumer-name", value::kinesis_name)?,
            consumer: layers.required("consumer", value::consumer)?,
            start: layers.optional("start", value::start)?.unwrap_or(start),
            history: layers.required("history", value::count(0..=10_000))?,
            resume_window: layers
                .required("resume-window", value::duration(Duration::ZERO..=DAY))?,
            log_memory: layers.required("log-memory", value::size(MIB..=1 << 42))?,
            max_rooms: layers.required("max-rooms", value::count(1..=10_000_000))?,
            lag_limit: layers.required("lag-limit", value::size(1 << 16..=1 << 32))?,
            lag_time: layers.required(
                "lag-time",
                value::duration(moment..=Duration::from_hours(1)),
            )?,
            sweep_interval: layers.required("sweep-interval", value::duration(seconds(0, 1)))?,
            ping_interval: layers.required(
                "ping-interval",
                value::duration_or_off(moment..=Duration::from_hours(1)),
            )?,
            compression: layers.required("compression", value::switch)?,
            allowed_origins: layers.list("allowed-origins", value::origin)?,
            trusted_proxies: layers.list("trusted-proxies", value::network)?,
            max_connections: layers.optional("max-connections", value::count(1..=10_000_000))?,
            address_connections: layers
                .optional("address-connections", value::count_or_off(1..=10_000_000))?
                .flatten(),
            room_rate: layers.required("room-rate", value::rate_or_off)?,
            address_rate: layers
                .optional("address-rate", value::rate_or_off)?
                .flatten(),
            connection_publishes: layers
                .required("connection-publishes", value::count(1..=10_000))?,
            max_text: layers.required("max-text", value::count(1..=MAX_TEXT_CHARS))?,
            max_head: layers.required("max-head", value::size(8 << 10..=MIB))?,
            max_headers: layers.required("max-headers", value::count(16..=1_000))?,
            max_body: layers.required("max-body", value::size(1_024..=MIB))?,
            first_request_timeout: layers
                .required("first-request-timeout", value::duration(patience()))?,
            header_timeout: layers.required("header-timeout", value::duration(patience()))?,
            body_timeout: layers.required("body-timeout", value::duration(patience()))?,
            upgrade_timeout: layers.required("upgrade-timeout", value::duration(patience()))?,
            publish_queue: layers.required("publish-queue", value::size(MIB..=1 << 36))?,
            publish_timeout: layers.required(
                "publish-timeout",
                value::duration(moment..=Duration::from_mins(5)),
            )?,
            workers: layers
                .optional("workers", value::count(1..=64))?
                .unwrap_or(cores),
            ready_timeout: layers.required("ready-timeout", value::duration(seconds(0, 86_400)))?,
            drain: layers.required("drain", value::duration(seconds(0, 3_600)))?,
            drain_delay: layers.required("drain-delay", value::duration(seconds(0, 3_600)))?,
            flush: layers.required("flush", value::duration(seconds(0, 3_600)))?,
            embedded_listen: layers
                .optional("embedded-listen", value::address_or_off)?
                .flatten(),
            embedded_shards: layers.required("embedded-shards", value::count(1..=500))?,
            embedded_data: layers
                .optional("embedded-data", value::folder_or_off)?
                .flatten(),
            embedded_memory: layers.required("embedded-memory", value::size(MIB..=1 << 42))?,
            embedded_creating_time: layers
                .required("embedded-creating-time", value::duration(seconds(0, 3_600)))?,
            embedded_limits: layers.required("embedded-limits", value::limits)?,
            embedded_consumers: layers.required("embedded-consumers", value::count(1..=1_000))?,
            embedded_tls_cert: layers
                .optional("embedded-tls-cert", value::file_or_off)?
                .flatten(),
            embedded_tls_key: layers
                .optional("embedded-tls-key", value::file_or_off)?
                .flatten(),
            embedded_faults: layers
                .optional("embedded-faults", value::file_or_off)?
                .flatten(),
            log_format: layers.required("log-format", value::log_format)?,
            log_level: layers.required("log-level", value::log_filter)?,
            texts: layers.texts(),
        })
    }

    /// The keys of the settings that `other` has otherwise.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let keys = SETTINGS.iter().map(|setting| setting.key);
        keys.filter(|key| self.texts.get(key) != other.texts.get(key))
            .collect()
    }

    /// Settings that make no sense together: better said than passed over.
    fn check(&self, layers: &Layers) -> Result<(), Error> {
        let clash = |key: &'static str, problem| Error::Combination {
            key,
            problem,
            origin: layers.origin(key),
        };
        let (idle, problem): (&[_], _) = match self.kinesis {
            Kinesis::Embedded => (
                &["region", "endpoint-url"],
                "means nothing to the embedded stream: set \"kinesis\" to aws",
            ),
            Kinesis::Aws => (
                &[
                    "embedded-listen",
                    "embedded-shards",
                    "embedded-data",
                    "embedded-memory",
                    "embedded-creating-time",
                    "embedded-limits",
                    "embedded-consumers",
                    "embedded-tls-cert",
                    "embedded-tls-key",
                    "embedded-faults",
                ],
                "means nothing to AWS: set \"kinesis\" to embedded",
            ),
        };
        if let Some(key) = idle.iter().find(|key| layers.is_set(key)) {
            return Err(clash(key, problem));
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return Err(clash("tls-cert", "needs \"tls-key\"")),
            (None, Some(_)) => return Err(clash("tls-key", "needs \"tls-cert\"")),
            _ => {}
        }
        match (&self.embedded_tls_cert, &self.embedded_tls_key) {
            (Some(_), None) => {
                return Err(clash("embedded-tls-cert", "needs \"embedded-tls-key\""));
            }
            (None, Some(_)) => {
                return Err(clash("embedded-tls-key", "needs \"embedded-tls-cert\""));
            }
            (Some(_), Some(_)) if self.embedded_listen.is_none() => {
                return Err(clash("embedded-tls-cert", "needs \"embedded-listen\""));
            }
            _ => {}
        }
        if self.lag_limit > self.log_memory {
            return Err(clash("lag-limit", "is more than \"log-memory\""));
        }
        Ok(())
    }
}

/// The environment variable of a setting.
pub fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.to_ascii_uppercase().replace('-', "_"))
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that cannot be.
    #[error("setting \"{key}\": \"{value}\" {problem} (from {origin})")]
    Value {
        /// The setting.
        key: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        problem: String,
        /// Where it was given.
        origin: Origin,
    },
    /// A key that means nothing.
    #[error("there is no setting \"{key}\"{hint} (from {origin})")]
    Unknown {
        /// The key.
        key: String,
        /// What may have been meant.
        hint: String,
        /// Where it was given.
        origin: Origin,
    },
    /// Two settings that exclude each other.
    #[error("setting \"{key}\" {problem} (from {origin})")]
    Combination {
        /// The one that is to go.
        key: &'static str,
        /// Why.
        problem: &'static str,
        /// Where it was given.
        origin: Origin,
    },
    /// A file that cannot be read.
    #[error("settings file {}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    fn unknown(key: String, origin: Origin) -> Self {
        let meant = key.replace('_', "-").to_ascii_lowercase();
        let hint = match table::setting(&meant) {
            Some(setting) if setting.key != key => format!(", but \"{meant}\""),
            _ => String::new(),
        };
        Self::Unknown { key, hint, origin }
    }
}

#[cfg(test)]
mod tests;
