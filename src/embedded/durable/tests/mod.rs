//! Streams on disk: what a crash, a full disk, damage and a restart leave.

mod crash;
mod folder;
mod forgetful;
mod fuzz;
mod memory;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use self::forgetful::Forgetful;
use super::backend::Trouble;
use super::disk::Disk;
use super::{MOST_WAITING, Opened};
use crate::embedded::store::{Put, Record, Sequence, Start, of_partition_key};
use crate::embedded::{Config, Error, Service};

const STREAM: &str = "messages";
const SHARD: &str = "shardId-000000000000";
/// Nothing here takes that long, unless something is broken.
const DEADLINE: Duration = Duration::from_mins(1);

/// A service on a medium that may forget; it gives up at the first error, unless it is patient.
fn on(medium: &Forgetful, config: Config, is_patient: bool) -> Result<Service, String> {
    let trouble = Trouble::new();
    let path = Path::new("forgetful.redb");
    let opened = Disk::open(medium.clone(), path, trouble.clone());
    let (disk, keeper, found) = opened.map_err(|error| error.to_string())?;
    trouble.be_patient(is_patient);
    let opened = Opened {
        disk,
        keeper,
        found,
        trouble,
    };
    Ok(Service::start(config, opened).unwrap())
}

async fn put(service: &Service, key: &str, data: &[u8]) -> Result<Sequence, Error> {
    let record = Put {
        hash: of_partition_key(key),
        partition_key: key.into(),
        data: Bytes::copy_from_slice(data),
    };
    let stored = service.commit(|store, now| store.put(STREAM, vec![record], now));
    Ok(stored.await?.remove(0)?.sequence)
}

/// All that a shard has from a start on.
async fn read(service: &Service, shard: &str, start: Start) -> Vec<std::sync::Arc<Record>> {
    let start = service.resolve(STREAM, shard, start).await.unwrap();
    let located = service.with(|store, now| store.locate(STREAM, shard, start, now));
    let (mut next, mut records) = (Some(located.unwrap()), Vec::new());
    while let Some(from) = next {
        let (batch, _) = service.read(STREAM, from, 500).await.unwrap();
        if batch.records.is_empty() {
            break;
        }
        records.extend(batch.records);
        next = batch.next;
    }
    records
}

/// The numbers of all records.
async fn all(service: &Service) -> Vec<Sequence> {
    let mut found = Vec::new();
    for shard in shards(service) {
        let records = read(service, &shard, Start::TrimHorizon).await;
        found.extend(records.iter().map(|record| record.sequence));
    }
    found
}

/// The ids of all shards.
fn shards(service: &Service) -> Vec<String> {
    service.with(|store, now| {
        let stream = store.stream(STREAM, now).unwrap();
        stream
            .shards
            .values()
            .map(|shard| shard.id.to_string())
            .collect()
    })
}

/// All that is known of the streams, in words.
fn described(service: &Service) -> String {
    service.with(|store, now| {
        let mut text = String::new();
        for stream in store.streams(now) {
            let (name, uid, created) = (&stream.name, stream.uid, stream.created);
            writeln!(text, "{name} {uid} {created} {:?}", stream.status).unwrap();
            writeln!(text, "{:?} {:?}", stream.settings, stream.tags).unwrap();
            for shard in stream.shards.values() {
                let (id, range, starting) = (&shard.id, shard.range, shard.starting());
                writeln!(
                    text,
                    "{id} {:?} {range:?} {starting} {}",
                    shard.parents, shard.created
                )
                .unwrap();
                writeln!(text, "{:?}", shard.closed).unwrap();
            }
            for consumer in stream.consumers.values() {
                let (name, second, tags) = (&consumer.name, consumer.second, &consumer.tags);
                writeln!(text, "{name}:{second} {} {tags:?}", consumer.created).unwrap();
            }
        }
        text
    })
}
