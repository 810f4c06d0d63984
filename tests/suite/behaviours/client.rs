//! The clients: the Rust SDK in this process, and others as processes that are told by lines of JSON what to call.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::sdk::Sdk;
use crate::harness::{DEADLINE, node, packages, python, suite_file};

/// What came of a call, or of waiting for an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Came {
    Answer(Value),
    Error {
        kind: String,
        message: String,
    },
    /// The subscription has ended quietly.
    End,
    /// The client's types have no way to say it.
    Unsayable(String),
    /// No answer that the client understands.
    Broken(String),
}

/// A client of one service.
pub(super) enum Client {
    Sdk(Sdk),
    Other(Arc<Other>, String),
}

impl Client {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Sdk(_) => "rust",
            Self::Other(other, _) => other.name,
        }
    }

    pub(super) async fn call(&self, operation: &str, input: Map<String, Value>) -> Came {
        let asked = async {
            match self {
                Self::Sdk(sdk) => sdk.call(operation, input).await,
                Self::Other(other, endpoint) => {
                    let call = json!({"do": "call", "endpoint": endpoint, "operation": operation, "input": input});
                    other.ask(call).await
                }
            }
        };
        in_time(operation, asked).await
    }

    pub(super) async fn subscribe(&self, handle: &str, input: Map<String, Value>) -> Came {
        let asked = async {
            match self {
                Self::Sdk(sdk) => sdk.subscribe(handle, input).await,
                Self::Other(other, endpoint) => {
                    let call = json!({"do": "subscribe", "endpoint": endpoint, "handle": handle, "input": input});
                    other.ask(call).await
                }
            }
        };
        in_time("SubscribeToShard", asked).await
    }

    /// The subscription's next event.
    pub(super) async fn next(&self, handle: &str) -> Came {
        let asked = async {
            match self {
                Self::Sdk(sdk) => sdk.next(handle).await,
                Self::Other(other, _) => other.ask(json!({"do": "next", "handle": handle})).await,
            }
        };
        in_time("the next event", asked).await
    }

    pub(super) async fn close(&self, handle: &str) -> Came {
        match self {
            Self::Sdk(sdk) => sdk.close(handle),
            Self::Other(other, _) => other.ask(json!({"do": "close", "handle": handle})).await,
        }
    }
}

async fn in_time(what: &str, asked: impl Future<Output = Came>) -> Came {
    tokio::time::timeout(DEADLINE, asked)
        .await
        .unwrap_or_else(|_| Came::Broken(format!("{what}: nothing within {DEADLINE:?}")))
}

type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Value>>>>>;

/// A client in a process of its own, of as many services as it is told of.
pub(super) struct Other {
    name: &'static str,
    child: Child,
    lines: Sender<String>,
    /// None once the process has ended.
    waiting: Waiting,
    last: AtomicU64,
}

impl Other {
    pub(super) fn boto3() -> Self {
        let mut command = Command::new(python());
        command.arg(suite_file("behaviours/boto3_client.py"));
        Self::start("boto3", command)
    }

    pub(super) fn javascript() -> Self {
        let mut command = Command::new(node());
        command
            .arg(suite_file("behaviours/javascript_client.mjs"))
            .arg(packages("@aws-sdk/client-kinesis"));
        Self::start("javascript", command)
    }

    fn start(name: &'static str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let (lines, to_send) = std::sync::mpsc::channel::<String>();
        std::thread::spawn(move || {
            for mut line in to_send {
                line.push('\n');
                if stdin.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let theirs = Arc::clone(&waiting);
        let stdout = child.stdout.take().expect("stdout is piped");
        std::thread::spawn(move || hand_out(stdout, &theirs));
        Self {
            name,
            child,
            lines,
            waiting,
            last: AtomicU64::new(0),
        }
    }

    pub(super) async fn ask(&self, mut asked: Value) -> Came {
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        asked["id"] = id.into();
        let (sender, answer) = oneshot::channel();
        let ended = || Came::Broken(format!("{} has ended", self.name));
        match &mut *self.waiting.lock().unwrap() {
            Some(waiting) => drop(waiting.insert(id, sender)),
            None => return ended(),
        }
        if self.lines.send(asked.to_string()).is_err() {
            return ended();
        }
        match answer.await {
            Ok(line) => came(line),
            Err(_) => ended(),
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives each line to whom it answers, until there are no more.
fn hand_out(stdout: ChildStdout, waiting: &Waiting) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let line: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let id = line["id"].as_u64().expect("an id");
        let asked = waiting
            .lock()
            .unwrap()
            .as_mut()
            .and_then(|all| all.remove(&id));
        if let Some(asked) = asked {
            let _ = asked.send(line);
        }
    }
    *waiting.lock().unwrap() = None;
}

fn came(mut line: Value) -> Came {
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    if let Some(kind) = text("error") {
        let message = text("message").unwrap_or_default();
        return Came::Error { kind, message };
    }
    if let Some(broken) = text("broken") {
        return Came::Broken(broken);
    }
    if line["end"] == true {
        return Came::End;
    }
    Came::Answer(line["answer"].take())
}
