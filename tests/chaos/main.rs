//! Breaks everything that may break, at random but repeatable moments, and checks every message that viewers see.
//!
//! # What
//! Three instances of the program, and a fourth process that holds the stream they share: an instance itself, never killed, for
//! the stream is in its memory. Publishers send each message until there is a 202 for it, to whatever instance answers; viewers
//! come, are torn away, and resume on the same or another instance. Meanwhile the [`director`] does what the [`plan`] says:
//! faults of the stream, splits, merges, `kill -9`, SIGSTOP, bursts, all instances killed at once, a stream that takes nothing.
//!
//! At the end all is healed and drained, and the [`checker`] holds what was seen to what must always hold. Before that is
//! believed, the checker is shown the same run with one message dropped, repeated, swapped or misrouted, and with the repeats
//! that the stream really holds left in: it must catch each. With `--show-repeats` the instances themselves are such as remove
//! none ([`instance`]), what goes wrong is what makes repeats, and the run fails unless the checker finds them.
//!
//! # How
//! `make chaos` (five minutes), or `cargo test --test chaos -- --seconds 60 --seed 7`; without arguments it does nothing, so that
//! it can stand among the tests. The seed draws the plan and everything that publishers and viewers choose; how the processes'
//! threads interleave it cannot repeat.
//!
//! # Limits
//! Loopback only. Every wait has a limit, and a watchdog ends it all.

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of the tests: its output is its purpose, and a panic fails it"
)]

mod args;
mod checker;
mod director;
mod health;
mod holding;
mod instance;
mod plan;
mod process;
mod publisher;
mod report;
mod run;
mod stream;
mod text;
mod tls;
mod viewer;
mod wire;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use args::Args;
use run::Outcome;

/// What starting, healing, draining and checking may take together, beyond the run itself.
const BESIDE_THE_RUN: Duration = Duration::from_mins(6);

fn main() -> ExitCode {
    // Cargo's and nextest's own test runs: whoever wants chaos says so.
    let given: Vec<String> = std::env::args().skip(1).collect();
    if given.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    if given.is_empty() {
        println!("nothing to do without --seconds or --seed: see make chaos, or --help");
        return ExitCode::SUCCESS;
    }
    if let [first, flags @ ..] = &given[..]
        && first == instance::ARGUMENT
    {
        return instance::run(flags);
    }
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    if args.plan {
        for step in args.steps(seed) {
            println!("{:8.1} s  {}", step.at.as_secs_f64(), step.kind);
        }
        return ExitCode::SUCCESS;
    }
    let limit = args.length() + BESIDE_THE_RUN;
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        eprintln!("FAILED: not over after {limit:?}");
        process::kill_everything();
        std::process::exit(1);
    });
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            let outcome = runtime.block_on(run::until_interrupted(&args, seed));
            runtime.shutdown_timeout(Duration::from_secs(2));
            outcome
        });
    process::kill_everything();
    match outcome {
        Ok(Outcome::Sound) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => {
            eprintln!("interrupted: nothing is proved");
            ExitCode::from(130)
        }
        Ok(Outcome::Broken) => {
            eprintln!("\nFAILED with seed {seed}; again: {}", args.command(seed));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!(
                "\nFAILED, {error}, with seed {seed}; again: {}",
                args.command(seed)
            );
            ExitCode::FAILURE
        }
    }
}
