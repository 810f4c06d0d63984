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
mod http;
mod ledger;
mod process;
mod publisher;
mod report;
mod run;
mod scanner;
mod stamp;
mod viewer;

use std::process::ExitCode;

use args::{Args, Encoding};
use clap::Parser;

/// What can go wrong outside of what is measured.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args = Args::parse();
    // `cargo bench NAME` hands the name to every bench.
    if args
        .filter
        .as_ref()
        .is_some_and(|filter| !"load".contains(filter.as_str()))
    {
        return ExitCode::SUCCESS;
    }
    let runs = if args.is_smoke() {
        vec![args.smaller(Encoding::Plain), args.smaller(Encoding::V1)]
    } else {
        vec![args]
    };
    let mut code = ExitCode::SUCCESS;
    for args in runs {
        match run::run(&args) {
            Ok(report) => {
                println!("{report}");
                if let Some(wrong) = report.wrong() {
                    println!("FAILED: {wrong}");
                    code = ExitCode::FAILURE;
                }
            }
            Err(error) => {
                println!("FAILED: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
