//! What an operator takes from `deploy/`: that it names what exists, that its own tools find nothing wrong with it, and that a
//! real Prometheus gets on with a real instance.

mod names;
mod platforms;
mod prometheus;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A file of this repository, by its path in it.
fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// All Rust source in a folder, without the tests that have a file of their own.
fn source(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let is_tests = path.file_stem().is_some_and(|stem| {
            let stem = stem.to_string_lossy();
            stem == "tests" || stem.ends_with("_tests")
        });
        if path.is_dir() {
            text += &source(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_tests {
            text += &std::fs::read_to_string(&path).expect("source text");
        }
    }
    text
}

/// A tool's whole output; it must end well.
fn well(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [stdout, stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(status.success(), "{command:?} ends with {status}:\n{said}");
    said
}

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const ALERT_TESTS: &str = "deploy/prometheus/alerts_test.yml";
const DASHBOARD: &str = "deploy/grafana/chat-room.json";

/// The names of all alerts.
fn alerts() -> Vec<String> {
    let rules = read(ALERTS);
    let names = rules.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("- alert: ")?;
        Some(name.to_owned())
    });
    names.collect()
}

/// Each expression of the dashboard with where it stands, its variables put in.
fn dashboard_queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let mut queries = Vec::new();
    let mut add = |place: &Value, expr: &Value| {
        let place = place.as_str().expect("a name").to_owned();
        let expr = expr.as_str().expect("an expression");
        let expr = expr
            .replace("$__rate_interval", "1m")
            .replace("$job", ".*")
            .replace("$instance", ".*");
        assert!(
            !expr.contains('$'),
            "{place}: an unknown variable in {expr}"
        );
        queries.push((place, expr));
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            add(&panel["title"], &target["expr"]);
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        add(&annotation["name"], &annotation["expr"]);
    }
    for variable in list(&dashboard["templating"]["list"]) {
        if let Some(definition) = variable["definition"].as_str() {
            let inner = definition
                .strip_prefix("label_values(")
                .and_then(|rest| rest.rsplit_once(','));
            let (metric, _) = inner.unwrap_or_else(|| panic!("label_values(…), not {definition}"));
            add(&variable["name"], &Value::from(metric));
        }
    }
    queries
}
