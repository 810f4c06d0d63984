//! The tools that are not ours: a browser, another Kinesis, Python with boto3.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{DEADLINE, Server, eventually};

/// A child process that is killed when its owner goes.
pub(crate) struct Reaped(Child);

impl Reaped {
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The browser.
pub(crate) fn chromium() -> PathBuf {
    let path = std::env::var_os("CHROMIUM")
        .map_or_else(|| PathBuf::from("/usr/bin/chromium"), PathBuf::from);
    installed(path)
}

/// Python with what requirements.txt names.
pub(crate) fn python() -> PathBuf {
    installed(root().join(".tools/venv/bin/python"))
}

/// A program that requirements.txt brings.
pub(crate) fn venv(program: &str) -> PathBuf {
    installed(root().join(".tools/venv/bin").join(program))
}

/// Prometheus.
pub(crate) fn prometheus() -> PathBuf {
    installed(root().join(".tools/prometheus/prometheus"))
}

/// What Prometheus brings to check rules and metrics with.
pub(crate) fn promtool() -> PathBuf {
    installed(root().join(".tools/prometheus/promtool"))
}

/// node, with which the packages of npm are run.
pub(crate) fn node() -> PathBuf {
    PathBuf::from("node")
}

/// The folder whose `node_modules` has what package.json names, `package` among it.
pub(crate) fn packages(package: &str) -> PathBuf {
    let folder = root().join(".tools/node");
    installed(folder.join("node_modules").join(package));
    folder
}

/// A file beside the tests.
pub(crate) fn suite_file(name: &str) -> PathBuf {
    let path = root().join("tests/suite").join(name);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// The folder for pictures of the page, which git ignores.
pub(crate) fn screenshots() -> PathBuf {
    let folder = root().join("screenshots");
    std::fs::create_dir_all(&folder).expect("a folder for screenshots");
    folder
}

/// Starts kinesis-local with one stream, `messages`, and settings of its own in its environment; waits until the stream is
/// active.
pub(crate) async fn kinesis_local(
    shards: usize,
    settings: &[(&str, &str)],
) -> (Reaped, SocketAddr) {
    let package = packages("kinesis-local").join("node_modules/kinesis-local");
    let main = installed(package.join("main.js"));
    let (plain, tls) = (free_port(), free_port());
    // It finds its certificate only in the folder it runs in, and takes no notice of SIGTERM.
    let child = Command::new(node())
        .arg(main)
        .current_dir(&package)
        .env("KINESIS_MOCK_PLAIN_PORT", plain.port().to_string())
        .env("KINESIS_MOCK_TLS_PORT", tls.port().to_string())
        .env("INITIALIZE_STREAMS", format!("messages:{shards}"))
        .env("LOG_LEVEL", "ERROR")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("node starts");
    let child = Reaped(child);
    eventually("kinesis-local has an active stream", || async {
        std::net::TcpStream::connect(plain).is_ok()
            && call_kinesis(
                plain,
                "DescribeStreamSummary",
                &json!({"StreamName": "messages"}),
            )
            .await
            .contains(r#""StreamStatus":"ACTIVE""#)
    })
    .await;
    (child, plain)
}

/// Calls an operation of the Kinesis at `address`, with the least that any of them asks for. Gives the answer's text, also an error's.
pub(crate) async fn call_kinesis(address: SocketAddr, operation: &str, body: &Value) -> String {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(DEADLINE)
        .build()
        .expect("an HTTP client");
    let signature = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0";
    let answer = client
        .post(format!("http://{address}/"))
        .header("Content-Type", "application/x-amz-json-1.1")
        .header("X-Amz-Target", format!("Kinesis_20131202.{operation}"))
        .header("X-Amz-Date", "20260101T000000Z")
        .header("Authorization", signature)
        .body(body.to_string())
        .send()
        .await
        .unwrap_or_else(|error| panic!("{operation} at {address}: {error:?}"));
    answer
        .text()
        .await
        .unwrap_or_else(|error| panic!("{operation} at {address}: {error:?}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing: run `make test`, or tests/tools/install.sh alone",
        path.display()
    );
    path
}

/// A port that was free a moment ago, for programs that cannot be told to choose one.
pub(crate) fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket")
}

/// What `ListStreamConsumers` of the embedded service answers, as text.
pub(crate) async fn consumers(server: &Server) -> String {
    let summary = call_kinesis(
        server.kinesis(),
        "DescribeStreamSummary",
        &json!({"StreamName": "messages"}),
    )
    .await;
    let summary: Value = serde_json::from_str(&summary).unwrap_or_else(|_| panic!("{summary}"));
    let arn = summary["StreamDescriptionSummary"]["StreamARN"]
        .as_str()
        .unwrap_or_else(|| panic!("{summary}"));
    call_kinesis(
        server.kinesis(),
        "ListStreamConsumers",
        &json!({"StreamARN": arn}),
    )
    .await
}
