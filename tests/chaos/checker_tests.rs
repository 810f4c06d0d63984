//! The checker against runs that are made up.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::checker::*;

fn key(publisher: u32, number: u32) -> Key {
    Key { publisher, number }
}

/// Two rooms, two patient publishers in each that take turns, two viewers in each that see everything in one stay.
fn sound(messages: u32) -> Recording {
    let mut recording = Recording {
        rooms: vec!["a".to_owned(), "b".to_owned()],
        ..Recording::default()
    };
    for room in 0..2_u32 {
        let mut shown = Vec::new();
        for number in 0..messages {
            for publisher in [room * 2, room * 2 + 1] {
                recording.patient.insert(publisher);
                let posted = 10 + u64::from(number);
                let fate = Fate {
                    room: room as usize,
                    posted,
                    acknowledged: Some(posted + 1),
                };
                recording.messages.insert(key(publisher, number), fate);
                shown.push(key(publisher, number));
            }
        }
        for nth in 0..2 {
            recording.viewers.push(Viewer {
                name: format!("{room}.{nth}"),
                room: room as usize,
                left: false,
                stays: vec![Stay {
                    start: Start::Anew,
                    joined: 0,
                    shown: shown.clone(),
                }],
                diary: Vec::new(),
                strange: Vec::new(),
            });
        }
    }
    recording
}

fn violations(recording: &Recording) -> Vec<Violation> {
    check(recording).1
}

#[test]
fn a_sound_run_has_no_violation_and_is_counted() {
    let (checked, violations) = check(&sound(10));
    assert_eq!(violations, []);
    let expected = Checked {
        acknowledged: 40,
        shown: 80,
        owed: 80,
        shown_again: 0,
    };
    assert_eq!(checked, expected);
}

#[test]
fn the_checker_notices_what_is_done_before_its_eyes() {
    let mut raw = vec![vec![key(0, 0), key(1, 0), key(0, 1)], vec![key(2, 0)]];
    let refused = tamper::prove(&sound(10), &raw).unwrap_err();
    assert!(refused.contains("repeats not removed"), "{refused}");
    raw[0].push(key(1, 0));
    let proofs = tamper::prove(&sound(10), &raw).unwrap();
    assert_eq!(proofs.len(), 5, "{proofs:?}");
}

#[test]
fn the_last_message_and_one_that_nobody_saw_are_missed_too() {
    let mut recording = sound(3);
    for viewer in &mut recording.viewers {
        viewer.stays[0].shown.retain(|seen| *seen != key(1, 2));
    }
    let lost = |viewer: &str| Violation::Lost {
        viewer: viewer.to_owned(),
        key: key(1, 2),
    };
    assert_eq!(violations(&recording), [lost("0.0"), lost("0.1")]);
}

#[test]
fn what_was_never_acknowledged_may_be_seen_or_not() {
    let mut recording = sound(3);
    recording.messages.get_mut(&key(1, 1)).unwrap().acknowledged = None;
    assert_eq!(violations(&recording), []);
    for viewer in &mut recording.viewers {
        viewer.stays[0].shown.retain(|seen| *seen != key(1, 1));
    }
    assert_eq!(violations(&recording), []);
}

#[test]
fn a_repeat_is_allowed_only_in_a_stay_that_was_not_recovered() {
    let mut recording = sound(4);
    let all = recording.viewers[0].stays[0].shown.clone();
    recording.viewers[0].stays[0].shown.truncate(5);
    let again = Stay {
        start: Start::NotRecovered,
        joined: 12,
        shown: all[3..].to_vec(),
    };
    recording.viewers[0].stays.push(again);
    let (checked, violations) = check(&recording);
    assert_eq!(violations, []);
    assert_eq!(checked.shown_again, 2);
    // A gap within the window is a loss, whatever `recovered` said.
    recording.viewers[0].stays[1].shown.drain(..3);
    let lost = Violation::Lost {
        viewer: "0.0".to_owned(),
        key: all[5],
    };
    assert_eq!(self::violations(&recording), [lost]);
}

#[test]
fn whoever_was_away_too_long_or_left_is_owed_only_what_lies_within() {
    let mut recording = sound(6);
    let all = recording.viewers[0].stays[0].shown.clone();
    recording.viewers[0].stays = [(0, &all[..4]), (15, &all[8..])]
        .map(|(joined, shown)| Stay {
            start: Start::Anew,
            joined,
            shown: shown.to_vec(),
        })
        .to_vec();
    recording.viewers[1].stays[0].shown = all[2..7].to_vec();
    recording.viewers[1].left = true;
    // Somebody must have seen all of it, or there is no order to find gaps by.
    let mut steady = recording.viewers[0].clone();
    steady.name = "steady".to_owned();
    steady.stays.truncate(1);
    steady.stays[0].shown.clone_from(&all);
    recording.viewers.push(steady);
    assert_eq!(violations(&recording), []);
    recording.viewers[0].stays[0].shown.remove(1);
    recording.viewers[1].stays[0].shown.remove(2);
    let lost = |viewer: &str, key| Violation::Lost {
        viewer: viewer.to_owned(),
        key,
    };
    assert_eq!(
        violations(&recording),
        [lost("0.0", all[1]), lost("0.1", all[4])]
    );
}

#[test]
fn a_contradiction_among_three_is_found_though_no_two_disagree() {
    let mut recording = sound(2);
    recording.patient.clear();
    let [a, b, c] = [key(0, 0), key(1, 0), key(0, 1)];
    let mut third = recording.viewers[0].clone();
    third.name = "third".to_owned();
    recording.viewers.push(third);
    for (viewer, shown) in [(0, [a, b]), (1, [b, c]), (4, [c, a])] {
        recording.viewers[viewer].left = true;
        recording.viewers[viewer].stays[0].shown = shown.to_vec();
    }
    let disordered = Violation::Disordered {
        room: "a".to_owned(),
        pair: None,
    };
    assert_eq!(violations(&recording)[0], disordered);
}

#[test]
fn both_orders_of_two_messages_are_named() {
    let mut recording = sound(2);
    recording.viewers[1].stays[0].shown.swap(0, 1);
    let found = violations(&recording);
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(text[0], "I3: in a 0.0 saw 0#0 before 1#0, 0.1 after it");
}

#[test]
fn a_patient_publisher_is_not_overtaken_and_what_nobody_posted_is_not_seen() {
    let mut recording = sound(2);
    for viewer in &mut recording.viewers[..2] {
        viewer.stays[0].shown.swap(0, 2);
    }
    assert!(matches!(
        violations(&recording)[..],
        [Violation::Overtaken { .. }, Violation::Overtaken { .. }]
    ));
    let mut recording = sound(2);
    recording.viewers[0].stays[0].shown.push(key(9, 9));
    assert!(matches!(
        violations(&recording)[..],
        [Violation::Unknown { .. }]
    ));
}

/// The obvious way: every pair of messages in every pair of chains.
fn orders_agree(recording: &Recording) -> bool {
    let stays = || recording.viewers.iter().flat_map(|viewer| &viewer.stays);
    let places = |stay: &Stay| -> HashMap<Key, usize> {
        let places = stay.shown.iter().enumerate();
        places.map(|(place, key)| (*key, place)).collect()
    };
    stays().all(|one| {
        let one = places(one);
        stays().all(|other| {
            let other = places(other);
            let common: Vec<&Key> = one.keys().filter(|key| other.contains_key(key)).collect();
            common.iter().all(|a| {
                let mut rest = common.iter();
                rest.all(|b| one[*a].cmp(&one[*b]) == other[*a].cmp(&other[*b]))
            })
        })
    })
}

proptest! {
    #[test]
    fn whatever_two_viewers_order_differently_is_found(
        one in proptest::sample::subsequence((0..12_u32).collect::<Vec<_>>(), 0..12).prop_shuffle(),
        other in proptest::sample::subsequence((0..12_u32).collect::<Vec<_>>(), 0..12),
    ) {
        let mut recording = sound(12);
        recording.patient.clear();
        recording.viewers.truncate(2);
        for (viewer, shown) in [one, other].into_iter().enumerate() {
            recording.viewers[viewer].left = true;
            recording.viewers[viewer].stays[0].shown = shown.into_iter().map(|number| key(0, number)).collect();
        }
        let disordered = violations(&recording).iter().any(|v| matches!(v, Violation::Disordered { pair: Some(_), .. }));
        prop_assert_eq!(disordered, !orders_agree(&recording));
    }
}
