//! Whose request it is, where others stand in front of this server.
//!
//! Each proxy adds to the right of `X-Forwarded-For` whom it got the request from. So what stands
//! there is as true as the one that wrote it: read from the right, the first that is no proxy of
//! ours is the client, and everything to the left of it is what the client says.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use super::network::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request that came from `peer`: the rightmost hop that is not trusted, or the
/// leftmost of all where all are. What is no address ends the search: whoever wrote it is then the
/// last of whom anything is known.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |hop: IpAddr| trusted.iter().any(|network| network.contains(hop));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    // Several headers of one name are one list, in their order (RFC 9110, 5.2).
    for line in headers.get_all(X_FORWARDED_FOR).iter().rev() {
        let Ok(line) = line.to_str() else {
            return client;
        };
        for hop in line
            .rsplit(',')
            .map(str::trim)
            .filter(|hop| !hop.is_empty())
        {
            let Some(hop) = address(hop) else {
                return client;
            };
            client = hop;
            if !is_trusted(client) {
                return client;
            }
        }
    }
    client
}

/// An address, also with a port behind it, as some balancers write it.
pub(super) fn address(hop: &str) -> Option<IpAddr> {
    let alone = hop.parse::<IpAddr>().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    alone
        .or_else(with_port)
        .or_else(|| bracketed().map(IpAddr::V6))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks() -> Vec<Network> {
        ["10.0.0.0/8", "fd00::/8", "127.0.0.1"]
            .map(|text| text.parse().unwrap())
            .to_vec()
    }

    fn of(peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, (*line).try_into().unwrap());
        }
        client(peer.parse().unwrap(), &headers, &networks()).to_string()
    }

    #[test]
    fn only_the_word_of_a_trusted_proxy_counts() {
        for (peer, line, client) in [
            ("203.0.113.1", "198.51.100.1", "203.0.113.1"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
            (
                "10.0.0.1",
                "1.1.1.1, 198.51.100.1, 10.9.9.9,fd00::1",
                "198.51.100.1",
            ),
            ("10.0.0.1", "10.0.0.7, 10.0.0.8", "10.0.0.7"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", " , ,198.51.100.1,, ", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
            ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
            ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
            // What is no address, and what stands left of it, counts for nothing.
            ("10.0.0.1", "unknown", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, _hidden, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "198.51.100.1, 198.51.100.1:99999", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, 127.1", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, 0x7f.0.0.1", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, \"203.0.113.9\"", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1 203.0.113.9", "10.0.0.1"),
        ] {
            assert_eq!(of(peer, &[line.as_bytes()]), client, "{peer} {line:?}");
        }
    }

    #[test]
    fn several_headers_are_one_list() {
        let lines: [&[u8]; 2] = [b"1.1.1.1, 198.51.100.1", b"10.0.0.2"];
        assert_eq!(of("10.0.0.1", &lines), "198.51.100.1");
        assert_eq!(of("10.0.0.1", &[lines[1], lines[0]]), "198.51.100.1");
        assert_eq!(of("10.0.0.1", &[b"198.51.100.1", b"\xff"]), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn what_a_client_writes_changes_nothing(forged in "[ -~]{0,60}", client in any::<u32>()) {
            let client = IpAddr::V4(client.into());
            prop_assume!(networks().iter().all(|network| !network.contains(client)));
            let line = format!("{forged}, {client}, 10.0.0.9");
            prop_assert_eq!(of("10.0.0.1", &[line.as_bytes()]), client.to_string());
        }
    }
}
