//! Health and metrics.

use std::collections::HashSet;

use reqwest::StatusCode;

use super::header;
use crate::harness::{PlainViewer, Server, eventually};

/// The names of the families in a Prometheus text, by its `# TYPE` lines.
fn families(metrics: &str) -> HashSet<&str> {
    metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect()
}

/// The sum of all samples whose name begins with `name`.
fn sum(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter(|line| line.starts_with(name));
    samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test]
async fn a_ready_instance_is_alive_and_ready() {
    let server = Server::start(&[]).await;
    for path in ["/livez", "/readyz"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let caching = header(&answer, "Cache-Control");
        assert!(
            caching.contains("no-store") || caching.contains("no-cache"),
            "{path}: Cache-Control: {caching}"
        );
    }
}

#[tokio::test]
async fn metrics_follow_the_rule_for_names() {
    let server = Server::start(&[]).await;
    let mut viewer = PlainViewer::join(&server, "").await;
    server.say("lobby", "hello").await;
    viewer.next().await;
    let answer = server.get("/metrics").await;
    assert!(
        header(&answer, "Content-Type").starts_with("text/plain"),
        "{:?}",
        answer.headers()
    );
    let metrics = answer.text().await.expect("text");
    let families = families(&metrics);
    for name in &families {
        let ours = name.starts_with("chat_room_") || name.starts_with("process_");
        let clean = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(
            ours && clean,
            "chat_room_<stage>_<thing>_<unit>[_total]: {name}"
        );
        assert!(
            metrics.contains(&format!("# HELP {name} ")),
            "{name} has no help text"
        );
        let counter = metrics.contains(&format!("# TYPE {name} counter"));
        assert!(
            !counter || name.ends_with("_total"),
            "a counter ends in _total: {name}"
        );
    }
    let stages = [
        "chat_room_http_",
        "chat_room_producer_",
        "chat_room_consumer_",
        "chat_room_log_",
        "chat_room_fanout_",
    ];
    for stage in stages {
        assert!(
            families.iter().any(|name| name.starts_with(stage)),
            "nothing of {stage}*: {families:?}"
        );
    }
    assert!(
        families.iter().any(|name| name.contains("build_info")),
        "{families:?}"
    );
    assert!(
        families.iter().any(|name| name.starts_with("process_")),
        "{families:?}"
    );
    assert!(
        metrics.contains(env!("CARGO_PKG_VERSION")),
        "the version in build info"
    );
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let server = Server::start(&[]).await;
    let mut viewer = PlainViewer::join(&server, "").await;
    for number in 0..10 {
        server.say("lobby", &number.to_string()).await;
    }
    viewer.take(10).await;
    let answer = server.post(&serde_json::json!({"text": ""})).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    eventually(
        "the metrics count ten records put and consumed, and twelve requests or more",
        || async {
            let metrics = server.metrics().await;
            sum(&metrics, "chat_room_http_requests_total") >= 12.0
                && metrics
                    .lines()
                    .any(|line| line.starts_with("chat_room_producer_") && line.ends_with(" 10"))
                && metrics
                    .lines()
                    .any(|line| line.starts_with("chat_room_consumer_") && line.ends_with(" 10"))
        },
    )
    .await;
}

#[tokio::test]
async fn health_and_metrics_can_have_an_address_of_their_own() {
    let server = Server::start(&["--metrics-listen", "127.0.0.1:0"]).await;
    for path in ["/metrics", "/livez", "/readyz"] {
        let answer = server
            .client()
            .get(server.metrics_url(path))
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            answer.status(),
            StatusCode::OK,
            "{path} on the address for metrics"
        );
        assert_eq!(
            server.get(path).await.status(),
            StatusCode::NOT_FOUND,
            "{path} on the public address"
        );
    }
    for path in ["/", "/chat-messages"] {
        let answer = server
            .client()
            .get(server.metrics_url(path))
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            answer.status(),
            StatusCode::NOT_FOUND,
            "{path} on the address for metrics"
        );
    }
}
