//! From the table's inputs to the builders of the Rust SDK.

use std::collections::HashMap;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::BuildError;
use aws_sdk_kinesis::operation::subscribe_to_shard::builders::SubscribeToShardFluentBuilder;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::client::Came;
use super::sdk::came;

/// What the SDK's types have no way to say.
pub(super) struct Unsayable(pub(super) String);

impl From<BuildError> for Unsayable {
    fn from(error: BuildError) -> Self {
        Self(error.to_string())
    }
}

/// The members of an input that have not been taken yet.
pub(super) struct Input(Map<String, Value>);

impl Input {
    pub(super) fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    fn take<T: Member>(&mut self, name: &str) -> Result<Option<T>, Unsayable> {
        self.0.remove(name).map(T::read).transpose()
    }

    /// Nothing may be left: it would not be said.
    fn end(self) -> Result<(), Unsayable> {
        match self.0.keys().next() {
            Some(name) => Err(Unsayable(format!(
                "this client knows no member {name} here"
            ))),
            None => Ok(()),
        }
    }
}

/// What a member of the table's JSON is for the SDK.
trait Member: Sized {
    fn read(value: Value) -> Result<Self, Unsayable>;
}

fn not(what: &str, value: &Value) -> Unsayable {
    Unsayable(format!("{value} is no {what}"))
}

impl Member for String {
    fn read(value: Value) -> Result<Self, Unsayable> {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| not("text", &value))
    }
}

impl Member for bool {
    fn read(value: Value) -> Result<Self, Unsayable> {
        value.as_bool().ok_or_else(|| not("flag", &value))
    }
}

impl Member for i32 {
    fn read(value: Value) -> Result<Self, Unsayable> {
        let number = value.as_i64().and_then(|number| number.try_into().ok());
        number.ok_or_else(|| not("whole number of 32 bits", &value))
    }
}

impl Member for Blob {
    fn read(value: Value) -> Result<Self, Unsayable> {
        let bytes = STANDARD.decode(String::read(value)?);
        bytes
            .map(Blob::new)
            .map_err(|error| Unsayable(error.to_string()))
    }
}

impl Member for DateTime {
    fn read(value: Value) -> Result<Self, Unsayable> {
        value
            .as_f64()
            .map(Self::from_secs_f64)
            .ok_or_else(|| not("time", &value))
    }
}

impl<T: Member> Member for Vec<T> {
    fn read(value: Value) -> Result<Self, Unsayable> {
        match value {
            Value::Array(values) => values.into_iter().map(T::read).collect(),
            other => Err(not("list", &other)),
        }
    }
}

impl Member for Input {
    fn read(value: Value) -> Result<Self, Unsayable> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            other => Err(not("structure", &other)),
        }
    }
}

impl Member for HashMap<String, String> {
    fn read(value: Value) -> Result<Self, Unsayable> {
        let Input(members) = Input::read(value)?;
        let text = |(name, value)| Ok((name, String::read(value)?));
        members.into_iter().map(text).collect()
    }
}

macro_rules! words {
    ($($kind:ident),*) => {$(
        impl Member for types::$kind {
            fn read(value: Value) -> Result<Self, Unsayable> {
                String::read(value).map(|word| Self::from(word.as_str()))
            }
        }
    )*};
}
words!(
    EncryptionType,
    MetricsName,
    RecordDistributionStrategy,
    ScalingType,
    ShardFilterType,
    ShardIteratorType,
    StreamMode
);

macro_rules! structures {
    ($($kind:ident { $($name:literal $set:ident),* })*) => {$(
        impl Member for types::$kind {
            fn read(value: Value) -> Result<Self, Unsayable> {
                let mut input = Input::read(value)?;
                let structure = Self::builder()$(.$set(input.take($name)?))*;
                input.end()?;
                Ok(structure.build()?)
            }
        }
    )*};
}
structures! {
    StreamModeDetails { "StreamMode" set_stream_mode }
    ShardFilter { "Type" set_type, "ShardId" set_shard_id, "Timestamp" set_timestamp }
    StartingPosition { "Type" set_type, "SequenceNumber" set_sequence_number, "Timestamp" set_timestamp }
    PutRecordsRequestEntry {
        "Data" set_data, "ExplicitHashKey" set_explicit_hash_key, "PartitionKey" set_partition_key
    }
}

macro_rules! operations {
    ($($operation:literal $method:ident { $($name:literal $set:ident),* })*) => {
        /// Calls an operation by its name in the service model.
        pub(super) async fn call(client: &Client, operation: &str, mut input: Input) -> Result<Came, Unsayable> {
            Ok(match operation {
                $($operation => {
                    let call = client.$method()$(.$set(input.take($name)?))*;
                    input.end()?;
                    came(call.send().await)
                })*
                _ => return Err(Unsayable(format!("inputs.rs lacks {operation}"))),
            })
        }
    };
}
operations! {
    "AddTagsToStream" add_tags_to_stream { "StreamName" set_stream_name, "StreamARN" set_stream_arn, "Tags" set_tags }
    "CreateStream" create_stream {
        "StreamName" set_stream_name, "ShardCount" set_shard_count, "StreamModeDetails" set_stream_mode_details, "Tags" set_tags,
        "WarmThroughputMiBps" set_warm_throughput_mibps, "MaxRecordSizeInKiB" set_max_record_size_in_kib,
        "RecordDistributionStrategy" set_record_distribution_strategy
    }
    "DecreaseStreamRetentionPeriod" decrease_stream_retention_period {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "RetentionPeriodHours" set_retention_period_hours
    }
    "DeleteStream" delete_stream {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "EnforceConsumerDeletion" set_enforce_consumer_deletion
    }
    "DeregisterStreamConsumer" deregister_stream_consumer {
        "StreamARN" set_stream_arn, "ConsumerName" set_consumer_name, "ConsumerARN" set_consumer_arn
    }
    "DescribeAccountSettings" describe_account_settings {}
    "DescribeLimits" describe_limits {}
    "DescribeStream" describe_stream {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "Limit" set_limit,
        "ExclusiveStartShardId" set_exclusive_start_shard_id
    }
    "DescribeStreamConsumer" describe_stream_consumer {
        "StreamARN" set_stream_arn, "ConsumerName" set_consumer_name, "ConsumerARN" set_consumer_arn
    }
    "DescribeStreamSummary" describe_stream_summary { "StreamName" set_stream_name, "StreamARN" set_stream_arn }
    "DisableEnhancedMonitoring" disable_enhanced_monitoring {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "ShardLevelMetrics" set_shard_level_metrics
    }
    "EnableEnhancedMonitoring" enable_enhanced_monitoring {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "ShardLevelMetrics" set_shard_level_metrics
    }
    "GetRecords" get_records {
        "ShardIterator" set_shard_iterator, "Limit" set_limit, "StreamARN" set_stream_arn, "DryRun" set_dry_run
    }
    "GetShardIterator" get_shard_iterator {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "ShardId" set_shard_id,
        "ShardIteratorType" set_shard_iterator_type, "StartingSequenceNumber" set_starting_sequence_number,
        "Timestamp" set_timestamp, "DryRun" set_dry_run
    }
    "IncreaseStreamRetentionPeriod" increase_stream_retention_period {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "RetentionPeriodHours" set_retention_period_hours
    }
    "ListChannels" list_channels { "MaxResults" set_max_results, "NextToken" set_next_token }
    "ListShards" list_shards {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "NextToken" set_next_token,
        "ExclusiveStartShardId" set_exclusive_start_shard_id, "MaxResults" set_max_results,
        "StreamCreationTimestamp" set_stream_creation_timestamp, "ShardFilter" set_shard_filter
    }
    "ListStreamConsumers" list_stream_consumers {
        "StreamARN" set_stream_arn, "NextToken" set_next_token, "MaxResults" set_max_results,
        "StreamCreationTimestamp" set_stream_creation_timestamp
    }
    "ListStreams" list_streams {
        "Limit" set_limit, "ExclusiveStartStreamName" set_exclusive_start_stream_name, "NextToken" set_next_token
    }
    "ListTagsForResource" list_tags_for_resource { "ResourceARN" set_resource_arn }
    "ListTagsForStream" list_tags_for_stream {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "ExclusiveStartTagKey" set_exclusive_start_tag_key,
        "Limit" set_limit
    }
    "MergeShards" merge_shards {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "ShardToMerge" set_shard_to_merge,
        "AdjacentShardToMerge" set_adjacent_shard_to_merge
    }
    "PutRecord" put_record {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "Data" set_data, "PartitionKey" set_partition_key,
        "ExplicitHashKey" set_explicit_hash_key, "SequenceNumberForOrdering" set_sequence_number_for_ordering,
        "DryRun" set_dry_run
    }
    "PutRecords" put_records {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "Records" set_records, "DryRun" set_dry_run
    }
    "PutResourcePolicy" put_resource_policy { "ResourceARN" set_resource_arn, "Policy" set_policy }
    "RegisterStreamConsumer" register_stream_consumer {
        "StreamARN" set_stream_arn, "ConsumerName" set_consumer_name, "Tags" set_tags
    }
    "RemoveTagsFromStream" remove_tags_from_stream {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "TagKeys" set_tag_keys
    }
    "SplitShard" split_shard {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "ShardToSplit" set_shard_to_split,
        "NewStartingHashKey" set_new_starting_hash_key
    }
    "StartStreamEncryption" start_stream_encryption {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "EncryptionType" set_encryption_type, "KeyId" set_key_id
    }
    "StopStreamEncryption" stop_stream_encryption {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "EncryptionType" set_encryption_type, "KeyId" set_key_id
    }
    "TagResource" tag_resource { "ResourceARN" set_resource_arn, "Tags" set_tags }
    "UntagResource" untag_resource { "ResourceARN" set_resource_arn, "TagKeys" set_tag_keys }
    "UpdateMaxRecordSize" update_max_record_size {
        "StreamARN" set_stream_arn, "MaxRecordSizeInKiB" set_max_record_size_in_kib
    }
    "UpdateShardCount" update_shard_count {
        "StreamName" set_stream_name, "StreamARN" set_stream_arn, "TargetShardCount" set_target_shard_count,
        "ScalingType" set_scaling_type
    }
    "UpdateStreamMode" update_stream_mode {
        "StreamARN" set_stream_arn, "StreamModeDetails" set_stream_mode_details,
        "WarmThroughputMiBps" set_warm_throughput_mibps
    }
    "UpdateStreamWarmThroughput" update_stream_warm_throughput {
        "StreamARN" set_stream_arn, "StreamName" set_stream_name, "WarmThroughputMiBps" set_warm_throughput_mibps
    }
}

/// SubscribeToShard, whose answer is read bit by bit.
pub(super) fn subscribe(
    client: &Client,
    mut input: Input,
) -> Result<SubscribeToShardFluentBuilder, Unsayable> {
    let call = client
        .subscribe_to_shard()
        .set_consumer_arn(input.take("ConsumerARN")?)
        .set_shard_id(input.take("ShardId")?)
        .set_starting_position(input.take("StartingPosition")?)
        .set_dry_run(input.take("DryRun")?);
    input.end()?;
    Ok(call)
}
