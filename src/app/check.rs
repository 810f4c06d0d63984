//! `chat-room health`: whether the instance with these settings, on this machine, answers as it
//! should. It needs nothing but the program itself, so that it can run in an empty container.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::config::Settings;

/// How long connecting, asking and each part of the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// As much of an answer as is looked at.
const MOST: u64 = 16 * 1024;

/// What is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Question {
    /// Whether it is alive: if not, it should be started again.
    #[default]
    Alive,
    /// Whether it should be sent clients.
    Ready,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Self::Alive => "/livez",
            Self::Ready => "/readyz",
        }
    }
}

/// What came of it.
struct Answer {
    url: String,
    outcome: io::Result<Said>,
}

/// What was answered.
struct Said {
    status: String,
    body: String,
}

impl Answer {
    fn is_good(&self) -> bool {
        matches!(&self.outcome, Ok(said) if said.status == "200")
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_good() { "ok  " } else { "fail" };
        write!(f, "{mark} {}: ", self.url)?;
        match &self.outcome {
            Ok(Said { status, body }) => write!(f, "{status} {body}"),
            Err(error) => write!(f, "{error}"),
        }
    }
}

/// Asks the instance, prints a line, and tells whether all is well.
pub fn check(settings: &Settings, question: Question) -> bool {
    let address = reachable(settings.metrics_listen.unwrap_or(settings.listen));
    // The operations' own address has no TLS.
    let tls = settings.metrics_listen.is_none() && settings.tls_cert.is_some();
    let path = question.path();
    let scheme = if tls { "https" } else { "http" };
    let answer = Answer {
        url: format!("{scheme}://{address}{path}"),
        outcome: ask(address, tls, path),
    };
    // Without anywhere to write to, the exit code has to do.
    let _ = writeln!(io::stdout(), "{answer}");
    answer.is_good()
}

/// Who listens on all of a machine's addresses also does on its own.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn ask(address: SocketAddr, tls: bool, path: &str) -> io::Result<Said> {
    if address.port() == 0 {
        return Err(invalid("the port is the system's choice: set one"));
    }
    let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = if tls {
        exchange(crate::tls::believing(address.ip(), tcp)?, &request)
    } else {
        exchange(tcp, &request)
    };
    read(&String::from_utf8_lossy(&answer?))
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(answer)
}

fn read(answer: &str) -> io::Result<Said> {
    let status = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.split([' ', '\r']).next());
    let (Some(status), Some((_, body))) = (status, answer.split_once("\r\n\r\n")) else {
        return Err(invalid("what answers there does not speak HTTP"));
    };
    Ok(Said {
        status: status.to_owned(),
        // One line, whatever it is.
        body: body.split_whitespace().collect::<Vec<_>>().join(" "),
    })
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_on_the_machines_own() {
        for (listened, asked) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(reachable(listened.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn only_200_is_good() {
        let line = |answer: &str| {
            let (url, outcome) = ("http://x/livez".to_owned(), read(answer));
            let answer = Answer { url, outcome };
            (answer.is_good(), answer.to_string())
        };
        let (good, text) = line("HTTP/1.1 200 OK\r\na: b\r\n\r\n{\"status\": \"live\"}\n");
        assert!(good);
        assert_eq!(text, "ok   http://x/livez: 200 {\"status\": \"live\"}");
        let (good, text) = line("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert!(
            !good && text.starts_with("fail http://x/livez: 503"),
            "{text}"
        );
        for strange in ["", "SSH-2.0-x\r\n", "HTTP/1.1 200 OK"] {
            let (good, text) = line(strange);
            assert!(!good && text.contains("does not speak HTTP"), "{text}");
        }
    }
}
