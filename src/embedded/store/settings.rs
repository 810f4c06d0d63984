//! What can be changed about a stream beside its shards.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::stream::Change;
use super::{Mode, Status, Store, Stream};
use crate::embedded::Error;
use crate::embedded::clock::Now;

const HOUR: u64 = 3_600_000;
/// Hours that records are kept at least and at most.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html>
const SHORTEST: i64 = 24;
const LONGEST: i64 = 8_760;
/// MiB/s. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamWarmThroughput.html>
const MOST_WARM_THROUGHPUT: u32 = 10 * 1024;

/// The settings of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    /// How long records are kept, in milliseconds.
    pub(crate) retention: u64,
    /// Largest record, data and partition key together.
    pub(crate) max_record: usize,
    /// The key with which records are said to be encrypted, if they are.
    pub(crate) key: Option<String>,
    /// The metrics of its shards that are said to be taken.
    pub(crate) metrics: BTreeSet<Metric>,
    /// MiB/s that an on-demand stream is said to be ready for; 0 where nobody asked.
    pub(crate) warm_throughput: u32,
}

/// A metric of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Metric {
    IncomingBytes,
    IncomingRecords,
    OutgoingBytes,
    OutgoingRecords,
    WriteProvisionedThroughputExceeded,
    ReadProvisionedThroughputExceeded,
    IteratorAgeMilliseconds,
}

impl Metric {
    pub(crate) const ALL: [Self; 7] = [
        Self::IncomingBytes,
        Self::IncomingRecords,
        Self::OutgoingBytes,
        Self::OutgoingRecords,
        Self::WriteProvisionedThroughputExceeded,
        Self::ReadProvisionedThroughputExceeded,
        Self::IteratorAgeMilliseconds,
    ];

    /// Its name in the service model.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IncomingBytes => "IncomingBytes",
            Self::IncomingRecords => "IncomingRecords",
            Self::OutgoingBytes => "OutgoingBytes",
            Self::OutgoingRecords => "OutgoingRecords",
            Self::WriteProvisionedThroughputExceeded => "WriteProvisionedThroughputExceeded",
            Self::ReadProvisionedThroughputExceeded => "ReadProvisionedThroughputExceeded",
            Self::IteratorAgeMilliseconds => "IteratorAgeMilliseconds",
        }
    }
}

/// Whether a retention is to become longer or shorter: there is an operation for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Longer {
    Yes,
    No,
}

impl Settings {
    /// Changes how long records are kept. To what it is already may be asked of either operation (observed).
    pub(crate) fn retain(&mut self, hours: i64, longer: Longer) -> Result<(), Error> {
        let refuse = |why: String| {
            Err(Error::invalid_argument(format!(
                "{why} Requested retention period: {hours} hours."
            )))
        };
        if hours < SHORTEST {
            return refuse(format!(
                "Minimum allowed retention period is {SHORTEST} hours."
            ));
        }
        if hours > LONGEST {
            return refuse(format!(
                "Maximum allowed retention period is {LONGEST} hours."
            ));
        }
        let retention = hours.unsigned_abs() * HOUR;
        let existing = self.retention / HOUR;
        match longer {
            Longer::Yes if retention < self.retention => refuse(format!(
                "It cannot be shorter than the existing one of {existing} hours. Use DecreaseStreamRetentionPeriod."
            )),
            Longer::No if retention > self.retention => refuse(format!(
                "It cannot be longer than the existing one of {existing} hours. Use IncreaseStreamRetentionPeriod."
            )),
            _ => {
                self.retention = retention;
                Ok(())
            }
        }
    }
}

/// Checks a throughput that is to be ready: it is for on-demand streams of an account that has committed itself.
pub(super) fn check_warm(warm: u32, mode: Mode, is_committed: bool) -> Result<(), Error> {
    if warm == 0 {
        return Ok(());
    }
    if mode != Mode::OnDemand {
        return Err(Error::validation(
            "WarmThroughputMiBps is for streams in ON_DEMAND mode only.",
        ));
    }
    if !is_committed {
        return Err(Error::validation(
            "WarmThroughputMiBps needs MinimumThroughputBillingCommitment to be enabled for the account.",
        ));
    }
    if warm > MOST_WARM_THROUGHPUT {
        return Err(Error::invalid_argument(format!(
            "WarmThroughputMiBps must not be more than {MOST_WARM_THROUGHPUT}."
        )));
    }
    Ok(())
}

impl Store {
    /// Changes a stream's settings. It is UPDATING first.
    pub(crate) fn change_settings(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Settings) -> Result<(), Error>,
        now: Now,
    ) -> Result<(), Error> {
        let mut settings = self.active(name, now)?.settings.clone();
        change(&mut settings)?;
        self.begin(name, Change::Settings(Box::new(settings)), now);
        Ok(())
    }

    /// Changes what a stream is paid for by, and what an on-demand one is to be ready for.
    pub(crate) fn update_mode(
        &mut self,
        name: &str,
        mode: Mode,
        warm: u32,
        now: Now,
    ) -> Result<(), Error> {
        let is_new = self.active(name, now)?.settings.mode != mode;
        if is_new && mode == Mode::OnDemand {
            self.check_on_demand()?;
        }
        check_warm(warm, mode, self.account.is_enabled())?;
        let change = |settings: &mut Settings| {
            settings.mode = mode;
            settings.warm_throughput = warm;
            Ok(())
        };
        self.change_settings(name, change, now)
    }

    /// Turns metrics of a stream's shards on or off. Returns those that were on, and those that are.
    pub(crate) fn monitor(
        &mut self,
        name: &str,
        metrics: &[Metric],
        is_on: bool,
        now: Now,
    ) -> Result<(Vec<Metric>, Vec<Metric>), Error> {
        let stream = self.active(name, now)?;
        let kept = &mut stream.settings.metrics;
        let before = kept.iter().copied().collect();
        for metric in metrics {
            if is_on {
                kept.insert(*metric);
            } else {
                kept.remove(metric);
            }
        }
        Ok((before, kept.iter().copied().collect()))
    }

    /// A stream that is ACTIVE.
    pub(super) fn active(&mut self, name: &str, now: Now) -> Result<&mut Stream, Error> {
        let account = self.config.account.clone();
        let stream = self.stream_mut(name, now)?;
        if stream.status != Status::Active {
            let status = stream.status.name();
            return Err(Error::in_use(format!(
                "Stream {name} under account {account} not ACTIVE, instead in state {status}"
            )));
        }
        Ok(stream)
    }
}
