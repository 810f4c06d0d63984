//! Viewers come and go for long; afterwards memory and descriptors must be back where they were.
//!
//! A first, short wave of the same kind fills what a process fills once: allocator, caches, tables of rooms. Where it has left the
//! server is where it must be after the long one.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Error;
use crate::args::Args;
use crate::choices::Kind;
use crate::run;
use crate::server::Server;
use crate::usage::Process;

const FIRST_WAVE: u64 = 10;
/// How long the server may take to notice that all have left.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// Descriptors that may come and go by themselves.
const DESCRIPTORS: usize = 4;
/// What memory may have grown by: a tenth, and some MiB for pages that an allocator keeps.
const PART: u64 = 10;
const PAGES: u64 = 8 << 20;
/// Bytes that each accepted message may have left: its id, remembered for ten minutes, and the table's spare places.
const AN_ID: u64 = 100;
/// The stream and the log keep messages until their memory is full. Small ones are full after the first wave.
const SMALL: [&str; 2] = ["--embedded-memory=4MiB", "--log-memory=4MiB"];

/// What a server holds with nobody there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    /// Bytes.
    memory: u64,
    descriptors: usize,
}

pub(crate) fn soak(args: &Args) -> Result<(), Error> {
    let mut args = args.clone();
    if args.url.is_none() {
        args.further.extend(SMALL.map(str::to_owned));
    }
    let server = Server::start(&args, Kind::Ours)?;
    let process = server
        .process()
        .ok_or("--soak looks at the server's process: --pid is missing")?;
    let before = rest(process)?;
    let wave = Args {
        seconds: FIRST_WAVE.min(args.seconds),
        ..args.clone()
    };
    run::run(&wave, &server)?;
    let first = back(process, before.descriptors)?;
    let outcome = run::run(&args, &server)?;
    let last = back(process, before.descriptors)?;
    println!("{outcome}");
    for (what, rest) in [
        ("at the start", before),
        ("after a first wave", first),
        ("at the end", last),
    ] {
        let mib = rest.memory >> 10;
        println!(
            "  {what:<28} {mib:>14} KiB {:>6} descriptors",
            rest.descriptors
        );
    }
    println!(
        "{}",
        json!({
            "memory_bytes": [before.memory, first.memory, last.memory],
            "descriptors": [before.descriptors, first.descriptors, last.descriptors],
            "visits": outcome.visits,
        })
    );
    server.stop()?;
    match (outcome.wrong(), grown(first, last, outcome.accepted)) {
        (Some(wrong), _) | (None, Some(wrong)) => Err(wrong.into()),
        (None, None) => Ok(()),
    }
}

fn rest(process: Process) -> Result<Rest, Error> {
    Ok(Rest {
        memory: process
            .anonymous()
            .ok_or("the server's memory is not told")?,
        descriptors: process
            .descriptors()
            .ok_or("the server's descriptors are not told")?,
    })
}

/// What the server holds once it has as many descriptors as before, or when it has had the time.
fn back(process: Process, descriptors: usize) -> Result<Rest, Error> {
    let start = Instant::now();
    loop {
        let now = rest(process)?;
        if now.descriptors <= descriptors + DESCRIPTORS || start.elapsed() > BACK_WITHIN {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What has grown beyond what it may.
fn grown(first: Rest, last: Rest, accepted: u64) -> Option<String> {
    let most = first.memory + first.memory / PART + PAGES + accepted * AN_ID;
    if last.memory > most {
        return Some(format!(
            "{} bytes of memory at the end, at most {most} were to be there",
            last.memory
        ));
    }
    (last.descriptors > first.descriptors + DESCRIPTORS).then(|| {
        format!(
            "{} descriptors at the end, {} after the first wave",
            last.descriptors, first.descriptors
        )
    })
}
