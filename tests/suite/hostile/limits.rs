//! What one client, and one room, may have.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::Stage;
use crate::harness::{Launch, PlainViewer, Raw, Server, eventually, eventually_in};

const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");

/// Posts with these headers; the status, `Retry-After` and the body.
async fn post(server: &Server, headers: &[(&str, &str)], body: &Value) -> (u16, String, Value) {
    let mut request = server
        .client()
        .post(server.url("/chat-messages"))
        .json(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let wait = answer.headers().get("Retry-After");
    let wait = wait.map_or(String::new(), |wait| wait.to_str().unwrap().to_owned());
    (status, wait, answer.json().await.expect("a JSON body"))
}

#[tokio::test]
async fn a_room_that_is_written_to_too_fast_is_busy_for_a_while_and_others_are_not() {
    let mut stage = Stage::new(&["--room-rate", "3/12s"]).await;
    let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    for text in ["one", "two", "three"] {
        stage.server.say("busy", text).await;
    }
    let body = json!({"room": "busy", "text": "four", "id": id});
    let (status, wait, problem) = post(&stage.server, &[], &body).await;
    assert_eq!(status, 429, "{problem}");
    let wait: u64 = wait.parse().expect("seconds");
    assert!(
        (1..=4).contains(&wait),
        "{wait} s until there is one in the bucket"
    );
    assert_eq!(problem["type"], "urn:problem-type:chat-room:room-busy");
    assert_eq!(problem["id"], id, "so that it can be sent again");
    let outcome = "chat_room_http_publishes_total{outcome=\"room-busy\"}";
    assert!(stage.server.metric(outcome).await > 0.5);
    stage.nobody_noticed("a busy room").await;
    eventually("the room takes messages again", || async {
        post(&stage.server, &[], &body).await.0 == 202
    })
    .await;
}

#[tokio::test]
async fn an_address_publishes_as_much_as_it_may_whatever_it_says_about_itself() {
    let server = Server::start(&["--address-rate", "2/1h"]).await;
    let body = json!({"text": "hello"});
    for address in ["198.51.100.1", "198.51.100.2"] {
        let (status, ..) = post(&server, &[("X-Forwarded-For", address)], &body).await;
        assert_eq!(status, 202);
    }
    let (status, wait, problem) =
        post(&server, &[("X-Forwarded-For", "198.51.100.3")], &body).await;
    assert_eq!(status, 429, "{problem}");
    let wait: u64 = wait.parse().expect("seconds");
    assert!((1_700..=1_800).contains(&wait), "{wait} s");
    assert_eq!(
        problem["type"],
        "urn:problem-type:chat-room:too-many-messages"
    );
    assert!(problem["id"].is_string(), "{problem}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_is_limited_for_itself() {
    let server = Server::start(&[
        "--address-rate",
        "2/1h",
        "--trusted-proxies",
        "127.0.0.0/8, 10.0.0.0/8",
    ])
    .await;
    let body = json!({"text": "hello"});
    let status = async |forwarded: &str| {
        let headers = [("X-Forwarded-For", forwarded)];
        post(&server, &headers, &body).await.0
    };
    assert_eq!(status("198.51.100.1").await, 202);
    assert_eq!(status("203.0.113.7, 198.51.100.1, 10.1.2.3").await, 202);
    assert_eq!(status("198.51.100.1").await, 429);
    assert_eq!(
        status("203.0.113.8, 198.51.100.1").await,
        429,
        "what the client itself wrote does not count"
    );
    assert_eq!(
        status("203.0.113.8").await,
        202,
        "others are not limited with it"
    );
    // What is no address is nobody's but the proxy's own.
    for (forwarded, expected) in [("unknown", 202), ("203.0.113.9, 1.2.3", 202), ("x", 429)] {
        assert_eq!(status(forwarded).await, expected, "{forwarded}");
    }
}

#[tokio::test]
async fn an_address_has_as_many_connections_as_it_may() {
    let args = [
        "--address-connections",
        "4",
        "--metrics-listen",
        "127.0.0.1:0",
    ];
    let server = Server::start(&args).await;
    let mut viewers = Vec::new();
    for _ in 0..4 {
        viewers.push(PlainViewer::join(&server, "").await);
    }
    let mut fifth = Raw::open(server.address()).await;
    let refusal = fifth.handshake("", &[VERSION]).await;
    assert_eq!(refusal.status, 429, "{refusal:?}");
    assert!(refusal.header("Retry-After").is_some(), "{refusal:?}");
    let refused = "chat_room_http_connections_refused_total{reason=\"address\"}";
    assert!(server.metric(refused).await > 0.5);
    viewers.pop();
    eventually("there is a place again", || async {
        let mut raw = Raw::open(server.address()).await;
        raw.handshake("", &[VERSION]).await.status == 101
    })
    .await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_websockets_count_for_their_clients() {
    let args = [
        "--address-connections",
        "2",
        "--trusted-proxies",
        "127.0.0.1",
    ];
    let server = Server::start(&args).await;
    let join = async |client: &str| {
        let mut raw = Raw::open(server.address()).await;
        let answer = raw
            .handshake("", &[VERSION, ("X-Forwarded-For", client)])
            .await;
        (raw, answer.status)
    };
    let (first, status) = join("198.51.100.1").await;
    assert_eq!(status, 101);
    let (_second, status) = join("198.51.100.1").await;
    assert_eq!(status, 101);
    let (_third, status) = join("198.51.100.1").await;
    assert_eq!(status, 429);
    let (_other, status) = join("198.51.100.2").await;
    assert_eq!(status, 101);
    drop(first);
    eventually("its place is free again", || async {
        join("198.51.100.1").await.1 == 101
    })
    .await;
    assert_eq!(
        server.get("/").await.status(),
        200,
        "the proxy's own are not counted"
    );
}

#[tokio::test]
async fn it_is_warned_once_when_everybody_seems_to_be_one_client() {
    for (args, wanted) in [(&[][..], 1), (&["--trusted-proxies", "127.0.0.1"][..], 0)] {
        let server = Server::start(args).await;
        let mut idle = Vec::new();
        for _ in 0..150 {
            idle.push(Raw::open(server.address()).await);
        }
        eventually("all are accepted", || async {
            server.metric("chat_room_http_connections").await > 149.5
        })
        .await;
        let said = server.said();
        let warnings = said.matches("one private address").count();
        assert_eq!(warnings, wanted, "{args:?}: {said}");
        drop(idle);
    }
}

#[tokio::test]
async fn a_connection_may_have_so_many_messages_under_way() {
    let faults = "fault = \"delay\"\noperation = \"PutRecords\"\ndelay = \"2s\"\n";
    let server = Launch::new()
        .file("faults.toml", faults)
        .args(&[
            "--embedded-faults",
            "faults.toml",
            "--connection-publishes",
            "3",
        ])
        .start()
        .await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("an HTTP/2 client");
    let posts = (0..8).map(|number| {
        let body = json!({"text": format!("message {number}")});
        client.post(server.url("/chat-messages")).json(&body).send()
    });
    let mut statuses = Vec::new();
    for answer in futures_util::future::join_all(posts).await {
        let answer = answer.expect("an answer");
        let status = answer.status().as_u16();
        if status == 429 {
            assert_eq!(answer.headers()["Retry-After"], "1");
            let problem: Value = answer.json().await.expect("a problem");
            assert!(problem["id"].is_string(), "{problem}");
        }
        statuses.push(status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 202, 202, 429, 429, 429, 429, 429]);
    // Others have connections of their own.
    server.say("lobby", "hello").await;
}

#[tokio::test]
async fn a_text_may_be_as_long_as_is_set() {
    let server = Server::start(&["--max-text", "5"]).await;
    server.say("lobby", "héllo").await;
    let answer = server.post(&json!({"text": "hello!"})).await;
    assert_eq!(answer.status(), 400);
    let text = answer.text().await.expect("a body");
    assert!(text.contains("must have at most 5 characters"), "{text}");
}

#[tokio::test]
async fn a_head_may_be_as_large_as_is_set() {
    let mut stage = Stage::new(&["--max-headers", "20", "--max-head", "8KiB"]).await;
    let address = stage.server.address();
    let get = async |more: &str| {
        let mut raw = Raw::open(address).await;
        raw.send(format!("GET /livez HTTP/1.1\r\nHost: a\r\n{more}\r\n").as_bytes())
            .await;
        raw.response().await.status
    };
    let fields = |count: usize| "X-A: b\r\n".repeat(count);
    let large = |bytes: usize| format!("X-Large: {}\r\n", "x".repeat(bytes));
    assert_eq!(get(&fields(19)).await, 200);
    assert_eq!(get(&fields(20)).await, 431);
    assert_eq!(get(&large(7_000)).await, 200);
    assert_eq!(get(&large(9_000)).await, 431);
    // A line longer than everything: the path.
    let mut raw = Raw::open(address).await;
    raw.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "p".repeat(9_000)).as_bytes())
        .await;
    let status = raw.response().await.status;
    assert!([414, 431].contains(&status), "{status}");

    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("an HTTP/2 client");
    let over_h2 = async |names: usize, bytes: usize| {
        let mut request = client.get(stage.server.url("/livez"));
        for number in 0..names {
            request = request.header(format!("x-{number}"), "b".repeat(bytes));
        }
        request
            .send()
            .await
            .map_or(0, |answer| answer.status().as_u16())
    };
    assert_eq!(over_h2(10, 1).await, 200);
    assert_eq!(over_h2(30, 1).await, 431);
    // h2 refuses the stream before it is a request.
    let refused: HashSet<u16> = [0, 431].into();
    assert!(refused.contains(&over_h2(10, 2_000).await));
    stage.nobody_noticed("large heads").await;
}

#[tokio::test]
async fn i6_a_connection_that_asks_for_nothing_is_ended() {
    let server = Server::start(&["--first-request-timeout", "300ms"]).await;
    for beginning in [
        &b""[..],
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut raw = Raw::open(server.address()).await;
        raw.send(beginning).await;
        raw.ended().await;
    }
    server.say("lobby", "still here").await;
}

#[tokio::test]
async fn i6_a_client_that_leaves_no_room_for_the_answer_to_its_handshake_is_ended() {
    const MOST: usize = 200;
    let server = Server::start(&["--upgrade-timeout", "500ms"]).await;
    let connections = || server.metric("chat_room_http_connections");
    let accepted = || server.metric("chat_room_http_connections_accepted_total");
    let (own, before) = (connections().await, accepted().await);
    let mut asked = Vec::new();
    // Of one of them the answer to the handshake is what does not fit into the socket any more: what is answered before grows by
    // less than that answer is long.
    let much = "GET /css/page.css HTTP/1.1\r\nHost: a\r\n\r\n".repeat(6);
    for answers_before in 0..MOST {
        let mut raw = Raw::open_with_little_room(server.address()).await;
        let little = "HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n".repeat(answers_before);
        let handshake = "GET /websockets/chat-messages HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        raw.send(format!("{much}{little}{handshake}").as_bytes())
            .await;
        asked.push(raw);
    }
    #[allow(clippy::cast_precision_loss, reason = "a small count")]
    let all = MOST as f64;
    eventually("all are there", || async {
        accepted().await >= before + all
    })
    .await;
    // Long before TCP_USER_TIMEOUT ends those who take nothing.
    let soon = Duration::from_secs(15);
    eventually_in(
        soon,
        "the one whose answer does not fit is ended",
        || async { connections().await < own + all },
    )
    .await;
    // Neither those that have become viewers nor those who have yet to read what they asked for before.
    let left = connections().await;
    assert!(left > all - 10.0, "{left}");
    let viewers = server
        .metric("chat_room_fanout_viewers{encoding=\"plain\"}")
        .await;
    assert!(viewers > 10.0 && viewers < left - 10.0, "{viewers}");
}
