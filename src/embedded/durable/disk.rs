//! The database: what is in it, how a commit goes into it and how records come out of it.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition};

use super::backend::{Backend, Trouble};
use super::chunk;
use super::keeper::{Ends, Keeper};
use super::medium::Medium;
use super::sealed;
use crate::embedded::store::{
    Commit, Extent, Globals, Horizon, Load, Loaded, Search, StreamSnapshot, What,
};

/// Stream, shard, index of the first record → records that follow each other ([`chunk`]).
pub(super) const RECORDS: TableDefinition<'static, (u64, u32, u64), &[u8]> =
    TableDefinition::new("records");
/// Stream → all else that is known of it ([`sealed`]).
const STREAMS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("streams");
/// What is known beside the streams.
const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
const GLOBALS: &str = "globals";
const TOKEN_KEY: &str = "token-key";

/// Memory for pages that are read and written.
const CACHE: usize = 32 << 20;

/// Why the database cannot do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error(transparent)]
    Database(#[from] redb::Error),
    #[error("{what}: {problem}")]
    Damaged { what: String, problem: String },
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for DiskError {
            fn from(error: redb::$error) -> Self {
                Self::Database(error.into())
            }
        }
    )*};
}
from_redb!(
    DatabaseError,
    TransactionError,
    TableError,
    StorageError,
    CommitError
);

/// What was found at the start.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) globals: Globals,
    pub(crate) streams: Vec<StreamSnapshot>,
    pub(crate) extents: HashMap<(u64, u32), Extent>,
    /// What iterators are sealed with: they outlive a restart.
    pub(crate) token_key: [u8; 16],
}

/// What a commit has done.
#[derive(Debug)]
pub(crate) struct Written {
    /// Of records and metadata.
    pub(crate) bytes: usize,
    /// Of shards of which retention has deleted something.
    pub(crate) horizons: Vec<Horizon>,
}

/// The database, for whoever reads; only one writes.
#[derive(Debug)]
pub(crate) struct Disk {
    database: Database,
    path: PathBuf,
    /// Goes after the database.
    lock: Option<File>,
}

impl Disk {
    /// Makes a database without streams.
    pub(super) fn make(medium: impl Medium, path: &Path) -> Result<(), DiskError> {
        let disk = Self::on(medium, path, Trouble::new())?;
        let write = disk.database.begin_write()?;
        write.open_table(RECORDS)?;
        write.open_table(STREAMS)?;
        {
            let mut meta = write.open_table(META)?;
            let key = fastrand::u128(..).to_be_bytes();
            meta.insert(GLOBALS, sealed::seal(&Globals::default())?.as_slice())?;
            meta.insert(TOKEN_KEY, sealed::seal(&key)?.as_slice())?;
        }
        write.commit()?;
        Ok(())
    }

    fn on(medium: impl Medium, path: &Path, trouble: Trouble) -> Result<Self, DiskError> {
        let database = Database::builder()
            .set_cache_size(CACHE)
            .set_check_integrity_on_open(true)
            .create_with_backend(Backend::new(medium, trouble))?;
        Ok(Self {
            database,
            path: path.to_owned(),
            lock: None,
        })
    }

    /// Keeps a lock as long as the database is open.
    pub(super) fn hold(&mut self, lock: File) {
        self.lock = Some(lock);
    }

    /// Opens the database on a medium and looks at what is in it. All of it is read and checked.
    pub(super) fn open(
        medium: impl Medium,
        path: &Path,
        trouble: Trouble,
    ) -> Result<(Self, Keeper, Found), DiskError> {
        let disk = Self::on(medium, path, trouble)?;
        let (found, keeper) = disk.examine()?;
        Ok((disk, keeper, found))
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn examine(&self) -> Result<(Found, Keeper), DiskError> {
        let mut found = Found::default();
        let read = self.database.begin_read()?;
        let meta = read.open_table(META)?;
        let known = meta.get(GLOBALS)?;
        let known = known.as_ref().map_or(&[][..], |known| known.value());
        found.globals = sealed::open(known, || "what is known of all streams".to_owned())?;
        let key = meta.get(TOKEN_KEY)?;
        let key = key.as_ref().map_or(&[][..], |key| key.value());
        found.token_key = sealed::open(key, || "the key of iterators".to_owned())?;
        for row in read.open_table(STREAMS)?.iter()? {
            let (uid, value) = row?;
            let stream = sealed::open(value.value(), || format!("stream {}", uid.value()))?;
            found.streams.push(stream);
        }
        let mut keeper = Keeper::default();
        let records = read.open_table(RECORDS)?;
        let mut from = (0, 0, 0);
        while let Some(row) = records.range(from..)?.next() {
            let (key, value) = row?;
            let (uid, shard, first) = key.value();
            let head = last_of(value.value(), key.value())?;
            let known = found.streams.iter().find(|stream| stream.uid == uid);
            let is_known =
                known.is_some_and(|stream| stream.shards.iter().any(|known| known.number == shard));
            if is_known {
                let newest = records
                    .range((uid, shard, 0)..=(uid, shard, u64::MAX))?
                    .next_back();
                let Some(newest) = newest else { break };
                let (newest_key, newest) = newest?;
                let (last, last_arrival) = last_of(newest.value(), newest_key.value())?;
                found.extents.insert(
                    (uid, shard),
                    Extent {
                        first,
                        last,
                        last_arrival,
                    },
                );
                let ends = Ends {
                    first,
                    head_arrival: head.1,
                    newest: newest_key.value().2,
                };
                keeper.know(uid, shard, ends);
            } else {
                keeper.forget(uid, Some(shard));
            }
            from = (uid, shard, u64::MAX);
            if first == u64::MAX {
                break;
            }
        }
        Ok((found, keeper))
    }

    /// Writes a commit. When it returns, all of it has reached the disk.
    pub(crate) fn commit(
        &self,
        keeper: &mut Keeper,
        commit: &Commit,
    ) -> Result<Written, DiskError> {
        let write = self.database.begin_write()?;
        let (mut bytes, horizons);
        {
            let mut records = write.open_table(RECORDS)?;
            bytes = insert(&mut records, keeper, commit)?;
            keeper.expect(&commit.expiring);
            for (uid, shard) in &commit.gone {
                keeper.forget(*uid, *shard);
            }
            horizons = keeper.trim(&mut records)?;
        }
        {
            let mut streams = write.open_table(STREAMS)?;
            for (uid, shard) in &commit.gone {
                if shard.is_none() {
                    streams.remove(uid)?;
                }
            }
            for stream in &commit.snapshots {
                let value = sealed::seal(stream)?;
                bytes += value.len();
                streams.insert(stream.uid, value.as_slice())?;
            }
        }
        if let Some(globals) = &commit.globals {
            let mut meta = write.open_table(META)?;
            meta.insert(GLOBALS, sealed::seal(globals)?.as_slice())?;
        }
        write.commit()?;
        Ok(Written { bytes, horizons })
    }

    /// Reads records.
    pub(crate) fn load(&self, load: &Load) -> Result<Loaded, DiskError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(RECORDS)?;
        let (uid, shard) = (load.uid, load.shard);
        // The value before may hold the record that is asked for.
        let before = table
            .range((uid, shard, 0)..=(uid, shard, load.from))?
            .next_back();
        let first = match before {
            Some(row) => row?.0.value().2,
            None => load.from,
        };
        let mut loaded = Loaded::nothing(load);
        let mut size = 0;
        for row in table.range((uid, shard, first)..(uid, shard, load.to))? {
            let (key, value) = row?;
            let (last, last_arrival) = last_of(value.value(), key.value())?;
            if last < load.from || last_arrival < load.not_before {
                continue;
            }
            let records = chunk::decode(value.value(), load.second, shard)
                .map_err(|damage| damaged(key.value(), damage))?;
            for record in records {
                let index = record.index();
                if index < load.from || index >= load.to || record.arrival < load.not_before {
                    continue;
                }
                size += record.data.len() + record.partition_key.len();
                let full = loaded.records.len() >= load.count || size > load.bytes;
                if full && !loaded.records.is_empty() {
                    loaded.next = index;
                    loaded.next_arrival = Some(record.arrival);
                    return Ok(loaded);
                }
                loaded.records.push(record);
            }
        }
        Ok(loaded)
    }

    /// The index of the first record that came at a time or later; None, if there is none before `search.to`.
    pub(crate) fn search(&self, search: &Search) -> Result<Option<u64>, DiskError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(RECORDS)?;
        let (uid, shard) = (search.uid, search.shard);
        // Arrival times never run backwards: the first value whose last record is late enough, by halving the indices.
        let (mut low, mut high) = (0, search.to);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(row) = table
                .range((uid, shard, middle)..(uid, shard, high))?
                .next()
            else {
                high = middle;
                continue;
            };
            let (key, value) = row?;
            let (_, last_arrival) = last_of(value.value(), key.value())?;
            if last_arrival < search.time {
                low = key.value().2 + 1;
            } else {
                high = middle;
                found = Some((key, value));
            }
        }
        let Some((key, value)) = found else {
            return Ok(None);
        };
        let records = chunk::decode(value.value(), 0, shard);
        let records = records.map_err(|damage| damaged(key.value(), damage))?;
        let mut late = records
            .iter()
            .filter(|record| record.arrival >= search.time);
        Ok(late.next().map(|record| record.index()))
    }
}

fn insert(
    table: &mut Table<'_, (u64, u32, u64), &'static [u8]>,
    keeper: &mut Keeper,
    commit: &Commit,
) -> Result<usize, DiskError> {
    let mut of_shards: HashMap<(u64, u32), Vec<_>> = HashMap::new();
    for entry in &commit.entries {
        if let What::Records(records) = &entry.what {
            for (shard, record) in records {
                of_shards
                    .entry((entry.uid, *shard))
                    .or_default()
                    .push(record);
            }
        }
    }
    let mut bytes = 0;
    for ((uid, shard), records) in of_shards {
        for (first, value) in chunk::encode(records) {
            bytes += value.len();
            table.insert((uid, shard, first), value.as_slice())?;
            let (_, arrival) = last_of(&value, (uid, shard, first))?;
            keeper.added(uid, shard, first, arrival);
        }
    }
    Ok(bytes)
}

pub(super) fn last_of(value: &[u8], key: (u64, u32, u64)) -> Result<(u64, u64), DiskError> {
    chunk::last(value).map_err(|damage| damaged(key, damage))
}

fn damaged((uid, shard, first): (u64, u32, u64), damage: chunk::Damage) -> DiskError {
    DiskError::Damaged {
        what: format!("the records of stream {uid}, shard {shard}, from index {first} on"),
        problem: damage.to_string(),
    }
}
