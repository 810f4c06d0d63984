//! Rooms and where they lie in the stream's hash space.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use md5::{Digest, Md5};

/// A point in the stream's hash space, `0..2^128`: the MD5 of a partition key.
///
/// Source: the Kinesis API reference, `PutRecords`: "an MD5 hash function is used to map partition
/// keys to 128-bit integer values".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKey(pub u128);

impl HashKey {
    /// The lowest point.
    pub const MIN: Self = Self(0);
    /// The highest point.
    pub const MAX: Self = Self(u128::MAX);

    /// The point that a partition key is mapped to.
    pub fn of(partition_key: &str) -> Self {
        Self(u128::from_be_bytes(Md5::digest(partition_key).into()))
    }
}

/// A room: 1–64 characters of `A-Za-z0-9._~-`. Its name is its messages' partition key.
#[derive(Clone)]
pub struct Room {
    name: Arc<str>,
    hash: HashKey,
}

impl Room {
    /// The longest name, in characters (which are bytes here).
    pub const MAX_CHARS: usize = 64;

    /// The room of messages that name none.
    pub fn lobby() -> Self {
        static LOBBY: LazyLock<Room> = LazyLock::new(|| Room {
            name: "lobby".into(),
            hash: HashKey::of("lobby"),
        });
        LOBBY.clone()
    }

    /// The room under whose key heartbeats are written. Messages in it would be no harm.
    pub(super) fn heartbeats() -> Self {
        static HEARTBEATS: LazyLock<Room> = LazyLock::new(|| Room {
            name: "~heartbeats".into(),
            hash: HashKey::of("~heartbeats"),
        });
        HEARTBEATS.clone()
    }

    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidRoom`] if it is empty, too long or has a character that is not allowed.
    pub fn new(name: &str) -> Result<Self, InvalidRoom> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        if name.is_empty() || name.len() > Self::MAX_CHARS || !name.bytes().all(allowed) {
            return Err(InvalidRoom);
        }
        Ok(Self {
            name: name.into(),
            hash: HashKey::of(name),
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Where the room lies in the hash space; computed once.
    pub fn hash_key(&self) -> HashKey {
        self.hash
    }
}

impl PartialEq for Room {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Room {}

impl Hash for Room {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({})", self.name)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The text is no room name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room is 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '~' and '-'")]
pub struct InvalidRoom;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_hashes_as_kinesis_hashes_its_partition_key() {
        // RFC 1321, appendix A.5
        assert_eq!(HashKey::of("").0, 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
        assert_eq!(Room::lobby().hash_key(), HashKey::of("lobby"));
        let heartbeats = Room::heartbeats();
        assert_eq!(Room::new(heartbeats.as_str()), Ok(heartbeats));
    }

    #[test]
    fn names_that_could_do_harm_in_a_url_are_refused() {
        for name in [
            "",
            "a b",
            "a/b",
            "ä",
            "a%20",
            "a\n",
            &"a".repeat(65),
            "日本",
        ] {
            assert_eq!(Room::new(name), Err(InvalidRoom), "{name:?}");
        }
        for name in ["a", "A-z_0.9~", "..", &"a".repeat(64)] {
            assert!(Room::new(name).is_ok(), "{name:?}");
        }
    }
}
