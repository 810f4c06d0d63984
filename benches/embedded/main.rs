//! The embedded Kinesis by itself, called by the SDK: in process, and over TCP with the service in a process of its own.
//!
//! ```text
//! cargo bench --bench embedded -- --seconds 5 --only puts,latency,fanout,backlog,unread,disk
//! ```
//!
//! A folder is made in the system's folder for temporary files (`TMPDIR`), which has to be on a disk to say something.
//! Cost is CPU time: in process that of everything, the SDK included; over TCP that of the service's process alone. Without
//! arguments of `cargo bench`, as `cargo test --benches` calls it, it is a smoke run.

#![allow(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic ends the bench, which is what is wanted of a bug in it"
)]
#![allow(
    clippy::cast_precision_loss,
    reason = "the figures are shown with three digits"
)]

mod backlog;
mod disk;
mod fanout;
mod kinesis;
mod latency;
mod puts;
mod unread;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use kinesis::{Kept, Way};

/// Measure the embedded Kinesis.
#[derive(Clone, Debug, Parser)]
#[command(name = "embedded")]
struct Args {
    /// How long each rate is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// MiB in the backlog that is read through.
    #[arg(long, default_value_t = 1024)]
    backlog: usize,
    /// Messages that are written to see how much disk they take.
    #[arg(long, default_value_t = 100_000)]
    messages: usize,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    /// Given by `cargo bench NAME`.
    #[arg(hide = true)]
    filter: Option<String>,
    /// Be the service, with so many MiB of memory for records.
    #[arg(long, hide = true)]
    serve: Option<usize>,
    /// And with this folder.
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// PutRecords: calls and records a second, and a core.
    Puts,
    /// From the call of PutRecords to the event.
    Latency,
    /// Twenty subscriptions on one shard, against one.
    Fanout,
    /// A backlog read through by one subscription.
    Backlog,
    /// A hundred subscriptions that are never read.
    Unread,
    /// What messages take on disk.
    Disk,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Scale {
    time: Duration,
    backlog: usize,
    samples: usize,
    messages: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(memory) = args.serve {
        kinesis::serve(memory, args.folder.as_deref());
        return ExitCode::SUCCESS;
    }
    // `cargo bench NAME` hands the name to every bench.
    let named = args.filter.as_ref();
    if named.is_some_and(|filter| !"embedded".contains(filter.as_str())) {
        return ExitCode::SUCCESS;
    }
    let is_smoke = !args.bench && std::env::args_os().len() <= 1;
    let scale = if is_smoke {
        Scale {
            time: Duration::from_millis(200),
            backlog: 8,
            samples: 50,
            messages: 1_600,
        }
    } else {
        Scale {
            time: Duration::from_secs(args.seconds),
            backlog: args.backlog,
            samples: 5_000,
            messages: args.messages,
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let wanted = |what| args.only.is_empty() || args.only.contains(&what);
    runtime.block_on(async {
        if wanted(What::Puts) {
            puts::report(scale).await;
        }
        if wanted(What::Latency) {
            latency::report(scale).await;
        }
        if wanted(What::Fanout) {
            fanout::report(scale).await;
        }
        if wanted(What::Backlog) {
            backlog::report(scale).await;
        }
        if wanted(What::Unread) {
            unread::report(scale).await;
        }
        if wanted(What::Disk) {
            disk::report(scale).await;
        }
    });
    ExitCode::SUCCESS
}

const SETUPS: [(Way, Kept); 4] = [
    (Way::InProcess, Kept::InMemory),
    (Way::InProcess, Kept::OnDisk),
    (Way::Tcp, Kept::InMemory),
    (Way::Tcp, Kept::OnDisk),
];

/// One line of the report.
fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}
