//! The constraints of the service model, and how their violation is worded.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::embedded::store::{Resource, Sequence, shard_number};
use crate::embedded::{Config, Error, ErrorKind};

/// What `StreamName`, `ShardId` and `ConsumerName` are made of: 1–128 of `[a-zA-Z0-9_.-]`.
const NAME_LENGTH: RangeInclusive<usize> = 1..=128;
/// Longest piece of a client's input that is put into a message.
const SHOWN: usize = 128;

fn violation(member: &str, value: &dyn Display, constraint: &str) -> Error {
    let value: String = value.to_string().chars().take(SHOWN).collect();
    Error::validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
    ))
}

/// A member that must be there.
pub(crate) fn required<T>(member: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| {
        Error::validation(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

/// A name of a stream, shard or consumer.
pub(crate) fn name(member: &str, value: &str) -> Result<(), Error> {
    if !NAME_LENGTH.contains(&value.len()) {
        return Err(violation(
            member,
            &value,
            "Member must have length between 1 and 128",
        ));
    }
    if !value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    {
        return Err(violation(
            member,
            &value,
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
        ));
    }
    Ok(())
}

/// A whole number within bounds.
pub(crate) fn integer(member: &str, value: i64, bounds: RangeInclusive<u32>) -> Result<u32, Error> {
    let within = u32::try_from(value)
        .ok()
        .filter(|value| bounds.contains(value));
    within.ok_or_else(|| {
        let (low, high) = (bounds.start(), bounds.end());
        violation(
            member,
            &value,
            &format!("Member must have value between {low} and {high}"),
        )
    })
}

/// One word of a list.
pub(crate) fn one_of<T: Copy>(member: &str, value: &str, words: &[(&str, T)]) -> Result<T, Error> {
    let found = words.iter().find(|(word, _)| *word == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        violation(
            member,
            &value,
            &format!("Member must satisfy enum value set: [{}]", words.join(", ")),
        )
    })
}

/// A shard's id: a name that need not be one this service gives. None where it cannot be.
pub(crate) fn shard(member: &str, value: &str) -> Result<Option<u32>, Error> {
    name(member, value)?;
    Ok(shard_number(value))
}

/// A hash key: a decimal number below 2^128.
pub(crate) fn hash_key(member: &str, value: &str) -> Result<u128, Error> {
    // The pattern `0|([1-9]\d{0,38})` has no leading zeros and no signs.
    let digits = (1..=39).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_digit())
        && (value == "0" || !value.starts_with('0'));
    if !digits {
        return Err(violation(
            member,
            &value,
            "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})",
        ));
    }
    value.parse().map_err(|_| {
        Error::invalid_argument(format!(
            "Invalid {member}. It must be in the range: [0, 2^128-1]. Specified value was {value}"
        ))
    })
}

/// A sequence number.
pub(crate) fn sequence(member: &str, value: &str) -> Result<Sequence, Error> {
    let digits = (1..=129).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_digit())
        && (value == "0" || !value.starts_with('0'));
    if !digits {
        return Err(violation(
            member,
            &value,
            "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,128})",
        ));
    }
    value
        .parse()
        .map_err(|_| Error::invalid_argument(format!("{member} {value} is invalid.")))
}

/// A partition key: 1–256 characters.
pub(crate) fn partition_key(member: &str, value: &str) -> Result<(), Error> {
    // Bytes bound characters, so the common short key is not counted.
    if value.is_empty() || (value.len() > 256 && value.chars().count() > 256) {
        return Err(violation(
            member,
            &value,
            "Member must have length between 1 and 256",
        ));
    }
    Ok(())
}

/// A shard iterator: 1–512 characters.
pub(crate) fn iterator(value: &str) -> Result<(), Error> {
    if value.is_empty() || (value.len() > 512 && value.chars().count() > 512) {
        return Err(violation(
            "shardIterator",
            &value,
            "Member must have length between 1 and 512",
        ));
    }
    Ok(())
}

/// Which stream is meant: its name, its ARN, or both if they agree.
pub(crate) fn stream(
    config: &Config,
    by_name: Option<String>,
    by_arn: Option<&str>,
) -> Result<String, Error> {
    if let Some(value) = &by_name {
        name("streamName", value)?;
    }
    match (by_name, by_arn) {
        (None, None) => Err(Error::invalid_argument(
            "Either StreamName or StreamARN must be specified.",
        )),
        (Some(value), None) => Ok(value),
        (None, Some(arn)) => Ok(stream_of_arn(config, arn)?.to_owned()),
        (Some(value), Some(arn)) if stream_of_arn(config, arn)? == value => Ok(value),
        (Some(_), Some(_)) => Err(Error::invalid_argument(
            "StreamName and StreamARN do not name the same stream.",
        )),
    }
}

/// The name in a stream's ARN, if the ARN is of this account and region.
pub(crate) fn stream_of_arn<'a>(config: &Config, arn: &'a str) -> Result<&'a str, Error> {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", partition, "kinesis", region, account, resource] = parts.as_slice() else {
        return Err(malformed_arn("streamARN", arn));
    };
    let stream = resource
        .strip_prefix("stream/")
        .filter(|_| partition.starts_with("aws"));
    let stream = stream
        .filter(|stream| name("streamARN", stream).is_ok())
        .ok_or_else(|| malformed_arn("streamARN", arn))?;
    if *account != config.account || *region != config.region || *partition != "aws" {
        return Err(Error::not_found(format!(
            "Stream {stream} under account {account} not found."
        )));
    }
    Ok(stream)
}

/// The stream's name and the consumer's name in a consumer's ARN.
pub(crate) fn consumer_of_arn<'a>(
    config: &Config,
    arn: &'a str,
) -> Result<(&'a str, &'a str), Error> {
    let malformed = || malformed_arn("consumerARN", arn);
    let (stream, consumer) = arn.split_once("/consumer/").ok_or_else(malformed)?;
    let stream = stream_of_arn(config, stream).map_err(|error| match error.kind() {
        ErrorKind::Validation => malformed(),
        _ => error,
    })?;
    let (consumer, second) = consumer.rsplit_once(':').ok_or_else(malformed)?;
    if name("consumerARN", consumer).is_err()
        || second.is_empty()
        || !second.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(malformed());
    }
    Ok((stream, consumer))
}

/// What tags can be on, by its ARN: a stream or a consumer. Of channels and queues there are none.
pub(crate) fn resource_of_arn<'a>(config: &Config, arn: &'a str) -> Result<Resource<'a>, Error> {
    let missing = || Error::not_found(format!("Resource {arn} not found."));
    if !arn.contains("/consumer/") {
        let stream = stream_of_arn(config, arn).map_err(|_| missing())?;
        return Ok(Resource {
            stream,
            consumer: None,
        });
    }
    let (stream, consumer) = consumer_of_arn(config, arn).map_err(|_| missing())?;
    let second = arn
        .rsplit_once(':')
        .and_then(|(_, second)| second.parse().ok());
    Ok(Resource {
        stream,
        consumer: Some((consumer, second.ok_or_else(missing)?)),
    })
}

fn malformed_arn(member: &str, arn: &str) -> Error {
    violation(
        member,
        &arn,
        "Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:.*stream/\\S+",
    )
}

/// Answers a dry run, which by now would have been allowed. Nothing has been changed.
pub(crate) fn dry_run(asked: Option<bool>) -> Result<(), Error> {
    if asked == Some(true) {
        return Err(Error::new(
            ErrorKind::DryRunOperation,
            "The request would have succeeded, but the DryRun flag is set.",
        ));
    }
    Ok(())
}
