//! The database's file layer: it holds back what is written until the sync, and rides out a disk that takes nothing.
//!
//! To the database an error of its file is final: it then answers nothing any more, not even reads. So a full disk must
//! not become one. Writes are kept in memory till the sync that they are for; that one writes them, syncs, and if it
//! cannot, says so ([`Trouble`]) and tries again, all of them, until it can. (All of them, for after a failed sync a
//! system may have dropped any.) Meanwhile reads go on. Memory: the pages of one commit.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use redb::StorageBackend;
use tokio::sync::watch;

use super::medium::Medium;
use crate::telemetry::names;

/// How long until a sync that failed is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// Why nothing can be written now, if so; and whether trying is to end.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    now: watch::Sender<Option<Arc<str>>>,
    patient: Arc<(Mutex<bool>, std::sync::Condvar)>,
}

impl Trouble {
    /// None, and errors are told at once until [`Trouble::be_patient`].
    pub(super) fn new() -> Self {
        Self {
            now: watch::Sender::new(None),
            patient: Arc::new((Mutex::new(false), std::sync::Condvar::new())),
        }
    }

    /// Where it is told.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.now.subscribe()
    }

    /// From now on, what cannot be written is tried again; or, at the end, no more.
    pub(crate) fn be_patient(&self, patient: bool) {
        let (lock, changed) = &*self.patient;
        *lock.lock().unwrap_or_else(PoisonError::into_inner) = patient;
        changed.notify_all();
    }

    /// Tells of the error and waits before the next try; false, if there is to be none.
    fn rides_out(&self, error: &io::Error) -> bool {
        let (lock, changed) = &*self.patient;
        let patient = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if *patient {
            self.begin(error);
        }
        let waited = changed.wait_timeout_while(patient, AGAIN, |patient| *patient);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn begin(&self, error: &io::Error) {
        counter!(names::EMBEDDED_WRITE_FAILURES).increment(1);
        let text: Arc<str> = error.to_string().into();
        let is_new = self.now.send_if_modified(|now| {
            let is_new = now.as_ref() != Some(&text);
            *now = Some(Arc::clone(&text));
            is_new
        });
        if is_new {
            tracing::error!(%error, "the embedded stream's disk takes no writes: they are refused until it does again");
        }
    }

    fn end(&self) {
        if self.now.send_if_modified(|now| now.take().is_some()) {
            tracing::info!("the embedded stream's disk takes writes again");
        }
    }
}

/// What was written since the last sync.
#[derive(Debug, Default)]
struct Held {
    /// By offset; none overlaps another.
    writes: BTreeMap<u64, Arc<[u8]>>,
    /// The length there is to be, and the shortest there was to be before.
    len: Option<(u64, u64)>,
}

impl Held {
    /// Takes out of the way what a write replaces, and keeps what it does not.
    fn make_place(&mut self, start: u64, end: u64) {
        let before = self.writes.range(..start).next_back();
        let from = before.map_or(start, |(offset, data)| {
            if offset + data.len() as u64 > start {
                *offset
            } else {
                start
            }
        });
        let hit: Vec<_> = self
            .writes
            .range(from..end)
            .map(|(offset, _)| *offset)
            .collect();
        for offset in hit {
            let Some(data) = self.writes.remove(&offset) else {
                continue;
            };
            if let Some(head) = data.get(..place(start, offset)).filter(|_| offset < start) {
                self.writes.insert(offset, head.into());
            }
            if let Some(tail) = data
                .get(place(end, offset)..)
                .filter(|tail| !tail.is_empty())
            {
                self.writes.insert(end, tail.into());
            }
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        self.make_place(offset, offset + data.len() as u64);
        self.writes.insert(offset, data.into());
    }

    /// Lays what is held over what was read.
    fn overlay(&self, offset: u64, out: &mut [u8]) {
        let end = offset + out.len() as u64;
        let before = self.writes.range(..offset).next_back();
        let from = before.map_or(offset, |(before, _)| *before);
        for (start, data) in self.writes.range(from..end) {
            let skip = place(offset, *start);
            let at = place(*start, offset);
            let (Some(data), Some(out)) = (data.get(skip..), out.get_mut(at..)) else {
                continue;
            };
            for (to, from) in out.iter_mut().zip(data) {
                *to = *from;
            }
        }
    }
}

/// How far `position` lies behind `start`; 0 if it does not.
fn place(position: u64, start: u64) -> usize {
    usize::try_from(position.saturating_sub(start)).unwrap_or(usize::MAX)
}

/// See the module.
#[derive(Debug)]
pub(super) struct Backend<M> {
    medium: M,
    held: Mutex<Held>,
    trouble: Trouble,
}

impl<M: Medium> Backend<M> {
    pub(super) fn new(medium: M, trouble: Trouble) -> Self {
        Self {
            medium,
            held: Mutex::new(Held::default()),
            trouble,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes and syncs what is held, and lets go of it.
    fn settle(&self) -> io::Result<()> {
        let (len, writes) = {
            let held = self.held();
            (held.len, held.writes.clone())
        };
        if let Some((len, shortest)) = len {
            // What was cut off and added again is zeros.
            if shortest < self.medium.len()? {
                self.medium.set_len(shortest)?;
            }
            self.medium.set_len(len)?;
        }
        for (offset, data) in &writes {
            self.medium.write(*offset, data)?;
        }
        self.medium.sync()?;
        let mut held = self.held();
        held.len = held.len.filter(|now| Some(*now) != len);
        let written = |offset: &u64, data: &Arc<[u8]>| {
            writes
                .get(offset)
                .is_some_and(|written| Arc::ptr_eq(written, data))
        };
        held.writes.retain(|offset, data| !written(offset, data));
        Ok(())
    }
}

impl<M: Medium> StorageBackend for Backend<M> {
    fn len(&self) -> io::Result<u64> {
        let held = self.held().len;
        held.map_or_else(|| self.medium.len(), |(len, _)| Ok(len))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        // The database reads no page while it is written: the file and what is held can be looked at in turn.
        let settled = match self.held().len {
            None => out.len(),
            Some((_, shortest)) => place(shortest.min(self.medium.len()?), offset).min(out.len()),
        };
        let (old, new) = out.split_at_mut_checked(settled).unwrap_or_default();
        new.fill(0);
        if !old.is_empty() {
            self.medium.read(offset, old)?;
        }
        self.held().overlay(offset, out);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let now = StorageBackend::len(self)?;
        let mut held = self.held();
        held.make_place(len, u64::MAX);
        let shortest = held.len.map_or(now, |(_, shortest)| shortest);
        held.len = Some((len, shortest.min(len)));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        loop {
            match self.settle() {
                Ok(()) => {
                    self.trouble.end();
                    return Ok(());
                }
                Err(error) => {
                    if !self.trouble.rides_out(&error) {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.held().write(offset, data);
        Ok(())
    }
}
