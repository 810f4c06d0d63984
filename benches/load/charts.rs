//! Which charts are made of runs.

use std::time::Duration;

use crate::axis::{Axis, Scale, Tick};
use crate::chart::{Bars, Chart, Line, Point};
use crate::choices::Vary;
use crate::median::Spread;
use crate::outcome::{Outcome, ratio};
use crate::samples::Sample;

/// The charts of one run, each with a name.
pub(crate) fn of_run(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let samples = &outcome.samples;
    let delivered = |sample: &Sample| Some(ratio(sample.delivered, 1));
    let accepted = |sample: &Sample| Some(ratio(sample.accepted, 1));
    let server = |sample: &Sample| Some(sample.server_cpu?.as_secs_f64());
    let tool = |sample: &Sample| Some(sample.tool_cpu?.as_secs_f64());
    let memory = samples.iter().filter_map(|sample| {
        let mib = ratio(sample.resident?, 1 << 20);
        Some(Point::new(sample.at.as_secs_f64(), mib))
    });
    vec![
        ("latency", latency(outcome)),
        ("distribution", distribution(outcome)),
        (
            "deliveries",
            over_time(
                "Deliveries a second",
                vec![line("deliveries", rate(samples, delivered))],
            ),
        ),
        (
            "accepted",
            over_time(
                "Messages accepted a second",
                vec![line("accepted", rate(samples, accepted))],
            ),
        ),
        (
            "cpu",
            over_time(
                "CPU, cores",
                vec![
                    line("server", rate(samples, server)),
                    line("this tool", rate(samples, tool)),
                ],
            ),
        ),
        (
            "memory",
            over_time(
                "Server's resident memory, MiB",
                vec![line("resident", memory.collect())],
            ),
        ),
    ]
}

/// A bar for each server, for one figure.
pub(crate) fn bars(title: &str, digits: usize, values: Vec<(String, Spread)>) -> String {
    let bar = |(name, spread): (String, Spread)| {
        let range = Some((spread.least, spread.most));
        (
            name,
            Point {
                x: 0.0,
                y: spread.median,
                range,
            },
        )
    };
    let bars = Bars {
        title: title.to_owned(),
        rows: values.into_iter().map(bar).collect(),
        digits,
    };
    bars.svg()
}

/// A figure as it grows with what was varied.
pub(crate) fn growth(title: &str, vary: &Vary, spreads: &[Option<Spread>]) -> String {
    let values: Vec<f64> = vary
        .values
        .iter()
        .map(|&value| ratio(value as u64, 1))
        .collect();
    let scale = if values.contains(&0.0) {
        Scale::Linear
    } else {
        Scale::Log
    };
    let points = values.iter().zip(spreads).filter_map(|(&x, spread)| {
        let spread = (*spread)?;
        let range = Some((spread.least, spread.most));
        Some(Point {
            x,
            y: spread.median,
            range,
        })
    });
    let points: Vec<Point> = points.collect();
    let ends = points
        .iter()
        .map(|point| point.range.map_or(point.y, |range| range.1));
    let chart = Chart {
        title: title.to_owned(),
        x_label: vary.what.label().to_owned(),
        x: Axis::around(scale, values.into_iter()),
        y: Axis::around(Scale::Linear, ends),
        lines: vec![line(title, points)],
    };
    chart.svg()
}

/// p99 at each rate that a ramp tried.
pub(crate) fn ramp(tried: &[(f64, Duration)], bound: Duration) -> String {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let mut tried = tried.to_vec();
    tried.sort_by(|a, b| a.0.total_cmp(&b.0));
    let points: Vec<Point> = tried
        .iter()
        .map(|&(rate, p99)| Point::new(rate, milliseconds(p99)))
        .collect();
    let ends = [tried.first(), tried.last()].into_iter().flatten();
    let bound: Vec<Point> = ends
        .map(|&(rate, _)| Point::new(rate, milliseconds(bound)))
        .collect();
    let all = points.iter().chain(&bound);
    let chart = Chart {
        title: "p99 by rate, ms".to_owned(),
        x_label: "messages/s".to_owned(),
        x: Axis::around(Scale::Log, points.iter().map(|point| point.x)),
        y: Axis::around(Scale::Log, all.map(|point| point.y)),
        lines: vec![line("p99", points), line("bound", bound)],
    };
    chart.svg()
}

fn latency(outcome: &Outcome) -> String {
    let quantiles = [("p50", 0.5), ("p99", 0.99), ("most", 1.0)];
    let lines = quantiles.map(|(name, quantile)| {
        let slots = outcome.timeline.slots();
        let points = slots.map(|(start, slot)| {
            let at = start.saturating_sub(outcome.start).as_secs_f64();
            Point::new(at, ratio(slot.value_at_quantile(quantile), 1_000))
        });
        line(name, points.collect())
    });
    let values = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.y));
    let chart = Chart {
        title: "From due to read, ms, by when it was due".to_owned(),
        x_label: "seconds".to_owned(),
        x: seconds(&lines),
        y: Axis::around(Scale::Log, values),
        lines: lines.to_vec(),
    };
    chart.svg()
}

/// Latency at each percentile, those that matter wide apart.
fn distribution(outcome: &Outcome) -> String {
    const NAMED: [(f64, &str); 6] = [
        (1.0, "least"),
        (2.0, "p50"),
        (10.0, "p90"),
        (100.0, "p99"),
        (1e3, "p99.9"),
        (1e4, "p99.99"),
    ];
    let points = |histogram: &hdrhistogram::Histogram<u64>| {
        let steps = (0..=80).map(|step| 10f64.powf(f64::from(step) / 20.0));
        let points = steps.map(|rarity| {
            Point::new(
                rarity,
                ratio(histogram.value_at_quantile(1.0 - 1.0 / rarity), 1_000),
            )
        });
        points.collect()
    };
    let lines = vec![
        line("to every viewer", points(&outcome.latency)),
        line("until accepted", points(&outcome.acknowledged)),
    ];
    let ticks = NAMED.map(|(value, name)| Tick {
        value,
        name: name.to_owned(),
    });
    let values = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.y));
    let chart = Chart {
        title: "Distribution of latency, ms".to_owned(),
        x_label: "percentile".to_owned(),
        x: Axis::with_ticks(Scale::Log, 1.0, 1e4, ticks.to_vec()),
        y: Axis::around(Scale::Log, values.collect::<Vec<_>>().into_iter()),
        lines,
    };
    chart.svg()
}

fn over_time(title: &str, lines: Vec<Line>) -> String {
    let values = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.y));
    let chart = Chart {
        title: title.to_owned(),
        x_label: "seconds".to_owned(),
        x: seconds(&lines),
        y: Axis::around(Scale::Linear, values.collect::<Vec<_>>().into_iter()),
        lines,
    };
    chart.svg()
}

fn seconds(lines: &[Line]) -> Axis {
    let times = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.x));
    Axis::around(Scale::Linear, times)
}

fn line(name: &str, points: Vec<Point>) -> Line {
    Line {
        name: name.to_owned(),
        points,
    }
}

/// How much of something came a second, between each two looks.
fn rate(samples: &[Sample], of: impl Fn(&Sample) -> Option<f64>) -> Vec<Point> {
    let pairs = samples.windows(2).filter_map(|pair| {
        let time = pair[1].at.checked_sub(pair[0].at)?.as_secs_f64();
        let more = of(&pair[1])? - of(&pair[0])?;
        (time > 0.01).then(|| Point::new(pair[1].at.as_secs_f64(), more.max(0.0) / time))
    });
    pairs.collect()
}
