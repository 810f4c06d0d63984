//! What everybody in a run shares: the instances, the clock, the recording, and what was counted.

use std::collections::HashSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::checker::{Fate, Key, Recording};
use crate::process::Process;
use crate::wire;

/// How far back a viewer can resume, as the instances are told.
pub(crate) const RESUME_WINDOW: Duration = Duration::from_mins(2);
/// The rooms; the last is nearly silent.
pub(crate) const ROOMS: usize = 6;

/// Publishers from here on post one last message a room, after which nothing is owed.
pub(crate) const MARKERS: u32 = u32::MAX - 1_000;

/// Where the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Viewers come; nothing is posted yet.
    Gathering,
    /// Things go wrong.
    Breaking,
    /// All is healed; publishers finish what they have begun, viewers stay.
    Draining,
    /// Everybody goes.
    Closing,
}

/// An instance that clients speak to.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    /// Held by whoever kills, stops or starts it.
    pub(crate) process: tokio::sync::Mutex<Process>,
}

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What is counted while it runs.
        #[derive(Debug, Default)]
        pub(crate) struct Tally { $($(#[$doc])* pub(crate) $name: Count,)* }
    };
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(&self, count: u64) {
        // Relaxed: nothing is published through it.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

tally! {
    /// POSTs answered with 202.
    accepted,
    /// POSTs answered with 503 or 429.
    refused,
    /// Of those, while the whole stream was throttled.
    refused_in_droughts,
    /// POSTs without an answer in time.
    unanswered,
    /// POSTs whose connection failed.
    broken,
    /// POSTs of a message that an earlier POST may have stored, or has.
    again,
    /// Messages acknowledged.
    acknowledged,
    /// Messages seen, by all viewers.
    shown,
    /// Joins without a position.
    joins,
    /// Resumes within the window, recovered.
    recovered,
    /// Resumes within the window, not recovered.
    not_recovered,
    /// Of those, on an instance that had been started a moment before and did not say that it is ready.
    not_recovered_unready,
    /// Resumes after a longer absence.
    late_resumes,
    /// Resumes on another instance than the last.
    elsewhere,
    /// Connections that ended without the viewer's doing.
    lost_connections,
    /// Positions that are none, which must not be recovered.
    forged,
}

/// What everybody shares.
pub(crate) struct World {
    started: Instant,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) rooms: Vec<String>,
    /// The three that are broken, and last the one that holds the stream.
    pub(crate) instances: Vec<Instance>,
    pub(crate) tally: Tally,
    recording: Mutex<Recording>,
    /// The viewers that have seen their room's last message.
    marked: Mutex<HashSet<usize>>,
    problems: Mutex<Vec<String>>,
}

impl World {
    pub(crate) fn new(phase: watch::Receiver<Phase>, instances: Vec<Instance>) -> Self {
        let rooms: Vec<String> = (0..ROOMS).map(|room| format!("room-{room}")).collect();
        let recording = Recording {
            rooms: rooms.clone(),
            ..Recording::default()
        };
        Self {
            started: Instant::now(),
            phase,
            rooms,
            instances,
            tally: Tally::default(),
            recording: Mutex::new(recording),
            marked: Mutex::default(),
            problems: Mutex::default(),
        }
    }

    /// Milliseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn recording(&self) -> MutexGuard<'_, Recording> {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A first POST is about to be sent.
    pub(crate) fn posts(&self, room: usize, key: Key) {
        let fate = Fate {
            room,
            posted: self.now(),
            acknowledged: None,
        };
        self.recording().messages.insert(key, fate);
    }

    /// A 202 came.
    pub(crate) fn acknowledged(&self, key: Key) {
        let now = self.now();
        if let Some(fate) = self.recording().messages.get_mut(&key)
            && fate.acknowledged.is_none()
        {
            fate.acknowledged = Some(now);
            self.tally.acknowledged.add();
        }
    }

    /// A viewer has seen its room's last message.
    pub(crate) fn marked(&self, viewer: usize) {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        marked.insert(viewer);
    }

    /// The viewers that should have seen their room's last message, and have not.
    pub(crate) fn unmarked(&self) -> Vec<String> {
        let marked = self
            .marked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let recording = self.recording();
        let viewers = recording.viewers.iter().enumerate();
        let unmarked = viewers.filter(|(place, viewer)| !viewer.left && !marked.contains(place));
        unmarked.map(|(_, viewer)| viewer.name.clone()).collect()
    }

    /// Something that must not be, beside what the checker finds.
    pub(crate) fn problem(&self, what: impl Display) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.push(format!(
            "at {:.1} s: {what}",
            Duration::from_millis(self.now()).as_secs_f64()
        ));
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.problems
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until the run is in this phase, or past it.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut watching = self.phase.clone();
        // Whoever ends the run drops the sender: that is past everything.
        let _ = watching.wait_for(|now| *now >= phase).await;
    }

    pub(crate) fn is_in(&self, phase: Phase) -> bool {
        *self.phase.borrow() == phase
    }

    /// Whether an instance says that it may be sent clients.
    pub(crate) async fn is_ready(&self, instance: usize) -> bool {
        let Some(instance) = self.instances.get(instance) else {
            return false;
        };
        let asked = wire::ask(instance.address, None, "GET", "/readyz", "");
        matches!(
            tokio::time::timeout(Duration::from_secs(1), asked).await,
            Ok(Ok((200, _)))
        )
    }
}
