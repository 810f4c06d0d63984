//! ListShards, `SplitShard`, `MergeShards`, `UpdateShardCount`.

use serde::{Deserialize, Serialize};

use super::check;
use super::streams::next_token;
use super::token::{self, Kind};
use super::types::{ShardShape, Timestamp};
use crate::embedded::store::{Shard, Stream};
use crate::embedded::{Error, Service};

/// How many shards ListShards gives at most, though up to `MOST` may be asked for.
const PAGE: u32 = 1_000;
const MOST: u32 = 10_000;

/// A shard's number, from an id that must look like one.
pub(super) fn known_shard(member: &str, id: &str) -> Result<u32, Error> {
    check::shard(member, id)?
        .ok_or_else(|| Error::invalid_argument(format!("Invalid {member} {id}")))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ShardFilterInput {
    #[serde(rename = "Type")]
    kind: Option<String>,
    shard_id: Option<String>,
    timestamp: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListShardsInput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    next_token: Option<String>,
    exclusive_start_shard_id: Option<String>,
    max_results: Option<i64>,
    stream_creation_timestamp: Option<Timestamp>,
    shard_filter: Option<ShardFilterInput>,
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

/// The filter, and the shard it starts after.
fn filter(input: Option<ShardFilterInput>) -> Result<(Filter, Option<u32>), Error> {
    const KINDS: &[(&str, &str)] = &[
        ("AFTER_SHARD_ID", "AFTER_SHARD_ID"),
        ("AT_TRIM_HORIZON", "AT_TRIM_HORIZON"),
        ("FROM_TRIM_HORIZON", "FROM_TRIM_HORIZON"),
        ("AT_LATEST", "AT_LATEST"),
        ("AT_TIMESTAMP", "AT_TIMESTAMP"),
        ("FROM_TIMESTAMP", "FROM_TIMESTAMP"),
    ];
    let Some(input) = input else {
        return Ok((Filter::All, None));
    };
    let kind = check::required("shardFilter.type", input.kind)?;
    let kind = check::one_of("shardFilter.type", &kind, KINDS)?;
    let time = || {
        let missing = || Error::invalid_argument(format!("ShardFilter {kind} needs a Timestamp."));
        input.timestamp.map(|time| time.0).ok_or_else(missing)
    };
    Ok(match kind {
        "AFTER_SHARD_ID" => {
            let id = input.shard_id.as_deref();
            let id = id.ok_or_else(|| {
                Error::invalid_argument("ShardFilter AFTER_SHARD_ID needs a ShardId.")
            })?;
            (Filter::All, Some(known_shard("shardFilter.shardId", id)?))
        }
        "AT_TRIM_HORIZON" => (Filter::AtTrimHorizon, None),
        "AT_LATEST" => (Filter::AtLatest, None),
        "AT_TIMESTAMP" => (Filter::At(time()?), None),
        "FROM_TIMESTAMP" => (Filter::From(time()?), None),
        _ => (Filter::All, None),
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

pub(crate) fn list(service: &Service, input: ListShardsInput) -> Result<ListShardsOutput, Error> {
    let limit = check::integer(
        "maxResults",
        input.max_results.unwrap_or(PAGE.into()),
        1..=MOST,
    )?;
    let limit = limit.min(PAGE) as usize;
    let created = input.stream_creation_timestamp;
    let listing = listing(service, input)?;
    let (shards, next, now) = service.with(|store, now| {
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
        next_token: next.map(|next| token::seal(service, Kind::Shards, now, &next)),
    })
}

fn listing(service: &Service, input: ListShardsInput) -> Result<Listing, Error> {
    let Some(token) = input.next_token else {
        let name = check::stream(
            service.config(),
            input.stream_name,
            input.stream_arn.as_deref(),
        )?;
        let (filter, mut after) = filter(input.shard_filter)?;
        if let Some(id) = input.exclusive_start_shard_id {
            after = after.max(Some(known_shard("exclusiveStartShardId", &id)?));
        }
        return Ok(Listing {
            name,
            uid: None,
            after,
            filter,
        });
    };
    if input.stream_name.is_some()
        || input.exclusive_start_shard_id.is_some()
        || input.stream_creation_timestamp.is_some()
    {
        return Err(Error::invalid_argument(
            "NextToken cannot be provided together with StreamName, ExclusiveStartShardId or StreamCreationTimestamp.",
        ));
    }
    let parts = token::open(service, Kind::Shards, service.now(), &token).map_err(next_token)?;
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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SplitShardInput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_to_split: Option<String>,
    new_starting_hash_key: Option<String>,
}

pub(crate) async fn split(service: &Service, input: SplitShardInput) -> Result<(), Error> {
    let shard = check::required("shardToSplit", input.shard_to_split)?;
    check::name("shardToSplit", &shard)?;
    let at = check::hash_key(
        "newStartingHashKey",
        &check::required("newStartingHashKey", input.new_starting_hash_key)?,
    )?;
    let name = check::stream(
        service.config(),
        input.stream_name,
        input.stream_arn.as_deref(),
    )?;
    service
        .commit(|store, now| store.split_shard(&name, &shard, at, now))
        .await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MergeShardsInput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_to_merge: Option<String>,
    adjacent_shard_to_merge: Option<String>,
}

pub(crate) async fn merge(service: &Service, input: MergeShardsInput) -> Result<(), Error> {
    let shard = check::required("shardToMerge", input.shard_to_merge)?;
    check::name("shardToMerge", &shard)?;
    let adjacent = check::required("adjacentShardToMerge", input.adjacent_shard_to_merge)?;
    check::name("adjacentShardToMerge", &adjacent)?;
    let name = check::stream(
        service.config(),
        input.stream_name,
        input.stream_arn.as_deref(),
    )?;
    service
        .commit(|store, now| store.merge_shards(&name, &shard, &adjacent, now))
        .await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateShardCountInput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    target_shard_count: Option<i64>,
    scaling_type: Option<String>,
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
    service: &Service,
    input: UpdateShardCountInput,
) -> Result<UpdateShardCountOutput, Error> {
    let target = check::required("targetShardCount", input.target_shard_count)?;
    let target = check::integer("targetShardCount", target, 1..=100_000)?;
    let scaling = check::required("scalingType", input.scaling_type)?;
    check::one_of("scalingType", &scaling, &[("UNIFORM_SCALING", ())])?;
    let name = check::stream(
        service.config(),
        input.stream_name,
        input.stream_arn.as_deref(),
    )?;
    service
        .commit(|store, now| {
            let current = store.update_shard_count(&name, target, now)?;
            let stream_arn = store.stream(&name, now)?.arn.to_string();
            Ok(UpdateShardCountOutput {
                stream_name: name,
                stream_arn,
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
        ] {
            assert!(known_shard("x", id).is_err(), "{id}");
        }
    }
}
