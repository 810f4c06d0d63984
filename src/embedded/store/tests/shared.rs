//! What several subscriptions are sent.

use proptest::prelude::*;

use super::*;

/// Subscriptions of as many consumers to the one shard.
fn subscribed(store: &mut Store, count: usize) -> Vec<SubscriptionId> {
    (0..count)
        .map(|number| {
            let name = format!("reader-{number}");
            store
                .register_consumer(STREAM, &name, Tags::new(), at(0))
                .unwrap();
            store
                .subscribe(STREAM, &name, SHARD, Start::TrimHorizon, at(0))
                .unwrap()
        })
        .collect()
}

#[test]
fn subscriptions_at_the_same_place_share_what_they_are_sent() {
    let mut store = store(Config::default(), 1);
    let ids = subscribed(&mut store, 20);
    let events = |store: &mut Store, now| -> Vec<_> {
        ids.iter()
            .map(|id| event(store.next(*id, None, now)))
            .collect()
    };
    for millis in 0..3 {
        put_all(&mut store, vec![record("a", 1_000)], at(millis));
        let events = events(&mut store, at(millis + 1));
        assert_eq!(events[0].slice.records.len(), 1);
        for event in &events {
            assert!(Arc::ptr_eq(&event.slice, &events[0].slice));
        }
    }
}

#[test]
fn a_slice_that_has_become_too_short_is_not_shared() {
    let mut store = store(Config::default(), 1);
    let ids = subscribed(&mut store, 2);
    put(&mut store, "a", at(0));
    assert_eq!(
        event(store.next(ids[0], None, at(0))).slice.records.len(),
        1
    );
    put(&mut store, "a", at(1));
    assert_eq!(
        event(store.next(ids[1], None, at(1))).slice.records.len(),
        2
    );
    assert_eq!(
        event(store.next(ids[0], None, at(1))).slice.records.len(),
        1
    );
}

#[test]
fn what_was_trimmed_is_not_shared() {
    let mut store = store(Config::default(), 1);
    let ids = subscribed(&mut store, 2);
    put(&mut store, "a", at(0));
    assert_eq!(
        event(store.next(ids[0], None, at(0))).slice.records.len(),
        1
    );
    let kept = put(&mut store, "a", at(60_000));
    store.stream_mut(STREAM, at(0)).unwrap().settings.retention = 1_000;
    let _ = store.stream(STREAM, at(61_000)).unwrap();
    let read = event(store.next(ids[1], None, at(61_000)));
    let read: Vec<_> = read.slice.records.iter().map(|r| r.sequence).collect();
    assert_eq!(read, [kept]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whoever is asked when: everybody gets every record, once and in order.
    #[test]
    fn everybody_gets_everything_once(
        steps in prop::collection::vec((0_usize..4, 0_usize..600_000), 1..80),
    ) {
        let mut store = store(Config { memory: 1 << 30, ..Config::default() }, 1);
        let ids = subscribed(&mut store, 3);
        let mut read = vec![Vec::new(); ids.len()];
        let mut put = Vec::new();
        let mut ask = |store: &mut Store, reader: usize, now| {
            let Step::Event(event) = store.next(ids[reader], None, now) else { return false };
            read[reader].extend(event.slice.records.iter().map(|record| record.sequence));
            true
        };
        for (millis, (what, size)) in (0..).zip(steps) {
            match what {
                0..3 => drop(ask(&mut store, what, at(millis))),
                _ => put.push(put_all(&mut store, vec![record("a", size)], at(millis))[0].sequence),
            }
        }
        for reader in 0..3 {
            while ask(&mut store, reader, at(100)) {}
        }
        for read in read {
            prop_assert_eq!(&read, &put);
        }
    }
}
