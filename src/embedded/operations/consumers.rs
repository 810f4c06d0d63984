//! `RegisterStreamConsumer`, `DescribeStreamConsumer`, `ListStreamConsumers`, `DeregisterStreamConsumer`, SubscribeToShard.

use std::ops::Bound;

use serde::Serialize;

use super::check;
use super::context::{ConsumerName, Context};
use super::input::{Structure, given, input};
use super::records::{POSITIONS, start};
use super::rules::{
    Any, CONSUMER_ARN, Inner, NAME, NEXT_TOKEN, SEQUENCE_NUMBER, STREAM_ARN, STREAM_ID, TagMap,
    between,
};
use super::streams::next_token;
use super::token::{self, Kind};
use super::types::Timestamp;
use crate::embedded::Error;
use crate::embedded::clock::Now;
use crate::embedded::store::{Consumer, Store, SubscriptionId, Tags, admit};

/// How many consumers `ListStreamConsumers` gives at most, whatever it is asked for.
const PAGE: usize = 100;

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
    fn of(context: &Context<'_>, stream: &str, consumer: &Consumer, now: Now) -> Self {
        Self {
            consumer_name: consumer.name.to_string(),
            consumer_arn: context.consumer_arn(stream, consumer),
            consumer_status: consumer.status(now),
            consumer_creation_timestamp: Timestamp(consumer.created),
        }
    }
}

input! {
    RegisterStreamConsumerInput {
        stream_arn: String = "StreamARN" must STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        consumer_name: String = "ConsumerName" must NAME,
        tags: Tags = "Tags" may TagMap,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RegisterStreamConsumerOutput {
    consumer: ConsumerShape,
}

pub(crate) async fn register(
    context: &Context<'_>,
    input: RegisterStreamConsumerInput,
) -> Result<RegisterStreamConsumerOutput, Error> {
    let arn = given(input.stream_arn)?;
    let name = given(input.consumer_name)?;
    let stream = context.stream_of_arn(&arn)?;
    let mut tags = Tags::new();
    admit(&mut tags, input.tags.unwrap_or_default())?;
    context
        .commit(|store, now| {
            let consumer = store.register_consumer(stream, &name, tags, now)?;
            // AWS registers in the background, however quickly it does.
            let consumer = ConsumerShape {
                consumer_status: "CREATING",
                ..ConsumerShape::of(context, stream, consumer, now)
            };
            Ok(RegisterStreamConsumerOutput { consumer })
        })
        .await
}

input! {
    ConsumerInput {
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        consumer_name: String = "ConsumerName" may NAME,
        consumer_arn: String = "ConsumerARN" may CONSUMER_ARN,
    }
}

/// The consumer that is meant; by its ARN, it is one of a certain registration.
#[derive(Debug)]
struct Named {
    stream: String,
    consumer: String,
    second: Option<u64>,
}

impl Named {
    /// By its ARN, or by its name and its stream's ARN, or by all three if they agree.
    fn from_input(context: &Context<'_>, input: ConsumerInput) -> Result<Self, Error> {
        let stream = input.stream_arn.as_deref();
        let stream = stream.map(|arn| context.stream_of_arn(arn)).transpose()?;
        let Some(arn) = &input.consumer_arn else {
            return match (stream, input.consumer_name) {
                (Some(stream), Some(consumer)) => Ok(Self {
                    stream: stream.to_owned(),
                    consumer,
                    second: None,
                }),
                _ => Err(Error::invalid_argument(
                    "Either ConsumerARN, or both StreamARN and ConsumerName must be specified.",
                )),
            };
        };
        let named = Self::from(context.consumer_of_arn(arn)?);
        let agrees = |part: &str, given: Option<&str>| given.is_none_or(|given| given == part);
        let name = input.consumer_name.as_deref();
        if agrees(&named.stream, stream) && agrees(&named.consumer, name) {
            Ok(named)
        } else {
            Err(Error::invalid_argument(
                "ConsumerARN, StreamARN and ConsumerName do not name the same consumer.",
            ))
        }
    }

    /// The consumer; one of the same name that was registered at another time is another one.
    fn find<'a>(&self, store: &'a mut Store, now: Now) -> Result<&'a Consumer, Error> {
        let stream = store.stream(&self.stream, now)?;
        let consumer = stream.consumers.get(self.consumer.as_str());
        let consumer =
            consumer.filter(|consumer| self.second.is_none_or(|second| second == consumer.second));
        consumer.ok_or_else(|| {
            Error::not_found(format!(
                "Consumer {} under stream {} not found.",
                self.consumer, self.stream
            ))
        })
    }
}

impl From<ConsumerName<'_>> for Named {
    fn from(name: ConsumerName<'_>) -> Self {
        Self {
            stream: name.stream.to_owned(),
            consumer: name.consumer.to_owned(),
            second: Some(name.second),
        }
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
    context: &Context<'_>,
    input: ConsumerInput,
) -> Result<DescribeStreamConsumerOutput, Error> {
    let named = Named::from_input(context, input)?;
    context.with(|store, now| {
        store.count_stream_call("DescribeStreamConsumer", &named.stream, now)?;
        let consumer = named.find(store, now)?;
        Ok(DescribeStreamConsumerOutput {
            consumer_description: ConsumerDescription {
                consumer: ConsumerShape::of(context, &named.stream, consumer, now),
                stream_arn: context.stream_arn(&named.stream),
            },
        })
    })
}

pub(crate) async fn deregister(context: &Context<'_>, input: ConsumerInput) -> Result<(), Error> {
    let named = Named::from_input(context, input)?;
    context
        .commit(|store, now| {
            store.count_stream_call("DeregisterStreamConsumer", &named.stream, now)?;
            named.find(store, now)?;
            store.deregister_consumer(&named.stream, &named.consumer, now)
        })
        .await
}

input! {
    ListStreamConsumersInput {
        stream_arn: String = "StreamARN" must STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        next_token: String = "NextToken" may NEXT_TOKEN,
        max_results: i64 = "MaxResults" may between(1, 10_000),
        stream_creation_timestamp: Timestamp = "StreamCreationTimestamp" may Any,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListStreamConsumersOutput {
    consumers: Vec<ConsumerShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) fn list(
    context: &Context<'_>,
    input: ListStreamConsumersInput,
) -> Result<ListStreamConsumersOutput, Error> {
    let arn = given(input.stream_arn)?;
    let name = context.stream_of_arn(&arn)?;
    let limit = check::page(input.max_results, PAGE);
    let created = input.stream_creation_timestamp;
    let after = match input.next_token {
        Some(_) if created.is_some() => {
            return Err(Error::invalid_argument(
                "NextToken and StreamCreationTimestamp cannot be provided together.",
            ));
        }
        Some(token) => Some(after(context, name, &token)?),
        None => None,
    };
    let (consumers, more, now) = context.with(|store, now| {
        store.count_stream_call("ListStreamConsumers", name, now)?;
        let stream = store.stream(name, now)?;
        if created.is_some_and(|created| created.0 / 1000 != stream.created / 1000) {
            return Err(Error::not_found(format!(
                "Stream {name} was not created at that time."
            )));
        }
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut all = stream
            .consumers
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(_, consumer)| consumer);
        let page: Vec<_> = all
            .by_ref()
            .take(limit)
            .map(|consumer| ConsumerShape::of(context, name, consumer, now))
            .collect();
        Ok((page, all.next().is_some(), now))
    })?;
    let last = consumers.last().filter(|_| more);
    let next_token = last.map(|last| {
        let parts = format!("{name}/{}", last.consumer_name);
        token::seal(context.service, Kind::Consumers, now, &parts)
    });
    Ok(ListStreamConsumersOutput {
        consumers,
        next_token,
    })
}

/// The consumer that a token says was the last one listed, of this stream.
fn after(context: &Context<'_>, stream: &str, token: &str) -> Result<String, Error> {
    let service = context.service;
    let parts = token::open(service, Kind::Consumers, service.now(), token).map_err(next_token)?;
    let after = parts
        .strip_prefix(stream)
        .and_then(|after| after.strip_prefix('/'));
    after
        .map(str::to_owned)
        .ok_or_else(|| Error::invalid_argument("Invalid NextToken."))
}

input! {
    SubscribeToShardInput {
        consumer_arn: String = "ConsumerARN" must CONSUMER_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        shard_id: String = "ShardId" must NAME,
        starting_position: Structure<StartingPosition> = "StartingPosition" must Inner,
        dry_run: bool = "DryRun" may Any,
    }
}

input! {
    StartingPosition {
        kind: String = "Type" must POSITIONS,
        sequence_number: String = "SequenceNumber" may SEQUENCE_NUMBER,
        timestamp: Timestamp = "Timestamp" may Any,
    }
}

/// A new subscription, and what it is one to.
#[derive(Debug)]
pub(crate) struct Subscribed {
    pub(crate) id: SubscriptionId,
    pub(crate) stream: String,
    pub(crate) consumer: String,
    pub(crate) shard: String,
}

pub(crate) async fn subscribe(
    context: &Context<'_>,
    input: SubscribeToShardInput,
) -> Result<Subscribed, Error> {
    let arn = given(input.consumer_arn)?;
    let shard = given(input.shard_id)?;
    let Structure(position) = given(input.starting_position)?;
    let start = start(
        &given(position.kind)?,
        position.sequence_number.as_deref(),
        position.timestamp,
    )?;
    let named = Named::from(context.consumer_of_arn(&arn)?);
    context.with(|store, now| named.find(store, now).map(drop))?;
    let start = context
        .service
        .resolve(&named.stream, &shard, start)
        .await?;
    context.with(|store, now| {
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
