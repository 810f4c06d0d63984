//! The thread that writes: one commit after the other, each with all that was decided while the one before was written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Instant;
use std::{io, thread};

use metrics::{counter, histogram};

use super::disk::{Disk, Written};
use super::keeper::Keeper;
use crate::embedded::state::{Became, Shared};
use crate::embedded::store::{Commit, Horizon};
use crate::telemetry::names;

/// Starts it. It ends when it is told to, having written what there is.
pub(crate) fn start(
    shared: Arc<Shared>,
    disk: Arc<Disk>,
    keeper: Keeper,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("embedded-disk".to_owned())
        .spawn(move || run(&shared, &disk, keeper))
}

fn run(shared: &Shared, disk: &Disk, mut keeper: Keeper) {
    while let Some((commit, outcome)) = shared.next_commit(keeper.is_due()) {
        keeper.expect(&commit.expiring);
        if commit.is_idle() && !keeper.is_due() {
            continue;
        }
        let written = write(disk, &mut keeper, &commit);
        let is_broken = written.is_err();
        let (became, wakers) = publish(shared, disk, commit, written);
        // Nobody may be waiting any more.
        let _ = outcome.send(Some(became));
        wakers.into_iter().for_each(Waker::wake);
        if is_broken {
            return;
        }
    }
}

/// The horizons that have moved, or why nothing was written.
type Outcome = Result<Vec<Horizon>, String>;

fn write(disk: &Disk, keeper: &mut Keeper, commit: &Commit) -> Outcome {
    let begun = Instant::now();
    // The database panics on some kinds of damage.
    let written = catch_unwind(AssertUnwindSafe(|| disk.commit(keeper, commit)));
    let written = written.map_err(|_| "the database has panicked".to_owned())?;
    let Written { bytes, horizons } = written.map_err(|error| error.to_string())?;
    counter!(names::EMBEDDED_COMMITS).increment(1);
    counter!(names::EMBEDDED_COMMITTED_BYTES).increment(bytes as u64);
    histogram!(names::EMBEDDED_COMMIT_SECONDS).record(begun.elapsed().as_secs_f64());
    Ok(horizons)
}

/// Lets be seen what was written. If it was not, nothing is written any more until the next start.
fn publish(shared: &Shared, disk: &Disk, commit: Commit, written: Outcome) -> (Became, Vec<Waker>) {
    let mut state = shared.lock();
    let became = match written {
        Ok(horizons) => {
            state.store.publish(commit);
            state.store.trimmed(&horizons);
            Ok(())
        }
        Err(problem) => {
            counter!(names::EMBEDDED_WRITE_FAILURES).increment(1);
            tracing::error!(
                file = %disk.path().display(), problem,
                "the embedded stream cannot be written any more: writes are refused until this process is started again"
            );
            let problem: Arc<str> = problem.into();
            state.give_up(&problem);
            Err(problem)
        }
    };
    (became, state.take_wakers())
}
