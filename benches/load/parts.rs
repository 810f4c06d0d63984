//! The parts of the load tool that decide and do nothing else, with their tests; `main.rs` is the whole.

#![allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::float_cmp,
    clippy::indexing_slicing,
    reason = "tests, and what is used elsewhere"
)]

mod args;
mod axis;
mod chart;
mod choices;
mod inflate;
mod ledger;
mod median;
mod ramp;
mod rooms;
mod scanner;
mod stalled;
mod stamp;
mod tests;
mod timeline;

/// What can go wrong outside of what is measured.
type Error = Box<dyn std::error::Error + Send + Sync>;
