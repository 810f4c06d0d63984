//! What the tests stand on: the program as a child process, viewers, raw connections, and waiting with a deadline.

mod https;
mod launch;
pub(crate) mod raw;
mod server;
mod tools;
mod viewer;

use std::future::Future;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

pub(crate) use https::Trust;
pub(crate) use launch::{Ended, Launch};
pub(crate) use raw::{Frame, Raw};
pub(crate) use server::Server;
pub(crate) use tools::{
    Reaped, call_kinesis, chromium, consumers, free_port, kinesis_local, node, packages,
    prometheus, promtool, python, screenshots, suite_file, venv,
};
pub(crate) use viewer::{PlainViewer, Shown, Viewer};

/// How long a test waits for anything. Generous: it is reached only by what is broken, or by a very slow machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Lets this process have many open files, if it may: a thousand viewers are a thousand sockets.
pub(crate) fn allow_many_files() {
    const MANY: u64 = 65_536;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|files| files < MANY) {
        limit.current = Some(limit.maximum.map_or(MANY, |most| most.min(MANY)));
        setrlimit(Resource::Nofile, limit).expect("a higher limit of open files");
    }
}

/// Waits until `condition` holds, and fails the test with `what` when it does not within [`DEADLINE`].
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    eventually_in(DEADLINE, what, condition).await;
}

/// The same for what takes its time by itself: `deadline` is some times that.
pub(crate) async fn eventually_in<F: Future<Output = bool>>(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let start = Instant::now();
    while !condition().await {
        assert!(
            start.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `future`'s result, or a failed test naming `what` after [`DEADLINE`].
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}
