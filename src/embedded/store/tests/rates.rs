//! Rates, against a naive account of all that was taken.

use proptest::prelude::*;

use super::super::rates::Bucket;
use super::*;

const MIB: u64 = 1024 * 1024;
const ACCOUNT: &str = "111111111111";

fn limited() -> Config {
    Config {
        limits: Limits::Aws,
        // Larger than what the tests write: nothing is trimmed.
        memory: 1024 * 1024 * 1024,
        ..Config::default()
    }
}

/// A store that can be written to without a limit, and paces its subscriptions.
fn paced() -> Store {
    let mut store = store(limited(), 1);
    store.config.limits = Limits::Off;
    store
}

/// Everything that was taken at a rate, and when.
///
/// What is owed is the most by which any of the latest takings exceeds what has come in since the first of them.
struct Account {
    rate: u64,
    taken: Vec<(u64, u64)>,
}

impl Account {
    fn new(rate: u64) -> Self {
        Self {
            rate,
            taken: Vec::new(),
        }
    }

    /// In thousandths.
    fn owed(&self, now: u64) -> u64 {
        let mut sum = 0;
        let mut most = 0;
        for (at, amount) in self.taken.iter().rev() {
            sum += amount * 1_000;
            most = most.max(sum.saturating_sub((now - at) * self.rate));
        }
        most
    }

    fn has(&self, amount: u64, now: u64) -> bool {
        let owed = self.owed(now);
        owed == 0 || owed + amount * 1_000 <= self.rate * 1_000
    }

    fn take(&mut self, amount: u64, now: u64) {
        self.taken.push((now, amount));
    }

    /// The first millisecond from `now` on at which so much can be taken.
    fn due(&self, amount: u64, now: u64) -> u64 {
        (now..now + 1_000_000)
            .find(|now| self.has(amount, *now))
            .unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_bucket_gives_what_a_naive_account_gives(
        rate in 1_u64..50,
        takings in prop::collection::vec((0_u64..400, 0_u64..120), 1..40),
    ) {
        let mut bucket = Bucket::new(rate);
        let mut account = Account::new(rate);
        let mut now = 0;
        for (pause, amount) in takings {
            now += pause;
            let has = account.has(amount, now);
            prop_assert_eq!(bucket.has(amount, at(now)), has);
            prop_assert_eq!(bucket.due(amount), account.due(amount, now));
            if has {
                account.take(amount, now);
            }
            prop_assert_eq!(bucket.try_take(amount, at(now)), has);
        }
    }

    /// Calls of PutRecords to two shards, which must not know of each other.
    #[test]
    fn a_shard_takes_what_its_rates_allow_record_by_record(
        calls in prop::collection::vec(
            (0_u64..700, prop::collection::vec((any::<bool>(), 0_usize..300_000), 1..12), 0_usize..3),
            1..12,
        ),
    ) {
        let mut store = store(limited(), 2);
        let mut accounts = [(); 2].map(|()| (Account::new(MIB), Account::new(1_000)));
        let mut now = 0;
        for (pause, mut sizes, small) in calls {
            now += pause;
            // Many tiny ones reach the other limit.
            sizes.extend(vec![(true, 0); small * 200]);
            let records = sizes.iter().map(|(upper, size)| Put {
                hash: if *upper { u128::MAX } else { 0 },
                ..record("key", *size)
            });
            let outcomes = store.put(STREAM, records.collect(), at(now)).unwrap();
            for ((upper, size), outcome) in sizes.into_iter().zip(outcomes) {
                let (bytes, records) = &mut accounts[usize::from(upper)];
                let size = size as u64 + 3;
                let has = bytes.has(size, now) && records.has(1, now);
                prop_assert_eq!(outcome.is_ok(), has, "{} at {}", size, now);
                match outcome {
                    Ok(stored) => {
                        prop_assert_eq!(stored.sequence.shard(), u32::from(upper));
                        bytes.take(size, now);
                        records.take(1, now);
                    }
                    Err(error) => prop_assert_eq!(error.kind(), ErrorKind::ProvisionedThroughputExceeded),
                }
            }
        }
    }

    /// Whatever is in the shard and however it comes: all of it, in order, and never more than the rate allows.
    #[test]
    fn a_subscription_gets_everything_at_its_pace(
        sizes in prop::collection::vec((0_u64..900, 0_usize..1_000_000), 1..60),
    ) {
        let mut store = paced();
        let mut put = Vec::new();
        let id = subscribe(&mut store, Start::TrimHorizon, at(0)).unwrap();
        let mut account = Account::new(2 * MIB);
        let mut read = Vec::new();
        let mut due = 0;
        let mut times = sizes.into_iter();
        let mut now = 0;
        loop {
            let next = times.next();
            let until = match &next {
                Some((pause, _)) => now + pause,
                None => now + 120_000,
            };
            while due <= until {
                now = now.max(due);
                match store.next(id, None, at(now)) {
                    Step::Event(event) => {
                        let size: usize = event.slice.records.iter().map(|record| record.size()).sum();
                        prop_assert!(account.has(size as u64, now), "{} bytes at {}", size, now);
                        account.take(size as u64, now);
                        read.extend(event.slice.records.iter().map(|record| record.sequence));
                    }
                    Step::Wait(until) => {
                        prop_assert!(until > now);
                        due = until;
                    }
                    Step::Load(load) => prop_assert!(false, "there is no disk for {:?}", load),
                    Step::End(error) => prop_assert!(false, "ended with {:?}", error),
                }
            }
            now = until;
            let Some((_, size)) = next else { break };
            put.push(put_all(&mut store, vec![record("a", size)], at(now))[0].sequence);
            if store.take_woken() == [id] {
                due = now;
            }
        }
        prop_assert_eq!(read, put);
    }
}

#[test]
fn a_large_record_is_paid_for_afterwards() {
    let mut store = Store::new(limited());
    let large = NewStream {
        max_record: 10 * 1024 * 1024,
        ..new_stream(STREAM, 1)
    };
    store.create_stream(large, at(0)).unwrap();
    put_all(&mut store, vec![record("a", 10 * 1024 * 1024 - 1)], at(0));
    for (millis, is_stored) in [(0, false), (8_999, false), (9_001, true)] {
        let outcome = store.put(STREAM, vec![record("a", 1)], at(millis)).unwrap();
        assert_eq!(outcome[0].is_ok(), is_stored, "at {millis}");
    }
}

#[test]
fn after_ten_megabytes_nothing_is_read_for_five_seconds() {
    let mut store = paced();
    for _ in 0..30 {
        put_all(&mut store, vec![record("a", 1024 * 1024 - 1)], at(0));
    }
    store.config.limits = Limits::Aws;
    let from = store
        .locate(STREAM, SHARD, Start::TrimHorizon, at(0))
        .unwrap();
    let first = store.look(STREAM, from, 10_000, at(0)).unwrap();
    assert_eq!(first.records.len(), 10);
    let from = first.next.unwrap();
    for millis in [0, 1, 2_500, 4_999] {
        let refused = store.look(STREAM, from, 1, at(millis)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ProvisionedThroughputExceeded);
        assert_eq!(
            refused.message(),
            "Rate exceeded for shard shardId-000000000000 in stream messages under account 000000000000."
        );
    }
    // A second's worth is there again; who takes it all waits for the next one.
    let second = store.look(STREAM, from, 2, at(5_000)).unwrap();
    assert_eq!(second.records.len(), 2);
    let from = second.next.unwrap();
    assert!(store.look(STREAM, from, 1, at(5_999)).is_err());
    assert!(store.look(STREAM, from, 1, at(6_000)).is_ok());
}

#[test]
fn a_shard_is_read_five_times_a_second_by_all_together() {
    let mut store = store(limited(), 2);
    put(&mut store, "a", at(0));
    let from = store
        .locate(STREAM, SHARD, Start::TrimHorizon, at(0))
        .unwrap();
    let other = store
        .locate(STREAM, "shardId-000000000001", Start::TrimHorizon, at(0))
        .unwrap();
    for _ in 0..5 {
        store.look(STREAM, from, 1, at(0)).unwrap();
    }
    assert!(store.look(STREAM, from, 1, at(199)).is_err());
    assert!(store.look(STREAM, other, 1, at(199)).is_ok());
    assert!(store.look(STREAM, from, 1, at(200)).is_ok());
    assert!(store.look(STREAM, from, 1, at(200)).is_err());
    let iterator = |store: &mut Store, now| store.iterator(STREAM, SHARD, Start::Latest, now);
    for _ in 0..5 {
        iterator(&mut store, at(300)).unwrap();
    }
    assert_eq!(
        iterator(&mut store, at(300)).unwrap_err().kind(),
        ErrorKind::ProvisionedThroughputExceeded
    );
    assert!(iterator(&mut store, at(500)).is_ok());
}

#[test]
fn a_subscription_that_was_refused_is_not_tried_again_within_a_second() {
    let mut store = store(limited(), 2);
    let foreign = Start::At(start_of(&mut store, 1));
    let kind = |outcome: Result<SubscriptionId, Error>| outcome.unwrap_err().kind();
    assert_eq!(
        kind(subscribe(&mut store, foreign, at(0))),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        kind(subscribe(&mut store, Start::Latest, at(999))),
        ErrorKind::LimitExceeded
    );
    // Another shard has a rate of its own.
    store
        .subscribe(
            STREAM,
            "reader",
            "shardId-000000000001",
            Start::Latest,
            at(999),
        )
        .unwrap();
    subscribe(&mut store, Start::Latest, at(1_000)).unwrap();
    // That one was successful: until five seconds after it, the shard is taken.
    assert_eq!(
        kind(subscribe(&mut store, Start::Latest, at(1_001))),
        ErrorKind::ResourceInUse
    );
    subscribe(&mut store, Start::Latest, at(6_000)).unwrap();
}

#[test]
fn a_paced_subscription_is_woken_by_its_end_and_not_by_records() {
    let mut store = paced();
    let id = subscribe(&mut store, Start::TrimHorizon, at(0)).unwrap();
    for _ in 0..3 {
        put_all(&mut store, vec![record("a", 1024 * 1024 - 1)], at(0));
    }
    event(store.next(id, None, at(0)));
    event(store.next(id, None, at(0)));
    assert!(matches!(store.next(id, None, at(0)), Step::Wait(500)));
    put(&mut store, "a", at(1));
    assert_eq!(store.take_woken(), []);
    store.deregister_consumer(STREAM, "reader", at(2)).unwrap();
    assert_eq!(store.take_woken(), [id]);
    assert!(matches!(store.next(id, None, at(2)), Step::End(Some(_))));
}

#[test]
fn calls_are_counted_for_the_account_or_for_each_stream() {
    let mut store = store(limited(), 1);
    store.create_stream(new_stream("other", 1), at(0)).unwrap();
    for _ in 0..5 {
        store.count_call(ACCOUNT, "CreateStream", at(0)).unwrap();
        store
            .count_stream_call("ListStreamConsumers", STREAM, at(0))
            .unwrap();
    }
    let refused = store
        .count_call(ACCOUNT, "CreateStream", at(199))
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
    store.count_call(ACCOUNT, "CreateStream", at(200)).unwrap();
    let refused = store.count_stream_call("ListStreamConsumers", STREAM, at(0));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::LimitExceeded);
    store
        .count_stream_call("ListStreamConsumers", "other", at(0))
        .unwrap();
    // What has no rate, and what there is none of, is not counted.
    for _ in 0..5_000 {
        store.count_call(ACCOUNT, "PutRecords", at(0)).unwrap();
        store
            .count_stream_call("ListShards", "none", at(0))
            .unwrap();
    }
    // Another account has rates of its own.
    store
        .count_call("222222222222", "CreateStream", at(200))
        .unwrap();
    // Without limits there are none.
    store.config.limits = Limits::Off;
    store.count_call(ACCOUNT, "CreateStream", at(200)).unwrap();
}

#[test]
fn accounts_that_are_silent_are_forgotten() {
    let mut store = store(limited(), 1);
    for number in 0..100_000 {
        let account = format!("{number:012}");
        store
            .count_call(&account, "CreateStream", at(number))
            .unwrap();
    }
    // A call is forgotten after 200 ms.
    assert!(store.accounts.len() <= 500, "{}", store.accounts.len());
}

#[test]
fn five_streams_are_created_at_once() {
    let config = Config {
        creating_time: Duration::from_secs(1),
        ..limited()
    };
    let mut store = Store::new(config);
    let mut create = |number: u64, millis| {
        let new = new_stream(&format!("stream-{number}"), 1);
        store.create_stream(new, at(millis))
    };
    for number in 0..5 {
        create(number, 0).unwrap();
    }
    let refused = create(5, 999).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
    create(5, 1_000).unwrap();
}

#[test]
fn the_docs_list_the_rates() {
    let docs = include_str!("../../../../docs/LIMITS.md");
    let listed = docs.lines().filter(|line| line.starts_with("| `")).count();
    let rows = super::super::rates::rows();
    assert_eq!(listed, rows.len());
    for row in rows {
        assert!(docs.contains(&row), "docs/LIMITS.md lacks: {row}");
    }
}
