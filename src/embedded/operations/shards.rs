//! ListShards, `SplitShard`, `MergeShards`, `UpdateShardCount`.

use serde::Serialize;

use super::check;
use super::context::Context;
use super::input::{Structure, given, input};
use super::rules::{
    Any, HASH_KEY, Inner, NAME, NEXT_TOKEN, STREAM_ARN, STREAM_ID, Words, between, from,
};
use super::streams::next_token;
use super::token::{self, Kind};
use super::types::{ShardShape, Timestamp};
use crate::embedded::Error;
use crate::embedded::store::{Shard, Stream, shard_number};

/// How many shards ListShards gives at most, whatever it is asked for.
const PAGE: usize = 1_000;

/// A shard's number, from an id that must look like one.
pub(super) fn known_shard(member: &str, id: &str) -> Result<u32, Error> {
    shard_number(id).ok_or_else(|| Error::invalid_argument(format!("Invalid {member} {id}")))
}

input! {
    ShardFilterInput {
        kind: String = "Type" must FILTERS,
        shard_id: String = "ShardId" may NAME,
        timestamp: Timestamp = "Timestamp" may Any,
    }
}

input! {
    ListShardsInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        next_token: String = "NextToken" may NEXT_TOKEN,
        exclusive_start_shard_id: String = "ExclusiveStartShardId" may NAME,
        max_results: i64 = "MaxResults" may between(1, 10_000),
        stream_creation_timestamp: Timestamp = "StreamCreationTimestamp" may Any,
        shard_filter: Structure<ShardFilterInput> = "ShardFilter" may Inner,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListShardsOutput {
    shards: Vec<ShardShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Which shards are asked for. `AFTER_SHARD_ID` is an exclusive start and nothing else.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ShardFilter.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    All,
    AtTrimHorizon,
    AtLatest,
    At(u64),
    From(u64),
}

impl Filter {
    fn admits(self, stream: &Stream, shard: &Shard) -> bool {
        let closed_at = shard.closed.as_ref().map(|closed| closed.at);
        match self {
            Self::All => true,
            Self::AtLatest => closed_at.is_none(),
            // Closed shards are forgotten once the trim horizon has passed them, so what was open at the horizon is what
            // has no parent left. This way the shards cover the hash space exactly once.
            Self::AtTrimHorizon => !shard
                .parents
                .iter()
                .any(|parent| stream.shards.contains_key(parent)),
            Self::At(time) => {
                shard.created <= time && closed_at.is_none_or(|closed_at| closed_at > time)
            }
            Self::From(time) => closed_at.is_none_or(|closed_at| closed_at >= time),
        }
    }

    fn text(self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::AtTrimHorizon => "horizon".to_owned(),
            Self::AtLatest => "latest".to_owned(),
            Self::At(time) => format!("at{time}"),
            Self::From(time) => format!("from{time}"),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            "horizon" => Some(Self::AtTrimHorizon),
            "latest" => Some(Self::AtLatest),
            _ => match text.strip_prefix("at") {
                Some(time) => time.parse().ok().map(Self::At),
                None => text.strip_prefix("from")?.parse().ok().map(Self::From),
            },
        }
    }
}

/// `ShardFilterType`.
#[derive(Debug, Clone, Copy)]
enum FilterType {
    AfterShardId,
    AtTrimHorizon,
    FromTrimHorizon,
    AtLatest,
    AtTimestamp,
    FromTimestamp,
}

const FILTERS: Words<FilterType> = Words(&[
    ("AFTER_SHARD_ID", FilterType::AfterShardId),
    ("AT_TRIM_HORIZON", FilterType::AtTrimHorizon),
    ("FROM_TRIM_HORIZON", FilterType::FromTrimHorizon),
    ("AT_LATEST", FilterType::AtLatest),
    ("AT_TIMESTAMP", FilterType::AtTimestamp),
    ("FROM_TIMESTAMP", FilterType::FromTimestamp),
]);

/// The filter, and the shard it starts after.
fn filter(input: Option<ShardFilterInput>) -> Result<(Filter, Option<u32>), Error> {
    let Some(input) = input else {
        return Ok((Filter::All, None));
    };
    let kind = given(input.kind)?;
    let lacking =
        |member| Error::invalid_argument(format!("ShardFilter of type {kind} needs a {member}."));
    let time = || {
        let time = input.timestamp.map(|time| time.0);
        time.ok_or_else(|| lacking("Timestamp"))
    };
    Ok(match given(FILTERS.meaning(&kind))? {
        FilterType::AfterShardId => {
            let id = input.shard_id.as_deref();
            let id = id.ok_or_else(|| lacking("ShardId"))?;
            (Filter::All, Some(known_shard("ShardId", id)?))
        }
        FilterType::AtTrimHorizon => (Filter::AtTrimHorizon, None),
        FilterType::AtLatest => (Filter::AtLatest, None),
        FilterType::AtTimestamp => (Filter::At(time()?), None),
        FilterType::FromTimestamp => (Filter::From(time()?), None),
        FilterType::FromTrimHorizon => (Filter::All, None),
    })
}

/// What one page of shards is taken from.
struct Listing {
    name: String,
    /// Set when a page follows another: the stream must still be the same.
    uid: Option<u64>,
    after: Option<u32>,
    filter: Filter,
}

pub(crate) fn list(
    context: &Context<'_>,
    input: ListShardsInput,
) -> Result<ListShardsOutput, Error> {
    let limit = check::page(input.max_results, PAGE);
    let created = input.stream_creation_timestamp;
    let listing = listing(context, input)?;
    let (shards, next, now) = context.with(|store, now| {
        store.count_stream_call("ListShards", &listing.name, now)?;
        let stream = store.stream(&listing.name, now)?;
        let same = listing.uid.is_none_or(|uid| uid == stream.uid)
            && created.is_none_or(|created| created.0 / 1000 == stream.created / 1000);
        if !same {
            return Err(Error::not_found(format!(
                "Stream {} is not the one that was listed.",
                listing.name
            )));
        }
        let mut wanted = stream
            .shards
            .values()
            .filter(|shard| listing.after.is_none_or(|after| shard.number > after))
            .filter(|shard| listing.filter.admits(stream, shard))
            .peekable();
        let page: Vec<_> = wanted.by_ref().take(limit).collect();
        let last = page
            .last()
            .filter(|_| wanted.peek().is_some())
            .map(|shard| shard.number);
        let next = last.map(|last| {
            format!(
                "{}/{last}/{}/{}",
                stream.uid,
                listing.filter.text(),
                stream.name
            )
        });
        Ok((page.into_iter().map(ShardShape::from).collect(), next, now))
    })?;
    Ok(ListShardsOutput {
        shards,
        next_token: next.map(|next| token::seal(context.service, Kind::Shards, now, &next)),
    })
}

fn listing(context: &Context<'_>, input: ListShardsInput) -> Result<Listing, Error> {
    let Some(token) = input.next_token else {
        let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
        let (filter, mut after) = filter(input.shard_filter.map(|Structure(filter)| filter))?;
        if let Some(id) = input.exclusive_start_shard_id {
            after = after.max(Some(known_shard("ExclusiveStartShardId", &id)?));
        }
        return Ok(Listing {
            name,
            uid: None,
            after,
            filter,
        });
    };
    // The token holds them all. Only the ARN may be said again, for it says where to send the request.
    for (member, is_given) in [
        ("StreamName", input.stream_name.is_some()),
        (
            "ExclusiveStartShardId",
            input.exclusive_start_shard_id.is_some(),
        ),
        (
            "StreamCreationTimestamp",
            input.stream_creation_timestamp.is_some(),
        ),
        ("ShardFilter", input.shard_filter.is_some()),
    ] {
        if is_given {
            return Err(Error::invalid_argument(format!(
                "NextToken and {member} cannot be provided together."
            )));
        }
    }
    let listing = resumed(context, &token)?;
    match input.stream_arn {
        Some(arn) if context.stream_of_arn(&arn)? != listing.name => Err(Error::invalid_argument(
            "NextToken and StreamARN do not name the same stream.",
        )),
        _ => Ok(listing),
    }
}

/// What a token says.
fn resumed(context: &Context<'_>, token: &str) -> Result<Listing, Error> {
    let service = context.service;
    let parts = token::open(service, Kind::Shards, service.now(), token).map_err(next_token)?;
    let mut parts = parts.splitn(4, '/');
    let mut read = || {
        let uid = parts.next()?.parse().ok()?;
        let after = parts.next()?.parse().ok()?;
        let filter = Filter::from_text(parts.next()?)?;
        Some(Listing {
            uid: Some(uid),
            after: Some(after),
            filter,
            name: parts.next()?.to_owned(),
        })
    };
    read().ok_or_else(|| Error::invalid_argument("Invalid NextToken."))
}

input! {
    SplitShardInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        shard_to_split: String = "ShardToSplit" must NAME,
        new_starting_hash_key: String = "NewStartingHashKey" must HASH_KEY,
    }
}

pub(crate) async fn split(context: &Context<'_>, input: SplitShardInput) -> Result<(), Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let shard = given(input.shard_to_split)?;
    let at = check::hash_key("NewStartingHashKey", &given(input.new_starting_hash_key)?)?;
    context
        .commit(|store, now| store.split_shard(&name, &shard, at, now))
        .await
}

input! {
    MergeShardsInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        shard_to_merge: String = "ShardToMerge" must NAME,
        adjacent_shard_to_merge: String = "AdjacentShardToMerge" must NAME,
    }
}

pub(crate) async fn merge(context: &Context<'_>, input: MergeShardsInput) -> Result<(), Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let shard = given(input.shard_to_merge)?;
    let adjacent = given(input.adjacent_shard_to_merge)?;
    context
        .commit(|store, now| store.merge_shards(&name, &shard, &adjacent, now))
        .await
}

input! {
    UpdateShardCountInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        target_shard_count: i64 = "TargetShardCount" must from(1),
        scaling_type: String = "ScalingType" must Words(&[("UNIFORM_SCALING", ())]),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateShardCountOutput {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    current_shard_count: usize,
    target_shard_count: u32,
}

pub(crate) async fn update_count(
    context: &Context<'_>,
    input: UpdateShardCountInput,
) -> Result<UpdateShardCountOutput, Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    // Whatever is larger is beyond every limit.
    let target = u32::try_from(given(input.target_shard_count)?).unwrap_or(u32::MAX);
    context
        .commit(|store, now| {
            let current = store.update_shard_count(&name, target, now)?;
            Ok(UpdateShardCountOutput {
                stream_arn: context.stream_arn(&name),
                stream_name: name,
                current_shard_count: current,
                target_shard_count: target,
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::store::shard_id;

    #[test]
    fn a_filter_survives_its_token() {
        for filter in [
            Filter::All,
            Filter::AtTrimHorizon,
            Filter::AtLatest,
            Filter::At(7),
            Filter::From(0),
        ] {
            assert_eq!(Filter::from_text(&filter.text()), Some(filter));
        }
        assert_eq!(Filter::from_text("at"), None);
    }

    #[test]
    fn only_ids_of_shards_name_one() {
        assert_eq!(known_shard("x", &shard_id(7)), Ok(7));
        for id in [
            "shardId-7",
            "shardId--00000000007",
            "shardId-000000000007x",
            "x",
            "shardId-999999999999",
            "shardId-",
        ] {
            assert!(known_shard("x", id).is_err(), "{id}");
        }
    }
}
