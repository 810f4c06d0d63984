//! `PutRecord`, PutRecords, GetShardIterator, GetRecords.

use serde::{Deserialize, Serialize};

use super::check;
use super::token::{self, Kind, Refused};
use super::types::{Blob, ChildShardShape, RecordShape, Timestamp};
use crate::embedded::clock::{Now, millis};
use crate::embedded::store::{Cursor, Put, Sequence, Start, Stored, of_partition_key, shard_id};
use crate::embedded::{Error, ErrorKind, Service};

/// Limits of one PutRecords, partition keys included.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
const MOST_RECORDS: usize = 500;
const MOST_BYTES: usize = 10 * 1024 * 1024;
/// Limit of one GetRecords, and what it gives unless asked for less.
const MOST_READ: u32 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecordInput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    data: Option<Blob>,
    partition_key: Option<String>,
    explicit_hash_key: Option<String>,
    sequence_number_for_ordering: Option<String>,
    dry_run: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecordOutput {
    shard_id: String,
    sequence_number: Sequence,
}

pub(crate) async fn put_one(
    service: &Service,
    input: PutRecordInput,
) -> Result<PutRecordOutput, Error> {
    let name = check::stream(
        service.config(),
        input.stream_name,
        input.stream_arn.as_deref(),
    )?;
    if let Some(sequence) = &input.sequence_number_for_ordering {
        // Sequence numbers of a shard grow whatever is asked for.
        check::sequence("sequenceNumberForOrdering", sequence)?;
    }
    let entry = Entry {
        data: input.data,
        partition_key: input.partition_key,
        explicit_hash_key: input.explicit_hash_key,
    };
    let record = entry.into_put()?;
    let stored = service.commit(|store, now| {
        if input.dry_run == Some(true) {
            store.stream(&name, now)?;
            check::dry_run(input.dry_run)?;
        }
        store.put(&name, vec![record], now)
    });
    let stored = stored.await?;
    let stored = stored.into_iter().next();
    let stored = stored
        .ok_or_else(|| Error::new(ErrorKind::InternalFailure, "The record was not stored."))??;
    Ok(PutRecordOutput {
        shard_id: stored.shard.to_string(),
        sequence_number: stored.sequence,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecordsInput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    records: Option<Vec<Entry>>,
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    data: Option<Blob>,
    partition_key: Option<String>,
    explicit_hash_key: Option<String>,
}

impl Entry {
    fn into_put(self) -> Result<Put, Error> {
        let Blob(data) = check::required("data", self.data)?;
        let key = check::required("partitionKey", self.partition_key)?;
        check::partition_key("partitionKey", &key)?;
        let hash = match self.explicit_hash_key {
            Some(hash) => check::hash_key("explicitHashKey", &hash)?,
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
    service: &Service,
    input: PutRecordsInput,
    refused: &[bool],
) -> Result<PutRecordsOutput, Error> {
    let name = check::stream(
        service.config(),
        input.stream_name,
        input.stream_arn.as_deref(),
    )?;
    let records = check::required("records", input.records)?;
    if records.is_empty() || records.len() > MOST_RECORDS {
        return Err(Error::validation(format!(
            "1 validation error detected: Value of length {} at 'records' failed to satisfy constraint: Member must have \
             length between 1 and {MOST_RECORDS}",
            records.len()
        )));
    }
    let records = records
        .into_iter()
        .map(Entry::into_put)
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
    let stored = service.commit(|store, now| {
        if input.dry_run == Some(true) {
            store.stream(&name, now)?;
            check::dry_run(input.dry_run)?;
        }
        store.put(&name, kept, now)
    });
    let stored = stored.await?;
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
    })
}

/// The five ways to say where reading begins, for iterators and subscriptions alike.
pub(super) fn start(
    kind: &str,
    sequence: Option<&str>,
    timestamp: Option<Timestamp>,
) -> Result<Start, Error> {
    #[derive(Clone, Copy)]
    enum Kind {
        At,
        After,
        TrimHorizon,
        Latest,
        Timestamp,
    }
    const KINDS: &[(&str, Kind)] = &[
        ("AFTER_SEQUENCE_NUMBER", Kind::After),
        ("LATEST", Kind::Latest),
        ("AT_TIMESTAMP", Kind::Timestamp),
        ("AT_SEQUENCE_NUMBER", Kind::At),
        ("TRIM_HORIZON", Kind::TrimHorizon),
    ];
    let mismatch = |what: &str| {
        Error::invalid_argument(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and a sequence number, (2) TRIM_HORIZON or \
             LATEST and neither, or (3) AT_TIMESTAMP and a timestamp. Request specified {kind} and {what}."
        ))
    };
    let known = check::one_of("shardIteratorType", kind, KINDS)?;
    match (known, sequence, timestamp) {
        (Kind::At, Some(sequence), None) => Ok(Start::At(check::sequence(
            "startingSequenceNumber",
            sequence,
        )?)),
        (Kind::After, Some(sequence), None) => Ok(Start::After(check::sequence(
            "startingSequenceNumber",
            sequence,
        )?)),
        (Kind::TrimHorizon, None, None) => Ok(Start::TrimHorizon),
        (Kind::Latest, None, None) => Ok(Start::Latest),
        (Kind::Timestamp, None, Some(time)) => Ok(Start::Timestamp(time.0)),
        (Kind::At | Kind::After, None, _) => Err(mismatch("no sequence number")),
        (Kind::Timestamp, _, None) => Err(mismatch("no timestamp")),
        (_, Some(_), _) => Err(mismatch("also a sequence number")),
        (_, None, Some(_)) => Err(mismatch("also a timestamp")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetShardIteratorInput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_id: Option<String>,
    shard_iterator_type: Option<String>,
    starting_sequence_number: Option<String>,
    timestamp: Option<Timestamp>,
    dry_run: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetShardIteratorOutput {
    shard_iterator: String,
}

pub(crate) fn iterator(
    service: &Service,
    input: GetShardIteratorInput,
) -> Result<GetShardIteratorOutput, Error> {
    let shard = check::required("shardId", input.shard_id)?;
    check::name("shardId", &shard)?;
    let kind = check::required("shardIteratorType", input.shard_iterator_type)?;
    let start = start(
        &kind,
        input.starting_sequence_number.as_deref(),
        input.timestamp,
    )?;
    let name = check::stream(
        service.config(),
        input.stream_name,
        input.stream_arn.as_deref(),
    )?;
    let (cursor, now) = service.with(|store, now| {
        store
            .iterator(&name, &shard, start, now)
            .map(|cursor| (cursor, now))
    })?;
    check::dry_run(input.dry_run)?;
    Ok(GetShardIteratorOutput {
        shard_iterator: seal(service, now, cursor, &name),
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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetRecordsInput {
    shard_iterator: Option<String>,
    limit: Option<i64>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    dry_run: Option<bool>,
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

pub(crate) fn get(service: &Service, input: GetRecordsInput) -> Result<GetRecordsOutput, Error> {
    let iterator = check::required("shardIterator", input.shard_iterator)?;
    check::iterator(&iterator)?;
    let limit = check::integer(
        "limit",
        input.limit.unwrap_or(MOST_READ.into()),
        1..=MOST_READ,
    )? as usize;
    let (cursor, name) = open(service, service.now(), &iterator)?;
    if let Some(arn) = &input.stream_arn
        && check::stream_of_arn(service.config(), arn)? != name
    {
        return Err(Error::invalid_argument(
            "StreamARN and ShardIterator do not name the same stream.",
        ));
    }
    let (batch, now) = service.with(|store, now| {
        store
            .read(&name, cursor, limit, now)
            .map(|batch| (batch, now))
    })?;
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
