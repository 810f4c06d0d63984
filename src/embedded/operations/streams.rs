//! `CreateStream`, `DeleteStream`, `DescribeStream`, `DescribeStreamSummary`, `ListStreams`.

use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::token::{self, Kind, Refused};
use super::types::{ShardShape, Timestamp};
use super::{Operation, check};
use crate::embedded::faults::{Fault, Moment, Subject};
use crate::embedded::store::{Mode, NewStream, Status, Stream, Tags, admit};
use crate::embedded::{Error, ErrorKind, Service};

/// Shards of a new `ON_DEMAND` stream.
/// <https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html>
const ON_DEMAND_SHARDS: u32 = 4;
const MOST_SHARDS: u32 = 100_000;
const KIB: usize = 1024;
/// How many shards `DescribeStream` and how many streams `ListStreams` give at most, though up to `MOST` may be asked for.
const PAGE: u32 = 100;
const MOST: u32 = 10_000;

const MODES: &[(&str, Mode)] = &[
    ("PROVISIONED", Mode::Provisioned),
    ("ON_DEMAND", Mode::OnDemand),
];

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamModeDetails {
    stream_mode: Option<String>,
}

impl StreamModeDetails {
    fn of(stream: &Stream) -> Self {
        Self {
            stream_mode: Some(stream.mode.name().to_owned()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateStreamInput {
    pub(crate) stream_name: Option<String>,
    pub(crate) shard_count: Option<i64>,
    pub(crate) stream_mode_details: Option<StreamModeDetails>,
    pub(crate) tags: Option<Tags>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    pub(crate) max_record_size: Option<i64>,
    pub(crate) record_distribution_strategy: Option<String>,
}

pub(crate) async fn create(service: &Service, input: CreateStreamInput) -> Result<(), Error> {
    let name = check::required("streamName", input.stream_name)?;
    check::name("streamName", &name)?;
    let mode = match input.stream_mode_details {
        Some(details) => {
            let mode = check::required("streamModeDetails.streamMode", details.stream_mode)?;
            check::one_of("streamModeDetails.streamMode", &mode, MODES)?
        }
        None => Mode::Provisioned,
    };
    let shards = match (input.shard_count, mode) {
        (Some(count), _) => check::integer("shardCount", count, 1..=MOST_SHARDS)?,
        (None, Mode::OnDemand) => ON_DEMAND_SHARDS,
        (None, Mode::Provisioned) => {
            return Err(Error::validation(
                "ShardCount must be provided for a PROVISIONED stream.",
            ));
        }
    };
    let kib = input
        .max_record_size
        .map(|size| check::integer("maxRecordSizeInKiB", size, 1024..=10_240))
        .transpose()?;
    if let Some(strategy) = input.record_distribution_strategy {
        let strategies = [("USER_PARTITION_KEY", true), ("AUTO", false)];
        if !check::one_of("recordDistributionStrategy", &strategy, &strategies)? {
            return Err(Error::invalid_argument(
                "This service places records by their partition keys only.",
            ));
        }
    }
    let mut tags = Tags::new();
    admit(&mut tags, input.tags.unwrap_or_default())?;
    let max_record = kib.map_or(KIB * KIB, |kib| kib as usize * KIB);
    service
        .commit(|store, now| {
            store.create_stream(
                NewStream {
                    name,
                    shards,
                    mode,
                    max_record,
                    tags,
                },
                now,
            )
        })
        .await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteStreamInput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    enforce_consumer_deletion: Option<bool>,
}

pub(crate) async fn delete(service: &Service, input: DeleteStreamInput) -> Result<(), Error> {
    let name = check::stream(
        service.config(),
        input.stream_name,
        input.stream_arn.as_deref(),
    )?;
    let enforce = input.enforce_consumer_deletion.unwrap_or(false);
    service
        .commit(|store, now| store.delete_stream(&name, enforce, now))
        .await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamInput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    limit: Option<i64>,
    exclusive_start_shard_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamOutput {
    stream_description: StreamDescription,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EnhancedMetrics {
    shard_level_metrics: [String; 0],
}

const NO_METRICS: [EnhancedMetrics; 1] = [EnhancedMetrics {
    shard_level_metrics: [],
}];

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: StreamModeDetails,
    shards: Vec<ShardShape>,
    has_more_shards: bool,
    retention_period_hours: u64,
    stream_creation_timestamp: Timestamp,
    enhanced_monitoring: [EnhancedMetrics; 1],
    encryption_type: &'static str,
}

pub(crate) fn describe(
    service: &Service,
    input: DescribeStreamInput,
) -> Result<DescribeStreamOutput, Error> {
    let name = check::stream(
        service.config(),
        input.stream_name,
        input.stream_arn.as_deref(),
    )?;
    let limit = check::integer("limit", input.limit.unwrap_or(PAGE.into()), 1..=MOST)?;
    let limit = limit.min(PAGE) as usize;
    let after = match &input.exclusive_start_shard_id {
        Some(id) => Some(super::shards::known_shard("exclusiveStartShardId", id)?),
        None => None,
    };
    service.with(|store, now| {
        let stream = store.stream(&name, now)?;
        let mut shards = stream.shards.range((
            after.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        ));
        Ok(DescribeStreamOutput {
            stream_description: StreamDescription {
                stream_name: stream.name.to_string(),
                stream_arn: stream.arn.to_string(),
                stream_status: stream.status.name(),
                stream_mode_details: StreamModeDetails::of(stream),
                shards: shards
                    .by_ref()
                    .take(limit)
                    .map(|(_, shard)| shard.into())
                    .collect(),
                has_more_shards: shards.next().is_some(),
                retention_period_hours: hours(stream),
                stream_creation_timestamp: Timestamp(stream.created),
                enhanced_monitoring: NO_METRICS,
                encryption_type: "NONE",
            },
        })
    })
}

/// A retention of less than an hour can be set for tests only, and shows as one.
fn hours(stream: &Stream) -> u64 {
    (stream.retention / 3_600_000).max(1)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamSummaryInput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamSummaryOutput {
    stream_description_summary: StreamDescriptionSummary,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescriptionSummary {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: StreamModeDetails,
    retention_period_hours: u64,
    stream_creation_timestamp: Timestamp,
    enhanced_monitoring: [EnhancedMetrics; 1],
    encryption_type: &'static str,
    open_shard_count: usize,
    consumer_count: usize,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size: usize,
    /// Told of on-demand streams only.
    #[serde(skip_serializing_if = "Option::is_none")]
    record_distribution_strategy: Option<&'static str>,
    queue_count: u32,
    channel_count: u32,
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
    service: &Service,
    input: DescribeStreamSummaryInput,
) -> Result<DescribeStreamSummaryOutput, Error> {
    let name = check::stream(
        service.config(),
        input.stream_name,
        input.stream_arn.as_deref(),
    )?;
    let said = Pretence::of(service, &name);
    service.with(|store, now| {
        let stream = store.stream(&name, now)?;
        let status = if said.is_deleting {
            Status::Deleting
        } else {
            stream.status
        };
        Ok(DescribeStreamSummaryOutput {
            stream_description_summary: StreamDescriptionSummary {
                stream_name: stream.name.to_string(),
                stream_arn: stream.arn.to_string(),
                stream_status: status.name(),
                stream_mode_details: StreamModeDetails::of(stream),
                retention_period_hours: hours(stream),
                stream_creation_timestamp: Timestamp(stream.created),
                enhanced_monitoring: NO_METRICS,
                encryption_type: "NONE",
                open_shard_count: stream.open_count(),
                consumer_count: stream.consumers.len(),
                max_record_size: stream.max_record / KIB,
                record_distribution_strategy: said
                    .distribution
                    .or((stream.mode == Mode::OnDemand).then_some("USER_PARTITION_KEY")),
                queue_count: 0,
                channel_count: 0,
            },
        })
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListStreamsInput {
    limit: Option<i64>,
    exclusive_start_stream_name: Option<String>,
    next_token: Option<String>,
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

pub(crate) fn list(service: &Service, input: ListStreamsInput) -> Result<ListStreamsOutput, Error> {
    let limit = check::integer("limit", input.limit.unwrap_or(PAGE.into()), 1..=MOST)?;
    let limit = limit.min(PAGE) as usize;
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
    if let Some(name) = &after {
        check::name("exclusiveStartStreamName", name)?;
    }
    let (stream_summaries, has_more_streams) = service.with(|store, now| {
        let after = after.as_deref();
        let mut streams = store
            .streams(now)
            .filter(|stream| after.is_none_or(|after| *stream.name > *after));
        let page: Vec<_> = streams.by_ref().take(limit).map(summary).collect();
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

fn summary(stream: &Stream) -> StreamSummary {
    StreamSummary {
        stream_name: stream.name.to_string(),
        stream_arn: stream.arn.to_string(),
        stream_status: stream.status.name(),
        stream_mode_details: StreamModeDetails::of(stream),
        stream_creation_timestamp: Timestamp(stream.created),
    }
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
