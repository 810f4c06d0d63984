//! Connections and workers over real sockets.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;
use crate::fanout;
use crate::log::{self, Encoding, Log, LogShard, OpenShard};
use crate::message::{HashKey, Message, MessageId, Position, Room, Timestamp};

const LIMIT: Duration = Duration::from_secs(20);

struct Stage {
    connections: Rc<Connections>,
    worker: Rc<Worker>,
    shard: Arc<LogShard>,
    log: Arc<Log>,
    next: std::cell::Cell<u128>,
}

impl Stage {
    fn new(config: log::Config) -> Self {
        Self::with_limits(config, quiet())
    }

    /// With limits, and a shard that was read and has nothing.
    fn with_limits(config: log::Config, limits: fanout::Config) -> Self {
        let stage = Self::unread(config, limits);
        stage.shard.advance(0.into(), 0);
        stage
    }

    /// With a shard of which nothing was read yet.
    fn unread(config: log::Config, limits: fanout::Config) -> Self {
        let (log, mut news) = Log::new(config);
        let worker = Worker::new(0, Arc::clone(&log), limits);
        tokio::task::spawn_local(Rc::clone(&worker).run(news.remove(0)));
        let shard = log.open_shard(OpenShard {
            name: "shardId-000000000000".into(),
            range: (HashKey::MIN, HashKey::MAX),
            generation: 1,
            starting: 1.into(),
        });
        shard.set_floor(0.into());
        Self {
            connections: Connections::new(Rc::clone(&worker)),
            worker,
            shard,
            log,
            next: std::cell::Cell::new(1),
        }
    }

    fn publish(&self, text: &str) -> Position {
        self.publish_behind(text, 0)
    }

    /// Read when the shard's tip was so many milliseconds ahead.
    fn publish_behind(&self, text: &str, millis_behind: u64) -> Position {
        self.publish_batch(&[text], millis_behind)
    }

    /// Publishes texts as one batch; the position of the first.
    fn publish_batch(&self, texts: &[&str], millis_behind: u64) -> Position {
        let sequence = self.next.replace(self.next.get() + 1).into();
        let at = |index| Position { sequence, index };
        let messages = (0..).zip(texts).map(|(index, text)| Message {
            id: MessageId::Position(at(index)),
            room: Room::lobby(),
            name: None,
            text: (*text).into(),
            time: Timestamp::now(),
            arrival: Timestamp::now(),
            position: at(index),
        });
        self.shard.append(messages.collect());
        self.shard.advance(sequence, millis_behind);
        at(0)
    }

    /// A client's end of a connection that the server's end of is joined.
    async fn join(&self, encoding: Encoding, after: Option<Position>) -> TcpStream {
        let (client, server) = connection().await;
        let request = request(encoding, after);
        let connections = Rc::clone(&self.connections);
        connections.serve(server, Bytes::new(), request, ()).await;
        client
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(LIMIT, wait).await.is_ok(), "{what}");
    }
}

/// The two ends of a connection that holds little.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    client
        .connect(&listener.local_addr().unwrap().into())
        .unwrap();
    client.set_nonblocking(true).unwrap();
    let client = TcpStream::from_std(client.into()).unwrap();
    let (server, _) = listener.accept().await.unwrap();
    socket2::SockRef::from(&server)
        .set_send_buffer_size(4096)
        .unwrap();
    (client, server)
}

fn request(encoding: Encoding, after: Option<Position>) -> JoinRequest {
    JoinRequest {
        room: Room::lobby(),
        encoding,
        history: None,
        after: after.map(|position| position.to_string().into()),
    }
}

/// Nobody is pinged: what is read is what was sent for another reason.
fn quiet() -> fanout::Config {
    fanout::Config {
        ping_interval: None,
        ..fanout::Config::default()
    }
}

/// Reads one frame.
async fn frame(client: &mut TcpStream) -> (u8, Vec<u8>) {
    let read = async {
        let first = client.read_u8().await.unwrap();
        let length = match client.read_u8().await.unwrap() {
            126 => usize::from(client.read_u16().await.unwrap()),
            127 => usize::try_from(client.read_u64().await.unwrap()).unwrap(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        client.read_exact(&mut payload).await.unwrap();
        (first, payload)
    };
    timeout(LIMIT, read).await.expect("no frame came")
}

async fn text(client: &mut TcpStream) -> String {
    let (first, payload) = frame(client).await;
    assert_eq!(first, 0x81);
    String::from_utf8(payload).unwrap()
}

/// A text of a viewer that took compression, and whether it was compressed.
async fn inflated(client: &mut TcpStream) -> (String, bool) {
    let (first, mut payload) = frame(client).await;
    if first == 0x81 {
        return (String::from_utf8(payload).unwrap(), false);
    }
    assert_eq!(first, 0xC1);
    // RFC 7692, 7.2.2.
    payload.extend([0, 0, 0xFF, 0xFF]);
    let mut text = Vec::with_capacity(1 << 20);
    flate2::Decompress::new(false)
        .decompress_vec(&payload, &mut text, flate2::FlushDecompress::Sync)
        .unwrap();
    (String::from_utf8(text).unwrap(), true)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn i1_whoever_could_not_resume_is_sent_away_to_come_again() {
    run(async {
        let stage = Stage::unread(log::Config::default(), quiet());
        // Nothing is ever read here: after 5 s there is no position to tell.
        let mut v1 = stage.join(Encoding::V1, None).await;
        let (first, code) = frame(&mut v1).await;
        assert_eq!((first, &code[..]), (0x88, &4001_u16.to_be_bytes()[..]));
        // Who needs no position does not wait for one.
        let mut plain = stage.join(Encoding::Plain, None).await;
        stage.publish("a");
        assert_eq!(text(&mut plain).await, "a");
        let mut v1 = stage.join(Encoding::V1, None).await;
        assert!(text(&mut v1).await.contains(r#""position":"0.4294967295""#));
    });
}

#[test]
fn i1_a_newcomer_is_not_told_a_position_long_past() {
    run(async {
        let stage = Stage::unread(log::Config::default(), quiet());
        stage.publish_behind("a", 60_000);
        // Elsewhere it could not resume from there, and would miss what came since.
        let mut early = stage.join(Encoding::V1, None).await;
        let (first, code) = frame(&mut early).await;
        assert_eq!((first, &code[..]), (0x88, &4001_u16.to_be_bytes()[..]));
        let mut plain = stage.join(Encoding::Plain, None).await;
        assert_eq!(text(&mut plain).await, "a");
        stage.publish("b");
        let mut later = stage.join(Encoding::V1, None).await;
        assert!(text(&mut later).await.contains(r#""type":"joined""#));
        let shown = text(&mut later).await;
        assert!(
            shown.contains(r#""text":"a""#) && shown.contains(r#""text":"b""#),
            "{shown}"
        );
    });
}

#[test]
fn i1_a_position_that_reading_is_on_its_way_to_is_not_given_up() {
    run(async {
        let stage = Stage::unread(log::Config::default(), quiet());
        let after = Position {
            sequence: 9.into(),
            index: 0,
        };
        stage.shard.advance(3.into(), 60_000);
        let mut early = stage.join(Encoding::V1, Some(after)).await;
        let (first, code) = frame(&mut early).await;
        assert_eq!((first, &code[..]), (0x88, &4001_u16.to_be_bytes()[..]));
        stage.shard.advance(9.into(), 0);
        let mut later = stage.join(Encoding::V1, Some(after)).await;
        let joined = text(&mut later).await;
        assert!(
            joined.contains(r#""position":"9.0","recovered":true"#),
            "{joined}"
        );
    });
}

#[test]
fn nobody_is_told_the_position_that_another_came_with() {
    run(async {
        let stage = Stage::unread(log::Config::default(), quiet());
        let strange = Position {
            sequence: 7.into(),
            index: 7,
        };
        let mut first = stage.join(Encoding::V1, Some(strange)).await;
        let joined = text(&mut first).await;
        assert!(
            joined.contains(r#""position":"7.7","recovered":false"#),
            "{joined}"
        );
        stage.shard.advance(3.into(), 0);
        let mut second = stage.join(Encoding::V1, None).await;
        let joined = text(&mut second).await;
        assert!(joined.contains(r#""position":"3.4294967295""#), "{joined}");
    });
}

#[test]
fn history_comes_first_then_everything_new_once_and_in_order() {
    run(async {
        let stage = Stage::new(log::Config {
            history: 2,
            ..log::Config::default()
        });
        for number in 0..5 {
            stage.publish(&number.to_string());
        }
        let mut plain = stage.join(Encoding::Plain, None).await;
        let mut v1 = stage.join(Encoding::V1, None).await;
        for number in 5..8 {
            stage.publish(&number.to_string());
        }
        for number in 3..8 {
            assert_eq!(text(&mut plain).await, number.to_string());
        }
        assert!(text(&mut v1).await.contains(r#""type":"joined""#));
        let mut texts = Vec::new();
        while texts.len() < 5 {
            let frame: serde_json::Value = serde_json::from_str(&text(&mut v1).await).unwrap();
            let messages = frame["messages"].as_array().unwrap();
            texts.extend(
                messages
                    .iter()
                    .map(|m| m["text"].as_str().unwrap().to_owned()),
            );
        }
        assert_eq!(texts, ["3", "4", "5", "6", "7"]);
    });
}

#[test]
fn i2_who_took_compression_resumes_within_a_compressed_batch() {
    run(async {
        let stage = Stage::new(log::Config::default());
        let texts: Vec<_> = (0..20).map(|n| format!("message {n} ").repeat(5)).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let mut first = stage.join(Encoding::V1Deflate, None).await;
        let joined = inflated(&mut first).await;
        assert!(joined.0.contains("joined") && !joined.1, "{joined:?}");
        let mut after = stage.publish_batch(&texts, 0);
        let (whole, compressed) = inflated(&mut first).await;
        assert!(compressed && texts.iter().all(|text| whole.contains(text)));

        after.index = 16;
        let mut second = stage.join(Encoding::V1Deflate, Some(after)).await;
        let (joined, _) = inflated(&mut second).await;
        assert!(joined.contains(r#""recovered":true"#), "{joined}");
        // Made for this one viewer, and so not compressed; what follows is.
        let (rest, compressed) = inflated(&mut second).await;
        assert!(!compressed);
        let seen: Vec<_> = texts.iter().map(|text| rest.contains(text)).collect();
        assert_eq!(seen, [[false; 17].as_slice(), &[true; 3]].concat());
        stage.publish_batch(&texts, 0);
        for client in [&mut first, &mut second] {
            let (next, compressed) = inflated(client).await;
            assert!(compressed && texts.iter().all(|text| next.contains(text)));
        }
    });
}

#[test]
fn a_room_rests_between_sweeps_for_as_long_as_it_is_told() {
    run(async {
        let resting = |sweep_interval| fanout::Config {
            sweep_interval,
            ..quiet()
        };
        let for_ever = resting(Duration::from_hours(1));
        let stage = Stage::with_limits(log::Config::default(), for_ever);
        let mut client = stage.join(Encoding::Plain, None).await;
        stage.publish("first");
        assert_eq!(text(&mut client).await, "first");
        for number in 0..50 {
            stage.publish(&number.to_string());
            tokio::task::yield_now().await;
        }
        let more = client.try_read(&mut [0]);
        assert!(
            more.is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
            "the room rests"
        );
        // A newcomer is given what the others have, and waits with them.
        let mut newcomer = stage.join(Encoding::Plain, None).await;
        assert_eq!(text(&mut newcomer).await, "first");

        let stage = Stage::with_limits(log::Config::default(), resting(Duration::from_millis(20)));
        let mut client = stage.join(Encoding::Plain, None).await;
        for number in 0..200 {
            stage.publish(&number.to_string());
            tokio::task::yield_now().await;
        }
        for number in 0..200 {
            assert_eq!(text(&mut client).await, number.to_string());
        }
    });
}

#[test]
fn a_viewer_resumes_exactly_behind_the_position_it_names() {
    run(async {
        let stage = Stage::new(log::Config::default());
        let positions: Vec<_> = (0..10).map(|n| stage.publish(&n.to_string())).collect();
        let mut client = stage.join(Encoding::V1, Some(positions[6])).await;
        let joined = text(&mut client).await;
        assert!(joined.contains(&format!(
            r#""position":"{}","recovered":true"#,
            positions[6]
        )));
        let mut seen = String::new();
        while !seen.contains(r#""text":"9""#) {
            seen += &text(&mut client).await;
        }
        assert!(seen.contains(r#""text":"7""#) && !seen.contains(r#""text":"6""#));
    });
}

/// What we keep for an idle viewer; tokio adds 256 bytes for its socket and some 100 for its task,
/// which together have 256.
#[test]
fn i4_an_idle_viewer_is_small() {
    run(async {
        let stage = Stage::new(log::Config::default());
        let (_client, server) = connection().await;
        let request = request(Encoding::V1Deflate, None);
        let viewer = stage.worker.join(server.into(), &request).await.unwrap();
        let connections = Rc::clone(&stage.connections);
        let permit = [0_usize; 2];
        let task = connections.listen(viewer, Inbound::new(true), permit);
        assert!(size_of::<Viewer>() <= 104, "{}", size_of::<Viewer>());
        assert!(size_of_val(&task) <= 128, "{}", size_of_val(&task));
    });
}

#[test]
fn pings_and_closes_are_answered_and_the_viewer_is_gone() {
    run(async {
        let stage = Stage::new(log::Config::default());
        let mut client = stage.join(Encoding::Plain, None).await;
        assert_eq!(stage.worker.viewers(), 1);
        client.write_all(b"\x89\x82\0\0\0\0hi").await.unwrap();
        assert_eq!(frame(&mut client).await, (0x8A, b"hi".to_vec()));
        client.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
        assert_eq!(frame(&mut client).await, (0x88, b"\x03\xe8".to_vec()));
        assert_eq!(
            client.read(&mut [0; 8]).await.unwrap(),
            0,
            "the server ends first"
        );
        stage
            .until("gone", |stage| stage.worker.viewers() == 0)
            .await;
        assert!(stage.log.find(&Room::lobby()).is_none(), "nothing lasting");
    });
}

#[test]
fn i6_who_answers_pings_stays_and_who_sends_nothing_is_dropped() {
    run(async {
        let limits = fanout::Config {
            ping_interval: Some(Duration::from_millis(100)),
            ..fanout::Config::default()
        };
        let stage = Stage::with_limits(log::Config::default(), limits);
        let mut there = stage.join(Encoding::Plain, None).await;
        let mut silent = stage.join(Encoding::Plain, None).await;
        let mut pings = 0;
        // The silent one goes first, then some more rounds for the other.
        let mut rounds_left = 3;
        while rounds_left > 0 {
            assert_eq!(frame(&mut there).await, (0x89, Vec::new()));
            there.write_all(b"\x8a\x80\0\0\0\0").await.unwrap();
            pings += 1;
            if stage.worker.viewers() == 1 {
                rounds_left -= 1;
            }
            assert!(pings < 200, "the silent viewer is still there");
        }
        stage.publish("still here");
        while frame(&mut there).await.0 != 0x81 {}
        let mut rest = Vec::new();
        let end = timeout(LIMIT, silent.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "the silent viewer's connection has not ended");
        assert!(rest.starts_with(b"\x89\0"), "it was asked: {rest:?}");
    });
}

#[test]
fn a_broken_rule_is_answered_with_its_code_while_more_comes() {
    run(async {
        let stage = Stage::new(log::Config::default());
        let mut client = stage.join(Encoding::Plain, None).await;
        client.write_all(b"\x81\x02no").await.unwrap();
        client.write_all(&vec![0xFF; 20_000]).await.unwrap();
        assert_eq!(frame(&mut client).await, (0x88, b"\x03\xea".to_vec()));
        drop(client);
        stage
            .until("gone", |stage| stage.worker.viewers() == 0)
            .await;
    });
}

#[test]
fn a_slow_viewer_gets_everything_while_it_is_within_the_limit() {
    run(async {
        let stage = Stage::new(log::Config::default());
        let mut slow = stage.join(Encoding::Plain, None).await;
        let mut quick = stage.join(Encoding::Plain, None).await;
        for number in 0..400 {
            stage.publish(&format!("{number} {}", "x".repeat(1_000)));
            assert!(text(&mut quick).await.starts_with(&format!("{number} ")));
        }
        slow.write_all(b"\x89\x82\0\0\0\0hi").await.unwrap();
        let mut expected = 0;
        let mut pong = false;
        while expected < 400 || !pong {
            match frame(&mut slow).await {
                (0x8A, payload) => {
                    assert_eq!(payload, b"hi");
                    pong = true;
                }
                (_, payload) => {
                    assert!(payload.starts_with(format!("{expected} ").as_bytes()));
                    expected += 1;
                }
            }
        }
        // It has caught up: what is new comes from the sweep again.
        stage.publish("new");
        assert_eq!(text(&mut slow).await, "new");
    });
}

#[test]
fn a_viewer_that_never_reads_is_closed_and_costs_the_others_nothing() {
    run(async {
        let stage = Stage::new(log::Config::default());
        let mut stalled = stage.join(Encoding::Plain, None).await;
        let mut quick = stage.join(Encoding::Plain, None).await;
        let mut number = 0;
        let flood = async {
            while stage.worker.viewers() > 1 {
                stage.publish(&format!("{number} {}", "x".repeat(2_000)));
                assert!(text(&mut quick).await.starts_with(&format!("{number} ")));
                number += 1;
            }
        };
        assert!(
            timeout(LIMIT, flood).await.is_ok(),
            "the stalled viewer is still there"
        );
        // Dropped: whatever it reads now ends.
        let mut rest = Vec::new();
        let _ = timeout(LIMIT, stalled.read_to_end(&mut rest))
            .await
            .expect("an end");
    });
}

#[test]
fn a_viewer_that_is_too_far_behind_but_reads_again_sees_code_4000_at_a_frames_end() {
    run(async {
        let stage = Stage::new(log::Config::default());
        let mut stalled = stage.join(Encoding::Plain, None).await;
        let mut quick = stage.join(Encoding::Plain, None).await;
        let payload = "x".repeat(2_000);
        // Two seconds without coming nearer is what it takes, and then it has five to read. More
        // than three times the limit is enough: without end, the log's memory would be the reason.
        let start = std::time::Instant::now();
        for number in 0.. {
            if number > 1_500 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if start.elapsed() > Duration::from_secs(4) {
                break;
            }
            stage.publish(&payload);
            text(&mut quick).await;
        }
        let mut texts = 0;
        loop {
            match frame(&mut stalled).await {
                (0x81, text) => {
                    assert_eq!(text.len(), payload.len(), "frames stay whole");
                    texts += 1;
                }
                (0x88, code) => {
                    assert_eq!(code, 4000_u16.to_be_bytes());
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(texts > 0);
    });
}

#[test]
fn what_lagging_viewers_pin_is_bounded_by_the_logs_memory() {
    run(async {
        let limit = 1 << 20;
        let stage = Stage::new(log::Config {
            history: 1,
            log_memory: limit,
            ..log::Config::default()
        });
        let mut stalled = Vec::new();
        for _ in 0..5 {
            stalled.push(stage.join(Encoding::V1, None).await);
        }
        for _ in 0..3_000 {
            stage.publish(&"x".repeat(1_000));
            tokio::task::yield_now().await;
        }
        stage
            .until("memory is freed", |stage| {
                stage.log.maintain(std::time::Instant::now());
                stage.log.account().bytes() <= limit
            })
            .await;
    });
}

#[test]
fn everybody_is_closed_with_the_code_and_the_room_is_empty() {
    run(async {
        let stage = Stage::new(log::Config::default());
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(stage.join(Encoding::V1, None).await);
        }
        stage
            .worker
            .close_all(1001, Duration::from_millis(50))
            .await;
        for client in &mut clients {
            assert!(text(client).await.contains("joined"));
            assert_eq!(frame(client).await, (0x88, 1001_u16.to_be_bytes().to_vec()));
        }
        drop(clients);
        stage
            .until("gone", |stage| stage.worker.viewers() == 0)
            .await;
    });
}

#[test]
fn pings_amid_a_sweep_lose_nothing() {
    run(async {
        let stage = Stage::new(log::Config::default());
        let mut clients = Vec::new();
        for _ in 0..600 {
            clients.push(stage.join(Encoding::Plain, None).await);
        }
        for round in 0..5 {
            for client in &mut clients {
                client.write_all(b"\x89\x80\0\0\0\0").await.unwrap();
            }
            stage.publish(&round.to_string());
            for client in &mut clients {
                let mut texts = Vec::new();
                let mut pongs = 0;
                while texts.is_empty() || pongs == 0 {
                    match frame(client).await {
                        (0x8A, _) => pongs += 1,
                        (_, payload) => texts.push(String::from_utf8(payload).unwrap()),
                    }
                }
                assert_eq!(texts, [round.to_string()]);
            }
        }
    });
}
