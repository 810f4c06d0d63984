//! Publishers: a thread, a keep-alive connection and one message under way each, due at set times or as soon as the last was accepted.
//!
//! Threads that sleep wake more exactly than a runtime's timers, which are a millisecond coarse: as much as a message may take in an
//! idle room.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Error;
use crate::choices::Rate;
use crate::http::{self, Answer};
use crate::rooms::Rooms;
use crate::stamp::{Stamp, WARM_UP};
use crate::target::Target;
use crate::timeline::{histogram, micros};

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// How often a message is sent again, under its own id, before its publisher gives up.
const TRIES: u32 = 20;
/// A publisher that is so far behind sends no more: the rate is beyond what the server takes.
const HOPELESS: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// There may be a thousand of them.
const STACK: usize = 256 * 1024;

/// What all publishers of a run share.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) rooms: Rooms,
    pub(crate) rate: Rate,
    pub(crate) publishers: usize,
    /// What all times count from.
    pub(crate) epoch: Instant,
    /// The first message is due then.
    pub(crate) start: Instant,
    pub(crate) end: Instant,
}

/// What came of it, for all publishers together.
pub(crate) struct Published {
    /// How many messages each publisher had accepted: numbers 0 up to this.
    pub(crate) accepted: Vec<u32>,
    /// Messages that were due.
    pub(crate) offered: u64,
    /// Messages that were sent more than once.
    pub(crate) retried: u64,
    /// Microseconds from due to accepted.
    pub(crate) latency: Histogram<u64>,
    /// Why publishers gave up.
    pub(crate) troubles: Vec<String>,
}

/// One connection, opened when needed.
struct Connection {
    target: Target,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What one publisher came to.
struct Outcome {
    accepted: u32,
    offered: u64,
    retried: u64,
    latency: Histogram<u64>,
    trouble: Option<String>,
}

/// Publishers at work.
pub(crate) struct Publishers {
    threads: Vec<JoinHandle<Result<Outcome, Error>>>,
}

impl Publishers {
    /// Publishes as planned; `accepted` counts along.
    pub(crate) fn start(plan: &Plan, accepted: &Arc<AtomicU64>) -> Result<Self, Error> {
        let mut threads = Vec::new();
        for number in 0..plan.publishers {
            let (plan, accepted) = (plan.clone(), Arc::clone(accepted));
            let thread = std::thread::Builder::new().stack_size(STACK);
            threads.push(thread.spawn(move || publish(&plan, number, &accepted))?);
        }
        Ok(Self { threads })
    }

    /// What came of it, at their end.
    pub(crate) fn published(self) -> Result<Published, Error> {
        let mut all = Published {
            accepted: Vec::new(),
            offered: 0,
            retried: 0,
            latency: histogram()?,
            troubles: Vec::new(),
        };
        for (number, thread) in self.threads.into_iter().enumerate() {
            let outcome = thread.join().map_err(|_| "a publisher panicked")??;
            all.accepted.push(outcome.accepted);
            all.offered += outcome.offered;
            all.retried += outcome.retried;
            all.latency.add(outcome.latency)?;
            let trouble = outcome.trouble;
            all.troubles
                .extend(trouble.map(|trouble| format!("publisher {number}: {trouble}")));
        }
        Ok(all)
    }
}

/// Publishes messages that say nothing, `each` to every room and more until `enough`: whoever sees one has joined.
pub(crate) fn warm_up(
    plan: &Plan,
    each: usize,
    within: Duration,
    enough: impl Fn() -> bool,
) -> Result<(), Error> {
    let mut connection = Connection::new(plan);
    let stamp = Stamp {
        publisher: WARM_UP,
        number: 0,
        due: 0,
    };
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < each || !enough() {
        if start.elapsed() > within {
            return Err(format!("not all viewers see messages within {within:?}").into());
        }
        for room in 0..plan.rooms.count() {
            let request = plan.target.publish(&plan.rooms.name(room), stamp);
            connection.insist(&request, &mut 0)?;
        }
        rounds += 1;
        for _ in 0..20 {
            if rounds < each || enough() {
                break;
            }
            sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

fn publish(plan: &Plan, number: usize, accepted: &AtomicU64) -> Result<Outcome, Error> {
    let mut outcome = Outcome {
        accepted: 0,
        offered: 0,
        retried: 0,
        latency: histogram()?,
        trouble: None,
    };
    let mut connection = Connection::new(plan);
    loop {
        let due = due(plan, number, outcome.accepted);
        if due >= plan.end {
            return Ok(outcome);
        }
        sleep(due.saturating_duration_since(Instant::now()));
        if due.elapsed() > HOPELESS {
            // Offered is what was due, whether or not there was a chance to send it.
            let rest =
                (outcome.accepted..).take_while(|&index| self::due(plan, number, index) < plan.end);
            outcome.offered += rest.count() as u64;
            return Ok(outcome);
        }
        let (room, index) = plan.rooms.turn(number, outcome.accepted);
        let stamp = Stamp {
            publisher: number,
            number: index,
            due: micros(due.duration_since(plan.epoch)),
        };
        let request = plan.target.publish(&plan.rooms.name(room), stamp);
        outcome.offered += 1;
        if let Err(error) = connection.insist(&request, &mut outcome.retried) {
            outcome.trouble = Some(error.to_string());
            return Ok(outcome);
        }
        outcome.latency.saturating_record(micros(due.elapsed()));
        outcome.accepted += 1;
        accepted.fetch_add(1, Ordering::Relaxed);
    }
}

/// When the publisher's message `index` is due. The publishers take turns.
fn due(plan: &Plan, publisher: usize, index: u32) -> Instant {
    match plan.rate {
        Rate::Flat => Instant::now().max(plan.start),
        Rate::PerSecond(rate) => {
            #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
            let turn = f64::from(index) * plan.publishers as f64 + publisher as f64;
            plan.start + Duration::from_secs_f64(turn / rate)
        }
    }
}

fn is_timeout(error: &Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| matches!(error.kind(), TimedOut | WouldBlock))
}

impl Connection {
    fn new(plan: &Plan) -> Self {
        Self {
            target: plan.target.clone(),
            stream: None,
            buffer: Vec::new(),
        }
    }

    fn post(&mut self, request: &[u8]) -> Result<Answer, Error> {
        let mut stream = if let Some(stream) = self.stream.take() {
            stream
        } else {
            self.buffer.clear();
            let stream = TcpStream::connect_timeout(&self.target.address, ANSWERED_WITHIN)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
            stream.set_write_timeout(Some(ANSWERED_WITHIN))?;
            stream
        };
        let answer = http::exchange_blocking(&mut stream, &mut self.buffer, request)?;
        self.stream = Some(stream);
        Ok(answer)
    }

    /// Sends until it is accepted: the id makes that safe.
    fn insist(&mut self, request: &[u8], retried: &mut u64) -> Result<(), Error> {
        let mut last = String::new();
        for attempt in 0..TRIES {
            // A server may end a connection that was idle for long; that is noticed here, and no trouble.
            let was_idle = self.stream.is_some();
            let pause = match self.post(request) {
                Ok(answer) if self.target.is_accepted(answer.status) => return Ok(()),
                Ok(answer) => {
                    last = answer.error("a message").to_string();
                    if answer.status != 503 && answer.status != 429 {
                        break;
                    }
                    answer.retry_after().map(Duration::from_secs)
                }
                Err(error) if was_idle && !is_timeout(&error) => continue,
                Err(error) => {
                    last = error.to_string();
                    None
                }
            };
            *retried += u64::from(attempt == 0);
            let pause = pause.unwrap_or(Duration::from_millis(100));
            sleep(pause.min(LONGEST_PAUSE));
        }
        Err(format!("gave up: {last}").into())
    }
}
