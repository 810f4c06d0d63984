//! What can be set about the embedded service.

use std::time::Duration;

use crate::tls;

/// Whether rates are limited as AWS limits them. Sizes and numbers of things always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limits {
    /// As fast as the machine can.
    #[default]
    Off,
    /// The rates AWS states: of a shard, a subscription and an operation. docs/LIMITS.md lists them.
    Aws,
}

/// Settings of a [`Service`](super::Service).
///
/// The defaults are AWS's own figures where AWS states one, so that what works here works there. Times can be made
/// short for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Account id in every ARN: twelve digits.
    pub account: String,
    /// Region in every ARN.
    pub region: String,
    /// Upper bound, in bytes, for all kept records of all streams together. Above it the oldest records are trimmed,
    /// which moves the trim horizon of their shards.
    pub memory: usize,
    /// How long records are kept (AWS: 24 h).
    pub retention: Duration,
    /// How long one SubscribeToShard call lives (AWS: 5 min).
    pub subscription_lifetime: Duration,
    /// After how much silence a subscription gets an event without records (AWS: about 5 s, observed).
    pub heartbeat: Duration,
    /// From when on a second SubscribeToShard takes over; before that it is refused (AWS: 5 s).
    pub takeover_after: Duration,
    /// How long streams and consumers stay in CREATING, UPDATING and DELETING.
    pub creating_time: Duration,
    /// How long a shard iterator or a next token can be used (AWS: 5 min).
    pub token_lifetime: Duration,
    /// Whether rates are limited.
    pub limits: Limits,
    /// Registered consumers of one stream (AWS: 20, and 50 with On-demand Advantage).
    pub consumers_per_stream: usize,
    /// Open shards of all streams together (AWS: 500 by default in the smaller regions).
    pub open_shards: usize,
    /// Whether the port has an address, `/faults`, at which whoever can reach it adds faults and reads their counters.
    pub faults_endpoint: bool,
    /// Limits of the TCP side.
    pub listener: ListenerConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            memory: 256 * 1024 * 1024,
            retention: Duration::from_hours(24),
            subscription_lifetime: Duration::from_mins(5),
            heartbeat: Duration::from_secs(5),
            takeover_after: Duration::from_secs(5),
            creating_time: Duration::ZERO,
            token_lifetime: Duration::from_mins(5),
            limits: Limits::Off,
            consumers_per_stream: 20,
            open_shards: 500,
            faults_endpoint: false,
            listener: ListenerConfig::default(),
        }
    }
}

/// How a [`Listener`](super::Listener) is reached, and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// TLS, and nothing else, where there is a certificate.
    pub tls: Option<tls::Files>,
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Largest request body. PutRecords may carry 10 MiB, which is 14 MiB as base64 in JSON.
    pub body_bytes: usize,
    /// All request bodies being read at once, in bytes; further requests wait.
    pub bodies_bytes: usize,
    /// How long a client may take to send a request's head, and stay idle between requests.
    pub header_read_timeout: Duration,
    /// How long a client may take to send a request's body, waiting for room included.
    pub body_read_timeout: Duration,
    /// How long a client may take nothing of what is sent to it. As long as a subscription lives, by default: a consumer
    /// that works slowly and lets its events wait is none that is gone.
    pub write_stall_timeout: Duration,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            tls: None,
            connections: 1024,
            body_bytes: 16 * 1024 * 1024,
            bodies_bytes: 128 * 1024 * 1024,
            header_read_timeout: Duration::from_mins(1),
            body_read_timeout: Duration::from_secs(30),
            write_stall_timeout: Duration::from_mins(5),
        }
    }
}
