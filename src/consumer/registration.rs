//! This instance's registered consumer: made, looked after, and ended.
//!
//! One task, the registrar, owns the registration and says through a channel what is to be read
//! from: a consumer, or by polling. Readers that find the consumer gone ask it to look.
//!
//! Limits (Kinesis API reference): `RegisterStreamConsumer` 5 calls a second and account, at most
//! 5 consumers being created at once, 20 or 50 a stream; `DescribeStreamConsumer` 20 calls a
//! second. So every wait here grows and is drawn by chance.

use std::time::Duration;

use ::metrics::{counter, gauge};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::backoff::backoff;
use super::name::{self, host_name, is_name, own_name};
use super::requirements::{HeadRoom, check_stream};
use super::{Config, Error, Facts, Mode};
use crate::kinesis::{
    self, ConsumerArn, ConsumerStatus, ErrorKind, Kinesis, RegisteredConsumer, StreamArn,
};
use crate::message::Timestamp;
use crate::telemetry::names;

/// So many consumers may be in CREATING at once.
const MOST_CREATING: usize = 5;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(2);
const LAST_BACKOFF: Duration = Duration::from_secs(30);

/// What is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nothing yet.
    Pending,
    /// A registered consumer, which is active.
    Consumer(ConsumerArn),
    /// The shards themselves.
    Polling,
}

/// What readers ask for.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// The consumer, or the shard, is not there: look.
    Missing(ConsumerArn),
    /// Another process uses this consumer's name for good.
    Contended(ConsumerArn),
}

/// What the registrar tells.
#[derive(Debug)]
pub(super) struct News {
    pub(super) source: watch::Receiver<Source>,
    /// What keeps it from registering.
    pub(super) problem: watch::Receiver<Option<String>>,
    pub(super) facts: watch::Receiver<Facts>,
}

/// Owns the registration.
#[derive(Debug)]
pub(super) struct Registrar {
    kinesis: Kinesis,
    config: Config,
    name: String,
    stream: Option<StreamArn>,
    consumer: Option<ConsumerArn>,
    /// Since when too many consumers are being created.
    creating_since: Option<Instant>,
    has_new_name: bool,
    started: Timestamp,
    /// Whether the policy lets us tag what we register, as far as is known.
    may_tag: bool,
    /// Why polling stands in for a registration.
    stand_in: Option<String>,
    source: watch::Sender<Source>,
    problem: watch::Sender<Option<String>>,
    facts: watch::Sender<Facts>,
    rng: fastrand::Rng,
}

impl Registrar {
    pub(super) fn new(kinesis: Kinesis, config: Config) -> Result<(Self, News), Error> {
        let name = match &config.name {
            Some(name) if is_name(name) => name.clone(),
            Some(name) => return Err(Error::Name { name: name.clone() }),
            None => own_name(&host_name()),
        };
        let (source, source_news) = watch::channel(Source::Pending);
        let (problem, problem_news) = watch::channel(None);
        let (facts, facts_news) = watch::channel(Facts::new());
        let registrar = Self {
            kinesis,
            config,
            name,
            stream: None,
            consumer: None,
            creating_since: None,
            has_new_name: false,
            started: Timestamp::now(),
            may_tag: true,
            stand_in: None,
            source,
            problem,
            facts,
            rng: fastrand::Rng::new(),
        };
        let news = News {
            source: source_news,
            problem: problem_news,
            facts: facts_news,
        };
        Ok((registrar, news))
    }

    /// The consumer's name.
    pub(super) fn name(&self) -> &str {
        &self.name
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
                self.problem.send_replace(Some(error.outline()));
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
            consumer = %self.name, %error,
            "cannot check the stream and this instance's consumer, trying again"
        );
        self.tell(Some(error.outline()));
    }

    fn tell(&self, problem: Option<String>) {
        self.problem.send_if_modified(|current| {
            let changed = *current != problem;
            *current = problem;
            changed
        });
    }

    /// What is ours now; the others learn it by our heartbeats.
    fn hold(&mut self, consumer: Option<ConsumerArn>) {
        let name = consumer.as_ref().map(|_| self.name.as_str().into());
        self.consumer = consumer;
        self.facts.send_if_modified(|facts| {
            let changed = facts.consumer != name;
            facts.consumer = name;
            changed
        });
    }

    fn publish(&mut self, source: Source) {
        if source != Source::Polling {
            self.stand_in = None;
        }
        self.tell(self.stand_in.clone());
        let is_polling = source == Source::Polling;
        gauge!(names::CONSUMER_MODE, "mode" => "polling").set(if is_polling { 1.0 } else { 0.0 });
        gauge!(names::CONSUMER_MODE, "mode" => "enhanced").set(if is_polling { 0.0 } else { 1.0 });
        self.source.send_if_modified(|current| {
            let changed = *current != source;
            if changed {
                match &source {
                    Source::Consumer(arn) => tracing::info!(consumer = %arn, "consumer is active"),
                    Source::Polling => tracing::info!("reading by polling"),
                    Source::Pending => {}
                }
                *current = source;
            }
            changed
        });
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
                if *self.source.borrow() != Source::Polling {
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
        self.facts.send_if_modified(|facts| {
            let limit = Some(summary.max_record_bytes);
            let changed = facts.record_limit != limit;
            facts.record_limit = limit;
            changed
        });
        Ok(summary.arn)
    }

    /// Registers the consumer, or finds it registered.
    async fn register(&mut self, stream: &StreamArn) -> Result<RegisteredConsumer, Error> {
        if self.consumer.is_some() {
            // It was there; look before registering, which is the dearer call.
            if let Some(found) = self.find(stream).await? {
                return Ok(found);
            }
            self.hold(None);
            tracing::warn!(consumer = %self.name, "consumer is gone: registering anew");
        }
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
            let instance = self.facts.borrow().instance;
            let tags = name::tags(instance, self.started);
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
    async fn find(&self, stream: &StreamArn) -> Result<Option<RegisteredConsumer>, Error> {
        match self.kinesis.describe_consumer(stream, &self.name).await {
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
            if creating >= MOST_CREATING && since.elapsed() < self.config.creating_limit {
                Error::ConsumersCreating { creating }
            } else {
                Error::ConsumerLimit {
                    stream: self.kinesis.stream().to_owned(),
                    registered: registered.len(),
                }
            },
        )
    }

    /// Waits until the consumer is active.
    async fn activate(&mut self) -> Result<Source, Error> {
        let Some(stream) = self.stream.clone() else {
            return Ok(Source::Pending);
        };
        let give_up = Instant::now() + self.config.activation_limit;
        let mut waits = 0;
        loop {
            let consumer = self.kinesis.describe_consumer(&stream, &self.name).await;
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
                    tracing::warn!(consumer = %self.name, "consumer does not become active");
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
            name: self.name.clone(),
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
            let name = own_name(&self.name);
            tracing::error!(
                consumer = %self.name, new_name = %name,
                "another process uses this consumer's name and takes its shards over: registering \
                 under another name; give every instance its own --consumer-name"
            );
            self.name = name;
            self.hold(None);
        }
        // Not at once again, however many ask.
        sleep(backoff(FIRST_WAIT * 2, FIRST_WAIT * 2, 1, &mut self.rng)).await;
    }

    /// Ends the registration, and with it what is paid for it.
    async fn deregister(&mut self) {
        let Some(stream) = &self.stream else { return };
        // Without one, a registration may be under way, its answer not waited for.
        let is_polling = *self.source.borrow() == Source::Polling;
        if self.consumer.is_none() && (self.config.mode == Mode::Polling || is_polling) {
            return;
        }
        let end = async {
            let arn = match &self.consumer {
                Some(arn) => arn.clone(),
                None => {
                    self.kinesis
                        .describe_consumer(stream, &self.name)
                        .await?
                        .arn
                }
            };
            self.kinesis.deregister_consumer(&arn).await
        };
        match timeout(self.config.deregister_limit, end).await {
            Ok(Ok(())) => tracing::info!(consumer = %self.name, "deregistered"),
            Ok(Err(error)) if error.kind() == ErrorKind::ResourceNotFound => {}
            Ok(Err(error)) => {
                tracing::warn!(consumer = %self.name, %error, "could not deregister; it is billed");
            }
            Err(_) => {
                tracing::warn!(consumer = %self.name, "no time to deregister; it is billed");
            }
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
