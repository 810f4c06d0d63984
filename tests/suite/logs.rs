//! What the log holds, and what it never does.

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use serde_json::{Value, json};

use super::harness::{Launch, Server, Viewer, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

async fn publish_traced(server: &Server, text: &str) {
    let answer = server
        .client()
        .post(server.url("/chat-messages"))
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .json(&json!({ "text": text, "name": "Ada-whom-nobody-logs" }))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 202);
}

/// The lines of a log in JSON that say `message`.
fn lines(log: &str, message: &str) -> Vec<Value> {
    let parse = |line: &str| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    let lines = log.lines().map(parse);
    lines.filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn a_publish_is_logged_with_its_trace_where_that_is_asked_for() {
    let server = Launch::new()
        .args(&[
            "--log-format",
            "json",
            "--log-level",
            "info,chat_room::http=debug",
        ])
        .start()
        .await;
    publish_traced(&server, "hello").await;
    server.say("lobby", "without a trace").await;
    eventually("both are logged", || async {
        lines(&server.log(), "published").len() == 2
    })
    .await;
    let logged = lines(&server.log(), "published");
    assert_eq!(logged[0]["trace_id"], TRACE);
    assert_eq!(logged[0]["parent_id"], PARENT);
    assert_eq!(logged[0]["outcome"], "accepted");
    assert_eq!(logged[0]["level"], "DEBUG");
    assert!(logged[0]["id"].is_string(), "{}", logged[0]);
    assert_eq!(logged[1]["trace_id"], Value::Null);
    // Of the other modules only what `info` lets through.
    let log = server.log();
    let others = log.lines().filter(|line| !line.contains("chat_room::http"));
    for line in others {
        assert!(!line.contains(r#""level":"DEBUG""#), "{line}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_life_is_logged_in_a_line_for_each_event_and_a_message_in_none() {
    let server = Server::start(&["--log-format", "json"]).await;
    let mut viewer = Viewer::join(&server, "room=lobby").await;
    eventually("it says that it is ready", || async {
        lines(&server.log(), "ready").len() == 1
    })
    .await;
    let before = server.log();
    for number in 0..50 {
        publish_traced(&server, &format!("message {number}")).await;
    }
    viewer.until("message 49").await;
    let new = server.log().lines().count() - before.lines().count();
    assert!(new < 10, "messages are no events: {}", server.log());
    for event in ["open files", "reading the stream", "ready"] {
        assert_eq!(lines(&before, event).len(), 1, "{event}: {before}");
    }
    for line in before.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn neither_texts_nor_names_nor_secrets_are_logged_even_at_the_finest_level() {
    const SECRET: &str = "an+AWS/secret+that/stands+nowhere/else1234";
    const TOKEN: &str = "a-session-token-that-stands-nowhere-else";
    const TEXT: &str = "a text that stands nowhere else";
    let kinesis = Server::start_sharing(&["--log-level", "trace"]).await;
    let server = Launch::on_kinesis_at(kinesis.kinesis())
        .args(&["--log-level", "trace", "--log-format", "json"])
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_SESSION_TOKEN", TOKEN)
        .start()
        .await;
    let polling = Launch::on_kinesis_at(kinesis.kinesis())
        .args(&[
            "--log-level",
            "aws_smithy_runtime=trace,trace",
            "--consumer",
            "polling",
        ])
        .start()
        .await;
    let mut viewers = [
        Viewer::join(&kinesis, "room=lobby").await,
        Viewer::join(&server, "room=lobby").await,
        Viewer::join(&polling, "room=lobby").await,
    ];
    publish_traced(&server, TEXT).await;
    for viewer in &mut viewers {
        viewer.until(TEXT).await;
    }
    // Refused, and so told of in words.
    let refused = format!("{TEXT}\u{7}");
    assert_eq!(server.post(&json!({ "text": refused })).await.status(), 400);
    // Their ends are logged, too.
    let mut log = String::new();
    for server in [polling, server, kinesis] {
        log += &server.stop_and_log().await;
    }
    assert!(log.contains("TRACE"), "the finest level is on");
    let mut shown = Vec::new();
    for hidden in [SECRET, TOKEN, TEXT, "Ada-whom-nobody-logs"] {
        // Also not as a list of bytes, nor in base64, in which a text has three shapes.
        let bytes: Vec<_> = hidden
            .bytes()
            .take(8)
            .map(|byte| byte.to_string())
            .collect();
        let base64 = |before: usize| {
            let text = format!("{}{hidden}", "x".repeat(before));
            let encoded = BASE64_STANDARD_NO_PAD.encode(text);
            // Without what depends on its neighbours.
            encoded[4..encoded.len() - 3].to_owned()
        };
        let shapes = [
            hidden.to_owned(),
            bytes.join(", "),
            base64(0),
            base64(1),
            base64(2),
        ];
        for shape in shapes {
            shown.extend(log.lines().find(|line| line.contains(&shape)));
        }
    }
    // A line can be long.
    let shown: Vec<String> = shown
        .iter()
        .map(|line| line.chars().take(300).collect())
        .collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}
