//! `chat-room doctor`: whether the stream, the credentials and the permissions are what the
//! program needs, one line each, with what to do about it.
//!
//! Asks and never changes: see [`kinesis::Permission`] for how. What cannot be asked without doing
//! it is said to be unchecked.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use tokio::runtime;

use super::{Error, stream, system};
use crate::config::{Consumer, Settings, Start};
use crate::consumer::{self, HeadRoom};
use crate::kinesis::{
    self, Distribution, ErrorKind, Kinesis, Permission, Shard, ShardId, StreamArn, Summary, Verdict,
};

/// Readers begin so long before what they show, to know repeats by their ids.
const PREFILL: Duration = Duration::from_mins(10);

/// How one check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    mark: Mark,
    what: &'static str,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Ok => "ok  ",
            Mark::Warn => "warn",
            Mark::Fail => "fail",
        };
        write!(f, "{mark} {}: {}", self.what, self.text)
    }
}

fn ok(what: &'static str, text: impl Into<String>) -> Finding {
    finding(Mark::Ok, what, text)
}

fn warn(what: &'static str, text: impl Into<String>) -> Finding {
    finding(Mark::Warn, what, text)
}

fn fail(what: &'static str, text: impl Into<String>) -> Finding {
    finding(Mark::Fail, what, text)
}

fn finding(mark: Mark, what: &'static str, text: impl Into<String>) -> Finding {
    let text = text.into();
    Finding { mark, what, text }
}

/// Checks all, prints a line each, and tells whether nothing failed.
///
/// # Errors
/// [`Error`] if the program cannot even set itself up to look.
pub fn examine(settings: &Settings) -> Result<bool, Error> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("a runtime"))?;
    let findings = runtime.block_on(look(settings))?;
    let mut out = io::stdout().lock();
    for finding in &findings {
        // Without anywhere to write to, the exit code has to do.
        let _ = writeln!(out, "{finding}");
    }
    let _ = out.flush();
    Ok(!findings.iter().any(|finding| finding.mark == Mark::Fail))
}

async fn look(settings: &Settings) -> Result<Vec<Finding>, Error> {
    let kinesis = match Box::pin(stream::connect(settings)).await {
        Ok((kinesis, _listener)) => kinesis,
        Err(Error::Kinesis(error)) => return Ok(vec![fail("connection", error.to_string())]),
        Err(error) => return Err(error),
    };
    let mut findings = Vec::new();
    let summary = match kinesis.describe_summary().await {
        Ok(summary) => summary,
        Err(error) => {
            findings.extend(without_summary(&kinesis, &error));
            return Ok(findings);
        }
    };
    findings.push(ok("credentials", "accepted"));
    findings.extend(of_stream(&kinesis, &summary, settings));
    let shards = kinesis.list_shards().await;
    findings.push(of_shards(&shards));
    findings.push(of_head_room(HeadRoom::of(&summary), settings.consumer));
    let shards = shards.unwrap_or_default();
    let open = shards.iter().find(|shard| shard.is_open());
    let open = open.map(|shard| &shard.id);
    Box::pin(permissions(
        &kinesis,
        &summary.arn,
        open,
        settings,
        &mut findings,
    ))
    .await;
    Ok(findings)
}

/// What to make of it that nothing could be learnt of the stream.
fn without_summary(kinesis: &Kinesis, error: &kinesis::Error) -> Vec<Finding> {
    let accepted = ok("credentials", "accepted");
    match error.kind() {
        ErrorKind::NoCredentials
        | ErrorKind::Credentials
        | ErrorKind::CredentialsExpired
        | ErrorKind::Region => vec![fail("credentials", error.to_string())],
        ErrorKind::ResourceNotFound => {
            let error = consumer::Error::StreamNotFound {
                stream: kinesis.stream().to_owned(),
                place: kinesis.place().to_owned(),
            };
            vec![accepted, fail("stream", error.to_string())]
        }
        ErrorKind::AccessDenied => vec![
            accepted,
            fail("permission DescribeStreamSummary", error.to_string()),
        ],
        _ => vec![fail("connection", error.to_string())],
    }
}

fn of_stream(kinesis: &Kinesis, summary: &Summary, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (stream, place) = (kinesis.stream(), kinesis.place());
    match consumer::check_stream(kinesis, summary) {
        Ok(()) => {
            let mode = if summary.on_demand {
                "on demand"
            } else {
                "provisioned"
            };
            findings.push(ok("stream", format!("{stream} in {place}, {mode}")));
        }
        Err(error @ consumer::Error::AutoDistribution { .. }) => {
            findings.push(ok("stream", format!("{stream} in {place}")));
            findings.push(fail("distribution", error.to_string()));
        }
        Err(error @ consumer::Error::StreamCreating { .. }) => {
            findings.push(warn("stream", format!("{error}; wait")));
        }
        Err(error) => findings.push(fail("stream", error.to_string())),
    }
    match summary.distribution {
        Distribution::PartitionKey => {
            findings.push(ok(
                "distribution",
                "by partition key, so a room has an order",
            ));
        }
        Distribution::Auto => {}
        Distribution::Unknown => findings.push(warn(
            "distribution",
            "of a kind that this version does not know; a room has an order only if records find \
             their shard by partition key",
        )),
    }
    findings.push(of_retention(summary.retention, settings.start));
    findings
}

fn of_retention(retention: Duration, start: Start) -> Finding {
    let kept = humantime::format_duration(retention);
    let back = match start {
        Start::Ago(time) => time + PREFILL,
        Start::Latest => PREFILL,
        Start::TrimHorizon => Duration::ZERO,
    };
    if back > retention {
        warn(
            "retention",
            format!(
                "{kept}, less than --start with ten minutes before it: make the stream keep \
                 records longer, or start less far back"
            ),
        )
    } else {
        ok("retention", format!("{kept}"))
    }
}

fn of_shards(shards: &Result<Vec<Shard>, kinesis::Error>) -> Finding {
    match shards {
        Ok(shards) => {
            let open = shards.iter().filter(|shard| shard.is_open()).count();
            let closed = shards.len() - open;
            if open == 0 {
                return fail("shards", "none is open: wait until the stream is there");
            }
            ok("shards", format!("{open} open, {closed} closed"))
        }
        Err(error) => fail("shards", error.to_string()),
    }
}

fn of_head_room(room: Option<HeadRoom>, mode: Consumer) -> Finding {
    const WHAT: &str = "consumers";
    let Some(room) = room else {
        return warn(
            WHAT,
            "not checked: the service does not say how many are registered",
        );
    };
    let HeadRoom { registered, limit } = room;
    let count = format!("{registered} of {limit} registered");
    let advice = "deregister those that nobody uses, or start further instances with --consumer \
                  polling";
    match mode {
        Consumer::Polling => ok(WHAT, format!("{count}; this instance needs none")),
        Consumer::Enhanced if room.left() == 0 => fail(WHAT, format!("{count}: {advice}")),
        Consumer::Auto if room.left() == 0 => {
            warn(WHAT, format!("{count}, so this instance polls: {advice}"))
        }
        _ if room.is_low() => warn(WHAT, format!("{count}: {advice}")),
        _ => ok(WHAT, count),
    }
}

async fn permissions(
    kinesis: &Kinesis,
    stream: &StreamArn,
    shard: Option<&ShardId>,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) {
    let put = kinesis.probe(Permission::Put).await;
    let knows_dry_runs = !matches!(put, Ok(Verdict::Done));
    findings.push(of_permission(Permission::Put, &put));
    let polls = settings.consumer != Consumer::Enhanced;
    let registers = settings.consumer != Consumer::Polling;
    if let Some(shard) = shard {
        if polls {
            let permission = Permission::Poll(shard);
            findings.push(of_permission(permission, &kinesis.probe(permission).await));
        }
        if registers && knows_dry_runs {
            let permission = Permission::Subscribe(stream, shard);
            findings.push(of_permission(permission, &kinesis.probe(permission).await));
        } else if registers {
            findings.push(warn(
                "permission SubscribeToShard",
                "not checked: the service passes over DryRun",
            ));
        }
    }
    if !registers {
        return;
    }
    for permission in [
        Permission::DescribeConsumer(stream),
        Permission::Deregister(stream),
    ] {
        findings.push(of_permission(permission, &kinesis.probe(permission).await));
    }
    findings.push(warn(
        "permission RegisterStreamConsumer",
        "not checked: it cannot be asked without doing it",
    ));
    listing(kinesis, stream, findings).await;
}

fn of_permission(permission: Permission<'_>, verdict: &Result<Verdict, kinesis::Error>) -> Finding {
    let what = match permission {
        Permission::Put => "permission PutRecords",
        Permission::Poll(_) => "permission GetShardIterator, GetRecords",
        Permission::Subscribe(..) => "permission SubscribeToShard",
        Permission::DescribeConsumer(_) => "permission DescribeStreamConsumer",
        Permission::Deregister(_) => "permission DeregisterStreamConsumer",
    };
    match verdict {
        Ok(Verdict::Done) if permission == Permission::Put => warn(
            what,
            "allowed; but the service passes over DryRun, so a record was written, which readers \
             skip",
        ),
        Ok(Verdict::Allowed | Verdict::Done) => ok(what, "allowed"),
        Err(error) => match error.kind() {
            ErrorKind::AccessDenied | ErrorKind::Kms => fail(what, error.to_string()),
            _ => warn(what, format!("not checked: {error}")),
        },
    }
}

/// What only finding the consumers of dead instances needs.
async fn listing(kinesis: &Kinesis, stream: &StreamArn, findings: &mut Vec<Finding>) {
    const LIST: &str = "permission ListStreamConsumers";
    const TAGS: &str = "permission ListTagsForResource";
    let consumers = match kinesis.list_consumers(stream).await {
        Ok(consumers) => consumers,
        Err(error) => {
            let text = format!("{error}; without it nobody ends what dead instances leave behind");
            findings.push(warn(LIST, text));
            return;
        }
    };
    findings.push(ok(LIST, "allowed"));
    findings.push(match consumers.first() {
        None => warn(TAGS, "not checked: there is no consumer to ask about"),
        Some(consumer) => match kinesis.tags(consumer).await {
            Ok(_) => ok(TAGS, "allowed"),
            Err(error) => warn(
                TAGS,
                format!("{error}; consumers of dead instances are known by name only"),
            ),
        },
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_that_begins_with_how_it_came_out() {
        assert_eq!(ok("a", "b").to_string(), "ok   a: b");
        assert_eq!(warn("a", "b").to_string(), "warn a: b");
        assert_eq!(fail("a", "b").to_string(), "fail a: b");
    }

    #[test]
    fn want_of_head_room_fails_only_where_nothing_else_will_do() {
        let room = |registered| {
            Some(HeadRoom {
                registered,
                limit: 20,
            })
        };
        for (registered, mode, mark) in [
            (3, Consumer::Auto, Mark::Ok),
            (18, Consumer::Enhanced, Mark::Warn),
            (20, Consumer::Enhanced, Mark::Fail),
            (20, Consumer::Auto, Mark::Warn),
            (20, Consumer::Polling, Mark::Ok),
        ] {
            let finding = of_head_room(room(registered), mode);
            assert_eq!(finding.mark, mark, "{registered} {mode:?}");
        }
        assert_eq!(of_head_room(None, Consumer::Auto).mark, Mark::Warn);
    }

    #[test]
    fn a_look_back_past_retention_is_told() {
        let day = Duration::from_hours(24);
        let ago = |hours| Start::Ago(Duration::from_hours(hours));
        assert_eq!(of_retention(day, ago(1)).mark, Mark::Ok);
        assert_eq!(of_retention(day, ago(24)).mark, Mark::Warn);
        assert_eq!(of_retention(day, Start::TrimHorizon).mark, Mark::Ok);
        assert_eq!(of_retention(day, ago(1)).text, "1day");
    }

    #[tokio::test]
    async fn with_the_embedded_stream_nothing_fails() {
        let settings = Settings::load([], None, []).unwrap();
        let findings = look(&settings).await.unwrap();
        assert!(findings.len() >= 10, "{findings:#?}");
        for finding in findings {
            let unchecked = finding.text.starts_with("not checked");
            assert!(finding.mark == Mark::Ok || unchecked, "{finding}");
        }
    }
}
