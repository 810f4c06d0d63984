//! The parts of the chaos that decide and do nothing else, with their tests; `main.rs` is the whole.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests, and what is used elsewhere"
)]

mod checker;
mod checker_tests;
mod plan;
mod plan_tests;
