//! Splits and merges, and what holds of the family whatever is done to it.

use proptest::prelude::*;

use super::*;

#[test]
fn a_child_begins_above_its_parents_within_the_same_second() {
    let mut store = store(Config::default(), 1);
    let mut highest = put(&mut store, "a", at(0));
    let (mut low, mut high) = (0_u32, u128::MAX);
    for _ in 0..5 {
        let id = shard_id(low);
        store.split_shard(STREAM, &id, high / 2, at(0)).unwrap();
        let stream = store.stream(STREAM, at(0)).unwrap();
        let parent = &stream.shards[&low];
        let closed = parent.closed.as_ref().unwrap();
        for child in &closed.children {
            assert!(stream.shards[child].starting() > closed.ending);
        }
        low = closed.children[0];
        high = stream.shards[&low].range.end;
        let first = Put {
            hash: 0,
            ..record("a", 1)
        };
        let next = put_all(&mut store, vec![first], at(0))[0].sequence;
        assert!(next > highest);
        highest = next;
    }
}

#[test]
fn records_go_to_the_shard_that_owns_their_hash() {
    let mut store = store(Config::default(), 4);
    for hash in [0, 1 << 126, (1 << 127) - 1, 1 << 127, u128::MAX] {
        let put = Put {
            hash,
            ..record("a", 1)
        };
        let stored = put_all(&mut store, vec![put], at(0));
        let number = shard_number(&stored[0].shard).unwrap();
        let range = store.stream(STREAM, at(0)).unwrap().shards[&number].range;
        assert!(range.start <= hash && hash <= range.end);
    }
}

#[test]
fn a_closed_shard_is_read_to_its_end_and_names_its_children() {
    let mut store = store(Config::default(), 1);
    put(&mut store, "a", at(0));
    store.split_shard(STREAM, SHARD, 1 << 127, at(10)).unwrap();
    let from = store
        .locate(STREAM, SHARD, Start::TrimHorizon, at(10))
        .unwrap();
    let batch = store.look(STREAM, from, 10, at(10)).unwrap();
    assert_eq!(
        (batch.records.len(), batch.next, batch.children.len()),
        (1, None, 2)
    );
    assert_eq!(batch.children[0].parents, [SHARD]);
    let ending = store.stream(STREAM, at(10)).unwrap().shards[&0]
        .closed
        .as_ref()
        .unwrap()
        .ending;
    assert_eq!(read(&mut store, SHARD, Start::After(ending), at(10)), []);
}

#[test]
fn a_merge_joins_neighbours_in_their_order_only() {
    let mut store = store(Config::default(), 3);
    let [a, b, c] = [0, 1, 2].map(shard_id);
    let kind = |outcome: Result<(), Error>| outcome.unwrap_err().kind();
    assert_eq!(
        kind(store.merge_shards(STREAM, &a, &c, at(0))),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        kind(store.merge_shards(STREAM, &b, &a, at(0))),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        kind(store.merge_shards(STREAM, &a, "shardId-000000000009", at(0))),
        ErrorKind::ResourceNotFound
    );
    store.merge_shards(STREAM, &a, &b, at(0)).unwrap();
    assert_eq!(
        kind(store.merge_shards(STREAM, &b, &c, at(0))),
        ErrorKind::InvalidArgument
    );
    let stream = store.stream(STREAM, at(0)).unwrap();
    assert_eq!(stream.shards[&3].parents, [0, 1]);
    assert_eq!(
        stream.shards[&3].range,
        HashRange {
            start: 0,
            end: stream.shards[&1].range.end
        }
    );
}

#[test]
fn the_shard_count_at_most_doubles_or_halves_and_ends_even() {
    let mut store = store(Config::default(), 2);
    for (target, shards) in [
        (3, Some(3)),
        (7, None),
        (6, Some(6)),
        (2, None),
        (4, Some(4)),
        (4, Some(4)),
        (2, Some(2)),
    ] {
        let outcome = store.update_shard_count(STREAM, target, at(0));
        let Some(shards) = shards else {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LimitExceeded);
            continue;
        };
        outcome.unwrap();
        let stream = store.stream(STREAM, at(0)).unwrap();
        let mut open: Vec<_> = stream.open_shards().map(|shard| shard.range).collect();
        open.sort_unstable_by_key(|range| range.start);
        assert_eq!(open, hash::even(shards).collect::<Vec<_>>());
    }
}

#[derive(Debug, Clone)]
enum Action {
    Put { hash: u128 },
    Split { pick: usize, hash: u128 },
    Merge { pick: usize },
    Resize { target: u32 },
    Wait { millis: u64 },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => any::<u128>().prop_map(|hash| Action::Put { hash }),
        2 => (any::<usize>(), any::<u128>()).prop_map(|(pick, hash)| Action::Split { pick, hash }),
        2 => any::<usize>().prop_map(|pick| Action::Merge { pick }),
        1 => (1..12_u32).prop_map(|target| Action::Resize { target }),
        1 => (0..3_000_u64).prop_map(|millis| Action::Wait { millis }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_split_and_merged_the_family_holds(shards in 1..5_u32, actions in prop::collection::vec(action(), 1..60)) {
        let mut store = store(Config::default(), shards);
        let mut millis = 0;
        let mut puts = 0;
        for action in actions {
            let now = at(millis);
            let mut open: Vec<_> = store.stream(STREAM, now).unwrap().open_shards().map(|s| (s.range, s.number)).collect();
            open.sort_unstable_by_key(|(range, _)| range.start);
            // Refusals are fine: they must only leave everything as it was.
            match action {
                Action::Put { hash } => {
                    let stored = put_all(&mut store, vec![Put { hash, ..record("a", 1) }], now);
                    let owner = open.iter().find(|(range, _)| range.start <= hash && hash <= range.end).unwrap().1;
                    prop_assert_eq!(shard_number(&stored[0].shard), Some(owner));
                    puts += 1;
                }
                Action::Split { pick, hash } => {
                    let (range, number) = open[pick % open.len()];
                    let at = range.start + hash % (range.end - range.start).max(1);
                    let _ = store.split_shard(STREAM, &shard_id(number), at, now);
                }
                Action::Merge { pick } => {
                    let pick = pick % open.len();
                    if let Some((_, next)) = open.get(pick + 1) {
                        store.merge_shards(STREAM, &shard_id(open[pick].1), &shard_id(*next), now).unwrap();
                    }
                }
                Action::Resize { target } => drop(store.update_shard_count(STREAM, target, now)),
                Action::Wait { millis: more } => millis += more,
            }
            check_family(store.stream(STREAM, now).unwrap())?;
        }
        let all: usize = store.stream(STREAM, at(millis)).unwrap().shards.keys().copied().collect::<Vec<_>>().into_iter()
            .map(|number| {
                let read = read(&mut store, &shard_id(number), Start::TrimHorizon, at(millis));
                assert!(read.is_sorted_by(|a, b| a < b));
                read.len()
            })
            .sum();
        prop_assert_eq!(all, puts);
    }
}

fn check_family(stream: &Stream) -> Result<(), TestCaseError> {
    let mut open: Vec<_> = stream.open_shards().map(|shard| shard.range).collect();
    open.sort_unstable_by_key(|range| range.start);
    let whole = open
        .iter()
        .skip(1)
        .try_fold(open[0], |whole, next| whole.merge(*next));
    prop_assert_eq!(
        whole,
        Some(HashRange::ALL),
        "the open shards cover the space exactly once"
    );
    for shard in stream.shards.values() {
        for parent in &shard.parents {
            let closed = stream.shards[parent]
                .closed
                .as_ref()
                .expect("a parent is closed");
            prop_assert!(closed.ending < shard.starting());
            prop_assert!(closed.children.contains(&shard.number));
        }
    }
    Ok(())
}
