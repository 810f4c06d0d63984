//! Which pages may use this server.
//!
//! A browser names the site whose page sends a request in `Origin`. Ours is the one whose host and
//! port are those of `Host`, whatever the scheme, for TLS may end before us; further ones are
//! listed in the settings and get the CORS headers that let their pages read the answer.
//! No `Origin` at all is no browser, or a request that a page cannot forge the meaning of.

use std::fmt;
use std::str::FromStr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, StatusCode};

use super::problem::{Kind, Problem};
use super::reply::{self, Reply};

/// A site: scheme, host and port, as browsers write it (RFC 6454, section 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// The text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an origin")]
pub struct InvalidOrigin;

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, authority) = text.split_once("://").ok_or(InvalidOrigin)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(plain) {
            return Err(InvalidOrigin);
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = host_and_port(authority).ok_or(InvalidOrigin)?;
        let port = port.filter(|port| Some(*port) != default_port(&scheme));
        Ok(Self { scheme, host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Origin {
    /// Whether a request to `host` (a `Host` header) is one to where the page came from.
    fn is_at(&self, host: &str) -> bool {
        let default = default_port(&self.scheme);
        let port = self.port.or(default);
        host_and_port(host).is_some_and(|(host, at)| host == self.host && at.or(default) == port)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Host in lower case and port, of `host[:port]` and nothing more.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    // What follows the host is a port or nothing: no user, no empty or enormous port.
    let port = match text.strip_prefix(host)? {
        "" => None,
        rest => Some(rest.strip_prefix(':')?),
    };
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// Nobody says: not a page of another site.
    Unnamed,
    /// A page of ours.
    Own,
    /// A page of a site on the list; the value is what it calls itself.
    Listed(HeaderValue),
    /// A page of any other site.
    Foreign,
}

/// Finds out where a request comes from.
pub(super) fn sender(request: &Parts, listed: &[Origin]) -> Sender {
    let mut values = request.headers.get_all(ORIGIN).iter();
    let (value, more) = (values.next(), values.next());
    let Some(value) = value else {
        return Sender::Unnamed;
    };
    // `null` is a page without an origin, such as one in a sandbox: it does not parse.
    let origin: Option<Origin> = value.to_str().ok().and_then(|text| text.parse().ok());
    let Some(origin) = origin.filter(|_| more.is_none()) else {
        return Sender::Foreign;
    };
    if host(request).is_some_and(|host| origin.is_at(host)) {
        Sender::Own
    } else if listed.contains(&origin) {
        Sender::Listed(value.clone())
    } else {
        Sender::Foreign
    }
}

/// The authority the request was sent to: `:authority` in HTTP/2, else `Host`.
fn host(request: &Parts) -> Option<&str> {
    match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers.get(HOST)?.to_str().ok(),
    }
}

/// Refuses what a page of another site sent.
pub(super) fn check(sender: &Sender) -> Result<(), Problem> {
    match sender {
        Sender::Foreign => Err(Kind::ForeignOrigin.into()),
        Sender::Unnamed | Sender::Own | Sender::Listed(_) => Ok(()),
    }
}

/// Lets a listed site's page read the answer, and tells caches that it depends on the site.
pub(super) fn share(sender: &Sender, headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Sender::Listed(origin) = sender {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Retry-After"),
        );
    }
}

/// The answer to a browser that asks beforehand (`OPTIONS`); `methods` are those allowed here.
pub(super) fn preflight(sender: &Sender, methods: &'static str) -> Result<Reply, Problem> {
    check(sender)?;
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    headers.insert(http::header::ALLOW, HeaderValue::from_static(methods));
    if matches!(sender, Sender::Listed(_)) {
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, "POST"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type"),
            (ACCESS_CONTROL_MAX_AGE, "600"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn from(origin: Option<&str>, host: &str, listed: &[&str]) -> Sender {
        let mut request = Request::builder().uri("/").header(HOST, host);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        let listed: Vec<Origin> = listed.iter().map(|text| text.parse().unwrap()).collect();
        sender(&request.body(()).unwrap().into_parts().0, &listed)
    }

    #[test]
    fn our_own_page_is_known_by_host_and_port_whatever_the_scheme() {
        for (origin, host) in [
            ("http://chat.example", "chat.example"),
            ("https://chat.example", "chat.example"),
            ("https://chat.example", "chat.example:443"),
            ("http://chat.example", "chat.example:80"),
            ("http://chat.example:80", "chat.example"),
            ("https://chat.example:8443", "chat.example:8443"),
            ("HTTP://Chat.Example", "chat.EXAMPLE"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(
                from(Some(origin), host, &[]),
                Sender::Own,
                "{origin} {host}"
            );
        }
    }

    #[test]
    fn every_other_page_is_foreign() {
        for (origin, host) in [
            ("null", "chat.example"),
            ("", "chat.example"),
            ("chat.example", "chat.example"),
            ("http://", "chat.example"),
            ("http://evil.example", "chat.example"),
            ("http://chat.example.evil.example", "chat.example"),
            ("http://chat.example:81", "chat.example"),
            ("http://chat.example", "chat.example:443"),
            ("http://chat.example/", "chat.example"),
            ("http://a@chat.example", "chat.example"),
            ("http://chat.example@evil.example", "chat.example"),
            ("http://chat.example:", "chat.example"),
            ("http://chat.example:+80", "chat.example"),
            ("http://chat.example:99999", "chat.example:99999"),
            ("http://chat.example http://chat.example", "chat.example"),
            ("http://chat.example", ""),
        ] {
            assert_eq!(
                from(Some(origin), host, &[]),
                Sender::Foreign,
                "{origin:?} {host:?}"
            );
        }
        assert_eq!(from(None, "chat.example", &[]), Sender::Unnamed);
    }

    #[test]
    fn two_origins_are_foreign() {
        let request = Request::builder()
            .header(HOST, "a")
            .header(ORIGIN, "http://a")
            .header(ORIGIN, "http://a");
        let parts = request.body(()).unwrap().into_parts().0;
        assert_eq!(sender(&parts, &[]), Sender::Foreign);
    }

    #[test]
    fn the_authority_of_http_2_counts_as_host() {
        let request = Request::builder()
            .uri("http://a:1/")
            .header(ORIGIN, "http://a:1");
        let parts = request.body(()).unwrap().into_parts().0;
        assert_eq!(sender(&parts, &[]), Sender::Own);
    }

    #[test]
    fn a_listed_site_gets_the_headers_that_let_it_read() {
        let sender = from(
            Some("https://event.example"),
            "a",
            &["https://EVENT.example:443"],
        );
        let Sender::Listed(_) = &sender else {
            panic!("{sender:?}")
        };
        let reply = preflight(&sender, "POST, OPTIONS").unwrap();
        assert_eq!(reply.headers()["access-control-allow-methods"], "POST");
        let mut headers = HeaderMap::new();
        share(&sender, &mut headers);
        assert_eq!(
            headers["access-control-allow-origin"],
            "https://event.example"
        );
        assert_eq!(headers["access-control-expose-headers"], "Retry-After");
        assert_eq!(headers["vary"], "Origin");
        // The scheme counts for what is on the list: it says whom to trust.
        let other = from(
            Some("http://event.example"),
            "a",
            &["https://event.example"],
        );
        assert_eq!(other, Sender::Foreign);
        assert!(preflight(&other, "POST, OPTIONS").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_survives_the_round_trip(text in "\\PC{0,40}") {
            for text in [text.clone(), format!("http://{text}")] {
                if let Ok(origin) = text.parse::<Origin>() {
                    prop_assert_eq!(origin.to_string().parse(), Ok(origin));
                }
            }
        }
    }
}
