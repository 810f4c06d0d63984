//! What can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::builder::RangedU64ValueParser;

use crate::plan::{self, Step};

/// Break three instances and their stream at random moments, and check every message that viewers see.
#[derive(Clone, Debug, Parser)]
#[command(name = "chaos")]
pub(crate) struct Args {
    /// How long things go wrong; starting, healing and checking come on top.
    #[arg(long, default_value_t = 300, value_parser = RangedU64ValueParser::<u64>::new().range(5..=86_400))]
    seconds: u64,
    /// What goes wrong, and when, is drawn from it; chosen by chance and printed if it is not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The stream is served over https, so HTTP/2 with all subscriptions on few connections.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Run instances that do not remove repeats, and fail unless the checker finds what they show twice.
    #[arg(long)]
    pub(crate) show_repeats: bool,
    /// Where the instances' logs are kept; without it in a temporary folder, kept only if something is wrong.
    #[arg(long)]
    pub(crate) logs: Option<PathBuf>,
    /// Only print what would go wrong, and when.
    #[arg(long)]
    pub(crate) plan: bool,
}

impl Args {
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// What goes wrong.
    pub(crate) fn steps(&self, seed: u64) -> Vec<Step> {
        if self.show_repeats {
            plan::of_repeats(seed, self.length())
        } else {
            plan::plan(seed, self.length(), self.tls)
        }
    }

    /// The command that repeats a run.
    pub(crate) fn command(&self, seed: u64) -> String {
        let tls = if self.tls { " --tls" } else { "" };
        let repeats = if self.show_repeats {
            " --show-repeats"
        } else {
            ""
        };
        format!(
            "cargo test --test chaos -- --seconds {} --seed {seed}{tls}{repeats}",
            self.seconds
        )
    }
}
