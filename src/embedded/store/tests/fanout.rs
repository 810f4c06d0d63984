//! Consumers and their subscriptions.

use super::*;

#[test]
fn a_waiting_subscription_is_woken_by_what_concerns_it_and_nothing_else() {
    let mut store = store(Config::default(), 2);
    let id = subscribe(&mut store, Start::TrimHorizon, at(0)).unwrap();
    let first = event(store.next(id, None, at(0)));
    assert_eq!(
        (first.slice.records.len(), first.continuation),
        (0, Some(start_of(&mut store, 0)))
    );
    assert!(matches!(store.next(id, None, at(10)), Step::Wait(5_000)));
    store
        .put(
            STREAM,
            vec![Put {
                hash: u128::MAX,
                ..record("a", 1)
            }],
            at(10),
        )
        .unwrap();
    assert_eq!(store.take_woken(), []);
    let two = [(0, "a"), (1, "b")].map(|(hash, key)| Put {
        hash,
        ..record(key, 1)
    });
    let put = put_all(&mut store, two.into(), at(20));
    assert_eq!(store.take_woken(), [id]);
    let both = event(store.next(id, None, at(25)));
    assert_eq!(
        (
            both.slice.records.len(),
            both.continuation,
            both.millis_behind
        ),
        (2, Some(put[1].sequence), 0)
    );
    assert!(matches!(store.next(id, None, at(30)), Step::Wait(5_025)));
    let empty = event(store.next(id, None, at(5_025)));
    assert_eq!(
        (empty.slice.records.len(), empty.continuation),
        (0, Some(put[1].sequence))
    );
    store
        .deregister_consumer(STREAM, "reader", at(5_030))
        .unwrap();
    assert!(
        matches!(store.next(id, None, at(5_030)), Step::End(Some(error)) if error.kind() == ErrorKind::ResourceNotFound)
    );
    assert_eq!(store.subscription_count(), 0);
}

#[test]
fn a_backlog_comes_in_pieces_and_a_large_record_alone() {
    let mut store = store(Config::default(), 1);
    let sizes = [400_000, 400_000, 400_000, 1_000_000, 10];
    for (millis, size) in (0..).zip(sizes) {
        store
            .put(STREAM, vec![record("a", size)], at(millis))
            .unwrap();
    }
    let id = subscribe(&mut store, Start::TrimHorizon, at(100)).unwrap();
    let mut pieces = Vec::new();
    while let Step::Event(event) = store.next(id, None, at(100)) {
        pieces.push((event.slice.records.len(), event.millis_behind));
    }
    assert_eq!(pieces, [(2, 98), (1, 97), (2, 0)]);
    for _ in 0..5 {
        store
            .put(STREAM, (0..500).map(|_| record("a", 0)).collect(), at(200))
            .unwrap();
    }
    let pieces: Vec<_> = (0..3)
        .map(|_| event(store.next(id, None, at(200))).slice.records.len())
        .collect();
    assert_eq!(pieces, [1_000, 1_000, 500]);
}

#[test]
fn a_subscription_ends_with_its_shard_after_naming_the_children() {
    let mut store = store(
        Config {
            creating_time: Duration::from_millis(10),
            ..Config::default()
        },
        1,
    );
    store
        .register_consumer(STREAM, "reader", Tags::new(), at(10))
        .unwrap();
    let id = subscribe(&mut store, Start::TrimHorizon, at(20)).unwrap();
    event(store.next(id, None, at(20)));
    assert!(matches!(store.next(id, None, at(20)), Step::Wait(_)));
    store.split_shard(STREAM, SHARD, 1 << 127, at(30)).unwrap();
    // The split takes its time: the subscription is told when to look again.
    assert_eq!(store.take_woken(), [id]);
    assert!(matches!(store.next(id, None, at(31)), Step::Wait(40)));
    put(&mut store, "a", at(39));
    assert_eq!(event(store.next(id, None, at(40))).slice.records.len(), 1);
    let last = event(store.next(id, None, at(40)));
    assert_eq!(
        (
            last.slice.records.len(),
            last.continuation,
            last.children.len()
        ),
        (0, None, 2)
    );
    assert!(matches!(store.next(id, None, at(40)), Step::End(None)));
}

#[test]
fn a_second_subscription_is_refused_before_five_seconds_and_takes_over_after() {
    let mut store = store(Config::default(), 1);
    let first = subscribe(&mut store, Start::Latest, at(0)).unwrap();
    assert_eq!(
        subscribe(&mut store, Start::Latest, at(4_999))
            .unwrap_err()
            .kind(),
        ErrorKind::ResourceInUse
    );
    let second = subscribe(&mut store, Start::Latest, at(5_000)).unwrap();
    assert!(
        matches!(store.next(first, None, at(5_000)), Step::End(Some(error)) if error.kind() == ErrorKind::ResourceInUse)
    );
    event(store.next(second, None, at(5_000)));
    // Also when the one before is gone: the call was successful.
    store.unsubscribe(second);
    assert_eq!(
        subscribe(&mut store, Start::Latest, at(9_999))
            .unwrap_err()
            .kind(),
        ErrorKind::ResourceInUse
    );
    subscribe(&mut store, Start::Latest, at(10_000)).unwrap();
}

#[test]
fn a_subscription_expires() {
    let mut store = store(Config::default(), 1);
    let id = subscribe(&mut store, Start::Latest, at(0)).unwrap();
    event(store.next(id, None, at(299_999)));
    assert!(matches!(
        store.next(id, None, at(299_999)),
        Step::Wait(300_000)
    ));
    assert!(matches!(store.next(id, None, at(300_000)), Step::End(None)));
}

#[test]
fn a_consumer_of_the_same_name_is_another_one_within_the_same_second() {
    let mut store = store(Config::default(), 1);
    let first = store
        .register_consumer(STREAM, "reader", Tags::new(), at(0))
        .unwrap()
        .second;
    assert_eq!(
        store
            .register_consumer(STREAM, "reader", Tags::new(), at(0))
            .unwrap_err()
            .kind(),
        ErrorKind::ResourceInUse
    );
    store.deregister_consumer(STREAM, "reader", at(0)).unwrap();
    let second = store
        .register_consumer(STREAM, "reader", Tags::new(), at(0))
        .unwrap()
        .second;
    assert_ne!(first, second);
}

#[test]
fn consumers_are_bounded() {
    let mut store = store(
        Config {
            consumers_per_stream: 2,
            ..Config::default()
        },
        1,
    );
    for name in ["a", "b"] {
        store
            .register_consumer(STREAM, name, Tags::new(), at(0))
            .unwrap();
    }
    assert_eq!(
        store
            .register_consumer(STREAM, "c", Tags::new(), at(0))
            .unwrap_err()
            .kind(),
        ErrorKind::LimitExceeded
    );
}
