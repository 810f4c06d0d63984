//! Rules and panels name metrics, labels and values of labels that the program has.

use std::collections::{HashMap, HashSet};

use chat_room::telemetry::names::metrics_table;
use regex_lite::Regex;

use super::{ALERTS, DASHBOARD, dashboard_queries, path, read, source};

/// Those that Prometheus itself adds.
const ADDED: [&str; 2] = ["job", "instance"];

/// What the program can tell.
struct Shipped {
    /// Every time series' name and its labels.
    metrics: HashMap<String, HashSet<String>>,
    /// All source text, in which each value of a label stands as a string.
    source: String,
}

impl Shipped {
    fn new() -> Self {
        let mut metrics = HashMap::new();
        for line in metrics_table().lines().skip(2) {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let [_, name, kind, labels, ..] = cells[..] else {
                panic!("not a line of the table: {line}")
            };
            let name = name.trim_matches('`').to_owned();
            let labels = labels.split(", ").filter(|label| !label.is_empty());
            let labels: HashSet<_> = labels.chain(ADDED).map(str::to_owned).collect();
            if kind == "histogram" {
                for suffix in ["_sum", "_count"] {
                    metrics.insert(format!("{name}{suffix}"), labels.clone());
                }
                let le = labels.into_iter().chain(["le".to_owned()]).collect();
                metrics.insert(format!("{name}_bucket"), le);
            } else {
                metrics.insert(name, labels);
            }
        }
        metrics.insert("up".to_owned(), ADDED.map(str::to_owned).into());
        Self {
            metrics,
            source: source(&path("src")),
        }
    }

    /// What is wrong with an expression, if anything is.
    fn complain(&self, expr: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut known: HashSet<&str> = HashSet::new();
        let selector = Regex::new(r#"(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)""#).expect("a pattern");
        let grouping =
            Regex::new(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
                .expect("a pattern");
        let uses = uses(&grouping.replace_all(expr, ""));
        for (name, selectors) in &uses {
            let Some(labels) = self.metrics.get(name) else {
                wrong.push(format!("there is no {name}"));
                continue;
            };
            known.extend(labels.iter().map(String::as_str));
            for [label, values] in selector.captures_iter(selectors).map(|c| c.extract().1) {
                if !labels.contains(label) {
                    wrong.push(format!("{name} has no label {label}"));
                }
                let own = values
                    .split('|')
                    .filter(|value| *value != ".*" && !value.is_empty());
                for value in own.filter(|_| !ADDED.contains(&label)) {
                    if !self.source.contains(&format!("\"{value}\"")) {
                        wrong.push(format!("{label} of {name} is never {value}"));
                    }
                }
            }
        }
        for [labels] in grouping.captures_iter(expr).map(|c| c.extract().1) {
            for label in labels
                .split(',')
                .map(str::trim)
                .filter(|label| !label.is_empty())
            {
                if !known.contains(label) {
                    wrong.push(format!("nothing here has a label {label}"));
                }
            }
        }
        if uses.is_empty() {
            wrong.push("it names no metric".to_owned());
        }
        wrong
    }
}

/// The metrics in an expression without its groupings, each with what stands between its braces.
fn uses(expr: &str) -> Vec<(String, String)> {
    let word = Regex::new(r"\$?\w+").expect("a pattern");
    let mut uses = Vec::new();
    let mut rest = expr;
    while let Some(found) = word.find(rest) {
        let after = &rest[found.end()..];
        let next = after.trim_start();
        let name = found.as_str();
        rest = after;
        let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_operator = ["and", "or", "unless", "bool", "offset"].contains(&name);
        if is_word && !is_operator && !next.starts_with('(') {
            let selectors = next
                .strip_prefix('{')
                .and_then(|selectors| selectors.split_once('}'));
            let (selectors, after) = selectors.unwrap_or(("", after));
            uses.push((name.to_owned(), selectors.to_owned()));
            rest = after;
        }
    }
    uses
}

/// The expressions of the rules, those over several lines too.
fn rules() -> Vec<(String, String)> {
    let text = read(ALERTS);
    let rules = text.split("- alert: ").skip(1).map(|rule| {
        let (alert, rest) = rule.split_once('\n').expect("more lines");
        let (_, rest) = rest.split_once("expr: ").expect("an expression");
        let end = rest
            .find("\n        for:")
            .or(rest.find("\n        labels:"));
        let expr = &rest[..end.expect("labels")];
        (alert.to_owned(), expr.trim_start_matches('|').to_owned())
    });
    rules.collect()
}

#[test]
fn rules_and_panels_name_what_the_program_has() {
    let shipped = Shipped::new();
    let mut wrong = Vec::new();
    for (file, expressions) in [(ALERTS, rules()), (DASHBOARD, dashboard_queries())] {
        assert!(expressions.len() > 20, "{file}: {expressions:?}");
        for (place, expr) in expressions {
            let complaints = shipped.complain(&expr);
            wrong.extend(
                complaints
                    .iter()
                    .map(|what| format!("{file}: {place}: {what}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_metric_a_label_and_a_value_that_are_not_there_are_noticed() {
    let shipped = Shipped::new();
    for (expr, complaint) in [
        (
            "up == 0 or sum(chat_room_nothing_total)",
            "there is no chat_room_nothing_total",
        ),
        (
            "rate(chat_romm_http_ready[5m])",
            "there is no chat_romm_http_ready",
        ),
        (
            "rate(chat_room_fanout_publish_to_write_seconds[5m])",
            "there is no chat_room_fanout_publish_to_write_seconds",
        ),
        (
            "sum(rate(chat_room_http_publishes_total{room=\"x\"}[5m]))",
            "chat_room_http_publishes_total has no label room",
        ),
        (
            "chat_room_http_publishes_total{outcome=~\"accepted|acepted\"}",
            "outcome of chat_room_http_publishes_total is never acepted",
        ),
        (
            "sum by (shard) (chat_room_http_ready) + count without(job) (up)",
            "nothing here has a label shard",
        ),
        ("time() - 5", "it names no metric"),
    ] {
        assert_eq!(shipped.complain(expr), [complaint], "{expr}");
    }
    let right = "histogram_quantile(0.99, sum by (le) (rate(chat_room_fanout_publish_to_write_seconds_bucket{job=\"x\"}[5m])))";
    assert_eq!(shipped.complain(right), [""; 0]);
}
