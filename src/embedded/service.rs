//! [`Service`]: the store behind its lock, the clock, and the ways in.

use std::io;
use std::net::SocketAddr;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;
use std::sync::{Arc, MutexGuard, Weak};
use std::task::Waker;
use std::thread::{JoinHandle, current};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::time::Instant;

use super::clock::{Clock, Now};
use super::durable::{self, OpenError, Opened, Reader, Trouble};
use super::faults::{Board, Faults};
use super::operations::{Operation, is_name};
use super::state::{Shared, State};
use super::store::{
    Batch, Cursor, Load, Loaded, Look, Mode, NewStream, Start, Step, Store, SubscriptionId, Tags,
};
use super::wire::{Connector, Listener};
use super::{Config, Error, ErrorKind, Limits};

const MIB: usize = 1024 * 1024;

/// A Kinesis, in memory or kept in a folder. Clones share one state.
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
    shared: Arc<Shared>,
    disk: Option<OnDisk>,
}

// What a panic would leave half done lies behind a lock, and whoever takes that goes on.
impl UnwindSafe for Service {}
impl RefUnwindSafe for Service {}

/// What a service has that is kept on disk.
#[derive(Debug)]
struct OnDisk {
    reader: Reader,
    trouble: Trouble,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.stop(&self.shared);
        }
    }
}

impl OnDisk {
    /// Ends the writer when it has written what there is, if it can.
    fn stop(&mut self, shared: &Shared) {
        shared.stop_writer();
        self.trouble.be_patient(false);
        let writer = self.writer.take();
        // Not by itself, should it hold the last of what holds the service. It does not panic: it catches what does.
        if let Some(writer) = writer.filter(|writer| writer.thread().id() != current().id()) {
            let _ = writer.join();
        }
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
    /// A service without streams, in memory.
    pub fn new(config: Config) -> Self {
        let store = Store::new(config.clone());
        let token_key = fastrand::u128(..).to_be_bytes();
        Self::of(config, Arc::new(Shared::new(store)), token_key, None)
    }

    /// A service whose streams are kept in a folder: those that are there, and what becomes of them. The folder is made
    /// if it is missing.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, another process uses it, or its file is damaged.
    pub fn open(config: Config, folder: &Path) -> Result<Self, OpenError> {
        let opened = durable::open(folder)?;
        Self::start(config, opened).map_err(|source| OpenError::Folder {
            path: folder.to_owned(),
            source,
        })
    }

    /// A service on what was opened.
    pub(super) fn start(config: Config, opened: Opened) -> io::Result<Self> {
        let Opened {
            disk,
            keeper,
            found,
            trouble,
        } = opened;
        let store = Store::restore(
            config.clone(),
            &found.globals,
            found.streams,
            &found.extents,
        );
        let shared = Arc::new(Shared::new(store));
        let disk = Arc::new(disk);
        let writer = durable::start(Arc::clone(&shared), Arc::clone(&disk), keeper)?;
        let on_disk = OnDisk {
            reader: Reader::new(disk),
            trouble,
            writer: Some(writer),
        };
        Ok(Self::of(config, shared, found.token_key, Some(on_disk)))
    }

    fn of(config: Config, shared: Arc<Shared>, token_key: [u8; 16], disk: Option<OnDisk>) -> Self {
        let inner = Inner {
            config,
            clock: Clock::start(),
            token_key,
            faults: Board::new(),
            shared,
            disk,
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

    /// Counts a call against its account's rates, if there are any.
    pub(super) fn count_call(&self, account: &str, operation: Operation) -> Result<(), Error> {
        match self.config().limits {
            Limits::Off => Ok(()),
            Limits::Aws => self.with(|store, now| store.count_call(account, operation.name(), now)),
        }
    }

    /// Runs one operation on the store, then wakes whom it concerns.
    pub(super) fn with<T>(&self, operation: impl FnOnce(&mut Store, Now) -> T) -> T {
        let (outcome, wakers) = {
            let mut state = self.lock();
            // Read under the lock, so that operations happen in the order of their times.
            let now = self.now();
            let outcome = operation(&mut state.store, now);
            if state.store.has_prepared() {
                self.inner.shared.tell_writer();
            }
            (outcome, state.take_wakers())
        };
        wakers.into_iter().for_each(Waker::wake);
        outcome
    }

    /// Runs one operation that changes something, and waits until the change is stored: only then may it be answered.
    ///
    /// # Errors
    /// The operation's own, after which nothing is changed. `InternalFailure`, if the disk takes no writes: then nobody
    /// knows whether something was changed. `ProvisionedThroughputExceeded`, if too much waits for the disk.
    pub(super) async fn commit<T>(
        &self,
        operation: impl FnOnce(&mut Store, Now) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(disk) = &self.inner.disk else {
            return self.with(operation);
        };
        let mut trouble = disk.trouble.watch();
        if let Some(problem) = trouble.borrow_and_update().as_deref() {
            return Err(unwritable(problem));
        }
        let (outcome, became) = {
            let mut state = self.lock();
            if let Some(problem) = state.broken.as_deref() {
                return Err(unwritable(problem));
            }
            if state.store.prepared_bytes() > durable::MOST_WAITING {
                return Err(Error::new(
                    ErrorKind::ProvisionedThroughputExceeded,
                    "More waits to be written to disk than may.",
                ));
            }
            let decided = state.store.decided();
            let now = self.now();
            let outcome = operation(&mut state.store, now);
            let has_decided = state.store.decided() != decided;
            if state.store.has_prepared() {
                self.inner.shared.tell_writer();
            }
            (outcome, has_decided.then(|| state.outcome()))
        };
        let outcome = outcome?;
        if let Some(mut became) = became {
            tokio::select! {
                became = became.wait_for(Option::is_some) => match became.as_deref() {
                    Ok(Some(Ok(()))) => {}
                    Ok(Some(Err(problem))) => return Err(unwritable(problem)),
                    Ok(None) | Err(_) => return Err(unwritable("it is stopping")),
                },
                problem = trouble.wait_for(Option::is_some) => {
                    let problem = problem.ok().and_then(|problem| problem.clone());
                    return Err(unwritable(problem.as_deref().unwrap_or("it is stopping")));
                }
            }
        }
        Ok(outcome)
    }

    /// Records from a place on, from memory or disk, and when they were read.
    pub(super) async fn read(
        &self,
        name: &str,
        from: Cursor,
        count: usize,
    ) -> Result<(Batch, Now), Error> {
        let mut loaded = None;
        loop {
            let looked = self.with(|store, now| {
                let look = store.read(name, from, count, loaded.take(), now);
                look.map(|look| (look, now))
            });
            match looked? {
                (Look::Batch(batch), now) => return Ok((batch, now)),
                (Look::Load(load), _) => loaded = Some(self.load(load).await?),
            }
        }
    }

    /// Records from disk.
    pub(super) async fn load(&self, load: Load) -> Result<Loaded, Error> {
        match &self.inner.disk {
            Some(disk) => disk.reader.load(load).await,
            None => Ok(Loaded::nothing(&load)),
        }
    }

    /// A start whose place is known in memory.
    pub(super) async fn resolve(
        &self,
        stream: &str,
        shard: &str,
        start: Start,
    ) -> Result<Start, Error> {
        let search = self.with(|store, now| store.search(stream, shard, start, now))?;
        let (Some(search), Some(disk)) = (search, &self.inner.disk) else {
            return Ok(start);
        };
        let found = disk.reader.search(search).await?;
        Ok(Start::Index(found.unwrap_or(search.to)))
    }

    /// The next step of a subscription, with what it wanted loaded. If that is to wait, `waker` is called when there is
    /// something to do.
    pub(super) fn next_step(
        &self,
        id: SubscriptionId,
        loaded: Option<Loaded>,
        waker: &Waker,
    ) -> Step {
        let (step, wakers) = {
            let mut state = self.lock();
            let now = self.now();
            let step = state.store.next(id, loaded, now);
            if state.store.has_prepared() {
                self.inner.shared.tell_writer();
            }
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
                Step::Event(_) | Step::Load(_) | Step::End(_) => drop(state.wakers.remove(&id)),
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
        self.inner.shared.lock()
    }
}

fn unwritable(problem: &str) -> Error {
    let text = format!("The stream's disk takes no writes: {problem}.");
    Error::new(ErrorKind::InternalFailure, text)
}
