//! Viewers whose connection is to be ended, one after the other.
//!
//! PERFORMANCE: for one who did not read the kernel holds up to half a megabyte, and takes as much as 0.15 ms to free it. A
//! thousand who fell behind together and are ended together would hold up everybody else for as many of that. So each takes
//! a turn of its own, between those of the sweeps.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Those that are to go.
pub(super) struct Departures<T> {
    due: RefCell<VecDeque<Rc<T>>>,
    /// Who may still go by themselves, by when they must have.
    closing: RefCell<VecDeque<(Instant, Weak<T>)>>,
    added: Notify,
    patience: Duration,
}

impl<T> Departures<T> {
    /// With so long for those that may go by themselves.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            due: RefCell::default(),
            closing: RefCell::default(),
            added: Notify::new(),
            patience,
        }
    }

    /// This one is to go now.
    pub(super) fn add(&self, who: Rc<T>) {
        self.due.borrow_mut().push_back(who);
        self.added.notify_one();
    }

    /// This one is to go if it has not by itself in time.
    pub(super) fn add_patiently(&self, who: &Rc<T>) {
        let until = Instant::now() + self.patience;
        self.closing
            .borrow_mut()
            .push_back((until, Rc::downgrade(who)));
        self.added.notify_one();
    }

    /// The next that is to go; waits for ever if there is none. Cancel-safe.
    pub(super) async fn next(&self) -> Rc<T> {
        loop {
            if let Some(who) = self.due.borrow_mut().pop_front() {
                return who;
            }
            // All have the same patience: the first to have come is the first whose time is up.
            let first = self.closing.borrow().front().map(|(until, _)| *until);
            let Some(until) = first else {
                self.added.notified().await;
                continue;
            };
            tokio::select! {
                () = self.added.notified() => {}
                () = sleep_until(until) => {
                    let first = self.closing.borrow_mut().pop_front();
                    if let Some(who) = first.and_then(|(_, who)| who.upgrade()) {
                        return who;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn next(departures: &Departures<&'static str>) -> Option<&'static str> {
        let next = timeout(Duration::from_mins(1), departures.next()).await;
        next.ok().map(|who| *who)
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_go_by_itself_has_the_time_and_others_do_not_wait_for_it() {
        let departures = Departures::new(PATIENCE);
        let (slow, gone, last) = (Rc::new("slow"), Rc::new("gone"), Rc::new("last"));
        let start = Instant::now();
        departures.add_patiently(&slow);
        departures.add_patiently(&gone);
        drop(gone);
        tokio::time::advance(Duration::from_secs(1)).await;
        departures.add_patiently(&last);
        departures.add(Rc::new("now"));
        assert_eq!(next(&departures).await, Some("now"));
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert_eq!(next(&departures).await, Some("slow"));
        let time = PATIENCE..PATIENCE + Duration::from_millis(10);
        assert!(time.contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(next(&departures).await, Some("last"));
        assert!(start.elapsed() >= PATIENCE + Duration::from_secs(1));
        assert_eq!(next(&departures).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_added_while_somebody_waits_is_next() {
        let departures = Departures::new(PATIENCE);
        let slow = Rc::new("slow");
        departures.add_patiently(&slow);
        let adding = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            departures.add(Rc::new("now"));
        };
        let (who, ()) = tokio::join!(next(&departures), adding);
        assert_eq!(who, Some("now"));
    }
}
