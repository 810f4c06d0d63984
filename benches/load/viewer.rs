//! One viewer: joins, reads, and enters what it sees.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use crate::Error;
use crate::choices::Kind;
use crate::crowd::Plan;
use crate::desk::Desk;
use crate::http;
use crate::record::Life;
use crate::scanner::Scanner;
use crate::timeline::micros;

const JOINED_WITHIN: Duration = Duration::from_secs(30);
const FURTHER_TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(200);
/// How long one who comes and goes stays, and stays away, in milliseconds.
const VISIT: std::ops::Range<u64> = 500..10_000;
const AWAY: std::ops::Range<u64> = 10..1_000;
/// Bytes that the kernel keeps for one who never reads, as little as it allows: the rest stays with the server.
const LITTLE_ROOM: u32 = 4 * 1024;
/// A close frame of a client, masked, with code 1001.
const GOODBYE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// A viewer's way through a run.
pub(crate) struct Viewer {
    pub(crate) plan: Rc<Plan>,
    pub(crate) desk: Rc<RefCell<Desk>>,
    /// Handshakes under way are limited.
    pub(crate) joining: Rc<Semaphore>,
    /// Among all viewers.
    pub(crate) number: usize,
    /// Among those of its thread.
    pub(crate) index: usize,
    pub(crate) life: Life,
}

impl Viewer {
    /// All of it; ends only when the server ends it or something is wrong, which is noted.
    pub(crate) async fn live(self) {
        let counts = &self.plan.counts;
        let mut first = true;
        let trouble = loop {
            let (stream, scanner) = match self.enter().await {
                Ok(joined) => joined,
                Err(error) => {
                    counts.refused.fetch_add(1, Ordering::Relaxed);
                    break error.to_string();
                }
            };
            let newly = u64::from(std::mem::take(&mut first));
            counts.joined.fetch_add(newly, Ordering::Relaxed);
            let visit = match self.life {
                // Its connection stays open, and what it is sent piles up.
                Life::Stalls => std::future::pending().await,
                Life::Stays | Life::Comes => self.watch(stream, scanner, Duration::MAX).await,
                Life::Roams => {
                    let visit = Duration::from_millis(fastrand::u64(VISIT));
                    self.watch(stream, scanner, visit).await
                }
            };
            match visit {
                Ok(()) if self.life == Life::Roams => self.leave().await,
                Ok(()) => break self.lose("the server closed"),
                Err(error) => break self.lose(&error.to_string()),
            }
        };
        self.desk.borrow_mut().note(self.number, &trouble);
    }

    /// Its connection has ended before it wanted that; gives why.
    fn lose(&self, why: &str) -> String {
        self.plan.counts.gone.fetch_add(1, Ordering::Relaxed);
        if let Some(record) = self.desk.borrow_mut().records.get_mut(self.index) {
            record.gone = true;
        }
        why.to_owned()
    }

    /// Joins; what came with the answer is digested already.
    async fn enter(&self) -> Result<(TcpStream, Scanner), Error> {
        let permit = self.joining.acquire().await?;
        let asked = micros(self.plan.epoch.elapsed());
        let (mut stream, leftover) = self.insist().await?;
        drop(permit);
        if let Some(record) = self.desk.borrow_mut().records.get_mut(self.index) {
            record.ask(asked);
        }
        let mut scanner = Scanner::new(self.plan.target.encoding);
        self.desk
            .borrow_mut()
            .digest(&leftover, self.index, &mut scanner, &self.plan, &mut stream);
        Ok((stream, scanner))
    }

    /// Joins; others than ours may refuse some of a crowd at first, which is no reason not to compare.
    async fn insist(&self) -> Result<(TcpStream, Vec<u8>), Error> {
        let mut left = match self.plan.target.kind {
            Kind::Ours => 0,
            _ => FURTHER_TRIES,
        };
        loop {
            let joined = tokio::time::timeout(JOINED_WITHIN, self.join()).await;
            match joined.unwrap_or_else(|_| Err("no answer to the handshake".into())) {
                Err(_) if left > 0 => left -= 1,
                joined => return joined,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Connects and upgrades; gives what came with the answer.
    async fn join(&self) -> Result<(TcpStream, Vec<u8>), Error> {
        let plan = &self.plan;
        let socket = TcpSocket::new_v4()?;
        if let Some(source) = source(self.number, plan.sources) {
            socket.bind(source).map_err(no_port)?;
        }
        if self.life == Life::Stalls {
            socket.set_recv_buffer_size(LITTLE_ROOM)?;
        }
        let connecting = socket.connect(plan.target.address).await;
        let mut stream = connecting.map_err(no_port)?;
        stream.set_nodelay(true)?;
        let history = match self.life {
            Life::Comes => plan.history,
            _ => 0,
        };
        let room = plan.rooms.name(self.number % plan.rooms.count());
        let request = plan.target.join(&room, history);
        let mut buffer = Vec::new();
        let answer = http::exchange(&mut stream, &mut buffer, request.as_bytes()).await?;
        if answer.status != 101 {
            return Err(answer.error("the handshake"));
        }
        if answer
            .header("sec-websocket-extensions")
            .is_some_and(|extensions| extensions.contains("permessage-deflate"))
        {
            plan.counts.compressed.fetch_add(1, Ordering::Relaxed);
        }
        Ok((stream, buffer))
    }

    /// Reads until the server ends it or the visit is over.
    async fn watch(
        &self,
        mut stream: TcpStream,
        mut scanner: Scanner,
        visit: Duration,
    ) -> Result<(), Error> {
        if visit == Duration::MAX {
            return std::future::poll_fn(|context| self.poll(context, &mut stream, &mut scanner))
                .await;
        }
        let reading = std::future::poll_fn(|context| self.poll(context, &mut stream, &mut scanner));
        match tokio::time::timeout(visit, reading).await {
            Ok(Ok(())) => Err("the server closed".into()),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                // Half of them vanish without a word, as half of all browsers do.
                if fastrand::bool() {
                    let _ = stream.try_write(&GOODBYE);
                }
                Ok(())
            }
        }
    }

    /// Reads what is there, into the buffer that all viewers of the thread share.
    fn poll(
        &self,
        context: &mut Context<'_>,
        stream: &mut TcpStream,
        scanner: &mut Scanner,
    ) -> Poll<Result<(), Error>> {
        let mut desk = self.desk.borrow_mut();
        // The buffer is lent out of the desk, so that the rest of it can be written to meanwhile.
        let mut buffer = std::mem::take(&mut desk.buffer);
        let poll = loop {
            let mut read = ReadBuf::new(&mut buffer);
            // A read that does not fill the buffer also says that there is nothing more: no second one has to.
            match Pin::new(&mut *stream).poll_read(context, &mut read) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(())) if read.filled().is_empty() => break Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {
                    desk.reads += 1;
                    desk.digest(read.filled(), self.index, scanner, &self.plan, stream);
                }
            }
        };
        desk.buffer = buffer;
        poll
    }

    /// What a visit's ledger says is kept; the next one begins anew.
    async fn leave(&self) {
        self.desk.borrow_mut().settle(self.index);
        self.plan.counts.visits.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(AWAY))).await;
    }
}

/// What to do where the ports of a source address have run out, which the system says in words that are of no help.
fn no_port(error: std::io::Error) -> Error {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable};
    match error.kind() {
        AddrInUse | AddrNotAvailable => format!(
            "no port is left at its source address ({error}): give more of them with --sources"
        )
        .into(),
        _ => error.into(),
    }
}

/// The address that a connection comes from, if not the system's own choice.
fn source(number: usize, sources: usize) -> Option<SocketAddr> {
    let block = u8::try_from(number.checked_rem(sources)?).ok()?;
    Some((Ipv4Addr::new(127, 0, 0, 1 + block), 0).into())
}

/// Whether a viewer is one of a share of its room's, evenly spread.
pub(crate) fn is_among(share: f64, number: usize, rooms: usize) -> bool {
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let place = (number / rooms) as f64;
    ((place + 1.0) * share).floor() > (place * share).floor()
}
