//! This instance's registered consumer: made, looked after, and ended.
//!
//! One task, the registrar, owns the registration and says through a channel what is to be read
//! from: a consumer, or by polling ([`super::news`]). Readers that find the consumer gone ask it to
//! look. What it asks of the service is in [`super::enrolment`]; that is limited in rate, so every
//! wait here grows and is drawn by chance.

use std::time::Duration;

use ::metrics::{counter, gauge};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::backoff::backoff;
use super::enrolment::Enrolment;
use super::name::{host_name, is_name, own_name};
use super::news::{News, Outlets, Request, Source};
use super::requirements::{HeadRoom, check_stream};
use super::{Config, Error, Mode};
use crate::kinesis::{
    ConsumerArn, ConsumerStatus, ErrorKind, Kinesis, RegisteredConsumer, StreamArn,
};
use crate::telemetry::names;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(2);
const LAST_BACKOFF: Duration = Duration::from_secs(30);

/// Owns the registration.
#[derive(Debug)]
pub(super) struct Registrar {
    kinesis: Kinesis,
    config: Config,
    enrolment: Enrolment,
    stream: Option<StreamArn>,
    consumer: Option<ConsumerArn>,
    has_new_name: bool,
    /// Why polling stands in for a registration.
    stand_in: Option<String>,
    outlets: Outlets,
    rng: fastrand::Rng,
}

impl Registrar {
    pub(super) fn new(kinesis: Kinesis, config: Config) -> Result<(Self, News), Error> {
        let name = match &config.name {
            Some(name) if is_name(name) => name.clone(),
            Some(name) => return Err(Error::Name { name: name.clone() }),
            None => own_name(&host_name()),
        };
        let (outlets, news) = Outlets::new();
        let registrar = Self {
            enrolment: Enrolment::new(
                kinesis.clone(),
                name,
                outlets.facts().instance,
                config.creating_limit,
            ),
            kinesis,
            config,
            stream: None,
            consumer: None,
            has_new_name: false,
            stand_in: None,
            outlets,
            rng: fastrand::Rng::new(),
        };
        Ok((registrar, news))
    }

    /// The consumer's name.
    pub(super) fn name(&self) -> &str {
        self.enrolment.name()
    }

    /// The first attempt, of which only those errors count that trying again would not cure.
    ///
    /// Does not wait for the consumer to become active: [`run`](Self::run) does.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        match self.attempt().await {
            Ok(_) => Ok(()),
            Err(error) if error.is_final_at_start() => Err(error),
            Err(error) => {
                count(&error);
                tracing::warn!(%error, "the consumer cannot start yet");
                self.outlets.tell(Some(error.outline()));
                Ok(())
            }
        }
    }

    /// Keeps the registration until `stop` speaks or is dropped, then ends it.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        stop: oneshot::Receiver<()>,
    ) {
        tokio::select! {
            _ = stop => {}
            () = self.keep(&mut requests) => {}
        }
        self.deregister().await;
    }

    async fn keep(&mut self, requests: &mut mpsc::Receiver<Request>) {
        loop {
            self.establish().await;
            // Something may have changed that no reader takes note of.
            let interval = match &self.stand_in {
                Some(_) => self.config.upgrade_interval,
                None => self.config.check_interval,
            };
            let again = backoff(interval, interval, 1, &mut self.rng);
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.serve(request).await,
                    // No reader is left, nor will be.
                    None => std::future::pending().await,
                },
                () = sleep(again) => {}
            }
        }
    }

    /// Tries until there is something to read from.
    async fn establish(&mut self) {
        let mut failures = 0;
        loop {
            match self.attempt().await {
                Ok(Source::Pending) => match self.activate().await {
                    Ok(source) => return self.publish(source),
                    Err(error) => self.complain(&error),
                },
                Ok(source) => return self.publish(source),
                Err(error) => self.complain(&error),
            }
            failures += 1;
            sleep(backoff(
                FIRST_WAIT * 5,
                LAST_BACKOFF,
                failures,
                &mut self.rng,
            ))
            .await;
        }
    }

    fn complain(&self, error: &Error) {
        count(error);
        tracing::error!(
            consumer = %self.name(), %error,
            "cannot check the stream and this instance's consumer, trying again"
        );
        self.outlets.tell(Some(error.outline()));
    }

    /// What is ours now.
    fn hold(&mut self, consumer: Option<ConsumerArn>) {
        let name = consumer.as_ref().map(|_| self.enrolment.name().into());
        self.consumer = consumer;
        self.outlets.learn(|facts| facts.consumer = name);
    }

    fn publish(&mut self, source: Source) {
        if source != Source::Polling {
            self.stand_in = None;
        }
        self.outlets.tell(self.stand_in.clone());
        self.outlets.publish(source);
    }

    /// One attempt: checks the stream, and registers if need be. [`Source::Pending`] if the
    /// consumer is registered and not active yet.
    async fn attempt(&mut self) -> Result<Source, Error> {
        let stream = self.check_stream().await?;
        if self.config.mode == Mode::Polling {
            return Ok(Source::Polling);
        }
        match self.register(&stream).await {
            Ok(consumer) => {
                let status = consumer.status;
                self.hold(Some(consumer.arn.clone()));
                Ok(if status == ConsumerStatus::Active {
                    Source::Consumer(consumer.arn)
                } else {
                    Source::Pending
                })
            }
            Err(error) if self.config.mode == Mode::Auto && is_final(&error) => {
                if self.outlets.source() != Source::Polling {
                    tracing::warn!(%error, "no registration to be had: polling until there is");
                }
                count(&error);
                Ok(self.stand_in(&error))
            }
            Err(error) => Err(error),
        }
    }

    async fn check_stream(&mut self) -> Result<StreamArn, Error> {
        let summary = match self.kinesis.describe_summary().await {
            Err(error) if error.kind() == ErrorKind::ResourceNotFound => {
                return Err(Error::StreamNotFound {
                    stream: self.kinesis.stream().to_owned(),
                    place: self.kinesis.place().to_owned(),
                });
            }
            other => other?,
        };
        if let Some(room) = HeadRoom::of(&summary) {
            gauge!(names::CONSUMER_REGISTERED).set(f64::from(room.registered));
            gauge!(names::CONSUMER_REGISTERED_LIMIT).set(f64::from(room.limit));
            let wants_one = self.consumer.is_none() && self.config.mode != Mode::Polling;
            if room.is_low() && wants_one && self.stream.is_none() {
                tracing::warn!(
                    registered = room.registered,
                    limit = room.limit,
                    "the stream has about as many consumers as it may have: deregister those that \
                     nobody uses, or start further instances with --consumer polling"
                );
            }
        }
        check_stream(&self.kinesis, &summary)?;
        self.stream = Some(summary.arn.clone());
        let limit = Some(summary.max_record_bytes);
        self.outlets.learn(|facts| facts.record_limit = limit);
        Ok(summary.arn)
    }

    /// Registers the consumer, or finds it registered.
    async fn register(&mut self, stream: &StreamArn) -> Result<RegisteredConsumer, Error> {
        if self.consumer.is_some() {
            // It was there; look before registering, which is the dearer call.
            if let Some(found) = self.enrolment.find(stream).await? {
                return Ok(found);
            }
            self.hold(None);
            tracing::warn!(consumer = %self.name(), "consumer is gone: registering anew");
        }
        self.enrolment.register(stream).await
    }

    /// Waits until the consumer is active.
    async fn activate(&mut self) -> Result<Source, Error> {
        let Some(stream) = self.stream.clone() else {
            return Ok(Source::Pending);
        };
        let give_up = Instant::now() + self.config.activation_limit;
        let mut waits = 0;
        loop {
            let consumer = self.enrolment.describe(&stream).await;
            match consumer {
                Ok(consumer) if consumer.status == ConsumerStatus::Active => {
                    self.hold(Some(consumer.arn.clone()));
                    return Ok(Source::Consumer(consumer.arn));
                }
                // Just registered, it may not be known everywhere yet.
                Err(error)
                    if error.kind() != ErrorKind::ResourceNotFound && !error.is_retryable() =>
                {
                    return Err(error.into());
                }
                Err(error) if Instant::now() >= give_up => return Err(error.into()),
                Ok(_) if Instant::now() >= give_up => {
                    tracing::warn!(consumer = %self.name(), "consumer does not become active");
                    self.hold(None);
                    return self.attempt_polling();
                }
                _ => {}
            }
            waits += 1;
            sleep(backoff(FIRST_WAIT, LAST_WAIT, waits, &mut self.rng)).await;
        }
    }

    /// What stands in for a consumer that does not become active.
    fn attempt_polling(&mut self) -> Result<Source, Error> {
        let error = Error::ConsumerInactive {
            name: self.name().to_owned(),
            after: self.config.activation_limit,
        };
        match self.config.mode {
            Mode::Auto => Ok(self.stand_in(&error)),
            Mode::Enhanced | Mode::Polling => Err(error),
        }
    }

    /// Polling, until there is something better.
    fn stand_in(&mut self, error: &Error) -> Source {
        self.stand_in = Some(format!("polling meanwhile: {}", error.outline()));
        Source::Polling
    }

    async fn serve(&mut self, request: Request) {
        let (Request::Missing(about) | Request::Contended(about)) = &request;
        // Many readers find the same; what was said of a former consumer is settled.
        if self.consumer.as_ref() != Some(about) {
            return;
        }
        if let Request::Contended(_) = request
            && !self.has_new_name
        {
            self.has_new_name = true;
            let before = self.name().to_owned();
            self.enrolment.rename();
            tracing::error!(
                consumer = %before, new_name = %self.name(),
                "another process uses this consumer's name and takes its shards over: registering \
                 under another name; give every instance its own --consumer-name"
            );
            self.hold(None);
        }
        // Not at once again, however many ask.
        sleep(backoff(FIRST_WAIT * 2, FIRST_WAIT * 2, 1, &mut self.rng)).await;
    }

    /// Ends the registration, and with it what is paid for it.
    async fn deregister(&mut self) {
        let Some(stream) = &self.stream else { return };
        // Without one, a registration may be under way, its answer not waited for.
        let is_polling = self.outlets.source() == Source::Polling;
        if self.consumer.is_none() && (self.config.mode == Mode::Polling || is_polling) {
            return;
        }
        let end = self.enrolment.end(stream, self.consumer.as_ref());
        let consumer = self.name();
        match timeout(self.config.deregister_limit, end).await {
            Ok(Ok(())) => tracing::info!(consumer, "deregistered"),
            Ok(Err(error)) if error.kind() == ErrorKind::ResourceNotFound => {}
            Ok(Err(error)) => {
                tracing::warn!(consumer, %error, "could not deregister; it is billed");
            }
            Err(_) => tracing::warn!(consumer, "no time to deregister; it is billed"),
        }
    }
}

/// Whether no registration can be had, so that `auto` polls.
fn is_final(error: &Error) -> bool {
    match error {
        Error::ConsumerLimit { .. } => true,
        Error::Kinesis(error) => error.kind() == ErrorKind::AccessDenied,
        _ => false,
    }
}

fn count(error: &Error) {
    counter!(names::CONSUMER_ERRORS, "kind" => error.kind()).increment(1);
}
