//! Which connections calls and subscriptions go over, and when they are left.
//!
//! An HTTP client of the SDK speaks HTTP/2 over one connection, keeps to it, and has no ping: a
//! connection that died without a sign would swallow every call until the kernel gives it up, a
//! quarter of an hour later. So a call that got no answer in time makes its connection suspect:
//! calls that follow go over a new one, those under way stay where they are. It costs a handshake
//! where the service was merely slow.
//!
//! Subscriptions are spread, so many to a connection, for they share its flow control, its limit
//! of concurrent streams and its end. A server's limit is met by a subscription that does not open
//! while others on the same connection do get events; from then on no more are put on one.
//!
//! [`Spread`] is pure; the shells around it keep clients.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aws_sdk_kinesis::Client;

use super::Error;

/// Subscriptions on one connection, as long as the server allows as many.
const SUBSCRIPTIONS: usize = 16;

/// Makes clients with connections of their own.
#[derive(Clone)]
pub(super) struct Maker(Arc<dyn Fn() -> Result<Client, Error> + Send + Sync>);

impl Maker {
    pub(super) fn new(make: impl Fn() -> Result<Client, Error> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Maker")
    }
}

/// The connections for calls.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    make: Maker,
    current: Arc<Mutex<Current>>,
}

/// The client of the moment.
#[derive(Clone, Debug)]
struct Current {
    client: Client,
    generation: u64,
}

impl Calls {
    pub(super) fn new(make: Maker) -> Result<Self, Error> {
        let client = (make.0)()?;
        let current = Current {
            client,
            generation: 0,
        };
        Ok(Self {
            make,
            current: Arc::new(Mutex::new(current)),
        })
    }

    /// A client to make calls with, and what it is to be called when it gets no answer.
    pub(super) fn client(&self) -> (Client, Generation) {
        let current = lock(&self.current);
        (current.client.clone(), Generation(current.generation))
    }

    /// A call over that client got no answer in time: the next go over another.
    pub(super) fn suspect(&self, generation: Generation) {
        let mut current = lock(&self.current);
        // Of all that waited, the first to say so is enough.
        if current.generation != generation.0 {
            return;
        }
        match (self.make.0)() {
            Ok(client) => {
                current.client = client;
                current.generation += 1;
                tracing::info!("no answer in time: the next calls go over a new connection");
            }
            Err(error) => tracing::warn!(%error, "no new connection can be made"),
        }
    }
}

/// Tells clients of one kind apart, older from newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// The connections for subscriptions.
#[derive(Clone, Debug)]
pub(super) struct Subscriptions {
    make: Maker,
    pool: Arc<Mutex<Pool>>,
}

#[derive(Debug)]
struct Pool {
    spread: Spread,
    clients: BTreeMap<u64, Client>,
}

impl Subscriptions {
    pub(super) fn new(make: Maker) -> Self {
        let pool = Pool {
            spread: Spread::new(SUBSCRIPTIONS),
            clients: BTreeMap::new(),
        };
        Self {
            make,
            pool: Arc::new(Mutex::new(pool)),
        }
    }

    /// A place for one subscription.
    pub(super) fn place(&self) -> Result<(Client, Place), Error> {
        let mut guard = lock(&self.pool);
        let pool = &mut *guard;
        let number = pool.spread.take(Instant::now());
        // Made with the place, so that there is no second of it.
        let place = Place {
            pool: Arc::clone(&self.pool),
            number,
            is_open: false,
        };
        let client = match pool.clients.get(&number) {
            Some(client) => Ok(client.clone()),
            None => (self.make.0)().inspect(|client| {
                pool.clients.insert(number, client.clone());
            }),
        };
        // The place locks when it is dropped.
        drop(guard);
        Ok((client?, place))
    }
}

/// A subscription's place on a connection; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pool: Arc<Mutex<Pool>>,
    number: u64,
    is_open: bool,
}

impl Place {
    /// The subscription is open.
    pub(super) fn opened(&mut self, now: Instant) {
        self.is_open = true;
        lock(&self.pool).spread.opened(self.number, now);
    }

    /// It brought something.
    pub(super) fn alive(&self, now: Instant) {
        lock(&self.pool).spread.alive(self.number, now);
    }

    /// It did not open in time, since then, or fell silent.
    pub(super) fn suspect(&self, since: Instant) {
        let mut pool = lock(&self.pool);
        if self.is_open {
            pool.spread.fell_silent(self.number, since);
        } else {
            pool.spread.did_not_open(self.number, since);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pool = lock(&self.pool);
        if pool.spread.leave(self.number, self.is_open) {
            pool.clients.remove(&self.number);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which connection each subscription goes on. Pure.
#[derive(Debug)]
struct Spread {
    connections: BTreeMap<u64, Connection>,
    next: u64,
    /// The most subscriptions on one.
    most: usize,
}

#[derive(Debug)]
struct Connection {
    opening: usize,
    open: usize,
    /// When a subscription on it last opened or brought something.
    alive: Instant,
    /// No more are put on it.
    is_left: bool,
}

impl Spread {
    fn new(most: usize) -> Self {
        Self {
            connections: BTreeMap::new(),
            next: 0,
            most,
        }
    }

    /// The connection for one more: the fullest that has room, or a new one.
    fn take(&mut self, now: Instant) -> u64 {
        let room = |connection: &Connection| {
            !connection.is_left && connection.opening + connection.open < self.most
        };
        let fullest = self
            .connections
            .iter_mut()
            .rev()
            .filter(|(_, connection)| room(connection))
            // The oldest of those that are equally full.
            .max_by_key(|(_, connection)| connection.opening + connection.open);
        if let Some((number, connection)) = fullest {
            connection.opening += 1;
            return *number;
        }
        let number = self.next;
        self.next += 1;
        let connection = Connection {
            opening: 1,
            open: 0,
            alive: now,
            is_left: false,
        };
        self.connections.insert(number, connection);
        number
    }

    fn opened(&mut self, number: u64, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.opening = connection.opening.saturating_sub(1);
            connection.open += 1;
            connection.alive = now;
        }
    }

    fn alive(&mut self, number: u64, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.alive = now;
        }
    }

    /// A subscription did not open. If others got something meanwhile, there are too many of them;
    /// else the connection is suspect.
    fn did_not_open(&mut self, number: u64, since: Instant) {
        if let Some(connection) = self.connections.get_mut(&number) {
            if connection.alive > since && connection.open > 0 {
                self.most = self.most.min(connection.open);
            } else {
                connection.is_left = true;
            }
        }
    }

    /// A subscription said nothing. If others did since then, it was not the connection.
    fn fell_silent(&mut self, number: u64, since: Instant) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.is_left |= connection.alive <= since;
        }
    }

    /// A subscription is over. True if its connection is over with it.
    fn leave(&mut self, number: u64, was_open: bool) -> bool {
        let Some(connection) = self.connections.get_mut(&number) else {
            return false;
        };
        let count = if was_open {
            &mut connection.open
        } else {
            &mut connection.opening
        };
        *count = count.saturating_sub(1);
        // One that is good is kept for the renewal.
        let is_over = connection.open + connection.opening == 0 && connection.is_left;
        if is_over {
            self.connections.remove(&number);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn subscriptions_fill_a_connection_before_the_next() {
        let now = Instant::now();
        let mut spread = Spread::new(2);
        let places: Vec<u64> = (0..5).map(|_| spread.take(now)).collect();
        assert_eq!(places, [0, 0, 1, 1, 2]);
        // What is renewed goes where there is room.
        spread.opened(1, now);
        assert!(!spread.leave(1, true));
        assert_eq!(spread.take(now), 1);
    }

    #[test]
    fn a_connection_on_which_nothing_comes_is_left_and_forgotten_with_its_last() {
        let now = Instant::now();
        let mut spread = Spread::new(4);
        for _ in 0..2 {
            spread.take(now);
            spread.opened(0, now);
        }
        spread.fell_silent(0, now + SECOND);
        assert!(!spread.leave(0, true));
        assert_eq!(spread.take(now), 1, "a new one");
        assert!(spread.leave(0, true));
        // Of those that do not open, likewise.
        spread.did_not_open(1, now + SECOND);
        assert!(spread.leave(1, false));
        assert_eq!(spread.take(now), 2);
        assert_eq!(spread.most, 4);
    }

    #[test]
    fn a_shard_that_falls_silent_alone_is_not_the_connections_fault() {
        let now = Instant::now();
        let mut spread = Spread::new(4);
        for _ in 0..2 {
            spread.take(now);
            spread.opened(0, now);
        }
        spread.alive(0, now + 2 * SECOND);
        spread.fell_silent(0, now + SECOND);
        assert!(!spread.leave(0, true));
        assert_eq!(spread.take(now), 0);
    }

    #[test]
    fn a_limit_of_streams_is_learnt_from_one_that_does_not_open() {
        let now = Instant::now();
        let mut spread = Spread::new(4);
        for _ in 0..4 {
            spread.take(now);
        }
        for _ in 0..2 {
            spread.opened(0, now);
        }
        spread.alive(0, now + 2 * SECOND);
        for _ in 0..2 {
            spread.did_not_open(0, now + SECOND);
            assert!(!spread.leave(0, false));
        }
        let places: Vec<u64> = (0..4).map(|_| spread.take(now)).collect();
        assert_eq!(places, [1, 1, 2, 2]);
    }
}
