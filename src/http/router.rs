//! Which resource a path names, and what may be done with it.

use super::assets::{self, Asset};

/// What there is to be had here.
#[derive(Clone, Copy)]
pub(super) enum Resource {
    /// The page or a part of it.
    Asset(&'static Asset),
    /// Where messages are published.
    Publish,
    /// Where viewers connect.
    View,
    /// `/livez`
    Live,
    /// `/readyz`
    Ready,
    /// `/metrics`
    Metrics,
    /// Nothing.
    Nothing,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// All but the operations endpoints, which have a listener of their own.
    Chat,
    /// The operations endpoints only.
    Operations,
}

/// The resource at a path.
pub(super) fn resource(path: &str, role: Role) -> Resource {
    let resource = match path {
        "/chat-messages" => Resource::Publish,
        "/websockets/chat-messages" => Resource::View,
        "/livez" => Resource::Live,
        "/readyz" => Resource::Ready,
        "/metrics" => Resource::Metrics,
        path => assets::find(path).map_or(Resource::Nothing, Resource::Asset),
    };
    let served = match role {
        Role::All => true,
        Role::Chat => !resource.is_for_operators(),
        Role::Operations => resource.is_for_operators(),
    };
    if served { resource } else { Resource::Nothing }
}

impl Resource {
    fn is_for_operators(self) -> bool {
        matches!(self, Self::Live | Self::Ready | Self::Metrics)
    }

    /// The methods it takes, as `Allow` lists them.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Publish => "POST, OPTIONS",
            Self::View => "GET, OPTIONS",
            Self::Asset(_) | Self::Live | Self::Ready | Self::Metrics => "GET, HEAD, OPTIONS",
            Self::Nothing => "",
        }
    }

    /// Its name in the metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Asset(_) => "asset",
            Self::Publish => "publish",
            Self::View => "view",
            Self::Live => "livez",
            Self::Ready => "readyz",
            Self::Metrics => "metrics",
            Self::Nothing => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_listener_serves_its_own() {
        for (path, all, chat, operations) in [
            ("/chat-messages", "publish", "publish", "none"),
            ("/websockets/chat-messages", "view", "view", "none"),
            ("/metrics", "metrics", "none", "metrics"),
            ("/livez", "livez", "none", "livez"),
            ("/readyz", "readyz", "none", "readyz"),
            ("/chat-messages/", "none", "none", "none"),
            ("/nothing", "none", "none", "none"),
        ] {
            assert_eq!(resource(path, Role::All).name(), all, "{path}");
            assert_eq!(resource(path, Role::Chat).name(), chat, "{path}");
            assert_eq!(
                resource(path, Role::Operations).name(),
                operations,
                "{path}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "\\PC{0,40}") {
            let _ = resource(&path, Role::All).methods();
        }
    }
}
