//! Whether viewers are still there: each is asked once an interval, all of them evenly spread over
//! it.
//!
//! A peer that vanishes without a word (a cable, a power cut, a stopped process) looks to the kernel
//! like one that has nothing to say. So it is sent a ping, which every WebSocket client answers by
//! itself (RFC 6455, 5.5.2), and whatever comes from it counts as an answer. The pings are also what
//! keeps an idle connection open in a load balancer.

use std::rc::Rc;
use std::time::Duration;

use slab::Slab;
use tokio::time::MissedTickBehavior;

use super::Worker;
use super::outbox::Outbox;
use super::viewer::{State, Viewer};
use crate::log::ping;

/// The most slots of a wheel: with ten thousand viewers some forty pings are sent at a time.
const MOST_SLOTS: usize = 256;

/// The least time between two slots: timers are no finer than a millisecond.
const LEAST_STEP: Duration = Duration::from_millis(10);

/// Into how many slots an interval is divided.
pub(super) fn slots(interval: Duration) -> usize {
    let steps = interval.as_millis() / LEAST_STEP.as_millis();
    usize::try_from(steps).map_or(MOST_SLOTS, |steps| steps.clamp(1, MOST_SLOTS))
}

/// Seats in slots, of which one comes round at a time: each seat once a turn.
///
/// Seats are given in a row and slots take every so manieth, so that those who come at the same
/// moment do not have their turn at the same moment.
pub(super) struct Wheel<T> {
    seats: Slab<T>,
    slots: usize,
    next: usize,
}

impl<T: Clone> Wheel<T> {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            seats: Slab::new(),
            slots: slots.max(1),
            next: 0,
        }
    }

    /// Takes somebody on, and says where it sits.
    pub(super) fn sit(&mut self, who: T) -> usize {
        self.seats.insert(who)
    }

    /// Frees a seat.
    pub(super) fn stand(&mut self, seat: usize) {
        self.seats.try_remove(seat);
        if self.seats.is_empty() {
            // A crowd that has gone leaves its memory.
            self.seats = Slab::new();
        }
    }

    /// Those whose turn it is; the next slot's at the next call.
    pub(super) fn turn(&mut self) -> Vec<T> {
        let slot = self.next;
        self.next = (slot + 1) % self.slots;
        let seats = (slot..self.seats.capacity()).step_by(self.slots);
        seats
            .filter_map(|seat| self.seats.get(seat))
            .cloned()
            .collect()
    }
}

impl Worker {
    /// Asks every viewer once an interval, for ever.
    pub(super) async fn ask_all(self: &Rc<Self>) {
        let Some(interval) = self.config.ping_interval else {
            return std::future::pending().await;
        };
        let slots = u32::try_from(slots(interval)).unwrap_or(1);
        let mut step = tokio::time::interval(interval / slots);
        // After a time in which nothing was done here viewers have to have their chance to answer.
        step.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            step.tick().await;
            let due = self.wheel.borrow_mut().turn();
            for viewer in due {
                self.ask(&viewer);
                self.give_way().await;
            }
        }
    }

    /// Asks a viewer whether it is there, or drops it if it never answered the last time.
    fn ask(self: &Rc<Self>, viewer: &Rc<Viewer>) {
        let closing = match &*viewer.state.borrow() {
            State::Live => false,
            State::Lagging(outbox) => outbox.is_closing(),
            State::Closed | State::Gone => true,
        };
        if closing {
            return;
        }
        if viewer.has_shown_life() {
            self.metrics.pings.increment(1);
            self.say(viewer, ping(), Outbox::ping);
        } else {
            self.metrics.dead.increment(1);
            self.expel(viewer);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everybody_has_its_turn_once_a_round_and_no_slot_is_crowded(
            slots in 1_usize..300,
            members in 0_usize..2_000,
            gone in prop::collection::hash_set(0_usize..2_000, 0..500),
        ) {
            let mut wheel = Wheel::new(slots);
            let seats: Vec<_> = (0..members).map(|member| wheel.sit(member)).collect();
            for &member in gone.iter().filter(|&&member| member < members) {
                wheel.stand(seats[member]);
            }
            let round: Vec<_> = (0..slots).map(|_| wheel.turn()).collect();
            prop_assert!(round.iter().all(|slot| slot.len() <= members.div_ceil(slots)));
            let mut asked = round.concat();
            asked.sort_unstable();
            let left: Vec<_> = (0..members).filter(|member| !gone.contains(member)).collect();
            prop_assert_eq!(asked, left);
        }
    }

    #[test]
    fn an_interval_has_as_many_slots_as_timers_can_tell_apart() {
        assert_eq!(slots(Duration::ZERO), 1);
        assert_eq!(slots(Duration::from_millis(100)), 10);
        assert_eq!(slots(Duration::from_secs(30)), MOST_SLOTS);
        assert_eq!(slots(Duration::MAX), MOST_SLOTS);
    }
}
