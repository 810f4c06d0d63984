//! The least that a chat can do, to compare with: one thread, a POST comes in, its frame is written to each viewer's socket.
//!
//! No history, no order but its own, nothing durable, no limit on what it answers; only `POST /pub/…` and `GET /sub/…` of well-behaved clients.
//! What it costs is what the kernel costs.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use slab::Slab;

use crate::Error;
use crate::server::raise_open_files;

/// The listening socket's place among what epoll tells of.
const LISTENER: u64 = u64::MAX;
/// For the one key that this tool's viewers send, which is the example of RFC 6455, section 1.3.
const UPGRADE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// A connection: one that publishes, or a viewer.
struct Client {
    stream: TcpStream,
    /// A request as far as it came.
    request: Vec<u8>,
    /// The room, once it is a viewer.
    room: Option<String>,
    /// What its socket did not take.
    unsent: VecDeque<u8>,
}

/// All of it.
struct Loop {
    epoll: OwnedFd,
    clients: Slab<Client>,
    viewers: HashMap<String, Vec<usize>>,
}

/// Serves until the process is ended.
pub(crate) fn serve() -> Result<(), Error> {
    raise_open_files(0)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    announce(&format!("listening on http://{}", listener.local_addr()?))?;
    let mut all = Loop {
        epoll,
        clients: Slab::new(),
        viewers: HashMap::new(),
    };
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(
            &all.epoll,
            rustix::buffer::spare_capacity(&mut events),
            None,
        ) {
            Err(error) if error != rustix::io::Errno::INTR => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            match event.data.u64() {
                LISTENER => all.accept(&listener)?,
                client => all.serve(usize::try_from(client)?, event.flags),
            }
        }
    }
}

fn announce(line: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

impl Loop {
    fn accept(&mut self, listener: &TcpListener) -> Result<(), Error> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            let entry = self.clients.vacant_entry();
            let number = EventData::new_u64(entry.key() as u64);
            epoll::add(&self.epoll, &stream, number, flags)?;
            entry.insert(Client {
                stream,
                request: Vec::new(),
                room: None,
                unsent: VecDeque::new(),
            });
        }
    }

    fn serve(&mut self, number: usize, flags: EventFlags) {
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        let mut alive = !flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP);
        if alive && flags.contains(EventFlags::OUT) {
            alive = client.send(&[]);
        }
        if alive && flags.contains(EventFlags::IN) {
            alive = client.read() && self.answer(number);
        }
        if alive {
            return;
        }
        let gone = self.clients.try_remove(number);
        let room = gone.and_then(|client| client.room);
        if let Some(viewers) = room.and_then(|room| self.viewers.get_mut(&room)) {
            viewers.retain(|&viewer| viewer != number);
        }
    }

    /// Answers all requests that are there; false if the client is to go.
    fn answer(&mut self, number: usize) -> bool {
        loop {
            let Some(client) = self.clients.get_mut(number) else {
                return false;
            };
            // What viewers send are pongs and goodbyes.
            if client.room.is_some() {
                client.request = Vec::new();
                return true;
            }
            let Some((head, body)) = client.take_request() else {
                return true;
            };
            let mut words = head.split(' ');
            let room = words.nth(1).and_then(|path| path.rsplit('/').next());
            let room = room.unwrap_or_default().to_owned();
            let sent = if head.starts_with("GET /sub/") {
                client.room = Some(room.clone());
                let upgraded = client.send(UPGRADE.as_bytes());
                self.viewers.entry(room).or_default().push(number);
                upgraded
            } else if head.starts_with("POST /pub/") {
                self.broadcast(&room, &body);
                self.send(number, ACCEPTED.as_bytes())
            } else {
                self.send(number, ACCEPTED.as_bytes())
            };
            if !sent {
                return false;
            }
        }
    }

    /// One frame, one write(2) for each viewer.
    fn broadcast(&mut self, room: &str, text: &[u8]) {
        // No text of this tool is longer than 2,000 bytes.
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        let mut frame = vec![0x81];
        if let Ok(short @ ..126) = u8::try_from(length) {
            frame.push(short);
        } else {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        frame.extend_from_slice(text);
        for viewer in self.viewers.get(room).into_iter().flatten() {
            // One that is gone is told of by epoll.
            if let Some(client) = self.clients.get_mut(*viewer) {
                client.send(&frame);
            }
        }
    }

    fn send(&mut self, number: usize, bytes: &[u8]) -> bool {
        self.clients
            .get_mut(number)
            .is_some_and(|client| client.send(bytes))
    }
}

impl Client {
    /// Reads all that is there; false at the end.
    fn read(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(length) => self.request.extend_from_slice(&piece[..length]),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Writes, or keeps what the socket does not take; false if it is broken.
    fn send(&mut self, bytes: &[u8]) -> bool {
        if self.unsent.is_empty() {
            return self.write(bytes);
        }
        let unsent: Vec<u8> = self.unsent.drain(..).chain(bytes.iter().copied()).collect();
        self.write(&unsent)
    }

    fn write(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent.extend(bytes);
                    return true;
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// A whole request's head and body.
    fn take_request(&mut self) -> Option<(String, Vec<u8>)> {
        let end = self
            .request
            .windows(4)
            .position(|four| four == b"\r\n\r\n")?
            + 4;
        let head = String::from_utf8_lossy(&self.request[..end]).into_owned();
        let length: usize =
            header(&head, "content-length").map_or(0, |length| length.parse().unwrap_or(0));
        let body = self.request.get(end..end + length)?.to_vec();
        self.request.drain(..end + length);
        Some((head, body))
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}
