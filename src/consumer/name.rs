//! What a registered consumer of this program is called and how it is tagged.

use uuid::Uuid;

use crate::message::Timestamp;

/// What the names that this program makes begin with.
pub(super) const PREFIX: &str = "chat-room-";
/// The tag that says which instance registered a consumer, and that it was this program.
pub(super) const TAG_INSTANCE: &str = "chat-room:instance";
const TAG_STARTED: &str = "chat-room:started";
const TAG_VERSION: &str = "chat-room:version";

/// The tags of a consumer that an instance registers.
pub(super) fn tags(instance: Uuid, started: Timestamp) -> [(&'static str, String); 3] {
    [
        (TAG_INSTANCE, instance.to_string()),
        (TAG_STARTED, started.to_string()),
        (TAG_VERSION, env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

pub(super) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

/// A name with something by chance in it, so that no two instances have the same.
pub(super) fn own_name(base: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "_.-".contains(*c);
    let base: String = base.chars().filter(allowed).take(100).collect();
    format!("{base}-{:08x}", fastrand::u32(..))
}

/// What a name of our own is made of.
pub(super) fn host_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    let host = host.trim().split('.').next().unwrap_or_default().to_owned();
    let host = if host.is_empty() { "host" } else { &host };
    format!("{PREFIX}{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_our_own_is_always_allowed_and_never_the_same() {
        for base in ["chat-room-web1", "a b/ü", "", &"x".repeat(500)] {
            let name = own_name(base);
            assert!(is_name(&name), "{name}");
            assert_ne!(name, own_name(base));
        }
        assert!(is_name(&host_name()));
        for name in ["", "a b", "a/b", "ä", &"x".repeat(129)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn tags_hold_only_what_tags_may_hold() {
        // Source: the Kinesis API reference, `Tag`: letters, digits, white space and _.:/=+-@%
        let allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-@%".contains(c);
        for (key, value) in tags(Uuid::new_v4(), Timestamp::now()) {
            assert!(key.chars().all(allowed), "{key}");
            assert!(value.chars().all(allowed), "{value}");
        }
    }
}
