//! What a service manager hears: the messages of `sd_notify(3)`, on a socket of the test's own.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::harness::{DEADLINE, Launch};

/// The other end of the socket. What is still alive is heard, but not kept.
struct Manager {
    heard: Receiver<String>,
    alive: Receiver<()>,
}

impl Manager {
    fn on(socket: UnixDatagram) -> Self {
        let ((heard, hear), (alive, lives)) = (channel(), channel());
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let kept = match text.as_str() {
                    "WATCHDOG=1" => alive.send(()).is_ok(),
                    _ => heard.send(text).is_ok(),
                };
                if !kept {
                    return;
                }
            }
        });
        let (heard, alive) = (hear, lives);
        Self { heard, alive }
    }

    fn next(&self) -> Vec<String> {
        let text = self.heard.recv_timeout(DEADLINE).expect("a message");
        text.lines().map(str::to_owned).collect()
    }
}

fn microseconds(lines: &[String], key: &str) -> u64 {
    let mut values = lines.iter().filter_map(|line| line.strip_prefix(key));
    let value = values
        .next()
        .unwrap_or_else(|| panic!("{key} is not in {lines:?}"));
    value.parse().unwrap()
}

fn now() -> u64 {
    let now = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap();
    u64::try_from(now.as_micros()).unwrap()
}

#[tokio::test]
async fn the_manager_hears_of_the_start_a_reload_and_the_end() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::on(UnixDatagram::bind(&path).unwrap());
    let launch = Launch::new()
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "200000");
    let mut server = launch.start().await;
    assert!(manager.next().contains(&"READY=1".to_owned()));

    let before = now();
    server.signal(Signal::HUP);
    let reloading = manager.next();
    assert_eq!(reloading[0], "RELOADING=1");
    let said = microseconds(&reloading, "MONOTONIC_USEC=");
    assert!((before..=now()).contains(&said), "{said}");
    assert!(manager.next().contains(&"READY=1".to_owned()));

    for _ in 0..3 {
        manager
            .alive
            .recv_timeout(DEADLINE)
            .expect("a sign of life");
    }
    server.signal(Signal::TERM);
    let stopping = manager.next();
    assert_eq!(stopping[0], "STOPPING=1");
    // Everything that a stop may take, by default.
    assert_eq!(microseconds(&stopping, "EXTEND_TIMEOUT_USEC="), 49_000_000);
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_socket_may_have_an_abstract_name() {
    let name = format!("chat-room-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::on(UnixDatagram::bind_addr(&address).unwrap());
    let launch = Launch::new().env("NOTIFY_SOCKET", &format!("@{name}"));
    let server = launch.start().await;
    assert!(manager.next().contains(&"READY=1".to_owned()));
    server.stop().await;
    assert_eq!(manager.next()[0], "STOPPING=1");
    assert!(
        manager.alive.try_recv().is_err(),
        "nobody asked for signs of life"
    );
}

#[tokio::test]
async fn a_manager_that_is_not_there_is_no_reason_not_to_serve() {
    let server = Launch::new()
        .env("NOTIFY_SOCKET", "/nowhere/notify")
        .start()
        .await;
    assert!(server.said().contains("cannot notify"), "{}", server.said());
    server.stop().await;
}
