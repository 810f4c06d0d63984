//! The program: stages made from settings, joined, served, drained.
//!
//! # What
//! [`run`] is the program's life: bind, connect to the stream, serve, and on a signal [`drain`] or
//! [`reload`]. [`examine`] and [`check()`] look at what there is and end.
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
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use crate::config::Settings;
use crate::http::{self, Phase};
use crate::telemetry::{self, Logs, Metrics};
use crate::tls::Certificate;
use crate::{consumer, fanout, kinesis};

mod attend;
mod check;
mod descriptors;
mod doctor;
mod drain;
mod health;
mod reload;
mod stream;
mod supervision;
mod workers;

pub use check::{Question, check};
pub use doctor::examine;
pub use reload::Reread;

use drain::Stop;
use health::Health;
use reload::Reload;
use stream::Stream;
pub use stream::consumer_config;
use supervision::Supervision;
use workers::{Shared, Workers};

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
    /// The certificate.
    #[error("cannot serve over TLS")]
    Tls(#[source] io::Error),
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

/// Runs the program to its end; `reread` reads the settings again, when it is asked to.
///
/// # Errors
/// [`Error`] says what kept it from starting, or made it end.
pub fn run(settings: &Settings, reread: &Reread<'_>) -> Result<(), Error> {
    run_with(settings, consumer_config(settings), reread)
}

/// Runs the program with a consumer that may be what no setting makes it.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    settings: &Settings,
    consumer: consumer::Config,
    reread: &Reread<'_>,
) -> Result<(), Error> {
    let logs = Logs::start(settings.log_format, &settings.log_level);
    let metrics = Metrics::install()?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        .thread_name("stream")
        .enable_all()
        .build()
        .map_err(system("a runtime"))?;
    let reload = Reload::new(settings, reread, logs);
    let ended = runtime.block_on(live(settings, consumer, metrics, reload));
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
    mut reload: Reload<'_>,
) -> Result<(), Error> {
    let started = Instant::now();
    let (mut ends, hangup) = signals().map_err(system("to tell of signals"))?;
    let supervision = Supervision::begin();
    let open_files = descriptors::raise();
    let places = descriptors::places(open_files, settings.workers, settings.max_connections);
    // Bound first: an address that is taken is the commonest thing to be wrong.
    let patience = user_timeout(settings.ping_interval);
    let listeners = http::bind(settings.listen, settings.workers, patience)?;
    let certificate = stream::tls(settings).map(Certificate::read);
    let certificate = certificate.transpose().map_err(Error::Tls)?;
    let tls = certificate.as_ref().map(Certificate::acceptor);
    let operations = settings
        .metrics_listen
        .map(|address| http::bind(address, 1, patience));
    let operations = operations.transpose()?.and_then(|mut bound| bound.pop());
    let upkeep = tokio::spawn(metrics.clone().upkeep());
    let watchdog = tokio::spawn(supervision.clone().live());

    let health = Arc::new(Health::default());
    let (phase, watching) = watch::channel(Phase::Serving);
    let (mut stream, news) = Box::pin(Stream::connect(settings)).await?;
    // Nobody else sets it.
    let _ = health.producer.set(stream.trouble());
    let own = certificate.map(|certificate| ("tls-cert", certificate));
    let embedded = stream.certificate();
    let embedded = embedded.map(|certificate| ("embedded-tls-cert", certificate));
    for (setting, certificate) in own.into_iter().chain(embedded) {
        reload.certificate(setting, certificate);
    }
    let addresses = Addresses {
        chat: listeners.first().map(http::Listener::address),
        chat_tls: settings.tls_cert.is_some(),
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
        tls: tls.transpose().map_err(Error::Tls)?,
        phase: watching,
        fanout: fanout::Config {
            lag_limit: settings.lag_limit as u64,
            lag_time: settings.lag_time,
            sweep_interval: settings.sweep_interval,
            ping_interval: settings.ping_interval,
        },
        viewers: Arc::default(),
        drain: settings.drain,
    };
    let mut workers =
        Workers::start(&shared, listeners, operations, news).map_err(system("a thread"))?;
    addresses.announce();

    // Served already, with 503 at /readyz: registering a consumer can take a while.
    let lived = tokio::select! {
        error = catch_up(&mut stream, consumer, &health, &supervision, started) => Err(error),
        () = ends.next() => Ok(()),
        () = workers.failure() => Err(Error::Worker),
        never = reload.at_each(hangup, &health, &supervision) => match never {},
    };
    if lived.is_ok() {
        let stop = Stop {
            settings,
            health: &health,
            supervision: &supervision,
            phase: &phase,
        };
        tokio::select! {
            () = stop.drain(workers, stream) => {}
            () = ends.next() => return Err(Error::Impatient),
        }
    }
    watchdog.abort();
    upkeep.abort();
    lived
}

/// Reads the stream, and says so when that has caught up. Comes back only if it cannot be read.
async fn catch_up(
    stream: &mut Stream,
    consumer: consumer::Config,
    health: &Health,
    supervision: &Supervision,
    started: Instant,
) -> Error {
    let mut readiness = match stream.consume(consumer).await {
        Ok(readiness) => readiness,
        Err(error) => return error,
    };
    let _ = health.consumer.set(readiness.clone());
    if readiness
        .wait_for(|readiness| readiness.ready)
        .await
        .is_ok()
    {
        info!(after = ?started.elapsed(), "ready");
        supervision.ready();
    }
    std::future::pending().await
}

/// Where something is served, for whoever started the program.
struct Addresses {
    chat: Option<std::net::SocketAddr>,
    chat_tls: bool,
    metrics: Option<std::net::SocketAddr>,
    kinesis: Option<std::net::SocketAddr>,
    kinesis_tls: bool,
}

impl Addresses {
    fn announce(&self) {
        let mut out = io::stdout().lock();
        let scheme = |tls| if tls { "https" } else { "http" };
        let (chat, kinesis) = (scheme(self.chat_tls), scheme(self.kinesis_tls));
        for (what, scheme, address) in [
            ("listening", chat, self.chat),
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

/// Those that ask for an end, and the one that asks to reload.
fn signals() -> io::Result<(Ends, Signal)> {
    let ends = Ends {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    Ok((ends, signal(SignalKind::hangup())?))
}

/// The signals that ask for an end.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
