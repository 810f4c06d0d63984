//! [`Service`]: the store behind its lock, the clock, and the ways in.

use std::collections::HashMap;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::time::Instant;

use super::clock::{Clock, Now};
use super::faults::{Board, Faults};
use super::operations::{Operation, is_name};
use super::store::{Mode, NewStream, Step, Store, SubscriptionId, Tags};
use super::wire::{Connector, Listener};
use super::{Config, Error, ErrorKind, Limits};

const MIB: usize = 1024 * 1024;

/// An in-memory Kinesis. Clones share one state.
#[derive(Debug, Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    clock: Clock,
    token_key: [u8; 16],
    faults: Board,
    state: Mutex<State>,
}

/// The store, and who is to be woken for which subscription. One lock for both, so that no wake-up can fall between a
/// look at the store and leaving the waker.
#[derive(Debug)]
struct State {
    store: Store,
    wakers: HashMap<SubscriptionId, Waker>,
}

impl State {
    fn take_wakers(&mut self) -> Vec<Waker> {
        let woken = self.store.take_woken();
        woken
            .into_iter()
            .filter_map(|id| self.wakers.remove(&id))
            .collect()
    }
}

/// A service, if it is still there.
#[derive(Debug, Clone)]
pub(super) struct WeakService(Weak<Inner>);

impl WeakService {
    pub(super) fn upgrade(&self) -> Option<Service> {
        self.0.upgrade().map(|inner| Service { inner })
    }
}

impl Service {
    /// A service without streams.
    pub fn new(config: Config) -> Self {
        let store = Store::new(config.clone());
        let inner = Inner {
            config,
            clock: Clock::start(),
            token_key: fastrand::u128(..).to_be_bytes(),
            faults: Board::new(),
            state: Mutex::new(State {
                store,
                wakers: HashMap::new(),
            }),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Creates a stream, unless there is one of that name.
    ///
    /// # Errors
    ///
    /// When the name is malformed, or there would be more open shards than [`Config::open_shards`].
    pub fn create_stream_if_missing(&self, name: &str, shards: u32) -> Result<(), Error> {
        if !is_name(name) {
            return Err(Error::validation(format!(
                "{name} is no name of a stream: 1 to 128 of a-z, A-Z, 0-9, _ . and -"
            )));
        }
        if shards == 0 {
            return Err(Error::validation("A stream needs at least one shard."));
        }
        let new = NewStream {
            name: name.to_owned(),
            shards,
            mode: Mode::Provisioned,
            max_record: MIB,
            warm_throughput: 0,
            tags: Tags::new(),
        };
        match self.with(|store, now| store.create_stream(new, now)) {
            Err(error) if error.kind() == ErrorKind::ResourceInUse => Ok(()),
            outcome => outcome,
        }
    }

    /// An HTTP client for the SDK that calls this service in process: whatever the endpoint's URL says, no socket is
    /// opened. To be used within a tokio runtime that has its timer enabled.
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(Connector::new(self.clone()))
    }

    /// Serves this service on a TCP port as well: HTTP/1.1, and HTTP/2 by prior knowledge or ALPN; over TLS if
    /// [`ListenerConfig::tls`](super::ListenerConfig::tls) names a certificate. Port 0 picks a free one. To be called
    /// within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or the certificate cannot be used.
    pub fn listen(&self, addr: SocketAddr) -> io::Result<Listener> {
        Listener::bind(self.clone(), addr)
    }

    /// Bytes of all kept records, as counted against [`Config::memory`].
    pub fn kept_bytes(&self) -> usize {
        self.lock().store.kept_bytes()
    }

    /// Live subscriptions.
    pub fn subscriptions(&self) -> usize {
        self.lock().store.subscription_count()
    }

    /// Its faults, to add and to count. There are none unless they are asked for.
    pub fn faults(&self) -> Faults {
        Faults::new(self.clone())
    }

    pub(super) fn board(&self) -> &Board {
        &self.inner.faults
    }

    /// For what must not keep the service alive.
    pub(super) fn downgrade(&self) -> WeakService {
        WeakService(Arc::downgrade(&self.inner))
    }

    pub(super) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(super) fn token_key(&self) -> [u8; 16] {
        self.inner.token_key
    }

    pub(super) fn now(&self) -> Now {
        self.inner.clock.now()
    }

    pub(super) fn instant(&self, steady: u64) -> Instant {
        self.inner.clock.instant(steady)
    }

    /// Counts a call against the account's rates, if there are any.
    pub(super) fn count_call(&self, operation: Operation) -> Result<(), Error> {
        match self.config().limits {
            Limits::Off => Ok(()),
            Limits::Aws => self.with(|store, now| store.count_call(operation.name(), now)),
        }
    }

    /// Runs one operation on the store, then wakes whom it concerns.
    pub(super) fn with<T>(&self, operation: impl FnOnce(&mut Store, Now) -> T) -> T {
        let (outcome, wakers) = {
            let mut state = self.lock();
            // Read under the lock, so that operations happen in the order of their times.
            let now = self.now();
            let outcome = operation(&mut state.store, now);
            (outcome, state.take_wakers())
        };
        wakers.into_iter().for_each(Waker::wake);
        outcome
    }

    /// Runs one operation that changes something, and waits until the change is stored: only then may it be answered.
    ///
    /// # Errors
    /// The operation's own, after which nothing is changed.
    pub(super) fn commit<T>(
        &self,
        operation: impl FnOnce(&mut Store, Now) -> Result<T, Error>,
    ) -> impl Future<Output = Result<T, Error>> {
        // In memory it is stored at once.
        ready(self.with(operation))
    }

    /// The next step of a subscription. If that is to wait, `waker` is called when there is something to do.
    pub(super) fn next_step(&self, id: SubscriptionId, waker: &Waker) -> Step {
        let (step, wakers) = {
            let mut state = self.lock();
            let now = self.now();
            let step = state.store.next(id, now);
            // Looking can settle a change that others wait for.
            let wakers = state.take_wakers();
            match &step {
                Step::Wait(_) => {
                    state
                        .wakers
                        .entry(id)
                        .and_modify(|kept| kept.clone_from(waker))
                        .or_insert_with(|| waker.clone());
                }
                Step::Event(_) | Step::End(_) => drop(state.wakers.remove(&id)),
            }
            (step, wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
        step
    }

    /// Forgets a subscription: its client is gone.
    pub(super) fn unsubscribe(&self, id: SubscriptionId) {
        let _waker = {
            let mut state = self.lock();
            state.store.unsubscribe(id);
            state.wakers.remove(&id)
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The store does not panic; were it to, each operation checks before it changes.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
