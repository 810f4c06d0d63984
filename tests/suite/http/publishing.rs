//! What a POST may say, and the answers to what it may not.

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::problem;
use crate::harness::{Raw, Server, Viewer};

/// A server and a viewer who must see nothing of what is refused.
async fn with_witness() -> (Server, Viewer) {
    let server = Server::start(&[]).await;
    let viewer = Viewer::join(&server, "").await;
    (server, viewer)
}

async fn assert_nothing_was_shown(server: &Server, viewer: &mut Viewer) {
    server.say("lobby", "end").await;
    assert_eq!(
        viewer.until("end").await,
        [],
        "what is refused is not shown"
    );
}

#[tokio::test]
async fn a_body_of_the_wrong_shape_is_a_400() {
    let (server, mut viewer) = with_witness().await;
    let bodies = [
        "",
        "{",
        "hello",
        "null",
        "[]",
        "\"hello\"",
        "17",
        "{}",
        r#"{"room":"lobby"}"#,
        r#"{"text":null}"#,
        r#"{"text":17}"#,
        r#"{"text":["hello"]}"#,
        r#"{"text":"hello","room":17}"#,
        r#"{"text":"hello","name":{}}"#,
        r#"{"text":"hello","id":17}"#,
        r#"{"text":"hello"} and more"#,
        r#"{"text":"half a surrogate \ud800"}"#,
    ];
    for body in bodies {
        let answer = server
            .client()
            .post(server.url("/chat-messages"))
            .header("Content-Type", "application/json")
            .body(body)
            .send()
            .await
            .expect("an answer");
        problem(answer, StatusCode::BAD_REQUEST, body).await;
    }
    let answer = server
        .client()
        .post(server.url("/chat-messages"))
        .header("Content-Type", "application/json")
        .body(b"{\"text\":\"no UTF-8: \xff\"}".to_vec())
        .send()
        .await
        .expect("an answer");
    problem(answer, StatusCode::BAD_REQUEST, "no UTF-8").await;
    assert_nothing_was_shown(&server, &mut viewer).await;
}

#[tokio::test]
async fn a_value_out_of_bounds_is_a_400_that_names_the_field() {
    let (server, mut viewer) = with_witness().await;
    let cases: Vec<(&str, Value)> = vec![
        ("text", json!({"text": ""})),
        ("text", json!({"text": "x".repeat(2001)})),
        ("text", json!({"text": "ä".repeat(2001)})),
        ("text", json!({"text": "a bell \u{7}"})),
        ("text", json!({"text": "a NUL \u{0}"})),
        ("text", json!({"text": "an escape \u{1b}[31m"})),
        ("text", json!({"text": "a delete \u{7f}"})),
        ("text", json!({"text": "a return \r\n"})),
        ("room", json!({"text": "hello", "room": ""})),
        ("room", json!({"text": "hello", "room": "two words"})),
        ("room", json!({"text": "hello", "room": "a/b"})),
        ("room", json!({"text": "hello", "room": "röm"})),
        ("room", json!({"text": "hello", "room": "r".repeat(65)})),
        ("name", json!({"text": "hello", "name": "n".repeat(65)})),
        ("name", json!({"text": "hello", "name": "line\nfeed"})),
        ("name", json!({"text": "hello", "name": "a NUL \u{0}"})),
        ("id", json!({"text": "hello", "id": ""})),
        ("id", json!({"text": "hello", "id": "no-uuid"})),
        (
            "id",
            json!({"text": "hello", "id": "123e4567-e89b-12d3-a456-42661417400"}),
        ),
    ];
    for (field, body) in cases {
        let said = problem(
            server.post(&body).await,
            StatusCode::BAD_REQUEST,
            &body.to_string(),
        )
        .await;
        let listed = said["errors"]
            .as_array()
            .is_some_and(|errors| errors.iter().any(|error| error["field"] == field));
        let told = said["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains(field));
        assert!(
            listed || told,
            "{body}: the answer should name {field}: {said}"
        );
    }
    assert_nothing_was_shown(&server, &mut viewer).await;
}

#[tokio::test]
async fn what_is_just_within_bounds_is_accepted() {
    let server = Server::start(&[]).await;
    let bodies = [
        json!({"text": "x"}),
        json!({"text": "x".repeat(2000)}),
        json!({"text": "𝄞".repeat(2000)}),
        json!({"text": "line\nfeed and\ttab"}),
        json!({"text": "hello", "room": "A-Za-z0-9._~-"}),
        json!({"text": "hello", "room": "r".repeat(64)}),
        json!({"text": "hello", "name": "ñ".repeat(64)}),
        json!({"text": "hello", "id": Uuid::new_v4().to_string()}),
    ];
    for body in bodies {
        server.publish(&body).await;
    }
}

#[tokio::test]
async fn another_content_type_is_a_415() {
    let (server, mut viewer) = with_witness().await;
    let kinds = [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data"),
        Some(""),
    ];
    for kind in kinds {
        let mut request = server
            .client()
            .post(server.url("/chat-messages"))
            .body(r#"{"text":"hello"}"#);
        if let Some(kind) = kind {
            request = request.header("Content-Type", kind);
        }
        let answer = request.send().await.expect("an answer");
        problem(
            answer,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &format!("{kind:?}"),
        )
        .await;
    }
    assert_nothing_was_shown(&server, &mut viewer).await;
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
    ] {
        let request = server
            .client()
            .post(server.url("/chat-messages"))
            .header("Content-Type", kind);
        let answer = request
            .body(r#"{"text":"hello"}"#)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{kind}");
    }
}

#[tokio::test]
async fn a_body_over_16_kib_is_a_413_with_and_without_a_length() {
    let (server, mut viewer) = with_witness().await;
    let body = format!(r#"{{"text":"hello","more":"{}"}}"#, "x".repeat(16 * 1024));
    let request = server
        .client()
        .post(server.url("/chat-messages"))
        .header("Content-Type", "application/json");
    let answer = request.body(body.clone()).send().await.expect("an answer");
    problem(answer, StatusCode::PAYLOAD_TOO_LARGE, "with a length").await;

    let mut raw = Raw::open(server.address()).await;
    let head = format!(
        "POST /chat-messages HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.address()
    );
    raw.send(head.as_bytes()).await;
    for piece in body.as_bytes().chunks(1000) {
        raw.send(format!("{:x}\r\n", piece.len()).as_bytes()).await;
        raw.send(piece).await;
        raw.send(b"\r\n").await;
    }
    raw.send(b"0\r\n\r\n").await;
    let answer = raw.response().await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(
        answer.header("Content-Type"),
        Some("application/problem+json")
    );
    assert_nothing_was_shown(&server, &mut viewer).await;
}

#[tokio::test]
async fn a_body_that_never_comes_whole_disturbs_nobody() {
    let (server, mut viewer) = with_witness().await;
    let mut raw = Raw::open(server.address()).await;
    let head = format!(
        "POST /chat-messages HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"text\":",
        server.address()
    );
    raw.send(head.as_bytes()).await;
    raw.finish().await;
    raw.ended().await;
    assert_nothing_was_shown(&server, &mut viewer).await;
}
