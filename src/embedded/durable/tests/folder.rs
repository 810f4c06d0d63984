//! A real folder: restarts, a second process, damage.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::embedded::OpenError;
use crate::embedded::store::{Mode, NewStream, Resource, Tags};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &Path) -> Service {
    Service::open(Config::default(), folder).unwrap()
}

/// A folder with two streams, one of them split, merged and described in every way there is.
async fn filled(folder: &Path) -> (String, Vec<Sequence>) {
    let service = open(folder);
    service.create_stream_if_missing(STREAM, 2).unwrap();
    let other = NewStream {
        name: "other".to_owned(),
        shards: 1,
        mode: Mode::OnDemand,
        max_record: 2 << 20,
        warm_throughput: 0,
        tags: Tags::from([("colour".to_owned(), "blue".to_owned())]),
    };
    let made = service.commit(|store, now| store.create_stream(other, now));
    made.await.unwrap();
    let consumer_tags = Tags::from([("of".to_owned(), "a consumer".to_owned())]);
    let changed = service.commit(|store, now| {
        store.register_consumer(STREAM, "gone", Tags::new(), now)?;
        store.deregister_consumer(STREAM, "gone", now)?;
        store
            .register_consumer(STREAM, "reader", consumer_tags, now)
            .map(drop)
    });
    changed.await.unwrap();
    let mut sequences = Vec::new();
    for n in 0..20 {
        sequences.push(
            put(&service, &format!("key {n}"), &[n; 1000])
                .await
                .unwrap(),
        );
    }
    let split = service.commit(|store, now| store.split_shard(STREAM, SHARD, 1 << 126, now));
    split.await.unwrap();
    for n in 20..40 {
        sequences.push(
            put(&service, &format!("key {n}"), &[n; 1000])
                .await
                .unwrap(),
        );
    }
    let tagged = service.commit(|store, now| {
        let resource = Resource {
            stream: STREAM,
            consumer: None,
        };
        store.tag(
            resource,
            Tags::from([("more".to_owned(), "tags".to_owned())]),
            now,
        )
    });
    tagged.await.unwrap();
    (described(&service), sequences)
}

fn sorted(mut sequences: Vec<Sequence>) -> Vec<Sequence> {
    sequences.sort_unstable();
    sequences
}

#[tokio::test]
async fn all_is_there_after_a_restart_and_goes_on_above() {
    let folder = folder();
    let (before, sequences) = filled(folder.path()).await;
    let mut expected = sequences;
    for key in ["key 1", "key 2", "key 3"] {
        let service = open(folder.path());
        assert_eq!(described(&service), before);
        let found = sorted(all(&service).await);
        assert_eq!(found, sorted(expected.clone()));
        let next = put(&service, key, b"next").await.unwrap();
        let of_shard = found.iter().filter(|found| found.shard() == next.shard());
        assert!(of_shard.max() < Some(&next), "{next} lies above all before");
        expected.push(next);
    }
    // A name that was registered again is another consumer, also after a restart in the same second.
    let service = open(folder.path());
    let arn = |service: &Service| {
        service.with(|store, now| store.stream(STREAM, now).unwrap().consumers["reader"].second)
    };
    let first = arn(&service);
    let gone = service.commit(|store, now| store.deregister_consumer(STREAM, "reader", now));
    gone.await.unwrap();
    drop(service);
    let service = open(folder.path());
    let again = service.commit(|store, now| {
        store
            .register_consumer(STREAM, "reader", Tags::new(), now)
            .map(drop)
    });
    again.await.unwrap();
    assert_ne!(arn(&service), first);
}

#[tokio::test]
async fn a_deleted_stream_stays_deleted_and_its_numbers_are_not_given_again() {
    let folder = folder();
    let (_, sequences) = filled(folder.path()).await;
    let service = open(folder.path());
    let deleted = service.commit(|store, now| store.delete_stream(STREAM, true, now));
    deleted.await.unwrap();
    drop(service);
    let service = open(folder.path());
    assert!(!described(&service).contains(STREAM));
    service.create_stream_if_missing(STREAM, 1).unwrap();
    let next = put(&service, "a", b"new").await.unwrap();
    assert!(sequences.iter().all(|before| *before < next));
    assert_eq!(all(&service).await, [next]);
}

#[tokio::test]
async fn a_second_one_on_a_folder_is_refused() {
    let folder = folder();
    let service = open(folder.path());
    let refused = Service::open(Config::default(), folder.path()).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    assert!(
        refused
            .to_string()
            .contains(folder.path().to_str().unwrap()),
        "{refused}"
    );
    drop(service);
    open(folder.path());
}

#[test]
fn what_is_no_folder_is_refused() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let refused = Service::open(Config::default(), &file).unwrap_err();
    assert!(matches!(refused, OpenError::NotAFolder { .. }), "{refused}");
    let below = Service::open(Config::default(), &file.join("below")).unwrap_err();
    assert!(matches!(below, OpenError::Folder { .. }), "{below}");
}

#[test]
fn a_file_that_was_never_finished_is_made_anew() {
    let folder = folder();
    fs::write(folder.path().join("stream.new"), b"half of a file").unwrap();
    drop(open(folder.path()));
    drop(open(folder.path()));
}

#[tokio::test]
async fn an_empty_or_foreign_file_is_damage_and_stays_as_it_is() {
    let zeros = vec![0; 100_000];
    for content in [&b""[..], b"x", b"this is something else", &zeros] {
        let folder = folder();
        let file = folder.path().join("stream.redb");
        fs::write(&file, content).unwrap();
        let refused = Service::open(Config::default(), folder.path()).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains("stream.redb"), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

/// Damage is told, with the name of the file; or it was in a place that holds nothing, and all is there.
async fn told_or_harmless(folder: &Path, before: &str, sequences: &[Sequence], what: &str) -> bool {
    match Service::open(Config::default(), folder) {
        Err(refused) => {
            assert!(
                matches!(refused, OpenError::Damaged { .. }),
                "{what}: {refused}"
            );
            assert!(
                refused.to_string().contains("stream.redb"),
                "{what}: {refused}"
            );
            let left = fs::metadata(folder.join("stream.redb")).unwrap().len();
            assert!(left > 0, "{what}: the file was emptied");
            true
        }
        Ok(service) => {
            assert_eq!(described(&service), before, "{what}");
            assert_eq!(sorted(all(&service).await), sequences, "{what}");
            false
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_or_a_cut_is_told_or_harmless() {
    let origin = folder();
    let (before, sequences) = filled(origin.path()).await;
    let sequences = sorted(sequences);
    let whole = fs::read(origin.path().join("stream.redb")).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let tries = std::env::var("DURABLE_FLIPS").map_or(60, |tries| tries.parse().expect("a number"));
    let mut told = 0;
    for round in 0..tries {
        let folder = folder();
        let mut damaged = whole.clone();
        // Half of them where the file says what it is.
        let within = if round % 2 == 0 { damaged.len() } else { 8192 };
        let at = random.usize(..within);
        let what = if round % 4 == 3 {
            damaged.truncate(at.max(1));
            format!("cut at {at}")
        } else {
            let bit = random.u8(..8);
            damaged[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        };
        fs::write(folder.path().join("stream.redb"), damaged).unwrap();
        told += u32::from(told_or_harmless(folder.path(), &before, &sequences, &what).await);
    }
    assert!(told > tries / 8, "{told} of {tries} were told");
}
