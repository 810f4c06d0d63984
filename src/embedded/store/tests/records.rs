//! Writing, and reading from where it is asked for.

use super::*;

#[test]
fn sequence_numbers_grow_within_a_shard_also_when_the_clock_runs_back() {
    let mut store = store(Config::default(), 1);
    let mut last = start_of(&mut store, 0);
    for wall in [START, START + 5_000, START - 60_000, 0, START] {
        let next = put(&mut store, "a", Now { wall, steady: 0 });
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}

#[test]
fn every_start_finds_its_place() {
    let mut store = store(Config::default(), 1);
    let sequences: Vec<_> = (1..=5)
        .map(|n| put(&mut store, "a", at(n * 1000)))
        .collect();
    let now = at(6_000);
    assert_eq!(read(&mut store, SHARD, Start::TrimHorizon, now), sequences);
    assert_eq!(read(&mut store, SHARD, Start::Latest, now), []);
    assert_eq!(
        read(&mut store, SHARD, Start::At(sequences[2]), now),
        sequences[2..]
    );
    assert_eq!(
        read(&mut store, SHARD, Start::After(sequences[2]), now),
        sequences[3..]
    );
    assert_eq!(read(&mut store, SHARD, Start::After(sequences[4]), now), []);
    assert_eq!(
        read(&mut store, SHARD, Start::Timestamp(START + 2_001), now),
        sequences[2..]
    );
    assert_eq!(read(&mut store, SHARD, Start::Timestamp(0), now), sequences);
    let starting = start_of(&mut store, 0);
    assert_eq!(read(&mut store, SHARD, Start::At(starting), now), sequences);
    assert_eq!(
        read(&mut store, SHARD, Start::After(starting), now),
        sequences
    );
}

#[test]
fn a_sequence_number_of_elsewhere_is_refused() {
    let mut store = store(Config::default(), 2);
    let of_first = start_of(&mut store, 0);
    let refused = |store: &mut Store, shard, start| {
        store
            .locate(STREAM, shard, start, at(0))
            .unwrap_err()
            .kind()
    };
    let second = "shardId-000000000001";
    assert_eq!(
        refused(&mut store, second, Start::At(of_first)),
        ErrorKind::InvalidArgument
    );
    let other_time = Sequence::new(1, 0, 0, 1);
    assert_eq!(
        refused(&mut store, SHARD, Start::After(other_time)),
        ErrorKind::InvalidArgument
    );
    let never_given = Sequence::new(START / 1000, 0, 77, START / 1000);
    assert_eq!(
        refused(&mut store, SHARD, Start::At(never_given)),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        refused(&mut store, SHARD, Start::Timestamp(START + 60_000)),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        refused(&mut store, "shardId-000000000002", Start::Latest),
        ErrorKind::ResourceNotFound
    );
}

#[test]
fn a_stream_made_again_begins_above_the_one_before_whatever_the_clock_says() {
    let mut store = store(Config::default(), 2);
    for back in [0, 0, 60_000] {
        let moment = Now {
            wall: START - back,
            steady: 0,
        };
        put(&mut store, "a", moment);
        let highest = |store: &mut Store| {
            let stream = store.stream(STREAM, moment).unwrap();
            let starting = stream.shards.values().map(Shard::starting);
            starting.max().unwrap()
        };
        let before = highest(&mut store);
        store.delete_stream(STREAM, true, moment).unwrap();
        store.create_stream(new_stream(STREAM, 2), moment).unwrap();
        let stream = store.stream(STREAM, moment).unwrap();
        let lowest = stream.shards.values().map(Shard::starting).min().unwrap();
        assert!(lowest > before, "{lowest} after {before}");
        let stale = store.locate(STREAM, SHARD, Start::After(before), moment);
        assert_eq!(stale.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn what_is_prepared_is_seen_when_it_is_published_and_a_shard_ends_after_it() {
    let mut store = store(Config::default(), 1);
    let first = put(&mut store, "a", at(0));
    let stream = store.streams.get_mut(STREAM).unwrap();
    let shard = stream.shards.get_mut(&0).unwrap();
    let hidden = shard.prepare("a".into(), Bytes::from_static(b"hidden"), 9, at(1));
    let gone = shard.prepare("a".into(), Bytes::from_static(b"gone"), 10, at(1));
    assert_eq!(read(&mut store, SHARD, Start::TrimHorizon, at(1)), [first]);
    store.split_shard(STREAM, SHARD, 1 << 127, at(2)).unwrap();
    let from = store.locate(STREAM, SHARD, Start::Latest, at(2)).unwrap();
    let waiting = store.look(STREAM, from, 9, at(2)).unwrap();
    assert!(waiting.records.is_empty() && waiting.next.is_some());
    let shard = |store: &mut Store, settled, record: Option<&Arc<Record>>| {
        let stream = store.streams.get_mut(STREAM).unwrap();
        let shard = stream.shards.get_mut(&0).unwrap();
        if let Some(record) = record {
            shard.publish(Arc::clone(record));
        }
        shard.settle(settled);
    };
    shard(&mut store, 1, Some(&hidden));
    let seen = store.look(STREAM, from, 9, at(2)).unwrap();
    assert_eq!(seen.records.len(), 1);
    // Its number is not given again.
    shard(&mut store, 1, None);
    let end = store.look(STREAM, seen.next.unwrap(), 9, at(2)).unwrap();
    assert!(end.records.is_empty() && end.next.is_none());
    assert_eq!(end.children.len(), 2);
    assert!(gone.sequence > hidden.sequence && hidden.sequence > first);
}

#[test]
fn what_is_dropped_before_its_time_is_gone_and_positions_before_it_are_refused() {
    let mut store = store(Config::default(), 2);
    let sequences: Vec<_> = (1..=3).map(|n| put(&mut store, "a", at(n))).collect();
    let shard = shard_id(sequences[0].shard());
    let kept = store.ledger.kept();
    store.trim_shard(STREAM, &shard, at(4)).unwrap();
    assert!(kept > 0 && store.ledger.kept() == 0);
    assert_eq!(read(&mut store, &shard, Start::TrimHorizon, at(4)), []);
    let later = put(&mut store, "a", at(5));
    let now = at(6);
    assert_eq!(read(&mut store, &shard, Start::TrimHorizon, now), [later]);
    assert_eq!(read(&mut store, &shard, Start::Timestamp(0), now), [later]);
    // Whoever had read the last of them has lost nothing.
    let last = Start::After(sequences[2]);
    assert_eq!(read(&mut store, &shard, last, now), [later]);
    for gone in [Start::After(sequences[1]), Start::At(sequences[2])] {
        let refused = store.locate(STREAM, &shard, gone, now).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    }
}
