//! What operators and their tools ask: alive, ready, metrics.

use http::StatusCode;
use metrics::gauge;
use serde::Serialize;

use super::reply::{self, Reply};
use crate::telemetry::names;

/// Whether this instance should be sent clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// Not yet: it has not caught up with the stream.
    Starting,
    /// Yes.
    Ready,
    /// No longer: it is being stopped.
    Draining,
}

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadyState {
    /// In a word.
    pub status: Readiness,
    /// The shards that are behind. Trouble that comes later shows here and leaves the status as it
    /// is, so that a hiccup of Kinesis does not take every instance out of service.
    pub behind: Vec<Behind>,
    /// What is wrong with reading or writing as a whole, in words and with what to do about it.
    pub problems: Vec<String>,
}

/// A shard that is not read within a second of its tip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// Its name.
    pub shard: String,
    /// What its reader does.
    pub state: &'static str,
    /// How far behind it was by the last that was read, if anything was.
    pub millis_behind: Option<u64>,
    /// What went wrong since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// `/livez`: whoever answers is alive.
pub(super) fn live() -> Reply {
    #[derive(Serialize)]
    struct Body {
        status: &'static str,
    }
    let body = Body { status: "live" };
    reply::json(StatusCode::OK, "application/json", &body)
}

/// `/readyz`.
pub(super) fn ready(state: &ReadyState) -> Reply {
    let status = match state.status {
        Readiness::Ready => StatusCode::OK,
        Readiness::Starting | Readiness::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    reply::json(status, "application/json", state)
}

/// What `/readyz` would say, as metrics.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
pub(super) fn report(state: &ReadyState) {
    let is_ready = state.status == Readiness::Ready;
    gauge!(names::HTTP_READY).set(if is_ready { 1.0 } else { 0.0 });
    gauge!(names::HTTP_READINESS_PROBLEMS).set(state.problems.len() as f64);
}

/// `/metrics`, in Prometheus' text format.
pub(super) fn metrics(text: String) -> Reply {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    reply::fresh(StatusCode::OK, kind, text)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn readiness_names_the_shards_behind_and_what_is_wrong() {
        let behind = Behind {
            shard: "shardId-000000000000".into(),
            state: "throttled",
            millis_behind: Some(2_500),
            trouble: Some("SubscribeToShard: throttled".into()),
        };
        let mut state = ReadyState {
            status: Readiness::Starting,
            behind: vec![behind],
            problems: vec!["ListShards messages: permission denied".into()],
        };
        let rest = concat!(
            r#""behind":[{"shard":"shardId-000000000000","state":"throttled","#,
            r#""millis_behind":2500,"trouble":"SubscribeToShard: throttled"}],"#,
            r#""problems":["ListShards messages: permission denied"]}"#
        );
        for (status, code, word) in [
            (Readiness::Starting, 503, "starting"),
            (Readiness::Ready, 200, "ready"),
            (Readiness::Draining, 503, "draining"),
        ] {
            state.status = status;
            let reply = ready(&state);
            assert_eq!(reply.status(), code);
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!(r#"{{"status":"{word}",{rest}"#));
        }
    }
}
