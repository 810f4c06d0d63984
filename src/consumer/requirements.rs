//! What the stream must be like, and how many consumers it can still take.
//!
//! Pure: judges a summary of the stream; used at the start, while running and by the diagnosis.

use super::Error;
use crate::kinesis::{Distribution, Kinesis, StreamStatus, Summary};

/// So few further consumers are worth a warning.
const FEW: u32 = 2;

/// Whether the stream is one that can be read in order.
///
/// # Errors
/// What is wrong with it.
pub fn check_stream(kinesis: &Kinesis, summary: &Summary) -> Result<(), Error> {
    judge(kinesis.stream(), summary.status, summary.distribution)
}

fn judge(stream: &str, status: StreamStatus, distribution: Distribution) -> Result<(), Error> {
    let stream = || stream.to_owned();
    match (status, distribution) {
        (StreamStatus::Creating, _) => Err(Error::StreamCreating { stream: stream() }),
        (StreamStatus::Deleting, _) => Err(Error::StreamDeleting { stream: stream() }),
        (_, Distribution::Auto) => Err(Error::AutoDistribution { stream: stream() }),
        _ => Ok(()),
    }
}

/// How many consumers a stream has, of how many.
///
/// The limit is 20, and 50 for streams on demand in accounts with On-demand Advantage, which the
/// stream's summary does not tell; queues count against it, too.
/// Source: Kinesis service quotas, `RegisterStreamConsumer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRoom {
    /// How many are registered.
    pub registered: u32,
    /// How many there may be.
    pub limit: u32,
}

impl HeadRoom {
    /// As far as the summary of the stream tells.
    pub fn of(summary: &Summary) -> Option<Self> {
        let registered = summary.consumers?;
        let limit = if summary.on_demand && registered >= 20 {
            50
        } else {
            20
        };
        Some(Self { registered, limit })
    }

    /// How many more there may be.
    pub fn left(self) -> u32 {
        self.limit.saturating_sub(self.registered)
    }

    /// Whether it is time to do something.
    pub fn is_low(self) -> bool {
        self.left() <= FEW
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::message::Timestamp;

    #[test]
    fn a_stream_that_cannot_be_read_in_order_says_what_to_do() {
        let judge = |status, distribution| judge("messages", status, distribution).unwrap_err();
        let auto = judge(StreamStatus::Active, Distribution::Auto);
        assert!(!auto.is_retryable());
        assert_eq!(
            auto.to_string(),
            "stream messages: its record distribution is AUTO, which ignores partition keys, so a \
             room would have no order; set the strategy back to USER_PARTITION_KEY"
        );
        let deleting = judge(StreamStatus::Deleting, Distribution::PartitionKey);
        assert!(!deleting.is_retryable());
        assert_eq!(
            deleting.to_string(),
            "stream messages: it is being deleted; create it anew when that is done"
        );
        let creating = judge(StreamStatus::Creating, Distribution::PartitionKey);
        assert!(creating.is_retryable());
        for status in [
            StreamStatus::Active,
            StreamStatus::Updating,
            StreamStatus::Unknown,
        ] {
            assert!(super::judge("messages", status, Distribution::Unknown).is_ok());
        }
    }

    #[test]
    fn head_room_is_low_before_there_is_none() {
        let of = |consumers, on_demand| {
            HeadRoom::of(&Summary {
                arn: "arn".into(),
                status: StreamStatus::Active,
                open_shards: 1,
                consumers,
                retention: Duration::from_hours(24),
                on_demand,
                distribution: Distribution::PartitionKey,
                max_record_bytes: 1 << 20,
                created: Timestamp::from_millis(0),
            })
        };
        assert_eq!(of(None, false), None);
        assert!(!of(Some(17), false).unwrap().is_low());
        assert!(of(Some(18), false).unwrap().is_low());
        assert_eq!(of(Some(25), false).unwrap().left(), 0);
        assert!(of(Some(19), true).unwrap().is_low());
        assert_eq!(of(Some(20), true).unwrap().left(), 30);
        assert!(of(Some(48), true).unwrap().is_low());
    }
}
