//! The end in good order: everybody is sent away, everything is stored, nothing is left behind.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::RUNTIME_END;
use super::health::Health;
use super::stream::{self, Stream};
use super::supervision::Supervision;
use super::workers::{self, Workers};
use crate::config::Settings;
use crate::http::Phase;

/// How much longer than a publisher waits for the stream a stop waits for requests under way.
const FINISH_GRACE: Duration = Duration::from_secs(1);

/// What a stop needs.
pub(super) struct Stop<'a> {
    pub(super) settings: &'a Settings,
    pub(super) health: &'a Health,
    pub(super) supervision: &'a Supervision,
    pub(super) phase: &'a watch::Sender<Phase>,
}

impl Stop<'_> {
    /// Not ready any more at once; after `--drain-delay` nobody is let in, and everybody is sent
    /// away over `--drain` at most; what is read is still delivered until the last has gone.
    pub(super) async fn drain(self, workers: Workers, stream: Stream) {
        self.health.drain();
        let at_most = at_most(self.settings);
        self.supervision.stopping(at_most);
        info!(?at_most, "stopping");
        sleep(self.settings.drain_delay).await;
        info!("closing: no new connections, viewers are sent away");
        let finish = finish(self.settings);
        self.phase
            .send_replace(Phase::Finishing(Instant::now() + finish));
        workers.ended().await;
        let unsaved = stream.stop().await;
        if unsaved > 0 {
            warn!(
                messages = unsaved,
                "stopped with messages that were never acknowledged"
            );
        }
        info!("stopped");
    }
}

/// How long requests under way have.
fn finish(settings: &Settings) -> Duration {
    settings.publish_timeout + FINISH_GRACE
}

/// How long a stop takes if everything takes as long as it may. Whoever stops this program and
/// does not wait for that long must be ready to lose what is still under way.
fn at_most(settings: &Settings) -> Duration {
    settings.drain_delay
        + settings.drain.max(finish(settings))
        + workers::LEAVE_WITHIN
        + settings.flush
        + stream::END_WITHIN
        + RUNTIME_END
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_has_a_limit_that_is_the_sum_of_its_parts() {
        let settings = Settings::load([], None, []).unwrap();
        assert_eq!(at_most(&settings), Duration::from_secs(30 + 6 + 5 + 7 + 1));
        let flags = [
            ("drain", "0s"),
            ("drain-delay", "20s"),
            ("publish-timeout", "2s"),
        ];
        let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = Settings::load(flags, None, []).unwrap();
        assert_eq!(
            at_most(&settings),
            Duration::from_secs(20 + 3 + 6 + 5 + 7 + 1)
        );
    }
}
