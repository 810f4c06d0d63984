//! Runs side by side: medians, ranges and ratios.

use std::fmt::Write;

use crate::charts;
use crate::choices::Vary;
use crate::median::Spread;
use crate::outcome::Outcome;

/// A figure that is compared: its name, how many digits it has, and where it is.
struct Figure {
    name: &'static str,
    digits: usize,
    of: fn(&Outcome) -> Option<f64>,
}

#[allow(
    clippy::cast_precision_loss,
    reason = "microseconds and counts far below 2^52"
)]
const FIGURES: [Figure; 10] = [
    Figure {
        name: "server CPU per delivery, ns",
        digits: 0,
        of: Outcome::server_per_delivery,
    },
    Figure {
        name: "deliveries/s",
        digits: 0,
        of: |run| Some(run.deliveries_per_second()),
    },
    Figure {
        name: "accepted/s",
        digits: 0,
        of: |run| Some(run.accepted_per_second()),
    },
    Figure {
        name: "p50, ms",
        digits: 2,
        of: |run| Some(run.latency_ms(0.5)),
    },
    Figure {
        name: "p99, ms",
        digits: 2,
        of: |run| Some(run.latency_ms(0.99)),
    },
    Figure {
        name: "user memory per idle viewer, B",
        digits: 0,
        of: |run| run.user_per_viewer,
    },
    Figure {
        name: "frames per read",
        digits: 1,
        of: |run| Some(run.frames_per_read),
    },
    Figure {
        name: "lost",
        digits: 0,
        of: |run| Some(run.lost as f64),
    },
    Figure {
        name: "server, cores",
        digits: 2,
        of: |run| run.cores(run.server_cpu),
    },
    Figure {
        name: "this tool, cores",
        digits: 2,
        of: |run| run.cores(run.tool_cpu),
    },
];

/// All runs of each server, ours first.
pub(crate) fn table(outcomes: &[Vec<Outcome>]) -> String {
    let names = outcomes.iter().filter_map(|runs| runs.first());
    let names: Vec<String> = names.map(|run| run.kind.name().to_owned()).collect();
    let mut text = columns("median (least–most)", &names, outcomes);
    let Some(ours) = outcomes.first() else {
        return text;
    };
    let _ = writeln!(text, "\nours / theirs, median of the rounds (least–most)");
    for figure in FIGURES.iter().take(6) {
        let _ = write!(text, "{:<34}", figure.name);
        for theirs in outcomes {
            let ratios = Spread::of_ratios(values(ours, figure), values(theirs, figure));
            let _ = write!(text, "{:>26}", said(ratios, 3));
        }
        let _ = writeln!(text);
    }
    text
}

/// A chart for each figure that matters most.
pub(crate) fn bars(outcomes: &[Vec<Outcome>]) -> Vec<(String, String)> {
    let chosen = [
        ("cpu-by-server", 0),
        ("p99-by-server", 4),
        ("memory-by-server", 5),
        ("accepted-by-server", 2),
    ];
    let chart = |(name, figure): (&str, usize)| {
        let figure = &FIGURES[figure];
        let bars = outcomes.iter().filter_map(|runs| {
            let name = runs.first()?.kind.name().to_owned();
            Some((name, Spread::of(values(runs, figure))?))
        });
        (
            name.to_owned(),
            charts::bars(figure.name, figure.digits, bars.collect()),
        )
    };
    chosen.into_iter().map(chart).collect()
}

/// A chart for each figure that may grow.
pub(crate) fn growth(vary: &Vary, outcomes: &[Vec<Outcome>]) -> Vec<(String, String)> {
    let chosen = [("cpu", 0), ("p50", 3), ("p99", 4), ("memory", 5)];
    let chart = |(name, figure): (&str, usize)| {
        let figure = &FIGURES[figure];
        let spreads: Vec<_> = outcomes
            .iter()
            .map(|runs| Spread::of(values(runs, figure)))
            .collect();
        let file = format!("{name}-by-{}", vary.what.name());
        (file, charts::growth(figure.name, vary, &spreads))
    };
    chosen.into_iter().map(chart).collect()
}

/// All runs of each value.
pub(crate) fn varied(vary: &Vary, outcomes: &[Vec<Outcome>]) -> String {
    let names: Vec<String> = vary.values.iter().map(ToString::to_string).collect();
    columns(vary.what.label(), &names, outcomes)
}

fn columns(title: &str, names: &[String], outcomes: &[Vec<Outcome>]) -> String {
    let mut text = format!("{title:<34}");
    for name in names {
        let _ = write!(text, "{name:>26}");
    }
    let _ = writeln!(text);
    for figure in &FIGURES {
        let _ = write!(text, "{:<34}", figure.name);
        for runs in outcomes {
            let _ = write!(
                text,
                "{:>26}",
                said(Spread::of(values(runs, figure)), figure.digits)
            );
        }
        let _ = writeln!(text);
    }
    text
}

fn values(runs: &[Outcome], figure: &Figure) -> Vec<f64> {
    runs.iter().filter_map(figure.of).collect()
}

fn said(spread: Option<Spread>, digits: usize) -> String {
    let Some(Spread {
        least,
        median,
        most,
    }) = spread
    else {
        return "unknown".to_owned();
    };
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}
