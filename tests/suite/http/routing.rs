//! Which methods and paths there are.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{header, lists, problem};
use crate::harness::{Raw, Server, Viewer};

#[tokio::test]
async fn a_path_that_is_none_is_a_404_for_every_method() {
    let server = Server::start(&[]).await;
    for path in [
        "/nothing",
        "/chat-messages/",
        "/chat-messages/7",
        "/websockets",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let request = server.client().request(method.clone(), server.url(path));
            let answer = request.send().await.expect("an answer");
            problem(answer, StatusCode::NOT_FOUND, &format!("{method} {path}")).await;
        }
    }
}

#[tokio::test]
async fn another_method_is_a_405_that_says_which_are_allowed() {
    let server = Server::start(&[]).await;
    let cases = [
        (
            "/chat-messages",
            "POST",
            vec![Method::GET, Method::PUT, Method::DELETE, Method::PATCH],
        ),
        (
            "/websockets/chat-messages",
            "GET",
            vec![Method::POST, Method::PUT],
        ),
        ("/", "GET", vec![Method::POST, Method::PUT, Method::DELETE]),
        ("/metrics", "GET", vec![Method::POST]),
        ("/livez", "GET", vec![Method::POST]),
        ("/readyz", "GET", vec![Method::DELETE]),
    ];
    for (path, allowed, methods) in cases {
        for method in methods {
            let request = server.client().request(method.clone(), server.url(path));
            let answer = request.send().await.expect("an answer");
            let allow = header(&answer, "Allow").to_owned();
            problem(
                answer,
                StatusCode::METHOD_NOT_ALLOWED,
                &format!("{method} {path}"),
            )
            .await;
            assert!(lists(&allow, allowed), "{method} {path}: Allow: {allow}");
            assert!(
                !lists(&allow, method.as_str()),
                "{method} {path}: Allow: {allow}"
            );
            let with_head = allowed == "GET" && path != "/websockets/chat-messages";
            assert!(
                !with_head || lists(&allow, "HEAD"),
                "{method} {path}: Allow: {allow}"
            );
        }
    }
}

#[tokio::test]
async fn head_answers_as_get_does_without_a_body() {
    let server = Server::start(&[]).await;
    for path in ["/", "/livez", "/readyz", "/nothing"] {
        let get = server.get(path).await;
        let mut raw = Raw::open(server.address()).await;
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
        raw.send(request.as_bytes()).await;
        let head = raw.response_to("HEAD").await;
        assert_eq!(head.status, get.status().as_u16(), "{path}");
        for name in ["Content-Type", "Content-Length", "ETag", "Cache-Control"] {
            let wanted = get.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(head.header(name), wanted, "HEAD {path}: {name}");
        }
        // The connection goes on with the next answer: nothing of a body came between.
        raw.send(format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()).as_bytes())
            .await;
        assert_eq!(
            raw.response().await.status,
            200,
            "the answer after HEAD {path}"
        );
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests_also_pipelined() {
    let server = Server::start(&[]).await;
    let mut raw = Raw::open(server.address()).await;
    let body = r#"{"text":"hello"}"#;
    let post = format!(
        "POST /chat-messages HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        server.address(),
        body.len()
    );
    let get = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
    raw.send(
        [post.as_str(), get.as_str(), post.as_str(), get.as_str()]
            .concat()
            .as_bytes(),
    )
    .await;
    for status in [202, 200, 202, 200] {
        assert_eq!(raw.response().await.status, status);
    }
}

#[tokio::test]
async fn what_is_no_http_is_answered_with_400_or_closed() {
    let server = Server::start(&[]).await;
    let noise: [&[u8]; 5] = [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for bytes in noise {
        let mut raw = Raw::open(server.address()).await;
        raw.send(bytes).await;
        raw.finish().await;
        raw.ended().await;
    }
    server.say("lobby", "still here").await;
}

#[tokio::test]
async fn a_websocket_path_without_an_upgrade_is_refused() {
    let server = Server::start(&[]).await;
    let answer = server.get("/websockets/chat-messages").await;
    let status = answer.status();
    assert!(
        status == StatusCode::UPGRADE_REQUIRED || status == StatusCode::BAD_REQUEST,
        "a plain GET of the WebSocket's path: {status}"
    );
    if status == StatusCode::UPGRADE_REQUIRED {
        assert!(
            lists(header(&answer, "Upgrade"), "websocket"),
            "RFC 9110 section 15.5.22 asks for Upgrade"
        );
    }
    problem(answer, status, "a GET without an upgrade").await;
}

#[tokio::test]
async fn a_bad_handshake_is_refused() {
    let server = Server::start(&[]).await;
    let mut raw = Raw::open(server.address()).await;
    let answer = raw.handshake("", &[("Sec-WebSocket-Version", "8")]).await;
    assert!(
        answer.status == 426 || answer.status == 400,
        "an old version: {answer:?}"
    );
    if answer.status == 426 {
        assert_eq!(
            answer.header("Sec-WebSocket-Version"),
            Some("13"),
            "RFC 6455 section 4.2.2"
        );
    }
    let mut raw = Raw::open(server.address()).await;
    let answer = raw.handshake("", &[]).await;
    assert!(
        answer.status == 426 || answer.status == 400,
        "no version: {answer:?}"
    );
    let mut raw = Raw::open(server.address()).await;
    let request = format!(
        "GET /websockets/chat-messages HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        server.address()
    );
    raw.send(request.as_bytes()).await;
    let answer = raw.response().await;
    assert_eq!(answer.status, 400, "no key: {answer:?}");
}

#[tokio::test]
async fn bad_questions_to_the_websocket_are_a_400() {
    let server = Server::start(&[]).await;
    let longest = format!("room={}", "r".repeat(65));
    for query in [
        "room=two%20words",
        "room=",
        "room=a%2Fb",
        longest.as_str(),
        "history=many",
        "history=-1",
    ] {
        let mut raw = Raw::open(server.address()).await;
        let answer = raw
            .handshake(query, &[("Sec-WebSocket-Version", "13")])
            .await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert_eq!(
            answer.header("Content-Type"),
            Some("application/problem+json"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_subprotocol_nobody_knows_is_not_chosen() {
    let server = Server::start(&[]).await;
    let mut raw = Raw::open(server.address()).await;
    let headers = [
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "chat-room.v9, soap"),
    ];
    let answer = raw.handshake("", &headers).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), None);
    let mut raw = Raw::open(server.address()).await;
    let headers = [
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "chat-room.v9, chat-room.v1"),
    ];
    let answer = raw.handshake("", &headers).await;
    assert_eq!(
        answer.header("Sec-WebSocket-Protocol"),
        Some("chat-room.v1"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_extension_is_not_agreed_to() {
    let server = Server::start(&[]).await;
    let mut raw = Raw::open(server.address()).await;
    let headers = [
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ];
    let answer = raw.handshake("", &headers).await;
    assert_eq!(
        (answer.status, answer.header("Sec-WebSocket-Extensions")),
        (101, None),
        "{answer:?}"
    );
}

#[tokio::test]
async fn http_2_by_prior_knowledge_serves_the_page_and_takes_posts() {
    let server = Server::start(&[]).await;
    let mut viewer = Viewer::join(&server, "").await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("an HTTP/2 client");
    let page = client
        .get(server.url("/"))
        .send()
        .await
        .expect("the page over HTTP/2");
    assert_eq!(
        (page.version(), page.status()),
        (reqwest::Version::HTTP_2, StatusCode::OK)
    );
    let answers = futures_util::future::join_all((0..20).map(|number| {
        let body = json!({"text": format!("over HTTP/2: {number}")});
        client.post(server.url("/chat-messages")).json(&body).send()
    }));
    for answer in answers.await {
        let answer = answer.expect("an answer over HTTP/2");
        assert_eq!(
            (answer.version(), answer.status()),
            (reqwest::Version::HTTP_2, StatusCode::ACCEPTED)
        );
    }
    let mut shown: Vec<_> = viewer
        .take(20)
        .await
        .into_iter()
        .map(|message| message.text)
        .collect();
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), 20);
    let answer = client
        .get(server.url("/nothing"))
        .send()
        .await
        .expect("an answer");
    problem(answer, StatusCode::NOT_FOUND, "a 404 over HTTP/2").await;
}
