//! Everything between the producer and the log: the stream itself, what writes to it and what
//! reads from it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;
use tracing::{info, warn};

use super::{Error, attend};
use crate::config::{self, Settings};
use crate::consumer::{self, Consumer};
use crate::kinesis::{self, Endpoint, Kinesis};
use crate::log::{Log, News};
use crate::producer::{self, ProducerTask, Publisher};
use crate::{embedded, http, log, tls};

/// How often the log is looked after.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);
/// How long the consumer may take to take its registration back.
const DEREGISTER_LIMIT: Duration = Duration::from_secs(5);
/// How long everything may take that comes after the producer's end; the embedded service's
/// clients have two seconds.
pub(super) const END_WITHIN: Duration = Duration::from_secs(7);

/// The stream and its two sides.
pub(super) struct Stream {
    pub(super) log: Arc<Log>,
    pub(super) publisher: Publisher,
    producer: ProducerTask,
    /// What becomes the consumer.
    starting: Option<JoinHandle<Result<Consumer, consumer::Error>>>,
    consumer: Option<Consumer>,
    /// How long the producer may take to store what waits, after the last request was answered.
    flush: Duration,
    kinesis: Kinesis,
    listener: Option<embedded::Listener>,
    maintenance: JoinHandle<()>,
    attendance: Option<JoinHandle<()>>,
}

impl Stream {
    /// Connects to the stream, or makes it, and starts what writes to it.
    pub(super) async fn connect(settings: &Settings) -> Result<(Self, Vec<News>), Error> {
        let (kinesis, listener) = connect(settings).await?;
        let (log, news) = Log::new(log::Config {
            history: settings.history,
            resume_window: settings.resume_window,
            log_memory: settings.log_memory,
            max_rooms: settings.max_rooms,
            workers: settings.workers,
        });
        let config = producer::Config {
            queue_bytes: settings.publish_queue,
            publish_timeout: settings.publish_timeout,
            ..producer::Config::default()
        };
        let (publisher, producer) = producer::start(kinesis.clone(), config);
        let stream = Self {
            maintenance: tokio::spawn(maintain(log.clone())),
            log,
            publisher,
            producer,
            starting: None,
            consumer: None,
            flush: settings.flush,
            kinesis,
            listener,
            attendance: None,
        };
        Ok((stream, news))
    }

    /// Where the embedded service is served to others.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(embedded::Listener::local_addr)
    }

    /// Who the embedded service says it is, if it speaks TLS.
    pub(super) fn certificate(&self) -> Option<tls::Certificate> {
        self.listener.as_ref()?.certificate().cloned()
    }

    /// What keeps messages from being stored.
    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.producer.trouble()
    }

    /// Starts what reads from it; returns when that is registered, and how it tells how it does.
    ///
    /// Dropped before, it goes on: what was registered meanwhile is known at the [`stop`](Self::stop).
    pub(super) async fn consume(
        &mut self,
        config: consumer::Config,
    ) -> Result<watch::Receiver<consumer::Readiness>, Error> {
        let started = consumer::start(self.kinesis.clone(), self.log.clone(), config);
        let starting = self.starting.insert(tokio::spawn(started));
        let consumer = starting.await.map_err(|_| Error::Worker)??;
        self.starting = None;
        let stream = self.kinesis.stream();
        info!(consumer = consumer.name(), %stream, "reading the stream");
        let readiness = consumer.readiness();
        let attending = attend::attend(self.publisher.clone(), consumer.facts());
        self.attendance = Some(tokio::spawn(attending));
        self.consumer = Some(consumer);
        Ok(readiness)
    }

    /// Ends everything, the stream itself last; returns how many messages could not be stored.
    pub(super) async fn stop(mut self) -> usize {
        if let Some(attendance) = self.attendance {
            attendance.abort();
        }
        let unsaved = self.producer.stop(self.flush).await;
        let deadline = Instant::now() + DEREGISTER_LIMIT;
        if let Some(mut starting) = self.starting {
            match timeout_at(deadline.into(), &mut starting).await {
                Ok(started) => self.consumer = started.ok().and_then(Result::ok),
                Err(_) => starting.abort(),
            }
        }
        if let Some(consumer) = self.consumer {
            let left = deadline.saturating_duration_since(Instant::now());
            consumer.stop(left).await;
        }
        if let Some(listener) = self.listener {
            listener.stop().await;
        }
        self.maintenance.abort();
        unsaved
    }
}

/// Connects to the stream, or makes it.
pub(super) async fn connect(
    settings: &Settings,
) -> Result<(Kinesis, Option<embedded::Listener>), Error> {
    let (endpoint, listener) = match settings.kinesis {
        config::Kinesis::Embedded => embed(settings)?,
        config::Kinesis::Aws => {
            let endpoint = Endpoint::Aws {
                region: settings.region.clone(),
                endpoint_url: settings.endpoint_url.clone(),
            };
            (endpoint, None)
        }
    };
    let config = kinesis::Config::new(&settings.stream, endpoint);
    Ok((kinesis::connect(&config).await?, listener))
}

async fn maintain(log: Arc<Log>) {
    let mut ticks = tokio::time::interval(MAINTAIN_EVERY);
    loop {
        ticks.tick().await;
        log.maintain(Instant::now());
    }
}

/// Starts the embedded service, with its stream in it.
fn embed(settings: &Settings) -> Result<(Endpoint, Option<embedded::Listener>), Error> {
    let config = embedded::Config {
        memory: settings.embedded_memory,
        creating_time: settings.embedded_creating_time,
        limits: settings.embedded_limits,
        consumers_per_stream: settings.embedded_consumers,
        faults_endpoint: settings.embedded_faults.is_some(),
        listener: embedded::ListenerConfig {
            tls: embedded_tls(settings),
            ..embedded::ListenerConfig::default()
        },
        ..embedded::Config::default()
    };
    let service = match &settings.embedded_data {
        Some(folder) => embedded::Service::open(config, folder)?,
        None => embedded::Service::new(config),
    };
    let shards = u32::try_from(settings.embedded_shards).unwrap_or(u32::MAX);
    service.create_stream_if_missing(&settings.stream, shards)?;
    if let Some(folder) = &settings.embedded_data {
        info!(
            stream = %settings.stream,
            folder = %folder.display(),
            "the embedded stream is kept on disk"
        );
    } else {
        info!(
            stream = %settings.stream,
            shards,
            "the embedded stream is in memory only: it is gone when this process ends"
        );
    }
    if let Some(file) = &settings.embedded_faults {
        let refused = |problem: String| Error::Faults {
            file: file.clone(),
            problem,
        };
        let rules = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
        let added = service.faults().add(&rules);
        added.map_err(|error| refused(error.to_string()))?;
        warn!(file = %file.display(), "the embedded stream goes wrong, as asked for");
    }
    let listen = |address| {
        let refused = |source| Error::EmbeddedListen { address, source };
        service.listen(address).map_err(refused)
    };
    let listener = settings.embedded_listen.map(listen).transpose()?;
    Ok((Endpoint::InProcess(service.http_client()), listener))
}

/// The certificate of the chat's own address.
pub(super) fn tls(settings: &Settings) -> Option<tls::Files> {
    Some(tls::Files {
        certificate: settings.tls_cert.clone()?,
        key: settings.tls_key.clone()?,
    })
}

fn embedded_tls(settings: &Settings) -> Option<tls::Files> {
    Some(tls::Files {
        certificate: settings.embedded_tls_cert.clone()?,
        key: settings.embedded_tls_key.clone()?,
    })
}

/// What the settings say about the consumer.
pub fn consumer_config(settings: &Settings) -> consumer::Config {
    consumer::Config {
        mode: match settings.consumer {
            config::Consumer::Auto => consumer::Mode::Auto,
            config::Consumer::Enhanced => consumer::Mode::Enhanced,
            config::Consumer::Polling => consumer::Mode::Polling,
        },
        name: settings.consumer_name.clone(),
        start: match settings.start {
            config::Start::TrimHorizon => consumer::Start::TrimHorizon,
            config::Start::Latest => consumer::Start::Latest,
            config::Start::Ago(time) => consumer::Start::Lookback(time),
        },
        ready_timeout: settings.ready_timeout,
        ..consumer::Config::default()
    }
}

/// What the settings say about the edge.
pub(super) fn http_config(settings: &Settings) -> http::Config {
    http::Config {
        max_head: settings.max_head,
        max_headers: settings.max_headers,
        max_body: settings.max_body,
        max_text: settings.max_text,
        first_request_timeout: settings.first_request_timeout,
        header_timeout: settings.header_timeout,
        body_timeout: settings.body_timeout,
        upgrade_timeout: settings.upgrade_timeout,
        connection_publishes: settings.connection_publishes,
        room_rate: settings.room_rate,
        address_rate: settings.address_rate,
        address_connections: settings.address_connections,
        trusted_proxies: settings.trusted_proxies.clone(),
        allowed_origins: settings.allowed_origins.clone(),
        compression: settings.compression,
    }
}
