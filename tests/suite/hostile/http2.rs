//! Floods of HTTP/2 frames (RFC 9113), each of which costs its sender little and a server that is not careful much.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Stage;
use crate::harness::{Raw, eventually, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frames of a flood.
const MANY: u32 = 20_000;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const UNKNOWN: u8 = 0x42;

const NO_FLAGS: u8 = 0;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A request in HPACK (RFC 7541): `:method`, `:scheme` http, `:path` and `:authority` a, by the static table.
fn head(method: u8, path: &str) -> Vec<u8> {
    let mut head = vec![method, 0x86];
    for (name, value) in [(4, path), (1, "a")] {
        head.extend([name, u8::try_from(value.len()).expect("a short value")]);
        head.extend(value.as_bytes());
    }
    head
}
const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// A client's streams have odd numbers.
fn stream(number: u32) -> u32 {
    2 * number + 1
}

fn many(one: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..MANY).flat_map(one).collect()
}

/// What is sent after the settings, and whether the server must end the connection for it.
fn floods() -> Vec<(&'static str, Vec<u8>, bool)> {
    let get = |number| {
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream(number),
            &head(GET, "/"),
        )
    };
    let post = |number| {
        frame(
            HEADERS,
            END_HEADERS,
            stream(number),
            &head(POST, "/chat-messages"),
        )
    };
    let begun = frame(HEADERS, NO_FLAGS, 1, &head(GET, "/"));
    // A field of nearly 4 KB goes into the table, and is then named in a byte, again and again.
    let mut bomb = head(GET, "/");
    bomb.extend([0x40, 1, b'x', 0x7f, 0xf9, 0x1d]);
    bomb.extend([b'y'; 0x7f + 0x79 + (0x1d << 7)]);
    let first = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    let again = [head(GET, "/"), vec![0xbe; 12_000]].concat();
    let again = |number: u32| {
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream(number + 1),
            &again,
        )
    };
    vec![
        (
            "answers that may not be sent",
            // SETTINGS_INITIAL_WINDOW_SIZE is 0 from here on.
            [
                frame(SETTINGS, NO_FLAGS, 0, &[0, 4, 0, 0, 0, 0]),
                (0..80).flat_map(get).collect(),
            ]
            .concat(),
            false,
        ),
        (
            "streams that are reset at once",
            many(|number| {
                [
                    get(number),
                    frame(RST_STREAM, NO_FLAGS, stream(number), &[0, 0, 0, 8]),
                ]
                .concat()
            }),
            true,
        ),
        ("more streams than there may be", many(post), true),
        (
            "a head that does not end",
            [
                begun.clone(),
                many(|_| frame(CONTINUATION, NO_FLAGS, 1, &[0x82; 100])),
            ]
            .concat(),
            true,
        ),
        (
            "a head that goes on with nothing",
            [begun, many(|_| frame(CONTINUATION, NO_FLAGS, 1, &[]))].concat(),
            true,
        ),
        (
            "heads that unpack to more than they are",
            [first, (0..40).flat_map(again).collect()].concat(),
            true,
        ),
        (
            "a body of nothing",
            [post(0), many(|_| frame(DATA, NO_FLAGS, 1, &[]))].concat(),
            true,
        ),
        (
            "settings",
            many(|_| frame(SETTINGS, NO_FLAGS, 0, &[])),
            false,
        ),
        ("pings", many(|_| frame(PING, NO_FLAGS, 0, &[7; 8])), false),
        (
            "priorities",
            many(|number| frame(PRIORITY, NO_FLAGS, stream(number), &[0, 0, 0, 0, 1])),
            false,
        ),
        (
            "windows that grow by a byte",
            many(|_| frame(WINDOW_UPDATE, NO_FLAGS, 0, &[0, 0, 0, 1])),
            false,
        ),
        (
            "frames of no known kind",
            many(|_| frame(UNKNOWN, NO_FLAGS, 0, &[9; 100])),
            false,
        ),
    ]
}

/// The flood was understood, and does not keep from being served who reads: a ping at its end is answered.
async fn a_ping_is_answered_after(what: &str, flood: &[u8], address: SocketAddr) {
    let payload = b"the last";
    let ping = frame(PING, NO_FLAGS, 0, payload);
    let answer = frame(PING, ACK, 0, payload);
    let tcp = within("a connection", TcpStream::connect(address)).await;
    let (mut from, mut to) = tcp.expect("a connection").into_split();
    let flood = [flood, &ping].concat();
    let sent = to.write_all(&flood);
    let answered = async {
        let mut said = Vec::new();
        while !said.windows(answer.len()).any(|window| window == answer) {
            // What may be the answer's beginning.
            said.drain(..said.len().saturating_sub(answer.len()));
            let read = from.read_buf(&mut said).await.unwrap_or(0);
            assert!(read > 0, "{what}: ended, and the ping not answered");
        }
    };
    let (sent, ()) = within(what, join(sent, answered)).await;
    sent.unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// How many pages were served.
fn pages(metrics: &str) -> u32 {
    let served = metrics.lines().filter_map(|line| {
        let line = line.strip_prefix("chat_room_http_requests_total{")?;
        let is_page = line.contains("resource=\"asset\"") && line.contains("status=\"200\"");
        is_page.then(|| line.rsplit(' ').next()?.parse::<u32>().ok())?
    });
    served.sum()
}

#[tokio::test]
async fn i4_a_flood_of_http_2_frames_costs_its_sender_only() {
    let mut stage = Stage::new(&[]).await;
    let before = stage.memory().await;
    for (number, (what, flood, is_ended)) in floods().into_iter().enumerate() {
        let flood = [PREFACE, &frame(SETTINGS, NO_FLAGS, 0, &[]), &flood].concat();
        let mut raws = Vec::new();
        for _ in 0..8 {
            raws.push(Raw::open_with_little_room(stage.server.address()).await);
        }
        // They do not read: what is answered would have to be kept.
        let sending = raws.iter_mut().map(async |raw| {
            let limit = Duration::from_secs(3);
            let _ = tokio::time::timeout(limit, raw.send(&flood)).await;
        });
        join_all(sending).await;
        let grown = stage.memory().await - before;
        println!("{what}: {grown} bytes more");
        assert!(grown < 12e6, "{what}: {grown} bytes more");
        stage.nobody_noticed(what).await;
        if number == 0 {
            // They are understood: each of the first flood's requests is served.
            eventually("all pages are served", || async {
                pages(&stage.server.metrics().await) == 8 * 80
            })
            .await;
        }
        if is_ended {
            // Long before the limits in time would end it.
            let ends = raws.iter_mut().map(Raw::ended);
            let ended = tokio::time::timeout(Duration::from_secs(5), join_all(ends)).await;
            assert!(ended.is_ok(), "{what}: is served on");
        } else {
            a_ping_is_answered_after(what, &flood, stage.server.address()).await;
        }
    }
    eventually("all of them are gone", || async {
        stage.server.metric("chat_room_http_connections").await < 3.5
    })
    .await;
}
