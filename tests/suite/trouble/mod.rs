//! Instances of the program on a stream that goes wrong as the test says.

mod names;
mod orphans;
mod pressure;
mod refused;
mod starting;
mod trimmed;

use reqwest::StatusCode;
use serde_json::Value;

use super::harness::{Launch, Server};

/// An instance that holds the stream and serves it to others, with `/faults` beside it.
pub(super) struct Holder {
    pub(super) server: Server,
}

impl Holder {
    pub(super) async fn start(args: &[&str]) -> Self {
        let launch = Launch::new()
            .file("faults.toml", "")
            .args(&["--embedded-listen", "127.0.0.1:0"])
            .args(&["--embedded-faults", "faults.toml"]);
        Self {
            server: launch.args(args).start().await,
        }
    }

    /// A further instance on its stream.
    pub(super) fn beside(&self, args: &[&str]) -> Launch {
        Launch::on_kinesis_at(self.server.kinesis()).args(args)
    }

    /// From now on the stream goes wrong by these rules, too.
    pub(super) async fn add(&self, rules: &Value) {
        let answer = self.server.client().post(self.url()).json(rules);
        let answer = answer.send().await.expect("an answer from /faults");
        let status = answer.status();
        let text = answer.text().await.expect("the text of /faults");
        assert_eq!(status, StatusCode::OK, "{rules}: {text}");
    }

    /// Takes all rules away.
    async fn clear(&self) {
        let answer = self.server.client().delete(self.url()).send().await;
        let answer = answer.expect("an answer from /faults");
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// How often a fault did occur.
    pub(super) async fn count(&self, fault: &str) -> u64 {
        let answer = self.server.client().get(self.url()).send().await;
        let standing: Value = answer
            .expect("an answer from /faults")
            .json()
            .await
            .expect("JSON");
        standing["counts"][fault].as_u64().unwrap_or_default()
    }

    fn url(&self) -> String {
        format!("http://{}/faults", self.server.kinesis())
    }
}
