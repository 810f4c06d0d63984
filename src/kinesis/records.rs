//! The calls that move records: put, and get by polling.

use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{self, PutRecordsRequestEntry, ShardIteratorType};
use bytes::Bytes;

use super::convert;
use super::shard::{ChildShard, Shard, ShardId};
use super::{Error, ErrorKind, Kinesis};
use crate::message::{SequenceNumber, Timestamp};

/// Of a type that every reader passes over.
const MARK: &[u8] = br#"{"type":"mark"}"#;

/// A record as it was read from a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its sequence number.
    pub sequence: SequenceNumber,
    /// Its partition key; empty where the stream does not give it back.
    pub partition_key: String,
    /// What it holds: one user record, or an aggregate of many (see [`super::kpl`]).
    pub data: Bytes,
    /// When the stream took it, by the stream's clock; zero if it does not say.
    pub arrival: Timestamp,
}

/// A record to put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutEntry {
    /// Decides the shard, by its MD5.
    pub partition_key: String,
    /// What it holds.
    pub data: Vec<u8>,
}

/// What became of one record of a `PutRecords` call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is in the stream, on disk in three places.
    Stored {
        /// The shard that has it.
        shard: ShardId,
        /// Its sequence number there.
        sequence: SequenceNumber,
    },
    /// Not stored: the shard's rate is exceeded.
    Throttled,
    /// Not stored, or at least not acknowledged.
    Failed {
        /// The service's name for it.
        code: Box<str>,
    },
}

/// Where reading a shard begins. There is no LATEST: whoever is disconnected before the first
/// continuation is known would lose records with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartingPosition {
    /// The oldest record that retention has left.
    TrimHorizon,
    /// The first record from that time on.
    AtTimestamp(Timestamp),
    /// That record.
    AtSequence(SequenceNumber),
    /// The record after that one; a continuation is a valid one, too.
    AfterSequence(SequenceNumber),
}

impl StartingPosition {
    pub(super) fn kind(self) -> ShardIteratorType {
        match self {
            Self::TrimHorizon => ShardIteratorType::TrimHorizon,
            Self::AtTimestamp(_) => ShardIteratorType::AtTimestamp,
            Self::AtSequence(_) => ShardIteratorType::AtSequenceNumber,
            Self::AfterSequence(_) => ShardIteratorType::AfterSequenceNumber,
        }
    }

    pub(super) fn sequence(self) -> Option<String> {
        match self {
            Self::AtSequence(number) | Self::AfterSequence(number) => Some(number.to_string()),
            Self::TrimHorizon | Self::AtTimestamp(_) => None,
        }
    }

    pub(super) fn timestamp(self) -> Option<aws_sdk_kinesis::primitives::DateTime> {
        match self {
            Self::AtTimestamp(time) => Some(convert::date_time(time)),
            Self::TrimHorizon | Self::AtSequence(_) | Self::AfterSequence(_) => None,
        }
    }
}

/// A place in a shard for `GetRecords`; good for five minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIterator {
    shard: ShardId,
    token: String,
}

/// What one `GetRecords` call brings.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The records, in order; often none.
    pub records: Vec<Record>,
    /// Where to go on; `None` at the end of the shard.
    pub next: Option<ShardIterator>,
    /// How far behind the tip this batch is; zero at the tip.
    pub millis_behind: u64,
    /// At the end of the shard: those that follow.
    pub children: Vec<ChildShard>,
}

impl Kinesis {
    /// Puts records, in one call, and tells for each what became of it, in their order. The SDK
    /// does not try again.
    ///
    /// Limits: 500 records, 10 MiB a call, partition keys included.
    /// Source: the Kinesis API reference, `PutRecords`.
    ///
    /// # Errors
    /// [`Error`] if the call as a whole got no good answer. Unless the kind says that it was
    /// refused, any of the records may have been stored.
    pub async fn put_records(
        &self,
        entries: Vec<PutEntry>,
        limit: Duration,
    ) -> Result<Vec<PutOutcome>, Error> {
        const OPERATION: &str = "PutRecords";
        let count = entries.len();
        let mut records = Vec::with_capacity(count);
        for entry in entries {
            let record = PutRecordsRequestEntry::builder()
                .partition_key(entry.partition_key)
                .data(Blob::new(entry.data))
                .build();
            records.push(
                record
                    .map_err(|_| Error::protocol(OPERATION, &self.stream, "incomplete record"))?,
            );
        }
        let answer = self
            .within((OPERATION, &self.stream), &self.puts, limit, |client| {
                let request = client.put_records().stream_name(&*self.stream);
                request.set_records(Some(records)).send()
            })
            .await?;
        if answer.records.len() != count {
            let what = "not as many results as records";
            return Err(Error::protocol(OPERATION, &self.stream, what));
        }
        answer
            .records
            .into_iter()
            .map(|result| outcome(OPERATION, &self.stream, result))
            .collect()
    }

    /// Puts a record that says nothing into a shard, or what came of it. Whoever polls a shard
    /// without records is told no sequence number, and so knows no position in it, before one
    /// comes.
    ///
    /// # Errors
    /// As for every call: [`Error`].
    pub async fn put_mark(&self, shard: &Shard) -> Result<(), Error> {
        const OPERATION: &str = "PutRecords";
        let record = PutRecordsRequestEntry::builder()
            .partition_key("~mark")
            .explicit_hash_key(shard.range.start.0.to_string())
            .data(Blob::new(MARK))
            .build()
            .map_err(|_| Error::protocol(OPERATION, &self.stream, "incomplete record"))?;
        let (thing, within) = ((OPERATION, shard.id.as_str()), self.call_timeout);
        let answer = self
            .within(thing, &self.puts, within, |client| {
                let request = client.put_records().stream_name(&*self.stream);
                request.records(record).send()
            })
            .await?;
        match answer.failed_record_count {
            None | Some(0) => Ok(()),
            Some(_) => Err(Error::new(
                OPERATION,
                shard.id.as_str(),
                ErrorKind::Throttled,
            )),
        }
    }

    /// A place to poll from.
    ///
    /// # Errors
    /// As for every call: [`Error`].
    pub async fn get_shard_iterator(
        &self,
        shard: &ShardId,
        from: StartingPosition,
    ) -> Result<ShardIterator, Error> {
        const OPERATION: &str = "GetShardIterator";
        let answer = self
            .control((OPERATION, shard.as_str()), |client| {
                client
                    .get_shard_iterator()
                    .stream_name(&*self.stream)
                    .shard_id(shard.as_str())
                    .shard_iterator_type(from.kind())
                    .set_starting_sequence_number(from.sequence())
                    .set_timestamp(from.timestamp())
                    .send()
            })
            .await?;
        match answer.shard_iterator {
            Some(token) => Ok(ShardIterator {
                shard: shard.clone(),
                token,
            }),
            None => Err(Error::protocol(OPERATION, shard.as_str(), "no iterator")),
        }
    }

    /// The next records from there, at most `limit` (and 10 MiB). The SDK does not try again.
    ///
    /// # Errors
    /// [`super::ErrorKind::ExpiredIterator`] after five minutes,
    /// [`super::ErrorKind::Throttled`] over five calls a second and shard.
    pub async fn get_records(&self, from: &ShardIterator, limit: u16) -> Result<Batch, Error> {
        const OPERATION: &str = "GetRecords";
        let shard = from.shard.as_str();
        let (count, within) = (i32::from(limit.clamp(1, 10_000)), self.call_timeout);
        let answer = self
            .within((OPERATION, shard), &self.once, within, |client| {
                let request = client.get_records().shard_iterator(&from.token);
                request.limit(count).send()
            })
            .await?;
        let behind = answer.millis_behind_latest.unwrap_or_default();
        Ok(Batch {
            records: convert::records(OPERATION, shard, answer.records)?,
            next: answer.next_shard_iterator.map(|token| ShardIterator {
                shard: from.shard.clone(),
                token,
            }),
            millis_behind: u64::try_from(behind).unwrap_or_default(),
            children: convert::children(OPERATION, answer.child_shards)?,
        })
    }
}

fn outcome(
    operation: &'static str,
    stream: &str,
    result: types::PutRecordsResultEntry,
) -> Result<PutOutcome, Error> {
    match (result.error_code, result.shard_id, result.sequence_number) {
        (None, Some(shard), Some(sequence)) => Ok(PutOutcome::Stored {
            shard: shard.into(),
            sequence: sequence.parse().map_err(|_| {
                Error::protocol(operation, stream, "a record's sequence number is none")
            })?,
        }),
        (Some(code), _, _) if code == "ProvisionedThroughputExceededException" => {
            Ok(PutOutcome::Throttled)
        }
        (Some(code), _, _) => Ok(PutOutcome::Failed { code: code.into() }),
        (None, _, _) => Err(Error::protocol(
            operation,
            stream,
            "a result with neither a sequence number nor an error",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_is_neither_stored_nor_failed_is_never_taken_for_stored() {
        let of = |result| outcome("PutRecords", "messages", result);
        let half = types::PutRecordsResultEntry::builder().shard_id("shardId-000000000000");
        assert!(of(half.clone().build()).is_err());
        assert!(of(half.clone().sequence_number("x").build()).is_err());
        assert_eq!(
            of(half.clone().sequence_number("5").build()).unwrap(),
            PutOutcome::Stored {
                shard: "shardId-000000000000".into(),
                sequence: SequenceNumber::from(5)
            }
        );
        let code = "ProvisionedThroughputExceededException";
        assert_eq!(
            of(half.error_code(code).build()).unwrap(),
            PutOutcome::Throttled
        );
    }
}
