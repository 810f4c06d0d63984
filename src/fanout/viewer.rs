//! One viewer: its socket and what is known of it. Kept small, for there are very many.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;

use super::outbox::Outbox;
use super::room::LocalRoom;
use super::stream::{Outlet, Stream};
use crate::log::Encoding;

/// A viewer of one room, owned by one worker.
pub struct Viewer {
    stream: Stream,
    pub(super) encoding: Encoding,
    pub(super) room: Rc<LocalRoom>,
    /// Its place in the list that its state says it is in.
    pub(super) slot: Cell<usize>,
    /// The sweep in or after which it joined those that are swept.
    pub(super) since: Cell<u64>,
    /// Its seat in the worker's wheel.
    pub(super) seat: Cell<usize>,
    /// It has shown since it was last asked that it is there.
    heard: Cell<bool>,
    pub(super) state: RefCell<State>,
}

/// Where a viewer stands.
pub(super) enum State {
    /// It has everything up to the room's cursor, and is swept.
    Live,
    /// Its socket is full: it has a cursor of its own.
    Lagging(Box<Outbox>),
    /// Its close frame is written: nothing more is.
    Closed,
    /// It has left the room.
    Gone,
}

impl Viewer {
    pub(super) fn new(
        stream: Stream,
        encoding: Encoding,
        room: Rc<LocalRoom>,
        outbox: Outbox,
    ) -> Self {
        Self {
            stream,
            encoding,
            room,
            slot: Cell::new(0),
            since: Cell::new(0),
            seat: Cell::new(0),
            heard: Cell::new(true),
            state: RefCell::new(State::Lagging(Box::new(outbox))),
        }
    }

    /// How it wants its messages.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Waits until the client sent something, or ended; for one task at a time.
    ///
    /// PERFORMANCE: the socket remembers the task that polled it last. So long as that is the one
    /// that served the handshake, the memory of that task, more than 2 KiB, is not given back,
    /// though it has ended; `TcpStream::readable` would leave it so.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        std::future::poll_fn(|context| {
            if self.stream.is_unread() {
                return Poll::Ready(Ok(()));
            }
            self.stream.tcp().poll_read_ready(context)
        })
    }

    /// Reads what is there, without waiting; 0 is the end.
    ///
    /// # Errors
    /// Those of the socket; `WouldBlock` if nothing is there.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.try_read(buffer);
        if let Ok(1..) = read {
            self.show_life();
        }
        read
    }

    /// It sent something, or took some of what it was behind with.
    pub(super) fn show_life(&self) {
        self.heard.set(true);
    }

    /// Whether it has shown since it was last asked that it is there. From here on it is asked
    /// again.
    pub(super) fn has_shown_life(&self) -> bool {
        if self.heard.replace(false) {
            return true;
        }
        // What came while this process was stopped or busy may not have been read yet.
        let mut byte = [MaybeUninit::uninit()];
        matches!(SockRef::from(self.stream.tcp()).peek(&mut byte), Ok(1..))
    }

    /// Its close frame is written, or it is gone: nothing more is sent to it.
    pub fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::Closed | State::Gone)
    }

    /// Where writes to it go.
    pub(super) fn outlet(&self) -> Outlet<'_> {
        self.stream.outlet()
    }

    /// Writes as much as the socket takes, 0 if it is full.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.outlet().try_write(bytes)
    }

    /// Whether its socket has not taken all that was written: it is behind, be it by that alone.
    pub(super) fn holds(&self) -> bool {
        self.outlet().holds()
    }

    /// Has its socket take the rest of what was written; says how many bytes are left.
    pub(super) fn flush(&self) -> io::Result<usize> {
        self.stream.flush()
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream.tcp().writable().await
    }

    /// Ends the connection at once. Whoever reads from it finds its end, and clears up.
    pub(super) fn abort(&self) {
        // What is queued in the kernel is for nobody. On Linux this frees it now, with a reset for the client (connect(2)); the
        // rest is for systems that know no such thing: there it is freed with the socket.
        let _ = rustix::net::connect_unspec(self.stream.tcp());
        let socket = SockRef::from(self.stream.tcp());
        let _ = socket.set_linger(Some(Duration::ZERO));
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }
}
