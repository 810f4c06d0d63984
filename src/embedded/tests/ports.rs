//! The TCP side: protocols, limits, the end.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls;

use super::*;
use crate::embedded::{ListenerConfig, Tls};

/// Sends bytes and reads what comes until the other side closes or a whole small answer has come.
async fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn http_2_by_prior_knowledge_is_served_on_the_same_port() {
    let service = Service::new(Config::default());
    let listener = service.listen(any_port()).unwrap();
    let stream = TcpStream::connect(listener.local_addr()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{}/", listener.local_addr()))
        .header("x-amz-target", "Kinesis_20131202.ListStreams")
        .header("content-type", "application/x-amz-json-1.1")
        .body(Full::new(Bytes::from_static(b"{}")))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        body,
        r#"{"StreamNames":[],"StreamSummaries":[],"HasMoreStreams":false}"#
    );
    drop(sender);
    let _ = connection.await;
}

#[tokio::test]
async fn an_error_is_a_400_with_its_type_and_message() {
    let service = Service::new(Config::default());
    let listener = service.listen(any_port()).unwrap();
    let request = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Amz-Target: Kinesis_20131202.DescribeStream\r\n\
                   Content-Type: application/x-amz-json-1.1\r\nContent-Length: 18\r\n\r\n{\"StreamName\":\"a\"}";
    let answer = raw(listener.local_addr(), request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["__type"], "ResourceNotFoundException");
    assert_eq!(
        body["message"],
        "Stream a under account 000000000000 not found."
    );
}

#[tokio::test]
async fn bodies_and_heads_are_bounded_in_size_and_time() {
    let limits = ListenerConfig {
        body_bytes: 1000,
        body_read_timeout: Duration::from_millis(100),
        header_read_timeout: Duration::from_millis(100),
        ..ListenerConfig::default()
    };
    let service = Service::new(Config {
        listener: limits,
        ..Config::default()
    });
    let listener = service.listen(any_port()).unwrap();
    let addr = listener.local_addr();
    let large = raw(
        addr,
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1001\r\n\r\n",
    )
    .await;
    assert!(large.contains("SerializationException"), "{large}");
    let mut chunked = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n".to_vec();
    chunked.resize(chunked.len() + 2000, b'x');
    let chunked = raw(addr, &chunked).await;
    assert!(chunked.contains("larger than 1000 bytes"), "{chunked}");
    let slow_body = raw(
        addr,
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\nslow",
    )
    .await;
    assert!(slow_body.contains("in time"), "{slow_body}");
    // A head that does not come is cut off.
    raw(addr, b"POST / HTTP/1.1\r\nHost").await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_costs_one_event_and_is_cut_off() {
    let limits = ListenerConfig {
        write_stall_timeout: Duration::from_millis(300),
        ..ListenerConfig::default()
    };
    let service = Service::new(Config {
        listener: limits,
        ..Config::default()
    });
    let listener = service.listen(any_port()).unwrap();
    let kinesis = Kinesis {
        client: client(service.http_client(), "http://kinesis.invalid"),
        service: service.clone(),
        _listener: None,
    };
    let arn = kinesis.stream(1).await;
    let consumer = kinesis.register(&arn, "reader").await;
    for _ in 0..16 {
        kinesis.put("a", &vec![0; 1024 * 1024 - 1]).await;
    }
    let body = serde_json::json!({
        "ConsumerARN": consumer, "ShardId": SHARD, "StartingPosition": { "Type": "TRIM_HORIZON" },
    })
    .to_string();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.SubscribeToShard\r\n";
    let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
    stream
        .write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
        .await
        .unwrap();
    let deadline = std::time::Instant::now() + DEADLINE;
    for wanted in [1, 0] {
        while service.subscriptions() != wanted {
            assert!(std::time::Instant::now() < deadline, "{wanted}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // Much less than all of it was ever made.
    let mut got = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut got))
        .await
        .unwrap();
    assert!(got.len() < 12 * 1024 * 1024, "{}", got.len());
}

#[tokio::test]
async fn a_connection_over_the_bound_waits_for_a_place() {
    let limits = ListenerConfig {
        connections: 1,
        header_read_timeout: Duration::from_mins(1),
        ..ListenerConfig::default()
    };
    let service = Service::new(Config {
        listener: limits,
        ..Config::default()
    });
    let listener = service.listen(any_port()).unwrap();
    let first = TcpStream::connect(listener.local_addr()).await.unwrap();
    let second = raw(
        listener.local_addr(),
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    tokio::pin!(second);
    assert!(
        timeout(Duration::from_millis(100), second.as_mut())
            .await
            .is_err()
    );
    drop(first);
    assert!(second.await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_stop_ends_subscriptions_and_frees_the_port() {
    let service = Service::new(Config::default());
    service.create_stream_if_missing(STREAM, 1).unwrap();
    let listener = service.listen(any_port()).unwrap();
    let addr = listener.local_addr();
    let http = aws_smithy_http_client::Builder::new().build_http();
    let kinesis = Kinesis {
        client: client(http, &format!("http://{addr}")),
        service: service.clone(),
        _listener: None,
    };
    let arn = kinesis.stream(1).await;
    let consumer = kinesis.register(&arn, "reader").await;
    let latest = aws_sdk_kinesis::types::ShardIteratorType::Latest;
    let start = StartingPosition::builder().r#type(latest).build().unwrap();
    let mut events = kinesis.subscribe(&consumer, SHARD, start).await.unwrap();
    event(&mut events).await;
    let begin = std::time::Instant::now();
    listener.stop().await;
    assert!(begin.elapsed() < Duration::from_millis(1_500));
    assert!(matches!(next(&mut events).await, Came::End));
    assert_eq!(service.subscriptions(), 0);
    assert!(TcpStream::connect(addr).await.is_err());
    // And again, on the same address.
    service.listen(addr).unwrap().stop().await;
}

#[tokio::test]
async fn a_dropped_listener_ends_its_port() {
    let service = Service::new(Config::default());
    let listener = service.listen(any_port()).unwrap();
    let addr = listener.local_addr();
    drop(listener);
    let deadline = std::time::Instant::now() + DEADLINE;
    while TcpStream::connect(addr).await.is_ok() {
        assert!(std::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

/// A certificate for `localhost` in files, and a client's configuration that trusts it.
pub(super) fn certificate(folder: &std::path::Path) -> (Tls, rustls::ClientConfig) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = Tls {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (tls, client)
}

fn with_tls(tls: Tls) -> Service {
    Service::new(Config {
        listener: ListenerConfig {
            tls: Some(tls),
            ..ListenerConfig::default()
        },
        ..Config::default()
    })
}

#[tokio::test]
async fn over_tls_a_client_gets_the_protocol_it_asks_for_and_http_2_without_asking() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, client) = certificate(folder.path());
    let listener = with_tls(tls).listen(any_port()).unwrap();
    for (offered, is_h2) in [
        (&["h2", "http/1.1"][..], true),
        (&["http/1.1"], false),
        // What the Java SDK does: it just begins.
        (&[], true),
    ] {
        let mut client = client.clone();
        client.alpn_protocols = offered
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let stream = TcpStream::connect(listener.local_addr()).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let expected = offered.first().map(|name| name.as_bytes().to_vec());
        assert_eq!(agreed, expected, "{offered:?}");
        if is_h2 {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            let connection = tokio::spawn(connection);
            let request = Request::post("https://localhost/")
                .header("x-amz-target", "Kinesis_20131202.ListStreams")
                .body(Full::new(Bytes::from_static(b"{}")))
                .unwrap();
            assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
            drop(sender);
            let _ = connection.await;
        } else {
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut answer = Vec::new();
            let _ = timeout(DEADLINE, stream.read_to_end(&mut answer))
                .await
                .unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 400 "));
        }
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, _) = certificate(folder.path());
    let refused = |tls: Tls| with_tls(tls).listen(any_port()).unwrap_err().to_string();
    let missing = Tls {
        certificate: folder.path().join("none.pem"),
        ..tls.clone()
    };
    assert!(refused(missing).contains("none.pem"));
    let no_key = Tls {
        key: tls.certificate.clone(),
        ..tls.clone()
    };
    assert!(refused(no_key).contains("cert.pem"));
    let (other, _) = certificate(&{
        let path = folder.path().join("other");
        std::fs::create_dir(&path).unwrap();
        path
    });
    let mixed = Tls {
        key: other.key,
        ..tls
    };
    assert!(refused(mixed).contains("cert.pem"));
}
