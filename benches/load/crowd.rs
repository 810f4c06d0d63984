//! Viewers that cost little: one buffer a thread, a ledger each, and nothing allocated for a message.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::Error;
use crate::desk::Desk;
use crate::record::{Life, Record};
use crate::rooms::Rooms;
use crate::target::Target;
use crate::viewer::Viewer;

/// Handshakes under way at once, a thread.
const JOINING: usize = 128;

/// What all viewers of a run share.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) rooms: Rooms,
    /// Messages of history that newcomers ask for.
    pub(crate) history: usize,
    /// Source addresses to bind; 0: none.
    pub(crate) sources: usize,
    /// What all times count from.
    pub(crate) epoch: Instant,
    /// How long a point of the charts is.
    pub(crate) slot: Duration,
    pub(crate) counts: Arc<Counts>,
}

/// What the viewers have come to, for all threads together.
#[derive(Default)]
pub(crate) struct Counts {
    /// Handshakes done.
    pub(crate) joined: AtomicU64,
    /// Of them, those in which compression was agreed on.
    pub(crate) compressed: AtomicU64,
    /// Viewers that saw a message, and so will see all that follow.
    pub(crate) warm: AtomicU64,
    /// To those who stay.
    pub(crate) delivered: AtomicU64,
    /// To those who come amid the messages.
    pub(crate) delivered_to_others: AtomicU64,
    /// Visits of those who come and go.
    pub(crate) visits: AtomicU64,
    /// Viewers who read, and whose connection ended before they wanted it.
    pub(crate) gone: AtomicU64,
    /// Viewers that could not join.
    pub(crate) refused: AtomicU64,
}

impl Counts {
    /// To all viewers.
    pub(crate) fn all_delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed) + self.delivered_to_others.load(Ordering::Relaxed)
    }
}

/// A thread of viewers.
pub(crate) struct Crowd {
    thread: JoinHandle<Result<Desk, Error>>,
}

impl Crowd {
    /// Starts viewers with these numbers, spread over threads; they stay until `end` changes.
    pub(crate) fn start_all(
        plan: &Plan,
        numbers: Range<usize>,
        threads: usize,
        life: impl Fn(usize) -> Life + Copy + Send + 'static,
        end: &watch::Receiver<bool>,
    ) -> Vec<Self> {
        let share = numbers.len().div_ceil(threads).max(1);
        let firsts = numbers.clone().step_by(share);
        firsts
            .map(|first| first..(first + share).min(numbers.end))
            .map(|numbers| {
                let (plan, end) = (plan.clone(), end.clone());
                let thread = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()?;
                    LocalSet::new().block_on(&runtime, watch_all(plan, numbers, life, end))
                });
                Self { thread }
            })
            .collect()
    }

    /// What they saw, after their end.
    pub(crate) fn seen(self) -> Result<Desk, Error> {
        self.thread
            .join()
            .map_err(|_| "a thread of viewers panicked")?
    }
}

async fn watch_all(
    plan: Plan,
    numbers: Range<usize>,
    life: impl Fn(usize) -> Life,
    mut end: watch::Receiver<bool>,
) -> Result<Desk, Error> {
    let record = |number: usize| {
        let room = number % plan.rooms.count();
        Record::new(life(number), room, plan.rooms.slots())
    };
    let records = numbers.clone().map(record).collect();
    let desk = Rc::new(RefCell::new(Desk::new(records, plan.slot)?));
    let (plan, joining) = (Rc::new(plan), Rc::new(Semaphore::new(JOINING)));
    let mut tasks = JoinSet::new();
    for (index, number) in numbers.enumerate() {
        let viewer = Viewer {
            plan: Rc::clone(&plan),
            desk: Rc::clone(&desk),
            joining: Rc::clone(&joining),
            number,
            index,
            life: life(number),
        };
        tasks.spawn_local(viewer.live());
    }
    let _ = end.changed().await;
    tasks.shutdown().await;
    let desk = Rc::try_unwrap(desk).map_err(|_| "a viewer is left")?;
    Ok(desk.into_inner())
}
