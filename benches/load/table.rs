//! A run's figures as a table for people and as a line of JSON for programs.

use std::fmt;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::choices::Rate;
use crate::outcome::Outcome;

const QUANTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

impl Outcome {
    /// What was done, in a line.
    pub(crate) fn title(&self) -> String {
        let args = &self.args;
        let mut title = format!(
            "{}: {} viewers, {} publishers, {}, {} s, {} bytes, {}",
            self.kind.name(),
            args.viewers,
            args.publishers,
            args.rate,
            args.seconds,
            args.text,
            args.encoding().name(),
        );
        let mut further = |given: bool, what: String| {
            if given {
                title += &what;
            }
        };
        further(args.rooms > 1, format!(", {} rooms", args.rooms));
        further(args.compression, ", compression".to_owned());
        further(args.stalled > 0.0, format!(", {} stalled", args.stalled));
        further(
            args.newcomers > 0,
            format!(", {} newcomers", args.newcomers),
        );
        further(args.soak, ", half of them coming and going".to_owned());
        title
    }

    /// Every figure under its name, with its unit.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
        if let Some(ready) = self.ready {
            row("from start to ready", format!("{} ms", ready.as_millis()));
        }
        row("joins/s", format!("{:.0}", self.joins_per_second()));
        row("offered", self.offered.to_string());
        row("accepted", self.accepted.to_string());
        row("accepted/s", format!("{:.0}", self.accepted_per_second()));
        if !self.kept_up() {
            let missing = self.offered.saturating_sub(self.accepted);
            row("NOT KEPT UP, not accepted", missing.to_string());
        }
        row("sent again", self.retried.to_string());
        row("delivered", self.delivered.to_string());
        row("lost", self.lost.to_string());
        row("repeated", self.repeated.to_string());
        row("out of order", self.out_of_order.to_string());
        row("viewers disconnected", self.gone.to_string());
        if self.args.soak {
            row("visits", self.visits.to_string());
        }
        row(
            "deliveries/s",
            format!("{:.0}", self.deliveries_per_second()),
        );
        row(
            "server CPU per delivery",
            known(self.server_per_delivery(), 0, "ns"),
        );
        row("server CPU", known(self.cores(self.server_cpu), 2, "cores"));
        row(
            "this tool's CPU per delivery",
            known(self.tool_per_delivery(), 0, "ns"),
        );
        row(
            "this tool's CPU",
            known(self.cores(self.tool_cpu), 2, "cores"),
        );
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let resident = self.resident.map(|bytes| bytes as f64 / f64::from(1 << 20));
        row("server memory, resident", known(resident, 1, "MiB"));
        row(
            "user memory per idle viewer",
            known(self.user_per_viewer, 0, "B"),
        );
        row(
            "kernel memory per viewer",
            known(self.kernel_per_viewer, 0, "B"),
        );
        if let Some(stalled) = self.stalled {
            row("stalled, behind at a time", stalled.lagging.to_string());
            row("stalled, sent away", stalled.sent_away.to_string());
            let kib = self.kernel_per_stalled.map(|bytes| bytes / 1024.0);
            row("kernel memory for each", known(kib, 0, "KiB"));
        }
        row("frames per read", format!("{:.1}", self.frames_per_read));
        if self.args.compression {
            row("viewers with compression", self.compressed.to_string());
            row("compressed frames, ratio", known(self.ratio, 1, ""));
        }
        for (quantile, name) in QUANTILES {
            row(
                &format!("due to read, {name}"),
                milliseconds(&self.latency, quantile),
            );
        }
        for (quantile, name) in QUANTILES {
            let value = milliseconds(&self.acknowledged, quantile);
            row(&format!("due to accepted, {name}"), value);
        }
        if let Some(newcomers) = &self.newcomers {
            row("newcomers", newcomers.count.to_string());
            row("newcomers/s", format!("{:.0}", newcomers.per_second));
            row(
                "their history, at least",
                newcomers.least_history.to_string(),
            );
            row(
                "until it was there, p50",
                milliseconds(&newcomers.whole_history, 0.5),
            );
            row(
                "until it was there, p99",
                milliseconds(&newcomers.whole_history, 0.99),
            );
            row(
                "others meanwhile, p50",
                milliseconds(&newcomers.meanwhile, 0.5),
            );
            row(
                "others meanwhile, p99",
                milliseconds(&newcomers.meanwhile, 0.99),
            );
        }
        rows
    }

    pub(crate) fn json(&self) -> Value {
        let args = &self.args;
        let rate = match args.rate {
            Rate::Flat => json!("flat"),
            Rate::PerSecond(rate) => json!(rate),
        };
        let newcomers = self.newcomers.as_ref().map(|newcomers| {
            json!({
                "count": newcomers.count,
                "joins_per_second": newcomers.per_second,
                "least_history": newcomers.least_history,
                "whole_history_us": percentiles(&newcomers.whole_history),
                "latency_of_others_us": percentiles(&newcomers.meanwhile),
            })
        });
        let stalled = self.stalled.map(|stalled| {
            json!({
                "lagging": stalled.lagging,
                "sent_away": stalled.sent_away,
                "kernel_bytes": self.kernel_per_stalled,
            })
        });
        json!({
            "server": self.kind.name(),
            "viewers": args.viewers,
            "publishers": args.publishers,
            "rate": rate,
            "rooms": args.rooms,
            "seconds": args.seconds,
            "text": args.text,
            "encoding": args.encoding().name(),
            "compression": args.compression,
            "compressed_viewers": self.compressed,
            "compression_ratio": self.ratio,
            "stalled": args.stalled,
            "stalled_viewers": stalled,
            "kept_up": self.kept_up(),
            "ready_ms": self.ready.map(|ready| ready.as_secs_f64() * 1e3),
            "offered": self.offered,
            "accepted": self.accepted,
            "accepted_per_second": self.accepted_per_second(),
            "retried": self.retried,
            "delivered": self.delivered,
            "lost": self.lost,
            "repeated": self.repeated,
            "out_of_order": self.out_of_order,
            "disconnected": self.gone,
            "visits": self.visits,
            "deliveries_per_second": self.deliveries_per_second(),
            "server_cpu_seconds": self.server_cpu.map(|cpu| cpu.as_secs_f64()),
            "server_cpu_ns_per_delivery": self.server_per_delivery(),
            "server_cores": self.cores(self.server_cpu),
            "tool_cpu_ns_per_delivery": self.tool_per_delivery(),
            "tool_cores": self.cores(self.tool_cpu),
            "server_resident_bytes": self.resident,
            "user_bytes_per_viewer": self.user_per_viewer,
            "kernel_bytes_per_viewer": self.kernel_per_viewer,
            "frames_per_read": self.frames_per_read,
            "bytes_received": self.bytes,
            "joins_per_second": self.joins_per_second(),
            "latency_us": percentiles(&self.latency),
            "acknowledged_us": percentiles(&self.acknowledged),
            "newcomers": newcomers,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.title())?;
        for (name, value) in self.rows() {
            writeln!(out, "  {name:<28} {value:>18}")?;
        }
        write!(out, "{}", self.json())
    }
}

fn known(value: Option<f64>, digits: usize, unit: &str) -> String {
    let said = value.map(|value| format!("{value:.digits$} {unit}"));
    said.map_or("unknown".to_owned(), |said| said.trim_end().to_owned())
}

fn percentiles(histogram: &Histogram<u64>) -> Value {
    let mut percentiles: serde_json::Map<String, Value> = QUANTILES
        .iter()
        .map(|&(quantile, name)| {
            (
                name.to_owned(),
                json!(histogram.value_at_quantile(quantile)),
            )
        })
        .collect();
    percentiles.insert("max".to_owned(), json!(histogram.max()));
    Value::Object(percentiles)
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn milliseconds(histogram: &Histogram<u64>, quantile: f64) -> String {
    format!(
        "{:.2} ms",
        histogram.value_at_quantile(quantile) as f64 / 1_000.0
    )
}
