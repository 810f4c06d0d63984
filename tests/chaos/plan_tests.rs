//! The plan: repeatable, and with everything in it.

use std::collections::HashSet;
use std::time::Duration;

use crate::plan::*;

#[test]
fn a_seed_always_gives_the_same_plan_and_another_seed_another() {
    let minute = Duration::from_mins(1);
    assert_eq!(plan(7, minute, false), plan(7, minute, false));
    assert_ne!(plan(7, minute, false), plan(8, minute, false));
}

#[test]
fn every_kind_occurs_however_short_the_run_and_within_it() {
    for (seconds, tls) in [
        (5, false),
        (60, true),
        (61, false),
        (300, true),
        (7_200, false),
    ] {
        let length = Duration::from_secs(seconds);
        let steps = plan(seconds, length, tls);
        let kinds: HashSet<Kind> = steps.iter().map(|step| step.kind).collect();
        assert_eq!(kinds.len(), Kind::all(tls).len());
        assert!(steps.is_sorted_by_key(|step| step.at));
        assert!(steps.iter().all(|step| step.at < length));
    }
}

#[test]
fn the_whole_stream_is_throttled_alone_and_for_half_a_minute_in_a_long_run() {
    let steps = plan(1, Duration::from_mins(5), false);
    let droughts: Vec<&Step> = steps
        .iter()
        .filter(|step| step.kind == Kind::Drought)
        .collect();
    assert_eq!(droughts.len(), 5);
    assert!(
        droughts
            .iter()
            .any(|step| step.length == Duration::from_secs(30))
    );
    for drought in droughts {
        let before = drought.at.saturating_sub(Duration::from_secs(3));
        let during = before..drought.at + drought.length;
        let others = steps.iter().filter(|step| step.kind != Kind::Drought);
        assert_eq!(others.filter(|step| during.contains(&step.at)).count(), 0);
    }
}

#[test]
fn an_instance_is_stopped_for_up_to_half_a_minute_and_shorter_in_a_short_run() {
    let pauses = |seconds| {
        let steps = plan(1, Duration::from_secs(seconds), false);
        let pauses = steps.iter().filter(|step| step.kind == Kind::Pause);
        pauses.map(|step| step.length).max().unwrap()
    };
    assert!(pauses(60) <= Duration::from_secs(6));
    let long = pauses(3_600);
    assert!(
        long > Duration::from_secs(25) && long <= Duration::from_secs(30),
        "{long:?}"
    );
}

#[test]
fn a_run_that_is_to_see_repeats_has_what_makes_them_in_its_first_half() {
    let length = Duration::from_secs(20);
    let steps = of_repeats(1, length);
    let kinds: HashSet<String> = steps.iter().map(|step| step.kind.to_string()).collect();
    assert_eq!(
        kinds,
        HashSet::from(["answer-lost", "late-write"].map(str::to_owned))
    );
    assert!(steps.iter().all(|step| step.at <= length / 2));
}
