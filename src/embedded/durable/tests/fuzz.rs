//! Recovery: whatever became of the file, it opens with what was written up to some commit, or its name is told.

use std::fs;

use bolero::TypeGenerator;
use tempfile::TempDir;

use super::*;
use crate::embedded::OpenError;
use crate::fuzz::fuzz;

/// As the database has them.
const PAGE: usize = 4096;

/// What became of a file.
#[derive(Debug, TypeGenerator)]
struct Damage {
    /// Whether it had been closed, or the process was killed.
    is_closed: bool,
    /// Pages that are still as they were some commits before: what a sync that was never done leaves.
    #[generator(bolero::produce::<Vec<u16>>().with().len(0..3_usize))]
    old: Vec<u16>,
    #[generator(bolero::produce::<Vec<(Place, Spoil)>>().with().len(0..4_usize))]
    spoils: Vec<(Place, Spoil)>,
}

/// A share of the file, in 2³² parts.
#[derive(Debug, Clone, Copy, TypeGenerator)]
struct Place {
    /// Within the pages that say what the file is.
    is_head: bool,
    at: u32,
}

impl Place {
    fn within(self, bytes: usize) -> usize {
        let bytes = if self.is_head {
            bytes.min(2 * PAGE)
        } else {
            bytes
        };
        share(self.at, bytes)
    }
}

fn share(of: u32, whole: usize) -> usize {
    usize::try_from((u64::from(of) * whole as u64) >> 32).unwrap()
}

#[derive(Debug, TypeGenerator)]
enum Spoil {
    Flip(u8),
    Fill { with: u8, count: u16 },
    Insert(u8),
    Remove(u16),
    Cut,
    Copy { from: u32, count: u16 },
}

impl Damage {
    /// The file that is left of one, and of an older state of it.
    fn apply(&self, older: &[u8], newer: &[u8]) -> Vec<u8> {
        let mut bytes = newer.to_vec();
        for page in &self.old {
            let at = usize::from(*page) % (older.len() / PAGE) * PAGE;
            let page = at..at + PAGE;
            if let (Some(old), Some(new)) = (older.get(page.clone()), bytes.get_mut(page)) {
                new.copy_from_slice(old);
            }
        }
        for (place, spoil) in &self.spoils {
            spoil.apply(place.within(bytes.len()), &mut bytes);
        }
        bytes
    }
}

impl Spoil {
    fn apply(&self, at: usize, bytes: &mut Vec<u8>) {
        let to = |count: u16| bytes.len().min(at + usize::from(count));
        match self {
            Self::Flip(bit) => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Fill { with, count } => {
                let end = to(*count);
                bytes[at..end].fill(*with);
            }
            Self::Insert(byte) => bytes.insert(at, *byte),
            Self::Remove(count) => drop(bytes.drain(at..to(*count))),
            Self::Cut => bytes.truncate(at),
            Self::Copy { from, count } => {
                let from = share(*from, bytes.len());
                let count = usize::from(*count).min(bytes.len() - from.max(at));
                bytes.copy_within(from..from + count, at);
            }
        }
    }
}

/// What was there after a commit: all that is known of the streams, and how many records.
type State = (String, usize);

/// A file in three states, and what it has held.
struct Written {
    older: Vec<u8>,
    killed: Vec<u8>,
    closed: Vec<u8>,
    /// In the order in which they were acknowledged.
    sequences: Vec<Sequence>,
    /// From the older one on.
    states: Vec<State>,
}

impl Written {
    /// By a service, in two lives, with a split amid each.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = || fs::read(folder.path().join("stream.redb")).unwrap();
        let mut written = Self {
            older: Vec::new(),
            killed: Vec::new(),
            closed: Vec::new(),
            sequences: Vec::new(),
            states: Vec::new(),
        };
        for life in 0..2 {
            let service = Service::open(Config::default(), folder.path()).unwrap();
            service.create_stream_if_missing(STREAM, 2).unwrap();
            written.note(&service);
            for n in 0..16_u8 {
                if n == 8 {
                    let shard = shards(&service).remove(life);
                    let middle = (1 << 126) + (u128::try_from(life).unwrap() << 127);
                    let split = service
                        .commit(|store, now| store.split_shard(STREAM, &shard, middle, now))
                        .await;
                    split.unwrap();
                    written.note(&service);
                }
                let put = put(&service, &n.to_string(), &[n; 3_000]).await;
                written.sequences.push(put.unwrap());
                written.note(&service);
            }
            written.older = std::mem::replace(&mut written.killed, file());
            if life == 0 {
                // Nothing before that may come back: the second life began with it.
                written.states.drain(..written.states.len() - 1);
            }
            drop(service);
        }
        written.closed = file();
        written
    }

    fn note(&mut self, service: &Service) {
        self.states.push((described(service), self.sequences.len()));
    }

    /// Holds what was found to what there was.
    async fn check(&self, service: &Service) {
        let state = described(service);
        let mut found = Vec::new();
        if state.contains(STREAM) {
            found = all(service).await;
        }
        found.sort_unstable_by_key(|found| self.sequences.iter().position(|known| known == found));
        assert_eq!(found, self.sequences[..found.len()], "nothing is left out");
        let state = (state, found.len());
        assert!(
            self.states.contains(&state),
            "as after no commit: {state:?}"
        );
        // And it goes on.
        service.create_stream_if_missing(STREAM, 2).unwrap();
        let next = put(service, "a", b"next").await.unwrap();
        assert!(all(service).await.contains(&next));
    }
}

/// Opens a file of which these bytes are left.
fn open(bytes: &[u8]) -> (TempDir, Result<Service, OpenError>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("stream.redb"), bytes).unwrap();
    let opened = Service::open(Config::default(), folder.path());
    (folder, opened)
}

#[test]
fn a_file_in_any_state_opens_as_after_a_commit_or_is_told() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let written = runtime.block_on(Written::new());
    for whole in [&written.older, &written.killed, &written.closed] {
        let (_folder, opened) = open(whole);
        runtime.block_on(written.check(&opened.unwrap()));
    }
    fuzz!(60, Damage, |damage: &Damage| {
        let newer = if damage.is_closed {
            &written.closed
        } else {
            &written.killed
        };
        let left = damage.apply(&written.older, newer);
        let (folder, opened) = open(&left);
        match opened {
            Ok(service) => runtime.block_on(written.check(&service)),
            Err(told) => {
                assert!(matches!(told, OpenError::Damaged { .. }), "{told}");
                assert!(told.to_string().contains("stream.redb"), "{told}");
                assert_ne!(left, *newer, "there was nothing wrong with it");
                let kept = fs::metadata(folder.path().join("stream.redb"))
                    .unwrap()
                    .len();
                assert!(kept > 0 || left.is_empty(), "it was emptied");
            }
        }
    });
}
