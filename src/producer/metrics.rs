//! What the producer counts.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::lanes::Again;
use crate::telemetry::names;

/// The handles that the dispatcher uses for every call.
pub(super) struct Metrics {
    pub(super) duration: Histogram,
    pub(super) records: Counter,
    pub(super) user_records: Counter,
    pub(super) bytes: Counter,
    pub(super) given_up: Counter,
    pub(super) queue_messages: Gauge,
    pub(super) lanes: Gauge,
    stored: Counter,
    throttled: Counter,
    failed: Counter,
    lost: Counter,
    misrouted: Counter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            duration: histogram!(names::PRODUCER_PUT_RECORDS_DURATION),
            records: counter!(names::PRODUCER_RECORDS),
            user_records: counter!(names::PRODUCER_USER_RECORDS),
            bytes: counter!(names::PRODUCER_BYTES),
            given_up: counter!(names::PRODUCER_GIVEN_UP),
            queue_messages: gauge!(names::PRODUCER_QUEUE_MESSAGES),
            lanes: gauge!(names::PRODUCER_LANES),
            stored: counter!(names::PRODUCER_PUT_RECORDS_CALLS, "outcome" => "stored"),
            throttled: counter!(names::PRODUCER_RETRIES, "reason" => "throttled"),
            failed: counter!(names::PRODUCER_RETRIES, "reason" => "failed"),
            lost: counter!(names::PRODUCER_RETRIES, "reason" => "lost"),
            misrouted: counter!(names::PRODUCER_MISROUTED),
        }
    }

    pub(super) fn call(&self, outcome: &'static str) {
        match outcome {
            "stored" => self.stored.increment(1),
            rare => counter!(names::PRODUCER_PUT_RECORDS_CALLS, "outcome" => rare).increment(1),
        }
    }

    pub(super) fn again(&self, again: Again) {
        let of = [
            (&self.throttled, again.throttled),
            (&self.failed, again.failed),
            (&self.lost, again.lost),
            (&self.misrouted, again.misrouted),
        ];
        for (counter, messages) in of {
            if messages > 0 {
                counter.increment(messages as u64);
            }
        }
    }
}

pub(super) fn shard_map(outcome: &'static str) {
    counter!(names::PRODUCER_SHARD_MAPS, "outcome" => outcome).increment(1);
}
