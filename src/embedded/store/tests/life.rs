//! What time and the memory bound do.

use super::*;

#[test]
fn over_the_memory_bound_the_oldest_records_of_any_stream_go() {
    let one = record("a", 1000);
    let cost = one.data.len() + 1 + 128;
    let mut store = store(
        Config {
            memory: 3 * cost,
            ..Config::default()
        },
        1,
    );
    store.create_stream(new_stream("other", 1), at(0)).unwrap();
    for n in 0..2 {
        store.put("other", vec![record("a", 1000)], at(n)).unwrap();
        store.put(STREAM, vec![record("a", 1000)], at(n)).unwrap();
    }
    assert_eq!(store.kept_bytes(), 3 * cost);
    let kept = |store: &mut Store, name: &str| {
        let from = store
            .locate(name, SHARD, Start::TrimHorizon, at(9))
            .unwrap();
        store.look(name, from, 10, at(9)).unwrap().records.len()
    };
    assert_eq!(
        (kept(&mut store, "other"), kept(&mut store, STREAM)),
        (1, 2)
    );
    store.delete_stream("other", true, at(9)).unwrap();
    assert_eq!(store.kept_bytes(), 2 * cost);
    store.delete_stream(STREAM, true, at(9)).unwrap();
    assert_eq!(store.kept_bytes(), 0);
}

#[test]
fn a_reader_behind_the_trim_horizon_goes_on_at_it() {
    let mut store = store(
        Config {
            memory: 2_000,
            ..Config::default()
        },
        1,
    );
    let first = put(&mut store, "a", at(0));
    let from = store
        .locate(STREAM, SHARD, Start::TrimHorizon, at(0))
        .unwrap();
    let last = put_all(&mut store, vec![record("a", 1_800)], at(1))[0].sequence;
    let batch = store.look(STREAM, from, 10, at(1)).unwrap();
    assert_eq!(
        batch
            .records
            .iter()
            .map(|record| record.sequence)
            .collect::<Vec<_>>(),
        [last]
    );
    assert_eq!(read(&mut store, SHARD, Start::After(first), at(1)), [last]);
}

#[test]
fn retention_takes_records_and_then_closed_shards() {
    let mut store = store(
        Config {
            retention: Duration::from_secs(10),
            ..Config::default()
        },
        1,
    );
    put(&mut store, "a", at(0));
    store
        .split_shard(STREAM, SHARD, 1 << 127, at(5_000))
        .unwrap();
    put(&mut store, "a", at(6_000));
    let shards = |store: &mut Store, now| store.stream(STREAM, now).unwrap().shards.len();
    assert_eq!(shards(&mut store, at(9_000)), 3);
    assert!(store.kept_bytes() > 200);
    assert_eq!(shards(&mut store, at(12_000)), 3);
    assert!(store.kept_bytes() < 200);
    assert_eq!(shards(&mut store, at(15_500)), 2);
    assert_eq!(shards(&mut store, at(60_000)), 2);
    assert_eq!(store.kept_bytes(), 0);
}

#[test]
fn a_stream_takes_its_time_to_come_to_change_and_to_go() {
    let mut store = store(
        Config {
            creating_time: Duration::from_millis(100),
            ..Config::default()
        },
        1,
    );
    let status =
        |store: &mut Store, millis| store.stream(STREAM, at(millis)).map(|stream| stream.status);
    assert_eq!(status(&mut store, 99), Ok(Status::Creating));
    assert_eq!(
        store
            .put(STREAM, vec![record("a", 1)], at(99))
            .unwrap_err()
            .kind(),
        ErrorKind::ResourceNotFound
    );
    assert_eq!(status(&mut store, 100), Ok(Status::Active));
    store.split_shard(STREAM, SHARD, 1 << 127, at(200)).unwrap();
    assert_eq!(status(&mut store, 299), Ok(Status::Updating));
    assert_eq!(
        store
            .split_shard(STREAM, SHARD, 1 << 126, at(299))
            .unwrap_err()
            .kind(),
        ErrorKind::ResourceInUse
    );
    put(&mut store, "a", at(299));
    assert_eq!(store.stream(STREAM, at(300)).unwrap().open_count(), 2);
    store
        .register_consumer(STREAM, "reader", Tags::new(), at(400))
        .unwrap();
    assert_eq!(
        store
            .subscribe(STREAM, "reader", SHARD, Start::Latest, at(499))
            .unwrap_err()
            .kind(),
        ErrorKind::ResourceInUse
    );
    assert_eq!(
        store
            .delete_stream(STREAM, false, at(500))
            .unwrap_err()
            .kind(),
        ErrorKind::ResourceInUse
    );
    store
        .deregister_consumer(STREAM, "reader", at(500))
        .unwrap();
    let consumer = |store: &mut Store, millis| {
        let stream = store.stream(STREAM, at(millis)).unwrap();
        stream.consumers.get("reader").map(|c| c.status(at(millis)))
    };
    assert_eq!(consumer(&mut store, 599), Some("DELETING"));
    for refused in [
        store
            .register_consumer(STREAM, "reader", Tags::new(), at(599))
            .map(drop),
        store
            .subscribe(STREAM, "reader", SHARD, Start::Latest, at(599))
            .map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ResourceInUse);
    }
    assert_eq!(
        store
            .deregister_consumer(STREAM, "reader", at(599))
            .unwrap_err()
            .kind(),
        ErrorKind::ResourceNotFound
    );
    assert_eq!(consumer(&mut store, 600), None);
    store.delete_stream(STREAM, false, at(600)).unwrap();
    assert_eq!(status(&mut store, 699), Ok(Status::Deleting));
    assert_eq!(
        status(&mut store, 700).unwrap_err().kind(),
        ErrorKind::ResourceNotFound
    );
}
