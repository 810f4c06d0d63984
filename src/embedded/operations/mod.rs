//! The operations: typed input, checked as the service model states, one call of the store, typed answer.
//!
//! Inputs deserialize and answers serialize by serde and know no format; a text format writes blobs as base64, a binary
//! one as they are. What the model constrains is written down with each input ([`input`]) and looked at before the
//! operation begins. Members the model does not have are passed over.

pub(crate) mod account;
mod check;
pub(crate) mod consumers;
mod context;
mod input;
pub(crate) mod records;
mod rules;
pub(crate) mod settings;
pub(crate) mod shards;
pub(crate) mod streams;
pub(crate) mod tags;
mod token;
pub(crate) mod types;

use std::str::FromStr;

pub(crate) use self::context::{Caller, Context};
pub(crate) use self::input::{Input, Structure, checked};
pub(super) use self::rules::is_name;
use super::{Error, ErrorKind};

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// The operations this service has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Operation { $($name),* }

        impl Operation {
            /// All of them.
            pub(in crate::embedded) const ALL: &[Self] = &[$(Self::$name),*];

            /// By its name in the service model.
            pub(crate) fn by_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name in the service model.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

operations! {
    AddTagsToStream, CreateStream, DecreaseStreamRetentionPeriod, DeleteStream, DeregisterStreamConsumer,
    DescribeAccountSettings, DescribeLimits, DescribeStream, DescribeStreamConsumer, DescribeStreamSummary,
    DisableEnhancedMonitoring, EnableEnhancedMonitoring, GetRecords, GetShardIterator, IncreaseStreamRetentionPeriod,
    ListShards, ListStreamConsumers, ListStreams, ListTagsForResource, ListTagsForStream, MergeShards, PutRecord,
    PutRecords, RegisterStreamConsumer, RemoveTagsFromStream, SplitShard, StartStreamEncryption, StopStreamEncryption,
    SubscribeToShard, TagResource, UntagResource, UpdateAccountSettings, UpdateMaxRecordSize, UpdateShardCount,
    UpdateStreamMode, UpdateStreamRecordDistributionStrategy, UpdateStreamWarmThroughput,
}

/// Those of the service model that it lacks: resource policies, for nobody is refused here, and what is newer than
/// streams, queues and channels.
const LACKING: [&str; 20] = [
    "AcknowledgeDeadLetterQueueRecords",
    "AcknowledgeQueueRecords",
    "CreateChannel",
    "CreateQueue",
    "DeleteChannel",
    "DeleteQueue",
    "DeleteResourcePolicy",
    "DescribeChannel",
    "DescribeQueue",
    "GetResourcePolicy",
    "ListChannels",
    "ListQueues",
    "PutResourcePolicy",
    "ReceiveDeadLetterQueueRecords",
    "ReceiveQueueRecords",
    "RestoreDeadLetterQueueRecords",
    "UpdateChannel",
    "UpdateDeadLetterQueueRecordsVisibility",
    "UpdateQueue",
    "UpdateQueueRecordsVisibility",
];

/// The operations of the service model that the embedded service has, and those it lacks, as the README lists them.
pub fn lists() -> String {
    let join = |names: Vec<&str>| {
        let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(", ")
    };
    let has = Operation::ALL.iter().map(|operation| operation.name());
    format!(
        "It has {}.\n\nIt lacks these, which are answered with UnknownOperationException: {}.\n",
        join(has.collect()),
        join(LACKING.to_vec())
    )
}

/// What stands before an operation's name in the `X-Amz-Target` header.
const TARGET_PREFIX: &str = "Kinesis_20131202.";

impl FromStr for Operation {
    type Err = Error;

    fn from_str(target: &str) -> Result<Self, Error> {
        let operation = target.strip_prefix(TARGET_PREFIX).and_then(Self::by_name);
        operation.ok_or_else(|| {
            Error::new(
                ErrorKind::UnknownOperation,
                "The service does not have this operation.",
            )
        })
    }
}
