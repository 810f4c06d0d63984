//! The log against a naive model: a vector for every room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::message::{Message, MessageId, Position, SequenceNumber, Timestamp};

fn room(name: &str) -> Room {
    Room::new(name).unwrap()
}

fn message(room: &Room, sequence: u128, index: u32, text: &str) -> Message {
    let position = Position {
        sequence: sequence.into(),
        index,
    };
    Message {
        id: MessageId::Position(position),
        room: room.clone(),
        name: None,
        text: text.into(),
        time: Timestamp::from_millis(0),
        arrival: Timestamp::from_millis(0),
        position,
    }
}

fn open(log: &Arc<Log>, generation: u32, starting: u128) -> Arc<LogShard> {
    let shard = log.open_shard(OpenShard {
        name: format!("shardId-{generation:012}").into(),
        range: (HashKey::MIN, HashKey::MAX),
        generation,
        starting: starting.into(),
    });
    shard.set_floor(SequenceNumber::from(starting).before());
    shard
}

/// The texts that a viewer gets who begins at `start` and reads up to the newest.
fn texts(start: &Start) -> Vec<String> {
    let mut texts = Vec::new();
    let mut node = Arc::clone(&start.node);
    while let Some(next) = node.next().cloned() {
        texts.extend(next.entries.iter().map(|entry| entry.text.to_string()));
        node = next;
    }
    texts.drain(..start.skip);
    texts
}

fn at(begin: Begin) -> Start {
    match begin {
        Begin::At(start) => start,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newcomer_gets_the_newest_history_and_can_resume_from_where_it_joined() {
    let (log, _news) = Log::new(Config {
        history: 3,
        ..Config::default()
    });
    let shard = open(&log, 1, 1_000);
    let lobby = Room::lobby();
    for sequence in 1_000..1_010 {
        shard.append(vec![message(&lobby, sequence, 0, &sequence.to_string())]);
        shard.advance(sequence.into(), 0);
    }
    let found = log.find(&lobby).unwrap();
    let start = log.newest(&found, &found.tail(), 100);
    assert_eq!(texts(&start), ["1007", "1008", "1009"]);
    assert!(!start.recovered);
    let again = at(log.start(&found, &found.tail(), &start.position.to_string(), 100));
    assert_eq!(texts(&again), ["1007", "1008", "1009"]);
    assert!(again.recovered);
    let less = log.newest(&found, &found.tail(), 1);
    assert_eq!(texts(&less), ["1009"]);
    let none = log.newest(&found, &found.tail(), 0);
    assert_eq!(none.position, "1009.0".parse().unwrap());
}

#[test]
fn a_position_of_the_very_first_message_resumes_before_it() {
    let (log, _news) = Log::new(Config::default());
    let shard = open(&log, 1, 1_000);
    let lobby = Room::lobby();
    shard.append(vec![message(&lobby, 1_000, 0, "first")]);
    shard.advance(1_000_u128.into(), 0);
    let found = log.find(&lobby).unwrap();
    let start = log.newest(&found, &found.tail(), 100);
    let again = at(log.start(&found, &found.tail(), &start.position.to_string(), 100));
    assert!(again.recovered);
    assert_eq!(texts(&again), ["first"]);
}

#[test]
fn positions_below_the_floor_malformed_or_of_another_stream_are_not_recovered() {
    let (log, _news) = Log::new(Config::default());
    let shard = open(&log, 1, 1_000);
    shard.set_floor(1_005_u128.into());
    let lobby = Room::lobby();
    shard.append(vec![
        message(&lobby, 1_006, 0, "a"),
        message(&lobby, 1_006, 1, "b"),
    ]);
    shard.advance(1_010_u128.into(), 0);
    let found = log.find(&lobby).unwrap();
    for (after, recovered, expected) in [
        ("1004.0", false, &["a", "b"][..]),
        ("1005.3", false, &["a", "b"]),
        ("12.0", false, &["a", "b"]),
        ("nonsense", false, &["a", "b"]),
        ("", false, &["a", "b"]),
        ("1005.4294967295", true, &["a", "b"]),
        ("1006.0", true, &["b"]),
        ("1006.1", true, &[]),
        ("1010.4294967295", true, &[]),
    ] {
        let start = at(log.start(&found, &found.tail(), after, 100));
        assert_eq!(
            (start.recovered, &texts(&start)[..]),
            (
                recovered,
                &expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]
            ),
            "{after}"
        );
    }
}

#[test]
fn a_viewer_is_never_placed_in_front_of_its_workers_cursor() {
    let (log, _news) = Log::new(Config::default());
    let shard = open(&log, 1, 1_000);
    let lobby = Room::lobby();
    shard.append(vec![message(&lobby, 1_000, 0, "a")]);
    let found = log.find(&lobby).unwrap();
    let cursor = found.tail();
    shard.append(vec![
        message(&lobby, 1_001, 0, "b"),
        message(&lobby, 1_001, 1, "c"),
    ]);
    shard.advance(1_001_u128.into(), 0);
    for after in ["1001.0", "1001.1"] {
        let begin = log.start(&found, &cursor, after, 100);
        assert!(matches!(begin, Begin::Beyond), "{after}: {begin:?}");
    }
    let start = at(log.start(&found, &cursor, "1000.0", 100));
    assert_eq!(texts(&start), ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_waits_for_the_shards_to_be_known_and_is_kept_if_they_are_not() {
    let (log, _news) = Log::new(Config::default());
    let lobby = Room::lobby();
    let found = log.room(&lobby).unwrap();
    let ahead = || match log.start(&found, &found.tail(), "1000.7", 100) {
        Begin::Ahead(wait) => wait,
        other => panic!("{other:?}"),
    };
    // As long as no shard is known none can be said not to have it.
    let before = tokio::time::Instant::now();
    assert!(!log.wait(&ahead()).await);
    assert_eq!(before.elapsed(), Duration::from_secs(5));
    let kept = log.start_in_vain(&found, &found.tail(), "1000.7", 100);
    assert_eq!(
        (kept.position.to_string().as_str(), kept.recovered),
        ("1000.7", false)
    );

    let wait = ahead();
    let listing = async {
        tokio::task::yield_now().await;
        open(&log, 1, 900)
    };
    let (came, shard) = tokio::join!(log.wait(&wait), listing);
    assert!(came);
    // Known, and not read.
    assert!(!log.wait(&ahead()).await);
    let kept = log.start_in_vain(&found, &found.tail(), "1000.7", 100);
    assert_eq!(kept.position.to_string(), "1000.7");

    // Read, but not as far: what follows here begins where reading is.
    shard.advance(950_u128.into(), 10);
    let start = log.start_in_vain(&found, &found.tail(), "1000.7", 100);
    assert_eq!(start.position, Position::end_of(950_u128.into()));
    shard.append(vec![message(&lobby, 960, 0, "a")]);
    let start = log.start_in_vain(&found, &found.tail(), "1000.7", 100);
    assert_eq!(texts(&start), ["a"]);
    assert!(start.position < Position::end_of(960_u128.into()));
}

#[tokio::test(start_paused = true)]
async fn i1_a_newcomer_waits_until_there_is_a_position_to_resume_from() {
    let (log, _news) = Log::new(Config::default());
    let lobby = Room::lobby();
    let found = log.room(&lobby).unwrap();
    let wait = log.before_newcomers(&found).unwrap();
    let before = tokio::time::Instant::now();
    assert!(!log.wait(&wait).await);
    assert_eq!(before.elapsed(), Duration::from_secs(5));

    let shard = open(&log, 1, 1_000);
    let reading = async {
        tokio::task::yield_now().await;
        shard.advance(1_100_u128.into(), 60_000);
        assert!(
            log.before_newcomers(&found).is_some(),
            "one that is long past"
        );
        tokio::task::yield_now().await;
        shard.advance(1_200_u128.into(), 900);
    };
    let before = tokio::time::Instant::now();
    assert!(tokio::join!(log.wait(&wait), reading).0);
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(shard.progress.load().read_to, Some(1_200_u128.into()));
    let start = log.newest(&found, &found.tail(), 100);
    assert_eq!(start.position, Position::end_of(1_200_u128.into()));

    // Once it was there newcomers do not wait, also when the tip is ahead again.
    shard.advance(1_300_u128.into(), 60_000);
    assert!(log.before_newcomers(&found).is_none());
}

#[test]
fn i1_what_a_newcomer_has_yet_to_get_is_behind_its_position() {
    let (log, _news) = Log::new(Config::default());
    let shard = open(&log, 1, 1_000);
    let lobby = Room::lobby();
    let found = log.room(&lobby).unwrap();
    shard.advance(1_000_u128.into(), 0);
    // The worker's cursor stands before what came a moment ago.
    let cursor = found.tail();
    shard.append(vec![message(&lobby, 1_001, 0, "a")]);
    shard.advance(1_001_u128.into(), 0);
    let joined = log.newest(&found, &cursor, 100);
    let after = joined.position.to_string();
    let resumed = at(log.start(&found, &found.tail(), &after, 100));
    assert!(resumed.recovered);
    assert_eq!(texts(&resumed), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_ahead_waits_until_it_is_read_or_five_seconds() {
    let (log, _news) = Log::new(Config::default());
    let shard = open(&log, 1, 1_000);
    shard.advance(1_000_u128.into(), 0);
    let lobby = Room::lobby();
    let found = log.room(&lobby).unwrap();
    let ahead = |after: &str| match log.start(&found, &found.tail(), after, 100) {
        Begin::Ahead(wait) => wait,
        other => panic!("{other:?}"),
    };
    let wait = ahead("1005.0");
    let reading = async {
        shard.advance(1_004_u128.into(), 20);
        tokio::task::yield_now().await;
        shard.append(vec![
            message(&lobby, 1_005, 0, "a"),
            message(&lobby, 1_005, 1, "b"),
        ]);
        shard.advance(1_005_u128.into(), 0);
    };
    assert!(tokio::join!(log.wait(&wait), reading).0);
    let start = at(log.start(&found, &found.tail(), "1005.0", 100));
    assert_eq!(texts(&start), ["b"]);

    // At the tip and still below it: not of this stream.
    let wait = ahead("2000.0");
    let tip = async { shard.advance(1_006_u128.into(), 0) };
    let before = tokio::time::Instant::now();
    assert!(!tokio::join!(log.wait(&wait), tip).0);
    assert_eq!(before.elapsed(), Duration::ZERO);

    // Nothing comes.
    let before = tokio::time::Instant::now();
    assert!(!log.wait(&ahead("2000.0")).await);
    assert_eq!(before.elapsed(), Duration::from_secs(5));

    // A shard that was read to its end will never hold it.
    shard.close();
    let start = at(log.start(&found, &found.tail(), "2000.0", 100));
    assert!(!start.recovered);
}

#[test]
fn a_room_goes_on_in_the_child_of_its_shard() {
    let (log, _news) = Log::new(Config::default());
    let lobby = Room::lobby();
    let parent = open(&log, 1, 1_000);
    parent.append(vec![message(&lobby, 1_500, 0, "old")]);
    parent.advance(1_600_u128.into(), 0);
    parent.close();
    let child = open(&log, 2, 2_000);
    child.append(vec![message(&lobby, 2_001, 0, "new")]);
    child.advance(2_001_u128.into(), 0);
    let found = log.find(&lobby).unwrap();
    for (after, expected) in [
        ("1500.0", &["new"][..]),
        ("1550.0", &["new"]),
        ("2001.0", &[]),
    ] {
        let start = at(log.start(&found, &found.tail(), after, 100));
        assert!(start.recovered, "{after}");
        assert_eq!(texts(&start), expected, "{after}");
    }
    // The parent's end was passed over nothing; but had the child's beginning not been shown,
    // a position in the parent would no longer lead to everything.
    child.set_floor(2_000_u128.into());
    let start = at(log.start(&found, &found.tail(), "1500.0", 100));
    assert!(!start.recovered);
}

#[test]
fn the_idlest_room_without_viewers_makes_place_and_its_end_is_remembered() {
    let (log, _news) = Log::new(Config {
        max_rooms: 2,
        ..Config::default()
    });
    let shard = open(&log, 1, 1_000);
    let (a, b, c) = (room("a"), room("b"), room("c"));
    shard.append(vec![message(&a, 1_000, 0, "a")]);
    shard.append(vec![message(&b, 1_001, 0, "b")]);
    shard.advance(1_001_u128.into(), 0);
    assert!(log.find(&a).unwrap().enter(0, Encoding::V1));
    shard.append(vec![message(&c, 1_002, 0, "c")]);
    assert!(log.find(&b).is_none(), "b had no viewers");
    assert!(log.find(&a).is_some());
    let viewers = log.find(&c).unwrap();
    assert!(viewers.enter(0, Encoding::V1));
    assert_eq!(log.room(&b).err(), Some(Crowded));
    assert!(!log.admits(&b) && log.admits(&a));

    assert!(!viewers.leave(0, Encoding::V1, true), "it has messages");
    let again = log.room(&b).unwrap();
    shard.advance(1_002_u128.into(), 0);
    let start = at(log.start(&again, &again.tail(), "1000.0", 100));
    assert!(
        !start.recovered,
        "what stood in b at 1001 is no longer known"
    );
    let start = at(log.start(&again, &again.tail(), "1002.0", 100));
    assert!(start.recovered);
}

#[test]
fn joining_an_unknown_room_stores_nothing_lasting() {
    let (log, _news) = Log::new(Config::default());
    for number in 0..1_000 {
        let name = room(&format!("nobody-writes-here-{number}"));
        let found = log.room(&name).unwrap();
        assert!(found.enter(0, Encoding::Plain));
        assert!(found.leave(0, Encoding::Plain, true));
        log.forget_if_empty(&found);
        assert!(log.find(&name).is_none());
        assert!(
            !found.enter(0, Encoding::Plain),
            "whoever still holds it looks it up again"
        );
    }
    // The map frees what was removed from it in batches.
    assert!(
        log.account().bytes() < 32 << 10,
        "{}",
        log.account().bytes()
    );
}

#[test]
fn memory_is_bounded_and_the_newest_history_stays() {
    let limit = 1 << 20;
    let (log, _news) = Log::new(Config {
        history: 10,
        log_memory: limit,
        ..Config::default()
    });
    let shard = open(&log, 1, 1_000);
    let (large, small) = (room("large"), room("small"));
    let text = "x".repeat(1_000);
    for sequence in 1_000..1_020 {
        shard.append(vec![message(&small, sequence, 0, &text)]);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut sequence = 1_020;
    while sequence < 6_000 {
        shard.append(vec![message(&large, sequence, 0, &text)]);
        sequence += 1;
        assert!(Instant::now() < deadline);
    }
    log.maintain(Instant::now() + Duration::from_secs(1));
    assert!(log.account().bytes() <= limit, "{}", log.account().bytes());
    for (name, expected) in [(&large, 10), (&small, 10)] {
        let found = log.find(name).unwrap();
        let start = log.newest(&found, &found.tail(), 100);
        assert!(texts(&start).len() >= expected, "{name}");
    }
}

#[test]
fn what_is_older_than_the_window_goes_but_never_the_history() {
    let window = Duration::from_mins(2);
    let (log, _news) = Log::new(Config {
        history: 2,
        resume_window: window,
        ..Config::default()
    });
    let shard = open(&log, 1, 1_000);
    let lobby = Room::lobby();
    for sequence in 1_000..1_010 {
        shard.append(vec![message(&lobby, sequence, 0, &sequence.to_string())]);
    }
    shard.advance(1_010_u128.into(), 0);
    let found = log.find(&lobby).unwrap();
    let resumed = |after| at(log.start(&found, &found.tail(), after, 100));
    log.maintain(Instant::now());
    assert_eq!(texts(&resumed("1001.0")).len(), 8);
    // Of what is older than the window two are kept, for whoever joined when it began.
    log.maintain(Instant::now() + window * 2);
    assert!(!resumed("1001.0").recovered);
    assert_eq!(texts(&resumed("1001.0")), ["1008", "1009"]);
    assert!(resumed("1007.0").recovered);
    shard.append(vec![message(&lobby, 1_011, 0, "more")]);
    shard.advance(1_011_u128.into(), 0);
    assert_eq!(texts(&resumed("1008.0")), ["1009", "more"]);
}

#[test]
fn i1_whoever_was_told_a_position_can_resume_from_it_for_the_whole_window() {
    let window = Duration::from_mins(2);
    let (log, _news) = Log::new(Config {
        history: 3,
        resume_window: window,
        ..Config::default()
    });
    let shard = open(&log, 1, 1_000);
    let lobby = Room::lobby();
    let mut next = 1_000_u128;
    let mut say = |count: u128| {
        for sequence in next..next + count {
            shard.append(vec![message(&lobby, sequence, 0, &sequence.to_string())]);
        }
        next += count;
        shard.advance((next - 1).into(), 0);
    };
    say(5);
    log.maintain(Instant::now() + window * 2);
    // It comes when all that there is is old, and loses its connection before the first message.
    let found = log.find(&lobby).unwrap();
    let joined = log.newest(&found, &found.tail(), 3);
    let owed = texts(&joined);
    assert_eq!(owed, ["1002", "1003", "1004"]);
    say(20);
    log.maintain(Instant::now() + window / 2);
    let after = joined.position.to_string();
    let resumed = at(log.start(&found, &found.tail(), &after, 3));
    assert!(resumed.recovered);
    assert_eq!(texts(&resumed).len(), 23);
    log.maintain(Instant::now() + window * 2);
    let resumed = at(log.start(&found, &found.tail(), &after, 3));
    assert!(!resumed.recovered);
}

#[test]
fn a_worker_hears_of_a_room_once_until_it_looks() {
    let (log, mut news) = Log::new(Config {
        workers: 2,
        ..Config::default()
    });
    let shard = open(&log, 1, 1_000);
    let lobby = Room::lobby();
    let found = log.room(&lobby).unwrap();
    assert!(found.enter(1, Encoding::Plain));
    for sequence in 1_000..1_005 {
        shard.append(vec![message(&lobby, sequence, 0, "x")]);
    }
    assert!(news[0].try_recv().is_err(), "it has no viewers there");
    assert!(news[1].try_recv().is_ok());
    assert!(news[1].try_recv().is_err(), "once");
    found.looking(1);
    shard.append(vec![message(&lobby, 1_006, 0, "x")]);
    assert!(news[1].try_recv().is_ok());
}

#[test]
fn only_what_somebody_listens_to_is_encoded() {
    let (log, _news) = Log::new(Config::default());
    let shard = open(&log, 1, 1_000);
    let lobby = Room::lobby();
    let found = log.room(&lobby).unwrap();
    shard.append(vec![message(&lobby, 1_000, 0, &"x".repeat(10_000))]);
    let bare = log.account().bytes();
    assert!(bare < 12_000, "{bare}");
    assert!(found.enter(0, Encoding::Plain));
    shard.append(vec![message(&lobby, 1_001, 0, &"x".repeat(10_000))]);
    let with_frames = log.account().bytes() - bare;
    assert!((20_000..22_000).contains(&with_frames), "{with_frames}");
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u8, usize)>),
    Age,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((0_u8..3, 0_usize..3_000), 1..8).prop_map(Step::Append),
        1 => Just(Step::Age),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_log_shows_what_the_model_shows(
        steps in prop::collection::vec(step(), 1..60),
        history in 1_usize..6,
        kibibytes in 1_usize..64,
        pick: prop::sample::Index,
    ) {
        let (log, _news) = Log::new(Config {
            history,
            log_memory: kibibytes << 10,
            ..Config::default()
        });
        let shard = open(&log, 1, 1_000);
        let mut model: HashMap<Room, Vec<Message>> = HashMap::new();
        let mut now = Instant::now();
        for (sequence, step) in (1_000_u128..).zip(steps) {
            match step {
                Step::Append(batch) => {
                    let messages: Vec<_> = (0_u32..)
                        .zip(batch)
                        .map(|(index, (name, length))| {
                            let text = format!("{sequence}.{index} {}", "x".repeat(length));
                            message(&room(&format!("room-{name}")), sequence, index, &text)
                        })
                        .collect();
                    for message in &messages {
                        model.entry(message.room.clone()).or_default().push(message.clone());
                    }
                    shard.append(messages);
                }
                Step::Age => {
                    now += Duration::from_mins(5);
                    log.maintain(now);
                }
            }
            shard.advance(sequence.into(), 0);
        }
        for (name, sent) in &model {
            let found = log.find(name).unwrap();
            let expected = |from: usize| sent[from..].iter().map(|m| m.text.to_string()).collect::<Vec<_>>();
            let newest = log.newest(&found, &found.tail(), history);
            prop_assert_eq!(texts(&newest), expected(sent.len().saturating_sub(history)));
            // From any message on: exactly what follows, or honestly not recovered.
            let index = pick.index(sent.len());
            let after = sent[index].position.to_string();
            let resumed = at(log.start(&found, &found.tail(), &after, history));
            if resumed.recovered {
                prop_assert_eq!(texts(&resumed), expected(index + 1));
            } else {
                prop_assert!(sent.len() - index > history, "the newest history can be resumed");
                prop_assert_eq!(texts(&resumed), expected(sent.len().saturating_sub(history)));
            }
        }
        drop(model);
    }
}

#[test]
fn readers_and_the_appender_do_not_disturb_each_other() {
    let (log, mut news) = Log::new(Config {
        history: 10,
        log_memory: 1 << 16,
        ..Config::default()
    });
    let shard = open(&log, 1, 1_000);
    let lobby = Room::lobby();
    let found = log.room(&lobby).unwrap();
    assert!(found.enter(0, Encoding::Plain));
    let start = found.tail();
    let mut news = news.remove(0);
    let total = 20_000_u128;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for sequence in 1_000..1_000 + total {
                shard.append(vec![message(&lobby, sequence, 0, &sequence.to_string())]);
            }
        });
        let mut cursor = start;
        let mut seen = 0;
        while seen < total {
            let room = news.blocking_recv().unwrap();
            room.looking(0);
            while let Some(next) = cursor.next().cloned() {
                for entry in &next.entries {
                    assert_eq!(&*entry.text, (1_000 + seen).to_string());
                    seen += 1;
                }
                cursor = next;
            }
        }
    });
    assert!(found.leave(0, Encoding::Plain, true) || found.tail().ordinal > 0);
}
