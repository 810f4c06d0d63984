//! What one viewer has come to.

use std::sync::atomic::Ordering;

use crate::crowd::Plan;
use crate::ledger::Ledger;
use crate::stamp::{Stamp, WARM_UP};

/// What a viewer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is there from the first message to the last.
    Stays,
    /// It joins and never reads.
    Stalls,
    /// It joins amid the messages, reads its history, and stays.
    Comes,
    /// It comes and goes all the time.
    Roams,
}

/// What a viewer has come to.
pub(crate) struct Record {
    pub(crate) life: Life,
    pub(crate) room: usize,
    pub(crate) ledger: Ledger,
    /// Messages of its history.
    pub(crate) history: u64,
    /// Its connection ended before it wanted that: what came later it cannot have seen.
    pub(crate) gone: bool,
    /// Whether it saw any message.
    warm: bool,
    /// When it asked to join, in microseconds.
    asked: u64,
    /// When the first bytes came behind the handshake. All of the history was due before that.
    joined: Option<u64>,
}

/// What a message is to a viewer.
pub(crate) enum Seen {
    /// One of the run's, as it happens.
    Live,
    /// The history is there.
    LastOfHistory,
    Other,
    Nobodys,
}

impl Record {
    pub(crate) fn new(life: Life, room: usize, publishers: usize) -> Self {
        let ledger = match life {
            Life::Stays | Life::Stalls => Ledger::from_the_start(publishers),
            Life::Comes | Life::Roams => Ledger::from_now_on(publishers),
        };
        Self {
            life,
            room,
            ledger,
            history: 0,
            gone: false,
            warm: false,
            asked: 0,
            joined: None,
        }
    }

    /// It asked to join, at this microsecond.
    pub(crate) fn ask(&mut self, now: u64) {
        self.asked = now;
    }

    pub(crate) fn since_asked(&self, now: u64) -> u64 {
        now.saturating_sub(self.asked)
    }

    /// Bytes came, at this microsecond.
    pub(crate) fn arrive(&mut self, now: u64) {
        self.joined.get_or_insert(now);
    }

    /// Enters a message.
    pub(crate) fn see(&mut self, stamp: Stamp, plan: &Plan) -> Seen {
        if !std::mem::replace(&mut self.warm, true) && self.life == Life::Stays {
            plan.counts.warm.fetch_add(1, Ordering::Relaxed);
        }
        let past = self.joined.is_some_and(|joined| stamp.due < joined);
        let history = self.life == Life::Comes && past;
        if stamp.publisher != WARM_UP {
            let Some(slot) = plan.rooms.slot(self.room, stamp.publisher) else {
                return Seen::Nobodys;
            };
            if !history {
                self.ledger.enter(slot, stamp.number);
                return Seen::Live;
            }
            // What is live must follow on it.
            self.ledger.enter_history(slot, stamp.number);
        }
        if !history {
            return Seen::Other;
        }
        self.history += 1;
        if self.history == plan.history as u64 {
            Seen::LastOfHistory
        } else {
            Seen::Other
        }
    }
}
