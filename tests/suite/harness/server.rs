//! A running program.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::launch::{Lines, joined};
use super::{DEADLINE, Launch, Trust, within};

/// A program that is ready. Dropping it kills it; when the test failed, its stderr is shown.
pub(crate) struct Server {
    child: Child,
    stderr: Lines,
    address: SocketAddr,
    metrics: SocketAddr,
    kinesis: Option<SocketAddr>,
    client: reqwest::Client,
    /// The chat is served over TLS.
    secure: bool,
    folder: TempDir,
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
        child: Child,
        folder: TempDir,
        args: &[String],
        stdout: Lines,
        stderr: Lines,
    ) -> Self {
        let mut server = Self::once_listening(child, folder, args, stdout, stderr).await;
        server.once_it_is_ready().await;
        server
    }

    /// Waits for the lines with the addresses.
    pub(super) async fn once_listening(
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
        let mut line = async |prefix: &str| loop {
            let found = stdout
                .lock()
                .unwrap()
                .iter()
                .find_map(|line| address_after(line, prefix));
            if let Some(address) = found {
                return address;
            }
            let waiting_for = format!("the line `{prefix} http://…` on stdout");
            if let Some(problem) = overdue(&mut child, start, &waiting_for) {
                panic!(
                    "chat-room {args:?}: {problem}\n── stdout\n{}\n── stderr\n{}",
                    joined(&stdout),
                    joined(&stderr),
                );
            }
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
        Self {
            child,
            stderr,
            address,
            metrics,
            kinesis,
            client,
            secure: given("--tls-cert"),
            folder,
        }
    }

    /// What `/readyz` says, and with which status.
    pub(crate) async fn readiness(&self) -> (StatusCode, String) {
        let answer = self.client.get(self.metrics_url("/readyz")).send().await;
        let answer = answer.expect("an answer from /readyz");
        (answer.status(), answer.text().await.expect("a body"))
    }

    /// Waits for 200 from `/readyz`.
    pub(crate) async fn once_it_is_ready(&mut self) {
        let start = Instant::now();
        let ready = self.metrics_url("/readyz");
        loop {
            let answer = self.client.get(&ready).send().await;
            let said = match answer {
                Ok(answer) if answer.status() == StatusCode::OK => return,
                Ok(answer) => format!(
                    "{}: {}",
                    answer.status(),
                    answer.text().await.unwrap_or_default()
                ),
                Err(error) => format!("{error:?}"),
            };
            let waiting_for = format!("200 from {ready}, which said last: {said}");
            // Dropped by the panic, it shows its stderr.
            if let Some(problem) = overdue(&mut self.child, start, &waiting_for) {
                panic!("{problem}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder it was started in, which goes with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the embedded Kinesis is served.
    pub(crate) fn kinesis(&self) -> SocketAddr {
        self.kinesis
            .expect("an instance started with --embedded-listen")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
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

    /// The value of a metric, with its labels as `/metrics` shows them.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("{name} is not in:\n{text}"))
    }

    /// What it wrote to stderr so far.
    pub(crate) fn said(&self) -> String {
        joined(&self.stderr)
    }

    /// Whom its clients over TLS have to believe, by what is in its folder now.
    pub(crate) fn trust(&self) -> Trust {
        Trust::in_file(&self.folder.path().join("root.pem"))
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(crate) async fn post(&self, body: &Value) -> reqwest::Response {
        if self.secure {
            let (trust, http) = (self.trust(), &["h2"]);
            let path = "/chat-messages";
            return trust
                .ask(self.address, http, Method::POST, path, Some(body))
                .await;
        }
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

    /// What it wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        joined(&self.stderr)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("a signal to the child");
    }

    /// What it has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        joined(&self.stderr)
    }

    pub(crate) fn pid(&self) -> Pid {
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
    pub(crate) async fn stop(self) {
        self.stop_and_log().await;
    }

    /// The same; all that it wrote to stderr.
    pub(crate) async fn stop_and_log(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert_eq!(
            status.code(),
            Some(0),
            "a clean stop ends with 0, not with {status}"
        );
        super::eventually("its stderr ends", || async {
            Arc::strong_count(&self.stderr) == 1
        })
        .await;
        self.log()
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

/// Why it makes no sense to wait any longer, if it does not; the child is gone then.
fn overdue(child: &mut Child, since: Instant, waiting_for: &str) -> Option<String> {
    let ended = child.try_wait().expect("the state of the child");
    if ended.is_none() && since.elapsed() < DEADLINE {
        return None;
    }
    let _ = child.kill();
    let _ = child.wait();
    let how = ended.map_or_else(
        || format!("not within {DEADLINE:?}"),
        |status| format!("ended with {status}"),
    );
    Some(format!("{how}, waiting for {waiting_for}"))
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
