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
