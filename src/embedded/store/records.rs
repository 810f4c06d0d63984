//! Writing and reading records.

use std::sync::Arc;

use bytes::Bytes;

use super::journal::What;
use super::load::{Load, Loaded, load};
use super::rates::ShardRates;
use super::sequence::Sequence;
use super::shard::{Reading, Record, Shard, Start};
use super::subscription::{ChildShard, children};
use super::{Store, Stream, shard_number};
use crate::embedded::Error;
use crate::embedded::clock::Now;

/// The most data and keys in one answer to GetRecords.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
const READ_BYTES: usize = 10 * 1024 * 1024;

/// A record to be written.
#[derive(Debug)]
pub(crate) struct Put {
    /// Where it belongs: the MD5 of its partition key, or its explicit hash key.
    pub(crate) hash: u128,
    pub(crate) partition_key: Box<str>,
    pub(crate) data: Bytes,
}

impl Put {
    fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

/// Where a record was written.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) shard: Arc<str>,
    pub(crate) sequence: Sequence,
}

/// A place in a shard, as a shard iterator holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) stream_uid: u64,
    pub(crate) shard: u32,
    pub(crate) next: u64,
}

/// What comes of a read.
#[derive(Debug)]
pub(crate) enum Look {
    Batch(Batch),
    /// This is to be loaded first.
    Load(Load),
}

/// The answer to one GetRecords.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Arc<Record>>,
    /// None at the end of a closed shard.
    pub(crate) next: Option<Cursor>,
    pub(crate) millis_behind: u64,
    /// Only at the end of a closed shard.
    pub(crate) children: Vec<ChildShard>,
}

impl Store {
    /// Writes records in their order: all or none, save those for which a shard has no throughput left. They are to be
    /// seen when they are published.
    pub(crate) fn put(
        &mut self,
        name: &str,
        records: Vec<Put>,
        now: Now,
    ) -> Result<Vec<Result<Stored, Error>>, Error> {
        let is_limited = self.is_limited();
        self.settle(name, now);
        let account = &self.config.account;
        let stream = self
            .streams
            .get_mut(name)
            .filter(|stream| stream.is_usable());
        let stream = stream.ok_or_else(|| {
            Error::not_found(format!("Stream {name} under account {account} not found."))
        })?;
        for record in &records {
            let size = record.size();
            if size > stream.settings.max_record {
                let limit = stream.settings.max_record;
                let text = format!(
                    "A record of {size} bytes, partition key included, exceeds the stream's limit of {limit} bytes."
                );
                return Err(Error::invalid_argument(text));
            }
        }
        let (stream_name, uid) = (Arc::clone(&stream.name), stream.uid);
        let mut stored = Vec::with_capacity(records.len());
        let mut prepared = Vec::with_capacity(records.len());
        for record in records {
            // The open shards cover the hash space, so every hash has its owner.
            let owner = stream.owner(record.hash);
            let shard = owner.ok_or_else(|| {
                Error::in_use(format!("Stream {stream_name} has no shard for the record."))
            })?;
            if is_limited && !shard.rates.write(record.size(), now) {
                stored.push(Err(exceeded(&shard.id, &stream_name, account)));
                continue;
            }
            self.last_order += 1;
            let record = shard.prepare(record.partition_key, record.data, self.last_order, now);
            stored.push(Ok(Stored {
                shard: Arc::clone(&shard.id),
                sequence: record.sequence,
            }));
            prepared.push((shard.number, record));
        }
        self.prepared(stream_name, uid, What::Records(prepared));
        Ok(stored)
    }

    /// Lets go of the oldest records of all until the memory bound holds. What is not on disk too is trimmed.
    pub(super) fn trim_to_bound(&mut self) {
        while self.ledger.kept() > self.config.memory {
            let Some((name, number)) = self.ledger.oldest() else {
                return;
            };
            let shard = self
                .streams
                .get_mut(&name)
                .and_then(|stream| stream.shards.get_mut(&number));
            let Some(shard) = shard else { return };
            self.ledger.evict(shard);
            if !self.journal.is_kept {
                shard.trim_to_memory();
            }
        }
    }

    /// Drops all that a shard holds, long before its time; positions that need it are refused from then on.
    pub(crate) fn trim_shard(&mut self, name: &str, shard: &str, now: Now) -> Result<(), Error> {
        if self.journal.is_kept {
            let why = "What is on disk is there until retention has passed it.";
            return Err(Error::invalid_argument(why));
        }
        let account = self.config.account.clone();
        let number = self::shard(self.stream(name, now)?, shard, &account)?.number;
        let stream = self.streams.get_mut(name);
        if let Some(shard) = stream.and_then(|stream| stream.shards.get_mut(&number)) {
            while shard.oldest().is_some() {
                self.ledger.evict(shard);
            }
            shard.drop_to_memory();
        }
        Ok(())
    }

    /// A place to read from, for GetShardIterator.
    pub(crate) fn iterator(
        &mut self,
        name: &str,
        shard: &str,
        start: Start,
        now: Now,
    ) -> Result<Cursor, Error> {
        let cursor = self.locate(name, shard, start, now)?;
        self.admit(name, cursor, |rates| rates.iterate(now))?;
        Ok(cursor)
    }

    /// Asks a shard's rates, if there are any, whether something may be done.
    fn admit(
        &mut self,
        name: &str,
        at: Cursor,
        ask: impl FnOnce(&mut ShardRates) -> bool,
    ) -> Result<(), Error> {
        let is_limited = self.is_limited();
        let shard = self
            .streams
            .get_mut(name)
            .filter(|stream| is_limited && stream.uid == at.stream_uid)
            .and_then(|stream| stream.shards.get_mut(&at.shard));
        if let Some(shard) = shard
            && !ask(&mut shard.rates)
        {
            return Err(exceeded(&shard.id, name, &self.config.account));
        }
        Ok(())
    }

    /// A place to read from.
    pub(crate) fn locate(
        &mut self,
        name: &str,
        shard: &str,
        start: Start,
        now: Now,
    ) -> Result<Cursor, Error> {
        let account = self.config.account.clone();
        let stream = self.stream(name, now)?;
        let found = self::shard(stream, shard, &account)?;
        Ok(Cursor {
            stream_uid: stream.uid,
            shard: found.number,
            next: found.locate(start, now)?,
        })
    }

    /// Records from a place on, at most `count`; or what is to be loaded first, to come again with.
    pub(crate) fn read(
        &mut self,
        name: &str,
        from: Cursor,
        count: usize,
        loaded: Option<Loaded>,
        now: Now,
    ) -> Result<Look, Error> {
        self.settle(name, now);
        if loaded.is_none() {
            self.admit(name, from, |rates| rates.read(now))?;
        }
        let account = self.config.account.clone();
        let stream = self.stream(name, now)?;
        let shard = stream
            .shards
            .get(&from.shard)
            .filter(|_| stream.uid == from.stream_uid && stream.is_usable());
        let shard = shard.ok_or_else(|| missing(&super::shard_id(from.shard), name, &account))?;
        let slice = match shard.read_with(from.next, loaded, (count, READ_BYTES)) {
            Reading::Slice(slice) => slice,
            Reading::OnDisk(range) => {
                let load = load(stream, shard, range, (count, READ_BYTES), now);
                return Ok(Look::Load(load));
            }
        };
        let ended = shard.ended().is_some() && slice.next >= shard.end();
        let bytes = slice.bytes;
        let batch = Batch {
            millis_behind: shard.millis_behind(&slice, now),
            children: if ended {
                children(stream, shard)
            } else {
                Vec::new()
            },
            next: (!ended).then_some(Cursor {
                next: slice.next,
                ..from
            }),
            records: slice.records,
        };
        self.admit(name, from, |rates| {
            rates.has_read(bytes, now);
            true
        })?;
        Ok(Look::Batch(batch))
    }
}

/// A shard by its id, open or closed.
pub(super) fn shard<'a>(stream: &'a Stream, id: &str, account: &str) -> Result<&'a Shard, Error> {
    let shard = shard_number(id)
        .and_then(|number| stream.shards.get(&number))
        .filter(|_| stream.is_usable());
    shard.ok_or_else(|| missing(id, &stream.name, account))
}

fn exceeded(shard: &str, stream: &str, account: &str) -> Error {
    Error::throughput(format!(
        "Rate exceeded for shard {shard} in stream {stream} under account {account}."
    ))
}

fn missing(id: &str, stream: &str, account: &str) -> Error {
    Error::not_found(format!(
        "Shard {id} in stream {stream} under account {account} does not exist"
    ))
}
