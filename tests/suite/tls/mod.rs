//! The chat over TLS of its own.

mod wire;

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode, Version};
use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::faults::make_certificates_until;
use crate::harness::{Launch, PlainViewer, Raw, Server, Viewer, eventually, within};
use wire::Wire;

const HTTP_1: &[&str] = &["http/1.1"];
const BOTH: &[&str] = &["h2", "http/1.1"];

async fn server(args: &[&str]) -> Server {
    Launch::new().tls().args(args).start().await
}

#[tokio::test]
async fn all_is_served_over_tls_and_nothing_of_it_is_to_be_read_on_the_wire() {
    const SECRET: &str = "nobody else is to read this";
    let server = server(&[]).await;
    let wire = Wire::to(server.address()).await;
    let trust = server.trust();
    for (offered, version) in [
        (HTTP_1, Version::HTTP_11),
        (BOTH, Version::HTTP_2),
        (&[][..], Version::HTTP_11),
    ] {
        let page = trust
            .ask(wire.address(), offered, Method::GET, "/", None)
            .await;
        assert_eq!(
            (page.status(), page.version()),
            (StatusCode::OK, version),
            "{offered:?}"
        );
        let text = page.text().await.expect("the page");
        assert!(text.contains("<html"), "{text}");
        let body = json!({"room": "den", "text": SECRET});
        let answer = trust
            .ask(
                wire.address(),
                offered,
                Method::POST,
                "/chat-messages",
                Some(&body),
            )
            .await;
        assert_eq!(
            (answer.status(), answer.version()),
            (StatusCode::ACCEPTED, version)
        );
    }
    let mut viewer = Viewer::join_at(&server, wire.address(), "room=den").await;
    for shown in viewer.take(3).await {
        assert_eq!(shown.text, SECRET);
    }
    let seen = wire.seen();
    assert!(seen.len() > 10_000, "{} bytes were seen", seen.len());
    for plain in [
        SECRET,
        "HTTP/1.1",
        "chat-messages",
        "<html",
        "chat-room.v1",
        "joined",
    ] {
        let found = seen
            .windows(plain.len())
            .any(|bytes| bytes == plain.as_bytes());
        assert!(!found, "{plain:?} went over the wire as it is");
    }
    wire.assert_is_tls();
    let done = "chat_room_http_tls_handshakes_total{outcome=\"done\"}";
    assert!(server.metric(done).await > 6.5);
    // The other address stays without.
    assert!(server.metrics().await.contains("chat_room_build_info"));
}

#[tokio::test]
async fn i1_i2_a_viewer_over_tls_resumes_where_it_was() {
    let server = server(&[]).await;
    let mut viewer = Viewer::join(&server, "room=den").await;
    let texts: Vec<_> = (0..40).map(|number| format!("message {number}")).collect();
    server.say_all("den", &texts[..20]).await;
    let seen = viewer.take(20).await;
    drop(viewer);
    server.say_all("den", &texts[20..]).await;
    let after = &seen.last().expect("a message").position;
    let mut again = Viewer::join(&server, &format!("room=den&after={after}")).await;
    assert!(again.joined.recovered);
    let rest: Vec<_> = again
        .take(20)
        .await
        .into_iter()
        .map(|shown| shown.text)
        .collect();
    assert_eq!(rest, texts[20..]);
    // A long text takes more records than one, and comes whole.
    let long = "€".repeat(2_000);
    for _ in 0..30 {
        server.say("den", &long).await;
    }
    for shown in again.take(30).await {
        assert_eq!(shown.text, long);
    }
    let (code, ()) = tokio::join!(again.close_code(), server.stop());
    assert_eq!(code, Some(1001));
}

#[tokio::test]
async fn i6_a_handshake_that_does_not_end_is_left_and_plain_http_is_told() {
    let server = server(&["--header-timeout", "500ms"]).await;
    let mut viewer = PlainViewer::join(&server, "room=den").await;
    let mut slow = Vec::new();
    for beginning in [&b""[..], &[22], &[22, 3, 1, 2, 0, 1, 0, 1, 252]] {
        let mut raw = Raw::open(server.address()).await;
        raw.send(beginning).await;
        slow.push(raw);
    }
    server.say("den", "meanwhile").await;
    assert_eq!(viewer.next().await, "meanwhile");
    for raw in &mut slow {
        raw.ended().await;
    }
    let late = "chat_room_http_tls_handshakes_total{outcome=\"late\"}";
    assert!(server.metric(late).await > 2.5);
    let mut noise = Raw::open(server.address()).await;
    noise.send(&[22, 3, 1, 0, 5, 9, 9, 9, 9, 9]).await;
    noise.ended().await;
    let failed = "chat_room_http_tls_handshakes_total{outcome=\"failed\"}";
    eventually("it has failed", || async {
        server.metric(failed).await > 0.5
    })
    .await;
    let mut plain = Raw::open(server.address()).await;
    plain.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = plain.response().await;
    assert_eq!(answer.status, 400);
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(said.contains("https://"), "{said}");
}

#[tokio::test]
async fn a_certificate_is_renewed_on_sighup_and_viewers_stay() {
    let server = server(&[]).await;
    let mut viewer = PlainViewer::join(&server, "room=den").await;
    let old = server.trust();
    let page = async |trust: &crate::harness::Trust| {
        let tcp = tokio::net::TcpStream::connect(server.address())
            .await
            .expect("a connection");
        trust.secure(tcp, HTTP_1).await.map(drop)
    };
    assert!(page(&old).await.is_ok());
    let runs_out = "chat_room_http_certificate_expiry_timestamp_seconds{setting=\"tls-cert\"}";
    let the_year_4096 = server.metric(runs_out).await;
    assert!(
        (the_year_4096 - 67_090_118_400.0).abs() < 1.0,
        "{the_year_4096}"
    );

    // What cannot be used changes nothing and is said.
    let file = |name: &str| server.folder().join(name);
    let key = std::fs::read(file("localhost.key")).expect("the key");
    std::fs::write(file("localhost.key"), "none").expect("a bad key");
    server.signal(Signal::HUP);
    eventually("the bad key is noted", || async {
        server.said().contains("localhost.key")
    })
    .await;
    assert!(page(&old).await.is_ok(), "the old one stays");
    std::fs::write(file("localhost.key"), key).expect("the key");

    make_certificates_until(server.folder(), 2040);
    let new = server.trust();
    server.signal(Signal::HUP);
    eventually("the new certificate is shown", || async {
        page(&new).await.is_ok()
    })
    .await;
    assert!(page(&old).await.is_err(), "and no longer the old one");
    eventually("its end is told", || async {
        (server.metric(runs_out).await - 2_208_988_800.0).abs() < 1.0
    })
    .await;
    server.say("den", "still here").await;
    assert_eq!(viewer.next().await, "still here", "who was in stays in");
}

#[tokio::test]
async fn a_certificate_that_has_run_out_is_served_and_warned_of() {
    for (year, is_warned_of) in [(2001, true), (2101, false)] {
        let launch = Launch::new().tls();
        make_certificates_until(launch.folder(), year);
        let server = launch.start().await;
        // The warning comes before the line with the end.
        let end = format!("{year}-01-01T00:00:00Z");
        eventually("the log says the end", || async {
            server.said().contains(&end)
        })
        .await;
        let said = server.said();
        assert_eq!(said.contains("has run out"), is_warned_of, "{said}");
    }
}

/// The same certificate with an end that is no time.
fn spoil_the_end(file: &Path, end: &[u8]) {
    let text = std::fs::read_to_string(file).expect("the certificate");
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let mut der = STANDARD.decode(lines.collect::<String>()).expect("base64");
    let place = der.windows(end.len()).position(|window| window == end);
    der[place.expect("the end")] = b'?';
    let lines = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(der)
    );
    std::fs::write(file, lines).expect("a certificate");
}

#[tokio::test]
async fn of_a_renewed_certificate_whose_end_is_not_to_be_read_no_end_is_told() {
    let server = server(&[]).await;
    let runs_out = "chat_room_http_certificate_expiry_timestamp_seconds{setting=\"tls-cert\"}";
    assert!(server.metric(runs_out).await > 0.0);
    make_certificates_until(server.folder(), 2101);
    spoil_the_end(&server.folder().join("localhost.pem"), b"21010101000000Z");
    server.signal(Signal::HUP);
    eventually("the log says that it is served", || async {
        server.said().contains("reloaded the certificate")
    })
    .await;
    let said = server.said();
    assert!(said.contains("cannot read when"), "{said}");
    assert!(server.metric(runs_out).await.is_nan());
}

#[tokio::test]
async fn i4_a_viewer_over_tls_that_stalls_is_closed_with_4000_and_delays_nobody() {
    // What is published goes in by another instance, whose connections need no handshakes.
    let other = Server::start_sharing(&[]).await;
    let launch = Launch::on_kinesis_at(other.kinesis()).tls();
    let server = launch
        .args(&["--lag-limit", "64KiB", "--lag-time", "1s"])
        .start()
        .await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2048).expect("SO_RCVBUF");
    let tcp = within("a connection", socket.connect(server.address())).await;
    let tls = server
        .trust()
        .secure(tcp.expect("a connection"), HTTP_1)
        .await;
    let url = format!(
        "ws://{}/websockets/chat-messages?room=den&history=0",
        server.address()
    );
    let request = url.into_client_request().expect("a request");
    let upgrade = Box::pin(client_async(request, tls.expect("TLS")));
    let upgraded = within("an upgrade", upgrade).await;
    let (mut stalled, _) = upgraded.expect("an upgrade");
    let mut healthy = PlainViewer::join(&server, "room=den&history=0").await;
    let filler = "€".repeat(1990);
    let gone = async || {
        let text = server.metrics().await;
        text.lines()
            .any(|line| line.starts_with("chat_room_fanout_lag_disconnects_total"))
    };
    let mut round = 0;
    while !gone().await {
        assert!(round < 1_000, "it does not stall");
        let texts: Vec<_> = (0..20)
            .map(|number| format!("{round} {number} {filler}"))
            .collect();
        futures_util::future::join_all(texts.iter().map(|text| other.say("den", text))).await;
        let mut shown = healthy.take(20).await;
        shown.sort();
        let mut wanted = texts;
        wanted.sort();
        assert_eq!(shown, wanted, "others get everything at once");
        round += 1;
    }
    // It wakes up, and finds what was on the way to it, and why that is not all.
    let code = within("the end of the stalled viewer", async {
        use futures_util::StreamExt;
        loop {
            match stalled.next().await {
                Some(Ok(Message::Close(close))) => break close.map(|close| u16::from(close.code)),
                Some(Ok(_)) => {}
                other => panic!("no close frame, but {other:?}"),
            }
        }
    })
    .await;
    assert_eq!(code, Some(4000));
    let _ = stalled.close(None).await;
    server.say("den", "still here").await;
    assert_eq!(healthy.next().await, "still here");
}

/// What the README says of the memory of a viewer over TLS, with what one without takes.
const STATED: f64 = 12e3;

#[tokio::test]
async fn i4_a_viewer_over_tls_takes_as_much_memory_as_is_stated() {
    const VIEWERS: u32 = 200;
    let server = server(&[]).await;
    let memory = async || server.metric("process_resident_memory_bytes").await;
    let mut viewers = Vec::new();
    // What is needed once is there after the first.
    for _ in 0..50 {
        viewers.push(PlainViewer::join(&server, "room=den").await);
    }
    let before = memory().await;
    for _ in 0..VIEWERS {
        viewers.push(PlainViewer::join(&server, "room=den").await);
    }
    server.say("den", "hello").await;
    for viewer in &mut viewers {
        assert_eq!(viewer.next().await, "hello");
    }
    let each = (memory().await - before) / f64::from(VIEWERS);
    println!("{each:.0} bytes for each viewer over TLS");
    assert!(each < STATED, "{each} bytes for each viewer over TLS");
    tokio::time::timeout(Duration::from_secs(10), async { drop(viewers) })
        .await
        .expect("an end");
}
