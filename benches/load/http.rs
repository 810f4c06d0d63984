//! As little HTTP/1.1 as a bench needs: an answer's head and its body's length.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Error;

/// The largest answer that is read: a page of metrics is some 100 KiB.
const MOST: usize = 4 << 20;
const PIECE: usize = 4 * 1024;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// Seconds, from Retry-After.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.header("retry-after")?.parse().ok()
    }

    /// Its body.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The answer as an error, where another one was wanted.
    pub(crate) fn error(&self, asked: &str) -> Error {
        format!("{} for {asked}: {}", self.status, self.text()).into()
    }
}

/// Sends `request` and reads the answer; `buffer` keeps what came beyond it.
pub(crate) async fn exchange(
    stream: &mut tokio::net::TcpStream,
    buffer: &mut Vec<u8>,
    request: &[u8],
) -> Result<Answer, Error> {
    stream.write_all(request).await?;
    loop {
        if let Some(answer) = take_answer(buffer)? {
            return Ok(answer);
        }
        let read = stream.read_buf(buffer).await?;
        more(read, buffer)?;
    }
}

/// The same for a thread that waits, as long as its stream allows.
pub(crate) fn exchange_blocking(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    request: &[u8],
) -> Result<Answer, Error> {
    stream.write_all(request)?;
    loop {
        if let Some(answer) = take_answer(buffer)? {
            return Ok(answer);
        }
        let mut piece = [0; PIECE];
        let read = stream.read(&mut piece)?;
        buffer.extend_from_slice(&piece[..read]);
        more(read, buffer)?;
    }
}

/// Gets a page over a connection of its own; no wait is longer than `patience`.
pub(crate) fn get(address: SocketAddr, path: &str, patience: Duration) -> Result<Answer, Error> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange_blocking(&mut stream, &mut Vec::new(), request.as_bytes())
}

/// A whole answer, if it is there.
fn take_answer(buffer: &mut Vec<u8>) -> Result<Option<Answer>, Error> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let end = end + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let status = head
        .get(9..12)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| format!("no status in {head:?}"))?;
    let mut answer = Answer {
        status,
        head,
        body: Vec::new(),
    };
    let length = match answer.header("content-length") {
        Some(length) if status != 101 => length.parse()?,
        _ => 0,
    };
    if buffer.len() < end + length {
        return Ok(None);
    }
    answer.body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Ok(Some(answer))
}

/// Whether reading can go on.
fn more(read: usize, buffer: &[u8]) -> Result<(), Error> {
    if read == 0 {
        return Err(format!("closed after {:?}", String::from_utf8_lossy(buffer)).into());
    }
    if buffer.len() > MOST {
        return Err("an answer that is too long".into());
    }
    Ok(())
}
