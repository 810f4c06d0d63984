//! permessage-deflate (RFC 7692), towards clients that speak it: by the book, by `ws` of npm, by `websockets` of Python.
//! What a browser makes of it is in `browser`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;

use flate2::{Decompress, FlushDecompress};
use serde_json::{Value, json};

use crate::harness::raw::{PING, PONG, TEXT};
use crate::harness::{
    Frame, Raw, Server, Viewer, allow_many_files, node, packages, python, suite_file, within,
};

const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");
const PROTOCOL: (&str, &str) = ("Sec-WebSocket-Protocol", "chat-room.v1");
const RSV1: u8 = 0b100;

/// Long enough to be compressed.
fn long(number: usize) -> String {
    format!("message {number}: {}", ["it goes on and on"; 40].join(", "))
}

/// A viewer that took compression, past its `joined`.
async fn join(server: &Server, query: &str) -> Raw {
    let mut raw = Raw::open(server.address()).await;
    let offer = ("Sec-WebSocket-Extensions", "permessage-deflate");
    let answer = raw.handshake(query, &[VERSION, PROTOCOL, offer]).await;
    assert_eq!(answer.header("Sec-WebSocket-Extensions"), Some(ANSWER));
    let (joined, _) = read(&mut raw).await;
    assert_eq!(joined["type"], "joined");
    raw
}

/// The next frame, and whether it was compressed.
async fn read(raw: &mut Raw) -> (Value, bool) {
    let frame = raw.frame().await.expect("a frame");
    assert!(frame.fin && frame.opcode == TEXT, "{frame:?}");
    let text = match frame.reserved {
        0 => frame.payload,
        RSV1 => inflate(frame.payload),
        other => panic!("reserved bits {other:b}"),
    };
    let value = serde_json::from_slice(&text).expect("JSON");
    (value, frame.reserved == RSV1)
}

/// RFC 7692, 7.2.2; each message by itself.
fn inflate(mut payload: Vec<u8>) -> Vec<u8> {
    payload.extend([0, 0, 0xff, 0xff]);
    let mut text = Vec::with_capacity(256 * 1024);
    Decompress::new(false)
        .decompress_vec(&payload, &mut text, FlushDecompress::Sync)
        .expect("deflated data");
    text
}

/// The value of a metric, if it was ever counted.
async fn metric<T: FromStr>(server: &Server, name: &str) -> Option<T> {
    let text = server.metrics().await;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok())
}

#[tokio::test]
async fn offers_are_answered_as_the_rfc_has_it() {
    let server = Server::start(&[]).await;
    let window = format!("{ANSWER}; server_max_window_bits=15");
    for (offer, protocol, answer) in [
        (
            "permessage-deflate; client_max_window_bits",
            true,
            Some(ANSWER),
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            true,
            Some(&*window),
        ),
        ("permessage-deflate; server_max_window_bits=10", true, None),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            true,
            Some(ANSWER),
        ),
        (
            "permessage-deflate; mux=1, permessage-deflate",
            true,
            Some(ANSWER),
        ),
        ("permessage-deflate; client_max_window_bits=99", true, None),
        ("permessage-deflate", false, None),
    ] {
        let mut raw = Raw::open(server.address()).await;
        let mut headers = vec![VERSION, ("Sec-WebSocket-Extensions", offer)];
        headers.extend(protocol.then_some(PROTOCOL));
        let got = raw.handshake("", &headers).await;
        assert_eq!(got.status, 101);
        assert_eq!(got.header("Sec-WebSocket-Extensions"), answer, "{offer}");
    }
    let off = Server::start(&["--compression", "off"]).await;
    let mut raw = Raw::open(off.address()).await;
    let offer = ("Sec-WebSocket-Extensions", "permessage-deflate");
    let got = raw.handshake("", &[VERSION, PROTOCOL, offer]).await;
    assert_eq!(got.header("Sec-WebSocket-Extensions"), None);
}

#[tokio::test]
async fn who_took_compression_sees_what_the_others_see() {
    let server = Server::start(&[]).await;
    for number in 0..5 {
        server.say("den", &long(number)).await;
    }
    let mut plain = Viewer::join(&server, "room=den").await;
    let mut compressed = join(&server, "room=den").await;
    let (history, was_compressed) = read(&mut compressed).await;
    assert!(was_compressed, "the history");
    let mut seen = history["messages"].as_array().expect("messages").clone();
    server.say("den", "short").await;
    let (short, was_compressed) = read(&mut compressed).await;
    assert!(!was_compressed, "a small batch");
    seen.extend(short["messages"].as_array().expect("messages").clone());
    server.say("den", &long(5)).await;
    let (next, was_compressed) = read(&mut compressed).await;
    assert!(was_compressed, "a large one");
    seen.extend(next["messages"].as_array().expect("messages").clone());
    for (message, other) in seen.iter().zip(plain.take(7).await) {
        let message: crate::harness::Shown =
            serde_json::from_value(message.clone()).expect("a message");
        assert_eq!(message, other);
    }
    let input: u64 = metric(&server, "chat_room_log_compression_input_bytes_total")
        .await
        .expect("bytes");
    let output: u64 = metric(&server, "chat_room_log_compression_output_bytes_total")
        .await
        .expect("bytes");
    assert!(input > 4_000 && output < input / 4, "{input} {output}");
    let seconds: Option<f64> = metric(&server, "chat_room_log_compression_cpu_seconds_sum").await;
    assert!(seconds > Some(0.0));
}

#[tokio::test]
async fn a_compressed_frame_is_a_1003_where_it_was_agreed_on_and_else_a_1002() {
    let server = Server::start(&[]).await;
    let mut compressed = Frame::new(TEXT, [0x4a, 0x04, 0x00]);
    compressed.reserved = RSV1;
    let mut raw = join(&server, "").await;
    raw.send_frame(&Frame::new(TEXT, "not compressed")).await;
    raw.send_frame(&Frame::new(PING, "there?")).await;
    let pong = raw.frame().await.expect("a pong");
    assert_eq!((pong.opcode, &pong.payload[..]), (PONG, &b"there?"[..]));
    raw.send_frame(&compressed).await;
    assert_eq!(raw.close_code().await, Some(1003));

    let mut control = Frame::new(PING, "x");
    control.reserved = RSV1;
    let mut raw = join(&server, "").await;
    raw.send_frame(&control).await;
    assert_eq!(raw.close_code().await, Some(1002), "RFC 7692, 6.1");

    let mut raw = Raw::open(server.address()).await;
    raw.upgrade("").await;
    raw.send_frame(&compressed).await;
    assert_eq!(raw.close_code().await, Some(1002));
}

#[tokio::test]
async fn a_thousand_viewers_cost_one_compression_a_batch() {
    const MESSAGES: usize = 10;
    allow_many_files();
    let server = Server::start(&[]).await;
    let mut viewers = Vec::new();
    for _ in 0..1_000 {
        viewers.push(join(&server, "").await);
    }
    let counters = [
        "chat_room_log_compressions_total{outcome=\"compressed\"}",
        "chat_room_log_encodings_total{encoding=\"v1-deflate\"}",
        "chat_room_log_encodings_total{encoding=\"v1\"}",
        "chat_room_log_encodings_total{encoding=\"plain\"}",
    ];
    let count = async || {
        let mut values = Vec::new();
        for name in counters {
            values.push(metric::<u64>(&server, name).await.unwrap_or_default());
        }
        values
    };
    let before = count().await;
    for number in 0..MESSAGES {
        server.say("lobby", &long(number)).await;
    }
    // What came with one event of the stream is one batch.
    let mut batches = Vec::new();
    for viewer in &mut viewers {
        let mut seen = 0;
        let mut frames = 0_u64;
        while seen < MESSAGES {
            let (frame, compressed) = read(viewer).await;
            assert!(compressed);
            frames += 1;
            for message in frame["messages"].as_array().expect("messages") {
                assert_eq!(message["text"], json!(long(seen)));
                seen += 1;
            }
        }
        batches.push(frames);
    }
    assert!(
        batches.iter().all(|frames| *frames == batches[0]),
        "all see the same frames"
    );
    let more: Vec<_> = count()
        .await
        .iter()
        .zip(before)
        .map(|(now, then)| now - then)
        .collect();
    assert_eq!(more, [batches[0], batches[0], 0, 0], "{counters:?}");
}

/// Runs a client that joins, says so, and after `count` messages prints what it saw: its extensions and the texts.
async fn outside_client(program: &Path, script: &str, folder: &Path, server: &Server) {
    let texts: Vec<_> = (0..20).map(long).collect();
    for text in &texts[..10] {
        server.say("den", text).await;
    }
    let url = format!(
        "ws://{}/websockets/chat-messages?room=den",
        server.address()
    );
    let client = Command::new(program)
        .arg(suite_file(script))
        .args([&url, "20"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("a client");
    for text in &texts[10..] {
        server.say("den", text).await;
    }
    // It has a time limit of its own.
    let done = tokio::task::spawn_blocking(|| client.wait_with_output());
    let done = within(script, done)
        .await
        .expect("a thread")
        .expect("its output");
    assert!(done.status.success(), "{script}: {}", done.status);
    let saw: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let extensions = saw["extensions"].as_str().expect("a text");
    assert!(extensions.contains("permessage-deflate"), "{extensions}");
    assert_eq!(saw["texts"], json!(texts));
}

#[tokio::test]
async fn npms_ws_reads_it() {
    let server = Server::start(&[]).await;
    let folder = packages("ws");
    outside_client(&node(), "compression/ws_client.cjs", &folder, &server).await;
}

#[tokio::test]
async fn pypis_websockets_reads_it() {
    let server = Server::start(&[]).await;
    let script = "compression/websockets_client.py";
    outside_client(&python(), script, Path::new("."), &server).await;
}
