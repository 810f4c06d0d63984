//! Load: starts the program, connects viewers, publishes, and says what came through, how fast and at what cost.
//!
//! ```text
//! cargo bench --bench load -- --viewers 1000 --publishers 16 --rate flat --seconds 10 --text 128 --encoding plain
//! ```
//!
//! Every message carries its publisher, a number and the time it was due, so that each viewer can tell what was lost, repeated or
//! out of order, and latency counts from when a message was due and not from when it could be sent. The server's cost is the CPU
//! time of all its threads between the first message and the last delivery. All of it stays on the loopback interface.
//!
//! Without arguments of `cargo bench`, as `cargo test --benches` calls it, it is a smoke run of a second or two.

#![allow(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]
#![allow(
    clippy::indexing_slicing,
    reason = "a panic ends the bench, which is what is wanted of a bug in it"
)]

mod args;
mod axis;
mod bar;
mod chart;
mod charts;
mod choices;
mod compare;
mod crowd;
mod desk;
mod http;
mod inflate;
mod launch;
mod ledger;
mod median;
mod outcome;
mod page;
mod publisher;
mod ramp;
mod record;
mod rooms;
mod run;
mod samples;
mod scanner;
mod server;
mod session;
mod soak;
mod stalled;
mod stamp;
mod table;
mod target;
mod timeline;
mod usage;
mod viewer;
mod write_loop;

use std::process::ExitCode;

use args::Args;
use clap::Parser;

/// What can go wrong outside of what is measured.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args = Args::parse();
    // `cargo bench NAME` hands the name to every bench.
    let name = args.filter.as_deref().unwrap_or_default();
    if !"load".contains(name) {
        return ExitCode::SUCCESS;
    }
    let done = if args.be_write_loop {
        write_loop::serve()
    } else if args.is_smoke() {
        session::smoke(&args)
    } else {
        session::session(&args)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}
