//! Enhanced fan-out: records pushed as they come.

use std::time::Instant;

use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types;
use aws_sdk_kinesis::types::SubscribeToShardEventStream as Stream;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError as StreamError;

use super::connections::Place;
use super::control::{ConsumerArn, answered};
use super::convert;
use super::shard::{ChildShard, ShardId};
use super::{Error, ErrorKind, Kinesis, Record, StartingPosition};
use crate::message::SequenceNumber;

const OPERATION: &str = "SubscribeToShard";

/// An open subscription to one shard. Dropping it ends it.
///
/// The service ends it after five minutes. It must be drained: over HTTP/2 one that is not
/// stalls the others on its connection.
#[derive(Debug)]
pub struct Subscription {
    events: EventReceiver<Stream, StreamError>,
    shard: ShardId,
    /// When it brought something last.
    heard: Instant,
    /// After the events: it is free when they are gone.
    place: Place,
}

/// What the service pushes.
#[derive(Clone, Debug)]
pub struct Event {
    /// The records, in order; none in the event that comes about every 5 s.
    pub records: Vec<Record>,
    /// Where to go on after this event, also if it has no records; `None` at the end of the shard.
    pub continuation: Option<SequenceNumber>,
    /// How far behind the tip this event is; zero at the tip.
    pub millis_behind: u64,
    /// In the last event of a shard that has ended: those that follow it.
    pub children: Vec<ChildShard>,
}

impl Kinesis {
    /// Subscribes a registered consumer to a shard. Once a second per consumer and shard at most;
    /// from 5 s after the last one on, this takes over from it.
    ///
    /// # Errors
    /// [`super::ErrorKind::ResourceInUse`] if the consumer is not active, or was subscribed less
    /// than 5 s ago; [`super::ErrorKind::InvalidArgument`] if the sequence number is not of this
    /// shard. The SDK does not try again.
    pub async fn subscribe(
        &self,
        consumer: &ConsumerArn,
        shard: &ShardId,
        from: StartingPosition,
    ) -> Result<Subscription, Error> {
        let position = types::StartingPosition::builder()
            .r#type(from.kind())
            .set_sequence_number(from.sequence())
            .set_timestamp(from.timestamp())
            .build()
            .map_err(|_| Error::protocol(OPERATION, shard.as_str(), "incomplete position"))?;
        let began = Instant::now();
        let (client, mut place) = self.subscriptions.place()?;
        let request = client
            .subscribe_to_shard()
            .consumer_arn(consumer.as_str())
            .shard_id(shard.as_str())
            .starting_position(position);
        // The SDK waits here for the first frame, and none of its own timeouts covers that.
        let limit = self.call_timeout;
        match answered(OPERATION, shard.as_str(), limit, request.send()).await {
            Ok(answer) => {
                let now = Instant::now();
                place.opened(now);
                Ok(Subscription {
                    events: answer.event_stream,
                    shard: shard.clone(),
                    heard: now,
                    place,
                })
            }
            Err(error) => {
                if error.kind() == ErrorKind::Timeout {
                    place.suspect(began);
                }
                Err(error)
            }
        }
    }
}

impl Subscription {
    /// The next event, or `None` when the service has ended the subscription. Cancel-safe. Waits
    /// for as long as nothing comes: it is the caller's to put a limit on that.
    ///
    /// # Errors
    /// What broke the subscription; there are no further events then.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        let shard = self.shard.as_str();
        loop {
            let event = self
                .events
                .recv()
                .await
                // An exception within the stream has no HTTP status; it counts as a failure of
                // the service if its name is not known.
                .map_err(|error| Error::from_sdk(OPERATION, shard, &error, |_| 500))?;
            match event {
                None => return Ok(None),
                Some(Stream::SubscribeToShardEvent(event)) => {
                    self.heard = Instant::now();
                    self.place.alive(self.heard);
                    return read(shard, event).map(Some);
                }
                // A type of event that this version does not know.
                Some(_) => {}
            }
        }
    }

    /// Gives it up because nothing comes: if nothing came to the others on its connection either,
    /// that is left, too.
    pub fn give_up(self) {
        // The last that came to the others may well have come a little after our last, and nothing
        // since: half of the silence is long enough to tell.
        self.place.suspect(self.heard + self.heard.elapsed() / 2);
    }

    /// The shard it is a subscription to.
    pub fn shard(&self) -> &ShardId {
        &self.shard
    }
}

fn read(shard: &str, event: types::SubscribeToShardEvent) -> Result<Event, Error> {
    let continuation = match event.continuation_sequence_number.as_str() {
        // The SDK's way to say null, which is the service's way to say: the shard has ended.
        "" => None,
        number => Some(number.parse().map_err(|_| {
            Error::protocol(OPERATION, shard, "the continuation is no sequence number")
        })?),
    };
    Ok(Event {
        records: convert::records(OPERATION, shard, event.records)?,
        continuation,
        millis_behind: u64::try_from(event.millis_behind_latest).unwrap_or_default(),
        children: convert::children(OPERATION, event.child_shards)?,
    })
}
