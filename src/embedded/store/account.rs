//! The account: how much it may have, and what it has committed itself to.

use serde::{Deserialize, Serialize};

use super::{Mode, Store, Stream};
use crate::embedded::Error;
use crate::embedded::clock::Now;

/// Streams in `ON_DEMAND` mode.
/// <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
const ON_DEMAND_STREAMS: usize = 50;
/// How long a commitment lasts at least, in milliseconds: a day.
const SHORTEST: u64 = 24 * 3_600_000;

/// How many of something there are, and may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) used: usize,
    pub(crate) most: usize,
}

/// What the account may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccountLimits {
    pub(crate) shards: Limit,
    pub(crate) on_demand_streams: Limit,
}

/// `MinimumThroughputBillingCommitment`: which unlocks warm throughput. Nothing is billed here. All times are
/// milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Commitment {
    pub(crate) started: Option<u64>,
    /// When it ended or is to end.
    pub(crate) ended: Option<u64>,
    is_over: bool,
}

impl Commitment {
    fn start(&mut self, now: u64) {
        if !self.is_enabled() {
            self.started = Some(now);
        }
        self.ended = None;
        self.is_over = false;
    }

    /// Ends it, as early as may be.
    fn end(&mut self, now: u64) {
        if self.is_enabled() && self.ended.is_none() {
            self.ended = self.earliest_end().max(Some(now));
            self.settle(now);
        }
    }

    fn settle(&mut self, now: u64) {
        self.is_over = self.ended.is_some_and(|end| now >= end);
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.started.is_some() && !self.is_over
    }

    /// While it lasts, when it can end.
    pub(crate) fn earliest_end(&self) -> Option<u64> {
        let started = self.started.filter(|_| self.is_enabled());
        started.map(|started| started.saturating_add(SHORTEST))
    }

    pub(crate) fn status(&self) -> &'static str {
        match (self.is_enabled(), self.ended) {
            (false, _) => "DISABLED",
            (true, None) => "ENABLED",
            (true, Some(_)) => "ENABLED_UNTIL_EARLIEST_ALLOWED_END",
        }
    }
}

impl Store {
    /// What the account may have.
    pub(crate) fn account_limits(&mut self, now: Now) -> AccountLimits {
        let shards = self.streams(now).map(Stream::open_count).sum();
        AccountLimits {
            shards: Limit {
                used: shards,
                most: self.config.open_shards,
            },
            on_demand_streams: Limit {
                used: self.on_demand_count(),
                most: ON_DEMAND_STREAMS,
            },
        }
    }

    /// What the account has committed itself to.
    pub(crate) fn commitment(&mut self, now: Now) -> Commitment {
        self.account.settle(now.wall);
        self.account
    }

    /// Begins or ends a commitment.
    pub(crate) fn commit_account(&mut self, is_on: bool, now: Now) -> Commitment {
        self.account.settle(now.wall);
        if is_on {
            self.account.start(now.wall);
        } else {
            self.account.end(now.wall);
        }
        self.journal.globals_changed();
        self.account
    }

    /// Refuses one more on-demand stream where there are as many as may be.
    pub(super) fn check_on_demand(&self) -> Result<(), Error> {
        if self.on_demand_count() >= ON_DEMAND_STREAMS {
            return Err(Error::limit_exceeded(format!(
                "This request would exceed the on-demand stream limit of {ON_DEMAND_STREAMS} for the account {}.",
                self.config.account
            )));
        }
        Ok(())
    }

    fn on_demand_count(&self) -> usize {
        let streams = self.streams.values();
        streams
            .filter(|stream| stream.settings.mode == Mode::OnDemand)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_lasts_a_day_at_least() {
        let mut commitment = Commitment::default();
        commitment.end(1);
        assert_eq!(
            (commitment.status(), commitment.earliest_end()),
            ("DISABLED", None)
        );
        commitment.start(10);
        assert_eq!(commitment.status(), "ENABLED");
        assert_eq!(commitment.earliest_end(), Some(10 + SHORTEST));
        commitment.end(20);
        assert_eq!(commitment.status(), "ENABLED_UNTIL_EARLIEST_ALLOWED_END");
        assert_eq!(commitment.ended, Some(10 + SHORTEST));
        // Whoever changes his mind goes on.
        commitment.start(30);
        assert_eq!(
            (commitment.status(), commitment.started),
            ("ENABLED", Some(10))
        );
        commitment.end(40 + SHORTEST);
        assert_eq!(
            (commitment.status(), commitment.ended),
            ("DISABLED", Some(40 + SHORTEST))
        );
        commitment.start(50 + SHORTEST);
        assert_eq!(commitment.started, Some(50 + SHORTEST));
    }

    #[test]
    fn one_that_is_to_end_ends_by_itself() {
        let mut commitment = Commitment::default();
        commitment.start(0);
        commitment.end(1);
        commitment.settle(SHORTEST - 1);
        assert!(commitment.is_enabled());
        commitment.settle(SHORTEST);
        assert_eq!(commitment.status(), "DISABLED");
    }
}
