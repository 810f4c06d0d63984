//! A rolling restart: three instances behind a load balancer are replaced one after the other while people chat.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, future::join_all};
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};
use uuid::Uuid;

use crate::harness::{Launch, Server, eventually, within};

const INSTANCES: usize = 3;
const ROOMS: [&str; 3] = ["den", "hall", "loft"];
const VIEWERS_A_ROOM: usize = 4;
/// How often the balancer looks whether an instance is ready.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// More than it takes the balancer to see that one is not, also on a busy machine.
const DRAIN_DELAY: &str = "1s";
/// Between a publisher's messages.
const PACE: Duration = Duration::from_millis(30);
/// Says that everything was published.
const LAST: &str = "that was all";

/// A balancer that knows nothing but TCP: each new connection goes to the next instance that is ready.
struct Balancer {
    address: SocketAddr,
    backends: Arc<Vec<Backend>>,
    tasks: Vec<JoinHandle<()>>,
}

struct Backend {
    address: SocketAddr,
    ready: AtomicBool,
}

impl Balancer {
    async fn start(addresses: impl Iterator<Item = SocketAddr>) -> Self {
        let backends = addresses.map(|address| Backend {
            address,
            ready: AtomicBool::new(false),
        });
        let backends = Arc::new(backends.collect::<Vec<_>>());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let mut tasks = vec![tokio::spawn(balance(listener, Arc::clone(&backends)))];
        for index in 0..backends.len() {
            let backends = Arc::clone(&backends);
            tasks.push(tokio::spawn(async move {
                let mut ticks = interval(LOOK_EVERY);
                loop {
                    ticks.tick().await;
                    let Backend { address, ready } = &backends[index];
                    let looked = timeout(Duration::from_secs(1), is_ready(*address)).await;
                    ready.store(looked.unwrap_or_default(), Ordering::Relaxed);
                }
            }));
        }
        Self {
            address,
            backends,
            tasks,
        }
    }

    async fn sees(&self, index: usize) {
        let ready = &self.backends[index].ready;
        eventually("the balancer sees that the instance is ready", || async {
            ready.load(Ordering::Relaxed)
        })
        .await;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn balance(listener: TcpListener, backends: Arc<Vec<Backend>>) {
    let mut turn = 0;
    loop {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut taken = None;
        for _ in 0..backends.len() {
            turn = (turn + 1) % backends.len();
            let Backend { address, ready } = &backends[turn];
            if ready.load(Ordering::Relaxed) {
                taken = TcpStream::connect(address).await.ok();
            }
            if taken.is_some() {
                break;
            }
        }
        // Whom nobody takes is sent away by the end of its connection.
        if let Some(mut server) = taken {
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let asked = async {
        let mut tcp = TcpStream::connect(address).await?;
        tcp.write_all(b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    asked.await.unwrap_or(false)
}

/// A viewer that comes again when it is sent away, and then resumes.
struct Viewer {
    address: SocketAddr,
    room: &'static str,
    socket: Option<WebSocketStream<TcpStream>>,
    after: Option<String>,
    shown: Vec<String>,
    resumed: usize,
    unrecovered: usize,
}

impl Viewer {
    /// Joins a room in which nothing was said yet.
    async fn join(address: SocketAddr, room: &'static str) -> Self {
        let mut viewer = Self {
            address,
            room,
            socket: None,
            after: None,
            shown: Vec::new(),
            resumed: 0,
            unrecovered: 0,
        };
        while viewer.after.is_none() {
            viewer.step().await;
        }
        viewer.resumed = 0;
        viewer
    }

    async fn watch(mut self) -> Self {
        while self.shown.last().is_none_or(|text| text != LAST) {
            self.step().await;
        }
        self
    }

    /// Takes a frame, or connects if there is nothing to take one from.
    async fn step(&mut self) {
        let Some(socket) = &mut self.socket else {
            self.socket = dial(self.address, self.room, self.after.as_deref()).await;
            if self.socket.is_none() {
                sleep(Duration::from_millis(fastrand::u64(10..200))).await;
            }
            return;
        };
        match socket.next().await {
            Some(Ok(Message::Text(text))) => self.take(&text),
            Some(Ok(Message::Close(_)) | Err(_)) | None => self.socket = None,
            Some(Ok(_)) => {}
        }
    }

    fn take(&mut self, frame: &str) {
        let frame: Value = serde_json::from_str(frame).expect("JSON");
        match frame["type"].as_str() {
            Some("joined") => {
                self.resumed += 1;
                let recovered = frame["recovered"] == true;
                self.unrecovered += usize::from(self.after.is_some() && !recovered);
                let position = frame["position"].as_str().map(str::to_owned);
                self.after = self.after.take().or(position);
            }
            Some("messages") => {
                for message in frame["messages"].as_array().expect("messages") {
                    let text = |key: &str| message[key].as_str().expect(key).to_owned();
                    self.shown.push(text("text"));
                    self.after = Some(text("position"));
                }
            }
            _ => {}
        }
    }
}

async fn dial(
    address: SocketAddr,
    room: &str,
    after: Option<&str>,
) -> Option<WebSocketStream<TcpStream>> {
    let from = after.map_or("history=0".to_owned(), |after| format!("after={after}"));
    let url = format!("ws://{address}/websockets/chat-messages?room={room}&{from}");
    let mut request = url.into_client_request().expect("a WebSocket request");
    let protocol = HeaderValue::from_static("chat-room.v1");
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", protocol);
    let tcp = TcpStream::connect(address).await.ok()?;
    let shaken = timeout(Duration::from_secs(5), client_async(request, tcp)).await;
    shaken.ok()?.ok().map(|(socket, _)| socket)
}

/// Publishes until it is told to end; gives what was accepted, which is all of it.
async fn publish(address: SocketAddr, room: &str, again: &AtomicUsize, end: &AtomicBool) -> usize {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
        .expect("an HTTP client");
    let mut ticks = interval(PACE);
    let mut said = 0;
    while !end.load(Ordering::Relaxed) {
        ticks.tick().await;
        say(&client, address, room, &said.to_string(), again).await;
        said += 1;
    }
    say(&client, address, room, LAST, again).await;
    said
}

/// Publishes one message, again and again under one id, until it is accepted.
async fn say(
    client: &reqwest::Client,
    address: SocketAddr,
    room: &str,
    text: &str,
    again: &AtomicUsize,
) {
    let body = json!({"room": room, "text": text, "id": Uuid::new_v4()});
    let url = format!("http://{address}/chat-messages");
    let accepted = async {
        loop {
            match client.post(&url).json(&body).send().await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => return,
                Ok(answer) => {
                    let status = answer.status();
                    assert!(status == 503 || status == 429, "{status}: {body}");
                }
                // Such as a connection that was closed at just that moment.
                Err(_) => {}
            }
            again.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(fastrand::u64(10..200))).await;
        }
    };
    within("a message is accepted", accepted).await;
}

async fn start(stream: &Server, address: Option<SocketAddr>) -> Server {
    let launch = Launch::on_kinesis_at(stream.kinesis()).args(&["--drain-delay", DRAIN_DELAY]);
    match address {
        Some(address) => launch.listen(address).start().await,
        None => launch.start().await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_i2_a_rolling_restart_loses_nothing_and_shows_nothing_twice() {
    let stream = Server::start_sharing(&["--embedded-shards", "3"]).await;
    let mut instances = Vec::new();
    for _ in 0..INSTANCES {
        instances.push(start(&stream, None).await);
    }
    let balancer = Balancer::start(instances.iter().map(Server::address)).await;
    for index in 0..INSTANCES {
        balancer.sees(index).await;
    }
    let everywhere = ROOMS
        .iter()
        .flat_map(|room| std::iter::repeat_n(*room, VIEWERS_A_ROOM));
    let viewers = everywhere.map(|room| Viewer::join(balancer.address, room));
    let viewers = within("everybody joins", join_all(viewers)).await;
    let viewers: Vec<_> = viewers
        .into_iter()
        .map(|viewer| tokio::spawn(viewer.watch()))
        .collect();
    let (again, end) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let publishers = ROOMS.map(|room| {
        let (address, again, end) = (balancer.address, Arc::clone(&again), Arc::clone(&end));
        tokio::spawn(async move { publish(address, room, &again, &end).await })
    });

    for (index, instance) in instances.iter_mut().enumerate() {
        let address = instance.address();
        instance.signal(Signal::TERM);
        assert_eq!(instance.ended().await.code(), Some(0));
        *instance = start(&stream, Some(address)).await;
        balancer.sees(index).await;
    }
    end.store(true, Ordering::Relaxed);
    let mut accepted = Vec::new();
    for publisher in publishers {
        accepted.push(publisher.await.expect("a publisher"));
    }
    let watched = within("everybody has seen everything", join_all(viewers)).await;

    let mut resumed = 0;
    for viewer in watched {
        let viewer = viewer.expect("a viewer");
        let room = ROOMS.iter().position(|room| *room == viewer.room);
        let said = accepted[room.expect("a room")];
        let mut expected: Vec<_> = (0..said).map(|number| number.to_string()).collect();
        expected.push(LAST.to_owned());
        let twice = viewer.shown.len() - viewer.shown.iter().collect::<HashSet<_>>().len();
        assert_eq!(twice, 0, "{}: shown twice", viewer.room);
        // One publisher a room, which waits for each 202: there is one order.
        assert_eq!(viewer.shown, expected, "{}", viewer.room);
        assert_eq!(
            viewer.unrecovered, 0,
            "{}: resumed and not recovered",
            viewer.room
        );
        resumed += viewer.resumed;
    }
    // Each of the instances had some of them when it was stopped.
    assert!(resumed >= INSTANCES, "{resumed}");
    println!(
        "{} messages accepted, {} of them at a further attempt; {resumed} resumes of {} viewers",
        accepted.iter().sum::<usize>(),
        again.load(Ordering::Relaxed),
        ROOMS.len() * VIEWERS_A_ROOM,
    );
}
