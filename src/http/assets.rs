//! The page and what belongs to it, out of the program itself.
//!
//! Everything that can be known beforehand is: types, tags, compressed variants (made by
//! `build.rs`). A request is a look-up by name in a table, so no path leads anywhere else, and
//! the bytes go out as they lie in the binary.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use rust_embed::{EmbeddedFile, RustEmbed};

use super::Origin;
use super::reply::{self, Reply};

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/assets"]
struct Embedded;

/// The page, for `/`.
const INDEX: &str = "index.html";

/// The codings in which an asset can go out; the dearer to make, the better to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Brotli,
    Gzip,
    Identity,
}

impl Coding {
    const ALL: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Identity];

    /// Its name in headers and its folder among the embedded files.
    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }
}

/// One file in all its codings.
pub(super) struct Asset {
    kind: HeaderValue,
    cache: HeaderValue,
    variants: Vec<Variant>,
}

struct Variant {
    coding: Coding,
    tag: HeaderValue,
    body: Bytes,
}

static ASSETS: LazyLock<HashMap<String, Asset>> = LazyLock::new(|| {
    let names = Embedded::iter();
    let names = names.filter_map(|path| Some(path.strip_prefix("identity/")?.to_owned()));
    names
        .map(|name| (name.clone(), Asset::load(&name)))
        .collect()
});

/// The asset at this path of a URL.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    let name = match path.strip_prefix('/')? {
        "" => INDEX,
        INDEX => return None, // one address for one thing
        name => name,
    };
    ASSETS.get(name)
}

impl Asset {
    fn load(name: &str) -> Self {
        let variant = |coding: Coding| {
            let file = Embedded::get(&format!("{}/{name}", coding.name()))?;
            Some(Variant::new(coding, file))
        };
        let (kind, cache) = describe(name);
        Self {
            kind: HeaderValue::from_static(kind),
            cache: HeaderValue::from_static(cache),
            variants: Coding::ALL.into_iter().filter_map(variant).collect(),
        }
    }

    /// The answer to a request with these headers.
    pub(super) fn serve(&self, request: &HeaderMap, policy: &Policy) -> Reply {
        let accepted = request.get_all(ACCEPT_ENCODING).iter();
        let accepted: Vec<&str> = accepted.filter_map(|value| value.to_str().ok()).collect();
        let offers = self.variants.iter().map(|variant| variant.coding);
        let coding = negotiate(&accepted, offers);
        let found = self
            .variants
            .iter()
            .find(|variant| variant.coding == coding);
        let Some(variant) = found else {
            return reply::empty(StatusCode::NOT_FOUND);
        };
        let known = request.get_all(IF_NONE_MATCH).iter();
        let known = known.filter_map(|value| value.to_str().ok());
        let mut reply = if is_known(known, &variant.tag) {
            reply::empty(StatusCode::NOT_MODIFIED)
        } else {
            let mut reply = reply::empty(StatusCode::OK);
            *reply.body_mut() = Full::new(variant.body.clone());
            let headers = reply.headers_mut();
            headers.insert(CONTENT_TYPE, self.kind.clone());
            if coding != Coding::Identity {
                let coding = HeaderValue::from_static(coding.name());
                headers.insert(CONTENT_ENCODING, coding);
            }
            reply
        };
        let headers = reply.headers_mut();
        headers.insert(ETAG, variant.tag.clone());
        headers.insert(CACHE_CONTROL, self.cache.clone());
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        policy.apply(headers);
        reply
    }
}

impl Variant {
    fn new(coding: Coding, file: EmbeddedFile) -> Self {
        // Of the variant's own bytes, so that each coding has its own strong tag
        // (RFC 9110, section 8.8.3.3).
        let hash = file.metadata.sha256_hash();
        let digits = hash.iter().take(12).map(|byte| format!("{byte:02x}"));
        let tag = format!("\"{}\"", digits.collect::<String>());
        Self {
            coding,
            tag: HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\"")),
            body: match file.data {
                Cow::Borrowed(data) => Bytes::from_static(data),
                Cow::Owned(data) => data.into(),
            },
        }
    }
}

/// Type and caching of a file by its ending.
///
/// Names do not change with the content. So the page is always asked for anew, and the modules
/// and styles it is made of may be a minute old: after an update no page mixes old and new for
/// longer than that.
fn describe(name: &str) -> (&'static str, &'static str) {
    const ASK: &str = "no-cache";
    const MINUTE: &str = "public, max-age=60, must-revalidate";
    const DAY: &str = "public, max-age=86400";
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "html" => ("text/html; charset=utf-8", ASK),
        "css" => ("text/css; charset=utf-8", MINUTE),
        "js" | "mjs" => ("text/javascript; charset=utf-8", MINUTE),
        "json" => ("application/json", MINUTE),
        "webmanifest" => ("application/manifest+json", DAY),
        "svg" => ("image/svg+xml", DAY),
        "png" => ("image/png", DAY),
        "ico" => ("image/x-icon", DAY),
        "webp" => ("image/webp", DAY),
        "woff2" => ("font/woff2", DAY),
        "txt" => ("text/plain; charset=utf-8", MINUTE),
        _ => ("application/octet-stream", MINUTE),
    }
}

/// Whether `If-None-Match` names this tag; compared weakly (RFC 9110, section 13.1.2).
fn is_known<'a>(mut values: impl Iterator<Item = &'a str>, tag: &HeaderValue) -> bool {
    // Our tags have no commas, so that splitting inside of another's does no harm.
    values.any(|value| {
        value.split(',').map(str::trim).any(|known| {
            let known = known.strip_prefix("W/").unwrap_or(known);
            known == "*" || known.as_bytes() == tag.as_bytes()
        })
    })
}

/// The best coding on offer for what the client takes (RFC 9110, section 12.5.3).
///
/// Ties go to the earlier offer. What a client refuses altogether it gets as it is: that is
/// allowed, and better than nothing.
fn negotiate(accepted: &[&str], offers: impl Iterator<Item = Coding>) -> Coding {
    let mut best = (0, Coding::Identity);
    for offer in offers {
        let weight = weight(accepted, offer);
        if weight > best.0 {
            best = (weight, offer);
        }
    }
    best.1
}

/// How much the client wants a coding, in thousandths; 0 is not at all.
fn weight(accepted: &[&str], coding: Coding) -> u16 {
    let mut any = None;
    for element in accepted.iter().flat_map(|value| value.split(',')) {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        let (name, weight) = (name.trim(), quality(parameters));
        if name.eq_ignore_ascii_case(coding.name()) {
            return weight;
        }
        if name == "*" {
            any = Some(weight);
        }
    }
    match (any, coding) {
        (Some(weight), _) => weight,
        // Without being named it is taken, but after everything that is.
        (None, Coding::Identity) => 1,
        (None, _) => 0,
    }
}

/// The value of `q=`, in thousandths; 1 where there is none, 0 where it makes no sense.
fn quality(parameters: &str) -> u16 {
    let mut names = parameters
        .split(';')
        .filter_map(|part| part.split_once('='));
    let value = names.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let Some((_, value)) = value else {
        return 1_000;
    };
    let (whole, decimals) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    match (whole, digits) {
        ("1", true) => 1_000,
        ("0", true) => format!("{decimals:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

/// The security headers that go with the page and everything in it.
#[derive(Debug)]
pub(super) struct Policy(Vec<(HeaderName, HeaderValue)>);

impl Policy {
    /// `framers` are the sites whose pages may show ours within theirs.
    pub(super) fn new(framers: &[Origin]) -> Self {
        let ancestors = match framers {
            [] => "'none'".to_owned(),
            framers => {
                let names: Vec<String> = framers.iter().map(Origin::to_string).collect();
                names.join(" ")
            }
        };
        let content = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
        );
        let mut headers = vec![
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        // An origin is made of characters that a header can hold: it was parsed.
        headers.extend(
            HeaderValue::from_str(&content)
                .ok()
                .map(|content| (CONTENT_SECURITY_POLICY, content)),
        );
        if framers.is_empty() {
            // For browsers that do not know frame-ancestors; it cannot name sites.
            headers.push((X_FRAME_OPTIONS, HeaderValue::from_static("DENY")));
        }
        Self(headers)
    }

    fn apply(&self, headers: &mut HeaderMap) {
        headers.extend(self.0.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asset() -> Asset {
        let variant = |coding: Coding| Variant {
            coding,
            tag: HeaderValue::from_str(&format!("\"{}\"", coding.name())).unwrap(),
            body: Bytes::from_static(coding.name().as_bytes()),
        };
        Asset {
            kind: HeaderValue::from_static("text/css"),
            cache: HeaderValue::from_static("no-cache"),
            variants: Coding::ALL.map(variant).into(),
        }
    }

    fn get(name: HeaderName, value: &str, codings: &str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers.insert(ACCEPT_ENCODING, codings.parse().unwrap());
        asset().serve(&headers, &Policy::new(&[]))
    }

    #[test]
    fn the_best_coding_that_the_client_takes_is_sent() {
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", Coding::Brotli),
            ("gzip", Coding::Gzip),
            ("GZIP;q=0.5, br;q=0.4", Coding::Gzip),
            ("br;q=0, gzip;q=0.001", Coding::Gzip),
            ("", Coding::Identity),
            ("zstd", Coding::Identity),
            ("*", Coding::Brotli),
            ("*;q=0", Coding::Identity),
            ("identity, br;q=0.5", Coding::Identity),
            ("br;q=1.000", Coding::Brotli),
            ("br;q=2, gzip;q=x", Coding::Identity),
            ("identity;q=0", Coding::Identity),
        ] {
            assert_eq!(
                negotiate(&[accepted], Coding::ALL.into_iter()),
                coding,
                "{accepted}"
            );
        }
        assert_eq!(
            negotiate(&["gzip"], [Coding::Identity].into_iter()),
            Coding::Identity
        );
    }

    #[test]
    fn a_known_tag_is_answered_without_a_body() {
        let reply = get(IF_NONE_MATCH, "\"x\", W/\"br\"", "br");
        assert_eq!(reply.status(), 304);
        assert_eq!(reply.headers()[ETAG], "\"br\"");
        assert!(!reply.headers().contains_key(CONTENT_TYPE));
        // The tag of another coding is another tag.
        let reply = get(IF_NONE_MATCH, "\"gzip\"", "br");
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()[CONTENT_ENCODING], "br");
        assert_eq!(reply.headers()[VARY], "Accept-Encoding");
        assert_eq!(get(IF_NONE_MATCH, "*", "").status(), 304);
    }

    #[test]
    fn listed_sites_may_frame_the_page_and_nobody_else() {
        let headers = |framers: &[Origin]| {
            let mut headers = HeaderMap::new();
            Policy::new(framers).apply(&mut headers);
            headers
        };
        let closed = headers(&[]);
        let content = closed[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(content.ends_with("frame-ancestors 'none'"), "{content}");
        assert!(
            content.starts_with("default-src 'none'; script-src 'self';"),
            "{content}"
        );
        assert_eq!(closed[X_FRAME_OPTIONS], "DENY");
        assert_eq!(closed[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let open = headers(&[
            "https://a.example".parse().unwrap(),
            "http://b:81".parse().unwrap(),
        ]);
        let content = open[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            content.ends_with("frame-ancestors https://a.example http://b:81"),
            "{content}"
        );
        assert!(!open.contains_key(X_FRAME_OPTIONS));
    }

    #[test]
    fn no_path_leads_out_of_the_table() {
        for path in [
            "",
            "x",
            "//",
            "/..",
            "/../Cargo.toml",
            "/%2e%2e/Cargo.toml",
            "/br/index.html",
            "/index.html",
            "/identity/index.html",
            "/\0",
        ] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn every_embedded_file_is_found_under_its_own_name_with_a_type_of_its_own() {
        for (name, asset) in ASSETS.iter() {
            assert_ne!(asset.kind, "application/octet-stream", "{name}");
            let path = if name == INDEX {
                "/".to_owned()
            } else {
                format!("/{name}")
            };
            assert!(find(&path).is_some(), "{name}");
            let last = asset.variants.last().unwrap();
            assert_eq!(last.coding, Coding::Identity);
            for variant in &asset.variants {
                assert!(variant.body.len() <= last.body.len(), "{name}");
                assert_eq!(variant.tag.len(), 26);
            }
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "\\PC{0,40}", list in "[brgzip*;q=01., ]{0,40}") {
            let tag = HeaderValue::from_static("\"x\"");
            for text in [&*text, &*list] {
                let _ = negotiate(&[text], Coding::ALL.into_iter());
                let _ = is_known([text].into_iter(), &tag);
            }
        }
    }
}
