//! The producer's two ends: the publisher, for whoever has messages, and the task, for whoever
//! stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::dispatcher::Dispatcher;
use super::{Config, PublishError, Receipt};
use crate::kinesis::Kinesis;
use crate::message::payload::Draft;
use crate::message::{Heartbeat, Position, Room, Timestamp};
use crate::telemetry::names;

/// When to try again after the backlog was full: it is emptied in far less, unless the stream is
/// throttled.
const FULL_RETRY: Duration = Duration::from_secs(1);
/// How much longer than its limit stopping may take, for the task to notice.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A message that has its place in the backlog.
pub(super) struct Submission {
    pub(super) room: Room,
    pub(super) data: Bytes,
    pub(super) ticket: Ticket,
}

/// Where a message's result goes; its place in the backlog is free again when this is dropped.
pub(super) struct Ticket {
    /// A heartbeat is none.
    pub(super) is_message: bool,
    reply: oneshot::Sender<Result<Position, PublishError>>,
    _messages: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Ticket {
    /// A caller that has gone away does not care, and its message is stored all the same.
    pub(super) fn answer(self, result: Result<Position, PublishError>) {
        let _gone = self.reply.send(result);
    }
}

/// Takes messages. Clones share one backlog.
#[derive(Clone, Debug)]
pub struct Publisher {
    submissions: mpsc::Sender<Submission>,
    backlog: Arc<Backlog>,
}

/// The room that is left, in messages and in bytes.
#[derive(Debug)]
struct Backlog {
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// The stream's limit on a record, as far as it is known.
    record_limit: AtomicUsize,
    config: Config,
}

impl Publisher {
    /// Stores a message; returns when the stream has it. A caller that goes away meanwhile does
    /// not cancel its message.
    ///
    /// # Errors
    /// [`PublishError`] says why there is no receipt, and whether the message was taken at all.
    pub async fn publish(&self, draft: Draft) -> Result<Receipt, PublishError> {
        let position = self
            .submit(draft.room.clone(), draft.encode(), true)
            .await?;
        Ok(Receipt {
            id: draft.id,
            room: draft.room,
            position,
        })
    }

    /// Stores a heartbeat; returns when the stream has it.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub async fn announce(&self, heartbeat: &Heartbeat) -> Result<(), PublishError> {
        let data = heartbeat.encode(Timestamp::now());
        let stored = self.submit(Heartbeat::room(), data, false).await;
        let outcome = if stored.is_ok() { "stored" } else { "failed" };
        counter!(names::PRODUCER_HEARTBEATS, "outcome" => outcome).increment(1);
        stored.map(|_| ())
    }

    /// Takes note of the stream's limit on a record, in bytes, partition key included.
    pub fn limit_records(&self, bytes: usize) {
        // Relaxed: nothing else is published through it.
        self.backlog.record_limit.store(bytes, Ordering::Relaxed);
    }

    async fn submit(
        &self,
        room: Room,
        data: Vec<u8>,
        is_message: bool,
    ) -> Result<Position, PublishError> {
        let backlog = &self.backlog;
        let bytes = data.len() + room.as_str().len();
        // Relaxed: see above.
        let limit = backlog.record_limit.load(Ordering::Relaxed);
        if bytes > limit {
            return Err(PublishError::TooLarge { bytes, limit });
        }
        let (reply, result) = oneshot::channel();
        let weight = u32::try_from(bytes).unwrap_or(u32::MAX);
        let ticket = Ticket {
            is_message,
            reply,
            _messages: take(&backlog.messages, 1)?,
            _bytes: take(&backlog.bytes, weight)?,
        };
        let submission = Submission {
            room,
            data: data.into(),
            ticket,
        };
        self.submissions
            .try_send(submission)
            .map_err(|error| match error {
                // The channel has a place for each that the backlog has.
                mpsc::error::TrySendError::Full(_) => full(),
                mpsc::error::TrySendError::Closed(_) => PublishError::Closing,
            })?;
        match timeout(backlog.config.publish_timeout, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_ended)) => Err(PublishError::Closing),
            Err(_elapsed) => Err(PublishError::Timeout),
        }
    }
}

fn take(places: &Arc<Semaphore>, count: u32) -> Result<OwnedSemaphorePermit, PublishError> {
    Arc::clone(places)
        .try_acquire_many_owned(count)
        .map_err(|error| match error {
            TryAcquireError::NoPermits => full(),
            TryAcquireError::Closed => PublishError::Closing,
        })
}

fn full() -> PublishError {
    PublishError::Full {
        retry_after: FULL_RETRY,
    }
}

/// The running producer. Dropped, it ends at once, and what waits is given up.
#[derive(Debug)]
pub struct ProducerTask {
    task: JoinHandle<usize>,
    stop: Option<oneshot::Sender<Instant>>,
    trouble: watch::Receiver<Option<String>>,
    backlog: Arc<Backlog>,
}

impl ProducerTask {
    /// What keeps messages from being stored just now, for people.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.clone()
    }

    /// Takes no more messages, and stores what waits for as long as `limit`; what is left then is
    /// answered with [`PublishError::Closing`]. Returns how many those were.
    pub async fn stop(mut self, limit: Duration) -> usize {
        self.backlog.messages.close();
        let until = Instant::now() + limit;
        if let Some(stop) = self.stop.take() {
            let _ended = stop.send(until);
        }
        match timeout(limit + STOP_GRACE, &mut self.task).await {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => {
                tracing::error!(%error, "the producer's task has failed");
                0
            }
            Err(_elapsed) => 0,
        }
    }
}

impl Drop for ProducerTask {
    fn drop(&mut self) {
        self.backlog.messages.close();
        self.task.abort();
    }
}

/// Starts the producer on the current runtime. It asks for the list of shards at once; what is
/// published before it is there waits for it.
pub fn start(kinesis: Kinesis, config: Config) -> (Publisher, ProducerTask) {
    let places = config.queue_messages.clamp(1, Semaphore::MAX_PERMITS);
    // At least one message of any size must find a place.
    let bytes = config.queue_bytes.max(config.record_limit);
    let (submissions, inbox) = mpsc::channel(places);
    let (stop, stopped) = oneshot::channel();
    let (dispatcher, trouble) = Dispatcher::new(kinesis, &config);
    let backlog = Arc::new(Backlog {
        messages: Arc::new(Semaphore::new(places)),
        bytes: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
        record_limit: AtomicUsize::new(config.record_limit),
        config,
    });
    let task = ProducerTask {
        task: tokio::spawn(dispatcher.run(inbox, stopped)),
        stop: Some(stop),
        trouble,
        backlog: Arc::clone(&backlog),
    };
    let publisher = Publisher {
        submissions,
        backlog,
    };
    (publisher, task)
}
