use bytes::Bytes;
use uuid::Uuid;

use super::super::orphans::Orphans;
use super::*;
use crate::kinesis::HashKeyRange;
use crate::log::{self, Begin, Log, OpenShard};
use crate::message::Room;

const TEN_MINUTES: u64 = 600_000;

struct World {
    log: Arc<Log>,
    processor: Processor,
}

fn shard() -> Shard {
    Shard {
        id: "s".into(),
        parents: vec![],
        range: HashKeyRange::ALL,
        starting: 100.into(),
        ending: None,
    }
}

fn world(window: Window, show_from: u64, is_whole: bool) -> World {
    world_of(&shard(), window, show_from, is_whole)
}

fn world_of(shard: &Shard, window: Window, show_from: u64, is_whole: bool) -> World {
    let (log, _) = Log::new(log::Config::default());
    let open = log.open_shard(OpenShard {
        name: shard.id.name(),
        range: (shard.range.start, shard.range.end),
        generation: 0,
        starting: shard.starting,
    });
    let show_from = Timestamp::from_millis(show_from);
    let interval = Duration::from_secs(30);
    let heard = Arc::new(Heard::new(Orphans::new(Uuid::nil(), interval)));
    let processor = Processor::new(shard, open, window, show_from, is_whole, heard, interval);
    World { log, processor }
}

/// A record with one message, whose text is its sequence number.
fn record(sequence: u128, id: u128, arrival: u64) -> Record {
    let id = Uuid::from_u128(id);
    let data = format!(r#"{{"id":"{id}","text":"{sequence}"}}"#);
    Record {
        sequence: sequence.into(),
        partition_key: "lobby".into(),
        data: Bytes::from(data),
        arrival: Timestamp::from_millis(arrival),
    }
}

impl World {
    fn take(&mut self, records: &[Record], continuation: Option<u128>, millis_behind: u64) {
        self.processor.take(
            &Delivery {
                records,
                continuation: continuation.map(SequenceNumber::from),
                millis_behind,
                is_end: continuation.is_none(),
            },
            Instant::now(),
        );
    }

    fn shown(&self) -> Vec<String> {
        let Some(room) = self.log.find(&Room::lobby()) else {
            return vec![];
        };
        let (mut node, mut shown) = (room.head(), vec![]);
        while let Some(next) = node.next().cloned() {
            shown.extend(next.entries.iter().map(|entry| entry.text.to_string()));
            node = next;
        }
        shown
    }

    /// Whether a viewer can resume behind that record.
    fn resumes(&self, after: u128) -> bool {
        let room = self.log.room(&Room::lobby()).unwrap();
        let after = format!("{after}.0");
        match self.log.start(&room, &room.tail(), &after, 100) {
            Begin::At(start) => start.recovered,
            Begin::Ahead(_) | Begin::Beyond => false,
        }
    }
}

#[test]
fn the_floor_is_just_before_the_first_record() {
    let mut world = world(Window::default(), 0, false);
    world.take(&[record(120, 1, 5), record(130, 2, 5)], Some(130), 0);
    assert_eq!(world.shown(), ["120", "130"]);
    assert!(!world.resumes(119));
    assert!(world.resumes(120));
}

#[test]
fn the_floor_is_the_continuation_if_the_first_event_has_no_records() {
    let mut world = world(Window::default(), 0, false);
    world.take(&[], Some(125), 0);
    world.take(&[record(130, 1, 5)], Some(130), 0);
    assert!(!world.resumes(125));
    assert!(world.resumes(126));
}

#[test]
fn a_shard_that_is_read_from_its_birth_is_known_from_its_first_possible_record() {
    let mut world = world(Window::default(), 0, true);
    world.take(&[record(130, 1, 5)], Some(130), 0);
    assert!(world.resumes(100));
}

#[test]
fn what_lies_before_the_start_is_not_shown_but_raises_the_floor_and_fills_the_ids() {
    let mut world = world(Window::default(), TEN_MINUTES, false);
    world.take(&[record(110, 1, 10)], Some(110), 9_000);
    world.take(
        &[record(120, 2, 20), record(130, 3, TEN_MINUTES)],
        Some(130),
        9_000,
    );
    assert_eq!(world.shown(), ["130"]);
    assert!(!world.resumes(120));
    assert!(world.resumes(121));
    world.take(&[record(140, 2, TEN_MINUTES + 20)], Some(140), 0);
    assert_eq!(world.shown(), ["130"], "a repeat of what was not shown");
}

#[test]
fn once_messages_are_shown_a_late_arrival_time_hides_none() {
    let mut world = world(Window::default(), TEN_MINUTES, false);
    world.take(&[record(110, 1, TEN_MINUTES)], Some(110), 9_000);
    world.take(&[record(120, 2, TEN_MINUTES - 1)], Some(120), 0);
    assert_eq!(world.shown(), ["110", "120"]);
}

#[test]
fn at_the_tip_all_that_comes_is_new_also_if_our_clock_is_ahead() {
    let mut world = world(Window::default(), TEN_MINUTES, false);
    world.take(&[record(110, 1, 10)], Some(110), 0);
    world.take(&[record(120, 2, TEN_MINUTES - 1)], Some(120), 0);
    assert_eq!(world.shown(), ["120"]);
}

#[test]
fn a_record_that_is_delivered_twice_is_processed_once() {
    let mut world = world(Window::default(), 0, false);
    let records = [record(110, 1, 1), record(120, 2, 2)];
    world.take(&records, Some(120), 0);
    world.take(&[records[1].clone(), record(130, 3, 3)], Some(130), 0);
    world.take(&records, Some(120), 0);
    assert_eq!(world.shown(), ["110", "120", "130"]);
}

#[test]
fn a_message_without_an_id_is_never_a_repeat() {
    let mut world = world(Window::default(), 0, false);
    let plain = |sequence: u128| Record {
        data: Bytes::from_static(br#"{"text":"same"}"#),
        ..record(sequence, 0, 1)
    };
    world.take(&[plain(110), plain(120)], Some(120), 0);
    assert_eq!(world.shown(), ["same", "same"]);
}

#[test]
fn a_child_knows_the_ids_of_its_parents() {
    let mut parent = world(Window::default(), 0, false);
    parent.take(&[record(110, 1, 1)], Some(110), 0);
    parent.take(&[], None, 0);
    let mut child = world(
        Window::default().inherit([&parent.processor.into_window()]),
        0,
        true,
    );
    child.take(&[record(110, 1, 2), record(120, 2, 2)], Some(120), 0);
    assert_eq!(child.shown(), ["120"]);
}

#[test]
fn behind_a_gap_the_floor_is_where_reading_went_on() {
    let mut world = world(Window::default(), 0, true);
    world.take(&[record(110, 1, 1)], Some(110), 0);
    world.processor.restart();
    world.take(&[record(150, 2, 1)], Some(150), 0);
    assert_eq!(world.shown(), ["110", "150"]);
    assert!(!world.resumes(110));
    assert!(world.resumes(150));
}

#[test]
fn a_restart_that_reaches_back_to_what_was_read_loses_nothing_and_keeps_the_floor() {
    let mut world = world(Window::default(), 0, false);
    world.take(&[record(120, 1, 5), record(130, 2, 5)], Some(130), 0);
    world.processor.restart();
    let again = [record(120, 1, 5), record(130, 2, 5), record(140, 3, 5)];
    world.take(&again, Some(140), 0);
    assert_eq!(world.shown(), ["120", "130", "140"]);
    assert!(world.resumes(120), "nothing was lost in between");
}

#[test]
fn i1_a_shard_that_was_closed_before_is_not_the_tip_of_its_rooms() {
    let closed = Shard {
        ending: Some(900.into()),
        ..shard()
    };
    for (shard, is_tip) in [(shard(), true), (closed, false)] {
        let mut world = world_of(&shard, Window::default(), 0, false);
        // All that is in it, before an event says that it has ended.
        world.take(&[record(120, 1, 5)], Some(120), 0);
        let room = world.log.room(&Room::lobby()).unwrap();
        let is_told = world.log.before_newcomers(&room).is_none();
        assert_eq!(is_told, is_tip);
    }
}
