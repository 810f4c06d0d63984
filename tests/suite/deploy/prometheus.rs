//! Prometheus and its promtool, as Debian ships them.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{ALERT_TESTS, ALERTS, alerts, dashboard_queries, path, read, well};
use crate::harness::{Reaped, Server, Viewer, eventually, free_port, prometheus, promtool};

#[test]
fn promtool_finds_nothing_wrong_with_rules_their_tests_and_settings() {
    well(
        Command::new(promtool())
            .args(["check", "rules"])
            .arg(path(ALERTS)),
    );
    well(
        Command::new(promtool())
            .args(["test", "rules"])
            .arg(path(ALERT_TESTS)),
    );
    let config = path("deploy/prometheus/prometheus.yml");
    well(
        Command::new(promtool())
            .args(["check", "config"])
            .arg(config),
    );
}

#[test]
fn each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let tests = read(ALERT_TESTS);
    for alert in alerts() {
        let name = format!("alertname: {alert}\n");
        let cases: Vec<_> = tests.split(&name).skip(1).collect();
        let fires = |case: &&str| case.trim_start().starts_with("exp_alerts:");
        assert!(cases.iter().any(fires), "{alert} never fires");
        assert!(!cases.iter().all(fires), "{alert} always fires");
    }
}

#[test]
fn each_alert_links_to_the_heading_that_says_what_to_do() {
    let rules = read(ALERTS);
    let manual = read("docs/OPERATIONS.md");
    for alert in alerts() {
        let heading = format!("\n### {alert}\n");
        assert!(manual.contains(&heading), "no heading for {alert}");
        let (_, rule) = rules
            .split_once(&format!("- alert: {alert}\n"))
            .expect("the rule");
        let rule = rule.split("- alert: ").next().expect("a rule");
        let link = format!("runbook: docs/OPERATIONS.md#{}\n", alert.to_lowercase());
        assert!(rule.contains(&link), "{alert} does not link to {link}");
    }
    let headings = manual
        .lines()
        .filter(|line| line.starts_with("### ChatRoom"));
    assert_eq!(
        headings.count(),
        alerts().len(),
        "a heading for what is no alert"
    );
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let server = Server::start(&[]).await;
    let mut viewer = Viewer::join(&server, "room=lobby").await;
    server.say("lobby", "hello").await;
    viewer.until("hello").await;
    let metrics = server.metrics().await;
    let mut check = Command::new(promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut input = check.stdin.take().expect("a pipe");
    input.write_all(metrics.as_bytes()).expect("a pipe");
    drop(input);
    let said = check.wait_with_output().expect("promtool ends");
    let said = (
        said.status.code(),
        String::from_utf8_lossy(&said.stderr).into_owned(),
    );
    assert_eq!(said, (Some(0), String::new()));
    server.stop().await;
}

/// A Prometheus with the settings of `deploy/`, which scrapes `target` each second.
struct Prometheus {
    address: SocketAddr,
    _process: Reaped,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn of(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = read("deploy/prometheus/prometheus.yml");
        let ours = config
            .replace("127.0.0.1:8080", &target.to_string())
            .replace("_interval: 15s", "_interval: 1s");
        assert_eq!(ours.matches("_interval: 1s").count(), 2, "{ours}");
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, ours).expect("a file");
        std::fs::copy(path(ALERTS), folder.path().join("alerts.yml")).expect("a file");
        let address = free_port();
        let process = Command::new(prometheus())
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Prometheus starts");
        Self {
            address,
            _process: Reaped::new(process),
            _folder: folder,
        }
    }

    /// What the API answers; nothing while it does not.
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let mut url = reqwest::Url::parse(&format!("http://{}/api/v1/{path}", self.address))
            .expect("an address");
        url.query_pairs_mut().extend_pairs(query);
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let Ok(answer) = client.get(url).send().await else {
            return Value::Null;
        };
        let text = answer.text().await.unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The values that an expression has now.
    async fn values(&self, expr: &str) -> Result<Vec<f64>, String> {
        let answer = self.get("query", &[("query", expr)]).await;
        if answer["status"] != "success" {
            return Err(format!("{expr}: {answer}"));
        }
        let result = answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let value = |series: &Value| series["value"][1].as_str()?.parse().ok();
        Ok(result.iter().filter_map(value).collect())
    }
}

#[tokio::test]
async fn a_real_prometheus_scrapes_an_instance_and_answers_every_panel() {
    let server = Server::start(&[]).await;
    let prometheus = Prometheus::of(server.address());
    eventually("Prometheus has scraped the instance", || async {
        prometheus.values("up{job=\"chat-room\"}").await == Ok(vec![1.0])
    })
    .await;
    let mut viewer = Viewer::join(&server, "room=lobby").await;
    server.say("lobby", "hello").await;
    viewer.until("hello").await;

    for (expr, value) in [
        ("chat_room_http_ready", 1.0),
        ("chat_room_http_readiness_problems", 0.0),
        ("sum(chat_room_fanout_viewers{encoding=\"v1\"})", 1.0),
        ("chat_room_http_publishes_total{outcome=\"accepted\"}", 1.0),
        ("chat_room_producer_user_records_total", 1.0),
        ("chat_room_fanout_publish_to_write_seconds_count", 1.0),
        ("chat_room_fanout_arrival_to_write_seconds_count", 1.0),
        (
            "chat_room_fanout_arrival_to_write_seconds_bucket{le=\"10\"}",
            1.0,
        ),
        (
            "chat_room_consumer_behind_seconds{shard=\"shardId-000000000000\"}",
            0.0,
        ),
        (
            "time() - chat_room_consumer_last_delivery_timestamp_seconds < bool 30",
            1.0,
        ),
        // Never incremented, yet there: an increase from nothing could not be seen.
        ("chat_room_consumer_takeovers_total", 0.0),
    ] {
        eventually(&format!("{expr} is {value}"), || async {
            prometheus.values(expr).await == Ok(vec![value])
        })
        .await;
    }
    for (panel, expr) in dashboard_queries() {
        let values = prometheus.values(&expr).await;
        assert!(values.is_ok(), "{panel}: {values:?}");
    }
    eventually("all rules have been evaluated", || async {
        let groups = prometheus.get("rules", &[]).await;
        let rules = groups["data"]["groups"][0]["rules"].as_array().cloned();
        let rules = rules.unwrap_or_default();
        rules.len() == alerts().len() && rules.iter().all(|rule| rule["health"] == "ok")
    })
    .await;
    let raised = prometheus.get("alerts", &[]).await;
    assert_eq!(
        raised["data"]["alerts"],
        json!([]),
        "a healthy instance raises no alert"
    );
    server.stop().await;
}
