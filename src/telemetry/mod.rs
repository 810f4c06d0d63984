//! What an operator sees: log lines and metrics.
//!
//! # What
//! [`Logs`] sends `tracing`'s events to stderr, as many as a [`LogFilter`] says; [`Metrics`] records what the `metrics` macros
//! report and writes it in Prometheus' text format. [`names`] lists every metric.
//!
//! # How
//! One recorder for the process. Stages keep handles for what they count often. The recorder's
//! histograms gather raw samples until somebody looks: [`Metrics::upkeep`] sees to it when nobody
//! scrapes, so it must run as long as the program does.
//!
//! # Limits
//! Memory: one entry per name and set of labels, all of which are bounded.
//!
//! # Invariants
//! No log line and no label holds a message's text, a person's name or a credential: [`discreet`].

use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

mod discreet;
mod filter;
pub mod names;
mod process;

pub use filter::{InvalidFilter, LogFilter};

use discreet::is_discreet;
use names::Kind;

/// How often gathered samples are sorted into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where log lines go; which ones can be changed while the program runs.
#[derive(Debug)]
pub struct Logs {
    filter: reload::Handle<Targets, Registry>,
}

impl Logs {
    /// Sends log lines to stderr. A process has one such destination: several instances of the
    /// program may run in one process, as in tests, and then the first decides.
    pub fn start(format: LogFormat, filter: &LogFilter) -> Self {
        let (level, handle) = reload::Layer::new(filter.targets());
        let lines = fmt::layer().with_writer(io::stderr);
        let lines = match format {
            LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        let lines = lines.with_filter(filter_fn(is_discreet));
        let _ = Registry::default().with(level).with(lines).try_init();
        Self { filter: handle }
    }

    /// Writes other lines from now on.
    pub fn change(&self, filter: &LogFilter) {
        // An error means that these are not this process' logs.
        let _ = self.filter.reload(filter.targets());
    }
}

/// The recorder of this process' metrics.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    /// The runtime whose tasks are counted.
    runtime: Arc<OnceLock<tokio::runtime::Handle>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Sets the recorder up, or finds the one that is there already.
    ///
    /// # Errors
    /// [`Error::Buckets`]. A recorder of somebody else's that is in its place already stays, and
    /// nothing is rendered here.
    pub fn install() -> Result<Self, Error> {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        if let Some(metrics) = INSTALLED.get() {
            return Ok(metrics.clone());
        }
        let mut builder = PrometheusBuilder::new();
        for metric in names::ALL {
            if let Kind::Histogram(buckets) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                builder = builder.set_buckets_for_metric(name, buckets)?;
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let installed = metrics::set_global_recorder(recorder).is_ok();
        let runtime = Arc::default();
        let metrics = INSTALLED.get_or_init(|| Self { handle, runtime }).clone();
        if installed {
            describe();
        }
        Ok(metrics)
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        if let Some(runtime) = self.runtime.get() {
            #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
            gauge!(names::STREAM_TASKS).set(runtime.metrics().num_alive_tasks() as f64);
        }
        let mut text = self.handle.render();
        process::render(&mut text);
        text
    }

    /// Keeps the recorder small, for as long as it is polled. The tasks that are counted are those
    /// of the runtime that it is polled on.
    pub async fn upkeep(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        self.runtime.get_or_init(tokio::runtime::Handle::current);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }
}

fn describe() {
    for metric in names::ALL {
        match metric.kind {
            Kind::Counter => {
                describe_counter!(metric.name, metric.help);
                // There from the start: an increase from nothing cannot be seen by who scrapes.
                if metric.labels.is_empty() {
                    counter!(metric.name).increment(0);
                }
            }
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.help),
        }
    }
    gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A histogram's buckets make no sense.
    #[error("cannot set up the metrics: {0}")]
    Buckets(#[from] BuildError),
}

#[cfg(test)]
mod tests {
    use metrics::histogram;

    use super::*;

    #[test]
    fn what_is_recorded_is_rendered_with_help_and_buckets() {
        let metrics = Metrics::install().unwrap();
        let again = Metrics::install().unwrap();
        counter!(names::HTTP_ACCEPT_ERRORS).increment(1);
        histogram!(names::HTTP_REQUEST_SECONDS, "resource" => "test").record(0.002);
        for text in [metrics.render(), again.render()] {
            for line in [
                "# TYPE chat_room_http_accept_errors_total counter",
                "# HELP chat_room_http_request_duration_seconds Time from",
                "chat_room_http_request_duration_seconds_bucket{resource=\"test\",le=\"0.0025\"} 1",
                concat!(
                    "chat_room_build_info{version=\"",
                    env!("CARGO_PKG_VERSION"),
                    "\"} 1"
                ),
                "process_resident_memory_bytes ",
            ] {
                assert!(text.contains(line), "{line} is not in:\n{text}");
            }
        }
    }
}
