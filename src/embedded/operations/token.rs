//! Shard iterators and next tokens: opaque to clients, sealed so that a forged one is told from one of ours, and of
//! limited life.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use crate::embedded::Service;
use crate::embedded::clock::{Now, millis};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ShardIterator,
    Shards,
    Streams,
    Consumers,
}

impl Kind {
    fn tag(self) -> &'static str {
        match self {
            Self::ShardIterator => "iterator",
            Self::Shards => "shards",
            Self::Streams => "streams",
            Self::Consumers => "consumers",
        }
    }
}

/// Why a token is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Not made by this service, or for something else.
    Invalid,
    /// Made this many milliseconds ago.
    Expired(u64),
}

const SEAL: usize = 16;

/// Makes a token of text parts; only the last one may hold a slash.
pub(super) fn seal(service: &Service, kind: Kind, now: Now, parts: &str) -> String {
    let mut token = format!("{}/{}/{parts}", kind.tag(), now.steady).into_bytes();
    let seal = digest(service, &token);
    token.extend_from_slice(&seal);
    STANDARD.encode(token)
}

/// Opens a token and returns its parts.
pub(super) fn open(
    service: &Service,
    kind: Kind,
    now: Now,
    token: &str,
) -> Result<String, Refused> {
    let token = STANDARD.decode(token).map_err(|_| Refused::Invalid)?;
    let (text, seal) = token
        .len()
        .checked_sub(SEAL)
        .and_then(|at| token.split_at_checked(at))
        .ok_or(Refused::Invalid)?;
    if digest(service, text) != seal {
        return Err(Refused::Invalid);
    }
    let text = std::str::from_utf8(text).map_err(|_| Refused::Invalid)?;
    let mut parts = text.splitn(3, '/');
    let (Some(tag), Some(made), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Refused::Invalid);
    };
    let made: u64 = made.parse().map_err(|_| Refused::Invalid)?;
    if tag != kind.tag() {
        return Err(Refused::Invalid);
    }
    let age = now.steady.saturating_sub(made);
    if age > millis(service.config().token_lifetime) {
        return Err(Refused::Expired(age));
    }
    Ok(rest.to_owned())
}

/// A keyed digest. It tells mistakes and forgeries apart from tokens; nothing secret hangs on it, for whoever can call
/// this service can read every stream anyhow.
fn digest(service: &Service, text: &[u8]) -> [u8; SEAL] {
    let key = service.token_key();
    Md5::new()
        .chain_update(key)
        .chain_update(text)
        .chain_update(key)
        .finalize()
        .into()
}
