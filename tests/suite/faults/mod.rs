//! Every fault alone, named in its test: what was acknowledged is shown once and in order by two readers, and the
//! fault did occur.
//!
//! The stages are run as the program runs them, with times made short: publisher and consumers with the real SDK client,
//! the log in place of viewers. Half of it goes in process, half over https with HTTP/2, as at AWS; for that a test runs
//! once more in a process of its own, whose environment names the root to trust.

mod calls;
mod changes;
mod connections;
mod https;
mod program;
mod reads;
mod subscriptions;
mod together;
mod world;

pub(crate) use https::{make_certificates, make_certificates_until};
use world::{Settings, World};

/// Makes tests that run in process.
macro_rules! in_process {
    ($($(#[$attr:meta])* async fn $name:ident() $body:block)*) => {
        $($(#[$attr])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() $body)*
    };
}

/// Makes tests that run over https, in a process of their own.
macro_rules! over_https {
    ($($(#[$attr:meta])* async fn $name:ident() $body:block)*) => {
        $($(#[$attr])*
        #[test]
        fn $name() {
            super::https::run(concat!(module_path!(), "::", stringify!($name)), async || $body);
        })*
    };
}
use {in_process, over_https};
