//! Changes of the stream: splits, merges, a consumer deregistered from outside, records dropped.

use super::engine::Subject;
use super::rule::{Fault, Rule};
use crate::embedded::Error;
use crate::embedded::clock::Now;
use crate::embedded::store::{Shard, Store, Stream};

/// Changes the stream that the subject is about, or the first one.
///
/// Which shard: the rule's, else the subject's, else any. Which consumer: the rule's, else any.
///
/// # Errors
/// Those of the store, where it cannot be done.
pub(crate) fn act(
    store: &mut Store,
    rule: &Rule,
    subject: &Subject,
    now: Now,
) -> Result<(), Error> {
    let first = store
        .streams(now)
        .next()
        .map(|stream| stream.name.to_string());
    let name = subject.stream.clone().or(first);
    let name = name.ok_or_else(|| Error::not_found("There is no stream."))?;
    let stream = store.stream(&name, now)?;
    match rule.fault {
        Fault::Split => {
            let shard = pick(stream, rule, subject)?;
            let (id, range) = (shard.id.to_string(), shard.range);
            let middle = range.start + (range.end - range.start) / 2 + 1;
            store.split_shard(&name, &id, middle, now)
        }
        Fault::Merge => {
            let shard = pick(stream, rule, subject)?;
            let follows =
                |low: &Shard, high: &Shard| low.range.end.checked_add(1) == Some(high.range.start);
            let neighbour = stream
                .open_shards()
                .find(|other| follows(shard, other) || follows(other, shard));
            let neighbour =
                neighbour.ok_or_else(|| Error::invalid_argument("There is no shard beside it."))?;
            let (low, high) = if follows(shard, neighbour) {
                (shard, neighbour)
            } else {
                (neighbour, shard)
            };
            let (low, high) = (low.id.to_string(), high.id.to_string());
            store.merge_shards(&name, &low, &high, now)
        }
        Fault::Trim => {
            let id = pick(stream, rule, subject)?.id.to_string();
            store.trim_shard(&name, &id, now)
        }
        Fault::Deregister => {
            let named =
                |consumer: &str| rule.consumer.as_deref().is_none_or(|only| only == consumer);
            let consumers: Vec<_> = stream
                .consumers
                .keys()
                .filter(|consumer| named(consumer))
                .collect();
            let consumer = fastrand::choice(consumers).map(ToString::to_string);
            let consumer =
                consumer.ok_or_else(|| Error::not_found("There is no such consumer."))?;
            store.deregister_consumer(&name, &consumer, now)
        }
        _ => Err(Error::invalid_argument("This changes no stream.")),
    }
}

fn pick<'a>(stream: &'a Stream, rule: &Rule, subject: &Subject) -> Result<&'a Shard, Error> {
    let open = |id: &str| stream.open_shards().find(|shard| *shard.id == *id);
    let any = || fastrand::choice(stream.open_shards().collect::<Vec<_>>());
    let found = match rule.shard.as_deref() {
        Some(id) => open(id),
        None => subject.shard.as_deref().and_then(open).or_else(any),
    };
    found.ok_or_else(|| Error::not_found("There is no such open shard."))
}
