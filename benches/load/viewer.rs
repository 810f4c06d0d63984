//! Viewers that cost little: one buffer a thread, a scanner and a ledger each, and nothing allocated for a message.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;

use crate::Error;
use crate::args::Encoding;
use crate::http;
use crate::ledger::Ledger;
use crate::scanner::{Event, Scanner};
use crate::stamp::WARM_UP;

/// Handshakes under way at once, a thread.
const JOINING: usize = 64;
const JOINED_WITHIN: Duration = Duration::from_secs(30);
/// Viewers from one source address: ports are not endless.
const AN_ADDRESS: usize = 25_000;
const BUFFER: usize = 256 * 1024;

/// What all viewers of a run share.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) room: Arc<str>,
    pub(crate) encoding: Encoding,
    pub(crate) publishers: usize,
    /// What all times count from.
    pub(crate) epoch: Instant,
}

/// What the viewers have come to, for all threads together.
#[derive(Default)]
pub(crate) struct Counts {
    /// Handshakes done.
    pub(crate) joined: AtomicU64,
    /// Viewers that saw a message, and so will see all that follow.
    pub(crate) warm: AtomicU64,
    pub(crate) delivered: AtomicU64,
    /// Viewers whose connection ended before the run did.
    pub(crate) gone: AtomicU64,
    /// Viewers that could not join.
    pub(crate) refused: AtomicU64,
}

/// What one thread's viewers saw.
pub(crate) struct Seen {
    pub(crate) ledgers: Vec<Ledger>,
    /// Microseconds from due to read.
    pub(crate) latency: Histogram<u64>,
    pub(crate) frames: u64,
    pub(crate) reads: u64,
    pub(crate) bytes: u64,
    /// What should not have come, and why viewers went.
    pub(crate) troubles: Vec<String>,
}

/// A thread of viewers.
pub(crate) struct Crowd {
    thread: JoinHandle<Result<Seen, Error>>,
}

/// A viewer's own state.
struct Viewer {
    scanner: Scanner,
    ledger: Ledger,
    warm: bool,
}

/// What the viewers of a thread share. Borrowed only between awaits.
struct Desk {
    buffer: Vec<u8>,
    viewers: Vec<Viewer>,
    latency: Histogram<u64>,
    reads: u64,
    bytes: u64,
    troubles: Vec<String>,
}

impl Crowd {
    /// Starts `count` viewers, the first of which is number `first`; they stay until `end` changes.
    pub(crate) fn start(
        plan: Plan,
        first: usize,
        count: usize,
        counts: Arc<Counts>,
        end: watch::Receiver<bool>,
    ) -> Self {
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            LocalSet::new().block_on(&runtime, watch_all(plan, first, count, counts, end))
        });
        Self { thread }
    }

    /// What they saw, after their end.
    pub(crate) fn seen(self) -> Result<Seen, Error> {
        self.thread
            .join()
            .map_err(|_| "a thread of viewers panicked")?
    }
}

/// Microseconds from one to sixty million, to three digits.
pub(crate) fn histogram() -> Result<Histogram<u64>, Error> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

async fn watch_all(
    plan: Plan,
    first: usize,
    count: usize,
    counts: Arc<Counts>,
    mut end: watch::Receiver<bool>,
) -> Result<Seen, Error> {
    let new = || Viewer {
        scanner: Scanner::new(plan.encoding),
        ledger: Ledger::new(plan.publishers),
        warm: false,
    };
    let desk = Rc::new(RefCell::new(Desk {
        buffer: vec![0; BUFFER],
        viewers: std::iter::repeat_with(new).take(count).collect(),
        latency: histogram()?,
        reads: 0,
        bytes: 0,
        troubles: Vec::new(),
    }));
    let joining = Rc::new(Semaphore::new(JOINING));
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..count {
        let (plan, desk, counts, joining) = (
            plan.clone(),
            Rc::clone(&desk),
            Arc::clone(&counts),
            Rc::clone(&joining),
        );
        tasks.spawn_local(async move {
            let permit = joining.acquire().await;
            let join = join(&plan, first + index);
            let joined = tokio::time::timeout(JOINED_WITHIN, join)
                .await
                .unwrap_or_else(|_| Err("no answer".into()));
            drop(permit);
            let result = match joined {
                Ok((stream, leftover)) => {
                    counts.joined.fetch_add(1, Ordering::Relaxed);
                    let result = view(stream, &leftover, &plan, &desk, index, &counts).await;
                    counts.gone.fetch_add(1, Ordering::Relaxed);
                    result
                }
                Err(error) => {
                    counts.refused.fetch_add(1, Ordering::Relaxed);
                    Err(error)
                }
            };
            let trouble = result
                .err()
                .map_or_else(|| "the server closed".to_owned(), |error| error.to_string());
            desk.borrow_mut()
                .note(format!("viewer {}: {trouble}", first + index));
        });
    }
    let _ = end.changed().await;
    tasks.shutdown().await;
    let desk = Rc::try_unwrap(desk)
        .map_err(|_| "a viewer is left")?
        .into_inner();
    Ok(Seen {
        frames: desk
            .viewers
            .iter()
            .map(|viewer| viewer.scanner.frames)
            .sum(),
        ledgers: desk
            .viewers
            .into_iter()
            .map(|viewer| viewer.ledger)
            .collect(),
        latency: desk.latency,
        reads: desk.reads,
        bytes: desk.bytes,
        troubles: desk.troubles,
    })
}

/// Connects and upgrades; gives what came with the answer.
async fn join(plan: &Plan, number: usize) -> Result<(TcpStream, Vec<u8>), Error> {
    let socket = TcpSocket::new_v4()?;
    if number >= AN_ADDRESS {
        let block = u8::try_from(number / AN_ADDRESS)?;
        socket.bind((Ipv4Addr::new(127, 0, 0, 1 + block), 0).into())?;
    }
    let mut stream = socket.connect(plan.address).await?;
    stream.set_nodelay(true)?;
    let protocol = match plan.encoding {
        Encoding::Plain => "",
        Encoding::V1 => "Sec-WebSocket-Protocol: chat-room.v1\r\n",
    };
    let request = format!(
        "GET /websockets/chat-messages?room={}&history=0 HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n",
        plan.room, plan.address
    );
    let mut buffer = Vec::new();
    let answer = http::exchange(&mut stream, &mut buffer, request.as_bytes()).await?;
    if answer.status != 101 {
        return Err(format!(
            "{} for the upgrade: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        )
        .into());
    }
    Ok((stream, buffer))
}

/// Reads until the server ends it.
async fn view(
    stream: TcpStream,
    leftover: &[u8],
    plan: &Plan,
    desk: &RefCell<Desk>,
    index: usize,
    counts: &Counts,
) -> Result<(), Error> {
    if !leftover.is_empty() {
        desk.borrow_mut()
            .digest(leftover, index, plan, counts, &stream);
    }
    loop {
        stream.readable().await?;
        let mut desk = desk.borrow_mut();
        // The buffer is lent out of the desk, so that the rest of it can be written to meanwhile.
        let mut buffer = std::mem::take(&mut desk.buffer);
        let read = stream.try_read(&mut buffer);
        if let Ok(length @ 1..) = read {
            desk.reads += 1;
            desk.digest(&buffer[..length], index, plan, counts, &stream);
        }
        desk.buffer = buffer;
        match read {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                return Err(error.into());
            }
            Ok(_) | Err(_) => {}
        }
    }
}

impl Desk {
    fn digest(
        &mut self,
        bytes: &[u8],
        index: usize,
        plan: &Plan,
        counts: &Counts,
        stream: &TcpStream,
    ) {
        self.bytes += bytes.len() as u64;
        let now = u64::try_from(plan.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (latency, troubles) = (&mut self.latency, &mut self.troubles);
        let Viewer {
            scanner,
            ledger,
            warm,
        } = &mut self.viewers[index];
        let before = ledger.delivered;
        scanner.feed(bytes, |event| match event {
            Event::Message(stamp) if stamp.publisher == WARM_UP => {
                if !std::mem::replace(warm, true) {
                    counts.warm.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::Message(stamp) => {
                if ledger.enter(stamp.publisher, stamp.number) {
                    latency.saturating_record(now.saturating_sub(stamp.due));
                } else {
                    troubles.push(format!("a message of nobody: {stamp:?}"));
                }
            }
            Event::Ping(payload) => {
                let mut pong = vec![
                    0x8a,
                    0x80 | u8::try_from(payload.len()).unwrap_or(0),
                    0,
                    0,
                    0,
                    0,
                ];
                pong.extend_from_slice(payload);
                let _ = stream.try_write(&pong);
            }
            Event::Close(code) => troubles.push(format!("viewer {index} was closed with {code:?}")),
            Event::Nonsense => {
                troubles.push(format!("viewer {index} got what is no frame of this bench"));
            }
        });
        counts
            .delivered
            .fetch_add(ledger.delivered - before, Ordering::Relaxed);
    }

    fn note(&mut self, trouble: String) {
        self.troubles.push(trouble);
    }
}
