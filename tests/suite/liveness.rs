//! Viewers that vanish without a word, and those that are only idle.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::raw::{PING, PONG};
use crate::harness::{Frame, Launch, Raw, Server, eventually, python, within};

/// A viewer in a process of its own, that answers pings and comes again when it is sent away.
const VIEWER: &str = r#"
import socket, sys, time
address = (sys.argv[1], int(sys.argv[2]))
def view():
    stream = socket.create_connection(address)
    stream.sendall(b"GET /websockets/chat-messages HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    file = stream.makefile("rb")
    while file.readline().strip():
        pass
    while True:
        first, length = file.read(2)
        payload = file.read(length)
        if first == 0x89:
            stream.sendall(bytes([0x8a, 0x80 | length, 0, 0, 0, 0]) + payload)
while True:
    try:
        view()
    except (OSError, ValueError):
        time.sleep(0.1)
"#;

/// Long enough for a process to answer a ping on a busy machine, short enough to wait for.
const INTERVAL: &str = "3s";
/// Twice that, and what a busy machine may take longer.
const GONE_WITHIN: Duration = Duration::from_millis(6_000 + 1_500);

struct Client(Child);

impl Client {
    /// Starts a viewer of `server`, behind `prefix`.
    fn start(prefix: &[&str], server: &Server) -> Self {
        let python = python();
        let command = [prefix, &[python.to_str().unwrap()]].concat();
        let address = server.address();
        let child = Command::new(command[0])
            .args(&command[1..])
            .args([
                "-c",
                VIEWER,
                &address.ip().to_string(),
                &address.port().to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("a client"))
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.0), signal).expect("a signal");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn viewers(server: &Server) -> f64 {
    server
        .metric("chat_room_fanout_viewers{encoding=\"plain\"}")
        .await
}

/// Waits until the viewer is connected and was asked more than once, so that it has answered.
async fn settled(server: &Server) {
    eventually("a viewer that has answered", || async {
        server.metric("chat_room_fanout_pings_total").await >= 3.0 && viewers(server).await > 0.5
    })
    .await;
}

/// Waits until the viewer that just vanished is let go.
async fn gone_in_time(server: &Server) {
    let vanished = Instant::now();
    eventually("the viewer that vanished is gone", || async {
        viewers(server).await < 0.5
    })
    .await;
    assert!(vanished.elapsed() < GONE_WITHIN, "{:?}", vanished.elapsed());
}

#[tokio::test]
async fn i6_a_viewer_whose_process_is_stopped_is_let_go() {
    let server = Server::start(&["--ping-interval", INTERVAL]).await;
    let client = Client::start(&[], &server);
    settled(&server).await;
    client.signal(Signal::STOP);
    gone_in_time(&server).await;
    assert!(
        server
            .metric("chat_room_fanout_dead_disconnects_total")
            .await
            > 0.5
    );
    client.signal(Signal::CONT);
    eventually("it finds that out, and comes again", || async {
        viewers(&server).await > 0.5
    })
    .await;
}

/// A network of two: this machine's end and one in a namespace of its own.
struct Link {
    name: String,
    address: SocketAddr,
}

impl Link {
    /// `Err` with the reason, where this may not be done.
    fn new() -> Result<Self, String> {
        let id = std::process::id();
        let link = Self {
            name: format!("cr{id}"),
            address: ([10, 231, u8::try_from(id % 251).unwrap(), 1], 0).into(),
        };
        let name = &link.name;
        let (here, there) = (format!("{name}a"), format!("{name}b"));
        let other = link.address.to_string().replace(".1:0", ".2/30");
        let address = format!("{}/30", link.address.ip());
        ip(&["netns", "add", name])?;
        ip(&[
            "link", "add", &here, "type", "veth", "peer", "name", &there, "netns", name,
        ])?;
        ip(&["address", "add", &address, "dev", &here])?;
        ip(&["link", "set", &here, "up"])?;
        ip(&["-n", name, "address", "add", &other, "dev", &there])?;
        ip(&["-n", name, "link", "set", &there, "up"])?;
        Ok(link)
    }

    fn cut(&self) {
        let there = format!("{}b", self.name);
        ip(&["-n", &self.name, "link", "set", &there, "down"]).expect("a link that can be cut");
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The link goes with its end.
        let _ = ip(&["link", "delete", &format!("{}a", self.name)]);
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(args).stdin(Stdio::null()).output();
    let done = done.map_err(|error| format!("ip: {error}"))?;
    let problem = String::from_utf8_lossy(&done.stderr);
    done.status
        .success()
        .then_some(())
        .ok_or_else(|| format!("ip {}: {problem}", args.join(" ")))
}

#[tokio::test]
async fn i6_a_viewer_whose_cable_is_cut_is_let_go() {
    let link = match Link::new() {
        Ok(link) => link,
        Err(reason) => {
            eprintln!("NOT RUN: a link to cut needs root and network namespaces: {reason}");
            return;
        }
    };
    let launch = Launch::new().listen(link.address);
    let server = launch.args(&["--ping-interval", INTERVAL]).start().await;
    let _client = Client::start(&["ip", "netns", "exec", &link.name], &server);
    settled(&server).await;
    link.cut();
    gone_in_time(&server).await;
}

#[tokio::test]
async fn a_viewer_is_not_asked_where_nobody_is_to_be() {
    let server = Server::start(&["--ping-interval", "off"]).await;
    let mut raw = Raw::open(server.address()).await;
    raw.upgrade("").await;
    raw.send_frame(&Frame::new(PING, "and you?")).await;
    let answer = raw.any_frame().await.expect("a frame");
    assert_eq!(
        (answer.opcode, &answer.payload[..]),
        (PONG, &b"and you?"[..])
    );
    assert_eq!(
        server
            .metric("chat_room_fanout_pings_total")
            .await
            .to_bits(),
        0
    );
}

/// How long the proxy lets a connection be idle.
const IDLE: Duration = Duration::from_secs(2);

/// A proxy as load balancers are: it ends a connection over which nothing came for [`IDLE`].
async fn proxy_to(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server).await.expect("the server");
            tokio::spawn(forward(client, server));
        }
    });
    address
}

async fn forward(mut client: TcpStream, mut server: TcpStream) {
    let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
    loop {
        let moved = timeout(IDLE, async {
            tokio::select! {
                read = client.read(&mut up) => {
                    let length = read.ok().filter(|&length| length > 0)?;
                    server.write_all(&up[..length]).await.ok()
                }
                read = server.read(&mut down) => {
                    let length = read.ok().filter(|&length| length > 0)?;
                    client.write_all(&down[..length]).await.ok()
                }
            }
        });
        if moved.await.ok().flatten().is_none() {
            return;
        }
    }
}

#[tokio::test]
async fn an_idle_viewer_outlives_a_proxys_patience_by_the_servers_pings() {
    let server = Server::start(&["--ping-interval", "1s"]).await;
    let proxy = proxy_to(server.address()).await;
    // On a machine that stands still for seconds the proxy may win once: the next viewer then.
    within(
        "a viewer that is idle for three times the proxy's limit",
        async {
            'again: loop {
                let mut raw = Raw::open(proxy).await;
                raw.upgrade("room=idle").await;
                let start = tokio::time::Instant::now();
                while start.elapsed() < 3 * IDLE {
                    let Some(frame) = raw.any_frame().await else {
                        continue 'again;
                    };
                    assert_eq!(frame.opcode, PING, "nothing else happens");
                    raw.send_frame(&Frame::new(PONG, frame.payload)).await;
                }
                server.say("idle", "good morning").await;
                if raw
                    .frame()
                    .await
                    .is_some_and(|frame| frame.payload == b"good morning")
                {
                    return;
                }
            }
        },
    )
    .await;
}

#[tokio::test]
async fn without_pings_a_proxy_ends_an_idle_connection() {
    let server = Server::start(&["--ping-interval", "off"]).await;
    let proxy = proxy_to(server.address()).await;
    let mut raw = Raw::open(proxy).await;
    raw.upgrade("room=idle").await;
    assert_eq!(raw.any_frame().await, None);
}
