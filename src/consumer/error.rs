//! Why the consumer cannot begin.

use std::time::Duration;

use crate::kinesis::{self, ErrorKind};

/// What keeps the consumer from starting, and trying again would not cure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such stream.
    #[error(
        "stream {stream}: this account has none of that name in {place}; check --stream and \
         --region, or create it"
    )]
    StreamNotFound {
        /// Its name.
        stream: String,
        /// Where it was looked for.
        place: String,
    },
    /// The stream is not there yet.
    #[error("stream {stream}: it is still being created")]
    StreamCreating {
        /// Its name.
        stream: String,
    },
    /// The stream is going away.
    #[error("stream {stream}: it is being deleted; create it anew when that is done")]
    StreamDeleting {
        /// Its name.
        stream: String,
    },
    /// The stream ignores partition keys.
    #[error(
        "stream {stream}: its record distribution is AUTO, which ignores partition keys, so a \
         room would have no order; set the strategy back to USER_PARTITION_KEY"
    )]
    AutoDistribution {
        /// Its name.
        stream: String,
    },
    /// The consumer's name is not one.
    #[error("consumer name {name:?}: it must be 1 to 128 characters of a-z, A-Z, 0-9, _, . and -")]
    Name {
        /// The name.
        name: String,
    },
    /// The stream has as many consumers as it may have.
    #[error(
        "stream {stream}: no further consumer can be registered ({registered} are); deregister \
         those that no instance uses, or start with --consumer polling"
    )]
    ConsumerLimit {
        /// The stream's name.
        stream: String,
        /// How many are registered.
        registered: usize,
    },
    /// Others register, and no more may at once.
    #[error("{creating} consumers are being created, and no more may be at once")]
    ConsumersCreating {
        /// How many.
        creating: usize,
    },
    /// The consumer is registered, and that is all.
    #[error("consumer {name}: still not active after {after:?}")]
    ConsumerInactive {
        /// Its name.
        name: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// A call failed for good.
    #[error(transparent)]
    Kinesis(#[from] kinesis::Error),
}

impl Error {
    /// Without the service's own words: what can be shown to anybody.
    pub fn outline(&self) -> String {
        match self {
            Self::Kinesis(error) => error.outline(),
            other => other.to_string(),
        }
    }

    /// A short fixed name, for the label of a metric.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::StreamNotFound { .. } => "stream_not_found",
            Self::StreamCreating { .. } => "stream_creating",
            Self::StreamDeleting { .. } => "stream_deleting",
            Self::AutoDistribution { .. } => "auto_distribution",
            Self::Name { .. } => "name",
            Self::ConsumerLimit { .. } => "consumer_limit",
            Self::ConsumersCreating { .. } => "consumers_creating",
            Self::ConsumerInactive { .. } => "consumer_inactive",
            Self::Kinesis(error) => error.kind().as_str(),
        }
    }

    /// Whether it keeps the program from starting: what does not go away by itself, and a host
    /// that nobody knows, which is far more often a mistake than an outage.
    pub fn is_final_at_start(&self) -> bool {
        let unknown_host = |error: &kinesis::Error| error.kind() == ErrorKind::UnknownHost;
        !self.is_retryable() || matches!(self, Self::Kinesis(error) if unknown_host(error))
    }

    /// Whether it may go away by itself.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Kinesis(error) => error.is_retryable(),
            Self::StreamCreating { .. }
            | Self::ConsumersCreating { .. }
            | Self::ConsumerInactive { .. } => true,
            Self::StreamNotFound { .. }
            | Self::StreamDeleting { .. }
            | Self::AutoDistribution { .. }
            | Self::Name { .. }
            | Self::ConsumerLimit { .. } => false,
        }
    }
}
