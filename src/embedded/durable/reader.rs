//! Reading from disk, away from the lock and from the threads that serve.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::disk::{Disk, DiskError};
use crate::embedded::store::{Load, Loaded, Search};
use crate::embedded::{Error, ErrorKind};

/// Reads at once. Each brings an event or an answer, so 10 MiB at most and mostly 1 MiB; further ones wait.
const AT_ONCE: usize = 8;

/// Reads for whoever asks, a few at a time.
#[derive(Debug)]
pub(crate) struct Reader {
    disk: Arc<Disk>,
    turns: Arc<Semaphore>,
}

impl Reader {
    pub(crate) fn new(disk: Arc<Disk>) -> Self {
        Self {
            disk,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    pub(crate) async fn load(&self, load: Load) -> Result<Loaded, Error> {
        self.read(move |disk| disk.load(&load)).await
    }

    pub(crate) async fn search(&self, search: Search) -> Result<Option<u64>, Error> {
        self.read(move |disk| disk.search(&search)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Disk) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let disk = Arc::clone(&self.disk);
        let done = spawn_blocking(move || {
            let _turn = turn;
            read(&disk)
        });
        let problem = match done.await {
            Ok(Ok(read)) => return Ok(read),
            Ok(Err(error)) => error.to_string(),
            // The database panics on some kinds of damage.
            Err(error) => error.to_string(),
        };
        let file = self.disk.path().display();
        tracing::error!(%file, problem, "records of the embedded stream cannot be read: is the file damaged?");
        Err(Error::new(
            ErrorKind::InternalFailure,
            "The records could not be read from disk.",
        ))
    }
}
