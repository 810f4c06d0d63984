//! The edge over the wire: sockets on port 0, requests as bytes, replies as a client sees them.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, timeout};

use super::*;
use crate::log::Encoding;
use crate::{kinesis, producer};

const LIMIT: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    phase: watch::Sender<Phase>,
    viewers: Rc<RefCell<Vec<Viewer>>>,
    places: Places,
    task: JoinHandle<std::io::Result<()>>,
    _producer: producer::ProducerTask,
}

/// A publisher whose stream does not answer, so that every valid message times out.
async fn publisher() -> (producer::Publisher, producer::ProducerTask) {
    let endpoint = kinesis::Endpoint::Aws {
        region: Some("us-east-1".into()),
        endpoint_url: Some("http://127.0.0.1:1".into()),
    };
    let config = kinesis::Config::new("messages", endpoint);
    let kinesis = Box::pin(kinesis::connect(&config)).await;
    let config = producer::Config {
        publish_timeout: Duration::from_millis(300),
        ..producer::Config::default()
    };
    producer::start(kinesis.unwrap(), config)
}

async fn server(role: Role, places: usize, header_timeout: Duration) -> Server {
    let (publisher, producer) = publisher().await;
    let viewers = Rc::new(RefCell::new(Vec::new()));
    let joined = viewers.clone();
    let ports = Ports {
        publisher,
        ready: Arc::new(|| ReadyState {
            status: Readiness::Ready,
            behind: Vec::new(),
            problems: Vec::new(),
        }),
        metrics: Arc::new(|| "figures\n".into()),
        admit: Rc::new(|room| room.as_str() != "full"),
        join: Rc::new(move |viewer| {
            joined.borrow_mut().push(viewer);
            Box::pin(async {})
        }),
    };
    let config = Config {
        max_body: 1_024,
        header_timeout,
        body_timeout: Duration::from_millis(300),
        first_request_timeout: header_timeout,
        allowed_origins: vec!["https://event.example".parse().unwrap()],
        compression: true,
        ..Config::default()
    };
    let limits = Arc::new(Limits::new(&config));
    let listener = bind("127.0.0.1:0".parse().unwrap(), 1, Duration::from_secs(30))
        .unwrap()
        .remove(0);
    let address = listener.address();
    let (phase, watching) = watch::channel(Phase::Serving);
    let service = Service::new(Arc::new(config), limits, role, ports);
    let places = Places::new(places);
    let task = spawn_local(serve(listener, service, places.clone(), None, watching));
    Server {
        address,
        phase,
        viewers,
        places,
        task,
        _producer: producer,
    }
}

impl Server {
    async fn all() -> Self {
        server(Role::All, 64, Duration::from_secs(10)).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends one request on a connection of its own and returns all that comes back.
    async fn ask(&self, request: &str) -> String {
        let mut tcp = self.connect().await;
        let request = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        rest(&mut tcp).await
    }

    async fn post(&self, headers: &str, body: &str) -> String {
        let length = body.len();
        self.ask(
            &format!(
                "POST /chat-messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{headers}\r\n\r\n{body}"
            )
            .replace("\r\n\r\n\r\n", "\r\n\r\n"),
        )
        .await
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < LIMIT, "never: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn rest(tcp: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    let end = timeout(LIMIT, tcp.read_to_end(&mut reply)).await;
    end.expect("the connection does not end").unwrap();
    String::from_utf8(reply).unwrap()
}

/// Reads up to the end of a reply's head.
async fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(LIMIT, tcp.read_u8()).await.expect("no answer");
        head.push(byte.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn status(reply: &str) -> u16 {
    let status = reply
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no reply: {reply:?}"))
}

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn every_resource_answers_and_says_what_it_takes() {
    local(async {
        let server = Server::all().await;
        for (request, code, allow) in [
            ("GET /livez", 200, None),
            ("GET /readyz", 200, None),
            ("GET /metrics", 200, None),
            ("HEAD /metrics", 200, None),
            ("GET /nothing", 404, None),
            ("POST /nothing", 404, None),
            ("GET /../Cargo.toml", 404, None),
            ("GET /%2e%2e/Cargo.toml", 404, None),
            ("DELETE /livez", 405, Some("GET, HEAD, OPTIONS")),
            ("GET /chat-messages", 405, Some("POST, OPTIONS")),
            ("POST /websockets/chat-messages", 405, Some("GET, OPTIONS")),
            ("BREW /metrics", 405, Some("GET, HEAD, OPTIONS")),
            ("OPTIONS /livez", 204, Some("GET, HEAD, OPTIONS")),
            ("OPTIONS /chat-messages", 204, Some("POST, OPTIONS")),
            ("GET /websockets/chat-messages", 426, None),
        ] {
            let reply = server
                .ask(&format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            assert_eq!(status(&reply), code, "{request}: {reply}");
            if let Some(allow) = allow {
                assert!(
                    reply.contains(&format!("allow: {allow}\r\n")),
                    "{request}: {reply}"
                );
            }
            if code >= 400 {
                assert!(
                    reply.contains("application/problem+json"),
                    "{request}: {reply}"
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn head_gets_the_head_of_get_and_no_body() {
    local(async {
        let server = Server::all().await;
        let get = server.ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let head = server
            .ask("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        assert!(get.ends_with("\r\n\r\nfigures\n"), "{get}");
        assert!(head.contains("content-length: 8\r\n"), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    })
    .await;
}

#[tokio::test]
async fn with_a_listener_of_their_own_the_operations_endpoints_are_only_there() {
    local(async {
        let limit = Duration::from_secs(10);
        let chat = server(Role::Chat, 64, limit).await;
        let operations = server(Role::Operations, 64, limit).await;
        for (path, on_chat, on_operations) in [
            ("/metrics", 404, 200),
            ("/livez", 404, 200),
            ("/chat-messages", 405, 404),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(status(&chat.ask(&request).await), on_chat, "{path}");
            assert_eq!(
                status(&operations.ask(&request).await),
                on_operations,
                "{path}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_not_confirmed_gets_503_with_its_id() {
    local(async {
        let server = Server::all().await;
        let reply = server.post("", r#"{"text":"hello"}"#).await;
        assert_eq!(status(&reply), 503, "{reply}");
        assert!(reply.contains("retry-after: "), "{reply}");
        assert!(reply.contains(r#""id":""#), "{reply}");
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let reply = server
            .post("", &format!(r#"{{"text":"hello","id":"{id}"}}"#))
            .await;
        assert!(reply.contains(&format!(r#""id":"{id}""#)), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn bad_messages_get_each_their_status() {
    local(async {
        let server = Server::all().await;
        let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(2_000));
        for (body, code) in [("", 400), ("{", 400), ("{}", 400), (&long, 413)] {
            assert_eq!(status(&server.post("", body).await), code, "{body}");
        }
        let form = "POST /chat-messages HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\ntext=x";
        assert_eq!(status(&server.ask(form).await), 415);
        let chunked = format!(
            "POST /chat-messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n7D0\r\n{}\r\n0\r\n\r\n",
            "x".repeat(2_000)
        );
        let mut tcp = server.connect().await;
        tcp.write_all(chunked.as_bytes()).await.unwrap();
        assert_eq!(status(&rest(&mut tcp).await), 413);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    local(async {
        let server = Server::all().await;
        let mut tcp = server.connect().await;
        let begun = "POST /chat-messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
            Content-Length: 100\r\n\r\n{\"text\"";
        tcp.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(status(&rest(&mut tcp).await), 408);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_could_be_read_in_two_ways_is_refused() {
    local(async {
        let server = Server::all().await;
        for head in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: +5\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Host: b\r\nX: a\0b\r\n",
        ] {
            let mut tcp = server.connect().await;
            let request = format!("POST /chat-messages HTTP/1.1\r\nHost: a\r\n{head}\r\nhello");
            tcp.write_all(request.as_bytes()).await.unwrap();
            let reply = rest(&mut tcp).await;
            assert_eq!(status(&reply), 400, "{head:?}: {reply}");
        }
    })
    .await;
}

#[tokio::test]
async fn pages_of_other_sites_may_neither_publish_nor_view() {
    local(async {
        let server = Server::all().await;
        for (origin, code) in [
            ("http://a", 503), // ours: it gets as far as the stream
            ("https://event.example", 503),
            ("https://evil.example", 403),
            ("null", 403),
        ] {
            let reply = server.post(&format!("Origin: {origin}"), r#"{"text":"x"}"#).await;
            assert_eq!(status(&reply), code, "{origin}: {reply}");
            assert!(reply.contains("vary: Origin\r\n"), "{reply}");
            let listed = origin == "https://event.example";
            let shared = reply.contains("access-control-allow-origin: https://event.example\r\n");
            assert_eq!(shared, listed, "{reply}");
        }
        let view = format!(
            "GET /websockets/chat-messages HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n{HANDSHAKE}\r\n"
        );
        let mut tcp = server.connect().await;
        tcp.write_all(view.as_bytes()).await.unwrap();
        assert_eq!(status(&head(&mut tcp).await), 403);
    })
    .await;
}

#[tokio::test]
async fn a_viewer_is_handed_on_with_what_it_sent_behind_its_handshake() {
    local(async {
        let server = Server::all().await;
        let mut tcp = server.connect().await;
        let request = format!(
            "GET /websockets/chat-messages?room=den&history=7&after=1.0 HTTP/1.1\r\nHost: a\r\n\
             Origin: http://a\r\nSec-WebSocket-Protocol: chat-room.v1\r\n{HANDSHAKE}\r\nearly"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let reply = head(&mut tcp).await;
        assert_eq!(status(&reply), 101, "{reply}");
        assert!(reply.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(reply.contains("sec-websocket-protocol: chat-room.v1\r\n"));
        server
            .until("a viewer", |server| server.viewers.borrow().len() == 1)
            .await;
        let mut viewer = server.viewers.borrow_mut().remove(0);
        assert_eq!(viewer.request.room.as_str(), "den");
        assert_eq!(viewer.request.encoding, Encoding::V1);
        assert_eq!(viewer.request.history, Some(7));
        assert_eq!(viewer.request.after.as_deref(), Some("1.0"));
        assert_eq!(&viewer.leftover[..], b"early");
        let crate::fanout::Stream::Plain(own) = &mut viewer.stream else {
            panic!("TLS")
        };
        own.write_all(b"frame").await.unwrap();
        let mut frame = [0; 5];
        tcp.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame, b"frame");
        assert_eq!(server.places.open(), 1);
        drop(viewer);
        server
            .until("a free place", |server| server.places.open() == 0)
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_room_without_place_gets_503() {
    local(async {
        let server = Server::all().await;
        let mut tcp = server.connect().await;
        let request = format!(
            "GET /websockets/chat-messages?room=full HTTP/1.1\r\nHost: a\r\n{HANDSHAKE}\r\n"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let reply = head(&mut tcp).await;
        assert_eq!(status(&reply), 503);
        assert!(reply.contains("retry-after: "), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn over_the_limit_of_connections_clients_get_503_until_a_place_is_free() {
    local(async {
        let server = server(Role::All, 2, Duration::from_secs(10)).await;
        let first = server.connect().await;
        let _second = server.connect().await;
        server
            .until("two connections", |server| server.places.open() == 2)
            .await;
        let reply = server.ask("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(status(&reply), 503);
        assert!(reply.contains("Retry-After: "), "{reply}");
        drop(first);
        server
            .until("a free place", |server| server.places.open() == 1)
            .await;
        let reply = server.ask("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(status(&reply), 200);
    })
    .await;
}

#[tokio::test]
async fn whoever_sends_no_request_in_time_is_dropped() {
    local(async {
        let server = server(Role::All, 64, Duration::from_millis(200)).await;
        // Nothing; half of HTTP/2's preface; half a head; nothing after a first request.
        for (begun, answered) in [
            ("", false),
            ("PRI * HTTP/2.0\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: ", false),
            ("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ] {
            let mut tcp = server.connect().await;
            tcp.write_all(begun.as_bytes()).await.unwrap();
            let reply = rest(&mut tcp).await;
            assert_eq!(reply.contains("200 OK"), answered, "{begun:?}: {reply}");
        }
    })
    .await;
}

#[tokio::test]
async fn heads_are_bounded() {
    local(async {
        let server = Server::all().await;
        let long = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(20_000)
        );
        let many = format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(100)
        );
        for request in [long, many] {
            let mut tcp = server.connect().await;
            tcp.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(status(&rest(&mut tcp).await), 431);
        }
    })
    .await;
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_answered_and_refused_a_websocket() {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    local(async {
        let server = Server::all().await;
        let io = TokioIo::new(server.connect().await);
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .unwrap();
        let connection = tokio::spawn(connection);
        for (path, code) in [("/metrics", 200), ("/websockets/chat-messages", 400)] {
            let uri = format!("http://{}{path}", server.address);
            let request = http::Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
            let reply = client.send_request(request).await.unwrap();
            assert_eq!(reply.status(), code);
            reply.into_body().collect().await.unwrap();
        }
        drop(client);
        timeout(LIMIT, connection).await.unwrap().unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_drops_the_rest() {
    local(async {
        let server = Server::all().await;
        let mut idle = server.connect().await;
        idle.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        head(&mut idle).await;
        let mut stuck = server.connect().await;
        stuck.write_all(b"GET /li").await.unwrap();
        let mut busy = server.connect().await;
        let body = r#"{"text":"hello"}"#;
        let request = format!(
            "POST /chat-messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        busy.write_all(request.as_bytes()).await.unwrap();
        server
            .until("three connections", |server| server.places.open() == 3)
            .await;
        // Time enough for the request to get from the socket to the service.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let deadline = Instant::now() + Duration::from_secs(5);
        server.phase.send(Phase::Finishing(deadline)).unwrap();
        let reply = rest(&mut busy).await;
        assert_eq!(status(&reply), 503, "{reply}");
        rest(&mut idle).await;
        timeout(LIMIT, server.task).await.unwrap().unwrap().unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
        assert_eq!(server.places.open(), 0);
    })
    .await;
}
