//! SIGHUP: what can be taken anew while the program runs, and what cannot.

use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::gauge;
use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use super::health::Health;
use super::supervision::Supervision;
use crate::config::{self, Settings};
use crate::http::Readiness;
use crate::telemetry::{Logs, names};
use crate::tls::Certificate;

/// Reads all layers of settings again.
pub type Reread<'a> = dyn Fn() -> Result<Settings, config::Error> + 'a;

/// Does what can be done without a restart, and says the rest.
pub(super) struct Reload<'a> {
    /// The settings that everything was started with.
    started: &'a Settings,
    reread: &'a Reread<'a>,
    logs: Logs,
    /// With the settings that name them.
    certificates: Vec<(&'static str, Certificate)>,
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

    /// Has a certificate, the one that `setting` names, read again from now on.
    pub(super) fn certificate(&mut self, setting: &'static str, certificate: Certificate) {
        let until = tell_expiry(setting, &certificate);
        info!(setting, until, "certificate");
        self.certificates.push((setting, certificate));
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
        for (setting, certificate) in &self.certificates {
            match certificate.renew() {
                Ok(()) => {
                    let until = tell_expiry(setting, certificate);
                    info!(setting, until, "reloaded the certificate");
                }
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

/// Sets the metric, for this is the one outage that stands in the calendar; gives the end for the log.
fn tell_expiry(setting: &'static str, certificate: &Certificate) -> String {
    let metric = gauge!(names::HTTP_CERTIFICATE_EXPIRY, "setting" => setting);
    let Some(expiry) = certificate.expiry() else {
        warn!(
            setting,
            "cannot read when the certificate runs out: the metric does not say it"
        );
        // What it said was another one's.
        metric.set(f64::NAN);
        return "unknown".to_owned();
    };
    if expiry < SystemTime::now() {
        warn!(
            setting,
            "the certificate, or one sent with it, has run out: clients may refuse it"
        );
    }
    let since = expiry.duration_since(UNIX_EPOCH).unwrap_or_default();
    metric.set(since.as_secs_f64());
    humantime::format_rfc3339_seconds(expiry.max(UNIX_EPOCH)).to_string()
}
