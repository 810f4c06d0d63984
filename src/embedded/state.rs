//! The store behind its lock, and who is to be woken.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::watch;

use super::store::{Commit, Store, SubscriptionId};

/// What became of a commit.
pub(super) type Became = Result<(), Arc<str>>;

/// Where it is told what became of a commit.
pub(super) type Telling = watch::Sender<Option<Became>>;

/// The store, shared by who uses it and by the thread that writes it to disk, if one does.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Told when there is something to write.
    work: Condvar,
}

/// The store, and who is to be woken for which subscription. One lock for both, so that no wake-up can fall between a
/// look at the store and leaving the waker.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) wakers: HashMap<SubscriptionId, Waker>,
    /// What will become of the commit that takes what is decided now.
    outcome: Telling,
    /// Why nothing can be written any more, if so.
    pub(super) broken: Option<Arc<str>>,
    stopping: bool,
}

impl State {
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        let woken = self.store.take_woken();
        woken
            .into_iter()
            .filter_map(|id| self.wakers.remove(&id))
            .collect()
    }

    /// Nothing can be written any more: whoever waits for a later commit is told, too.
    pub(super) fn give_up(&mut self, problem: &Arc<str>) {
        self.broken = Some(Arc::clone(problem));
        // Nobody may be waiting.
        let _ = self.outcome.send(Some(Err(Arc::clone(problem))));
    }

    /// Where it will be told what became of all that is decided by now.
    pub(super) fn outcome(&self) -> watch::Receiver<Option<Became>> {
        self.outcome.subscribe()
    }
}

impl Shared {
    pub(super) fn new(store: Store) -> Self {
        Self {
            state: Mutex::new(State {
                store,
                wakers: HashMap::new(),
                outcome: watch::Sender::new(None),
                broken: None,
                stopping: false,
            }),
            work: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The store does not panic; were it to, each operation checks before it changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the writer that there is something to write.
    pub(super) fn tell_writer(&self) {
        self.work.notify_one();
    }

    /// Tells the writer to write what there is, and to end.
    pub(super) fn stop_writer(&self) {
        self.lock().stopping = true;
        self.work.notify_one();
    }

    /// What is to be written next; waits for it, unless `is_due`. None at the end.
    pub(super) fn next_commit(&self, is_due: bool) -> Option<(Commit, Telling)> {
        let mut state = self.lock();
        while !is_due && !state.store.has_prepared() && !state.stopping {
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopping && !state.store.has_prepared() {
            return None;
        }
        let commit = state.store.take_commit();
        // What is left over waits on the commit after it.
        let next = watch::Sender::new(None);
        Some((commit, std::mem::replace(&mut state.outcome, next)))
    }
}
