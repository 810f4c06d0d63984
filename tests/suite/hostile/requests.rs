//! Requests that nobody sends by mistake.

use super::Stage;
use crate::harness::Raw;
use crate::harness::raw::Response;

/// What a request means to whoever stands in front of us may not be another one to us.
#[tokio::test]
async fn a_request_of_which_two_ends_could_be_read_is_refused_and_nothing_behind_it_is_answered() {
    let mut stage = Stage::new(&["--body-timeout", "500ms"]).await;
    let body = r#"{"room":"den","text":"smuggled"}"#;
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let shapes: Vec<(&str, String, String)> = vec![
        (
            "two lengths",
            format!("Content-Length: {length}\r\nContent-Length: {}", length + 1),
            body.into(),
        ),
        (
            "two lengths in one",
            format!("Content-Length: {length}, {}", length + 1),
            body.into(),
        ),
        (
            "a length with a sign",
            format!("Content-Length: +{length}"),
            body.into(),
        ),
        (
            "a negative length",
            "Content-Length: -1".into(),
            body.into(),
        ),
        (
            "a length in hexadecimal",
            format!("Content-Length: 0x{length:x}"),
            body.into(),
        ),
        (
            "a length with blanks in it",
            "Content-Length: 3 2".into(),
            body.into(),
        ),
        (
            "a length beyond all numbers",
            "Content-Length: 99999999999999999999999".into(),
            body.into(),
        ),
        (
            "chunked, not last",
            "Transfer-Encoding: chunked, identity".into(),
            chunked.clone(),
        ),
        (
            "another coding",
            "Transfer-Encoding: xchunked".into(),
            chunked.clone(),
        ),
        (
            "gzip alone",
            "Transfer-Encoding: gzip".into(),
            chunked.clone(),
        ),
        (
            "a blank before the colon",
            "Transfer-Encoding : chunked".into(),
            chunked.clone(),
        ),
        (
            "a folded line",
            "Transfer-Encoding:\r\n chunked".into(),
            chunked.clone(),
        ),
        (
            "a line feed alone in a value",
            format!("X-A: b\nContent-Length: {length}\r\nX: \0"),
            body.into(),
        ),
    ];
    for (what, headers, body) in shapes {
        let answers = exchange(&stage, &headers, &body).await;
        let first = answers.first().map(|answer| answer.status);
        assert!(
            matches!(first, None | Some(400 | 408 | 411 | 413 | 415 | 501)),
            "{what}: {answers:?}"
        );
        assert!(
            answers.len() <= 1,
            "{what}: nothing behind it is answered: {answers:?}"
        );
        stage.nobody_noticed(what).await;
    }
}

/// RFC 9112, 6.3: with both, the length does not count, and the connection is closed after it, so that what a proxy took
/// for the beginning of the next request never is one.
#[tokio::test]
async fn with_both_lengths_the_connection_ends_with_the_answer() {
    let mut stage = Stage::new(&["--body-timeout", "500ms"]).await;
    let body = r#"{"room":"other","text":"both"}"#;
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for headers in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        let answers = exchange(&stage, headers, &chunked).await;
        assert!(answers.len() <= 1, "{headers:?}: {answers:?}");
        let first = answers.first().map(|answer| answer.status);
        assert!(
            matches!(first, None | Some(202 | 400)),
            "{headers:?}: {answers:?}"
        );
        stage.nobody_noticed(headers).await;
    }
}

#[tokio::test]
async fn a_chunk_that_is_none_is_refused_and_nothing_behind_it_is_answered() {
    let mut stage = Stage::new(&["--body-timeout", "500ms"]).await;
    let body = r#"{"room":"den","text":"smuggled"}"#;
    let length = body.len();
    for (what, body) in [
        (
            "a length that is none",
            format!("xyz\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "a negative length",
            format!("-{length:x}\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "a length with a prefix",
            format!("0x{length:x}\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "a length beyond all numbers",
            format!("fffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        ),
        ("no length at all", format!("\r\n{body}\r\n0\r\n\r\n")),
        (
            "a chunk that is longer than it says",
            format!("{:x}\r\n{body}\r\n0\r\n\r\n", length - 3),
        ),
        (
            "an endless extension",
            format!(
                "{length:x};{}\r\n{body}\r\n0\r\n\r\n",
                "x".repeat(64 * 1024)
            ),
        ),
        (
            "endless trailers",
            format!(
                "{length:x}\r\n{body}\r\n0\r\n{}\r\n",
                "X-A: b\r\n".repeat(20_000)
            ),
        ),
        (
            "a chunk that is shorter than it says",
            format!("{:x}\r\n{body}", length + 10),
        ),
    ] {
        let answers = exchange(&stage, "Transfer-Encoding: chunked", &body).await;
        let first = answers.first().map(|answer| answer.status);
        assert!(
            matches!(first, None | Some(400 | 408 | 413)),
            "{what}: {answers:?}"
        );
        assert!(
            answers.len() <= 1,
            "{what}: nothing behind it is answered: {answers:?}"
        );
        stage.nobody_noticed(what).await;
    }
}

/// Sends a POST and, behind it, a GET; all answers until the server ends the connection.
async fn exchange(stage: &Stage, headers: &str, body: &str) -> Vec<Response> {
    let mut raw = Raw::open(stage.server.address()).await;
    let request = format!(
        "POST /chat-messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{headers}\r\n\r\n{body}\
         GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    );
    raw.send(request.as_bytes()).await;
    raw.responses().await
}

#[tokio::test]
async fn a_path_leads_to_no_file_but_those_of_the_page() {
    let mut stage = Stage::new(&[]).await;
    for path in [
        "/../Cargo.toml",
        "/../../../../etc/passwd",
        "/js/../../src/main.rs",
        "/js/..%2f..%2fsrc/main.rs",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/js/%2e%2e/index.html",
        "/..%5c..%5cetc%5cpasswd",
        "/..\\..\\etc\\passwd",
        "//etc/passwd",
        "/./index.html",
        "/js/main.js/",
        "/js/main.js/../main.js",
        "/js/main.js%00.css",
        "/js//main.js",
        "/JS/main.js",
        "/js",
        "/js/",
        "/.git/config",
        "/index.html%20",
        "http://a/../Cargo.toml",
        "/%c0%ae%c0%ae/etc/passwd",
        "/\u{2025}/etc/passwd",
    ] {
        let mut raw = Raw::open(stage.server.address()).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
            .await;
        let answer = raw.response().await;
        let body = String::from_utf8_lossy(&answer.body);
        assert!([400, 404].contains(&answer.status), "{path:?}: {answer:?}");
        for secret in ["root:", "[package]", "<html", "import "] {
            assert!(!body.contains(secret), "{path:?}: {body}");
        }
    }
    stage.nobody_noticed("paths").await;
}

#[tokio::test]
async fn what_a_client_says_never_comes_back_in_a_header() {
    let mut stage = Stage::new(&["--allowed-origins", "https://event.example"]).await;
    let address = stage.server.address();
    let injected = "x%0d%0aSet-Cookie:%20a=b";
    let encoded = "x\r\nSet-Cookie: a=b";
    let post = |headers: &str, body: &str| {
        format!(
            "POST /chat-messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
            body.len()
        )
    };
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n")
    };
    let room = serde_json::json!({"text": "hello", "room": encoded}).to_string();
    let id = serde_json::json!({"text": "hello", "id": encoded}).to_string();
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for request in [
        get(&format!("/{injected}"), ""),
        get(&format!("/?room={injected}"), ""),
        get(
            &format!("/websockets/chat-messages?room={injected}"),
            upgrade,
        ),
        get(
            &format!("/websockets/chat-messages?after={injected}"),
            upgrade,
        ),
        get("/", "If-None-Match: \"x\rSet-Cookie: a=b\"\r\n"),
        get("/", "Accept-Encoding: gzip\rSet-Cookie: a=b\r\n"),
        get(
            "/websockets/chat-messages",
            &format!("{upgrade}Sec-WebSocket-Protocol: x\rSet-Cookie: a=b\r\n"),
        ),
        post("", &room),
        post("", &id),
        post(
            "Origin: https://event.example\rSet-Cookie: a=b\r\n",
            r#"{"text":"hello"}"#,
        ),
        post(
            "Origin: https://event.example%0d%0aSet-Cookie: a=b\r\n",
            r#"{"text":"hello"}"#,
        ),
    ] {
        let mut raw = Raw::open(address).await;
        raw.send(request.as_bytes()).await;
        raw.finish().await;
        for answer in raw.responses().await {
            assert_eq!(answer.header("Set-Cookie"), None, "{request:?}: {answer:?}");
        }
    }
    stage.nobody_noticed("header injection").await;
}

#[tokio::test]
async fn what_is_no_text_in_a_url_or_header_is_refused_or_passed_over() {
    let mut stage = Stage::new(&[]).await;
    for (request, expected) in [
        (
            &b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            &[400, 404][..],
        ),
        (b"GET /%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n", &[404]),
        (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: \x00\r\n\r\n", &[400]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\x7f: a\r\n\r\n", &[400]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: \xff\r\n\r\n", &[200]),
        (b"G\xcbT / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ] {
        let mut raw = Raw::open(stage.server.address()).await;
        raw.send(request).await;
        let status = raw.response().await.status;
        let request = String::from_utf8_lossy(request);
        assert!(expected.contains(&status), "{request:?}: {status}");
    }
    stage.nobody_noticed("what is no text").await;
}

#[tokio::test]
async fn i4_a_body_that_never_ends_is_cut_off_and_kept_nowhere() {
    let mut stage = Stage::new(&["--body-timeout", "1s"]).await;
    let before = stage.memory().await;
    let head = "POST /chat-messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    // As fast as it can, in chunks, with a length that is too long, and a byte at a time.
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let plain = "x".repeat(0x1_0000);
    for (headers, piece) in [
        ("Transfer-Encoding: chunked\r\n\r\n", chunk.as_str()),
        ("Content-Length: 1000000000000\r\n\r\n", plain.as_str()),
    ] {
        let mut raw = Raw::open(stage.server.address()).await;
        raw.send(format!("{head}{headers}").as_bytes()).await;
        let sent = raw.send_until_refused(piece.as_bytes(), 1 << 30).await;
        assert!(sent < 64 << 20, "{headers:?}: it took {sent} bytes");
        let status = raw.responses().await.first().map(|answer| answer.status);
        assert!(
            matches!(status, None | Some(413)),
            "{headers:?}: {status:?}"
        );
        stage.nobody_noticed(headers).await;
    }
    let mut raw = Raw::open(stage.server.address()).await;
    raw.send(format!("{head}Content-Length: 16000\r\n\r\n").as_bytes())
        .await;
    raw.send_slowly(b'x', 16_000).await;
    let status = raw.responses().await.first().map(|answer| answer.status);
    assert!(matches!(status, None | Some(408)), "{status:?}");
    stage.nobody_noticed("a byte at a time").await;
    let grown = stage.memory().await - before;
    assert!(grown < 32e6, "{grown} bytes more");
}
