//! A medium that loses what was not synced: a disk whose power fails at a chosen moment.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use crate::embedded::durable::medium::Medium;

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Len(u64),
    Write(u64, Vec<u8>),
}

#[derive(Debug, Default)]
struct State {
    /// What a reader sees.
    seen: Vec<u8>,
    /// What lasts.
    lasting: Vec<u8>,
    /// What was done since the last sync.
    changes: Vec<Change>,
    /// How many more things can be done before the power fails.
    life: Option<u64>,
    syncs: u64,
    is_full: bool,
    /// A disk that lies: what is synced does not last.
    forgets_syncs: bool,
}

/// Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Forgetful {
    state: Arc<Mutex<State>>,
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Forgetful {
    /// Syncs wait as long as this holds.
    pub(super) fn hold(&self, is_held: bool) {
        *self.held.0.lock().unwrap() = is_held;
        self.held.1.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power fails after so many more changes and syncs.
    pub(super) fn fail_after(&self, changes: u64) {
        self.state().life = Some(changes);
    }

    /// From now on what is synced does not last.
    pub(super) fn forget_syncs(&self) {
        self.state().forgets_syncs = true;
    }

    /// Whether there is no space.
    pub(super) fn fill(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    pub(super) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    pub(super) fn bytes(&self) -> usize {
        self.state().seen.len()
    }

    /// The disk as it is found after the power failed: of what was not synced any part is there, whatever its order, down
    /// to a sector.
    pub(super) fn after_power_failure(&self, random: &mut Rng) -> Self {
        let state = self.state();
        let mut left = state.lasting.clone();
        let mut changes = state.changes.clone();
        random.shuffle(&mut changes);
        // All, none, or some.
        let chance = *random.choice(&[0.0, 0.1, 0.5, 0.9, 1.0]).unwrap();
        for change in changes {
            match change {
                Change::Len(len) if random.f64() < chance => {
                    left.resize(usize::try_from(len).unwrap(), 0);
                }
                Change::Len(_) => {}
                Change::Write(offset, data) => {
                    for (index, sector) in data.chunks(SECTOR).enumerate() {
                        if random.f64() < chance {
                            write(
                                &mut left,
                                usize::try_from(offset).unwrap() + index * SECTOR,
                                sector,
                            );
                        }
                    }
                }
            }
        }
        let found = State {
            seen: left.clone(),
            lasting: left,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(found)),
            held: Arc::default(),
        }
    }
}

fn write(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(data);
}

impl State {
    fn live(&mut self) -> io::Result<()> {
        match &mut self.life {
            Some(0) => return Err(io::Error::other("the power has failed")),
            Some(life) => *life -= 1,
            None => {}
        }
        if self.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Medium for Forgetful {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.live()?;
        state.seen.resize(usize::try_from(len).unwrap(), 0);
        state.changes.push(Change::Len(len));
        Ok(())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let at = usize::try_from(offset).unwrap();
        let found = state.seen.get(at..at + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.live()?;
        write(&mut state.seen, usize::try_from(offset).unwrap(), data);
        state.changes.push(Change::Write(offset, data.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let (held, changed) = &*self.held;
        drop(changed.wait_while(held.lock().unwrap(), |held| *held));
        let mut state = self.state();
        state.live()?;
        state.syncs += 1;
        if state.forgets_syncs {
            return Ok(());
        }
        for change in std::mem::take(&mut state.changes) {
            match change {
                Change::Len(len) => state.lasting.resize(usize::try_from(len).unwrap(), 0),
                Change::Write(offset, data) => {
                    write(&mut state.lasting, usize::try_from(offset).unwrap(), &data);
                }
            }
        }
        Ok(())
    }
}
