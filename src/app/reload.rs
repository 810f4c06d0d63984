//! SIGHUP: what can be taken anew while the program runs, and what cannot.

use std::convert::Infallible;
use std::io;

use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use super::health::Health;
use super::supervision::Supervision;
use crate::config::{self, Settings};
use crate::http::Readiness;
use crate::telemetry::Logs;

/// Reads all layers of settings again.
pub type Reread<'a> = dyn Fn() -> Result<Settings, config::Error> + 'a;

/// Does what can be done without a restart, and says the rest.
pub(super) struct Reload<'a> {
    /// The settings that everything was started with.
    started: &'a Settings,
    reread: &'a Reread<'a>,
    logs: Logs,
    certificates: Vec<Certificate>,
}

/// A certificate that can be read again, and which setting names it.
struct Certificate {
    setting: &'static str,
    renew: Box<dyn Fn() -> io::Result<()>>,
}

impl<'a> Reload<'a> {
    pub(super) fn new(started: &'a Settings, reread: &'a Reread<'a>, logs: Logs) -> Self {
        Self {
            started,
            reread,
            logs,
            certificates: Vec::new(),
        }
    }

    /// Has a certificate, the one that `setting` names, read again by `renew` from now on.
    pub(super) fn certificate(
        &mut self,
        setting: &'static str,
        renew: impl Fn() -> io::Result<()> + 'static,
    ) {
        let renew = Box::new(renew);
        self.certificates.push(Certificate { setting, renew });
    }

    /// Reloads at each signal, for ever.
    pub(super) async fn at_each(
        self,
        mut hangup: Signal,
        health: &Health,
        supervision: &Supervision,
    ) -> Infallible {
        loop {
            hangup.recv().await;
            // What says that reloading is over says that the start is.
            let started = health.state().status == Readiness::Ready;
            if started {
                supervision.reloading();
            }
            self.reload();
            if started {
                supervision.ready();
            }
        }
    }

    fn reload(&self) {
        match (self.reread)() {
            Ok(settings) => self.take(&settings),
            Err(error) => error!(%error, "cannot reload the settings: they stay as they are"),
        }
        for Certificate { setting, renew } in &self.certificates {
            match renew() {
                Ok(()) => info!(setting, "reloaded the certificate"),
                Err(error) => {
                    error!(setting, %error, "cannot reload the certificate: it stays as it is");
                }
            }
        }
    }

    fn take(&self, settings: &Settings) {
        self.logs.change(&settings.log_level);
        info!(log_level = %settings.log_level, "reloaded the log level");
        let mut others = self.started.differences(settings);
        others.retain(|key| *key != "log-level");
        if !others.is_empty() {
            let settings = others.join(", ");
            warn!(settings, "changed, but taken only at the next start");
        }
    }
}
