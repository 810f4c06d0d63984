//! Whether the program is ready, put together from what its stages say.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::consumer;
use crate::http::{Behind, Readiness, ReadyState};

/// Whether the program is ready, as `/readyz` tells it.
#[derive(Debug, Default)]
pub(super) struct Health {
    draining: AtomicBool,
    pub(super) consumer: OnceLock<watch::Receiver<consumer::Readiness>>,
    pub(super) producer: OnceLock<watch::Receiver<Option<String>>>,
}

impl Health {
    /// From now on it is not.
    pub(super) fn drain(&self) {
        // Relaxed: nothing is published through it.
        self.draining.store(true, Ordering::Relaxed);
    }

    /// How it is now.
    pub(super) fn state(&self) -> ReadyState {
        let readiness = self.consumer.get().map(|readiness| readiness.borrow());
        let ready = readiness.as_ref().is_some_and(|readiness| readiness.ready);
        // Relaxed: nothing is published through it.
        let status = match (self.draining.load(Ordering::Relaxed), ready) {
            (true, _) => Readiness::Draining,
            (false, true) => Readiness::Ready,
            (false, false) => Readiness::Starting,
        };
        let behind = readiness.iter().flat_map(|readiness| readiness.behind());
        let problems = readiness.iter().flat_map(|readiness| &readiness.problems);
        let trouble = self
            .producer
            .get()
            .and_then(|trouble| trouble.borrow().clone());
        ReadyState {
            status,
            behind: behind.map(of_shard).collect(),
            problems: problems.cloned().chain(trouble).collect(),
        }
    }
}

fn of_shard(shard: &consumer::ShardStatus) -> Behind {
    Behind {
        shard: shard.id.to_string(),
        state: shard.state.as_str(),
        millis_behind: shard.millis_behind,
        trouble: shard.trouble.as_deref().map(str::to_owned),
    }
}
