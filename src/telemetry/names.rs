//! Every metric's name, help and kind, in one table.
//!
//! Names follow `chat_room_<stage>_<thing>_<unit>[_total]`, in base units. Labels take a bounded
//! number of values: never a room, a person or a message.

#![allow(
    clippy::doc_markdown,
    reason = "the help texts are plain text, not Markdown"
)]

use std::fmt::Write;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, with these buckets.
    Histogram(&'static [f64]),
}

/// A metric as the README lists it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its full name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it counts or measures.
    pub help: &'static str,
}

/// Seconds, from a tenth of a millisecond to ten seconds: replies and calls.
pub const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Seconds of computing, from two microseconds to five milliseconds.
pub const CPU_SECONDS: &[f64] = &[
    0.000_002, 0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002,
    0.005,
];

macro_rules! metrics {
    ($($kind:expr => $constant:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// All metrics, in the order of the flow.
        pub const ALL: &[Metric] = &[$(Metric {
            name: $name,
            kind: $kind,
            labels: &[$($label),*],
            help: $help,
        }),*];
    };
}

use Kind::{Counter, Gauge, Histogram};

metrics! {
    Gauge => BUILD_INFO "chat_room_build_info" ["version"]
        "Always 1; the label says which version runs.";
    Gauge => STREAM_TASKS "chat_room_stream_tasks" []
        "Tasks of the runtime that carries the stream, the embedded Kinesis included.";

    Counter => HTTP_REQUESTS "chat_room_http_requests_total" ["resource", "method", "status"]
        "Requests answered.";
    Histogram(SECONDS) => HTTP_REQUEST_SECONDS "chat_room_http_request_duration_seconds" ["resource"]
        "Time from a request's head to its reply.";
    Counter => HTTP_PUBLISHES "chat_room_http_publishes_total" ["outcome"]
        "Messages that clients asked to publish, by what became of them.";
    Counter => HTTP_PROBLEMS "chat_room_http_problems_total" ["problem"]
        "Error replies, by the kind of problem.";
    Counter => HTTP_UPGRADES "chat_room_http_upgrades_total" ["encoding"]
        "Connections that became WebSockets.";
    Gauge => HTTP_CONNECTIONS "chat_room_http_connections" []
        "Open connections, WebSockets included.";
    Gauge => HTTP_READY "chat_room_http_ready" []
        "1 if /readyz answers 200, 0 while starting and draining.";
    Gauge => HTTP_READINESS_PROBLEMS "chat_room_http_readiness_problems" []
        "What is wrong with reading or writing as a whole: as many problems as /readyz names.";
    Counter => HTTP_CONNECTIONS_ACCEPTED "chat_room_http_connections_accepted_total" []
        "Connections accepted.";
    Counter => HTTP_CONNECTIONS_REFUSED "chat_room_http_connections_refused_total" ["reason"]
        "Connections refused because as many as allowed were open: full (in all), address (of one client).";
    Counter => HTTP_TLS_HANDSHAKES "chat_room_http_tls_handshakes_total" ["outcome"]
        "TLS handshakes: done, failed, late (not in time), displaced (by newer ones), plain (HTTP without TLS).";
    Gauge => HTTP_CERTIFICATE_EXPIRY "chat_room_http_certificate_expiry_timestamp_seconds" ["setting"]
        "When the certificate that the setting names, or one between it and its root, runs out: seconds since 1970.";
    Counter => HTTP_ACCEPT_ERRORS "chat_room_http_accept_errors_total" []
        "Failed attempts to accept a connection, such as for want of file descriptors.";

    Counter => PRODUCER_PUT_RECORDS_CALLS "chat_room_producer_put_records_calls_total" ["outcome"]
        "PutRecords calls: stored, partial, rejected (no record stored), or the kind of error.";
    Histogram(SECONDS) => PRODUCER_PUT_RECORDS_DURATION "chat_room_producer_put_records_duration_seconds" []
        "Time from a PutRecords call to its answer, whatever it is.";
    Counter => PRODUCER_RECORDS "chat_room_producer_records_total" []
        "Kinesis records stored.";
    Counter => PRODUCER_USER_RECORDS "chat_room_producer_user_records_total" []
        "Messages stored and acknowledged.";
    Counter => PRODUCER_BYTES "chat_room_producer_put_bytes_total" []
        "Bytes of data and partition keys sent by PutRecords, repeats included.";
    Counter => PRODUCER_RETRIES "chat_room_producer_retries_total" ["reason"]
        "Messages that had to be put again: throttled, failed, lost (no answer).";
    Counter => PRODUCER_MISROUTED "chat_room_producer_misrouted_total" []
        "Messages whose record landed in a shard that does not own every room in it; they are put again.";
    Counter => PRODUCER_GIVEN_UP "chat_room_producer_given_up_total" []
        "Messages that were given up and never acknowledged.";
    Counter => PRODUCER_HEARTBEATS "chat_room_producer_heartbeats_total" ["outcome"]
        "Heartbeats of this instance: stored, or failed.";
    Gauge => PRODUCER_QUEUE_MESSAGES "chat_room_producer_queue_messages" []
        "Messages accepted and not yet stored.";
    Gauge => PRODUCER_LANES "chat_room_producer_lanes" []
        "Lanes: one for each open shard, and for each closed one whose last answer is awaited.";
    Counter => PRODUCER_SHARD_MAPS "chat_room_producer_shard_maps_total" ["outcome"]
        "Lists of shards asked for: taken, ignored (old, or amid a split), or the kind of error.";

    Counter => EMBEDDED_COMMITS "chat_room_embedded_commits_total" []
        "Commits of the embedded stream that reached the disk; what comes while one is written is in the next.";
    Histogram(SECONDS) => EMBEDDED_COMMIT_SECONDS "chat_room_embedded_commit_duration_seconds" []
        "Time a commit of the embedded stream took until it had reached the disk.";
    Counter => EMBEDDED_COMMITTED_BYTES "chat_room_embedded_committed_bytes_total" []
        "Bytes of records and metadata in those commits.";
    Counter => EMBEDDED_WRITE_FAILURES "chat_room_embedded_write_failures_total" []
        "Attempts to write the embedded stream to disk that failed, such as for want of space; they are repeated.";

    Counter => CONSUMER_RECORDS "chat_room_consumer_records_total" []
        "Records read, aggregates counted once.";
    Counter => CONSUMER_USER_RECORDS "chat_room_consumer_user_records_total" []
        "User records read: an aggregate counts as many as it holds.";
    Counter => CONSUMER_BYTES "chat_room_consumer_bytes_total" []
        "Bytes of the records read.";
    Counter => CONSUMER_MESSAGES "chat_room_consumer_messages_total" ["outcome"]
        "Messages read: shown, repeat, misrouted, undecodable, unknown_type, prefill (before the start).";
    Counter => CONSUMER_REDELIVERED "chat_room_consumer_records_redelivered_total" []
        "Records that a subscription delivered although they had been read before.";
    Gauge => CONSUMER_BEHIND "chat_room_consumer_behind_seconds" ["shard"]
        "How far behind its tip a shard is read, by MillisBehindLatest.";
    Gauge => CONSUMER_LAST_DELIVERY "chat_room_consumer_last_delivery_timestamp_seconds" ["shard"]
        "When a shard delivered last, if only that there is nothing new, in seconds since 1970; 0 once it is no longer read.";
    Counter => CONSUMER_RESUBSCRIPTIONS "chat_room_consumer_resubscriptions_total" ["reason"]
        "Subscriptions and iterators that had to be renewed.";
    Counter => CONSUMER_TAKEOVERS "chat_room_consumer_takeovers_total" []
        "Subscriptions that another process with this consumer's name took over.";
    Counter => CONSUMER_TRIMMED "chat_room_consumer_restarts_at_trim_horizon_total" []
        "Times that a position was past retention, so that records were lost to this instance.";
    Gauge => CONSUMER_MODE "chat_room_consumer_mode" ["mode"]
        "How records are read: 1 for the mode in use, enhanced or polling.";
    Gauge => CONSUMER_REGISTERED "chat_room_consumer_registered_consumers" []
        "Consumers registered with the stream, everybody's.";
    Gauge => CONSUMER_REGISTERED_LIMIT "chat_room_consumer_registered_consumers_limit" []
        "Consumers that the stream may have, as far as it tells: 20, or 50 on demand.";
    Counter => CONSUMER_REGISTRATIONS "chat_room_consumer_registrations_total" []
        "Registrations of this instance's consumer.";
    Counter => CONSUMER_ERRORS "chat_room_consumer_errors_total" ["kind"]
        "Failed attempts to check the stream, to register, and to list the shards.";
    Counter => CONSUMER_HEARTBEATS "chat_room_consumer_heartbeats_total" ["whose"]
        "Heartbeats of instances read: own, other.";
    Counter => CONSUMER_ORPHANS "chat_room_consumer_orphans_deregistered_total" []
        "Consumers of instances gone silent that this instance has deregistered.";
    Gauge => CONSUMER_SHARDS "chat_room_consumer_shards" []
        "Shards that are read or wait to be.";
    Gauge => CONSUMER_REMEMBERED "chat_room_consumer_remembered_ids" ["shard"]
        "Ids remembered to recognise repeats.";

    Counter => LOG_MESSAGES "chat_room_log_messages_total" []
        "Messages appended.";
    Counter => LOG_MESSAGES_REFUSED "chat_room_log_messages_refused_total" []
        "Messages for a room that --max-rooms left no place for.";
    Gauge => LOG_ROOMS "chat_room_log_rooms" []
        "Rooms in the log.";
    Counter => LOG_ROOMS_EVICTED "chat_room_log_rooms_evicted_total" []
        "Rooms that made place for others.";
    Gauge => LOG_MEMORY "chat_room_log_memory_bytes" []
        "Memory that messages and frames take, what lagging viewers pin included.";
    Counter => LOG_RESUMES "chat_room_log_resumes_total" ["outcome"]
        "Viewers that named a position: recovered, or trimmed, unknown, malformed, ahead.";
    Counter => LOG_ENCODINGS "chat_room_log_encodings_total" ["encoding"]
        "Batches, and histories for newcomers, that were encoded; v1-deflate is chat-room.v1 with permessage-deflate.";
    Counter => LOG_COMPRESSIONS "chat_room_log_compressions_total" ["outcome"]
        "Those for which compression was asked: compressed, or left as they are: small, incompressible.";
    Counter => LOG_COMPRESSION_INPUT "chat_room_log_compression_input_bytes_total" []
        "Bytes of frames before they were compressed.";
    Counter => LOG_COMPRESSION_OUTPUT "chat_room_log_compression_output_bytes_total" []
        "Bytes of the same frames after it: the input by this is the ratio.";
    Histogram(CPU_SECONDS) => LOG_COMPRESSION_SECONDS "chat_room_log_compression_cpu_seconds" []
        "CPU time that compressing a batch or history took.";

    Gauge => FANOUT_VIEWERS "chat_room_fanout_viewers" ["encoding"]
        "Viewers connected.";
    Gauge => FANOUT_VIEWERS_LAGGING "chat_room_fanout_viewers_lagging" []
        "Viewers whose socket is full and who catch up with a cursor of their own.";
    Counter => FANOUT_LAG_DISCONNECTS "chat_room_fanout_lag_disconnects_total" ["reason"]
        "Viewers disconnected for their lag: too_far_behind (bytes), too_long_behind (time), memory.";
    Counter => FANOUT_PINGS "chat_room_fanout_pings_total" []
        "Pings sent to viewers.";
    Counter => FANOUT_DEAD_DISCONNECTS "chat_room_fanout_dead_disconnects_total" []
        "Viewers dropped because nothing came from them in the interval after a ping.";
    Counter => FANOUT_MESSAGES "chat_room_fanout_messages_delivered_total" ["encoding"]
        "Messages written to viewers, those of the history not counted.";
    Counter => FANOUT_FRAMES "chat_room_fanout_frames_delivered_total" ["encoding"]
        "WebSocket frames with messages that sweeps wrote to viewers.";
    Counter => FANOUT_BYTES "chat_room_fanout_delivered_bytes_total" ["encoding"]
        "Bytes written to viewers.";
    Histogram(SECONDS) => FANOUT_PUBLISH_TO_WRITE "chat_room_fanout_publish_to_write_seconds" []
        "From the time a message was taken to the end of the sweep that wrote it; once a batch.";
    Histogram(SECONDS) => FANOUT_ARRIVAL_TO_WRITE "chat_room_fanout_arrival_to_write_seconds" []
        "From a message's arrival in the stream, by the stream's clock, to the end of the sweep that wrote it; once a batch.";
}

/// The README's table of metrics, in Markdown; the process figures come last.
pub fn metrics_table() -> String {
    let mut table =
        String::from("| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n");
    for Metric {
        name,
        kind,
        labels,
        help,
    } in ALL.iter().chain(super::process::METRICS)
    {
        let kind = match kind {
            Counter => "counter",
            Gauge => "gauge",
            Histogram(_) => "histogram",
        };
        let labels = labels.join(", ");
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {help} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: [&str; 3] = ["_seconds", "_bytes", "_ratio"];
    const STAGES: [&str; 6] = ["http", "producer", "embedded", "consumer", "log", "fanout"];
    /// Of the program as a whole.
    const STAGELESS: [&str; 2] = [BUILD_INFO, STREAM_TASKS];

    #[test]
    fn names_follow_the_rule() {
        for (index, metric) in ALL.iter().enumerate() {
            let name = metric.name;
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(name.bytes().all(plain), "{name}");
            let rest = name.strip_prefix("chat_room_").unwrap();
            let stage = rest.split_once('_').unwrap().0;
            assert!(
                STAGES.contains(&stage) || STAGELESS.contains(&name),
                "{name}"
            );
            for other in ["millis", "micros", "minutes", "kilo", "mega", "percent"] {
                assert!(!name.contains(other), "{name}: base units");
            }
            let total = name.ends_with("_total");
            assert_eq!(total, metric.kind == Counter, "{name}");
            if matches!(metric.kind, Histogram(_)) {
                assert!(UNITS.iter().any(|unit| name.ends_with(unit)), "{name}");
            }
            assert!(metric.help.ends_with('.'), "{name}");
            let again = ALL[..index].iter().any(|other| other.name == name);
            assert!(!again, "{name} stands twice");
        }
    }

    #[test]
    fn buckets_grow() {
        for metric in ALL {
            if let Histogram(buckets) = metric.kind {
                assert!(buckets.is_sorted_by(|a, b| a < b), "{}", metric.name);
            }
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_metric() {
        let lines = metrics_table().lines().count();
        assert_eq!(lines, 2 + ALL.len() + super::super::process::METRICS.len());
    }
}
