//! Viewers, by tokio-tungstenite: an implementation of WebSocket that the program does not use.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Server, within};

/// The largest frame that may hold more than one message.
const MAX_COALESCED: usize = 64 * 1024;

/// A message as `chat-room.v1` shows it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) room: String,
    pub(crate) name: Option<String>,
    pub(crate) text: String,
    pub(crate) time: String,
    pub(crate) position: String,
}

/// The first frame of `chat-room.v1`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) room: String,
    pub(crate) position: String,
    pub(crate) recovered: bool,
}

/// A connection, with TLS or without.
type Socket = WebSocketStream<Box<dyn Wire>>;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<W: AsyncRead + AsyncWrite + Send + Unpin> Wire for W {}

/// A viewer that speaks `chat-room.v1`.
pub(crate) struct Viewer {
    socket: Socket,
    pub(crate) joined: Joined,
    waiting: VecDeque<Shown>,
    /// How many messages each frame brought.
    pub(crate) frames: Vec<usize>,
}

/// A viewer without a subprotocol, as the original's page is one.
pub(crate) struct PlainViewer {
    socket: Socket,
}

impl Viewer {
    /// Joins with `query` (such as `room=a&history=0`) and takes the `joined` frame.
    pub(crate) async fn join(server: &Server, query: &str) -> Self {
        Self::join_at(server, server.address(), query).await
    }

    /// Joins where somebody passes on to the server.
    pub(crate) async fn join_at(server: &Server, address: SocketAddr, query: &str) -> Self {
        Self::try_join(server, address, query)
            .await
            .unwrap_or_else(|end| panic!("{query}: closed before joined: {end:?}"))
    }

    /// Joins, again and again as long as the instance sends it away for having read nothing.
    pub(crate) async fn join_patiently(server: &Server, query: &str) -> Self {
        let join = async {
            loop {
                match Self::try_join(server, server.address(), query).await {
                    Ok(viewer) => return viewer,
                    Err(End(code)) => assert_eq!(code, Some(4001), "{query}"),
                }
            }
        };
        within("the instance has read something", join).await
    }

    /// The code with which a viewer is sent away before it has joined.
    pub(crate) async fn sent_away(server: &Server, query: &str) -> Option<u16> {
        match Self::try_join(server, server.address(), query).await {
            Ok(viewer) => panic!("{query}: joined: {:?}", viewer.joined),
            Err(End(code)) => code,
        }
    }

    async fn try_join(server: &Server, address: SocketAddr, query: &str) -> Result<Self, End> {
        let mut socket = connect(server, address, query, Some("chat-room.v1")).await;
        let first = frame(&mut socket).await?;
        let value: Value =
            serde_json::from_str(&first).unwrap_or_else(|error| panic!("frame {first}: {error}"));
        assert_eq!(
            value["type"], "joined",
            "{query}: the first frame is {first}"
        );
        let joined =
            serde_json::from_value(value).unwrap_or_else(|error| panic!("frame {first}: {error}"));
        Ok(Self {
            socket,
            joined,
            waiting: VecDeque::new(),
            frames: Vec::new(),
        })
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Shown {
        loop {
            if let Some(shown) = self.waiting.pop_front() {
                return shown;
            }
            let text = frame(&mut self.socket)
                .await
                .unwrap_or_else(|end| panic!("closed while waiting for a message: {end:?}"));
            self.unfold(&text);
        }
    }

    /// The next `count` messages.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Shown> {
        let mut shown = Vec::with_capacity(count);
        for _ in 0..count {
            shown.push(self.next().await);
        }
        shown
    }

    /// What comes before the message that says `text`, which is taken too.
    pub(crate) async fn until(&mut self, text: &str) -> Vec<Shown> {
        let mut before = Vec::new();
        loop {
            let shown = self.next().await;
            if shown.text == text {
                return before;
            }
            before.push(shown);
        }
    }

    /// The code of the close frame that the server ends this connection with.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            if let Err(end) = frame(&mut self.socket).await {
                return end.0;
            }
        }
    }

    fn unfold(&mut self, frame: &str) {
        let value: Value =
            serde_json::from_str(frame).unwrap_or_else(|error| panic!("frame {frame}: {error}"));
        match value["type"].as_str() {
            Some("messages") => {
                let messages: Vec<Shown> = serde_json::from_value(value["messages"].clone())
                    .unwrap_or_else(|error| panic!("frame {frame}: {error}"));
                assert!(
                    !messages.is_empty(),
                    "a messages frame without messages: {frame}"
                );
                assert!(
                    frame.len() <= MAX_COALESCED || messages.len() == 1,
                    "{} bytes in a frame of {} messages",
                    frame.len(),
                    messages.len()
                );
                self.frames.push(messages.len());
                self.waiting.extend(messages);
            }
            Some("joined") => panic!("joined a second time: {frame}"),
            Some(_) => {}
            None => panic!("a frame without a type: {frame}"),
        }
    }
}

impl PlainViewer {
    pub(crate) async fn join(server: &Server, query: &str) -> Self {
        Self {
            socket: connect(server, server.address(), query, None).await,
        }
    }

    /// The next text.
    pub(crate) async fn next(&mut self) -> String {
        frame(&mut self.socket)
            .await
            .unwrap_or_else(|end| panic!("closed while waiting for a text: {end:?}"))
    }

    /// The next `count` texts.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            texts.push(self.next().await);
        }
        texts
    }

    /// What comes before `text`, which is taken too.
    pub(crate) async fn until(&mut self, text: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let next = self.next().await;
            if next == text {
                return before;
            }
            before.push(next);
        }
    }

    /// The code of the close frame that the server ends this connection with.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            if let Err(end) = frame(&mut self.socket).await {
                return end.0;
            }
        }
    }
}

/// The end of a connection: the close frame's code, if there was one.
#[derive(Debug)]
struct End(Option<u16>);

async fn connect(
    server: &Server,
    address: SocketAddr,
    query: &str,
    protocol: Option<&'static str>,
) -> Socket {
    let url = format!("ws://{address}/websockets/chat-messages?{query}");
    let mut request = url.into_client_request().expect("a WebSocket request");
    if let Some(protocol) = protocol {
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", HeaderValue::from_static(protocol));
    }
    within("a WebSocket handshake", async {
        let tcp = TcpStream::connect(address).await.expect("a connection");
        let stream: Box<dyn Wire> = if server.is_secure() {
            let tls = server.trust().secure(tcp, &["http/1.1"]).await;
            Box::new(tls.expect("a TLS handshake"))
        } else {
            Box::new(tcp)
        };
        let (socket, answer) = client_async(request, stream)
            .await
            .unwrap_or_else(|error| panic!("the upgrade for {query:?} failed: {error}"));
        let chosen = answer
            .headers()
            .get("Sec-WebSocket-Protocol")
            .map(|value| value.to_str().unwrap());
        assert_eq!(chosen, protocol, "the subprotocol the server chose");
        socket
    })
    .await
}

/// The next text frame. Pings are answered underneath.
async fn frame(socket: &mut Socket) -> Result<String, End> {
    loop {
        match within("a frame from the server", socket.next()).await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Close(close))) => {
                let _ = socket.close(None).await;
                return Err(End(close.map(|close| close.code.into())));
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                let _ = socket.flush().await;
            }
            Some(Ok(other)) => panic!("a frame that nobody announced: {other:?}"),
            Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                return Err(End(None));
            }
            Some(Err(error)) => panic!("from the server: {error}"),
        }
    }
}
