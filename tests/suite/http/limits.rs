//! What one client may take: connections and time.

use crate::harness::{PlainViewer, Raw, Server, eventually};

#[tokio::test]
async fn i4_connections_over_the_limit_wait_or_are_closed_and_come_in_when_others_leave() {
    let server =
        Server::start(&["--max-connections", "8", "--metrics-listen", "127.0.0.1:0"]).await;
    let mut viewer = PlainViewer::join(&server, "").await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(Raw::open(server.address()).await);
    }
    let answer = server
        .client()
        .get(server.metrics_url("/livez"))
        .send()
        .await
        .expect("an answer");
    assert!(
        answer.status().is_success(),
        "the address for health and metrics is apart from the limit"
    );
    drop(idle);
    eventually(
        "there is room again when the idle connections are gone",
        || async {
            let body = serde_json::json!({"text": "hello"});
            let request = server
                .client()
                .post(server.url("/chat-messages"))
                .timeout(std::time::Duration::from_secs(2));
            request
                .json(&body)
                .send()
                .await
                .is_ok_and(|answer| answer.status().as_u16() == 202)
        },
    )
    .await;
    assert_eq!(viewer.next().await, "hello", "who was in stays in");
}

#[tokio::test]
async fn i6_a_head_that_never_ends_is_not_waited_for() {
    let server = Server::start(&["--header-timeout", "300ms"]).await;
    let heads = ["", "GET / HTT", "GET / HTTP/1.1\r\nHost: slow\r\n"];
    let mut slow = Vec::new();
    for head in heads {
        let mut raw = Raw::open(server.address()).await;
        raw.send(head.as_bytes()).await;
        slow.push(raw);
    }
    for raw in &mut slow {
        raw.ended().await;
    }
    server.say("lobby", "still here").await;
}

#[tokio::test]
async fn i6_a_body_that_never_ends_is_not_waited_for() {
    let server = Server::start(&["--header-timeout", "500ms"]).await;
    let mut raw = Raw::open(server.address()).await;
    let head = format!(
        "POST /chat-messages HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"text\":",
        server.address()
    );
    raw.send(head.as_bytes()).await;
    raw.ended().await;
    server.say("lobby", "still here").await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(&[]).await;
    let mut raw = Raw::open(server.address()).await;
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n",
        "x".repeat(1024 * 1024)
    );
    raw.send(head.as_bytes()).await;
    raw.finish().await;
    raw.ended().await;
    server.say("lobby", "still here").await;
}
