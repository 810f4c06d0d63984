//! The one table of settings: help, README and the check for unknown keys are made from it.

use std::fmt::Write;

/// A setting as people see it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key in the file; also its flag (`--key`) and, in capitals, its environment variable.
    pub key: &'static str,
    /// What stands for its value in the help.
    pub value: &'static str,
    /// What holds where nothing is set.
    pub default: Fallback,
    /// What it does.
    pub help: &'static str,
}

/// What holds where nothing is set.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// This value, written as a person would write it.
    Value(&'static str),
    /// Nothing, or something that depends on other things; in words.
    Words(&'static str),
}

impl Fallback {
    /// As help and README show it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Value(text) | Self::Words(text) => text,
        }
    }
}

impl Setting {
    /// Its environment variable.
    pub fn env(&self) -> String {
        super::env_name(self.key)
    }
}

const fn row(
    key: &'static str,
    value: &'static str,
    default: Fallback,
    help: &'static str,
) -> Setting {
    Setting {
        key,
        value,
        default,
        help,
    }
}

use Fallback::{Value, Words};

/// All settings, in the order in which help and README show them.
pub const SETTINGS: &[Setting] = &[
    row(
        "listen",
        "ADDRESS",
        Value("127.0.0.1:8080"),
        "where the page, the API and the WebSocket are served",
    ),
    row(
        "metrics-listen",
        "ADDRESS",
        Words("same as listen"),
        "a separate address for /metrics, /livez and /readyz",
    ),
    row(
        "tls-cert",
        "FILE",
        Words("off"),
        "certificate chain (PEM) with which the page, the API and the WebSocket are served over https",
    ),
    row(
        "tls-key",
        "FILE",
        Words("off"),
        "key (PEM) of that certificate",
    ),
    row(
        "kinesis",
        "KIND",
        Value("embedded"),
        "which Kinesis: embedded or aws",
    ),
    row(
        "stream",
        "NAME",
        Value("messages"),
        "the stream's name; created by itself when embedded",
    ),
    row(
        "region",
        "REGION",
        Words("the SDK's own rules"),
        "the AWS region, for aws",
    ),
    row(
        "endpoint-url",
        "URL",
        Words("the SDK's own rules"),
        "another endpoint than AWS' own, for aws",
    ),
    row(
        "consumer-name",
        "NAME",
        Words("chat-room-, host name, random"),
        "the name under which this instance registers as a consumer",
    ),
    row(
        "consumer",
        "KIND",
        Value("auto"),
        "how the stream is read: enhanced, polling, or auto (enhanced; polling where no registration can be had)",
    ),
    row(
        "start",
        "POINT",
        Words("trim-horizon embedded, 15m aws"),
        "where reading begins: trim-horizon, latest, or how far back, such as 15m",
    ),
    row(
        "history",
        "MESSAGES",
        Value("100"),
        "messages replayed to a newcomer",
    ),
    row(
        "resume-window",
        "DURATION",
        Value("2m"),
        "how far back a viewer can resume",
    ),
    row(
        "log-memory",
        "SIZE",
        Value("256MiB"),
        "memory for the messages of all rooms together; above it the oldest of the largest rooms go first",
    ),
    row(
        "max-rooms",
        "ROOMS",
        Value("10000"),
        "rooms kept at most; the longest idle one without viewers makes place",
    ),
    row(
        "lag-limit",
        "SIZE",
        Value("1MiB"),
        "how many bytes a viewer may be behind before it is disconnected",
    ),
    row(
        "lag-time",
        "DURATION",
        Value("20s"),
        "how long what a viewer has not taken yet may wait before it is disconnected",
    ),
    row(
        "sweep-interval",
        "DURATION",
        Value("0s"),
        "the least time between two deliveries of what is new in a room: saves CPU in busy rooms, for as much latency at most",
    ),
    row(
        "ping-interval",
        "DURATION",
        Value("30s"),
        "how often each viewer is asked whether it is still there; who does not answer is gone within twice that; off asks nobody",
    ),
    row(
        "compression",
        "SWITCH",
        Value("on"),
        "compress what chat-room.v1 viewers get who offer it (permessage-deflate), once for all of them: on or off",
    ),
    row(
        "allowed-origins",
        "ORIGINS",
        Words("none: the page's own origin only"),
        "further origins whose pages may publish, view and frame the page; separated by commas, or an array in the file",
    ),
    row(
        "trusted-proxies",
        "NETWORKS",
        Words("none"),
        "load balancers whose X-Forwarded-For is believed, as addresses or networks such as 10.0.0.0/8; separated by commas, or an array in the file",
    ),
    row(
        "max-connections",
        "CONNECTIONS",
        Words("what open files allow, at most 100000"),
        "connections at most; above it clients get 503",
    ),
    row(
        "address-connections",
        "CONNECTIONS",
        Words("off"),
        "connections of one address (IPv6: of one /64) at most, of WebSockets only behind a trusted proxy; above it clients get 429",
    ),
    row(
        "room-rate",
        "RATE",
        Value("5000/s"),
        "messages published to one room through this instance at most, such as 100/s or 100/10s (so many at once, and as many in that time), or off; above it publishers get 429",
    ),
    row(
        "address-rate",
        "RATE",
        Words("off"),
        "messages published from one address (IPv6: one /64) at most, likewise",
    ),
    row(
        "connection-publishes",
        "MESSAGES",
        Value("64"),
        "messages of one connection (HTTP/2) that may wait for the stream; above it publishers get 429",
    ),
    row(
        "max-text",
        "CHARACTERS",
        Value("2000"),
        "the longest text of a message",
    ),
    row(
        "max-head",
        "SIZE",
        Value("16KiB"),
        "the longest head of a request, and the size of a connection's buffers",
    ),
    row(
        "max-headers",
        "FIELDS",
        Value("64"),
        "header fields of a request at most",
    ),
    row(
        "max-body",
        "SIZE",
        Value("16KiB"),
        "the longest body of a POST",
    ),
    row(
        "first-request-timeout",
        "DURATION",
        Value("10s"),
        "how long a new connection may be idle before its first request has come",
    ),
    row(
        "header-timeout",
        "DURATION",
        Value("10s"),
        "how long a client may take to send a request's head, over HTTP/1.1 with the pause before it",
    ),
    row(
        "body-timeout",
        "DURATION",
        Value("10s"),
        "how long a client may take to send a request's body",
    ),
    row(
        "upgrade-timeout",
        "DURATION",
        Value("5s"),
        "how long a connection may take to become a WebSocket after the answer to its handshake",
    ),
    row(
        "publish-queue",
        "SIZE",
        Value("32MiB"),
        "messages waiting for the stream at most; above it publishers get 503",
    ),
    row(
        "publish-timeout",
        "DURATION",
        Value("10s"),
        "how long a publisher waits for the stream before it gets 503",
    ),
    row(
        "workers",
        "THREADS",
        Words("one per core"),
        "threads that serve connections",
    ),
    row(
        "ready-timeout",
        "DURATION",
        Value("60s"),
        "how long /readyz waits at most for a shard that makes no progress",
    ),
    row(
        "drain",
        "DURATION",
        Value("30s"),
        "how long viewers are sent away for at a stop, at most",
    ),
    row(
        "drain-delay",
        "DURATION",
        Value("0s"),
        "how long everything is still served after the signal to stop",
    ),
    row(
        "flush",
        "DURATION",
        Value("5s"),
        "how long a stop may write to the stream what is queued, at most",
    ),
    row(
        "embedded-listen",
        "ADDRESS",
        Words("off"),
        "serve the embedded Kinesis to other clients on this address",
    ),
    row(
        "embedded-shards",
        "SHARDS",
        Value("1"),
        "shards of the embedded stream at its creation",
    ),
    row(
        "embedded-data",
        "DIR",
        Words("off: in memory only"),
        "a folder that keeps the embedded stream over restarts",
    ),
    row(
        "embedded-memory",
        "SIZE",
        Value("256MiB"),
        "memory for the embedded stream's records; above it the oldest go, or are read from \"embedded-data\"",
    ),
    row(
        "embedded-creating-time",
        "DURATION",
        Value("0s"),
        "how long streams and consumers of the embedded Kinesis stay in CREATING, UPDATING and DELETING",
    ),
    row(
        "embedded-limits",
        "LIMITS",
        Value("off"),
        "limit the rates of the embedded Kinesis: off, or aws for those of the service (docs/LIMITS.md)",
    ),
    row(
        "embedded-consumers",
        "CONSUMERS",
        Value("20"),
        "consumers that may be registered with the embedded stream (AWS: 20, or 50 with On-demand Advantage)",
    ),
    row(
        "embedded-tls-cert",
        "FILE",
        Words("off"),
        "certificate chain (PEM) with which the embedded Kinesis is served over https",
    ),
    row(
        "embedded-tls-key",
        "FILE",
        Words("off"),
        "key (PEM) of that certificate",
    ),
    row(
        "embedded-faults",
        "FILE",
        Words("off"),
        "make the embedded Kinesis go wrong by the rules in this file, and by those sent to /faults (docs/FAULTS.md)",
    ),
    row(
        "log-format",
        "FORMAT",
        Value("text"),
        "log lines as text or json",
    ),
    row(
        "log-level",
        "FILTER",
        Value("info"),
        "error, warn, info, debug or trace, also by module: info,chat_room::http=debug",
    ),
];

/// The setting with this key.
pub(super) fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The README's table of settings, in Markdown.
pub fn settings_table() -> String {
    let mut table = String::from("| flag | default | meaning |\n| --- | --- | --- |\n");
    for Setting {
        key, default, help, ..
    } in SETTINGS
    {
        let default = match default {
            Value(text) => format!("`{text}`"),
            Words(text) => (*text).to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `--{key}` | {default} | {help} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_kebab_case() {
        for (index, setting) in SETTINGS.iter().enumerate() {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            assert!(setting.key.bytes().all(plain), "{}", setting.key);
            let again = SETTINGS[..index]
                .iter()
                .any(|other| other.key == setting.key);
            assert!(!again, "{} stands twice", setting.key);
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_setting() {
        let table = settings_table();
        assert_eq!(table.lines().count(), SETTINGS.len() + 2);
        assert!(table.contains("| `--listen` | `127.0.0.1:8080` |"));
        assert!(!table.contains("||"));
    }
}
