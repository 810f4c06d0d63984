//! What a service manager is told: ready, reloading, stopping, still alive.
//!
//! The protocol is that of `sd_notify(3)`: lines in a datagram to the socket that `NOTIFY_SOCKET`
//! names, a path or, with `@` before it, an abstract name. Where nobody asks for it nothing is sent.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

/// How long the manager may take to make room for what it is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager that started this process, if there is one.
#[derive(Clone, Debug)]
pub(super) struct Supervision {
    socket: Option<Arc<UnixDatagram>>,
    watchdog: Option<Duration>,
}

impl Supervision {
    /// As the environment says.
    pub(super) fn begin() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let connected = connect(&name);
            connected
                .inspect_err(|error| warn!(?name, %error, "cannot notify the service manager"))
                .ok()
        });
        Self {
            socket: socket.map(Arc::new),
            watchdog: watchdog(
                env::var("WATCHDOG_USEC").ok().as_deref(),
                env::var("WATCHDOG_PID").ok().as_deref(),
                std::process::id(),
            ),
        }
    }

    /// Everything is served.
    pub(super) fn ready(&self) {
        self.say("READY=1\nSTATUS=Serving");
    }

    /// Settings are read anew; [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&self) {
        // For Type=notify-reload: when this was said, by the clock that the manager reads too.
        let now = clock_gettime(ClockId::Monotonic);
        let now = Duration::try_from(now).unwrap_or_default().as_micros();
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// It is being stopped, which takes `at_most` so long, even where the manager's own limit is less.
    pub(super) fn stopping(&self, at_most: Duration) {
        let limit = at_most.as_micros();
        self.say(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={limit}\nSTATUS=Draining"
        ));
    }

    /// Says that the process lives, as often as the manager wants to hear it, while it is polled:
    /// to be run where all that has to do with the stream runs, which it then speaks for.
    pub(super) async fn live(self) {
        let Some(interval) = self.watchdog else {
            return;
        };
        // Twice in the time that is given: sd_watchdog_enabled(3).
        let mut ticks = tokio::time::interval(interval / 2);
        loop {
            ticks.tick().await;
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, lines: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(lines.as_bytes()) {
            warn!(%error, "cannot notify the service manager");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read does not keep us waiting for long.
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect_addr(&address(name)?)?;
    Ok(socket)
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', rest @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(rest)
        }
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "neither a path nor an abstract name",
        )),
    }
}

/// How often the manager wants to hear from the process `own`, if at all.
fn watchdog(micros: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let micros: u64 = micros?.parse().ok()?;
    // Below it there is no half.
    (micros > 1).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_that_of_this_process_only() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(Some("1000000"), None, 7), second);
        assert_eq!(watchdog(Some("1000000"), Some("7"), 7), second);
        assert_eq!(watchdog(Some("1000000"), Some("8"), 7), None);
        assert_eq!(watchdog(Some("soon"), None, 7), None);
        assert_eq!(watchdog(Some("0"), None, 7), None);
        assert_eq!(watchdog(None, None, 7), None);
    }

    #[test]
    fn a_socket_of_another_kind_is_refused() {
        assert!(address(OsStr::new("vsock:2:1234")).is_err());
        assert!(address(OsStr::new("")).is_err());
        assert!(address(OsStr::new("/run/notify")).is_ok());
    }
}
