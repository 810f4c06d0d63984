//! The power fails: what was acknowledged is there, in order; and the check sees it when it is not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use super::*;

/// Lives that each seed has, one after the other on what the one before left.
const LIVES: usize = 4;
const WRITERS: usize = 4;

/// What was acknowledged, by shard and sequence number.
type Acknowledged = BTreeMap<(u32, Sequence), Vec<u8>>;

/// Seeds to try: more where `DURABLE_SEEDS` says so.
fn seeds() -> u64 {
    std::env::var("DURABLE_SEEDS").map_or(12, |seeds| {
        seeds.parse().expect("DURABLE_SEEDS is a number")
    })
}

fn new_disk() -> Forgetful {
    let disk = Forgetful::default();
    Disk::make(disk.clone(), Path::new("forgetful.redb")).unwrap();
    disk
}

/// Writers put, and now and then a shard is split, until the power fails. What was acknowledged is noted.
async fn live(service: &Service, random: &mut Rng, acknowledged: &Arc<Mutex<Acknowledged>>) {
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (service, mut random) = (service.clone(), random.fork());
        let acknowledged = Arc::clone(acknowledged);
        writers.spawn(async move {
            loop {
                let key = random.u32(..).to_string();
                let largest = *random.choice(&[10, 1_000, 100_000]).unwrap();
                let data: Vec<u8> = (0..random.usize(..largest))
                    .map(|_| random.u8(..))
                    .collect();
                let Ok(sequence) = put(&service, &key, &data).await else {
                    return;
                };
                let mut acknowledged = acknowledged.lock().unwrap();
                let again = acknowledged.insert((sequence.shard(), sequence), data);
                assert!(again.is_none(), "{sequence} was given twice");
                if random.u8(..) < 10 {
                    let _ = service.with(|store, now| {
                        let stream = store.stream(STREAM, now).unwrap();
                        let shard = stream.open_shards().next().unwrap();
                        let (id, range) = (shard.id.to_string(), shard.range);
                        let middle = range.start + (range.end - range.start) / 2;
                        store.split_shard(STREAM, &id, middle, now)
                    });
                }
            }
        });
    }
    let ended = async {
        while writers
            .join_next()
            .await
            .is_some_and(|ended| ended.map(|()| true).unwrap())
        {}
    };
    tokio::time::timeout(DEADLINE, ended)
        .await
        .expect("the power fails");
}

/// What is wrong with what was found, if something is.
async fn check(service: &Service, acknowledged: &Acknowledged) -> Result<(), String> {
    if !described(service).contains(STREAM) {
        let lost = "the stream is lost".to_owned();
        return acknowledged.is_empty().then_some(()).ok_or(lost);
    }
    let mut found = BTreeMap::new();
    for shard in shards(service) {
        let mut last = None;
        for record in read(service, &shard, Start::TrimHorizon).await {
            if last >= Some(record.sequence) {
                return Err(format!("{} is out of order", record.sequence));
            }
            last = Some(record.sequence);
            found.insert(
                (record.sequence.shard(), record.sequence),
                record.data.to_vec(),
            );
        }
    }
    match acknowledged
        .iter()
        .find(|(place, data)| found.get(place) != Some(data))
    {
        Some(((_, sequence), _)) => Err(format!("{sequence} is lost or changed")),
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_whatever_the_power_failure_left() {
    let first = std::env::var("DURABLE_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    let (mut puts, mut failures) = (0, 0);
    for seed in first..first + seeds() {
        let mut random = Rng::with_seed(seed);
        let mut disk = new_disk();
        let acknowledged = Arc::new(Mutex::new(Acknowledged::new()));
        let config = Config {
            memory: 200_000,
            ..Config::default()
        };
        for life in 0..LIVES {
            let service = on(&disk, config.clone(), false);
            let service =
                service.unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
            let so_far = acknowledged.lock().unwrap().clone();
            let checked = check(&service, &so_far).await;
            checked.unwrap_or_else(|lost| panic!("seed {seed}, life {life}: {lost}"));
            disk.fail_after(random.u64(20..600));
            let _ = service.create_stream_if_missing(STREAM, 2);
            live(&service, &mut random, &acknowledged).await;
            drop(service);
            disk = disk.after_power_failure(&mut random);
            failures += 1;
        }
        let service = on(&disk, config, false).unwrap();
        let all = acknowledged.lock().unwrap().clone();
        check(&service, &all)
            .await
            .unwrap_or_else(|lost| panic!("seed {seed}: {lost}"));
        puts += all.len();
    }
    println!("{failures} power failures from seed {first}: {puts} acknowledged puts were found");
    assert!(
        puts > 10 * failures,
        "{puts} puts in {failures} lives show nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_sees_it_when_nothing_is_synced() {
    let mut random = Rng::with_seed(1);
    let disk = new_disk();
    let acknowledged = Arc::new(Mutex::new(Acknowledged::new()));
    let service = on(&disk, Config::default(), false).unwrap();
    service.create_stream_if_missing(STREAM, 1).unwrap();
    disk.forget_syncs();
    disk.fail_after(400);
    live(&service, &mut random, &acknowledged).await;
    drop(service);
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(!acknowledged.is_empty(), "something was acknowledged");
    let mut seen = 0;
    for seed in 0..20 {
        let found = disk.after_power_failure(&mut Rng::with_seed(seed));
        // It cannot even be opened, or something is missing.
        let lost = match on(&found, Config::default(), false) {
            Ok(service) => check(&service, &acknowledged).await.is_err(),
            Err(_) => true,
        };
        seen += u32::from(lost);
    }
    // Now and then all that was written was kept by chance: that is no loss.
    assert!(seen >= 10, "the check saw {seen} losses of 20");
}

#[tokio::test]
async fn many_callers_share_a_sync_and_each_call_has_one() {
    let disk = new_disk();
    let service = on(&disk, Config::default(), true).unwrap();
    service.create_stream_if_missing(STREAM, 1).unwrap();
    put(&service, "a", b"first").await.unwrap();
    let before = disk.syncs();
    put(&service, "a", b"alone").await.unwrap();
    let alone = disk.syncs() - before;
    assert!(alone > 0, "an acknowledged put was synced");
    // While one is being written, all others come.
    disk.hold(true);
    let before = disk.syncs();
    let mut puts: Vec<_> = (0..200)
        .map(|_| Box::pin(put(&service, "a", b"together")))
        .collect();
    for put in &mut puts {
        assert!(
            put.now_or_never().is_none(),
            "nothing is acknowledged before it is synced"
        );
    }
    assert_eq!(read(&service, SHARD, Start::TrimHorizon).await.len(), 2);
    disk.hold(false);
    for put in puts {
        put.await.unwrap();
    }
    let syncs = disk.syncs() - before;
    // The first of them may have gone alone, and the writer may have come while they came.
    assert!(
        syncs <= 3 * alone,
        "{syncs} syncs, {alone} for one put alone"
    );
    assert_eq!(read(&service, SHARD, Start::TrimHorizon).await.len(), 202);
}
