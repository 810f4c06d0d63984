//! The program, from the outside: every test starts the real binary on ports of its own and speaks to it over its public interfaces.
//!
//! What the tests need beyond cargo (a browser, another Kinesis, other clients) is installed by `make test`; a test whose tool
//! is missing fails and says so. Failures show what the server wrote to stderr.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "in a test a panic is the answer, and output is what explains it"
)]

mod architecture;
mod behaviours;
mod browser;
mod chat;
mod container;
mod compression;
mod crowd;
mod deploy;
mod docs;
mod doctor;
mod durable;
mod faults;
mod frames;
mod harness;
mod hostile;
mod http;
mod life;
mod liveness;
mod logs;
mod metrics;
mod original;
mod other_kinesis;
mod settings;
mod tls;
mod trouble;
mod unread;
