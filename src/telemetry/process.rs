//! What the operating system says about this process, read when it is asked for.
//!
//! The names are those that every Prometheus client library uses, so that ready-made dashboards
//! find them. Where `/proc` is missing there are none.

use std::fmt::Write;
use std::fs;

use super::names::{Kind, Metric};

/// What this module reports.
pub(super) const METRICS: &[Metric] = &[
    metric(
        "process_cpu_seconds_total",
        Kind::Counter,
        "CPU time used, in user and kernel mode.",
    ),
    metric(
        "process_resident_memory_bytes",
        Kind::Gauge,
        "Memory held in RAM.",
    ),
    metric(
        "process_virtual_memory_bytes",
        Kind::Gauge,
        "Address space in use.",
    ),
    metric("process_open_fds", Kind::Gauge, "Open file descriptors."),
    metric(
        "process_max_fds",
        Kind::Gauge,
        "File descriptors that may be open.",
    ),
    metric("process_threads", Kind::Gauge, "Threads."),
    metric(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the process started, in seconds since 1970.",
    ),
];

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric {
        name,
        kind,
        labels: &[],
        help,
    }
}

/// The unit of times in `/proc`: hundredths of a second for every architecture that matters here.
/// Source: proc(5), `sysconf(_SC_CLK_TCK)`; Linux' `USER_HZ`.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the figures in Prometheus' text format.
pub(super) fn render(out: &mut String) {
    let figures = read();
    for metric in METRICS {
        let found = figures.iter().find(|(name, _)| *name == metric.name);
        let Some((name, value)) = found else { continue };
        let kind = match metric.kind {
            Kind::Counter => "counter",
            _ => "gauge",
        };
        let help = metric.help;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    }
}

fn read() -> Vec<(&'static str, f64)> {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut figures = Vec::with_capacity(METRICS.len());
    let mut add = |name, value: Option<f64>| figures.extend(value.map(|value| (name, value)));

    let status = file("/proc/self/status");
    let memory = |key| status_field(&status, key).map(|kibibytes| kibibytes * 1_024.0);
    add("process_resident_memory_bytes", memory("VmRSS:"));
    add("process_virtual_memory_bytes", memory("VmSize:"));
    add("process_threads", status_field(&status, "Threads:"));

    let own = file("/proc/self/stat");
    let cpu = stat_field(&own, 14).zip(stat_field(&own, 15));
    add(
        "process_cpu_seconds_total",
        cpu.map(|(user, kernel)| (user + kernel) / TICKS_PER_SECOND),
    );
    let boot = status_field(&file("/proc/stat"), "btime ");
    let start = boot.zip(stat_field(&own, 22));
    add(
        "process_start_time_seconds",
        start.map(|(boot, ticks)| boot + ticks / TICKS_PER_SECOND),
    );

    let open = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
    // One of them is the folder that is being read.
    let open = open.and_then(|count| u32::try_from(count.saturating_sub(1)).ok());
    add("process_open_fds", open.map(f64::from));
    add(
        "process_max_fds",
        open_files_limit(&file("/proc/self/limits")),
    );
    figures
}

/// The number after `key` at the beginning of a line.
fn status_field(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// A field of `/proc/self/stat`, counted from 1 as proc(5) does; those after the name only.
fn stat_field(text: &str, number: usize) -> Option<f64> {
    // The second field is the program's name in brackets, which may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let index = number.checked_sub(3)?;
    rest.split_whitespace().nth(index)?.parse().ok()
}

fn open_files_limit(text: &str) -> Option<f64> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_found_also_behind_a_strange_name() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 9 18 4711 20";
        assert_eq!(stat_field(stat, 14), Some(150.0));
        assert_eq!(stat_field(stat, 15), Some(50.0));
        assert_eq!(stat_field(stat, 22), Some(4_711.0));
        let status = "Name:\tx\nVmRSS:\t    1234 kB\n";
        assert_eq!(status_field(status, "VmRSS:"), Some(1_234.0));
        let limits = "Max open files            1024                 4096      files\n";
        assert_eq!(open_files_limit(limits), Some(1_024.0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn every_figure_is_there_on_linux() {
        let mut text = String::new();
        render(&mut text);
        for metric in METRICS {
            assert!(text.contains(&format!("\n{} ", metric.name)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}", number in 0_usize..60) {
            let _ = (stat_field(&text, number), status_field(&text, "a"), open_files_limit(&text));
        }
    }
}
