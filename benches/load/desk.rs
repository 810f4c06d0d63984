//! What the viewers of a thread share: one buffer, and a place to enter what they see.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::net::TcpStream;

use crate::Error;
use crate::crowd::Plan;
use crate::inflate::Inflater;
use crate::ledger::Ledger;
use crate::record::{Life, Record, Seen};
use crate::scanner::{Event, Scanner};
use crate::stamp::Stamp;
use crate::timeline::{Timeline, histogram, micros};

const BUFFER: usize = 256 * 1024;
/// What goes wrong goes wrong for thousands: so much is kept of it.
const KEPT: usize = 20;

/// Sums of ledgers that are closed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Left {
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) out_of_order: u64,
}

/// What the viewers of a thread share. Borrowed only between awaits.
pub(crate) struct Desk {
    pub(crate) buffer: Vec<u8>,
    pub(crate) records: Vec<Record>,
    inflater: Inflater,
    /// By when messages were due, microseconds to when they were read.
    pub(crate) timeline: Timeline,
    /// Microseconds from asking to join to the end of the history.
    pub(crate) joining: Histogram<u64>,
    pub(crate) frames: u64,
    pub(crate) reads: u64,
    pub(crate) bytes: u64,
    /// Bytes of compressed payloads, and of what was in them.
    pub(crate) inflated: (u64, u64),
    /// Of those who come and go, the visits that are over.
    pub(crate) left: Left,
    /// What should not have come.
    pub(crate) nonsense: Vec<String>,
    /// Why viewers could not join or stay.
    pub(crate) departures: Vec<String>,
}

impl Desk {
    /// For viewers with these records; a point of the charts is `slot` long.
    pub(crate) fn new(records: Vec<Record>, slot: Duration) -> Result<Self, Error> {
        Ok(Self {
            buffer: vec![0; BUFFER],
            records,
            inflater: Inflater::default(),
            timeline: Timeline::new(slot),
            joining: histogram()?,
            frames: 0,
            reads: 0,
            bytes: 0,
            inflated: (0, 0),
            left: Left::default(),
            nonsense: Vec::new(),
            departures: Vec::new(),
        })
    }

    /// Takes down why a viewer has gone.
    pub(crate) fn note(&mut self, number: usize, why: &str) {
        keep(&mut self.departures, || format!("viewer {number}: {why}"));
    }

    /// Digests bytes of a viewer as they come.
    pub(crate) fn digest(
        &mut self,
        bytes: &[u8],
        index: usize,
        scanner: &mut Scanner,
        plan: &Plan,
        stream: &mut TcpStream,
    ) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len() as u64;
        let now = micros(plan.epoch.elapsed());
        let Self {
            records,
            inflater,
            timeline,
            joining,
            nonsense,
            departures,
            inflated,
            ..
        } = self;
        let record = &mut records[index];
        record.arrive(now);
        let before = record.ledger.delivered;
        let frames = scanner.frames;
        let mut enter = |stamp: Stamp, nonsense: &mut Vec<String>| match record.see(stamp, plan) {
            Seen::Live => {
                if let Err(error) = timeline.record(stamp.due, now.saturating_sub(stamp.due)) {
                    keep(nonsense, || error.to_string());
                }
            }
            Seen::LastOfHistory => joining.saturating_record(record.since_asked(now)),
            Seen::Other => {}
            Seen::Nobodys => keep(nonsense, || format!("a message of nobody: {stamp:?}")),
        };
        scanner.feed(bytes, |event| match event {
            Event::Message(stamp) => enter(stamp, nonsense),
            Event::Deflated(payload) => match inflater.inflated(payload) {
                Some(frame) => {
                    inflated.0 += payload.len() as u64;
                    inflated.1 += frame.length as u64;
                    for &stamp in &frame.stamps {
                        enter(stamp, nonsense);
                    }
                }
                None => keep(nonsense, || {
                    format!("viewer {index} got what cannot be inflated")
                }),
            },
            Event::Ping(payload) => pong(stream, payload),
            Event::Close(code) => keep(departures, || {
                format!("viewer {index} was closed with {code:?}")
            }),
            Event::Nonsense => keep(nonsense, || {
                format!("viewer {index} got what is no frame of this bench")
            }),
        });
        self.frames += scanner.frames - frames;
        let delivered = record.ledger.delivered - before;
        let counter = match record.life {
            Life::Stays | Life::Stalls => &plan.counts.delivered,
            Life::Comes | Life::Roams => &plan.counts.delivered_to_others,
        };
        counter.fetch_add(delivered, std::sync::atomic::Ordering::Relaxed);
    }

    /// Keeps what a visit that is over has come to.
    pub(crate) fn settle(&mut self, index: usize) {
        let Some(record) = self.records.get_mut(index) else {
            return;
        };
        let fresh = Record::new(record.life, record.room, record.ledger.publishers());
        let old = std::mem::replace(record, fresh);
        self.left.add(&old.ledger);
    }
}

impl Left {
    /// Adds the ledger of a viewer that has left: what it would have seen later is not known.
    pub(crate) fn add(&mut self, ledger: &Ledger) {
        self.add_with(ledger, ledger.lost_between());
    }

    /// Adds the ledger of a viewer that stayed to the end, given what its room's publishers had accepted.
    pub(crate) fn add_to_the_end(&mut self, ledger: &Ledger, accepted: &[u32]) {
        self.add_with(ledger, ledger.lost(accepted));
    }

    pub(crate) fn add_all(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.out_of_order += other.out_of_order;
    }

    fn add_with(&mut self, ledger: &Ledger, lost: u64) {
        self.delivered += ledger.delivered;
        self.lost += lost;
        self.repeated += ledger.repeated;
        self.out_of_order += ledger.out_of_order;
    }
}

fn keep(kept: &mut Vec<String>, what: impl FnOnce() -> String) {
    if kept.len() < KEPT {
        kept.push(what());
    }
}

fn pong(stream: &TcpStream, payload: &[u8]) {
    let length = u8::try_from(payload.len()).unwrap_or(0);
    let mut pong = vec![0x8a, 0x80 | length, 0, 0, 0, 0];
    pong.extend_from_slice(payload);
    let _ = stream.try_write(&pong);
}
