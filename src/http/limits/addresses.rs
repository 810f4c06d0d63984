//! How many connections each client has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;

use super::network::{client, is_private};
use super::sharded::{PARTS, Sharded};

/// Clients whose connections are counted at most; those of further ones are not. Connections are
/// limited in all, so it is reached only by who sets more of them than a machine has memory for.
const MOST: usize = 1 << 20;
/// From so many connections on it is looked whether they have one address.
const CROWD: usize = 100;

/// The open connections of each client.
#[derive(Debug)]
pub(super) struct Addresses {
    /// How many one client may have, if that is limited. If it is not, only those of private
    /// addresses are counted.
    limit: Option<usize>,
    /// Whether it would be a surprise that everybody comes from one private address.
    watch: bool,
    warned: AtomicBool,
    open: Sharded<HashMap<IpAddr, usize>>,
}

/// A client's connection; counted until dropped.
#[derive(Debug)]
pub(in crate::http) struct Seat {
    addresses: Arc<Addresses>,
    client: IpAddr,
}

impl Addresses {
    pub(super) fn new(limit: Option<usize>, watch: bool) -> Arc<Self> {
        Arc::new(Self {
            limit,
            watch,
            warned: AtomicBool::new(false),
            open: Sharded::new(HashMap::new),
        })
    }

    /// Counts a connection, `all` being how many are open with it. `Ok(None)` if it need not be
    /// counted.
    ///
    /// # Errors
    /// If its client has as many as it may.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        all: usize,
    ) -> Result<Option<Seat>, TooMany> {
        let watched = self.watch && is_private(address);
        if self.limit.is_none() && !watched {
            return Ok(None);
        }
        let client = client(address);
        let limit = self.limit.unwrap_or(usize::MAX);
        let count = self.open.with(&client, |open| {
            if !open.contains_key(&client) && open.len() >= MOST / PARTS {
                return Ok(None);
            }
            let count = open.entry(client).or_default();
            if *count >= limit {
                return Err(TooMany);
            }
            *count += 1;
            Ok(Some(*count))
        })?;
        if watched && count.is_some_and(|count| is_everybody(count, all)) {
            self.warn(client);
        }
        let addresses = Arc::clone(self);
        Ok(count.map(|_| Seat { addresses, client }))
    }

    fn warn(&self, address: IpAddr) {
        // Relaxed: nothing is published through it.
        if !self.warned.swap(true, Ordering::Relaxed) {
            warn!(
                %address,
                "nearly all connections come from one private address: if that is a load balancer, \
                 name it in --trusted-proxies, so that limits hold for the clients behind it"
            );
        }
    }

    #[cfg(test)]
    fn clients(&self) -> usize {
        self.open.sum(HashMap::len)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.addresses.open.with(&self.client, |open| {
            if let Some(count) = open.get_mut(&self.client) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&self.client);
                    open.shrink_to(open.len() * 2);
                }
            }
        });
    }
}

/// A client has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct TooMany;

/// Whether so many of all connections are more than 90 % of a hundred or more.
fn is_everybody(count: usize, all: usize) -> bool {
    all >= CROWD && count * 10 > all * 9
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn everybody_is_more_than_nine_in_ten_of_a_hundred() {
        assert!(!is_everybody(99, 99) && is_everybody(91, 100) && !is_everybody(90, 100));
        assert!(is_everybody(9_001, 10_000) && !is_everybody(9_000, 10_000));
    }

    #[test]
    fn without_a_limit_only_private_addresses_are_counted_and_only_if_they_matter() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let watching = Addresses::new(None, true);
        assert!(watching.enter(at("203.0.113.1"), 1).unwrap().is_none());
        assert!(watching.enter(at("10.0.0.1"), 2).unwrap().is_some());
        let idle = Addresses::new(None, false);
        assert!(idle.enter(at("10.0.0.1"), 1).unwrap().is_none());
    }

    #[test]
    fn it_is_noted_once_that_all_come_from_one_private_address() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for (address, limit, noted) in [
            ("10.0.0.1", None, true),
            ("10.0.0.1", Some(1_000), true),
            ("203.0.113.1", Some(1_000), false),
        ] {
            let addresses = Addresses::new(limit, true);
            let enter = |all| addresses.enter(at(address), all).unwrap();
            let _seats: Vec<_> = (1..=99).map(enter).collect();
            assert!(!addresses.warned.load(Ordering::Relaxed));
            let _hundredth = enter(100);
            assert_eq!(addresses.warned.load(Ordering::Relaxed), noted, "{address}");
        }
    }

    proptest! {
        #[test]
        fn each_has_at_most_as_many_as_it_may_and_who_leaves_is_forgotten(
            limit in 1_usize..5,
            steps in prop::collection::vec((0_u8..6, any::<bool>()), 1..200),
        ) {
            let addresses = Addresses::new(Some(limit), true);
            let mut seats: HashMap<u8, Vec<Seat>> = HashMap::new();
            for (who, come) in steps {
                let address = IpAddr::from([10, 0, 0, who]);
                let own = seats.entry(who).or_default();
                if !come {
                    own.pop();
                    continue;
                }
                let entered = addresses.enter(address, 1);
                prop_assert_eq!(entered.is_err(), own.len() == limit);
                own.extend(entered.ok().flatten());
                prop_assert!(own.len() <= limit);
            }
            let present = seats.values().filter(|own| !own.is_empty()).count();
            prop_assert_eq!(addresses.clients(), present);
            drop(seats);
            prop_assert_eq!(addresses.clients(), 0);
        }
    }
}
