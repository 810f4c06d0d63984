//! `AddTagsToStream`, `RemoveTagsFromStream`, `ListTagsForStream`, and for streams and consumers alike `TagResource`,
//! `UntagResource`, `ListTagsForResource`.

use std::ops::Bound;

use serde::Serialize;

use super::check;
use super::context::Context;
use super::input::{given, input};
use super::rules::{
    List, NAME, RESOURCE_ARN, STREAM_ARN, STREAM_ID, TAG_KEY, TagMap, Text, between,
};
use crate::embedded::Error;
use crate::embedded::store::{Resource, Tags};

/// `TagKeyList`.
const TAG_KEYS: List<Text> = List {
    min: 1,
    max: 50,
    each: TAG_KEY,
};
/// How many tags `ListTagsForStream` gives at most, which is how many there can be.
const MOST: usize = 50;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagShape {
    key: String,
    value: String,
}

impl From<(&String, &String)> for TagShape {
    fn from((key, value): (&String, &String)) -> Self {
        Self {
            key: key.clone(),
            value: value.clone(),
        }
    }
}

input! {
    AddTagsToStreamInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        tags: Tags = "Tags" must TagMap,
    }
}

pub(crate) async fn add(context: &Context<'_>, input: AddTagsToStreamInput) -> Result<(), Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let tags = given(input.tags)?;
    context
        .commit(|store, now| store.tag(stream(&name), tags, now))
        .await
}

input! {
    RemoveTagsFromStreamInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        tag_keys: Vec<String> = "TagKeys" must TAG_KEYS,
    }
}

pub(crate) async fn remove(
    context: &Context<'_>,
    input: RemoveTagsFromStreamInput,
) -> Result<(), Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let keys = given(input.tag_keys)?;
    context
        .commit(|store, now| store.untag(stream(&name), &keys, now))
        .await
}

input! {
    ListTagsForStreamInput {
        stream_name: String = "StreamName" may NAME,
        stream_arn: String = "StreamARN" may STREAM_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
        exclusive_start_tag_key: String = "ExclusiveStartTagKey" may TAG_KEY,
        limit: i64 = "Limit" may between(1, 50),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsForStreamOutput {
    tags: Vec<TagShape>,
    has_more_tags: bool,
}

pub(crate) fn list(
    context: &Context<'_>,
    input: ListTagsForStreamInput,
) -> Result<ListTagsForStreamOutput, Error> {
    let name = context.stream(input.stream_name, input.stream_arn.as_deref())?;
    let limit = check::page(input.limit, MOST);
    let after = input.exclusive_start_tag_key.as_deref();
    let after = after.map_or(Bound::Unbounded, Bound::Excluded);
    context.with(|store, now| {
        let tags = store.tags(stream(&name), now)?;
        let mut tags = tags.range::<str, _>((after, Bound::Unbounded));
        Ok(ListTagsForStreamOutput {
            tags: tags.by_ref().take(limit).map(TagShape::from).collect(),
            has_more_tags: tags.next().is_some(),
        })
    })
}

fn stream(name: &str) -> Resource<'_> {
    Resource {
        stream: name,
        consumer: None,
    }
}

input! {
    TagResourceInput {
        tags: Tags = "Tags" must TagMap,
        resource_arn: String = "ResourceARN" must RESOURCE_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
    }
}

pub(crate) async fn tag(context: &Context<'_>, input: TagResourceInput) -> Result<(), Error> {
    let arn = given(input.resource_arn)?;
    let resource = context.resource_of_arn(&arn)?;
    let tags = given(input.tags)?;
    context
        .commit(|store, now| store.tag(resource, tags, now))
        .await
}

input! {
    UntagResourceInput {
        tag_keys: Vec<String> = "TagKeys" must TAG_KEYS,
        resource_arn: String = "ResourceARN" must RESOURCE_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
    }
}

pub(crate) async fn untag(context: &Context<'_>, input: UntagResourceInput) -> Result<(), Error> {
    let arn = given(input.resource_arn)?;
    let resource = context.resource_of_arn(&arn)?;
    let keys = given(input.tag_keys)?;
    context
        .commit(|store, now| store.untag(resource, &keys, now))
        .await
}

input! {
    ListTagsForResourceInput {
        resource_arn: String = "ResourceARN" must RESOURCE_ARN,
        stream_id: String = "StreamId" may STREAM_ID,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsForResourceOutput {
    tags: Vec<TagShape>,
}

pub(crate) fn list_of(
    context: &Context<'_>,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let arn = given(input.resource_arn)?;
    let resource = context.resource_of_arn(&arn)?;
    context.with(|store, now| {
        let tags = store.tags(resource, now)?;
        Ok(ListTagsForResourceOutput {
            tags: tags.iter().map(TagShape::from).collect(),
        })
    })
}
