//! What a viewer may send, and what happens to one that breaks the rules of RFC 6455: it is closed, and nobody else notices.

use super::harness::raw::{CLOSE, PING, PONG, TEXT};
use super::harness::{Frame, PlainViewer, Raw, Server, Viewer, eventually};

const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;

/// A server with somebody who watches all along.
struct Stage {
    server: Server,
    bystander: PlainViewer,
    round: usize,
}

impl Stage {
    async fn new() -> Self {
        let server = Server::start(&[]).await;
        let bystander = PlainViewer::join(&server, "room=den").await;
        Self {
            server,
            bystander,
            round: 0,
        }
    }

    /// A viewer of whom nothing good is to be expected.
    async fn offender(&self) -> Raw {
        let mut raw = Raw::open(self.server.address()).await;
        raw.upgrade("room=den&history=0").await;
        raw
    }

    /// Sends `frames` as a viewer who must be closed with one of `codes`.
    async fn refuses(&mut self, what: &str, frames: &[Frame], codes: &[u16]) {
        let mut raw = self.offender().await;
        for frame in frames {
            raw.send_frame(frame).await;
        }
        let code = raw.close_code().await;
        assert!(
            code.is_some_and(|code| codes.contains(&code)),
            "{what}: closed with {code:?}, not with one of {codes:?}"
        );
        raw.finish().await;
        raw.ended().await;
        self.nobody_noticed(what).await;
    }

    /// Sends `frames` as a viewer who must stay.
    async fn tolerates(&mut self, what: &str, frames: &[Frame]) {
        let mut raw = self.offender().await;
        for frame in frames {
            raw.send_frame(frame).await;
        }
        self.is_answered(what, &mut raw).await;
        self.nobody_noticed(what).await;
    }

    /// A ping is answered, so the viewer is still connected and all before was digested.
    async fn is_answered(&self, what: &str, raw: &mut Raw) {
        raw.send_frame(&Frame::new(PING, "still there?")).await;
        loop {
            let frame = raw
                .frame()
                .await
                .unwrap_or_else(|| panic!("{what}: the connection ended"));
            assert_ne!(
                frame.opcode,
                CLOSE,
                "{what}: closed with {:?}",
                frame.close_code()
            );
            if frame.opcode == PONG && frame.payload == b"still there?" {
                return;
            }
        }
    }

    async fn nobody_noticed(&mut self, what: &str) {
        self.round += 1;
        let text = format!("round {}", self.round);
        self.server.say("den", &text).await;
        assert_eq!(self.bystander.next().await, text, "after {what}");
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload() {
    let mut stage = Stage::new().await;
    let mut raw = stage.offender().await;
    for payload in [Vec::new(), b"x".to_vec(), (0..125).collect::<Vec<u8>>()] {
        raw.send_frame(&Frame::new(PING, payload.clone())).await;
        let pong = raw.frame().await.expect("a pong");
        assert_eq!(
            (pong.fin, pong.reserved, pong.opcode, &pong.payload),
            (true, 0, PONG, &payload)
        );
    }
    stage.nobody_noticed("pings").await;
}

#[tokio::test]
async fn a_ping_that_comes_byte_by_byte_is_answered_too() {
    let mut stage = Stage::new().await;
    let mut raw = stage.offender().await;
    for byte in Frame::new(PING, "slowly").encode() {
        raw.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.frame().await.expect("a pong").payload, b"slowly");
    stage.nobody_noticed("a slow ping").await;
}

#[tokio::test]
async fn frames_that_come_with_the_handshake_are_not_lost() {
    let stage = Stage::new().await;
    let mut raw = Raw::open(stage.server.address()).await;
    let mut bytes = format!(
        "GET /websockets/chat-messages?room=den HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        stage.server.address()
    )
    .into_bytes();
    bytes.extend(Frame::new(PING, "at once").encode());
    raw.send(&bytes).await;
    assert_eq!(raw.response().await.status, 101);
    assert_eq!(raw.frame().await.expect("a pong").payload, b"at once");
}

#[tokio::test]
async fn a_close_is_answered_and_the_connection_ends() {
    let mut stage = Stage::new().await;
    let with_code = Frame::new(CLOSE, [&1000_u16.to_be_bytes()[..], b"bye"].concat());
    let own_code = Frame::new(CLOSE, 4123_u16.to_be_bytes());
    for (close, wanted) in [
        (Frame::new(CLOSE, ""), None),
        (with_code, Some(1000)),
        (own_code, Some(4123)),
    ] {
        let mut raw = stage.offender().await;
        raw.send_frame(&close).await;
        let answer = raw.frame().await.expect("a close");
        assert_eq!(answer.opcode, CLOSE);
        // RFC 6455 section 5.5.1: typically the code is echoed; 1000 for none is common too.
        let code = answer.close_code();
        assert!(
            code == wanted || code == Some(1000),
            "{close:?} answered with {code:?}"
        );
        assert_eq!(raw.frame().await, None, "nothing after the close");
    }
    stage.nobody_noticed("closes").await;
}

#[tokio::test]
async fn what_a_viewer_says_is_ignored_within_the_limit() {
    let mut stage = Stage::new().await;
    let first = Frame {
        fin: false,
        ..Frame::new(TEXT, "one ")
    };
    let middle = Frame {
        fin: false,
        ..Frame::new(CONTINUATION, "message, ")
    };
    let last = Frame::new(CONTINUATION, "three frames");
    stage
        .tolerates("a text", &[Frame::new(TEXT, "hello")])
        .await;
    stage
        .tolerates("an empty text", &[Frame::new(TEXT, "")])
        .await;
    stage
        .tolerates("a text of 4 KiB", &[Frame::new(TEXT, "x".repeat(4096))])
        .await;
    stage
        .tolerates("a pong nobody asked for", &[Frame::new(PONG, "well?")])
        .await;
    stage
        .tolerates(
            "a message in fragments",
            &[first.clone(), middle.clone(), last.clone()],
        )
        .await;
    let ping = Frame::new(PING, "between");
    stage
        .tolerates("a ping between fragments", &[first, ping, middle, last])
        .await;
}

#[tokio::test]
async fn a_frame_without_a_mask_is_a_1002() {
    let mut stage = Stage::new().await;
    for opcode in [TEXT, BINARY, PING, CLOSE] {
        let frame = Frame {
            masked: false,
            ..Frame::new(opcode, "")
        };
        stage
            .refuses(
                &format!("opcode {opcode} unmasked and empty"),
                &[frame],
                &[1002],
            )
            .await;
    }
    let frame = Frame {
        masked: false,
        ..Frame::new(TEXT, "hello")
    };
    stage.refuses("a text unmasked", &[frame], &[1002]).await;
}

#[tokio::test]
async fn a_reserved_bit_is_a_1002() {
    let mut stage = Stage::new().await;
    for reserved in [0b100, 0b010, 0b001, 0b111] {
        let frame = Frame {
            reserved,
            ..Frame::new(TEXT, "hello")
        };
        stage
            .refuses(&format!("reserved bits {reserved:03b}"), &[frame], &[1002])
            .await;
    }
}

#[tokio::test]
async fn an_opcode_that_is_none_is_a_1002() {
    let mut stage = Stage::new().await;
    for opcode in [3, 7, 0xb, 0xf] {
        stage
            .refuses(
                &format!("opcode {opcode}"),
                &[Frame::new(opcode, "hello")],
                &[1002],
            )
            .await;
    }
}

#[tokio::test]
async fn more_than_4_kib_is_a_1009() {
    let mut stage = Stage::new().await;
    stage
        .refuses(
            "4,097 bytes",
            &[Frame::new(TEXT, "x".repeat(4097))],
            &[1009],
        )
        .await;
    stage
        .refuses(
            "100,000 bytes",
            &[Frame::new(BINARY, "x".repeat(100_000))],
            &[1009],
        )
        .await;
    let claims = |claimed| Frame {
        claimed: Some(claimed),
        ..Frame::new(TEXT, "hello")
    };
    stage
        .refuses("a claim of 1 GiB", &[claims(1 << 30)], &[1009])
        .await;
    // The highest bit must be 0: RFC 6455 section 5.2.
    stage
        .refuses(
            "a claim of 2^63 + 1 bytes",
            &[claims((1 << 63) + 1)],
            &[1009, 1002],
        )
        .await;
    let fragment = Frame {
        fin: false,
        ..Frame::new(CONTINUATION, "x".repeat(1500))
    };
    let fragments = [
        Frame {
            opcode: TEXT,
            ..fragment.clone()
        },
        fragment.clone(),
        fragment,
    ];
    stage
        .refuses("4,500 bytes in fragments", &fragments, &[1009])
        .await;
}

#[tokio::test]
async fn a_control_frame_that_is_too_long_or_in_fragments_is_a_1002() {
    let mut stage = Stage::new().await;
    for opcode in [PING, PONG, CLOSE] {
        let long = Frame::new(opcode, [&1000_u16.to_be_bytes()[..], &[b'x'; 124]].concat());
        stage
            .refuses(&format!("opcode {opcode} with 126 bytes"), &[long], &[1002])
            .await;
        let fragment = Frame {
            fin: false,
            ..Frame::new(opcode, "")
        };
        stage
            .refuses(
                &format!("opcode {opcode} in fragments"),
                &[fragment],
                &[1002],
            )
            .await;
    }
}

#[tokio::test]
async fn fragments_out_of_turn_are_a_1002() {
    let mut stage = Stage::new().await;
    stage
        .refuses(
            "a continuation of nothing",
            &[Frame::new(CONTINUATION, "more")],
            &[1002],
        )
        .await;
    let first = Frame {
        fin: false,
        ..Frame::new(TEXT, "one ")
    };
    stage
        .refuses(
            "a message within a message",
            &[first, Frame::new(TEXT, "two")],
            &[1002],
        )
        .await;
}

#[tokio::test]
async fn a_bad_close_is_refused() {
    let mut stage = Stage::new().await;
    stage
        .refuses("half a code", &[Frame::new(CLOSE, [3])], &[1002])
        .await;
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        stage
            .refuses(
                &format!("code {code}"),
                &[Frame::new(CLOSE, code.to_be_bytes())],
                &[1002],
            )
            .await;
    }
    let reason = [&1000_u16.to_be_bytes()[..], b"no UTF-8: \xff"].concat();
    stage
        .refuses(
            "a reason that is no UTF-8",
            &[Frame::new(CLOSE, reason)],
            &[1007, 1002],
        )
        .await;
}

#[tokio::test]
async fn text_that_is_no_utf_8_is_refused_or_ignored_like_all_text() {
    let mut stage = Stage::new().await;
    let mut raw = stage.offender().await;
    raw.send_frame(&Frame::new(TEXT, b"no UTF-8: \xff".to_vec()))
        .await;
    raw.send_frame(&Frame::new(PING, "still there?")).await;
    let answer = raw.frame().await.expect("a frame");
    let refused = answer
        .close_code()
        .is_some_and(|code| code == 1007 || code == 1002);
    assert!(refused || answer.opcode == PONG, "{answer:?}");
    stage.nobody_noticed("invalid UTF-8").await;
}

#[tokio::test]
async fn a_viewer_that_vanishes_within_a_frame_disturbs_nobody() {
    let mut stage = Stage::new().await;
    let frame = Frame::new(TEXT, "cut off in the middle").encode();
    for length in 0..frame.len() {
        let mut raw = stage.offender().await;
        raw.send(&frame[..length]).await;
        if length % 2 == 0 {
            raw.finish().await;
        }
    }
    stage.nobody_noticed("viewers that vanish").await;
}

#[tokio::test]
async fn i4_a_viewer_that_never_reads_is_let_go_while_the_others_get_everything() {
    const PUBLISHERS: usize = 16;
    const EACH: usize = 160;
    let server = Server::start(&[]).await;
    let mut stalled = Raw::open_with_little_room(server.address()).await;
    stalled.upgrade("room=den&history=0").await;
    let mut viewer = Viewer::join(&server, "room=den").await;
    // 6,000 bytes a message, some 15 MB together: more than the lag limit and what the kernel keeps for the stalled one.
    let filler = "€".repeat(1990);
    let publish = async {
        let all = (0..PUBLISHERS).map(async |publisher| {
            for number in 0..EACH {
                server
                    .say("den", &format!("{publisher} {number} {filler}"))
                    .await;
            }
        });
        futures_util::future::join_all(all).await;
    };
    let watch = async {
        let mut next = [0; PUBLISHERS];
        for shown in viewer.take(PUBLISHERS * EACH).await {
            let mut words = shown.text.split(' ');
            let publisher: usize = words.next().unwrap().parse().unwrap();
            assert_eq!(
                words.next().unwrap(),
                next[publisher].to_string(),
                "of publisher {publisher}"
            );
            next[publisher] += 1;
        }
    };
    tokio::join!(publish, watch);
    let (here, there) = (stalled.local().port(), server.address().port());
    eventually(
        "the server let the stalled viewer go (its end of the connection is no longer ESTABLISHED)",
        async || !established(there, here),
    )
    .await;
    let got = stalled.ended().await;
    assert!(
        got < PUBLISHERS * EACH * 6000,
        "a viewer that was let go did not get everything: {got} bytes"
    );
    server.say("den", "still here").await;
    assert_eq!(viewer.next().await.text, "still here");
}

#[tokio::test]
async fn i4_viewers_that_stall_delay_nobody_however_many_they_are() {
    const STALLED: u32 = 20;
    const HEALTHY: usize = 5;
    // They are to stay, however long it takes until they stall.
    let limits = [
        "--lag-limit",
        "200MiB",
        "--lag-time",
        "1h",
        "--ping-interval",
        "off",
    ];
    let server = Server::start(&limits).await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut raw = Raw::open_with_little_room(server.address()).await;
        raw.upgrade("room=den&history=0").await;
        stalled.push(raw);
    }
    let mut healthy = Vec::new();
    for _ in 0..HEALTHY {
        healthy.push(PlainViewer::join(&server, "room=den&history=0").await);
    }
    let filler = "€".repeat(1990);
    let mut texts = Vec::new();
    while server.metric("chat_room_fanout_viewers_lagging").await < f64::from(STALLED) - 0.5 {
        assert!(texts.len() < 5_000, "some viewers do not stall");
        for _ in 0..10 {
            texts.push(format!("{} {filler}", texts.len()));
        }
        server.say_all("den", &texts[texts.len() - 10..]).await;
        for viewer in &mut healthy {
            assert_eq!(viewer.take(10).await, texts[texts.len() - 10..]);
        }
    }
    for round in 0..20 {
        let text = format!("round {round}");
        server.say("den", &text).await;
        for viewer in &mut healthy {
            assert_eq!(viewer.next().await, text);
        }
    }
    let lagging = server.metric("chat_room_fanout_viewers_lagging").await;
    assert!(
        lagging > f64::from(STALLED) - 0.5,
        "they were all stalled meanwhile: {lagging}"
    );
}

#[tokio::test]
async fn i4_a_viewer_that_is_behind_for_too_long_is_let_go_however_little_it_is() {
    let server = Server::start(&["--lag-limit", "200MiB", "--lag-time", "1s"]).await;
    let mut stalled = Raw::open_with_little_room(server.address()).await;
    stalled.upgrade("room=den&history=0").await;
    let filler = "€".repeat(1990);
    eventually("the viewer is let go", || async {
        for _ in 0..20 {
            server.say("den", &filler).await;
        }
        server
            .metrics()
            .await
            .contains("lag_disconnects_total{reason=\"too_long_behind\"} 1")
    })
    .await;
    stalled.ended().await;
}

/// Whether the kernel has an established connection from port `local` to port `remote` of 127.0.0.1.
fn established(local: u16, remote: u16) -> bool {
    let table =
        std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table of connections");
    let (local, remote) = (
        format!("0100007F:{local:04X}"),
        format!("0100007F:{remote:04X}"),
    );
    table.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields
            .get(1..4)
            .is_some_and(|fields| fields == [local.as_str(), remote.as_str(), "01"])
    })
}
