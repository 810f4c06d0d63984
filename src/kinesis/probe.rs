//! Whether calls are allowed, asked without doing anything: for the program's own diagnosis.
//!
//! Where the API has a `DryRun` it is used. What has none is asked about something that does not
//! exist and never can: whether the caller may ask is decided before that is found out.
//! Source: the Kinesis API reference, `DryRun` of `PutRecords`, `GetRecords`, `SubscribeToShard`.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType, StartingPosition};

use super::control::{ConsumerArn, StreamArn, answered};
use super::shard::ShardId;
use super::{Error, ErrorKind, Kinesis};

/// What readers pass over, should it be written although it was asked for as a dry run.
const PAYLOAD: &[u8] = br#"{"type":"doctor"}"#;
/// A consumer that nobody has.
const NOBODY: &str = "chat-room-doctor-nobody";

/// Something that may be allowed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission<'a> {
    /// `PutRecords`.
    Put,
    /// `GetShardIterator`, and with what it gives `GetRecords`.
    Poll(&'a ShardId),
    /// `SubscribeToShard`, with a consumer's ARN, or that of one that does not exist.
    Subscribe(&'a StreamArn, &'a ShardId),
    /// `DescribeStreamConsumer`.
    DescribeConsumer(&'a StreamArn),
    /// `DeregisterStreamConsumer`.
    Deregister(&'a StreamArn),
}

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is allowed, and nothing was done.
    Allowed,
    /// It is allowed; the service does not know of dry runs and did it.
    Done,
}

impl Kinesis {
    /// Asks whether that is allowed.
    ///
    /// # Errors
    /// [`ErrorKind::AccessDenied`] if it is not; others if it cannot be found out.
    pub async fn probe(&self, permission: Permission<'_>) -> Result<Verdict, Error> {
        let done = match permission {
            Permission::Put => self.probe_put().await,
            Permission::Poll(shard) => self.probe_poll(shard).await,
            Permission::Subscribe(stream, shard) => {
                self.probe_subscribe(&nobody(stream), shard).await
            }
            Permission::DescribeConsumer(stream) => {
                self.describe_consumer(stream, NOBODY).await.map(|_| ())
            }
            Permission::Deregister(stream) => self.deregister_consumer(&nobody(stream)).await,
        };
        match done {
            Ok(()) => Ok(Verdict::Done),
            Err(error) if error.kind() == ErrorKind::DryRun => Ok(Verdict::Allowed),
            // Asked about what does not exist.
            Err(error) if error.kind() == ErrorKind::ResourceNotFound && permission.is_void() => {
                Ok(Verdict::Allowed)
            }
            Err(error) => Err(error),
        }
    }

    async fn probe_put(&self) -> Result<(), Error> {
        const OPERATION: &str = "PutRecords";
        let entry = PutRecordsRequestEntry::builder()
            .partition_key("~doctor")
            .data(Blob::new(PAYLOAD))
            .build()
            .map_err(|_| Error::protocol(OPERATION, &self.stream, "incomplete record"))?;
        let request = self
            .puts
            .client()
            .0
            .put_records()
            .stream_name(&*self.stream)
            .records(entry)
            .dry_run(true);
        answered(OPERATION, &self.stream, self.call_timeout, request.send())
            .await
            .map(|_| ())
    }

    async fn probe_poll(&self, shard: &ShardId) -> Result<(), Error> {
        let iterator = self
            .control
            .client()
            .0
            .get_shard_iterator()
            .stream_name(&*self.stream)
            .shard_id(shard.as_str())
            .shard_iterator_type(ShardIteratorType::Latest);
        let thing = shard.as_str();
        let iterator = answered(
            "GetShardIterator",
            thing,
            self.call_timeout,
            iterator.send(),
        )
        .await?;
        let request = self
            .control
            .client()
            .0
            .get_records()
            .set_shard_iterator(iterator.shard_iterator)
            .limit(1)
            .dry_run(true);
        answered("GetRecords", thing, self.call_timeout, request.send())
            .await
            .map(|_| ())
    }

    async fn probe_subscribe(&self, consumer: &ConsumerArn, shard: &ShardId) -> Result<(), Error> {
        const OPERATION: &str = "SubscribeToShard";
        let position = StartingPosition::builder()
            .r#type(ShardIteratorType::Latest)
            .build()
            .map_err(|_| Error::protocol(OPERATION, shard.as_str(), "incomplete position"))?;
        let request = self
            .once
            .client()
            .0
            .subscribe_to_shard()
            .consumer_arn(consumer.as_str())
            .shard_id(shard.as_str())
            .starting_position(position)
            .dry_run(true);
        answered(OPERATION, shard.as_str(), self.call_timeout, request.send())
            .await
            .map(|_| ())
    }
}

impl Permission<'_> {
    /// Whether it is about something that does not exist.
    fn is_void(self) -> bool {
        match self {
            Self::Put | Self::Poll(_) => false,
            Self::Subscribe(..) | Self::DescribeConsumer(_) | Self::Deregister(_) => true,
        }
    }
}

/// Registered in the first second of 1970.
fn nobody(stream: &StreamArn) -> ConsumerArn {
    format!("{stream}/consumer/{NOBODY}:1").as_str().into()
}
