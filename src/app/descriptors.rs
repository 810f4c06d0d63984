//! File descriptors: as many as the system allows, and how many connections that is enough for.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::{info, warn};

/// The most connections where nothing is set: memory is finite too.
const MOST: usize = 100_000;
/// What the program needs beside its connections: the stream's own, listeners, polls, logs, page.
const OWN: usize = 128;
/// What each worker needs: its poll, and those clients that are being told that there is no place.
const PER_WORKER: usize = 72;
/// Of what is left, one in so many is kept free.
const SLACK: usize = 50;

/// Raises the limit of open files to the most that this process may have; returns what it is then,
/// if there is a limit at all.
pub(super) fn raise() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    let mut limit = before;
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        // Such as where the kernel has a lower limit of its own.
        warn!(limit = %shown(before.current), %error, "cannot raise the limit of open files");
        return before.current;
    }
    info!(limit = %shown(limit.current), before = %shown(before.current), "open files");
    limit.current
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or("unlimited".into(), |limit| limit.to_string())
}

/// How many connections there may be: `wanted`, but no more than there are descriptors for, so
/// that clients are told so (503) long before none is left.
pub(super) fn places(open_files: Option<u64>, workers: usize, wanted: Option<usize>) -> usize {
    let enough_for = enough_for(open_files, workers);
    match wanted {
        Some(wanted) if wanted > enough_for => {
            warn!(
                max_connections = wanted,
                open_files = %shown(open_files),
                connections = enough_for,
                "open files do not allow as many connections: raise their limit (ulimit -n)"
            );
            enough_for
        }
        Some(wanted) => wanted,
        None => enough_for.min(MOST),
    }
}

/// How many connections so many open files are enough for.
fn enough_for(open_files: Option<u64>, workers: usize) -> usize {
    let all = open_files.and_then(|limit| usize::try_from(limit).ok());
    let Some(all) = all else { return usize::MAX };
    let others = OWN + PER_WORKER * workers;
    let left = all.saturating_sub(others);
    // With very few, half of them: better some than none.
    (left - left / SLACK).max(all / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_set_holds_if_it_fits() {
        assert_eq!(places(Some(20_000), 2, None), 19_334);
        assert_eq!(places(Some(20_000), 2, Some(5)), 5);
        assert_eq!(places(Some(1_024), 2, Some(5_000)), 737);
        assert_eq!(places(Some(100), 2, None), 50);
        assert_eq!(places(Some(1 << 30), 2, None), MOST);
        assert_eq!(places(None, 2, None), MOST);
        assert_eq!(places(None, 2, Some(1_000_000)), 1_000_000);
    }

    proptest! {
        #[test]
        fn there_are_places_and_always_some_files_left(
            limit in 2_u64..,
            workers in 1_usize..64,
            wanted in prop::option::of(1_usize..),
        ) {
            let places = places(Some(limit), workers, wanted) as u64;
            prop_assert!(0 < places && places < limit);
        }
    }
}
