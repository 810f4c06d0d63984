//! `PutRecord`, PutRecords, GetShardIterator, GetRecords.

use serde::Serialize;

use super::check;
use super::context::Context;
use super::input::{Structure, given, input};
use super::rules::{
    Any, Bytes, HASH_KEY, Inner, List, NAME, PARTITION_KEY, SEQUENCE_NUMBER, SHARD_ITERATOR,
    STREAM_ARN, STREAM_ID, Words, between,
};
use super::token::{self, Kind, Refused};
use super::types::{Blob, ChildShardShape, RecordShape, Timestamp};
use crate::embedded::clock::{Now, millis};
use crate::embedded::store::{Cursor, Put, Sequence, Start, Stored, of_partition_key, shard_id};
use crate::embedded::{Error, ErrorKind, Service};

/// Limit of one PutRecords, partition keys included.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
const MOST_BYTES: usize = 10 * 1024 * 1024;
/// Limit of one GetRecords, and what it gives unless asked for less.
const MOST_READ: usize = 10_000;

/// `Data`. What a stream takes is less, unless it was raised.
const DATA: Bytes = Bytes { max: MOST_BYTES };

input! {
    PutRecordInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        data: Blob = "Data" must DATA,
        // Optional only where records are distributed without it, which is nowhere here.
        partition_key: String = "PartitionKey" must PARTITION_KEY,
        explicit_hash_key: String = "ExplicitHashKey" may HASH_KEY,
        sequence_number_for_ordering: String = "SequenceNumberForOrdering" may SEQUENCE_NUMBER,
        dry_run: bool = "DryRun" may Any,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecordOutput {
    shard_id: String,
    sequence_number: Sequence,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_type: Option<&'static str>,
}

pub(crate) async fn put_one(
    context: &Context<'_>,
    input: PutRecordInput,
) -> Result<PutRecordOutput, Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    if let Some(sequence) = &input.sequence_number_for_ordering {
        // Sequence numbers of a shard grow whatever is asked for.
        check::sequence("SequenceNumberForOrdering", sequence)?;
    }
    let entry = Entry {
        data: input.data,
        partition_key: input.partition_key,
        explicit_hash_key: input.explicit_hash_key,
    };
    let record = entry.into_put()?;
    let (stored, encryption_type) = put(context, &name, vec![record], input.dry_run).await?;
    let stored = stored.into_iter().next();
    let stored = stored
        .ok_or_else(|| Error::new(ErrorKind::InternalFailure, "The record was not stored."))??;
    Ok(PutRecordOutput {
        shard_id: stored.shard.to_string(),
        sequence_number: stored.sequence,
        encryption_type,
    })
}

/// Where each record was stored, or why it was not, and how they are said to be encrypted.
async fn put(
    context: &Context<'_>,
    name: &str,
    records: Vec<Put>,
    dry_run: Option<bool>,
) -> Result<(Vec<Result<Stored, Error>>, Option<&'static str>), Error> {
    context
        .commit(|store, now| {
            let settings = &store.stream(name, now)?.settings;
            let encryption_type = settings.key.as_ref().map(|_| "KMS");
            check::dry_run(dry_run)?;
            Ok((store.put(name, records, now)?, encryption_type))
        })
        .await
}

input! {
    PutRecordsInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        records: Vec<Structure<Entry>> = "Records" must RECORDS,
        dry_run: bool = "DryRun" may Any,
    }
}

const RECORDS: List<Inner> = List {
    min: 1,
    max: 500,
    each: Inner,
};

input! {
    Entry {
        data: Blob = "Data" must DATA,
        partition_key: String = "PartitionKey" must PARTITION_KEY,
        explicit_hash_key: String = "ExplicitHashKey" may HASH_KEY,
    }
}

impl Entry {
    fn into_put(self) -> Result<Put, Error> {
        let Blob(data) = given(self.data)?;
        let key = given(self.partition_key)?;
        let hash = match self.explicit_hash_key {
            Some(hash) => check::hash_key("ExplicitHashKey", &hash)?,
            None => of_partition_key(&key),
        };
        Ok(Put {
            hash,
            partition_key: key.into_boxed_str(),
            data,
        })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecordsOutput {
    failed_record_count: usize,
    records: Vec<ResultEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_type: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResultEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<Sequence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

impl ResultEntry {
    fn stored(stored: &Stored) -> Self {
        Self {
            sequence_number: Some(stored.sequence),
            shard_id: Some(stored.shard.to_string()),
            error_code: None,
            error_message: None,
        }
    }

    fn refused(error: &Error) -> Self {
        Self {
            sequence_number: None,
            shard_id: None,
            error_code: Some(error.kind().name()),
            error_message: Some(error.message().to_owned()),
        }
    }
}

/// `refused` says which records are throttled, in their order; what it does not speak of is not.
pub(crate) async fn put_many(
    context: &Context<'_>,
    input: PutRecordsInput,
    refused: &[bool],
) -> Result<PutRecordsOutput, Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let records = given(input.records)?
        .into_iter()
        .map(|Structure(entry)| entry.into_put())
        .collect::<Result<Vec<_>, _>>()?;
    let size: usize = records
        .iter()
        .map(|record| record.data.len() + record.partition_key.len())
        .sum();
    if size > MOST_BYTES {
        return Err(Error::invalid_argument(format!(
            "The records of {size} bytes exceed the limit of {MOST_BYTES} bytes."
        )));
    }
    let is_refused = |index: usize| refused.get(index) == Some(&true);
    let count = records.len();
    let kept = records
        .into_iter()
        .enumerate()
        .filter(|(index, _)| !is_refused(*index))
        .map(|(_, record)| record)
        .collect();
    let (stored, encryption_type) = put(context, &name, kept, input.dry_run).await?;
    let mut stored = stored.iter();
    let struck = Error::throughput("Rate exceeded for the shard, it is pretended.");
    let results = (0..count).map(|index| {
        let stored = if is_refused(index) {
            None
        } else {
            stored.next()
        };
        match stored {
            Some(Ok(stored)) => ResultEntry::stored(stored),
            Some(Err(error)) => ResultEntry::refused(error),
            None => ResultEntry::refused(&struck),
        }
    });
    let records: Vec<_> = results.collect();
    let failed = records.iter().filter(|record| record.error_code.is_some());
    Ok(PutRecordsOutput {
        failed_record_count: failed.count(),
        records,
        encryption_type,
    })
}

/// A way to say where reading begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Position {
    At,
    After,
    TrimHorizon,
    Latest,
    Timestamp,
}

/// `ShardIteratorType`.
pub(super) const POSITIONS: Words<Position> = Words(&[
    ("AFTER_SEQUENCE_NUMBER", Position::After),
    ("LATEST", Position::Latest),
    ("AT_TIMESTAMP", Position::Timestamp),
    ("AT_SEQUENCE_NUMBER", Position::At),
    ("TRIM_HORIZON", Position::TrimHorizon),
]);

/// Where reading begins, for iterators and subscriptions alike.
pub(super) fn start(
    kind: &str,
    sequence: Option<&str>,
    timestamp: Option<Timestamp>,
) -> Result<Start, Error> {
    let mismatch = |what: &str| {
        Error::invalid_argument(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and a sequence number, (2) TRIM_HORIZON or \
             LATEST and neither, or (3) AT_TIMESTAMP and a timestamp. Request specified {kind} and {what}."
        ))
    };
    let sequence_number = |text| check::sequence("StartingSequenceNumber", text);
    match (given(POSITIONS.meaning(kind))?, sequence, timestamp) {
        (Position::At, Some(text), None) => Ok(Start::At(sequence_number(text)?)),
        (Position::After, Some(text), None) => Ok(Start::After(sequence_number(text)?)),
        (Position::TrimHorizon, None, None) => Ok(Start::TrimHorizon),
        (Position::Latest, None, None) => Ok(Start::Latest),
        (Position::Timestamp, None, Some(time)) => Ok(Start::Timestamp(time.0)),
        (Position::At | Position::After, None, _) => Err(mismatch("no sequence number")),
        (Position::Timestamp, _, None) => Err(mismatch("no timestamp")),
        (_, Some(_), _) => Err(mismatch("also a sequence number")),
        (_, None, Some(_)) => Err(mismatch("also a timestamp")),
    }
}

input! {
    GetShardIteratorInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        shard_id: String = "ShardId" must NAME,
        shard_iterator_type: String = "ShardIteratorType" must POSITIONS,
        starting_sequence_number: String = "StartingSequenceNumber" may SEQUENCE_NUMBER,
        timestamp: Timestamp = "Timestamp" may Any,
        dry_run: bool = "DryRun" may Any,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetShardIteratorOutput {
    shard_iterator: String,
}

pub(crate) async fn iterator(
    context: &Context<'_>,
    input: GetShardIteratorInput,
) -> Result<GetShardIteratorOutput, Error> {
    let shard = given(input.shard_id)?;
    let start = start(
        &given(input.shard_iterator_type)?,
        input.starting_sequence_number.as_deref(),
        input.timestamp,
    )?;
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let start = context.service.resolve(&name, &shard, start).await?;
    let (cursor, now) = context.with(|store, now| {
        store
            .iterator(&name, &shard, start, now)
            .map(|cursor| (cursor, now))
    })?;
    check::dry_run(input.dry_run)?;
    Ok(GetShardIteratorOutput {
        shard_iterator: seal(context.service, now, cursor, &name),
    })
}

/// The stream and the shard that an iterator of ours is for.
pub(crate) fn of_iterator(service: &Service, iterator: &str) -> Option<(String, String)> {
    let (cursor, stream) = open(service, service.now(), iterator).ok()?;
    Some((stream, shard_id(cursor.shard)))
}

fn seal(service: &Service, now: Now, cursor: Cursor, stream: &str) -> String {
    let Cursor {
        stream_uid,
        shard,
        next,
    } = cursor;
    token::seal(
        service,
        Kind::ShardIterator,
        now,
        &format!("{stream_uid}/{shard}/{next}/{stream}"),
    )
}

fn open(service: &Service, now: Now, iterator: &str) -> Result<(Cursor, String), Error> {
    let invalid = || Error::invalid_argument("Invalid ShardIterator.");
    let parts = token::open(service, Kind::ShardIterator, now, iterator).map_err(|refused| match refused {
        Refused::Invalid => invalid(),
        Refused::Expired(age) => Error::new(
            ErrorKind::ExpiredIterator,
            format!(
                "Iterator expired. It was created {age} milliseconds ago, which is more than the tolerated delay of {} \
                 milliseconds.",
                millis(service.config().token_lifetime)
            ),
        ),
    })?;
    let mut parts = parts.splitn(4, '/');
    let mut read = || {
        let stream_uid = parts.next()?.parse().ok()?;
        let shard = parts.next()?.parse().ok()?;
        let next = parts.next()?.parse().ok()?;
        Some((
            Cursor {
                stream_uid,
                shard,
                next,
            },
            parts.next()?.to_owned(),
        ))
    };
    read().ok_or_else(invalid)
}

input! {
    GetRecordsInput {
        shard_iterator: String = "ShardIterator" must SHARD_ITERATOR,
        limit: i64 = "Limit" may between(1, 10_000),
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        dry_run: bool = "DryRun" may Any,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetRecordsOutput {
    records: Vec<RecordShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_shard_iterator: Option<String>,
    millis_behind_latest: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    child_shards: Vec<ChildShardShape>,
}

pub(crate) async fn get(
    context: &Context<'_>,
    input: GetRecordsInput,
) -> Result<GetRecordsOutput, Error> {
    let service = context.service;
    let iterator = given(input.shard_iterator)?;
    let limit = check::page(input.limit, MOST_READ);
    let (cursor, name) = open(service, service.now(), &iterator)?;
    if let Some(arn) = &input.stream_arn
        && context.stream_of_arn(arn)? != name
    {
        return Err(Error::invalid_argument(
            "StreamARN and ShardIterator do not name the same stream.",
        ));
    }
    let (batch, now) = service.read(&name, cursor, limit).await?;
    check::dry_run(input.dry_run)?;
    Ok(GetRecordsOutput {
        records: batch
            .records
            .iter()
            .map(|record| RecordShape::from(&**record))
            .collect(),
        next_shard_iterator: batch.next.map(|next| seal(service, now, next, &name)),
        millis_behind_latest: batch.millis_behind,
        child_shards: batch.children.into_iter().map(Into::into).collect(),
    })
}
