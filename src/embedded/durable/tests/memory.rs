//! More on disk than in memory, a disk that is full, and what retention deletes.

use futures_util::FutureExt as _;

use super::*;
use crate::embedded::ErrorKind;
use crate::embedded::clock::Now;
use crate::embedded::durable::keeper::Keeper;
use crate::embedded::store::{Load, Look, Mode, NewStream, Step, Store, Tags};

fn new_disk() -> Forgetful {
    let disk = Forgetful::default();
    Disk::make(disk.clone(), Path::new("forgetful.redb")).unwrap();
    disk
}

/// A service that keeps hardly anything in memory.
fn small(disk: &Forgetful) -> Service {
    let config = Config {
        memory: 100_000,
        ..Config::default()
    };
    on(disk, config, true).unwrap()
}

/// Records of about 2.5 MB, of different sizes.
async fn fill(service: &Service) -> Vec<Sequence> {
    service.create_stream_if_missing(STREAM, 1).unwrap();
    let mut sequences = Vec::new();
    for n in 0..50_usize {
        sequences.push(put(service, "key", &vec![7; n * 2_000]).await.unwrap());
    }
    sequences
}

fn numbers(records: &[std::sync::Arc<Record>]) -> Vec<Sequence> {
    records.iter().map(|record| record.sequence).collect()
}

/// What a subscription brings until it is at the tip, loads included.
async fn subscribed(service: &Service, start: Start) -> Vec<Sequence> {
    let start = service.resolve(STREAM, SHARD, start).await.unwrap();
    let id = service.with(|store, now| {
        let _ = store.register_consumer(STREAM, "reader", Tags::new(), now);
        store
            .subscribe(STREAM, "reader", SHARD, start, now)
            .unwrap()
    });
    let (mut found, mut loaded) = (Vec::new(), None);
    let mut behind = u64::MAX;
    loop {
        match service.next_step(id, loaded.take(), std::task::Waker::noop()) {
            Step::Load(load) => loaded = Some(service.load(load).await.unwrap()),
            Step::Event(event) => {
                assert!(event.millis_behind <= behind, "it comes nearer");
                behind = event.millis_behind.max(1_000);
                if let Some(last) = event.slice.records.last() {
                    assert_eq!(event.continuation, Some(last.sequence));
                }
                found.extend(numbers(&event.slice.records));
            }
            Step::Wait(_) => break,
            Step::End(error) => panic!("it ended: {error:?}"),
        }
    }
    service.unsubscribe(id);
    found
}

#[tokio::test]
async fn what_left_memory_is_read_from_disk() {
    let disk = new_disk();
    let service = small(&disk);
    let sequences = fill(&service).await;
    assert!(service.kept_bytes() <= 100_000, "memory is bounded");
    assert_eq!(
        numbers(&read(&service, SHARD, Start::TrimHorizon).await),
        sequences
    );
    assert_eq!(
        numbers(&read(&service, SHARD, Start::At(sequences[7])).await),
        sequences[7..]
    );
    assert_eq!(
        numbers(&read(&service, SHARD, Start::After(sequences[7])).await),
        sequences[8..]
    );
    assert_eq!(subscribed(&service, Start::TrimHorizon).await, sequences);
    assert!(service.kept_bytes() <= 100_000, "memory is bounded");
    drop(service);
    // All of it is on disk only, and what follows comes after a gap.
    let service = small(&disk);
    assert_eq!(service.kept_bytes(), 0);
    let next = put(&service, "key", b"next").await.unwrap();
    let all: Vec<_> = sequences.iter().copied().chain([next]).collect();
    assert_eq!(
        numbers(&read(&service, SHARD, Start::TrimHorizon).await),
        all
    );
    assert_eq!(
        subscribed(&service, Start::After(sequences[48])).await,
        all[49..]
    );
}

#[tokio::test]
async fn a_time_is_found_on_disk() {
    let disk = new_disk();
    let service = small(&disk);
    let sequences = fill(&service).await;
    let records = read(&service, SHARD, Start::TrimHorizon).await;
    for (index, record) in records.iter().enumerate() {
        // Several may have come in one millisecond.
        let first = records
            .iter()
            .position(|other| other.arrival == record.arrival)
            .unwrap();
        let found = read(&service, SHARD, Start::Timestamp(record.arrival)).await;
        assert_eq!(
            numbers(&found),
            sequences[first..],
            "from record {index} on"
        );
    }
    assert_eq!(
        numbers(&read(&service, SHARD, Start::Timestamp(0)).await),
        sequences
    );
    let last = records.last().unwrap().arrival;
    drop(service);
    let service = small(&disk);
    assert_eq!(
        read(&service, SHARD, Start::Timestamp(last + 1))
            .await
            .len(),
        0
    );
    assert_eq!(
        numbers(&read(&service, SHARD, Start::Timestamp(1)).await),
        sequences
    );
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else_and_recovers_by_itself() {
    let disk = new_disk();
    let service = small(&disk);
    let sequences = fill(&service).await;
    disk.fill(true);
    for _ in 0..3 {
        let refused = put(&service, "key", b"in vain").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InternalFailure, "{refused}");
        assert_eq!(
            numbers(&read(&service, SHARD, Start::TrimHorizon).await),
            sequences
        );
    }
    disk.fill(false);
    let stored = async {
        loop {
            if let Ok(stored) = put(&service, "key", b"again").await {
                return stored;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let stored = tokio::time::timeout(DEADLINE, stored)
        .await
        .expect("it recovers");
    let found = read(&service, SHARD, Start::TrimHorizon).await;
    assert_eq!(numbers(&found)[..50], sequences);
    assert_eq!(found.last().unwrap().sequence, stored);
    drop(service);
    let again = small(&disk);
    assert_eq!(
        numbers(&read(&again, SHARD, Start::TrimHorizon).await),
        numbers(&found)
    );
}

#[tokio::test]
async fn a_full_disk_does_not_keep_a_service_from_ending() {
    let disk = new_disk();
    let service = small(&disk);
    fill(&service).await;
    disk.fill(true);
    put(&service, "key", b"in vain").await.unwrap_err();
    drop(service);
}

#[tokio::test]
async fn what_waits_for_the_disk_is_bounded() {
    let disk = new_disk();
    let service = small(&disk);
    service.create_stream_if_missing(STREAM, 1).unwrap();
    put(&service, "key", b"first").await.unwrap();
    disk.hold(true);
    let data = vec![7; 1_000_000];
    let mut waiting = Vec::new();
    let refused = loop {
        let mut put = Box::pin(put(&service, "key", &data));
        match (&mut put).now_or_never() {
            None => waiting.push(put),
            Some(refused) => break refused.unwrap_err(),
        }
        assert!(
            waiting.len() < 2 * (MOST_WAITING / data.len()),
            "it is bounded"
        );
    };
    assert_eq!(refused.kind(), ErrorKind::ProvisionedThroughputExceeded);
    disk.hold(false);
    for put in waiting {
        put.await.unwrap();
    }
}

/// A store and its disk without a service: the test says what time it is.
struct Kept {
    store: Store,
    disk: Disk,
    keeper: Keeper,
}

impl Kept {
    fn open(medium: &Forgetful) -> Self {
        let path = Path::new("forgetful.redb");
        let (disk, keeper, found) = Disk::open(medium.clone(), path, Trouble::new()).unwrap();
        let config = Config {
            memory: 100_000,
            retention: Duration::from_secs(10),
            ..Config::default()
        };
        let store = Store::restore(config, &found.globals, found.streams, &found.extents);
        Self {
            store,
            disk,
            keeper,
        }
    }

    /// Puts a record of so many bytes and commits it.
    fn put(&mut self, size: usize, now: Now) -> Sequence {
        let record = Put {
            hash: 0,
            partition_key: "key".into(),
            data: vec![7; size].into(),
        };
        let stored = self.store.put(STREAM, vec![record], now).unwrap();
        let commit = self.store.take_commit();
        let written = self.disk.commit(&mut self.keeper, &commit).unwrap();
        self.store.publish(commit);
        self.store.trimmed(&written.horizons);
        stored[0].as_ref().unwrap().sequence
    }
}

fn at(second: u64) -> Now {
    Now {
        wall: 1_760_000_000_000 + second * 1_000,
        steady: second * 1_000,
    }
}

#[test]
fn space_of_what_retention_has_passed_is_used_again() {
    let medium = new_disk();
    let mut kept = Kept::open(&medium);
    kept.store.create_stream(new_stream(), at(0)).unwrap();
    let mut sizes = Vec::new();
    for second in 0..200 {
        for _ in 0..4 {
            kept.put(50_000, at(second));
        }
        sizes.push(medium.bytes());
    }
    let (early, late) = (sizes[30], sizes[199]);
    assert!(
        late <= early * 3 / 2,
        "{early} bytes after 6 MB, {late} after 40 MB"
    );
    // Ten seconds are kept, and the value that was cut by them.
    let from = kept
        .store
        .locate(STREAM, SHARD, Start::TrimHorizon, at(199))
        .unwrap();
    let Look::Load(load) = kept
        .store
        .read(STREAM, from, 10_000, None, at(199))
        .unwrap()
    else {
        panic!("most is on disk only");
    };
    let loaded = kept
        .disk
        .load(&Load {
            bytes: usize::MAX,
            ..load
        })
        .unwrap();
    let oldest = loaded.records[0].arrival;
    assert_eq!(oldest, at(189).wall);
    drop(kept);
    // A shard that loses all it has still knows which numbers it gave.
    let mut kept = Kept::open(&medium);
    let last = kept.put(10, at(200));
    kept.put(10, at(300));
    drop(kept);
    let mut kept = Kept::open(&medium);
    assert!(kept.put(10, at(400)) > last);
}

#[test]
fn numbers_grow_over_restarts_whatever_the_clock_says() {
    let medium = new_disk();
    let mut kept = Kept::open(&medium);
    kept.store.create_stream(new_stream(), at(1_000)).unwrap();
    let mut last = kept.put(10, at(1_000));
    for second in [1_000, 900, 0, 1_001] {
        // Prepared and never committed: its number is not given again either.
        let prepared = vec![Put {
            hash: 0,
            partition_key: "key".into(),
            data: Bytes::new(),
        }];
        let prepared = kept.store.put(STREAM, prepared, at(1_000)).unwrap();
        drop(kept);
        kept = Kept::open(&medium);
        let next = kept.put(10, at(second));
        assert!(
            next > last && next > prepared[0].as_ref().unwrap().sequence,
            "{next} after {last}"
        );
        last = next;
    }
    // And a stream made again begins above the one before.
    kept.store.delete_stream(STREAM, true, at(0)).unwrap();
    kept.store.create_stream(new_stream(), at(0)).unwrap();
    let commit = kept.store.take_commit();
    kept.disk.commit(&mut kept.keeper, &commit).unwrap();
    drop(kept);
    let mut kept = Kept::open(&medium);
    kept.store.delete_stream(STREAM, true, at(0)).unwrap();
    let commit = kept.store.take_commit();
    kept.disk.commit(&mut kept.keeper, &commit).unwrap();
    drop(kept);
    let mut kept = Kept::open(&medium);
    kept.store.create_stream(new_stream(), at(0)).unwrap();
    assert!(kept.put(10, at(0)) > last);
}

fn new_stream() -> NewStream {
    NewStream {
        name: STREAM.to_owned(),
        shards: 1,
        mode: Mode::Provisioned,
        max_record: 1 << 20,
        warm_throughput: 0,
        tags: Tags::new(),
    }
}
