//! kill -9 at random moments under the load of several writers: what was acknowledged is there, in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use serde_json::json;
use tokio::task::JoinSet;

use super::{folder, kill, on};
use crate::harness::{Server, within};

/// A stream beside the chat's own.
const STREAM: &str = "data";
const WRITERS: usize = 4;
const PUBLISHERS: usize = 2;

fn client(address: SocketAddr) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url(format!("http://{address}"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

/// What was acknowledged: by shard and sequence number the data, and the texts of messages.
#[derive(Clone, Default)]
struct Acknowledged {
    records: BTreeMap<(String, String), Vec<u8>>,
    texts: Vec<String>,
}

/// Puts records until the process is gone.
async fn write(client: Client, mut random: fastrand::Rng, acknowledged: Arc<Mutex<Acknowledged>>) {
    loop {
        let records: Vec<Vec<u8>> = (0..random.usize(1..20))
            .map(|_| (0..random.usize(1..5_000)).map(|_| random.u8(..)).collect())
            .collect();
        let entries = records.iter().map(|data| {
            PutRecordsRequestEntry::builder()
                .partition_key(random.u64(..).to_string())
                .data(Blob::new(data.clone()))
                .build()
                .unwrap()
        });
        let put = client
            .put_records()
            .stream_name(STREAM)
            .set_records(Some(entries.collect()));
        let Ok(stored) = put.send().await else {
            return;
        };
        let mut acknowledged = acknowledged.lock().unwrap();
        for (stored, data) in stored.records.into_iter().zip(records) {
            let place = (stored.shard_id.unwrap(), stored.sequence_number.unwrap());
            let again = acknowledged.records.insert(place.clone(), data);
            assert!(again.is_none(), "{place:?} was given twice");
        }
    }
}

/// Publishes messages until the process is gone.
async fn publish(
    client: reqwest::Client,
    url: String,
    name: String,
    acknowledged: Arc<Mutex<Acknowledged>>,
) {
    for n in 0_u64.. {
        let text = format!("message {n} of {name}");
        let post = client
            .post(&url)
            .json(&json!({ "room": "den", "text": text }));
        match post.send().await {
            Ok(answer) if answer.status() == 202 => acknowledged.lock().unwrap().texts.push(text),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// All records of a stream by shard, each shard's in the order in which they are read.
async fn read(client: &Client, stream: &str) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let mut found = BTreeMap::new();
    let shards = client
        .list_shards()
        .stream_name(stream)
        .send()
        .await
        .unwrap();
    for shard in shards.shards() {
        let iterator = client
            .get_shard_iterator()
            .stream_name(stream)
            .shard_id(&shard.shard_id)
            .shard_iterator_type(ShardIteratorType::TrimHorizon);
        let mut iterator = iterator.send().await.unwrap().shard_iterator;
        let records: &mut Vec<_> = found.entry(shard.shard_id.clone()).or_default();
        loop {
            let read = client.get_records().shard_iterator(iterator.unwrap());
            let read = read.send().await.unwrap();
            if read.records.is_empty() {
                break;
            }
            records.extend(
                read.records
                    .into_iter()
                    .map(|record| (record.sequence_number, record.data.into_inner())),
            );
            iterator = read.next_shard_iterator;
        }
    }
    found
}

/// Everything that was acknowledged is there; sequence numbers grow.
async fn check(server: &Server, acknowledged: &Acknowledged, what: &str) {
    let client = client(server.kinesis());
    let found = read(&client, STREAM).await;
    let mut by_place = BTreeMap::new();
    for (shard, records) in found {
        // Numbers of the same length compare as texts.
        assert!(
            records.is_sorted_by(|a, b| a.0 < b.0),
            "{what}: {shard} is out of order"
        );
        for (sequence, data) in records {
            by_place.insert((shard.clone(), sequence), data);
        }
    }
    for (place, data) in &acknowledged.records {
        assert!(
            by_place.get(place) == Some(data),
            "{what}: {place:?} is lost or changed"
        );
    }
    let messages = read(&client, "messages").await.into_values().flatten();
    let all: Vec<u8> = messages.flat_map(|(_, data)| data).collect();
    let all = String::from_utf8_lossy(&all);
    for text in &acknowledged.texts {
        assert!(
            all.contains(&format!("\"{text}\"")),
            "{what}: {text} is lost"
        );
    }
}

/// `CRASH_ROUNDS` and `CRASH_SEED` in the environment change how often and from which seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (rounds, seed) = (number("CRASH_ROUNDS", 4), number("CRASH_SEED", 1));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut folder = folder();
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    // Looked for after a kill, summed over the kills.
    let mut checked = 0;
    for round in 0..rounds {
        let what = format!("seed {seed}, round {round}");
        if round % 20 == 19 {
            // So that a round does not take longer and longer.
            folder = super::folder();
            *acknowledged.lock().unwrap() = Acknowledged::default();
        }
        let server = on(folder.path()).start().await;
        let before = acknowledged.lock().unwrap().clone();
        let kinesis = client(server.kinesis());
        let create = kinesis
            .create_stream()
            .stream_name(STREAM)
            .shard_count(3)
            .send()
            .await;
        if before.records.is_empty() {
            create.unwrap();
        } else {
            create.unwrap_err();
        }
        check(&server, &before, &what).await;
        checked += before.records.len() + before.texts.len();
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            writers.spawn(write(
                client(server.kinesis()),
                random.fork(),
                Arc::clone(&acknowledged),
            ));
        }
        for n in 0..PUBLISHERS {
            let name = format!("{round}.{n}");
            let url = server.url("/chat-messages");
            writers.spawn(publish(
                server.client().clone(),
                url,
                name,
                Arc::clone(&acknowledged),
            ));
        }
        // The moment: when so much more was acknowledged, whatever is under way then.
        let (records, texts) = (before.records.len(), before.texts.len());
        let more = (random.usize(1..600), random.usize(1..20));
        within("something is acknowledged", async {
            loop {
                {
                    let now = acknowledged.lock().unwrap();
                    if now.records.len() >= records + more.0 && now.texts.len() >= texts + more.1 {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(random.u64(1..5))).await;
            }
        })
        .await;
        kill(server).await;
        within("the writers see that it is gone", async {
            while let Some(ended) = writers.join_next().await {
                ended.expect("a writer does not panic");
            }
        })
        .await;
    }
    let server = on(folder.path()).start().await;
    let all = acknowledged.lock().unwrap().clone();
    check(&server, &all, &format!("seed {seed}, at the end")).await;
    checked += all.records.len() + all.texts.len();
    println!("{rounds} kills from seed {seed}: {checked} times something was looked for and found");
    assert!(!all.records.is_empty() && !all.texts.is_empty());
}
