//! The operations: typed input, checks as the service model states them, one call of the store, typed answer.
//!
//! Inputs deserialize and answers serialize by serde and know no format; a text format writes blobs as base64, a binary
//! one as they are. Members this service has no use for (warm throughput) are accepted and passed over,
//! as are members it does not know.

pub(crate) mod check;
pub(crate) mod consumers;
mod input;
pub(crate) mod records;
mod rules;
pub(crate) mod shards;
pub(crate) mod streams;
pub(crate) mod tags;
mod token;
pub(crate) mod types;

use std::str::FromStr;

use super::{Error, ErrorKind};

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// The operations this service has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Operation { $($name),* }

        impl Operation {
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
    AddTagsToStream, CreateStream, DeleteStream, DeregisterStreamConsumer, DescribeStream, DescribeStreamConsumer,
    DescribeStreamSummary, GetRecords, GetShardIterator, ListShards, ListStreamConsumers, ListStreams,
    ListTagsForResource, ListTagsForStream, MergeShards, PutRecord, PutRecords, RegisterStreamConsumer,
    RemoveTagsFromStream, SplitShard, SubscribeToShard, TagResource, UntagResource, UpdateShardCount,
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
