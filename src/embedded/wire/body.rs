//! The two kinds of answers: whole, and a stream of events made as its client takes them.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

use super::events;
use super::faulty::Broken;
use super::line::{Fate, Line};
use crate::embedded::faults::{Fault, Moment, Subject};
use crate::embedded::operations::Operation;
use crate::embedded::operations::consumers::Subscribed;
use crate::embedded::store::{Event, Loaded, Step, SubscriptionId};
use crate::embedded::{Error, Service};

/// An answer's body.
#[derive(Debug)]
pub(super) enum Body {
    Whole(Option<Bytes>),
    Events(EventBody),
}

impl Body {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }

    /// The same body, which ends early when `end` does, if it is one that streams.
    pub(super) fn until<F>(mut self, end: impl FnOnce() -> F) -> Self
    where
        F: Future<Output = Result<(), Broken>> + Send + Sync + 'static,
    {
        if let Self::Events(events) = &mut self {
            events.end = Some(Box::pin(end()));
        }
        self
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(events) => Pin::new(events).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// Ends a body from outside: quietly, or broken.
type End = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send + Sync>>;

/// The body of a SubscribeToShard answer.
///
/// It holds nothing but the subscription's name: each frame is made when the client's side asks for one, so a client
/// that does not read costs no memory. Dropping it ends the subscription.
pub(super) struct EventBody {
    service: Service,
    id: SubscriptionId,
    state: State,
    timer: Option<Pin<Box<Sleep>>>,
    subject: Subject,
    line: Arc<Line>,
    /// What is left of the frame that is on its way.
    rest: VecDeque<Bytes>,
    end: Option<End>,
    /// What is being read from disk for the next event.
    loading: Option<Loading>,
}

type Loading = Pin<Box<dyn Future<Output = Result<Loaded, Error>> + Send + Sync>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Running,
    /// Says nothing more, by a fault.
    Silent,
    Ended,
}

impl EventBody {
    pub(super) fn new(service: Service, subscribed: Subscribed, line: Arc<Line>) -> Self {
        let subject = Subject {
            operation: Some(Operation::SubscribeToShard),
            stream: Some(subscribed.stream),
            shard: Some(subscribed.shard),
            consumer: Some(subscribed.consumer),
            resumes: false,
        };
        Self {
            service,
            id: subscribed.id,
            subject,
            line,
            rest: VecDeque::new(),
            end: None,
            loading: None,
            state: State::Opening,
            timer: None,
        }
    }

    /// Whether nothing is to be done before `due`. The timer is only set anew when it has rung or would ring too late:
    /// a deadline that moves on with every event costs nothing.
    fn poll_timer(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(end) = &mut self.end
            && let Poll::Ready(ended) = end.as_mut().poll(cx)
        {
            self.end = None;
            self.state = State::Ended;
            return Poll::Ready(ended.err().map(Err));
        }
        if matches!(self.line.fate(), Fate::BlackHoled(_)) {
            // Whoever holds the connection ends this with it.
            return Poll::Pending;
        }
        match self.state {
            State::Opening => {
                self.state = State::Running;
                return Poll::Ready(Some(Ok(events::initial_response())));
            }
            State::Running => {}
            State::Silent => return Poll::Pending,
            State::Ended => return Poll::Ready(None),
        }
        // A backlog is always ready: without this its reader would never let other tasks of its thread run.
        let progress = ready!(coop::poll_proceed(cx));
        if let Some(piece) = self.rest.pop_front() {
            progress.made_progress();
            return Poll::Ready(Some(Ok(piece)));
        }
        let mut loaded = None;
        loop {
            if let Some(loading) = &mut self.loading {
                let done = ready!(loading.as_mut().poll(cx));
                self.loading = None;
                match done {
                    Ok(done) => loaded = Some(done),
                    Err(error) => {
                        progress.made_progress();
                        self.state = State::Ended;
                        return Poll::Ready(Some(Ok(events::exception(&error))));
                    }
                }
            }
            match self.service.next_step(self.id, loaded.take(), cx.waker()) {
                Step::Load(load) => {
                    let service = self.service.clone();
                    self.loading = Some(Box::pin(async move { service.load(load).await }));
                }
                Step::Event(event) => {
                    progress.made_progress();
                    return self.deliver(&event);
                }
                Step::End(error) => {
                    progress.made_progress();
                    self.state = State::Ended;
                    return Poll::Ready(error.as_ref().map(events::exception).map(Ok));
                }
                Step::Wait(until) => {
                    let due = self.service.instant(until);
                    ready!(self.poll_timer(due, cx));
                }
            }
        }
    }
}

impl EventBody {
    /// Delivers an event, unless a fault strikes it.
    fn deliver(&mut self, event: &Event) -> Poll<Option<Result<Bytes, Broken>>> {
        let board = self.service.board();
        let moment = Moment::Event {
            of: &self.subject,
            has_records: !event.slice.records.is_empty(),
        };
        let Some(rule) = board.at(moment).pop() else {
            return self.send(events::event(event));
        };
        let fate = match rule.fault {
            Fault::GoAway => Some(Fate::GoingAway(rule.delay())),
            Fault::BlackHole => Some(Fate::BlackHoled(rule.delay())),
            _ => None,
        };
        // A connection that was struck before is not struck again.
        if fate.is_none_or(|fate| self.line.strike(fate)) {
            board.occurred(&rule);
        }
        match rule.fault {
            Fault::Silent | Fault::BlackHole => {
                self.state = State::Silent;
                Poll::Pending
            }
            Fault::EarlyEnd => {
                self.state = State::Ended;
                Poll::Ready(None)
            }
            Fault::Exception => {
                self.state = State::Ended;
                Poll::Ready(Some(Ok(events::exception(&rule.exception()))))
            }
            Fault::StreamReset => {
                self.state = State::Ended;
                Poll::Ready(Some(Err(Broken::Stream)))
            }
            Fault::Duplicate => {
                let frame = events::event(event);
                self.rest.extend(frame.clone());
                self.send(frame)
            }
            _ => self.send(events::event(event)),
        }
    }

    /// Sends a frame, before what is left.
    fn send(&mut self, frame: events::Frame) -> Poll<Option<Result<Bytes, Broken>>> {
        for piece in frame.into_iter().rev() {
            self.rest.push_front(piece);
        }
        Poll::Ready(self.rest.pop_front().map(Ok))
    }
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.get_mut()
            .poll_bytes(cx)
            .map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)))
    }
}

impl fmt::Debug for EventBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBody")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        self.service.unsubscribe(self.id);
    }
}
