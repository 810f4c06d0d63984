//! What can be changed about a stream beside its shards: `UpdateStreamMode`, `UpdateMaxRecordSize`,
//! `IncreaseStreamRetentionPeriod`, `DecreaseStreamRetentionPeriod`, `StartStreamEncryption`, `StopStreamEncryption`,
//! `EnableEnhancedMonitoring`, `DisableEnhancedMonitoring`, `UpdateStreamWarmThroughput`,
//! `UpdateStreamRecordDistributionStrategy`.
//!
//! Encryption and metrics are said to be on and nothing more: nothing here leaves the machine, and `/metrics` has its own.

use serde::Serialize;

use super::context::Context;
use super::input::{Structure, given, input};
use super::rules::{Any, Inner, KEY_ID, List, NAME, STREAM_ARN, STREAM_ID, Words, between, from};
use super::streams::{
    STRATEGIES, StreamModeDetailsInput, WarmThroughput, distribution, kib, throughput,
};
use crate::embedded::Error;
use crate::embedded::store::{Longer, Metric, Mode, Settings};

input! {
    UpdateStreamModeInput {
        stream_arn: String = "StreamARN" must STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        stream_mode_details: Structure<StreamModeDetailsInput> = "StreamModeDetails" must Inner,
        warm_throughput: i64 = "WarmThroughputMiBps" may from(0),
    }
}

pub(crate) async fn update_mode(
    context: &Context<'_>,
    input: UpdateStreamModeInput,
) -> Result<(), Error> {
    let name = context.stream(None, input.stream_arn.as_deref())?;
    let Structure(details) = given(input.stream_mode_details)?;
    let mode = details.mode()?;
    let warm = throughput(input.warm_throughput);
    context
        .commit(|store, now| store.update_mode(&name, mode, warm, now))
        .await
}

input! {
    UpdateMaxRecordSizeInput {
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        max_record_size: i64 = "MaxRecordSizeInKiB" must between(1024, 10_240),
    }
}

pub(crate) async fn update_max_record(
    context: &Context<'_>,
    input: UpdateMaxRecordSizeInput,
) -> Result<(), Error> {
    let name = context.stream(None, input.stream_arn.as_deref())?;
    let size = kib(given(input.max_record_size)?);
    let change = |settings: &mut Settings| {
        settings.max_record = size;
        Ok(())
    };
    context
        .commit(|store, now| store.change_settings(&name, change, now))
        .await
}

input! {
    RetentionInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        retention_period_hours: i64 = "RetentionPeriodHours" must Any,
    }
}

pub(crate) async fn increase_retention(
    context: &Context<'_>,
    input: RetentionInput,
) -> Result<(), Error> {
    retain(context, input, Longer::Yes, "IncreaseStreamRetentionPeriod").await
}

pub(crate) async fn decrease_retention(
    context: &Context<'_>,
    input: RetentionInput,
) -> Result<(), Error> {
    retain(context, input, Longer::No, "DecreaseStreamRetentionPeriod").await
}

async fn retain(
    context: &Context<'_>,
    input: RetentionInput,
    longer: Longer,
    operation: &str,
) -> Result<(), Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let hours = given(input.retention_period_hours)?;
    context
        .commit(|store, now| {
            store.count_stream_call(operation, &name, now)?;
            store.change_settings(&name, |settings| settings.retain(hours, longer), now)
        })
        .await
}

/// `EncryptionType`: whether it is one to encrypt with.
const ENCRYPTION_TYPES: Words<bool> = Words(&[("NONE", false), ("KMS", true)]);

input! {
    EncryptionInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        encryption_type: String = "EncryptionType" must ENCRYPTION_TYPES,
        key_id: String = "KeyId" must KEY_ID,
    }
}

pub(crate) async fn start_encryption(
    context: &Context<'_>,
    input: EncryptionInput,
) -> Result<(), Error> {
    encrypt(context, input, true).await
}

pub(crate) async fn stop_encryption(
    context: &Context<'_>,
    input: EncryptionInput,
) -> Result<(), Error> {
    encrypt(context, input, false).await
}

async fn encrypt(context: &Context<'_>, input: EncryptionInput, is_on: bool) -> Result<(), Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    if !given(ENCRYPTION_TYPES.meaning(&given(input.encryption_type)?))? {
        return Err(Error::invalid_argument(
            "EncryptionType must be KMS, which is the only valid value.",
        ));
    }
    let key = given(input.key_id)?;
    let change = |settings: &mut Settings| {
        settings.key = is_on.then_some(key);
        Ok(())
    };
    context
        .commit(|store, now| store.change_settings(&name, change, now))
        .await
}

/// `MetricsName`; all of them where there is none.
const METRICS: Words<Option<Metric>> = Words(&[
    ("IncomingBytes", Some(Metric::IncomingBytes)),
    ("IncomingRecords", Some(Metric::IncomingRecords)),
    ("OutgoingBytes", Some(Metric::OutgoingBytes)),
    ("OutgoingRecords", Some(Metric::OutgoingRecords)),
    (
        "WriteProvisionedThroughputExceeded",
        Some(Metric::WriteProvisionedThroughputExceeded),
    ),
    (
        "ReadProvisionedThroughputExceeded",
        Some(Metric::ReadProvisionedThroughputExceeded),
    ),
    (
        "IteratorAgeMilliseconds",
        Some(Metric::IteratorAgeMilliseconds),
    ),
    ("ALL", None),
]);

input! {
    MonitoringInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        shard_level_metrics: Vec<String> = "ShardLevelMetrics" must METRIC_LIST,
    }
}

const METRIC_LIST: List<Words<Option<Metric>>> = List {
    min: 1,
    max: 7,
    each: METRICS,
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MonitoringOutput {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    current_shard_level_metrics: Vec<&'static str>,
    desired_shard_level_metrics: Vec<&'static str>,
}

pub(crate) async fn enable_monitoring(
    context: &Context<'_>,
    input: MonitoringInput,
) -> Result<MonitoringOutput, Error> {
    monitor(context, input, true, "EnableEnhancedMonitoring").await
}

pub(crate) async fn disable_monitoring(
    context: &Context<'_>,
    input: MonitoringInput,
) -> Result<MonitoringOutput, Error> {
    monitor(context, input, false, "DisableEnhancedMonitoring").await
}

async fn monitor(
    context: &Context<'_>,
    input: MonitoringInput,
    is_on: bool,
    operation: &str,
) -> Result<MonitoringOutput, Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let words = given(input.shard_level_metrics)?;
    let metrics: Vec<Metric> = words
        .iter()
        .filter_map(|word| METRICS.meaning(word))
        .flat_map(|metric| metric.map_or(Metric::ALL.to_vec(), |metric| vec![metric]))
        .collect();
    context
        .commit(|store, now| {
            store.count_stream_call(operation, &name, now)?;
            let (before, after) = store.monitor(&name, &metrics, is_on, now)?;
            let names = |metrics: Vec<Metric>| metrics.into_iter().map(Metric::name).collect();
            Ok(MonitoringOutput {
                stream_arn: context.stream_arn(&name),
                stream_name: name,
                current_shard_level_metrics: names(before),
                desired_shard_level_metrics: names(after),
            })
        })
        .await
}

input! {
    UpdateStreamWarmThroughputInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        warm_throughput: i64 = "WarmThroughputMiBps" must from(0),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateStreamWarmThroughputOutput {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    warm_throughput: WarmThroughput,
}

pub(crate) async fn update_warm_throughput(
    context: &Context<'_>,
    input: UpdateStreamWarmThroughputInput,
) -> Result<UpdateStreamWarmThroughputOutput, Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let target = throughput(input.warm_throughput);
    context
        .commit(|store, now| {
            let current = store.stream(&name, now)?.settings.warm_throughput;
            store.update_mode(&name, Mode::OnDemand, target, now)?;
            Ok(UpdateStreamWarmThroughputOutput {
                stream_arn: context.stream_arn(&name),
                stream_name: name,
                warm_throughput: WarmThroughput { target, current },
            })
        })
        .await
}

input! {
    UpdateDistributionInput {
        stream_arn: String = "StreamARN" must STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        record_distribution_strategy: String = "RecordDistributionStrategy" must STRATEGIES,
    }
}

/// There is one way to distribute records here, so nothing is changed.
pub(crate) fn update_distribution(
    context: &Context<'_>,
    input: UpdateDistributionInput,
) -> Result<(), Error> {
    let name = context.stream(None, input.stream_arn.as_deref())?;
    distribution(&given(input.record_distribution_strategy)?)?;
    context.with(|store, now| store.stream(&name, now).map(|_| ()))
}
