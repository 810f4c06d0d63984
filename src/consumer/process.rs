//! What happens to the records of a shard: decode, remove repeats, append to the log.
//!
//! No IO and no awaiting: an event that was received is processed whole, so a reader can be
//! dropped at any await and loses nothing.
//!
//! # The floor
//! The point from which on everything of this shard is known. A shard that came to be while we
//! were reading those before it is known from its first possible record. Else it is where reading
//! began: just before the first record, or the first continuation if the first event has none.
//! Records passed over because they lie before the chosen start (they only fill the ids) raise it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::metrics::{Counter, Gauge, counter, gauge};

use super::decode::{self, Decoder};
use super::reaper::Heard;
use super::repeats::Window;
use crate::kinesis::{Record, Shard};
use crate::log::{LogShard, NEAR_TIP};
use crate::message::{Message, SequenceNumber, Timestamp};
use crate::telemetry::names;

/// What one event, or one page of polled records, brings.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    pub(super) records: &'a [Record],
    /// Everything up to and with this was read; none at the end of the shard, or if the service
    /// does not say.
    pub(super) continuation: Option<SequenceNumber>,
    pub(super) millis_behind: u64,
    /// There is nothing after it.
    pub(super) is_end: bool,
}

/// Where one shard's records go.
#[derive(Debug)]
pub(super) struct Processor {
    log: Arc<LogShard>,
    window: Window,
    decoder: Decoder,
    /// What has a smaller clock is not shown.
    show_from: Timestamp,
    /// Whether what comes is shown; once it is, it stays so.
    is_showing: bool,
    floor: Option<SequenceNumber>,
    /// The floor before reading began anew at the oldest record, until it shows whether anything
    /// was lost by that.
    held_floor: Option<SequenceNumber>,
    read_to: Option<SequenceNumber>,
    /// The number to take as read at the end of a shard that had no records for us.
    last_possible: SequenceNumber,
    /// It was closed before reading it began: what is its tip was that of its rooms once.
    is_past: bool,
    meters: Meters,
}

#[derive(Debug)]
struct Meters {
    records: Counter,
    bytes: Counter,
    redelivered: Counter,
    shown: Counter,
    repeat: Counter,
    prefill: Counter,
    behind: Gauge,
    last_delivery: Gauge,
    remembered: Gauge,
}

impl Meters {
    fn new(shard: &str) -> Self {
        let outcome =
            |outcome: &'static str| counter!(names::CONSUMER_MESSAGES, "outcome" => outcome);
        let shard = || shard.to_owned();
        let meters = Self {
            records: counter!(names::CONSUMER_RECORDS),
            bytes: counter!(names::CONSUMER_BYTES),
            redelivered: counter!(names::CONSUMER_REDELIVERED),
            shown: outcome("shown"),
            repeat: outcome("repeat"),
            prefill: outcome("prefill"),
            behind: gauge!(names::CONSUMER_BEHIND, "shard" => shard()),
            last_delivery: gauge!(names::CONSUMER_LAST_DELIVERY, "shard" => shard()),
            remembered: gauge!(names::CONSUMER_REMEMBERED, "shard" => shard()),
        };
        // A shard that never delivers is silent from the beginning.
        meters.delivered();
        meters
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    fn delivered(&self) {
        let now = Timestamp::now().as_millis();
        self.last_delivery.set(now as f64 / 1e3);
    }
}

/// Nobody is to be alarmed by a shard that is no longer read.
impl Drop for Meters {
    fn drop(&mut self) {
        for gauge in [&self.behind, &self.last_delivery, &self.remembered] {
            gauge.set(0.0);
        }
    }
}

impl Processor {
    /// `is_whole`: the shard is read from its birth on, so that its floor is known at once.
    pub(super) fn new(
        shard: &Shard,
        log: Arc<LogShard>,
        window: Window,
        show_from: Timestamp,
        is_whole: bool,
        heard: Arc<Heard>,
        warn_interval: Duration,
    ) -> Self {
        let mut processor = Self {
            log,
            decoder: Decoder::new(shard.id.clone(), shard.range, heard, warn_interval),
            is_showing: window.clock().is_some_and(|clock| clock >= show_from),
            window,
            show_from,
            floor: None,
            held_floor: None,
            read_to: None,
            last_possible: shard.ending.unwrap_or(shard.starting),
            is_past: !shard.is_open(),
            meters: Meters::new(shard.id.as_str()),
        };
        if is_whole {
            processor.raise_floor(shard.starting.before());
        }
        processor
    }

    /// Everything up to and with this was processed before, by a reader that came to grief.
    pub(super) fn resume_after(&mut self, read_to: SequenceNumber) {
        self.read_to = Some(read_to);
        self.floor = Some(read_to);
        self.is_showing = true;
    }

    /// Whether it is known where in the shard, or at its beginning, reading stands.
    pub(super) fn has_position(&self) -> bool {
        self.floor.is_some()
    }

    /// How far the shard was read.
    pub(super) fn read_to(&self) -> Option<SequenceNumber> {
        self.read_to
    }

    /// Takes a delivery in.
    pub(super) fn take(&mut self, delivery: &Delivery<'_>, now: Instant) {
        self.keep_floor_if_nothing_is_lost(delivery);
        let new = self.new_records(delivery.records);
        let first = new.first().map(|record| record.sequence.before());
        if self.floor.is_none()
            && let Some(floor) = first
                .or(delivery.continuation)
                .or_else(|| delivery.is_end.then_some(self.last_possible))
        {
            self.raise_floor(floor);
        }
        let mut shown: Vec<Message> = Vec::new();
        let mut skipped_to = None;
        for record in new {
            self.meters.records.increment(1);
            self.meters.bytes.increment(record.data.len() as u64);
            if let Some(arrival) = decode::arrival(record) {
                self.window.tick(arrival);
            }
            self.is_showing |= self.window.clock().unwrap_or(self.show_from) >= self.show_from;
            if !self.is_showing {
                skipped_to = Some(record.sequence);
            }
            self.read_to = Some(record.sequence);
            self.record(record, &mut shown, now);
        }
        if let Some(floor) = skipped_to {
            self.raise_floor(floor);
        }
        if !shown.is_empty() {
            self.meters.shown.increment(shown.len() as u64);
            self.log.append(shown);
        }
        self.read_to = self.read_to.max(delivery.continuation);
        if delivery.is_end {
            self.read_to = self.read_to.or(Some(self.last_possible));
        }
        self.report(delivery);
    }

    /// Without those that were read before: a record can be delivered twice.
    fn new_records<'a>(&self, records: &'a [Record]) -> &'a [Record] {
        let Some(read_to) = self.read_to else {
            return records;
        };
        let old = records.partition_point(|record| record.sequence <= read_to);
        self.meters.redelivered.increment(old as u64);
        records.get(old..).unwrap_or_default()
    }

    fn record(&mut self, record: &Record, shown: &mut Vec<Message>, now: Instant) {
        let (window, meters, is_showing) = (&mut self.window, &self.meters, self.is_showing);
        self.decoder.decode(record, now, |message| {
            // Also what is not shown has occurred.
            let id = message.id.uuid();
            if id.is_some_and(|id| window.occurs(&message.room, id)) {
                meters.repeat.increment(1);
            } else if is_showing {
                shown.push(message);
            } else {
                meters.prefill.increment(1);
            }
        });
    }

    fn report(&mut self, delivery: &Delivery<'_>) {
        // At the tip all that comes is new, also if our clock is ahead of the stream's.
        self.is_showing |= delivery.millis_behind == 0;
        if let (Some(read_to), Some(_)) = (self.read_to, self.floor) {
            // The end of a shard is not the tip of its rooms: they go on in its children.
            let is_past = self.is_past || delivery.is_end;
            let least = if is_past { NEAR_TIP + 1 } else { 0 };
            self.log.advance(read_to, delivery.millis_behind.max(least));
        }
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
        {
            self.meters.behind.set(delivery.millis_behind as f64 / 1e3);
            self.meters.remembered.set(self.window.len() as f64);
        }
        self.meters.delivered();
    }

    fn raise_floor(&mut self, floor: SequenceNumber) {
        self.floor = Some(floor);
        self.log.set_floor(floor);
    }

    /// Reading begins anew at the oldest record left. What lies between what was read and that
    /// one is lost: the floor is unknown again, until the next event.
    pub(super) fn restart(&mut self) {
        self.held_floor = self.floor.take().or(self.held_floor);
    }

    /// After a restart: what comes reaches back to what was read before, so there is no gap.
    fn keep_floor_if_nothing_is_lost(&mut self, delivery: &Delivery<'_>) {
        let Some(held) = self.held_floor.take() else {
            return;
        };
        let first = delivery.records.first().map(|record| record.sequence);
        let oldest = first.or(delivery.continuation);
        if oldest.is_some_and(|oldest| Some(oldest) <= self.read_to) {
            self.floor = Some(held);
        }
    }

    /// What the shard's children inherit.
    pub(super) fn into_window(mut self) -> Window {
        self.window.seal();
        self.window
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
