//! `RegisterStreamConsumer`, `DescribeStreamConsumer`, `ListStreamConsumers`, `DeregisterStreamConsumer`, SubscribeToShard.

use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::check;
use super::records::start;
use super::streams::next_token;
use super::token::{self, Kind};
use super::types::Timestamp;
use crate::embedded::clock::Now;
use crate::embedded::store::{Consumer, Store, SubscriptionId, Tags, admit};
use crate::embedded::{Error, Service};

/// How many consumers `ListStreamConsumers` gives at most, though up to `MOST` may be asked for.
const PAGE: u32 = 100;
const MOST: u32 = 10_000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "the names of the service model")]
struct ConsumerShape {
    consumer_name: String,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: String,
    consumer_status: &'static str,
    consumer_creation_timestamp: Timestamp,
}

impl ConsumerShape {
    fn of(consumer: &Consumer, now: Now) -> Self {
        Self {
            consumer_name: consumer.name.to_string(),
            consumer_arn: consumer.arn.to_string(),
            consumer_status: consumer.status(now),
            consumer_creation_timestamp: Timestamp(consumer.created),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RegisterStreamConsumerInput {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    tags: Option<Tags>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RegisterStreamConsumerOutput {
    consumer: ConsumerShape,
}

pub(crate) async fn register(
    service: &Service,
    input: RegisterStreamConsumerInput,
) -> Result<RegisterStreamConsumerOutput, Error> {
    let arn = check::required("streamARN", input.stream_arn)?;
    let name = check::required("consumerName", input.consumer_name)?;
    check::name("consumerName", &name)?;
    let stream = check::stream_of_arn(service.config(), &arn)?;
    let mut tags = Tags::new();
    admit(&mut tags, input.tags.unwrap_or_default())?;
    service
        .commit(|store, now| {
            let consumer = store.register_consumer(stream, &name, tags, now)?;
            // AWS registers in the background, however quickly it does.
            let consumer = ConsumerShape {
                consumer_status: "CREATING",
                ..ConsumerShape::of(consumer, now)
            };
            Ok(RegisterStreamConsumerOutput { consumer })
        })
        .await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConsumerInput {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
}

/// The consumer's stream and name, and its ARN if it was named by that.
struct Named {
    stream: String,
    consumer: String,
    arn: Option<String>,
}

impl Named {
    fn from_input(service: &Service, input: ConsumerInput) -> Result<Self, Error> {
        let stream = input.stream_arn.as_deref();
        let stream = stream
            .map(|arn| check::stream_of_arn(service.config(), arn))
            .transpose()?;
        if let Some(name) = &input.consumer_name {
            check::name("consumerName", name)?;
        }
        match (input.consumer_arn, stream, input.consumer_name) {
            // All three may be given, as long as they do not conflict.
            (Some(arn), stream, consumer) => {
                let named = Self::from_arn(service, arn)?;
                let agree = stream.is_none_or(|stream| stream == named.stream)
                    && consumer.is_none_or(|consumer| consumer == named.consumer);
                agree.then_some(named).ok_or_else(|| {
                    Error::invalid_argument(
                        "ConsumerARN, StreamARN and ConsumerName do not name the same consumer.",
                    )
                })
            }
            (None, Some(stream), Some(consumer)) => Ok(Self {
                stream: stream.to_owned(),
                consumer,
                arn: None,
            }),
            _ => Err(Error::invalid_argument(
                "Specify either ConsumerARN, or StreamARN and ConsumerName.",
            )),
        }
    }

    fn from_arn(service: &Service, arn: String) -> Result<Self, Error> {
        let (stream, consumer) = check::consumer_of_arn(service.config(), &arn)?;
        Ok(Self {
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            arn: Some(arn),
        })
    }

    /// The consumer; one of the same name that was registered at another time is another one.
    fn find<'a>(
        &self,
        store: &'a mut Store,
        now: Now,
    ) -> Result<(&'a Consumer, &'a Arc<str>), Error> {
        let stream = store.stream(&self.stream, now)?;
        let consumer = stream.consumers.get(self.consumer.as_str());
        let consumer =
            consumer.filter(|consumer| self.arn.as_deref().is_none_or(|arn| *arn == *consumer.arn));
        let missing = || {
            let name = self.arn.as_deref().unwrap_or(&self.consumer);
            Error::not_found(format!(
                "Consumer {name} under stream {} not found.",
                stream.arn
            ))
        };
        Ok((consumer.ok_or_else(missing)?, &stream.arn))
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamConsumerOutput {
    consumer_description: ConsumerDescription,
}

#[derive(Debug, Serialize)]
struct ConsumerDescription {
    #[serde(flatten)]
    consumer: ConsumerShape,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
}

pub(crate) fn describe(
    service: &Service,
    input: ConsumerInput,
) -> Result<DescribeStreamConsumerOutput, Error> {
    let named = Named::from_input(service, input)?;
    service.with(|store, now| {
        store.count_stream_call("DescribeStreamConsumer", &named.stream, now)?;
        let (consumer, stream_arn) = named.find(store, now)?;
        let consumer = ConsumerShape::of(consumer, now);
        let stream_arn = stream_arn.to_string();
        Ok(DescribeStreamConsumerOutput {
            consumer_description: ConsumerDescription {
                consumer,
                stream_arn,
            },
        })
    })
}

pub(crate) async fn deregister(service: &Service, input: ConsumerInput) -> Result<(), Error> {
    let named = Named::from_input(service, input)?;
    service
        .commit(|store, now| {
            store.count_stream_call("DeregisterStreamConsumer", &named.stream, now)?;
            named.find(store, now)?;
            store.deregister_consumer(&named.stream, &named.consumer, now)
        })
        .await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListStreamConsumersInput {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
    stream_creation_timestamp: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListStreamConsumersOutput {
    consumers: Vec<ConsumerShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) fn list(
    service: &Service,
    input: ListStreamConsumersInput,
) -> Result<ListStreamConsumersOutput, Error> {
    let arn = check::required("streamARN", input.stream_arn)?;
    let name = check::stream_of_arn(service.config(), &arn)?;
    let limit = check::integer(
        "maxResults",
        input.max_results.unwrap_or(PAGE.into()),
        1..=MOST,
    )?;
    let limit = limit.min(PAGE) as usize;
    let after = match (input.next_token, input.stream_creation_timestamp) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid_argument(
                "NextToken and StreamCreationTimestamp cannot be provided together.",
            ));
        }
        (Some(token), None) => {
            let after =
                token::open(service, Kind::Consumers, service.now(), &token).map_err(next_token)?;
            let after = after
                .strip_prefix(name)
                .and_then(|after| after.strip_prefix('/'))
                .map(str::to_owned);
            Some(after.ok_or_else(|| Error::invalid_argument("Invalid NextToken."))?)
        }
        (None, _) => None,
    };
    let (consumers, more, now) = service.with(|store, now| {
        store.count_stream_call("ListStreamConsumers", name, now)?;
        let stream = store.stream(name, now)?;
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut all = stream
            .consumers
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(_, consumer)| consumer);
        let page: Vec<_> = all
            .by_ref()
            .take(limit)
            .map(|consumer| ConsumerShape::of(consumer, now))
            .collect();
        Ok::<_, Error>((page, all.next().is_some(), now))
    })?;
    let last = consumers.last().filter(|_| more);
    let next_token = last.map(|last| {
        token::seal(
            service,
            Kind::Consumers,
            now,
            &format!("{name}/{}", last.consumer_name),
        )
    });
    Ok(ListStreamConsumersOutput {
        consumers,
        next_token,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SubscribeToShardInput {
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
    shard_id: Option<String>,
    starting_position: Option<StartingPosition>,
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartingPosition {
    #[serde(rename = "Type")]
    kind: Option<String>,
    sequence_number: Option<String>,
    timestamp: Option<Timestamp>,
}

/// A new subscription, and what it is one to.
#[derive(Debug)]
pub(crate) struct Subscribed {
    pub(crate) id: SubscriptionId,
    pub(crate) stream: String,
    pub(crate) consumer: String,
    pub(crate) shard: String,
}

pub(crate) fn subscribe(
    service: &Service,
    input: SubscribeToShardInput,
) -> Result<Subscribed, Error> {
    let arn = check::required("consumerARN", input.consumer_arn)?;
    let shard = check::required("shardId", input.shard_id)?;
    check::name("shardId", &shard)?;
    let position = check::required("startingPosition", input.starting_position)?;
    let kind = check::required("startingPosition.type", position.kind)?;
    let start = start(
        &kind,
        position.sequence_number.as_deref(),
        position.timestamp,
    )?;
    let named = Named::from_arn(service, arn)?;
    service.with(|store, now| {
        named.find(store, now)?;
        if input.dry_run == Some(true) {
            store.locate(&named.stream, &shard, start, now)?;
            check::dry_run(input.dry_run)?;
        }
        let id = store.subscribe(&named.stream, &named.consumer, &shard, start, now)?;
        Ok(Subscribed {
            id,
            stream: named.stream,
            consumer: named.consumer,
            shard,
        })
    })
}
