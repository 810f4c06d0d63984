//! What stands in `X-Forwarded-For`, and what may be set to trust it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Network;
use super::forwarded::{address, client};
use crate::fuzz::{Changes, fuzz};

#[test]
fn lists_of_hops_give_one_of_them_or_the_peer() {
    let trusted: Vec<Network> = ["10.0.0.0/8", "fd00::/8", "127.0.0.1"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    let right: [&[u8]; 4] = [
        b"198.51.100.1, 10.0.0.2",
        b"[2001:db8::1]:4711 ,fd00::1",
        b"unknown, 203.0.113.9:80,127.0.0.1",
        b"::ffff:198.51.100.1",
    ];
    fuzz!(5_000, (u8, Changes), |(of, changes): &(u8, Changes)| {
        let line = changes.apply(right[usize::from(*of) % right.len()].to_vec());
        let Ok(value) = HeaderValue::from_bytes(&line) else {
            return;
        };
        let name = HeaderName::from_static("x-forwarded-for");
        let headers = HeaderMap::from_iter([(name, value)]);
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let found = client(peer, &headers, &trusted);
        let text = String::from_utf8_lossy(&line);
        let mut hops = text.split(',').filter_map(|hop| address(hop.trim()));
        assert!(found == peer || hops.any(|hop| hop == found), "{found}");
        let stranger = "203.0.113.1".parse().unwrap();
        assert_eq!(client(stranger, &headers, &trusted), stranger);
    });
}

#[test]
fn networks_are_read_or_refused() {
    let right = [
        "10.0.0.0/8",
        "2001:db8::/32",
        "127.0.0.1",
        "fd00::1",
        "0.0.0.0/0",
    ];
    fuzz!(5_000, (u8, Changes), |(of, changes): &(u8, Changes)| {
        let text = changes.apply(right[usize::from(*of) % right.len()].into());
        if let Ok(network) = String::from_utf8_lossy(&text).parse::<Network>() {
            assert_eq!(network.to_string().parse(), Ok(network));
        }
    });
}
