//! HTTP/2 as the Java SDK and the KCL speak it: by prior knowledge on a plain port, over TLS with the preface and no ALPN,
//! with settings, pings, resets and a farewell of its own. What is said here is said frame by frame, by the `h2` crate or by hand.

use std::sync::Arc;
use std::time::Duration;

use ::h2::client::SendRequest;
use ::h2::{Ping, PingPong, RecvStream};
use bytes::Bytes;
use ciborium::Value;
use http::Request;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, rustls};

use super::ports::certificate;
use super::{Config, DEADLINE, Listener, SHARD, STREAM, Service, any_port};
use crate::embedded::{ListenerConfig, Tls};

const CBOR: &str = "application/x-amz-cbor-1.1";
const JSON: &str = "application/x-amz-json-1.1";

/// A connection with the settings of the Java SDK.
struct Sdk {
    calls: SendRequest<Bytes>,
    pings: PingPong,
    connection: JoinHandle<Result<(), ::h2::Error>>,
}

impl Sdk {
    async fn over<S>(io: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (calls, mut connection) = ::h2::client::Builder::new()
            .initial_window_size(524_288)
            .max_concurrent_streams(100)
            .handshake::<_, Bytes>(io)
            .await
            .unwrap();
        let pings = connection.ping_pong().unwrap();
        Self {
            calls,
            pings,
            connection: tokio::spawn(connection),
        }
    }

    /// The answer's content type and its body, of which nothing was read yet.
    async fn ask(
        &self,
        operation: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> (String, RecvStream) {
        let request = Request::post("http://localhost/")
            .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
            .header("content-type", content_type)
            .body(())
            .unwrap();
        let mut calls = self.calls.clone().ready().await.unwrap();
        let (answer, mut sends) = calls.send_request(request, false).unwrap();
        sends.send_data(body.into(), true).unwrap();
        let (parts, body) = timeout(DEADLINE, answer)
            .await
            .unwrap()
            .unwrap()
            .into_parts();
        assert_eq!(parts.status, 200, "{operation}");
        let content_type = parts.headers["content-type"].to_str().unwrap().to_owned();
        (content_type, body)
    }

    /// Calls an operation in CBOR.
    async fn call(&self, operation: &str, members: Vec<(&str, Value)>) -> Value {
        let members = members
            .into_iter()
            .map(|(name, value)| (name.into(), value));
        let mut body = Vec::new();
        ciborium::into_writer(&Value::Map(members.collect()), &mut body).unwrap();
        let (content_type, mut body) = self.ask(operation, CBOR, body).await;
        assert_eq!(content_type, CBOR);
        let mut whole = Vec::new();
        while let Some(bytes) = data(&mut body).await {
            whole.extend_from_slice(&bytes);
        }
        if whole.is_empty() {
            return Value::Null;
        }
        ciborium::from_reader(&whole[..]).unwrap()
    }

    /// Registers a consumer of the stream; its ARN.
    async fn register(&self, name: &str) -> String {
        let stream = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
        let members = vec![("StreamARN", stream.into()), ("ConsumerName", name.into())];
        let registered = self.call("RegisterStreamConsumer", members).await;
        let consumer = member(&registered, "Consumer");
        member(&consumer, "ConsumerARN").into_text().unwrap()
    }

    async fn put(&self, data: &[u8]) {
        let members = vec![
            ("StreamName", STREAM.into()),
            ("PartitionKey", "a".into()),
            ("Data", data.into()),
        ];
        self.call("PutRecord", members).await;
    }

    async fn subscribe(&self, consumer: &str) -> RecvStream {
        let (content_type, mut events) = self
            .ask("SubscribeToShard", JSON, subscription(consumer))
            .await;
        assert_eq!(content_type, "application/vnd.amazon.eventstream");
        assert!(contains(
            &data(&mut events).await.unwrap(),
            b"initial-response"
        ));
        events
    }

    async fn ping(&mut self) {
        let pong = self.pings.ping(Ping::opaque());
        timeout(DEADLINE, pong).await.unwrap().unwrap();
    }
}

fn member(of: &Value, name: &str) -> Value {
    let members = of.as_map().unwrap();
    let found = members.iter().find(|(key, _)| key.as_text() == Some(name));
    found.unwrap_or_else(|| panic!("no {name}")).1.clone()
}

/// The next of what a subscription brings that has these bytes in it.
async fn event_with(events: &mut RecvStream, wanted: &[u8]) {
    while !contains(&data(events).await.expect("an event"), wanted) {}
}

async fn data(body: &mut RecvStream) -> Option<Bytes> {
    let bytes = timeout(DEADLINE, body.data()).await.unwrap()?.unwrap();
    body.flow_control().release_capacity(bytes.len()).unwrap();
    Some(bytes)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn subscription(consumer: &str) -> Vec<u8> {
    let start = serde_json::json!({ "Type": "TRIM_HORIZON" });
    serde_json::json!({ "ConsumerARN": consumer, "ShardId": SHARD, "StartingPosition": start })
        .to_string()
        .into_bytes()
}

async fn subscriptions(service: &Service, wanted: usize) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while service.subscriptions() != wanted {
        assert!(
            std::time::Instant::now() < deadline,
            "not {wanted} subscriptions"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn service(tls: Option<Tls>) -> Service {
    let service = Service::new(Config {
        // So that one connection can subscribe again and again.
        takeover_after: Duration::ZERO,
        listener: ListenerConfig {
            tls,
            ..ListenerConfig::default()
        },
        ..Config::default()
    });
    service.create_stream_if_missing(STREAM, 1).unwrap();
    service
}

async fn plain(service: &Service) -> (Listener, TcpStream) {
    let listener = service.listen(any_port()).unwrap();
    let stream = TcpStream::connect(listener.local_addr()).await.unwrap();
    (listener, stream)
}

/// What the KCL does on a connection, from its first frame to its last.
async fn converse<S>(service: &Service, io: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut sdk = Sdk::over(io).await;
    sdk.ping().await;
    let consumer = sdk.register("reader").await;
    sdk.put(b"one").await;
    let mut events = sdk.subscribe(&consumer).await;
    event_with(&mut events, br#""Data":"b25l""#).await;
    // A ping is answered and other calls are, while the subscription is silent.
    sdk.ping().await;
    sdk.put(b"two").await;
    event_with(&mut events, br#""Data":"dHdv""#).await;
    assert_eq!(service.subscriptions(), 1);
    // Dropping what receives sends RST_STREAM with CANCEL: the subscription is over and the connection is not.
    drop(events);
    subscriptions(service, 0).await;
    let mut again = sdk.subscribe(&consumer).await;
    event_with(&mut again, br#""Data":"b25l""#).await;
    assert_eq!(service.subscriptions(), 1);
    // A hundred streams at once, as its settings say.
    let calls = (0..99).map(|_| sdk.call("ListStreams", vec![]));
    for listed in futures_util::future::join_all(calls).await {
        assert_eq!(
            member(&listed, "StreamNames"),
            Value::Array(vec![STREAM.into()])
        );
    }
    sdk.ping().await;
    // The last handle gone, it says GOAWAY and waits for the other side to be done.
    drop(again);
    drop(sdk.calls);
    timeout(DEADLINE, sdk.connection)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    subscriptions(service, 0).await;
}

#[tokio::test]
async fn the_kcl_is_served_on_a_plain_port() {
    let service = service(None);
    let (_listener, stream) = plain(&service).await;
    converse(&service, stream).await;
}

#[tokio::test]
async fn the_kcl_is_served_over_tls_though_it_offers_no_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, trusting) = certificate(folder.path());
    assert!(trusting.alpn_protocols.is_empty());
    let service = service(Some(tls));
    let (_listener, stream) = plain(&service).await;
    let localhost = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(trusting));
    let stream = connector.connect(localhost, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
    converse(&service, stream).await;
}

#[tokio::test]
async fn a_lost_connection_releases_its_subscriptions() {
    let service = service(None);
    for (name, linger) in [("by-fin", None), ("by-rst", Some(Duration::ZERO))] {
        let (_listener, stream) = plain(&service).await;
        socket2::SockRef::from(&stream).set_linger(linger).unwrap();
        let sdk = Sdk::over(stream).await;
        let consumer = sdk.register(name).await;
        let _events = sdk.subscribe(&consumer).await;
        assert_eq!(service.subscriptions(), 1, "{name}");
        // The task owns the socket.
        sdk.connection.abort();
        subscriptions(&service, 0).await;
    }
}

/// Frames by hand: the type, the flags, the stream and what is in it.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The next frame: its type, its flags, its stream and what is in it.
async fn next_frame(stream: &mut TcpStream) -> (u8, u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    timeout(DEADLINE, stream.read_exact(&mut head))
        .await
        .unwrap()
        .unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    timeout(DEADLINE, stream.read_exact(&mut payload))
        .await
        .unwrap()
        .unwrap();
    let on = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    (head[3], head[4], on, payload)
}

/// A header that is not in any table, as HPACK has it: literal, without indexing.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        // A length of seven bits, or of seven and another seven.
        match u8::try_from(text.len()).unwrap() {
            short @ ..127 => out.push(short),
            long => out.extend([127, long - 127]),
        }
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// GOAWAY in the middle of a subscription, as a consumer that ends sends it: what is under way goes on until the
/// connection is closed, and then it is released.
#[tokio::test]
async fn a_farewell_leaves_what_is_under_way_and_the_end_of_the_connection_does_not() {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    let service = service(None);
    let (_listener, mut stream) = plain(&service).await;
    let sdk = Sdk::over(
        TcpStream::connect(stream.peer_addr().unwrap())
            .await
            .unwrap(),
    )
    .await;
    let consumer = sdk.register("reader").await;
    // INITIAL_WINDOW_SIZE 524288, MAX_CONCURRENT_STREAMS 100.
    let settings = [
        &[0, 4][..],
        &524_288_u32.to_be_bytes(),
        &[0, 3],
        &100_u32.to_be_bytes(),
    ]
    .concat();
    let head = [
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":authority", "localhost"),
        header(":path", "/"),
        header("x-amz-target", "Kinesis_20131202.SubscribeToShard"),
        header("content-type", JSON),
    ]
    .concat();
    let opening = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &settings),
        frame(HEADERS, 4, 1, &head),
        frame(DATA, 1, 1, &subscription(&consumer)),
    ]
    .concat();
    stream.write_all(&opening).await.unwrap();
    while !matches!(next_frame(&mut stream).await, (DATA, _, 1, payload) if contains(&payload, b"initial-response"))
    {
    }
    let farewell = [
        frame(SETTINGS, 1, 0, &[]),
        frame(GOAWAY, 0, 0, &[0; 8]),
        frame(PING, 0, 0, b"are you?"),
    ]
    .concat();
    stream.write_all(&farewell).await.unwrap();
    while next_frame(&mut stream).await != (PING, 1, 0, b"are you?".to_vec()) {}
    sdk.put(b"one").await;
    while !matches!(next_frame(&mut stream).await, (DATA, _, 1, payload) if contains(&payload, br#""Data":"b25l""#))
    {
    }
    assert_eq!(service.subscriptions(), 1);
    drop(stream);
    subscriptions(&service, 0).await;
}
