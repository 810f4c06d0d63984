//! What is in no log line, at whatever level.

use tracing::{Level, Metadata};

/// The SDK's crates. At `trace` they log the bodies that they read: messages, and the credentials
/// that they fetch.
const SDK: &str = "aws_";

/// Whether lines of this kind hold nothing that must not be logged.
pub(super) fn is_discreet(line: &Metadata<'_>) -> bool {
    *line.level() != Level::TRACE || !line.target().starts_with(SDK)
}
