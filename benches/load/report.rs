//! What came of a run: a table for people and a line of JSON for programs.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;

use crate::Error;
use crate::args::{Args, Encoding, Rate};
use crate::publisher::Published;
use crate::viewer::{Seen, histogram};

/// How many troubles are named; more are alike.
const NAMED: usize = 5;

/// The figures of one run.
pub(crate) struct Report {
    args: Args,
    offered: u64,
    accepted: u64,
    retried: u64,
    delivered: u64,
    lost: u64,
    repeated: u64,
    out_of_order: u64,
    gone: u64,
    joined: Duration,
    publishing: Duration,
    /// From the first message to the last delivery.
    together: Duration,
    cpu: Option<Duration>,
    resident: Option<u64>,
    frames_per_read: f64,
    bytes: u64,
    latency: Histogram<u64>,
    acknowledged: Histogram<u64>,
    troubles: Vec<String>,
}

impl Report {
    #[allow(
        clippy::too_many_arguments,
        reason = "each is one thing that was measured"
    )]
    pub(crate) fn new(
        args: &Args,
        published: &Published,
        seen: Vec<Seen>,
        joined: Duration,
        publishing: Duration,
        together: Duration,
        cpu: Option<Duration>,
        resident: Option<u64>,
        gone: u64,
    ) -> Result<Self, Error> {
        let mut report = Self {
            args: args.clone(),
            offered: published.offered,
            accepted: published
                .accepted
                .iter()
                .map(|&count| u64::from(count))
                .sum(),
            retried: published.retried,
            delivered: 0,
            lost: 0,
            repeated: 0,
            out_of_order: 0,
            gone,
            joined,
            publishing,
            together,
            cpu,
            resident,
            frames_per_read: 0.0,
            bytes: 0,
            latency: histogram()?,
            acknowledged: published.latency.clone(),
            troubles: published.troubles.clone(),
        };
        let (mut frames, mut reads) = (0, 0);
        for seen in seen {
            for ledger in &seen.ledgers {
                report.delivered += ledger.delivered;
                report.lost += ledger.lost(&published.accepted);
                report.repeated += ledger.repeated;
                report.out_of_order += ledger.out_of_order;
            }
            frames += seen.frames;
            reads += seen.reads;
            report.bytes += seen.bytes;
            report.latency.add(seen.latency)?;
            report.troubles.extend(seen.troubles);
        }
        report.frames_per_read = ratio(frames, reads);
        Ok(report)
    }

    /// Why the run is a failure, if it is one.
    pub(crate) fn wrong(&self) -> Option<String> {
        let counts = [
            (self.lost, "lost"),
            (self.repeated, "repeated"),
            (self.out_of_order, "out of order"),
            (self.gone, "viewers disconnected"),
        ];
        let mut wrong: Vec<_> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if self.accepted == 0 {
            wrong.push("nothing was accepted".to_owned());
        }
        wrong.extend(self.troubles.iter().take(NAMED).cloned());
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }

    fn deliveries_per_second(&self) -> f64 {
        per_second(self.delivered, self.together)
    }

    fn cpu_per_delivery(&self) -> Option<f64> {
        (self.delivered > 0).then_some(self.cpu?.as_secs_f64() * 1e9 / ratio(self.delivered, 1))
    }

    fn json(&self) -> serde_json::Value {
        let args = &self.args;
        let rate = match args.rate {
            Rate::Flat => json!("flat"),
            Rate::PerSecond(rate) => json!(rate),
        };
        json!({
            "viewers": args.viewers,
            "publishers": args.publishers,
            "rate": rate,
            "seconds": args.seconds,
            "text": args.text,
            "encoding": encoding(args.encoding),
            "offered": self.offered,
            "accepted": self.accepted,
            "accepted_per_second": per_second(self.accepted, self.publishing),
            "retried": self.retried,
            "delivered": self.delivered,
            "lost": self.lost,
            "repeated": self.repeated,
            "out_of_order": self.out_of_order,
            "disconnected": self.gone,
            "deliveries_per_second": self.deliveries_per_second(),
            "server_cpu_seconds": self.cpu.map(|cpu| cpu.as_secs_f64()),
            "server_cpu_ns_per_delivery": self.cpu_per_delivery(),
            "server_resident_bytes": self.resident,
            "frames_per_read": self.frames_per_read,
            "bytes_received": self.bytes,
            "joins_per_second": per_second(args.viewers as u64, self.joined),
            "latency_us": percentiles(&self.latency),
            "acknowledged_us": percentiles(&self.acknowledged),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args = &self.args;
        let rate = match args.rate {
            Rate::Flat => "flat out".to_owned(),
            Rate::PerSecond(rate) => format!("{rate} messages/s"),
        };
        let (viewers, publishers, seconds) = (args.viewers, args.publishers, args.seconds);
        let encoding = encoding(args.encoding);
        writeln!(
            out,
            "{viewers} viewers, {publishers} publishers, {rate}, {seconds} s, {} bytes, {encoding}",
            args.text
        )?;
        let mut row = |name: &str, value: String| writeln!(out, "  {name:<28} {value:>18}");
        row("offered", self.offered.to_string())?;
        row("accepted", self.accepted.to_string())?;
        row(
            "accepted/s",
            format!("{:.0}", per_second(self.accepted, self.publishing)),
        )?;
        row("sent again", self.retried.to_string())?;
        row("delivered", self.delivered.to_string())?;
        row("lost", self.lost.to_string())?;
        row("repeated", self.repeated.to_string())?;
        row("out of order", self.out_of_order.to_string())?;
        row("viewers disconnected", self.gone.to_string())?;
        row(
            "deliveries/s",
            format!("{:.0}", self.deliveries_per_second()),
        )?;
        row(
            "server CPU",
            self.cpu.map_or("unknown".to_owned(), |cpu| {
                format!("{:.2} s", cpu.as_secs_f64())
            }),
        )?;
        let per_delivery = self.cpu_per_delivery();
        row(
            "server CPU per delivery",
            per_delivery.map_or("unknown".to_owned(), |cpu| format!("{cpu:.0} ns")),
        )?;
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let memory = self.resident.map(|bytes| bytes as f64 / f64::from(1 << 20));
        row(
            "server memory, resident",
            memory.map_or("unknown".to_owned(), |mib| format!("{mib:.1} MiB")),
        )?;
        row("frames per read", format!("{:.1}", self.frames_per_read))?;
        row(
            "joins/s",
            format!("{:.0}", per_second(args.viewers as u64, self.joined)),
        )?;
        for (name, histogram) in [
            ("due to read", &self.latency),
            ("due to 202", &self.acknowledged),
        ] {
            for (quantile, label) in [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")] {
                row(
                    &format!("{name}, {label}"),
                    milliseconds(histogram.value_at_quantile(quantile)),
                )?;
            }
        }
        write!(out, "{}", self.json())
    }
}

fn encoding(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Plain => "plain",
        Encoding::V1 => "chat-room.v1",
    }
}

fn percentiles(histogram: &Histogram<u64>) -> serde_json::Value {
    json!({
        "p50": histogram.value_at_quantile(0.5),
        "p90": histogram.value_at_quantile(0.9),
        "p99": histogram.value_at_quantile(0.99),
        "p99.9": histogram.value_at_quantile(0.999),
        "max": histogram.max(),
    })
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn milliseconds(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1_000.0)
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn ratio(count: u64, of: u64) -> f64 {
    if of == 0 {
        0.0
    } else {
        count as f64 / of as f64
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn per_second(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}
