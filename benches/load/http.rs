//! As little HTTP/1.1 as a bench needs: an answer's head and its body's length.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Error;

/// The largest answer that is read.
const MOST: usize = 64 * 1024;

/// An answer's head.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Seconds, from Retry-After.
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Vec<u8>,
}

/// Sends `request` and reads the answer; `buffer` keeps what came beyond it.
pub(crate) async fn exchange(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    request: &[u8],
) -> Result<Answer, Error> {
    stream.write_all(request).await?;
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let status = head
        .get(9..12)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| format!("no status in {head:?}"))?;
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| value.trim().parse::<u64>().ok())
    };
    let length = if status == 101 {
        0
    } else {
        header("content-length").unwrap_or(0)
    };
    let whole = end + usize::try_from(length)?;
    while buffer.len() < whole {
        more(stream, buffer).await?;
    }
    let answer = Answer {
        status,
        retry_after: header("retry-after"),
        body: buffer[end..whole].to_vec(),
    };
    buffer.drain(..whole);
    Ok(answer)
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Error> {
    if stream.read_buf(buffer).await? == 0 {
        return Err(format!("closed after {:?}", String::from_utf8_lossy(buffer)).into());
    }
    if buffer.len() > MOST {
        return Err("an answer that is too long".into());
    }
    Ok(())
}
