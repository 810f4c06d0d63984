//! A bare TCP connection, for what no well-behaved client would send.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::within;

/// A connection and what was read from it beyond what was asked for.
pub(crate) struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An HTTP/1.1 answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A WebSocket frame. What the server sends is read into one; what a test sends may break any rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    /// RSV1–3 as the three bits 0b100, 0b010, 0b001.
    pub(crate) reserved: u8,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    /// The length to claim, where it is not the payload's own.
    pub(crate) claimed: Option<u64>,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Frame {
    /// A frame as a client should send it.
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            reserved: 0,
            opcode,
            masked: true,
            claimed: None,
            payload: payload.into(),
        }
    }

    /// The close code, in a close frame that has one.
    pub(crate) fn close_code(&self) -> Option<u16> {
        let code = self.payload.get(..2)?;
        (self.opcode == CLOSE).then(|| u16::from_be_bytes([code[0], code[1]]))
    }

    /// As RFC 6455 section 5.2 lays it out.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mask = if self.masked { 0x80 } else { 0 };
        let mut bytes = vec![(u8::from(self.fin) << 7) | (self.reserved << 4) | self.opcode];
        match self.claimed.unwrap_or(self.payload.len() as u64) {
            small @ 0..=125 => bytes.push(mask | u8::try_from(small).unwrap()),
            medium @ 126..=65_535 => {
                bytes.push(mask | 0x7e);
                bytes.extend(u16::try_from(medium).unwrap().to_be_bytes());
            }
            large => {
                bytes.push(mask | 0x7f);
                bytes.extend(large.to_be_bytes());
            }
        }
        let key = [0x37, 0xfa, 0x21, 0x3d];
        if self.masked {
            bytes.extend(key);
            bytes.extend(
                self.payload
                    .iter()
                    .zip(key.iter().cycle())
                    .map(|(byte, key)| byte ^ key),
            );
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }
}

impl Raw {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address))
            .await
            .expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// A connection whose receive buffer is as small as the kernel makes it.
    pub(crate) async fn open_with_little_room(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(2048).expect("SO_RCVBUF");
        let stream = within("a connection", socket.connect(address))
            .await
            .expect("a connection");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("a bound socket")
    }

    /// Sends; that the server has closed already is no error here, what it said is still to be read.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = within("the server takes bytes", self.stream.write_all(bytes)).await;
    }

    pub(crate) async fn send_frame(&mut self, frame: &Frame) {
        self.send(&frame.encode()).await;
    }

    /// Sends `piece` again and again until the server takes no more, or all of `most` bytes; how many it took.
    pub(crate) async fn send_until_refused(&mut self, piece: &[u8], most: usize) -> usize {
        let mut sent = 0;
        while sent < most {
            let write = tokio::time::timeout(Duration::from_secs(2), self.stream.write(piece));
            match write.await {
                Ok(Ok(written @ 1..)) => sent += written,
                _ => break,
            }
        }
        sent
    }

    /// Sends `byte` up to so many times, one every few milliseconds, until the server has answered or ended.
    pub(crate) async fn send_slowly(&mut self, byte: u8, times: usize) {
        for _ in 0..times {
            let pause = tokio::time::sleep(Duration::from_millis(5));
            tokio::select! {
                _ = self.stream.readable() => return,
                () = pause => {}
            }
            if self.stream.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    }

    /// All answers until the server ends the connection, also abruptly.
    pub(crate) async fn responses(&mut self) -> Vec<Response> {
        let mut responses = Vec::new();
        while self.buffer.windows(4).any(|window| window == b"\r\n\r\n") || self.more().await {
            if self.buffer.windows(4).any(|window| window == b"\r\n\r\n") {
                responses.push(self.response().await);
            }
        }
        responses
    }

    /// Says that no more will be sent.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Upgrades to a viewer of `query`, in the plain encoding.
    pub(crate) async fn upgrade(&mut self, query: &str) {
        let answer = self
            .handshake(query, &[("Sec-WebSocket-Version", "13")])
            .await;
        assert_eq!(answer.status, 101, "the upgrade: {answer:?}");
        // RFC 6455 section 1.3 gives the answer to its sample key.
        assert_eq!(
            answer.header("Sec-WebSocket-Accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
    }

    /// Asks for an upgrade with these headers beside the usual ones.
    pub(crate) async fn handshake(&mut self, query: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = format!(
            "GET /websockets/chat-messages?{query} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            self.stream.peer_addr().expect("a connected socket")
        );
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        request.push_str("\r\n");
        self.send(request.as_bytes()).await;
        self.response().await
    }

    /// The next answer.
    pub(crate) async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    /// The next answer, to a request with `method`: an answer to HEAD has no body, whatever its headers say.
    pub(crate) async fn response_to(&mut self, method: &str) -> Response {
        let head = loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break self.buffer.drain(..end + 4).collect::<Vec<_>>();
            }
            assert!(
                self.more().await,
                "closed within a head: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        };
        let head = String::from_utf8(head).expect("a head in ASCII");
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let status = status.unwrap_or_else(|| panic!("no status in {head:?}"));
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        let length = response
            .header("Content-Length")
            .map(|length| length.parse::<usize>().expect("a length"));
        if method == "HEAD" || status == 101 || status == 204 || status == 304 {
            return response;
        }
        if let Some(length) = length {
            while self.buffer.len() < length {
                assert!(
                    self.more().await,
                    "closed within a body of {length} bytes: {response:?}"
                );
            }
            response.body = self.buffer.drain(..length).collect();
        } else {
            assert_eq!(
                response.header("Transfer-Encoding"),
                None,
                "chunked answers are not expected: {response:?}"
            );
            while self.more().await {}
            response.body = std::mem::take(&mut self.buffer);
        }
        response
    }

    /// The next frame, past the pings by which the server asks whether somebody is there; `None` at
    /// the end of the connection.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any_frame().await;
            if frame.as_ref().is_none_or(|frame| frame.opcode != PING) {
                return frame;
            }
        }
    }

    /// The next frame, whatever it is; `None` at the end of the connection.
    pub(crate) async fn any_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(frame);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The code of the close frame that comes, past all other frames; `None` if the connection ends without one.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        while let Some(frame) = self.frame().await {
            if frame.opcode == CLOSE {
                return frame.close_code();
            }
        }
        None
    }

    /// Waits until the server has ended the connection, whatever else it sends; how many bytes came.
    pub(crate) async fn ended(&mut self) -> usize {
        let mut bytes = self.buffer.len();
        self.buffer.clear();
        while self.more().await {
            bytes += self.buffer.len();
            self.buffer.clear();
        }
        bytes
    }

    /// Reads some more; false at the end, also an abrupt one.
    async fn more(&mut self) -> bool {
        let read = within(
            "bytes or the end from the server",
            self.stream.read_buf(&mut self.buffer),
        )
        .await;
        matches!(read, Ok(1..))
    }
}

/// A frame from the server and its length, if `bytes` holds a whole one.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "servers do not mask");
    let (length, head) = match second & 0x7f {
        126 => (
            u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
            4,
        ),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        small => (u64::from(small), 2),
    };
    let end = head + usize::try_from(length).ok()?;
    let payload = bytes.get(head..end)?.to_vec();
    let frame = Frame {
        fin: first & 0x80 != 0,
        reserved: (first >> 4) & 7,
        opcode: first & 0x0f,
        masked: false,
        claimed: None,
        payload,
    };
    Some((frame, end))
}
