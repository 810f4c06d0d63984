//! `CreateStream`, `DeleteStream`, `DescribeStream`, `DescribeStreamSummary`, `ListStreams`.

use std::ops::Bound;

use serde::Serialize;

use super::context::Context;
use super::input::{Structure, given, input};
use super::rules::{
    Any, Inner, NAME, NEXT_TOKEN, STREAM_ARN, STREAM_ID, TagMap, Words, between, from,
};
use super::shards::known_shard;
use super::token::{self, Kind, Refused};
use super::types::{ShardShape, Timestamp};
use super::{Operation, check};
use crate::embedded::faults::{Fault, Moment, Subject};
use crate::embedded::store::{Mode, NewStream, Status, Stream, Tags, admit};
use crate::embedded::{Error, ErrorKind, Service};

/// Shards of a new `ON_DEMAND` stream.
/// <https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html>
const ON_DEMAND_SHARDS: u32 = 4;
pub(super) const KIB: usize = 1024;
/// How many shards `DescribeStream` and how many streams `ListStreams` give at most, whatever they are asked for.
const PAGE: usize = 100;

pub(super) const MODES: Words<Mode> = Words(&[
    ("PROVISIONED", Mode::Provisioned),
    ("ON_DEMAND", Mode::OnDemand),
]);

/// Whether a way to distribute records is one that this service has.
pub(super) const STRATEGIES: Words<bool> = Words(&[("AUTO", false), ("USER_PARTITION_KEY", true)]);

input! {
    StreamModeDetailsInput {
        stream_mode: String = "StreamMode" must MODES,
    }
}

impl StreamModeDetailsInput {
    pub(super) fn mode(self) -> Result<Mode, Error> {
        given(MODES.meaning(&given(self.stream_mode)?))
    }
}

input! {
    CreateStreamInput {
        stream_name: String = "StreamName" must NAME,
        shard_count: i64 = "ShardCount" may from(1),
        stream_mode_details: Structure<StreamModeDetailsInput> = "StreamModeDetails" may Inner,
        tags: Tags = "Tags" may TagMap,
        warm_throughput: i64 = "WarmThroughputMiBps" may from(0),
        max_record_size: i64 = "MaxRecordSizeInKiB" may between(1024, 10_240),
        record_distribution_strategy: String = "RecordDistributionStrategy" may STRATEGIES,
    }
}

pub(crate) async fn create(context: &Context<'_>, input: CreateStreamInput) -> Result<(), Error> {
    let name = given(input.stream_name)?;
    let mode = match input.stream_mode_details {
        Some(Structure(details)) => details.mode()?,
        None => Mode::Provisioned,
    };
    let shards = match (input.shard_count, mode) {
        // Whatever is larger is beyond every limit.
        (Some(count), _) => u32::try_from(count).unwrap_or(u32::MAX),
        (None, Mode::OnDemand) => ON_DEMAND_SHARDS,
        (None, Mode::Provisioned) => {
            return Err(Error::validation(
                "ShardCount must be provided for a PROVISIONED stream.",
            ));
        }
    };
    if let Some(strategy) = input.record_distribution_strategy {
        distribution(&strategy)?;
    }
    let mut tags = Tags::new();
    admit(&mut tags, input.tags.unwrap_or_default())?;
    let new = NewStream {
        name,
        shards,
        mode,
        max_record: input.max_record_size.map_or(KIB * KIB, kib),
        warm_throughput: throughput(input.warm_throughput),
        tags,
    };
    context
        .commit(|store, now| store.create_stream(new, now))
        .await
}

/// Refuses a way to distribute records that this service has not.
pub(super) fn distribution(strategy: &str) -> Result<(), Error> {
    if given(STRATEGIES.meaning(strategy))? {
        return Ok(());
    }
    Err(Error::invalid_argument(
        "This service places records by their partition keys only.",
    ))
}

/// Bytes of so many KiB.
pub(super) fn kib(count: i64) -> usize {
    usize::try_from(count)
        .unwrap_or_default()
        .saturating_mul(KIB)
}

pub(super) fn throughput(asked: Option<i64>) -> u32 {
    u32::try_from(asked.unwrap_or_default()).unwrap_or(u32::MAX)
}

input! {
    DeleteStreamInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        enforce_consumer_deletion: bool = "EnforceConsumerDeletion" may Any,
    }
}

pub(crate) async fn delete(context: &Context<'_>, input: DeleteStreamInput) -> Result<(), Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let enforce = input.enforce_consumer_deletion.unwrap_or(false);
    context
        .commit(|store, now| store.delete_stream(&name, enforce, now))
        .await
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamModeDetails {
    stream_mode: &'static str,
}

impl StreamModeDetails {
    fn of(stream: &Stream) -> Self {
        Self {
            stream_mode: stream.settings.mode.name(),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EnhancedMetrics {
    shard_level_metrics: Vec<&'static str>,
}

/// What a stream's two descriptions have in common.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: StreamModeDetails,
    retention_period_hours: u64,
    stream_creation_timestamp: Timestamp,
    enhanced_monitoring: [EnhancedMetrics; 1],
    encryption_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
}

impl Described {
    fn of(context: &Context<'_>, stream: &Stream) -> Self {
        let settings = &stream.settings;
        let metrics = settings.metrics.iter().map(|metric| metric.name());
        Self {
            stream_name: stream.name.to_string(),
            stream_arn: context.stream_arn(&stream.name),
            stream_status: stream.status.name(),
            stream_mode_details: StreamModeDetails::of(stream),
            // A retention of less than an hour can be set for tests only, and shows as one.
            retention_period_hours: (settings.retention / 3_600_000).max(1),
            stream_creation_timestamp: Timestamp(stream.created),
            enhanced_monitoring: [EnhancedMetrics {
                shard_level_metrics: metrics.collect(),
            }],
            encryption_type: if settings.key.is_some() {
                "KMS"
            } else {
                "NONE"
            },
            key_id: settings.key.clone(),
        }
    }
}

input! {
    DescribeStreamInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        limit: i64 = "Limit" may between(1, 10_000),
        exclusive_start_shard_id: String = "ExclusiveStartShardId" may NAME,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamOutput {
    stream_description: StreamDescription,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription {
    #[serde(flatten)]
    described: Described,
    shards: Vec<ShardShape>,
    has_more_shards: bool,
}

pub(crate) fn describe(
    context: &Context<'_>,
    input: DescribeStreamInput,
) -> Result<DescribeStreamOutput, Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let limit = check::page(input.limit, PAGE);
    let after = match &input.exclusive_start_shard_id {
        Some(id) => Bound::Excluded(known_shard("ExclusiveStartShardId", id)?),
        None => Bound::Unbounded,
    };
    context.with(|store, now| {
        let stream = store.stream(&name, now)?;
        let mut shards = stream.shards.range((after, Bound::Unbounded));
        let page = shards.by_ref().take(limit);
        Ok(DescribeStreamOutput {
            stream_description: StreamDescription {
                described: Described::of(context, stream),
                shards: page.map(|(_, shard)| shard.into()).collect(),
                has_more_shards: shards.next().is_some(),
            },
        })
    })
}

input! {
    DescribeStreamSummaryInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamSummaryOutput {
    stream_description_summary: StreamDescriptionSummary,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescriptionSummary {
    #[serde(flatten)]
    described: Described,
    open_shard_count: usize,
    consumer_count: usize,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size: usize,
    /// Only where it could be another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    record_distribution_strategy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warm_throughput: Option<WarmThroughput>,
    queue_count: u32,
    channel_count: u32,
}

/// `WarmThroughputObject`.
#[derive(Debug, Serialize)]
pub(super) struct WarmThroughput {
    #[serde(rename = "TargetMiBps")]
    pub(super) target: u32,
    #[serde(rename = "CurrentMiBps")]
    pub(super) current: u32,
}

/// What faults make of a stream's summary.
struct Pretence {
    is_deleting: bool,
    distribution: Option<&'static str>,
}

impl Pretence {
    fn of(service: &Service, stream: &str) -> Self {
        let mut said = Self {
            is_deleting: false,
            distribution: None,
        };
        let subject = Subject {
            operation: Some(Operation::DescribeStreamSummary),
            stream: Some(stream.to_owned()),
            ..Subject::default()
        };
        let board = service.board();
        for rule in board.at(Moment::Summary(&subject)) {
            match rule.fault {
                Fault::Deleting => said.is_deleting = true,
                Fault::AutoDistribution => said.distribution = Some("AUTO"),
                _ => continue,
            }
            board.occurred(&rule);
        }
        said
    }
}

pub(crate) fn summarize(
    context: &Context<'_>,
    input: DescribeStreamSummaryInput,
) -> Result<DescribeStreamSummaryOutput, Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let said = Pretence::of(context.service, &name);
    context.with(|store, now| {
        let stream = store.stream(&name, now)?;
        let mut described = Described::of(context, stream);
        if said.is_deleting {
            described.stream_status = Status::Deleting.name();
        }
        let settings = &stream.settings;
        let is_on_demand = settings.mode == Mode::OnDemand;
        let warm = Some(settings.warm_throughput).filter(|warm| *warm > 0);
        Ok(DescribeStreamSummaryOutput {
            stream_description_summary: StreamDescriptionSummary {
                described,
                open_shard_count: stream.open_count(),
                consumer_count: stream.consumers.len(),
                max_record_size: settings.max_record / KIB,
                record_distribution_strategy: said
                    .distribution
                    .or(is_on_demand.then_some("USER_PARTITION_KEY")),
                warm_throughput: warm.map(|warm| WarmThroughput {
                    target: warm,
                    current: warm,
                }),
                queue_count: 0,
                channel_count: 0,
            },
        })
    })
}

input! {
    ListStreamsInput {
        limit: i64 = "Limit" may between(1, 10_000),
        exclusive_start_stream_name: String = "ExclusiveStartStreamName" may NAME,
        next_token: String = "NextToken" may NEXT_TOKEN,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListStreamsOutput {
    stream_names: Vec<String>,
    stream_summaries: Vec<StreamSummary>,
    has_more_streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "the names of the service model")]
struct StreamSummary {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: StreamModeDetails,
    stream_creation_timestamp: Timestamp,
}

impl StreamSummary {
    fn of(context: &Context<'_>, stream: &Stream) -> Self {
        Self {
            stream_name: stream.name.to_string(),
            stream_arn: context.stream_arn(&stream.name),
            stream_status: stream.status.name(),
            stream_mode_details: StreamModeDetails::of(stream),
            stream_creation_timestamp: Timestamp(stream.created),
        }
    }
}

pub(crate) fn list(
    context: &Context<'_>,
    input: ListStreamsInput,
) -> Result<ListStreamsOutput, Error> {
    let service = context.service;
    let limit = check::page(input.limit, PAGE);
    let after = match (input.next_token, input.exclusive_start_stream_name) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid_argument(
                "NextToken and ExclusiveStartStreamName cannot be provided together.",
            ));
        }
        (Some(token), None) => {
            Some(token::open(service, Kind::Streams, service.now(), &token).map_err(next_token)?)
        }
        (None, after) => after,
    };
    let (stream_summaries, has_more_streams) = context.with(|store, now| {
        let after = after.as_deref();
        let mut streams = store
            .streams(now)
            .filter(|stream| after.is_none_or(|after| *stream.name > *after));
        let page = streams.by_ref().take(limit);
        let page: Vec<_> = page
            .map(|stream| StreamSummary::of(context, stream))
            .collect();
        (page, streams.next().is_some())
    });
    let stream_names: Vec<_> = stream_summaries
        .iter()
        .map(|summary| summary.stream_name.clone())
        .collect();
    let last = stream_names.last().filter(|_| has_more_streams);
    let next_token = last.map(|last| token::seal(service, Kind::Streams, service.now(), last));
    Ok(ListStreamsOutput {
        stream_names,
        stream_summaries,
        has_more_streams,
        next_token,
    })
}

/// The error for a next token that is no good.
pub(super) fn next_token(refused: Refused) -> Error {
    match refused {
        Refused::Invalid => Error::invalid_argument("Invalid NextToken."),
        Refused::Expired(age) => Error::new(
            ErrorKind::ExpiredNextToken,
            format!("The NextToken was made {age} milliseconds ago and is too old."),
        ),
    }
}
