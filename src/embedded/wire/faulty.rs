//! A call under faults: what the rules decide is carried out here, and counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use tokio::time::sleep;

use super::body::Body;
use super::format::Format;
use super::line::{Fate, Line};
use super::{Head, Request, answer, error_response};
use crate::embedded::faults::{self, Fault, Moment, Rule, Subject};
use crate::embedded::operations::{Context, Operation, records};
use crate::embedded::store::of_partition_key;
use crate::embedded::{Error, ErrorKind, Service};

/// How long a caller is let wait who is to wait for ever.
pub(super) const FOR_EVER: Duration = Duration::from_mins(5);

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// Its connection is to be reset.
    #[error("the connection was reset, as asked for")]
    Connection,
    /// Its stream is to be reset, if the connection has streams.
    #[error("the stream was reset, as asked for")]
    Stream,
}

/// Answers one request, unless a fault comes in between.
pub(super) async fn respond(
    service: &Service,
    head: &Head<'_>,
    body: Bytes,
    line: &Arc<Line>,
) -> Result<Response<Body>, Broken> {
    let request = match Request::of(service, head) {
        Ok(request) => request,
        Err(error) => return Ok(error_response(head.format(), &error)),
    };
    let peek = peek(request.format, &body);
    let mut call = Call {
        service,
        line,
        body: &body,
        records: peek.records.len(),
        subject: subject(service, &request, peek),
        request,
    };
    for rule in service.board().at(Moment::Call(&call.subject)) {
        if let Some(end) = call.strike(&rule).await {
            return end;
        }
    }
    Ok(answer(service, &call.request, &body, line).await)
}

struct Call<'a> {
    service: &'a Service,
    line: &'a Arc<Line>,
    body: &'a Bytes,
    /// How many it carries.
    records: usize,
    request: Request,
    subject: Subject,
}

impl Call<'_> {
    /// Lets a fault strike; something, if that is the end of the call.
    async fn strike(&mut self, rule: &Rule) -> Option<Result<Response<Body>, Broken>> {
        let refuse = |error: Error| {
            self.occurred(rule);
            Some(Ok(error_response(self.request.format, &error)))
        };
        match rule.fault {
            Fault::Throttle => refuse(throttled(self.request.operation)),
            Fault::InternalError => refuse(Error::new(
                ErrorKind::InternalFailure,
                "A fault was asked for.",
            )),
            Fault::Refuse => refuse(rule.exception()),
            Fault::InUse => refuse(Error::in_use(
                "Another active subscription exists for this consumer, it is pretended.",
            )),
            Fault::TrimmedStart => refuse(Error::invalid_argument(
                "The sequence number is past retention, it is pretended.",
            )),
            Fault::ExpiredIterator => refuse(Error::new(
                ErrorKind::ExpiredIterator,
                "Iterator expired, it is pretended.",
            )),
            Fault::Delay => {
                self.occurred(rule);
                sleep(rule.wait()).await;
                None
            }
            Fault::ThrottleRecords => {
                self.request.refused = self.refused(rule);
                (!self.request.refused.is_empty()).then(|| self.occurred(rule));
                None
            }
            Fault::Reset => {
                self.occurred(rule);
                Some(Err(Broken::Connection))
            }
            Fault::StreamReset => {
                self.occurred(rule);
                Some(Err(Broken::Stream))
            }
            Fault::AnswerLost | Fault::AnswerNever => self.answer_in_vain(rule).await,
            Fault::LateWrite => {
                self.occurred(rule);
                self.write_later(rule);
                Some(never().await)
            }
            Fault::GoAway => {
                if self.line.strike(Fate::GoingAway(rule.delay())) {
                    self.occurred(rule);
                }
                None
            }
            Fault::BlackHole => {
                if self.line.strike(Fate::BlackHoled(rule.delay())) {
                    self.occurred(rule);
                }
                Some(never().await)
            }
            Fault::Split | Fault::Merge | Fault::Deregister | Fault::Trim => {
                faults::change(self.service, rule, &self.subject);
                None
            }
            // These strike elsewhere.
            Fault::Silent
            | Fault::EarlyEnd
            | Fault::Exception
            | Fault::Duplicate
            | Fault::FewStreams
            | Fault::Deleting
            | Fault::AutoDistribution => None,
        }
    }

    fn occurred(&self, rule: &Rule) {
        self.service.board().occurred(rule);
    }

    /// Carries the call out and keeps the answer to itself, unless it is an error: then nothing was lost.
    async fn answer_in_vain(&self, rule: &Rule) -> Option<Result<Response<Body>, Broken>> {
        let response = answer(self.service, &self.request, self.body, self.line).await;
        if !response.status().is_success() {
            return Some(Ok(response));
        }
        self.occurred(rule);
        if rule.fault == Fault::AnswerLost {
            return Some(Err(Broken::Connection));
        }
        let ended = never().await;
        // Till now, so that a subscription stays one.
        drop(response);
        Some(ended)
    }

    fn write_later(&self, rule: &Rule) {
        let service = self.service.downgrade();
        let (line, body) = (Arc::clone(self.line), self.body.clone());
        let request = Request {
            refused: Vec::new(),
            ..self.request.clone()
        };
        self.service.board().later(rule.wait(), async move {
            if let Some(service) = service.upgrade() {
                drop(answer(&service, &request, &body, &line).await);
            }
        });
    }

    fn refused(&self, rule: &Rule) -> Vec<bool> {
        self.service.board().refused(rule, self.records)
    }
}

async fn never() -> Result<Response<Body>, Broken> {
    sleep(FOR_EVER).await;
    Err(Broken::Connection)
}

/// What the service says when an operation is called too often.
fn throttled(operation: Operation) -> Error {
    let kind = match operation {
        Operation::PutRecord
        | Operation::PutRecords
        | Operation::GetRecords
        | Operation::GetShardIterator => ErrorKind::ProvisionedThroughputExceeded,
        _ => ErrorKind::LimitExceeded,
    };
    Error::new(kind, "Rate exceeded, it is pretended.")
}

/// What of a request tells whom it is about. The rest, and what is malformed, is for the operation to see.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Peek {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
    consumer_name: Option<String>,
    shard_id: Option<String>,
    shard_iterator: Option<String>,
    shard_iterator_type: Option<String>,
    starting_position: Option<PeekPosition>,
    partition_key: Option<String>,
    explicit_hash_key: Option<String>,
    records: Vec<PeekRecord>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PeekPosition {
    r#type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PeekRecord {
    partition_key: Option<String>,
    explicit_hash_key: Option<String>,
}

fn peek(format: Format, body: &[u8]) -> Peek {
    format.decode(body).unwrap_or_default()
}

/// What a request is about. Records belong to the shard of the first of them.
fn subject(service: &Service, request: &Request, peek: Peek) -> Subject {
    let caller = &request.caller;
    let context = Context { service, caller };
    let of_arn = |arn: &String| context.stream_of_arn(arn).ok().map(str::to_owned);
    let consumer = peek.consumer_arn.as_ref();
    let consumer = consumer.and_then(|arn| context.consumer_of_arn(arn).ok());
    let iterator = peek.shard_iterator.as_ref();
    let iterator = iterator.and_then(|token| records::of_iterator(service, token));
    let stream = peek
        .stream_name
        .or_else(|| peek.stream_arn.as_ref().and_then(of_arn))
        .or_else(|| consumer.map(|named| named.stream.to_owned()))
        .or_else(|| iterator.as_ref().map(|(stream, _)| stream.clone()));
    let first = peek.records.into_iter().next();
    let (key, hash) = first.map_or((peek.partition_key, peek.explicit_hash_key), |first| {
        (first.partition_key, first.explicit_hash_key)
    });
    let hash = hash
        .and_then(|hash| hash.parse().ok())
        .or_else(|| key.map(|key| of_partition_key(&key)));
    let owner = || {
        let (stream, hash) = (stream.as_deref()?, hash?);
        service.with(|store, now| {
            let stream = store.stream(stream, now).ok()?;
            let mut open = stream.open_shards();
            let owner = open.find(|shard| (shard.range.start..=shard.range.end).contains(&hash))?;
            Some(owner.id.to_string())
        })
    };
    let shard = peek.shard_id.or_else(|| iterator.map(|(_, shard)| shard));
    let position = peek.starting_position.and_then(|position| position.r#type);
    let position = position.or(peek.shard_iterator_type);
    Subject {
        operation: Some(request.operation),
        shard: shard.or_else(owner),
        consumer: consumer
            .map(|named| named.consumer.to_owned())
            .or(peek.consumer_name),
        resumes: position.is_some_and(|position| position.ends_with("SEQUENCE_NUMBER")),
        stream,
    }
}
