//! Publishers: one keep-alive connection and one message under way each, due at set times or as soon as the last was accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Error;
use crate::args::Rate;
use crate::http::{self, Answer};
use crate::stamp::{LENGTH, Stamp, WARM_UP};
use crate::viewer::histogram;

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// How often a message is sent again, under its own id, before its publisher gives up.
const TRIES: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What all publishers of a run share.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) room: Arc<str>,
    pub(crate) text: usize,
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
    pub(crate) offered: u64,
    /// Messages that were sent more than once.
    pub(crate) retried: u64,
    /// Microseconds from due to 202.
    pub(crate) latency: Histogram<u64>,
    /// Why publishers gave up.
    pub(crate) troubles: Vec<String>,
}

/// One connection, opened when needed.
struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What one publisher came to.
struct Outcome {
    number: usize,
    accepted: u32,
    offered: u64,
    retried: u64,
    latency: Histogram<u64>,
    trouble: Option<String>,
}

/// Publishes in a thread of its own; `accepted` counts along.
pub(crate) fn start(plan: Plan, accepted: Arc<AtomicU64>) -> JoinHandle<Result<Published, Error>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for number in 0..plan.publishers {
                tasks.spawn(publish(plan.clone(), number, Arc::clone(&accepted)));
            }
            let mut all = Published {
                accepted: vec![0; plan.publishers],
                offered: 0,
                retried: 0,
                latency: histogram()?,
                troubles: Vec::new(),
            };
            while let Some(outcome) = tasks.join_next().await {
                let outcome = outcome??;
                all.accepted[outcome.number] = outcome.accepted;
                all.offered += outcome.offered;
                all.retried += outcome.retried;
                all.latency.add(outcome.latency)?;
                all.troubles.extend(
                    outcome
                        .trouble
                        .map(|trouble| format!("publisher {}: {trouble}", outcome.number)),
                );
            }
            Ok(all)
        })
    })
}

/// Publishes messages that say nothing, until `enough`: whoever sees one has joined.
pub(crate) fn warm_up(
    plan: &Plan,
    within: Duration,
    enough: impl Fn() -> bool,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut connection = Connection {
            address: plan.address,
            stream: None,
            buffer: Vec::new(),
        };
        let start = Instant::now();
        while !enough() {
            if start.elapsed() > within {
                return Err(format!("not all viewers see messages within {within:?}").into());
            }
            let stamp = Stamp {
                publisher: WARM_UP,
                number: 0,
                due: 0,
            };
            let answer = connection.post(&request(plan, stamp)).await?;
            if answer.status != 202 {
                return Err(format!(
                    "{} for a message: {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                )
                .into());
            }
            for _ in 0..20 {
                if enough() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(())
    })
}

async fn publish(plan: Plan, number: usize, accepted: Arc<AtomicU64>) -> Result<Outcome, Error> {
    let mut outcome = Outcome {
        number,
        accepted: 0,
        offered: 0,
        retried: 0,
        latency: histogram()?,
        trouble: None,
    };
    let mut connection = Connection {
        address: plan.address,
        stream: None,
        buffer: Vec::new(),
    };
    loop {
        let due = due(&plan, number, outcome.accepted);
        if due >= plan.end {
            return Ok(outcome);
        }
        tokio::time::sleep_until(due.into()).await;
        let micros = u64::try_from(due.duration_since(plan.epoch).as_micros())?;
        let stamp = Stamp {
            publisher: number,
            number: outcome.accepted,
            due: micros,
        };
        outcome.offered += 1;
        if let Err(error) = connection
            .insist(&request(&plan, stamp), &mut outcome.retried)
            .await
        {
            outcome.trouble = Some(error.to_string());
            return Ok(outcome);
        }
        outcome
            .latency
            .saturating_record(u64::try_from(due.elapsed().as_micros())?);
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

/// The POST of a message, under an id of its own.
fn request(plan: &Plan, stamp: Stamp) -> Vec<u8> {
    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
    let mut digits = Uuid::encode_buffer();
    let id = id.hyphenated().encode_lower(&mut digits);
    let filler = "x".repeat(plan.text - LENGTH);
    let body = format!(
        r#"{{"room":"{}","id":"{id}","text":"{}{filler}"}}"#,
        plan.room,
        stamp.encode()
    );
    let head = format!(
        "POST /chat-messages HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        plan.address,
        body.len()
    );
    (head + &body).into_bytes()
}

impl Connection {
    async fn post(&mut self, request: &[u8]) -> Result<Answer, Error> {
        let mut stream = if let Some(stream) = self.stream.take() {
            stream
        } else {
            self.buffer.clear();
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            stream
        };
        let exchange = http::exchange(&mut stream, &mut self.buffer, request);
        let answer = tokio::time::timeout(ANSWERED_WITHIN, exchange)
            .await
            .map_err(|_| "no answer to a POST")??;
        self.stream = Some(stream);
        Ok(answer)
    }

    /// Sends until it is accepted: the id makes that safe.
    async fn insist(&mut self, request: &[u8], retried: &mut u64) -> Result<(), Error> {
        let mut last = String::new();
        for attempt in 0..TRIES {
            let pause = match self.post(request).await {
                Ok(answer) if answer.status == 202 => return Ok(()),
                Ok(answer) => {
                    last = format!(
                        "{}: {}",
                        answer.status,
                        String::from_utf8_lossy(&answer.body)
                    );
                    if answer.status != 503 && answer.status != 429 {
                        break;
                    }
                    answer.retry_after.map(Duration::from_secs)
                }
                Err(error) => {
                    last = error.to_string();
                    None
                }
            };
            *retried += u64::from(attempt == 0);
            tokio::time::sleep(
                pause
                    .unwrap_or(Duration::from_millis(100))
                    .min(LONGEST_PAUSE),
            )
            .await;
        }
        Err(format!("gave up: {last}").into())
    }
}
