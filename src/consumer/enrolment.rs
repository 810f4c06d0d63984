//! What is asked of the service about this instance's registered consumer.
//!
//! Limits (Kinesis API reference): `RegisterStreamConsumer` 5 calls a second and account, at most
//! 5 consumers being created at once, 20 or 50 a stream; `DescribeStreamConsumer` 20 calls a
//! second.

use std::time::Duration;

use ::metrics::counter;
use tokio::time::Instant;
use uuid::Uuid;

use super::Error;
use super::name::{self, own_name};
use crate::kinesis::{
    self, ConsumerArn, ConsumerStatus, ErrorKind, Kinesis, RegisteredConsumer, StreamArn,
};
use crate::message::Timestamp;
use crate::telemetry::names;

/// So many consumers may be in CREATING at once.
const MOST_CREATING: usize = 5;

/// This instance's consumer, by its name, as the service is asked about it.
#[derive(Debug)]
pub(super) struct Enrolment {
    kinesis: Kinesis,
    name: String,
    instance: Uuid,
    started: Timestamp,
    /// Whether the policy lets us tag what we register, as far as is known.
    may_tag: bool,
    /// Since when too many consumers are being created, and for how long that is waited out.
    creating_since: Option<Instant>,
    creating_limit: Duration,
}

impl Enrolment {
    pub(super) fn new(
        kinesis: Kinesis,
        name: String,
        instance: Uuid,
        creating_limit: Duration,
    ) -> Self {
        Self {
            kinesis,
            name,
            instance,
            started: Timestamp::now(),
            may_tag: true,
            creating_since: None,
            creating_limit,
        }
    }

    /// The consumer's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes another name, made of the one it had.
    pub(super) fn rename(&mut self) {
        self.name = own_name(&self.name);
    }

    /// Registers the consumer, or finds it registered.
    pub(super) async fn register(
        &mut self,
        stream: &StreamArn,
    ) -> Result<RegisteredConsumer, Error> {
        match self.register_tagged(stream).await {
            Ok(registered) => {
                self.creating_since = None;
                counter!(names::CONSUMER_REGISTRATIONS).increment(1);
                tracing::info!(consumer = %registered.arn, "registered");
                Ok(registered)
            }
            // There is one of this name: of an earlier run, perhaps, or on its way out.
            Err(error) if error.kind() == ErrorKind::ResourceInUse => {
                let found = self.find(stream).await?.ok_or(error)?;
                tracing::info!(consumer = %found.arn, "already registered");
                Ok(found)
            }
            // The same name stands for too many calls.
            Err(error)
                if error.kind() == ErrorKind::LimitExceeded && !error.says("Rate exceeded") =>
            {
                Err(self.explain_limit(stream).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn register_tagged(
        &mut self,
        stream: &StreamArn,
    ) -> Result<RegisteredConsumer, kinesis::Error> {
        if self.may_tag {
            let tags = name::tags(self.instance, self.started);
            let tags = tags.each_ref().map(|(key, value)| (*key, value.as_str()));
            let registered = self.kinesis.register_consumer(stream, &self.name, &tags);
            match registered.await {
                Err(error) if error.kind() == ErrorKind::AccessDenied => {
                    // Tags may be what is not allowed.
                    tracing::warn!(%error, "cannot register with tags, trying without");
                }
                other => return other,
            }
        }
        let registered = self.kinesis.register_consumer(stream, &self.name, &[]);
        let registered = registered.await;
        if registered.is_ok() {
            self.may_tag = false;
        }
        registered
    }

    /// The consumer of our name, unless it is going away.
    pub(super) async fn find(
        &self,
        stream: &StreamArn,
    ) -> Result<Option<RegisteredConsumer>, Error> {
        match self.describe(stream).await {
            Ok(found) => Ok((found.status != ConsumerStatus::Deleting).then_some(found)),
            Err(error) if error.kind() == ErrorKind::ResourceNotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Which limit it is: that of consumers in CREATING is soon over, but not waited out for ever.
    async fn explain_limit(&mut self, stream: &StreamArn) -> Result<Error, Error> {
        let registered = self.kinesis.list_consumers(stream).await?;
        let is_creating = |c: &&RegisteredConsumer| c.status == ConsumerStatus::Creating;
        let creating = registered.iter().filter(is_creating).count();
        let since = *self.creating_since.get_or_insert_with(Instant::now);
        Ok(
            if creating >= MOST_CREATING && since.elapsed() < self.creating_limit {
                Error::ConsumersCreating { creating }
            } else {
                Error::ConsumerLimit {
                    stream: self.kinesis.stream().to_owned(),
                    registered: registered.len(),
                }
            },
        )
    }

    /// How it is now.
    pub(super) async fn describe(
        &self,
        stream: &StreamArn,
    ) -> Result<RegisteredConsumer, kinesis::Error> {
        self.kinesis.describe_consumer(stream, &self.name).await
    }

    /// Ends the registration; by its name if it is not known as what.
    pub(super) async fn end(
        &self,
        stream: &StreamArn,
        consumer: Option<&ConsumerArn>,
    ) -> Result<(), kinesis::Error> {
        let arn = match consumer {
            Some(arn) => arn.clone(),
            None => self.describe(stream).await?.arn,
        };
        self.kinesis.deregister_consumer(&arn).await
    }
}
