//! What one client may take: connections and time.

use crate::harness::{Launch, PlainViewer, Raw, Server, eventually};

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
async fn i4_clients_are_told_that_there_is_no_place_long_before_descriptors_run_out() {
    let launch = Launch::new().open_files(256, 512);
    let server = launch
        .args(&["--metrics-listen", "127.0.0.1:0", "--workers", "2"])
        .start()
        .await;
    let said = server.said();
    assert!(
        said.contains("open files") && said.contains("limit=512") && said.contains("before=256"),
        "the limit is raised and logged: {said}"
    );
    assert!((server.metric("process_max_fds").await - 512.0).abs() < 0.5);
    let mut viewer = PlainViewer::join(&server, "").await;
    let mut viewers = Vec::new();
    let refusal = loop {
        let mut raw = Raw::open(server.address()).await;
        let answer = raw.handshake("", &[("Sec-WebSocket-Version", "13")]).await;
        if answer.status != 101 {
            break answer;
        }
        viewers.push(raw);
        assert!(viewers.len() < 512, "nobody is refused");
    };
    assert_eq!(refusal.status, 503, "{refusal:?}");
    assert!(refusal.header("Retry-After").is_some(), "{refusal:?}");
    assert!(viewers.len() > 100, "{} found a place", viewers.len());
    assert!(server.metric("process_open_fds").await < 450.0);
    let errors = server.metric("chat_room_http_accept_errors_total").await;
    assert!(errors < 0.5, "no descriptor was missing: {errors}");
    // Whose places are free again when they go.
    drop(viewers);
    eventually("there is a place again", || async {
        let mut raw = Raw::open(server.address()).await;
        raw.handshake("", &[("Sec-WebSocket-Version", "13")])
            .await
            .status
            == 101
    })
    .await;
    server.say("lobby", "hello").await;
    assert_eq!(viewer.next().await, "hello", "who was in stays in");
}

#[tokio::test]
async fn more_connections_than_open_files_allow_are_warned_of() {
    let launch = Launch::new().open_files(256, 256);
    let server = launch.args(&["--max-connections", "5000"]).start().await;
    let said = server.said();
    assert!(
        said.contains("WARN") && said.contains("max_connections=5000"),
        "{said}"
    );
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
    let server = Server::start(&["--body-timeout", "500ms"]).await;
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
