//! The program: stages made from settings, joined, served, drained.
//!
//! # What
//! [`run`] is the program's life: bind, connect to the stream, serve, and on a signal drain.
//!
//! # How
//! A multi-threaded runtime carries what has to do with the stream ([`stream`]: embedded service,
//! producer, consumer). Beside it each worker ([`workers`]) is a thread with a runtime of its own
//! that serves connections and sweeps viewers. They share the log, the publisher, and the phase.
//!
//! # Limits
//! Every step of a stop has one, and a second signal ends the process at once.
//!
//! # Invariants
//! I1: consuming goes on until the last viewer is gone, and the producer is flushed after the last
//! request is answered.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::config::Settings;
use crate::http::{self, Behind, Phase, Readiness, ReadyState};
use crate::telemetry::{self, Metrics};
use crate::{consumer, fanout, kinesis};

mod attend;
mod descriptors;
mod doctor;
mod stream;
mod workers;

pub use doctor::examine;
use stream::Stream;
pub use stream::consumer_config;
use workers::{Shared, Workers};

/// How much longer than a publisher waits for the stream a stop waits for requests under way.
const FINISH_GRACE: Duration = Duration::from_secs(1);
/// How long tasks that were told to end may take to do so.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// Why the program could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Logs or metrics.
    #[error("cannot set up logs and metrics")]
    Telemetry(#[from] telemetry::Error),
    /// Threads, signals.
    #[error("the operating system refuses {what}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// An address.
    #[error(transparent)]
    Bind(#[from] http::BindError),
    /// The address of the embedded service.
    #[error("cannot serve the embedded Kinesis on {address}")]
    EmbeddedListen {
        /// Where it should have been served.
        address: std::net::SocketAddr,
        /// Why it cannot.
        source: io::Error,
    },
    /// The rules of its faults.
    #[error("cannot take the faults in {}: {problem}", file.display())]
    Faults {
        /// The file.
        file: std::path::PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The folder of the embedded stream.
    #[error("cannot keep the embedded stream on disk")]
    EmbeddedData(#[from] crate::embedded::OpenError),
    /// The embedded service.
    #[error("cannot set up the embedded stream")]
    Embedded(#[from] crate::embedded::Error),
    /// The connection to the stream.
    #[error("cannot connect to Kinesis")]
    Kinesis(#[from] kinesis::Error),
    /// Reading the stream.
    #[error("cannot read the stream")]
    Consumer(#[from] consumer::Error),
    /// A worker's thread.
    #[error("a worker has failed")]
    Worker,
    /// A second signal.
    #[error("ended before everything was drained, on a second signal")]
    Impatient,
}

/// Whether the program is ready, as `/readyz` tells it.
#[derive(Debug, Default)]
struct Health {
    draining: AtomicBool,
    consumer: OnceLock<watch::Receiver<consumer::Readiness>>,
    producer: OnceLock<watch::Receiver<Option<String>>>,
}

impl Health {
    fn state(&self) -> ReadyState {
        let readiness = self.consumer.get().map(|readiness| readiness.borrow());
        let ready = readiness.as_ref().is_some_and(|readiness| readiness.ready);
        // Relaxed: nothing is published through it.
        let status = match (self.draining.load(Ordering::Relaxed), ready) {
            (true, _) => Readiness::Draining,
            (false, true) => Readiness::Ready,
            (false, false) => Readiness::Starting,
        };
        let behind = readiness.iter().flat_map(|readiness| readiness.behind());
        let problems = readiness.iter().flat_map(|readiness| &readiness.problems);
        let trouble = self
            .producer
            .get()
            .and_then(|trouble| trouble.borrow().clone());
        ReadyState {
            status,
            behind: behind.map(of_shard).collect(),
            problems: problems.cloned().chain(trouble).collect(),
        }
    }
}

fn of_shard(shard: &consumer::ShardStatus) -> Behind {
    Behind {
        shard: shard.id.to_string(),
        state: shard.state.as_str(),
        millis_behind: shard.millis_behind,
        trouble: shard.trouble.as_deref().map(str::to_owned),
    }
}

/// Runs the program to its end.
///
/// # Errors
/// [`Error`] says what kept it from starting, or made it end.
pub fn run(settings: &Settings) -> Result<(), Error> {
    run_with(settings, consumer_config(settings))
}

/// Runs the program with a consumer that may be what no setting makes it.
///
/// # Errors
/// As [`run`].
pub fn run_with(settings: &Settings, consumer: consumer::Config) -> Result<(), Error> {
    telemetry::init_logs(settings.log_format, &settings.log_level)?;
    let metrics = Metrics::install()?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        .thread_name("stream")
        .enable_all()
        .build()
        .map_err(system("a runtime"))?;
    let ended = runtime.block_on(live(settings, consumer, metrics));
    runtime.shutdown_timeout(RUNTIME_END);
    ended
}

/// How long what was sent may stay unacknowledged: as long as a viewer has to answer a ping, for
/// that is sent too. Not less than lost packets take to be sent a few times again.
fn user_timeout(ping_interval: Option<Duration>) -> Duration {
    ping_interval
        .unwrap_or(Duration::from_secs(30))
        .max(Duration::from_secs(5))
}

fn system(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::System { what, source }
}

async fn live(
    settings: &Settings,
    consumer: consumer::Config,
    metrics: Metrics,
) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(system("to tell of signals"))?;
    let open_files = descriptors::raise();
    let places = descriptors::places(open_files, settings.workers, settings.max_connections);
    // Bound first: an address that is taken is the commonest thing to be wrong.
    let patience = user_timeout(settings.ping_interval);
    let listeners = http::bind(settings.listen, settings.workers, patience)?;
    let operations = settings
        .metrics_listen
        .map(|address| http::bind(address, 1, patience));
    let operations = operations.transpose()?.and_then(|mut bound| bound.pop());
    let upkeep = tokio::spawn(metrics.clone().upkeep());

    let health = Arc::new(Health::default());
    let (phase, watching) = watch::channel(Phase::Serving);
    let (mut stream, news) = Box::pin(Stream::connect(settings)).await?;
    // Nobody else sets it.
    let _ = health.producer.set(stream.trouble());
    let addresses = Addresses {
        chat: listeners.first().map(http::Listener::address),
        metrics: operations.as_ref().map(http::Listener::address),
        kinesis: stream.address(),
        kinesis_tls: settings.embedded_tls_cert.is_some(),
    };
    let config = Arc::new(stream::http_config(settings));
    let shared = Shared {
        limits: Arc::new(http::Limits::new(&config)),
        config,
        log: stream.log.clone(),
        publisher: stream.publisher.clone(),
        health: health.clone(),
        metrics,
        places: http::Places::new(places),
        phase: watching,
        fanout: fanout::Config {
            lag_limit: settings.lag_limit as u64,
            lag_time: settings.lag_time,
            sweep_interval: settings.sweep_interval,
            ping_interval: settings.ping_interval,
        },
        drain: settings.drain,
    };
    let mut workers =
        Workers::start(&shared, listeners, operations, news).map_err(system("a thread"))?;
    addresses.announce();

    // Served already, with 503 at /readyz: registering a consumer can take a while.
    let lived = tokio::select! {
        started = stream.consume(consumer) => match started {
            Ok(readiness) => {
                let _ = health.consumer.set(readiness);
                tokio::select! {
                    () = signals.next() => Ok(()),
                    () = workers.failure() => Err(Error::Worker),
                }
            }
            Err(error) => Err(error),
        },
        () = signals.next() => Ok(()),
        () = workers.failure() => Err(Error::Worker),
    };
    if lived.is_ok() {
        info!("stopping");
        tokio::select! {
            () = drain(settings, &health, &phase, workers, stream) => {}
            () = signals.next() => return Err(Error::Impatient),
        }
        info!("stopped");
    }
    upkeep.abort();
    lived
}

/// Sends everybody away in good order.
async fn drain(
    settings: &Settings,
    health: &Health,
    phase: &watch::Sender<Phase>,
    workers: Workers,
    stream: Stream,
) {
    // Relaxed: nothing is published through it.
    health.draining.store(true, Ordering::Relaxed);
    sleep(settings.drain_delay).await;
    let finish = settings.publish_timeout + FINISH_GRACE;
    phase.send_replace(Phase::Finishing(Instant::now() + finish));
    workers.ended().await;
    let unsaved = stream.stop().await;
    if unsaved > 0 {
        warn!(
            messages = unsaved,
            "stopped with messages that were never acknowledged"
        );
    }
}

/// Where something is served, for whoever started the program.
struct Addresses {
    chat: Option<std::net::SocketAddr>,
    metrics: Option<std::net::SocketAddr>,
    kinesis: Option<std::net::SocketAddr>,
    kinesis_tls: bool,
}

impl Addresses {
    fn announce(&self) {
        let mut out = io::stdout().lock();
        let kinesis = if self.kinesis_tls { "https" } else { "http" };
        for (what, scheme, address) in [
            ("listening", "http", self.chat),
            ("metrics", "http", self.metrics),
            ("kinesis", kinesis, self.kinesis),
        ] {
            if let Some(address) = address {
                // A closed stdout is no reason not to serve.
                let _ = writeln!(out, "{what} on {scheme}://{address}");
            }
        }
        let _ = out.flush();
    }
}

/// The signals that ask for an end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
