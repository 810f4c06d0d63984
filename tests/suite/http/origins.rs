//! Who may post and watch from which page.

use reqwest::{Method, Response, StatusCode};

use super::{header, lists, problem};
use crate::harness::{Raw, Server};

const EVENT: &str = "https://event.example";

async fn post_from(server: &Server, origin: &str, body: &'static str) -> Response {
    let request = server
        .client()
        .post(server.url("/chat-messages"))
        .header("Origin", origin);
    request
        .header("Content-Type", "application/json")
        .body(body)
        .send()
        .await
        .expect("an answer")
}

async fn upgrade_from(server: &Server, origin: &str) -> u16 {
    let mut raw = Raw::open(server.address()).await;
    let answer = raw
        .handshake("", &[("Sec-WebSocket-Version", "13"), ("Origin", origin)])
        .await;
    if answer.status != 101 {
        assert_eq!(
            answer.header("Content-Type"),
            Some("application/problem+json"),
            "{answer:?}"
        );
    }
    answer.status
}

#[tokio::test]
async fn a_foreign_origin_neither_posts_nor_watches() {
    let server = Server::start(&[]).await;
    let port = server.address().port();
    let foreign = [
        EVENT.to_owned(),
        "null".to_owned(),
        "http://127.0.0.1".to_owned(),
        format!("http://127.0.0.1:{}", port ^ 1),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{port}.evil.example"),
        format!("http://evil.example/127.0.0.1:{port}"),
        "nonsense".to_owned(),
    ];
    for origin in foreign {
        let answer = post_from(&server, &origin, r#"{"text":"hello"}"#).await;
        assert_eq!(
            header(&answer, "Access-Control-Allow-Origin"),
            "",
            "{origin}"
        );
        problem(answer, StatusCode::FORBIDDEN, &origin).await;
        assert_eq!(upgrade_from(&server, &origin).await, 403, "{origin}");
    }
}

#[tokio::test]
async fn the_same_origin_is_welcome_whatever_the_scheme() {
    let server = Server::start(&[]).await;
    for scheme in ["http", "https"] {
        let origin = format!("{scheme}://{}", server.address());
        let answer = post_from(&server, &origin, r#"{"text":"hello"}"#).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{origin}");
        assert_eq!(upgrade_from(&server, &origin).await, 101, "{origin}");
    }
    // Behind a proxy that ends TLS, Host is the public name without a port.
    let mut raw = Raw::open(server.address()).await;
    let body = r#"{"text":"hello"}"#;
    let request = format!(
        "POST /chat-messages HTTP/1.1\r\nHost: chat.example\r\nOrigin: https://chat.example\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    raw.send(request.as_bytes()).await;
    assert_eq!(raw.response().await.status, 202);
}

#[tokio::test]
async fn a_listed_origin_gets_a_true_cors_answer() {
    let server = Server::start(&["--allowed-origins", EVENT]).await;
    let accepted = post_from(&server, EVENT, r#"{"text":"hello"}"#).await;
    let refused = post_from(&server, EVENT, r#"{"text":""}"#).await;
    for (answer, status) in [
        (accepted, StatusCode::ACCEPTED),
        (refused, StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(answer.status(), status);
        assert_eq!(
            header(&answer, "Access-Control-Allow-Origin"),
            EVENT,
            "{status}"
        );
        assert!(
            lists(header(&answer, "Vary"), "Origin"),
            "{status}: Vary: {}",
            header(&answer, "Vary")
        );
        assert!(
            lists(
                header(&answer, "Access-Control-Expose-Headers"),
                "Retry-After"
            ),
            "{status}"
        );
    }
    assert_eq!(upgrade_from(&server, EVENT).await, 101);
    let own = format!("http://{}", server.address());
    assert_eq!(
        post_from(&server, &own, r#"{"text":"hello"}"#)
            .await
            .status(),
        StatusCode::ACCEPTED,
        "our own page still"
    );
    let other = "https://other.example";
    assert_eq!(
        post_from(&server, other, r#"{"text":"hello"}"#)
            .await
            .status(),
        StatusCode::FORBIDDEN,
        "no other"
    );
    assert_eq!(upgrade_from(&server, other).await, 403);
}

async fn preflight(server: &Server, origin: &str) -> Response {
    let request = server
        .client()
        .request(Method::OPTIONS, server.url("/chat-messages"));
    request
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type")
        .send()
        .await
        .expect("an answer to the preflight")
}

#[tokio::test]
async fn a_preflight_allows_a_listed_origin_to_post_json() {
    let server = Server::start(&["--allowed-origins", EVENT]).await;
    let answer = preflight(&server, EVENT).await;
    assert!(answer.status().is_success(), "{}", answer.status());
    assert_eq!(header(&answer, "Access-Control-Allow-Origin"), EVENT);
    assert!(
        lists(header(&answer, "Access-Control-Allow-Methods"), "POST"),
        "{:?}",
        answer.headers()
    );
    assert!(
        lists(
            header(&answer, "Access-Control-Allow-Headers"),
            "content-type"
        ),
        "{:?}",
        answer.headers()
    );
    assert!(
        lists(header(&answer, "Vary"), "Origin"),
        "{:?}",
        answer.headers()
    );
    let answer = preflight(&server, "https://other.example").await;
    assert_eq!(
        header(&answer, "Access-Control-Allow-Origin"),
        "",
        "a foreign origin's preflight"
    );
}

#[tokio::test]
async fn a_listed_origin_may_embed_the_page() {
    let server = Server::start(&[]).await;
    let policy = header(&server.get("/").await, "Content-Security-Policy").to_owned();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    let server = Server::start(&["--allowed-origins", EVENT]).await;
    let policy = header(&server.get("/").await, "Content-Security-Policy").to_owned();
    assert!(
        policy.contains("frame-ancestors") && policy.contains(EVENT),
        "{policy}"
    );
    assert!(!policy.contains("frame-ancestors 'none'"), "{policy}");
}
