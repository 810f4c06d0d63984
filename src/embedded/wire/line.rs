//! What a call came over, as far as faults can touch it: one per connection; in process, one until the next fault.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What has become of a connection. What comes later in this list is never followed by what comes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Nothing.
    Whole,
    /// It takes no more calls, and is cut after that long, if after any.
    GoingAway(Option<Duration>),
    /// Nothing gets through; it closes after that long.
    BlackHoled(Option<Duration>),
    /// It was reset.
    Reset,
}

/// A connection's fate.
#[derive(Debug)]
pub(super) struct Line {
    fate: watch::Sender<Fate>,
}

impl Line {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            fate: watch::Sender::new(Fate::Whole),
        })
    }

    pub(super) fn fate(&self) -> Fate {
        *self.fate.borrow()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.fate() == Fate::Whole
    }

    /// Decides it. False if it was decided already.
    pub(super) fn strike(&self, fate: Fate) -> bool {
        self.fate.send_if_modified(|current| {
            let worse =
                std::mem::discriminant(current) != std::mem::discriminant(&fate) && *current < fate;
            if worse {
                *current = fate;
            }
            worse
        })
    }

    /// Waits for a fate other than this.
    pub(super) async fn other_than(&self, known: Fate) -> Fate {
        let mut fate = self.fate.subscribe();
        // The sender is ours, so it is there.
        fate.wait_for(|fate| *fate != known)
            .await
            .map_or(known, |fate| *fate)
    }
}

/// A socket that is closed by RST and not by FIN if its connection was reset.
#[derive(Debug)]
pub(super) struct Resettable {
    pub(super) stream: TcpStream,
    pub(super) line: Arc<Line>,
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.line.fate() == Fate::Reset
            && let Err(error) = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
        {
            tracing::debug!(%error, "embedded kinesis: closed in order instead of reset");
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
