//! What can be set about the consumer.

use std::time::Duration;

use super::poll::PollRules;
use super::repeats::WINDOW;
use super::shard::Rules;
use crate::message::Timestamp;

/// How records are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Enhanced fan-out: this instance registers a consumer and subscribes to every shard.
    Enhanced,
    /// `GetRecords`, which all pollers of a shard share: no registration, up to a second later.
    Polling,
    /// Enhanced fan-out; polling while no registration can be had.
    #[default]
    Auto,
}

/// Where reading begins: from where on messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest record that retention has left.
    TrimHorizon,
    /// The time of the start. Never the LATEST iterator, with which a reader that is disconnected
    /// before its first event loses what comes meanwhile.
    Latest,
    /// So long before the time of the start.
    Lookback(Duration),
}

/// Settings of the consumer. The defaults are those of the program and of the service's rules;
/// the times are settable for tests.
#[derive(Clone, Debug)]
pub struct Config {
    /// How records are read.
    pub mode: Mode,
    /// The registered consumer's name, `[a-zA-Z0-9_.-]{1,128}`; if none, one is made of the host's
    /// name and chance.
    pub name: Option<String>,
    /// From where on messages are shown.
    pub start: Start,
    /// Reading begins so long before: what lies there only fills the ids by which repeats are
    /// known. Ten minutes, the time for which an id counts, and ten seconds, for the clocks here
    /// and there and of two shards may differ.
    pub prefill: Duration,
    /// For so much stream time an id is remembered, and a message with it is a repeat: ten minutes,
    /// on every instance. Zero shows every repeat, which nobody wants but who tests what looks for
    /// them; so no setting of the program changes it.
    pub repeats: Duration,
    /// After so long without progress a shard that was never at its tip does not keep the
    /// instance from being ready.
    pub ready_timeout: Duration,
    /// How often shards are listed even if nothing calls for it; drawn down to three quarters.
    pub list_interval: Duration,
    /// How long a registered consumer may take to become active before it is looked into anew.
    pub activation_limit: Duration,
    /// How long `LimitExceeded` is waited out while other consumers are being created.
    pub creating_limit: Duration,
    /// How often the stream and this instance's consumer are looked at if nothing calls for it.
    pub check_interval: Duration,
    /// After so much stream time without a heartbeat an instance is gone, and its registered
    /// consumer is taken from the stream by another one.
    pub orphan_silence: Duration,
    /// How often a registration is tried again while polling stands in for it.
    pub upgrade_interval: Duration,
    /// After so many take-overs of one shard in a row by another process with this consumer's
    /// name, this one registers under another name.
    pub takeovers_before_new_name: u32,
    /// How long deregistering may take at a stop.
    pub deregister_limit: Duration,
    /// How often at most each kind of warning about records is written, per shard.
    pub warn_interval: Duration,
    /// When to subscribe, to listen and to wait.
    pub rules: Rules,
    /// When to poll.
    pub polling: PollRules,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            name: None,
            start: Start::Lookback(Duration::from_mins(15)),
            prefill: WINDOW + Duration::from_secs(10),
            repeats: WINDOW,
            ready_timeout: Duration::from_mins(1),
            list_interval: Duration::from_secs(30),
            activation_limit: Duration::from_mins(2),
            creating_limit: Duration::from_mins(1),
            check_interval: Duration::from_mins(1),
            orphan_silence: Duration::from_mins(10),
            upgrade_interval: Duration::from_mins(1),
            takeovers_before_new_name: 4,
            deregister_limit: Duration::from_secs(5),
            warn_interval: Duration::from_secs(30),
            rules: Rules::default(),
            polling: PollRules::default(),
        }
    }
}

/// From where on to read and from where on to show; no time is: everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    pub(super) read_from: Option<Timestamp>,
    pub(super) show_from: Timestamp,
}

impl Config {
    /// Where reading begins, for a start at `now`.
    pub(super) fn beginning(&self, now: Timestamp) -> Beginning {
        let lookback = match self.start {
            Start::TrimHorizon => {
                return Beginning {
                    read_from: None,
                    show_from: Timestamp::from_millis(0),
                };
            }
            Start::Latest => Duration::ZERO,
            Start::Lookback(lookback) => lookback,
        };
        let show_from = earlier(now, lookback);
        Beginning {
            read_from: Some(earlier(show_from, self.prefill)),
            show_from,
        }
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(time.as_millis().saturating_sub(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_begins_ten_minutes_and_a_little_before_what_is_shown() {
        let now = Timestamp::from_millis(10_000_000);
        let beginning = |start| {
            let config = Config {
                start,
                ..Config::default()
            };
            config.beginning(now)
        };
        let latest = beginning(Start::Latest);
        assert_eq!(latest.show_from, now);
        assert_eq!(latest.read_from, Some(Timestamp::from_millis(9_390_000)));
        let lookback = beginning(Start::Lookback(Duration::from_secs(1_000)));
        assert_eq!(lookback.show_from, Timestamp::from_millis(9_000_000));
        assert_eq!(lookback.read_from, Some(Timestamp::from_millis(8_390_000)));
        assert_eq!(beginning(Start::TrimHorizon).read_from, None);
        let long = beginning(Start::Lookback(Duration::MAX));
        assert_eq!(long.read_from, Some(Timestamp::from_millis(0)));
    }
}
