//! Who means no good: each gets the right answer, nobody else notices, and memory stays bounded.
//!
//! What breaks the rules of WebSocket frames is in `frames`, foreign origins are in `http::origins`, and what a
//! message may not say is in `http::publishing`.

mod crowds;
mod http2;
mod limits;
mod requests;

use crate::harness::{PlainViewer, Server};

/// A server with somebody who watches all along.
struct Stage {
    server: Server,
    bystander: PlainViewer,
    round: usize,
}

impl Stage {
    async fn new(args: &[&str]) -> Self {
        let server = Server::start(args).await;
        let bystander = PlainViewer::join(&server, "room=den").await;
        Self {
            server,
            bystander,
            round: 0,
        }
    }

    /// Who publishes and watches as ever sees nothing of it.
    async fn nobody_noticed(&mut self, what: &str) {
        self.round += 1;
        let text = format!("round {}", self.round);
        self.server.say("den", &text).await;
        assert_eq!(self.bystander.next().await, text, "after {what}");
    }

    /// Its memory, in bytes.
    async fn memory(&self) -> f64 {
        self.server.metric("process_resident_memory_bytes").await
    }
}
