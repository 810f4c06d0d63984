//! One shard's task: does what the state machine says, and processes what comes.
//!
//! Everything between the arrival of an event and the end of its processing happens without an
//! await, so the task may be dropped at any time, and what it had begun to wait for may be dropped
//! when there is another source to read from: nothing is lost or taken twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::metrics::counter;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant as TokioInstant, sleep_until, timeout_at};

use super::news::{Request, Source};
use super::poll::Pace;
use super::process::{Delivery, Processor};
use super::readiness::{Progress, ShardState};
use super::repeats::Window;
use super::shard::{Action, Input, Notice, Reader};
use crate::kinesis::{
    Batch, ConsumerArn, Error, ErrorKind, Event, Kinesis, Shard, ShardId, ShardIterator,
    Subscription,
};
use crate::telemetry::names;

/// Reads one shard to its end.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) kinesis: Kinesis,
    pub(super) shard: Shard,
    pub(super) reader: Reader,
    pub(super) pace: Pace,
    pub(super) page: u16,
    pub(super) processor: Processor,
    pub(super) progress: Arc<Progress>,
    pub(super) outside: Outside,
    /// What the end of the shard said of those that follow.
    pub(super) children: Vec<ShardId>,
}

/// What a reader has in common with the others.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    pub(super) source: watch::Receiver<Source>,
    /// To the registrar.
    pub(super) requests: mpsc::Sender<Request>,
    /// To the supervisor: this shard was at its tip for the first time, or seems to be gone.
    pub(super) changed: Arc<Notify>,
    /// After so many take-overs in a row another name is asked for.
    pub(super) takeovers_before_new_name: u32,
}

/// What a shard leaves behind.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) children: Vec<ShardId>,
    pub(super) window: Window,
}

/// How often it is tried to give a shard without records a first one.
const MARK_EVERY: Duration = Duration::from_secs(5);

/// How often it is asked whether a closed shard was read to its end, if nobody says so. The first
/// time so long after reading began.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// What a reader that finds its shard or its consumer missing is doing.
pub(super) const MISSING: ShardState = ShardState::Connecting("missing");

impl Task {
    pub(super) async fn run(mut self) -> Finished {
        let mut source = self.outside.source.clone();
        loop {
            let current = source.borrow_and_update().clone();
            let at_end = {
                let read = self.read_from(&current);
                tokio::select! {
                    () = read => true,
                    () = other_than(&mut source, &current) => false,
                }
            };
            if at_end {
                break;
            }
            if current != Source::Pending {
                self.tell(Input::ConsumerChanged, None);
            }
        }
        tracing::debug!(shard = %self.shard.id, children = ?self.children, "read to its end");
        Finished {
            children: self.children,
            window: self.processor.into_window(),
        }
    }

    /// Ends at the end of the shard.
    async fn read_from(&mut self, source: &Source) {
        match source {
            Source::Pending => {
                self.progress.is(ShardState::WaitingForConsumer);
                std::future::pending::<()>().await;
            }
            Source::Consumer(consumer) => self.subscribe(consumer).await,
            Source::Polling => self.poll().await,
        }
    }

    async fn subscribe(&mut self, consumer: &ConsumerArn) {
        self.progress.is(ShardState::Connecting("connecting"));
        let mut open: Option<Subscription> = None;
        let mut probe_at = now() + PROBE_EVERY;
        loop {
            match (self.reader.next(now()), &mut open) {
                (Action::Finish, _) => return,
                (Action::Wait(until), _) => {
                    open = None;
                    sleep_until(until.into()).await;
                }
                (Action::Subscribe(from), _) => {
                    open = None;
                    match self.kinesis.subscribe(consumer, &self.shard.id, from).await {
                        Ok(subscription) => {
                            open = Some(subscription);
                            self.tell(Input::Opened, None);
                        }
                        Err(error) => {
                            let notice = self.tell(Input::OpenFailed(error.kind()), Some(&error));
                            self.ask(notice, consumer);
                        }
                    }
                }
                (Action::Listen(until), Some(subscription)) => {
                    match timeout_at(until.into(), subscription.next()).await {
                        Ok(Ok(Some(event))) => {
                            let is_quiet = event.records.is_empty() && event.millis_behind == 0;
                            self.event(event);
                            if is_quiet && now() >= probe_at && self.progress.get().is_closed {
                                self.probe().await;
                                probe_at = now() + PROBE_EVERY;
                            }
                            // Much may be there already: let the others have their turn.
                            tokio::task::coop::consume_budget().await;
                        }
                        Ok(Ok(None)) => {
                            self.tell(Input::Ended, None);
                        }
                        Ok(Err(error)) => {
                            let notice = self.tell(Input::Broken(error.kind()), Some(&error));
                            self.ask(notice, consumer);
                        }
                        Err(_) => {
                            if let Some(silent) = open.take() {
                                silent.give_up();
                            }
                            self.tell(Input::Silent, None);
                        }
                    }
                }
                (Action::Listen(_), None) => {
                    self.tell(Input::Ended, None);
                }
            }
        }
    }

    /// The shard is closed and nothing comes any more: asks whether it was read to its end. The
    /// service says so to who subscribes, but not every emulator does.
    async fn probe(&mut self) {
        if self.reader.cursor().is_finished() {
            return;
        }
        let from = self.reader.cursor().from();
        let asked = async {
            let place = self
                .kinesis
                .get_shard_iterator(&self.shard.id, from)
                .await?;
            self.kinesis.get_records(&place, self.page).await
        };
        match asked.await {
            Ok(batch) => drop(self.batch(batch)),
            Err(error) => {
                let shard = &self.shard.id;
                tracing::debug!(%shard, %error, "cannot ask whether a closed shard is at its end");
            }
        }
    }

    fn event(&mut self, event: Event) {
        let delivery = Delivery {
            records: &event.records,
            continuation: event.continuation,
            millis_behind: event.millis_behind,
            is_end: event.continuation.is_none(),
        };
        self.take(&delivery);
        self.children
            .extend(event.children.into_iter().map(|child| child.id));
        self.tell(
            Input::Event {
                continuation: event.continuation,
            },
            None,
        );
    }

    async fn poll(&mut self) {
        self.progress.is(ShardState::Connecting("connecting"));
        let mut iterator: Option<ShardIterator> = None;
        let mut next = now();
        let mut mark_at = next;
        while !self.reader.cursor().is_finished() {
            sleep_until(next.into()).await;
            let called = now();
            let from = self.reader.cursor().from();
            let place = match iterator.take() {
                Some(iterator) => Ok(iterator),
                None => self.kinesis.get_shard_iterator(&self.shard.id, from).await,
            };
            let batch = match place {
                Ok(place) => {
                    let batch = self.kinesis.get_records(&place, self.page).await;
                    // Throttled or not answered: the place is still good.
                    iterator = Some(place);
                    batch
                }
                Err(error) => Err(error),
            };
            next = match batch {
                Ok(batch) => {
                    let next = self
                        .pace
                        .page(batch.records.len(), batch.millis_behind, called);
                    let is_at_tip = batch.next.is_some() && batch.millis_behind == 0;
                    iterator = self.batch(batch);
                    if is_at_tip && !self.processor.has_position() && now() >= mark_at {
                        self.mark().await;
                        mark_at = now() + MARK_EVERY;
                    }
                    next
                }
                Err(error) if error.kind() == ErrorKind::ExpiredIterator => {
                    iterator = None;
                    renewed("expired");
                    now()
                }
                Err(error) => {
                    if error.kind() == ErrorKind::InvalidArgument {
                        iterator = None;
                    }
                    self.tell(Input::OpenFailed(error.kind()), Some(&error));
                    self.pace.failed(now())
                }
            };
        }
    }

    /// There is nothing in the shard, and so no position that viewers could be told.
    async fn mark(&self) {
        let shard = &self.shard.id;
        match self.kinesis.put_mark(&self.shard).await {
            Ok(()) => tracing::debug!(%shard, "put a mark into a shard without records"),
            Err(error) => tracing::warn!(
                %shard, %error,
                "cannot put a mark into a shard without records: newcomers to its rooms wait"
            ),
        }
    }

    fn batch(&mut self, batch: Batch) -> Option<ShardIterator> {
        let last = batch.records.last().map(|record| record.sequence);
        self.take(&Delivery {
            records: &batch.records,
            continuation: last,
            millis_behind: batch.millis_behind,
            is_end: batch.next.is_none(),
        });
        self.children
            .extend(batch.children.into_iter().map(|child| child.id));
        if last.is_some() {
            self.tell(Input::Event { continuation: last }, None);
        }
        if batch.next.is_none() {
            self.tell(Input::Event { continuation: None }, None);
        }
        batch.next
    }

    fn take(&mut self, delivery: &Delivery<'_>) {
        let now = now();
        self.processor.take(delivery, now);
        let behind = delivery.millis_behind;
        if self.progress.advance(self.processor.read_to(), behind, now) {
            self.outside.changed.notify_one();
        }
    }

    /// Tells the state machine what happened, and the world what it makes of it.
    fn tell(&mut self, input: Input, error: Option<&Error>) -> Option<Notice> {
        let notice = self.reader.on(input, now())?;
        let shard = &self.shard.id;
        let outline = || error.map(Error::outline).unwrap_or_default();
        let error = error.map(tracing::field::display);
        match notice {
            Notice::Renewing(reason) => {
                renewed(reason);
                self.progress.is(ShardState::Connecting(reason));
                match reason {
                    "expired" | "consumer_changed" => {
                        tracing::debug!(%shard, reason, "renewing the subscription");
                    }
                    _ => tracing::info!(%shard, reason, error, "renewing the subscription"),
                }
            }
            Notice::Retrying(kind) => {
                renewed(kind.as_str());
                let state = ShardState::Connecting(kind.as_str());
                self.progress.fails(state, &outline());
                tracing::warn!(%shard, error, "cannot read the shard, trying again");
            }
            Notice::TakenOver(times) => {
                counter!(names::CONSUMER_TAKEOVERS).increment(1);
                renewed("taken_over");
                let trouble = "another process with this consumer's name has taken it over; give \
                               every instance its own --consumer-name";
                let state = ShardState::Connecting("taken_over");
                self.progress.fails(state, trouble);
                tracing::warn!(
                    %shard, times,
                    "another process with this consumer's name has taken the shard over; taking \
                     it back, later each time"
                );
            }
            Notice::Missing => {
                renewed("missing");
                self.progress.fails(MISSING, &outline());
                tracing::warn!(%shard, error, "the shard or the consumer is missing");
                self.outside.changed.notify_one();
            }
            Notice::Trimmed(lost) => {
                counter!(names::CONSUMER_TRIMMED).increment(1);
                renewed("trimmed");
                self.progress.is(ShardState::Connecting("trimmed"));
                self.processor.restart();
                tracing::error!(
                    %shard, sequence = %lost, error,
                    "the position is past retention: what followed it is lost here, going on at \
                     the oldest record left"
                );
            }
        }
        Some(notice)
    }

    /// Asks the registrar to look, where that is called for. It may be asked often, so it does
    /// not matter if it is too busy to hear.
    fn ask(&self, notice: Option<Notice>, consumer: &ConsumerArn) {
        let request = match notice {
            Some(Notice::Missing) => Request::Missing(consumer.clone()),
            Some(Notice::TakenOver(times)) if times >= self.outside.takeovers_before_new_name => {
                Request::Contended(consumer.clone())
            }
            _ => return,
        };
        let _ = self.outside.requests.try_send(request);
    }
}

fn renewed(reason: &'static str) {
    counter!(names::CONSUMER_RESUBSCRIPTIONS, "reason" => reason).increment(1);
}

/// Ends when there is another source.
async fn other_than(source: &mut watch::Receiver<Source>, current: &Source) {
    if source.wait_for(|source| source != current).await.is_err() {
        // Nobody is left who could name another.
        std::future::pending::<()>().await;
    }
}

/// Now, also where a test has stopped the time.
fn now() -> Instant {
    TokioInstant::now().into_std()
}
