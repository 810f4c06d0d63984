//! How much one client, and one room, may have: shared by all workers, and bounded itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;

mod addresses;
mod forwarded;
mod network;
mod rate;
mod sharded;

use addresses::Addresses;
pub(super) use addresses::{Seat, TooMany};
pub use network::{InvalidNetwork, Network};
use rate::Buckets;
pub use rate::{InvalidRate, Rate};
use sharded::{PARTS, Sharded};

use super::Config;
use crate::message::Room;

/// The most buckets of rooms, and of clients: some 8 MB each, if so many are in use in one second.
const MOST_BUCKETS: usize = 1 << 16;

/// What limits one client, and one room.
#[derive(Debug)]
pub struct Limits {
    trusted: Vec<Network>,
    connections: Arc<Addresses>,
    clients: Option<Sharded<Buckets<IpAddr>>>,
    rooms: Option<Sharded<Buckets<Room>>>,
    /// What the times of the buckets count from.
    start: Instant,
}

/// Which limit a message is over, and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    /// Its client's.
    Client(Duration),
    /// Its room's.
    Room(Duration),
}

impl Limits {
    /// The limits that are set.
    pub fn new(config: &Config) -> Self {
        Self {
            connections: Addresses::new(
                config.address_connections,
                config.trusted_proxies.is_empty(),
            ),
            trusted: config.trusted_proxies.clone(),
            clients: config.address_rate.map(buckets),
            rooms: config.room_rate.map(buckets),
            start: Instant::now(),
        }
    }

    /// The client of a request that came from `peer`.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        forwarded::client(peer, headers, &self.trusted)
    }

    /// Counts a connection from `peer`, `all` being how many are open with it. One from a trusted
    /// proxy is nobody's, until it becomes the WebSocket of one client.
    pub(super) fn connect(&self, peer: IpAddr, all: usize) -> Result<Option<Seat>, TooMany> {
        if self.is_trusted(peer) {
            return Ok(None);
        }
        self.connections.enter(peer, all)
    }

    /// Counts a WebSocket of `client`, if it was not counted as a connection from `peer`.
    pub(super) fn view(&self, peer: IpAddr, client: IpAddr) -> Result<Option<Seat>, TooMany> {
        if self.is_trusted(peer) && !self.is_trusted(client) {
            return self.connections.enter(client, 0);
        }
        Ok(None)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whether `client` may publish to `room` now.
    pub(super) fn publish(&self, client: IpAddr, room: &Room, now: Instant) -> Result<(), Busy> {
        let now = now.saturating_duration_since(self.start);
        if let Some(clients) = &self.clients {
            let client = network::client(client);
            let taken = clients.with(&client, |buckets| buckets.take(client, now));
            taken.map_err(Busy::Client)?;
        }
        if let Some(rooms) = &self.rooms {
            let taken = rooms.with(room, |buckets| buckets.take(room.clone(), now));
            taken.map_err(Busy::Room)?;
        }
        Ok(())
    }
}

fn buckets<K: Eq + std::hash::Hash>(rate: Rate) -> Sharded<Buckets<K>> {
    Sharded::new(|| Buckets::new(rate, MOST_BUCKETS / PARTS))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(config: &Config) -> Limits {
        Limits::new(config)
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn room(name: &str) -> Room {
        Room::new(name).unwrap()
    }

    #[test]
    fn a_client_is_limited_in_all_rooms_and_a_room_by_all_clients() {
        let limits = limits(&Config {
            address_rate: Some("2/10s".parse().unwrap()),
            room_rate: Some("3/10s".parse().unwrap()),
            ..Config::default()
        });
        let now = Instant::now();
        let publish = |client, name| limits.publish(at(client), &room(name), now);
        assert_eq!(publish("203.0.113.1", "a"), Ok(()));
        assert_eq!(publish("203.0.113.1", "b"), Ok(()));
        let busy = publish("203.0.113.1", "c");
        assert!(matches!(busy, Err(Busy::Client(_))), "{busy:?}");
        assert_eq!(publish("2001:db8::1", "a"), Ok(()));
        assert_eq!(publish("2001:db8::2", "a"), Ok(()));
        let busy = publish("2001:db8::3", "d");
        assert!(
            matches!(busy, Err(Busy::Client(_))),
            "one network: {busy:?}"
        );
        let busy = publish("203.0.113.9", "a");
        assert!(matches!(busy, Err(Busy::Room(_))), "{busy:?}");
        assert_eq!(publish("203.0.113.9", "b"), Ok(()));
    }

    #[test]
    fn behind_a_trusted_proxy_websockets_count_for_their_client_and_other_connections_for_nobody() {
        let limits = limits(&Config {
            address_connections: Some(1),
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..Config::default()
        });
        let (proxy, one, other) = (at("10.0.0.1"), at("203.0.113.1"), at("203.0.113.2"));
        assert!(limits.connect(proxy, 1).unwrap().is_none());
        assert!(limits.connect(proxy, 2).unwrap().is_none());
        let seat = limits.view(proxy, one).unwrap();
        assert!(seat.is_some());
        assert_eq!(limits.view(proxy, one).err(), Some(TooMany));
        assert_eq!(
            limits.connect(one, 3).err(),
            Some(TooMany),
            "however it comes"
        );
        assert!(limits.view(proxy, other).unwrap().is_some());
        drop(seat);
        let seat = limits.connect(one, 3).unwrap();
        assert!(seat.is_some());
        assert!(
            limits.view(one, one).unwrap().is_none(),
            "it is counted already"
        );
    }
}
