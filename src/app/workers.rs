//! The workers: threads that serve connections and sweep viewers, each with a runtime of its own.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tracing::error;

use super::Health;
use crate::connection::Connections;
use crate::fanout::{self, Worker};
use crate::http::{self, Limits, Listener, Phase, Places, Ports, Role, Service, Viewer};
use crate::log::{Log, News};
use crate::producer::Publisher;
use crate::telemetry::Metrics;

/// RFC 6455, section 7.4.1: going away.
const GOING_AWAY: u16 = 1001;
/// Viewers that are sent away in a second, by all workers together: they all come back somewhere.
const LEAVING_PER_SECOND: f64 = 500.0;
/// How long viewers have to answer that they are sent away.
pub(super) const LEAVE_WITHIN: Duration = Duration::from_secs(6);
/// How often it is looked whether they are gone.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Connections that the operations' own listener takes.
const OPERATORS: usize = 64;

/// What all workers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) config: Arc<http::Config>,
    pub(super) limits: Arc<Limits>,
    pub(super) log: Arc<Log>,
    pub(super) publisher: Publisher,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Metrics,
    pub(super) places: Places,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) fanout: fanout::Config,
    /// How many viewers all workers have.
    pub(super) viewers: Arc<AtomicUsize>,
    pub(super) drain: Duration,
}

/// The running threads.
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
    ends: Vec<oneshot::Receiver<()>>,
}

impl Workers {
    /// Starts a worker for each listener; the first also serves the operations' listener.
    pub(super) fn start(
        shared: &Shared,
        listeners: Vec<Listener>,
        mut operations: Option<Listener>,
        news: Vec<News>,
    ) -> io::Result<Self> {
        let mut started = Self {
            threads: Vec::new(),
            ends: Vec::new(),
        };
        let role = match operations {
            Some(_) => Role::Chat,
            None => Role::All,
        };
        for (index, (listener, news)) in listeners.into_iter().zip(news).enumerate() {
            let seat = Seat {
                index,
                listener,
                role,
                operations: operations.take(),
                news,
                shared: shared.clone(),
            };
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (end, ended) = oneshot::channel();
            let thread = thread::Builder::new().name(format!("worker-{index}"));
            started.threads.push(thread.spawn(move || {
                LocalSet::new().block_on(&runtime, seat.work());
                // Dropped without being sent if the thread panics: seen as a failure.
                let _ = end.send(());
            })?);
            started.ends.push(ended);
        }
        Ok(started)
    }

    /// Waits until a worker ends although nobody asked it to.
    pub(super) async fn failure(&mut self) {
        let _ = select_all(&mut self.ends).await;
    }

    /// Waits until all have ended.
    pub(super) async fn ended(self) {
        join_all(self.ends).await;
        for thread in self.threads {
            if thread.join().is_err() {
                error!("a worker has failed");
            }
        }
    }
}

/// One worker, before it has begun.
struct Seat {
    index: usize,
    listener: Listener,
    role: Role,
    operations: Option<Listener>,
    news: News,
    shared: Shared,
}

impl Seat {
    async fn work(self) {
        let Shared {
            config,
            limits,
            log,
            places,
            tls,
            phase,
            fanout,
            viewers,
            drain,
            ..
        } = self.shared.clone();
        let worker = Worker::new(self.index, log, fanout);
        let ports = self.ports(&worker);
        let sweeping = spawn_local(worker.clone().run(self.news));

        let service = Service::new(config.clone(), limits, self.role, ports.clone());
        let chat = spawn_local(http::serve(
            self.listener,
            service,
            places,
            tls,
            phase.clone(),
        ));
        let operations = self.operations.map(|listener| {
            let unlimited = Arc::new(Limits::new(&http::Config::default()));
            let service = Service::new(config, unlimited, Role::Operations, ports);
            let places = Places::new(OPERATORS);
            spawn_local(http::serve(listener, service, places, None, phase.clone()))
        });

        let mut phase = phase;
        // An error means that nobody is left who could say so: the end as well.
        let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
        // Relaxed: nothing is published through it.
        let over = spread(viewers.load(Ordering::Relaxed)).min(drain);
        worker.close_all(GOING_AWAY, over).await;
        for task in [Some(chat), operations].into_iter().flatten() {
            if let Ok(Err(error)) = task.await {
                error!(%error, "cannot serve");
            }
        }
        // Whoever came in meanwhile with a request that was under way.
        worker.close_all(GOING_AWAY, Duration::ZERO).await;
        let limit = Instant::now() + LEAVE_WITHIN;
        while worker.viewers() > 0 && Instant::now() < limit {
            sleep(LOOK_EVERY).await;
        }
        sweeping.abort();
    }

    fn ports(&self, worker: &Rc<Worker>) -> Ports {
        let connections = Connections::new(worker.clone());
        let health = self.shared.health.clone();
        let metrics = self.shared.metrics.clone();
        let log = self.shared.log.clone();
        let viewers = self.shared.viewers.clone();
        Ports {
            publisher: self.shared.publisher.clone(),
            ready: Arc::new(move || health.state()),
            metrics: Arc::new(move || metrics.render()),
            admit: Rc::new(move |room| log.admits(room)),
            join: Rc::new(move |viewer| {
                let Viewer {
                    stream,
                    leftover,
                    request,
                    permit,
                } = viewer;
                let connections = connections.clone();
                // Dropped when the viewer is gone.
                let held = (permit, Counted::new(&viewers));
                Box::pin(connections.serve(stream, leftover, request, held))
            }),
        }
    }
}

/// One of those that are counted, for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        // Relaxed, as below: nothing is published through it.
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Over how long so many viewers, those of all workers, are sent away.
fn spread(viewers: usize) -> Duration {
    let viewers = u32::try_from(viewers).unwrap_or(u32::MAX);
    Duration::from_secs_f64(f64::from(viewers) / LEAVING_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_viewers_are_sent_away_at_once_and_many_evenly() {
        assert_eq!(spread(0), Duration::ZERO);
        assert_eq!(spread(1), Duration::from_millis(2));
        assert_eq!(spread(50_000), Duration::from_secs(100));
    }
}
