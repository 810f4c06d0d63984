//! A running program.

use std::net::SocketAddr;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::{Pid, Signal};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::launch::{Lines, joined};
use super::{DEADLINE, Launch, within};

/// A program that is ready. Dropping it kills it; when the test failed, its stderr is shown.
pub(crate) struct Server {
    child: Child,
    stderr: Lines,
    address: SocketAddr,
    metrics: SocketAddr,
    kinesis: Option<SocketAddr>,
    client: reqwest::Client,
    _folder: TempDir,
}

/// What a 202 says.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receipt {
    pub(crate) id: String,
    pub(crate) room: String,
    pub(crate) position: String,
}

impl Server {
    /// An instance with its own embedded stream.
    pub(crate) async fn start(args: &[&str]) -> Self {
        Launch::new().args(args).start().await
    }

    /// An instance with its own embedded stream, which it also serves on a port.
    pub(crate) async fn start_sharing(args: &[&str]) -> Self {
        Launch::new()
            .args(&["--embedded-listen", "127.0.0.1:0"])
            .args(args)
            .start()
            .await
    }

    /// A further instance on the stream that `other` serves.
    pub(crate) async fn start_beside(other: &Self, args: &[&str]) -> Self {
        Launch::on_kinesis_at(other.kinesis())
            .args(args)
            .start()
            .await
    }

    /// Waits for the lines with the addresses and then for `/readyz`.
    pub(super) async fn once_ready(
        mut child: Child,
        folder: TempDir,
        args: &[String],
        stdout: Lines,
        stderr: Lines,
    ) -> Self {
        let given = |flag: &str| {
            args.iter()
                .any(|arg| arg == flag || arg.starts_with(&format!("{flag}=")))
        };
        let start = Instant::now();
        let mut fail_after_deadline = |waiting_for: &str| {
            let ended = child.try_wait().expect("the state of the child");
            if ended.is_none() && start.elapsed() < DEADLINE {
                return;
            }
            let _ = child.kill();
            let _ = child.wait();
            panic!(
                "chat-room {args:?}: {}, waiting for {waiting_for}\n── stdout\n{}\n── stderr\n{}",
                ended.map_or_else(
                    || format!("not within {DEADLINE:?}"),
                    |status| format!("ended with {status}")
                ),
                joined(&stdout),
                joined(&stderr),
            );
        };
        let mut line = async |prefix: &str| loop {
            let found = stdout
                .lock()
                .unwrap()
                .iter()
                .find_map(|line| address_after(line, prefix));
            if let Some(address) = found {
                return address;
            }
            fail_after_deadline(&format!("the line `{prefix} http://…` on stdout"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let address = line("listening on").await;
        let metrics = if given("--metrics-listen") {
            line("metrics on").await
        } else {
            address
        };
        let kinesis = if given("--embedded-listen") {
            Some(line("kinesis on").await)
        } else {
            None
        };
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(DEADLINE)
            .build()
            .expect("an HTTP client");
        let ready = format!("http://{metrics}/readyz");
        loop {
            let answer = client.get(&ready).send().await;
            let said = match answer {
                Ok(answer) if answer.status() == StatusCode::OK => break,
                Ok(answer) => format!(
                    "{}: {}",
                    answer.status(),
                    answer.text().await.unwrap_or_default()
                ),
                Err(error) => format!("{error:?}"),
            };
            fail_after_deadline(&format!("200 from {ready}, which said last: {said}"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self {
            child,
            stderr,
            address,
            metrics,
            kinesis,
            client,
            _folder: folder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the embedded Kinesis is served.
    pub(crate) fn kinesis(&self) -> SocketAddr {
        self.kinesis
            .expect("an instance started with --embedded-listen")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn metrics_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.metrics)
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.client
            .get(self.url(path))
            .send()
            .await
            .unwrap_or_else(|error| panic!("GET {path}: {error:?}"))
    }

    pub(crate) async fn metrics(&self) -> String {
        let answer = self
            .client
            .get(self.metrics_url("/metrics"))
            .send()
            .await
            .expect("an answer from /metrics");
        assert_eq!(answer.status(), StatusCode::OK, "/metrics");
        answer.text().await.expect("the text of /metrics")
    }

    pub(crate) async fn post(&self, body: &Value) -> reqwest::Response {
        self.client
            .post(self.url("/chat-messages"))
            .json(body)
            .send()
            .await
            .expect("an answer to the POST")
    }

    /// Publishes what must be accepted.
    pub(crate) async fn publish(&self, body: &Value) -> Receipt {
        let answer = self.post(body).await;
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert_eq!(status, StatusCode::ACCEPTED, "POST {body}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("the 202's body {text}: {error}"))
    }

    /// Publishes `text` to `room`.
    pub(crate) async fn say(&self, room: &str, text: &str) -> Receipt {
        self.publish(&json!({ "room": room, "text": text })).await
    }

    /// Publishes all of `texts` to `room`, each once the one before it was accepted.
    pub(crate) async fn say_all(&self, room: &str, texts: &[String]) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for text in texts {
            receipts.push(self.say(room, text).await);
        }
        receipts
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("a signal to the child");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("the process ends", async {
            loop {
                if let Some(status) = self.child.try_wait().expect("the state of the child") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    /// Asks for a clean stop, which must end with code 0.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert_eq!(
            status.code(),
            Some(0),
            "a clean stop ends with 0, not with {status}"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // Let the thread that gathers it see the end.
            let start = Instant::now();
            while Arc::strong_count(&self.stderr) > 1 && start.elapsed() < Duration::from_secs(1) {
                std::thread::sleep(Duration::from_millis(5));
            }
            eprintln!(
                "── stderr of the chat-room at {}\n{}\n──",
                self.address,
                joined(&self.stderr)
            );
        }
    }
}

/// The address in `line` if it is `<prefix> http://<address>`.
fn address_after(line: &str, prefix: &str) -> Option<SocketAddr> {
    line.strip_prefix(prefix)?
        .trim()
        .strip_prefix("http")?
        .trim_start_matches('s')
        .strip_prefix("://")?
        .trim_end_matches('/')
        .parse()
        .ok()
}
