//! The calls that tell about the stream, and those that come and go with a registered consumer.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::types;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::connections::Calls;
use super::convert;
use super::{Error, ErrorKind, Kinesis, Shard};
use crate::message::Timestamp;

/// The most pages of shards that are fetched: a thousand shards each.
const MAX_PAGES: usize = 100;

macro_rules! arn {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The ARN's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(arn: &str) -> Self {
                Self(arn.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

arn!(
    /// A stream's name within the whole of AWS.
    StreamArn
);
arn!(
    /// A registered consumer's name within the whole of AWS. It holds the time of the
    /// registration: registered again under the same name, a consumer has another one.
    ConsumerArn
);

/// What `DescribeStreamSummary` says.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The stream's ARN.
    pub arn: StreamArn,
    /// Whether it can be used.
    pub status: StreamStatus,
    /// How many shards are open.
    pub open_shards: u32,
    /// How many consumers are registered, of 20 or 50; `None` if it does not say.
    pub consumers: Option<u32>,
    /// How long records are kept.
    pub retention: Duration,
    /// Whether capacity is on demand.
    pub on_demand: bool,
    /// How records find their shard.
    pub distribution: Distribution,
    /// The largest record, in bytes: 1 MiB unless it was raised.
    pub max_record_bytes: usize,
    /// When the stream was created.
    pub created: Timestamp,
}

/// A stream's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// Not there yet.
    Creating,
    /// Usable.
    Active,
    /// Usable while something about it changes.
    Updating,
    /// Going away.
    Deleting,
    /// Something newer than this program.
    Unknown,
}

/// How records find their shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// By the MD5 of their partition key, as this program needs it.
    PartitionKey,
    /// As the service likes (AUTO): a room has no order then.
    Auto,
    /// Something newer than this program.
    Unknown,
}

/// A registered consumer.
#[derive(Clone, Debug)]
pub struct RegisteredConsumer {
    /// The name it was registered under.
    pub name: String,
    /// Its ARN.
    pub arn: ConsumerArn,
    /// Whether it can subscribe.
    pub status: ConsumerStatus,
    /// When it was registered.
    pub created: Timestamp,
}

/// Tags, by their keys.
pub type Tags = HashMap<String, String>;

/// A registered consumer's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerStatus {
    /// Not there yet: it takes some seconds.
    Creating,
    /// It can subscribe.
    Active,
    /// Going away.
    Deleting,
    /// Something newer than this program.
    Unknown,
}

/// Waits for an answer until `limit`.
pub(super) async fn answered<T, E>(
    operation: &'static str,
    thing: &str,
    limit: Duration,
    send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Error>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match tokio::time::timeout(limit, send).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Error::from_sdk(operation, thing, &error, |raw| {
            raw.status().as_u16()
        })),
        Err(_) => Err(Error::new(operation, thing, ErrorKind::Timeout)
            .with_detail(format!("after {limit:?}"))),
    }
}

impl Kinesis {
    /// Sends a request that must be answered within `limit`; if it is not, its connection is left.
    pub(super) async fn within<T, E, F>(
        &self,
        (operation, thing): (&'static str, &str),
        calls: &Calls,
        limit: Duration,
        send: impl FnOnce(Client) -> F,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let (client, generation) = calls.client();
        let answer = answered(operation, thing, limit, send(client)).await;
        if let Err(error) = &answer
            && error.kind() == ErrorKind::Timeout
        {
            calls.suspect(generation);
        }
        answer
    }

    /// The same, for the calls that have nothing special about them.
    pub(super) async fn control<T, E, F>(
        &self,
        about: (&'static str, &str),
        send: impl FnOnce(Client) -> F,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.within(about, &self.control, self.call_timeout, send)
            .await
    }

    /// All shards that retention has not removed, open and closed, in the service's order.
    ///
    /// # Errors
    /// As for every call: [`Error`].
    pub async fn list_shards(&self) -> Result<Vec<Shard>, Error> {
        const OPERATION: &str = "ListShards";
        let mut shards = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = self
                .control((OPERATION, &self.stream), |client| {
                    let request = client.list_shards();
                    // With a token, the stream must not be named.
                    match token.take() {
                        None => request.stream_name(&*self.stream),
                        token => request.set_next_token(token),
                    }
                    .send()
                })
                .await?;
            for listed in page.shards.unwrap_or_default() {
                shards.push(convert::shard(OPERATION, listed)?);
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(shards);
            }
        }
        Err(Error::protocol(
            OPERATION,
            &self.stream,
            "pages without end",
        ))
    }

    /// What the stream is and how it is.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceNotFound`] if there is no such stream.
    pub async fn describe_summary(&self) -> Result<Summary, Error> {
        const OPERATION: &str = "DescribeStreamSummary";
        let answer = self
            .control((OPERATION, &self.stream), |client| {
                let request = client.describe_stream_summary();
                request.stream_name(&*self.stream).send()
            })
            .await?;
        let Some(summary) = answer.stream_description_summary else {
            return Err(Error::protocol(OPERATION, &self.stream, "no summary"));
        };
        let count = |count: i32| u32::try_from(count).unwrap_or_default();
        Ok(Summary {
            arn: summary.stream_arn.as_str().into(),
            status: match summary.stream_status {
                types::StreamStatus::Creating => StreamStatus::Creating,
                types::StreamStatus::Active => StreamStatus::Active,
                types::StreamStatus::Updating => StreamStatus::Updating,
                types::StreamStatus::Deleting => StreamStatus::Deleting,
                _ => StreamStatus::Unknown,
            },
            open_shards: count(summary.open_shard_count),
            consumers: summary.consumer_count.map(count),
            retention: Duration::from_secs(3600 * u64::from(count(summary.retention_period_hours))),
            on_demand: summary
                .stream_mode_details
                .is_some_and(|details| details.stream_mode == types::StreamMode::OnDemand),
            distribution: match summary.record_distribution_strategy {
                None | Some(types::RecordDistributionStrategy::UserPartitionKey) => {
                    Distribution::PartitionKey
                }
                Some(types::RecordDistributionStrategy::Auto) => Distribution::Auto,
                Some(_) => Distribution::Unknown,
            },
            max_record_bytes: summary
                .max_record_size_in_kib
                .and_then(|size| usize::try_from(size).ok())
                .filter(|size| *size > 0)
                .unwrap_or(1024)
                .saturating_mul(1024),
            created: convert::timestamp(&summary.stream_creation_timestamp),
        })
    }

    /// Registers a consumer for enhanced fan-out; it becomes active some seconds later. The SDK
    /// does not try again: to it a limit that is reached is a call that was throttled.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceInUse`] if the name is taken, [`ErrorKind::LimitExceeded`] if there
    /// are 20 or 50 already, or five are being created.
    pub async fn register_consumer(
        &self,
        stream: &StreamArn,
        name: &str,
        tags: &[(&str, &str)],
    ) -> Result<RegisteredConsumer, Error> {
        const OPERATION: &str = "RegisterStreamConsumer";
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let tags: HashMap<_, _> = tags.iter().map(own).collect();
        let answer = self
            .within((OPERATION, name), &self.once, self.call_timeout, |client| {
                client
                    .register_stream_consumer()
                    .stream_arn(stream.as_str())
                    .consumer_name(name)
                    .set_tags((!tags.is_empty()).then_some(tags))
                    .send()
            })
            .await?;
        match answer.consumer {
            Some(consumer) => Ok(listed(consumer)),
            None => Err(Error::protocol(OPERATION, name, "no consumer")),
        }
    }

    /// A registered consumer, by its name.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceNotFound`] if there is none of that name.
    pub async fn describe_consumer(
        &self,
        stream: &StreamArn,
        name: &str,
    ) -> Result<RegisteredConsumer, Error> {
        const OPERATION: &str = "DescribeStreamConsumer";
        let answer = self
            .control((OPERATION, name), |client| {
                let request = client.describe_stream_consumer();
                request
                    .stream_arn(stream.as_str())
                    .consumer_name(name)
                    .send()
            })
            .await?;
        let Some(consumer) = answer.consumer_description else {
            return Err(Error::protocol(OPERATION, name, "no consumer"));
        };
        Ok(RegisteredConsumer {
            arn: consumer.consumer_arn.as_str().into(),
            status: status(&consumer.consumer_status),
            created: convert::timestamp(&consumer.consumer_creation_timestamp),
            name: consumer.consumer_name,
        })
    }

    /// All registered consumers of the stream.
    ///
    /// # Errors
    /// As for every call: [`Error`].
    pub async fn list_consumers(
        &self,
        stream: &StreamArn,
    ) -> Result<Vec<RegisteredConsumer>, Error> {
        const OPERATION: &str = "ListStreamConsumers";
        let mut consumers = Vec::new();
        let mut token = None;
        for _ in 0..MAX_PAGES {
            let page = self
                .control((OPERATION, stream.as_str()), |client| {
                    let request = client.list_stream_consumers();
                    let request = request.stream_arn(stream.as_str());
                    request.set_next_token(token.take()).send()
                })
                .await?;
            consumers.extend(page.consumers.unwrap_or_default().into_iter().map(listed));
            token = page.next_token;
            if token.is_none() {
                return Ok(consumers);
            }
        }
        Err(Error::protocol(
            OPERATION,
            &self.stream,
            "pages without end",
        ))
    }

    /// The tags of a registered consumer.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the service has no tags.
    pub async fn tags(&self, consumer: &RegisteredConsumer) -> Result<Tags, Error> {
        const OPERATION: &str = "ListTagsForResource";
        let answer = self
            .control((OPERATION, &consumer.name), |client| {
                let request = client.list_tags_for_resource();
                request.resource_arn(consumer.arn.as_str()).send()
            })
            .await?;
        let tags = answer.tags.unwrap_or_default().into_iter();
        Ok(tags
            .map(|tag| (tag.key, tag.value.unwrap_or_default()))
            .collect())
    }

    /// Ends a registration, and with it what is paid for it.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceNotFound`] if it has ended already.
    pub async fn deregister_consumer(&self, arn: &ConsumerArn) -> Result<(), Error> {
        const OPERATION: &str = "DeregisterStreamConsumer";
        self.control((OPERATION, arn.as_str()), |client| {
            let request = client.deregister_stream_consumer();
            request.consumer_arn(arn.as_str()).send()
        })
        .await?;
        Ok(())
    }
}

fn listed(consumer: types::Consumer) -> RegisteredConsumer {
    RegisteredConsumer {
        arn: consumer.consumer_arn.as_str().into(),
        status: status(&consumer.consumer_status),
        created: convert::timestamp(&consumer.consumer_creation_timestamp),
        name: consumer.consumer_name,
    }
}

fn status(status: &types::ConsumerStatus) -> ConsumerStatus {
    match status {
        types::ConsumerStatus::Creating => ConsumerStatus::Creating,
        types::ConsumerStatus::Active => ConsumerStatus::Active,
        types::ConsumerStatus::Deleting => ConsumerStatus::Deleting,
        _ => ConsumerStatus::Unknown,
    }
}
