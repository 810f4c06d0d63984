//! Addresses and networks of them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network (RFC 4632, RFC 4291), or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network")]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;

    /// `10.0.0.0/8`, `fd00::/8`, or an address alone. Bits behind the prefix must be 0: who sets
    /// them means another network than the one that would be taken.
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        if address != address.to_canonical() {
            // Addresses are compared in their IPv4 form: it would never match.
            return Err(InvalidNetwork);
        }
        let bits = bits(address);
        let prefix = match prefix {
            None => bits,
            Some(text) if (1..=3).contains(&text.len()) && all_digits(text) => {
                text.parse().map_err(|_| InvalidNetwork)?
            }
            Some(_) => return Err(InvalidNetwork),
        };
        if prefix > bits || masked(address, prefix) != address {
            return Err(InvalidNetwork);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Network {
    /// Whether an address lies in it.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with all bits behind the prefix 0.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32)));
            IpAddr::V4((v4.to_bits() & mask.unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128)));
            IpAddr::V6((v6.to_bits() & mask.unwrap_or(0)).into())
        }
    }
}

/// Whom limits take for one client: an IPv4 address, or a network of IPv6 that one customer has
/// all of (RFC 6177 has /64 as the least that a site is given).
pub(super) fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        v6 @ IpAddr::V6(_) => masked(v6, 64),
    }
}

/// Whether an address is of this machine or of a network that is not the internet: that is where
/// load balancers are.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xC0 == 64;
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared
        }
        IpAddr::V6(v6) => {
            v6 == Ipv6Addr::LOCALHOST || v6.is_unique_local() || v6.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_lies_in_its_networks_and_in_no_others() {
        for (network_text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("192.168.7.128/25", "192.168.7.128", "192.168.7.127"),
            ("203.0.113.7", "203.0.113.7", "203.0.113.8"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("2001:db8::7", "2001:db8::7", "2001:db8::8"),
            ("::/0", "2001:db8::", "1.2.3.4"),
        ] {
            let network = network(network_text);
            assert!(network.contains(address(inside)), "{network_text} {inside}");
            assert!(
                !network.contains(address(outside)),
                "{network_text} {outside}"
            );
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/+8",
            "10.0.0.0/08x",
            "10.0.0/8",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
            "::/129",
            "fd00::1/8",
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.1",
            "localhost",
            "10.0.0.0/0008",
            "010.0.0.0/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork), "{text:?}");
        }
    }

    #[test]
    fn a_customer_of_ipv6_is_one_client() {
        assert_eq!(
            client(address("2001:db8:1:2:3:4:5:6")),
            address("2001:db8:1:2::")
        );
        assert_eq!(client(address("203.0.113.7")), address("203.0.113.7"));
        assert_eq!(
            client(address("::ffff:203.0.113.7")),
            address("203.0.113.7")
        );
    }

    #[test]
    fn private_is_what_the_internet_does_not_route() {
        for text in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(address(text)), "{text}");
        }
        for text in ["172.32.0.1", "100.128.0.1", "203.0.113.7", "2001:db8::1"] {
            assert!(!is_private(address(text)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_network_of_an_address_has_it_and_survives_the_round_trip(
            bits: u128,
            v4: bool,
            prefix in 0_u8..=128,
        ) {
            let (address, prefix): (IpAddr, _) = if v4 {
                let low = u32::try_from(bits & 0xFFFF_FFFF).unwrap();
                (IpAddr::V4(low.into()), prefix % 33)
            } else {
                (IpAddr::V6(bits.into()), prefix)
            };
            prop_assume!(address == address.to_canonical());
            let network = Network { address: masked(address, prefix), prefix };
            prop_assert!(network.contains(address));
            let text = network.to_string();
            if network.address == network.address.to_canonical() {
                prop_assert_eq!(text.parse(), Ok(network));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}", like in "[0-9a-f:./]{0,30}") {
            let _ = (text.parse::<Network>(), like.parse::<Network>());
        }
    }
}
