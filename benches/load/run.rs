//! One run: join, warm up, publish, wait for the last delivery.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::Error;
use crate::args::Args;
use crate::process::{Server, raise_open_files};
use crate::publisher;
use crate::report::Report;
use crate::viewer::{self, Counts, Crowd};

const LOOK: Duration = Duration::from_millis(50);
const JOINED_WITHIN: Duration = Duration::from_mins(2);
const WARM_WITHIN: Duration = Duration::from_secs(30);
/// After the last publisher ended: how long nothing may come before the rest counts as lost.
const QUIET: Duration = Duration::from_secs(5);
const DRAINED_WITHIN: Duration = Duration::from_mins(1);

pub(crate) fn run(args: &Args) -> Result<Report, Error> {
    raise_open_files(args.viewers + args.publishers + 200)?;
    let server = Server::start(args)?;
    let room: Arc<str> = format!("load-{:08x}", fastrand::u32(..)).into();
    let epoch = Instant::now();
    let counts = Arc::new(Counts::default());
    let (end, ended) = watch::channel(false);

    // Joining.
    let plan = viewer::Plan {
        address: server.address,
        room: Arc::clone(&room),
        encoding: args.encoding,
        publishers: args.publishers,
        epoch,
    };
    let threads = args.threads.min(args.viewers);
    let share = args.viewers.div_ceil(threads);
    let crowds: Vec<_> = (0..threads)
        .map(|thread| {
            (
                thread * share,
                share.min(args.viewers.saturating_sub(thread * share)),
            )
        })
        .map(|(first, count)| {
            Crowd::start(
                plan.clone(),
                first,
                count,
                Arc::clone(&counts),
                ended.clone(),
            )
        })
        .collect();
    let joining = wait_for_viewers(args, &counts);
    let joined = epoch.elapsed();

    // Publishing.
    let accepted = Arc::new(AtomicU64::new(0));
    let start = Instant::now() + Duration::from_millis(100);
    let mut plan = publisher::Plan {
        address: server.address,
        room,
        text: args.text,
        rate: args.rate,
        publishers: args.publishers,
        epoch,
        start,
        end: start + Duration::from_secs(args.seconds),
    };
    let viewers = args.viewers as u64;
    let warm = joining.and_then(|()| {
        publisher::warm_up(&plan, WARM_WITHIN, || {
            counts.warm.load(Ordering::Relaxed) >= viewers
        })
    });
    plan.start = Instant::now() + Duration::from_millis(100);
    plan.end = plan.start + Duration::from_secs(args.seconds);
    let started = plan.start;
    let cpu_before = server.cpu();
    let published = warm.and_then(|()| {
        let publishers = publisher::start(plan, Arc::clone(&accepted));
        show_publishing(args, started, &accepted, &counts);
        publishers
            .join()
            .map_err(|_| "the thread of publishers panicked")?
    });
    let publishing = started.elapsed();

    // The last deliveries.
    let drained = match &published {
        Ok(published) => drain(
            published
                .accepted
                .iter()
                .map(|&count| u64::from(count))
                .sum::<u64>()
                * viewers,
            &counts,
        ),
        Err(_) => Instant::now(),
    };
    let cpu = cpu_before.and_then(|before| server.cpu()?.checked_sub(before));
    let resident = server.resident();
    let gone = counts.gone.load(Ordering::Relaxed);
    let _ = end.send(true);
    let seen: Result<Vec<_>, _> = crowds.into_iter().map(Crowd::seen).collect();
    let seen = seen?;
    let published = published.map_err(|error| with_troubles(&error, &seen))?;
    server.stop()?;
    Report::new(
        args,
        &published,
        seen,
        joined,
        publishing,
        drained.duration_since(started),
        cpu,
        resident,
        gone,
    )
}

/// An error, and what the viewers had to say.
fn with_troubles(error: &Error, seen: &[viewer::Seen]) -> Error {
    let troubles: Vec<_> = seen
        .iter()
        .flat_map(|seen| &seen.troubles)
        .take(5)
        .map(String::as_str)
        .collect();
    format!("{error}; {}", troubles.join("; ")).into()
}

fn wait_for_viewers(args: &Args, counts: &Counts) -> Result<(), Error> {
    let bar = bar(args.viewers as u64, "joining");
    let start = Instant::now();
    loop {
        let joined = counts.joined.load(Ordering::Relaxed);
        bar.set_position(joined);
        let refused = counts.refused.load(Ordering::Relaxed);
        if refused > 0 {
            return Err(format!("{refused} viewers could not join").into());
        }
        if joined >= args.viewers as u64 {
            bar.finish_and_clear();
            return Ok(());
        }
        if start.elapsed() > JOINED_WITHIN {
            return Err(format!(
                "{joined} of {} viewers joined within {JOINED_WITHIN:?}",
                args.viewers
            )
            .into());
        }
        // A whole look would count into the time of joining.
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn show_publishing(args: &Args, started: Instant, accepted: &AtomicU64, counts: &Counts) {
    let bar = bar(args.seconds * 1_000, "publishing");
    while started.elapsed() < Duration::from_secs(args.seconds) {
        bar.set_position(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        let (accepted, delivered) = (
            accepted.load(Ordering::Relaxed),
            counts.delivered.load(Ordering::Relaxed),
        );
        bar.set_message(format!(
            "publishing: {accepted} accepted, {delivered} delivered"
        ));
        std::thread::sleep(LOOK);
    }
    bar.finish_and_clear();
}

/// Waits for all deliveries, or until nothing comes any more; gives when the last came.
fn drain(wanted: u64, counts: &Counts) -> Instant {
    let bar = bar(wanted, "the last deliveries");
    let start = Instant::now();
    let (mut last, mut since) = (counts.delivered.load(Ordering::Relaxed), start);
    while last < wanted && since.elapsed() < QUIET && start.elapsed() < DRAINED_WITHIN {
        std::thread::sleep(Duration::from_millis(2));
        let delivered = counts.delivered.load(Ordering::Relaxed);
        if delivered != last {
            (last, since) = (delivered, Instant::now());
        }
        bar.set_position(delivered);
    }
    bar.finish_and_clear();
    since
}

fn bar(length: u64, message: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(message);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} % {elapsed:>4}  {msg}") {
        bar.set_style(style);
    }
    bar
}
