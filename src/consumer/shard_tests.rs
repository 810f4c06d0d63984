use proptest::prelude::*;

use super::*;
use crate::message::Timestamp;

const START: StartingPosition = StartingPosition::TrimHorizon;
const SECOND: Duration = Duration::from_secs(1);

fn reader(now: Instant) -> Reader {
    let rng = fastrand::Rng::with_seed(7);
    Reader::new(Cursor::new(START), Rules::default(), rng, now)
}

fn event(number: u128) -> Input {
    Input::Event {
        continuation: Some(number.into()),
    }
}

fn after_number(number: u128) -> StartingPosition {
    StartingPosition::AfterSequence(number.into())
}

/// Lets the time go by until the reader wants to subscribe.
fn until_subscribe(reader: &mut Reader, now: &mut Instant) -> StartingPosition {
    loop {
        match reader.next(*now) {
            Action::Subscribe(from) => return from,
            Action::Wait(until) => {
                assert!(until > *now);
                *now = until;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn open(reader: &mut Reader, now: &mut Instant) -> StartingPosition {
    let from = until_subscribe(reader, now);
    reader.on(Input::Opened, *now);
    from
}

#[test]
fn an_expired_subscription_is_renewed_at_once_behind_the_last_event() {
    let mut now = Instant::now();
    let mut reader = reader(now);
    assert_eq!(open(&mut reader, &mut now), START);
    reader.on(event(5), now);
    now += 300 * SECOND;
    assert_eq!(
        reader.on(Input::Ended, now),
        Some(Notice::Renewing("expired"))
    );
    assert_eq!(reader.next(now), Action::Subscribe(after_number(5)));
}

#[test]
fn a_subscription_that_ends_before_its_first_event_begins_again_at_the_chosen_start() {
    let mut now = Instant::now();
    let from = StartingPosition::AtTimestamp(Timestamp::from_millis(9));
    let rng = fastrand::Rng::with_seed(7);
    let mut reader = Reader::new(Cursor::new(from), Rules::default(), rng, now);
    open(&mut reader, &mut now);
    reader.on(Input::Broken(ErrorKind::Connection), now);
    assert_eq!(until_subscribe(&mut reader, &mut now), from);
}

#[test]
fn silence_ends_a_subscription_after_15_to_20_seconds() {
    let mut now = Instant::now();
    let mut reader = reader(now);
    open(&mut reader, &mut now);
    for number in 0..50 {
        reader.on(event(number), now);
        let Action::Listen(until) = reader.next(now) else {
            panic!()
        };
        assert!((15 * SECOND..=20 * SECOND).contains(&(until - now)));
        now += 5 * SECOND;
    }
    now += 20 * SECOND;
    assert_eq!(
        reader.on(Input::Silent, now),
        Some(Notice::Renewing("silent"))
    );
    assert_eq!(reader.next(now), Action::Subscribe(after_number(49)));
}

#[test]
fn a_shard_that_is_taken_over_again_and_again_is_taken_back_later_each_time() {
    let mut now = Instant::now();
    let mut reader = reader(now);
    let mut waits = vec![];
    for times in 1..=10 {
        open(&mut reader, &mut now);
        reader.on(event(times.into()), now);
        // The other one has it back as soon as the rules allow it.
        now += 5 * SECOND;
        let taken = reader.on(Input::Broken(ErrorKind::ResourceInUse), now);
        assert_eq!(taken, Some(Notice::TakenOver(times)));
        let Action::Wait(until) = reader.next(now) else {
            panic!()
        };
        waits.push(until - now);
    }
    assert!(waits[0] >= 5 * SECOND && waits[0] <= 10 * SECOND);
    assert!(waits[9] >= 150 * SECOND && waits[9] <= 300 * SECOND);
    // A subscription that lives and ends as it should forgives.
    open(&mut reader, &mut now);
    now += 300 * SECOND;
    reader.on(Input::Ended, now);
    open(&mut reader, &mut now);
    let taken = reader.on(Input::Broken(ErrorKind::ResourceInUse), now);
    assert_eq!(taken, Some(Notice::TakenOver(1)));
}

#[test]
fn a_position_past_retention_restarts_at_the_trim_horizon_and_says_so() {
    let mut now = Instant::now();
    let mut reader = reader(now);
    open(&mut reader, &mut now);
    reader.on(event(5), now);
    now += 300 * SECOND;
    reader.on(Input::Ended, now);
    until_subscribe(&mut reader, &mut now);
    let failed = Input::OpenFailed(ErrorKind::InvalidArgument);
    assert_eq!(reader.on(failed, now), Some(Notice::Trimmed(5.into())));
    assert_eq!(until_subscribe(&mut reader, &mut now), START);
    // Refused there, too: that is another matter, and no reason to try without end or pause.
    let again = reader.on(failed, now);
    assert_eq!(again, Some(Notice::Retrying(ErrorKind::InvalidArgument)));
}

#[test]
fn the_end_of_a_shard_is_final() {
    let mut now = Instant::now();
    let mut reader = reader(now);
    open(&mut reader, &mut now);
    reader.on(Input::Event { continuation: None }, now);
    for input in [Input::Ended, Input::ConsumerChanged, Input::Silent] {
        reader.on(input, now);
        assert_eq!(reader.next(now), Action::Finish);
    }
}

#[test]
fn another_consumer_subscribes_at_once_behind_the_last_event() {
    let mut now = Instant::now();
    let mut reader = reader(now);
    open(&mut reader, &mut now);
    reader.on(event(5), now);
    now += SECOND;
    reader.on(Input::ConsumerChanged, now);
    assert_eq!(reader.next(now), Action::Subscribe(after_number(5)));
}

#[test]
fn a_call_whose_answer_was_lost_is_not_repeated_before_it_would_be_refused() {
    let mut now = Instant::now();
    let mut reader = reader(now);
    until_subscribe(&mut reader, &mut now);
    reader.on(Input::OpenFailed(ErrorKind::Timeout), now);
    assert_eq!(reader.next(now), Action::Wait(now + 5 * SECOND));
}

/// What the world does after a call, or while a subscription is open.
#[derive(Clone, Copy, Debug)]
enum World {
    Opens,
    Refuses(ErrorKind),
    Sends,
    Ends,
    Breaks(ErrorKind),
    FallsSilent,
    NewConsumer,
}

fn kind() -> impl Strategy<Value = ErrorKind> {
    prop_oneof![
        Just(ErrorKind::ResourceInUse),
        Just(ErrorKind::ResourceNotFound),
        Just(ErrorKind::InvalidArgument),
        Just(ErrorKind::Throttled),
        Just(ErrorKind::Timeout),
        Just(ErrorKind::Connection),
        Just(ErrorKind::Service),
        Just(ErrorKind::AccessDenied),
    ]
}

fn world() -> impl Strategy<Value = (World, u64)> {
    let world = prop_oneof![
        3 => Just(World::Opens),
        1 => kind().prop_map(World::Refuses),
        4 => Just(World::Sends),
        1 => Just(World::Ends),
        1 => kind().prop_map(World::Breaks),
        1 => Just(World::FallsSilent),
        1 => Just(World::NewConsumer),
    ];
    (world, 0..20_000_u64)
}

proptest! {
    #[test]
    fn the_rules_hold_whatever_happens(
        seed: u64,
        steps in prop::collection::vec(world(), 1..200),
    ) {
        let rules = Rules::default();
        let mut now = Instant::now();
        let rng = fastrand::Rng::with_seed(seed);
        let mut reader = Reader::new(Cursor::new(START), rules, rng, now);
        let (mut last_call, mut last_open): (Option<Instant>, Option<Instant>) = (None, None);
        let mut expected = START;
        let mut number = 0_u128;
        for (what, millis) in steps {
            // What the reader does by itself, until something can happen to it.
            let listening = loop {
                match reader.next(now) {
                    Action::Subscribe(from) => {
                        prop_assert_eq!(from, expected, "neither gap nor repeat");
                        if let Some(last) = last_call {
                            prop_assert!(now - last >= rules.call_interval);
                        }
                        if let Some(last) = last_open {
                            prop_assert!(now - last >= rules.takeover_after);
                        }
                        last_call = Some(now);
                        break None;
                    }
                    Action::Wait(until) => {
                        prop_assert!(until > now && until - now <= rules.contended_last);
                        now = until;
                    }
                    Action::Listen(until) => {
                        prop_assert!(until - now <= rules.silence * 4 / 3);
                        break Some(until);
                    }
                    Action::Finish => panic!("there was no end"),
                }
            };
            match (listening, what) {
                (None, World::Opens | World::Sends | World::FallsSilent | World::Ends) => {
                    reader.on(Input::Opened, now);
                    last_open = Some(now);
                }
                (None, World::Refuses(kind) | World::Breaks(kind)) => {
                    now += Duration::from_millis(millis / 4);
                    let notice = reader.on(Input::OpenFailed(kind), now);
                    if matches!(notice, Some(Notice::Trimmed(_))) {
                        expected = START;
                    }
                    if kind == ErrorKind::Timeout {
                        last_open = Some(now);
                    }
                }
                (_, World::NewConsumer) => {
                    reader.on(Input::ConsumerChanged, now);
                    last_open = None;
                }
                (Some(until), World::FallsSilent) => {
                    now = now.max(until);
                    reader.on(Input::Silent, now);
                }
                (Some(until), World::Sends | World::Opens | World::Refuses(_)) => {
                    now = (now + Duration::from_millis(millis)).min(until);
                    number += 1;
                    reader.on(event(number), now);
                    expected = after_number(number);
                }
                (Some(until), World::Ends) => {
                    now = (now + Duration::from_millis(millis)).min(until);
                    reader.on(Input::Ended, now);
                }
                (Some(until), World::Breaks(kind)) => {
                    now = (now + Duration::from_millis(millis)).min(until);
                    reader.on(Input::Broken(kind), now);
                }
            }
        }
    }
}
