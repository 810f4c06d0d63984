//! One viewer's connection after the handshake: what the client sends, and when it ends.
//!
//! # What
//! Joins the viewer to its room and then reads: pings are answered, a close is answered, what
//! breaks the protocol is closed with the code that RFC 6455 names, all else is discarded.
//!
//! # How
//! The frames are read by fastwebsockets, out of a buffer that all connections of a worker share
//! ([`inbound`]). What goes to the client is the workers' business (`fanout`).
//!
//! # Limits
//! Messages of at most 4 KiB; 5 s for a client to answer a close frame. Of pings that come faster
//! than they can be answered only the last is.

pub mod inbound;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use bytes::Bytes;

use crate::fanout::{JoinRequest, Stream, Viewer, Worker};
use inbound::{Heard, Inbound};

/// How much is read at once.
const READ_BUFFER: usize = 8 * 1024;

/// The connections of one worker. Lives on the worker's thread, within a `LocalSet`.
pub struct Connections {
    worker: Rc<Worker>,
    buffer: RefCell<Box<[u8]>>,
}

impl Connections {
    /// For this worker's viewers.
    pub fn new(worker: Rc<Worker>) -> Rc<Self> {
        Rc::new(Self {
            worker,
            buffer: RefCell::new(vec![0; READ_BUFFER].into()),
        })
    }

    /// Takes a connection over after its handshake: `early` is what the client sent meanwhile,
    /// `permit` is dropped when the connection is gone. Returns when the viewer has joined; what
    /// follows is a task of its own, small, for there are many.
    pub async fn serve<P: 'static>(
        self: Rc<Self>,
        stream: impl Into<Stream>,
        early: Bytes,
        request: JoinRequest,
        permit: P,
    ) {
        let viewer = match self.worker.join(stream.into(), &request).await {
            Ok(viewer) => viewer,
            Err(crowded) => {
                tracing::debug!(room = %request.room, "not joined: {crowded}");
                return;
            }
        };
        let mut inbound = Inbound::new(viewer.encoding().is_compressed());
        if self.hear(&viewer, &mut inbound, &early) {
            tokio::task::spawn_local(self.listen(viewer, inbound, permit));
        } else {
            self.worker.leave(&viewer);
        }
    }

    /// Reads to the end of the connection. What lives here lives as long as each viewer does.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn has a second place for each of its arguments"
    )]
    fn listen<P>(
        self: Rc<Self>,
        viewer: Rc<Viewer>,
        mut inbound: Inbound,
        permit: P,
    ) -> impl Future<Output = ()> {
        async move {
            let mut open = true;
            while open && viewer.readable().await.is_ok() {
                let read = {
                    let mut buffer = self.buffer.borrow_mut();
                    let read = viewer.try_read(&mut buffer);
                    if let Ok(read @ 1..) = read {
                        let bytes = buffer.get(..read).unwrap_or_default();
                        open = self.hear(&viewer, &mut inbound, bytes);
                    }
                    read
                };
                match read {
                    Ok(0) => break,
                    // It sends as fast as it can: the others have their turn first.
                    Ok(READ_BUFFER) => tokio::task::yield_now().await,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
            self.worker.leave(&viewer);
            drop(permit);
        }
    }

    /// Does what is to be done about what a client sent; false if the connection is done with.
    fn hear(&self, viewer: &Rc<Viewer>, inbound: &mut Inbound, bytes: &[u8]) -> bool {
        match inbound.take(bytes) {
            None => true,
            Some(Heard::Ping(payload)) => {
                self.worker.pong(viewer, &payload);
                true
            }
            // If our close frame is written, both sides have said goodbye; else it takes until
            // the client's socket takes it, or 5 s.
            Some(Heard::Close(code)) => {
                self.worker.close(viewer, code);
                !viewer.is_closed()
            }
            // What the client still sends is read and dropped: ending with unread bytes would
            // reset the connection, and the client would never see why.
            Some(Heard::Fail(code)) => {
                self.worker.close(viewer, Some(code));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests;
