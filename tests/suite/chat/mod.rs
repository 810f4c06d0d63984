//! The chat itself: what is posted is seen, once, in order, by everybody in the room, on every instance.

mod limits;
mod order;
mod repeats;
mod resume;
mod rooms;
mod stop;

use super::harness::{Server, Viewer};

/// Two instances on one stream of three shards.
async fn two_instances() -> (Server, Server) {
    let first = Server::start_sharing(&["--embedded-shards", "3"]).await;
    let second = Server::start_beside(&first, &[]).await;
    (first, second)
}

/// `count` texts that can be told apart.
fn texts(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

/// Waits until each of `servers` has read all that was accepted for `room` so far, by a marker that each of them shows.
/// Gives the marker's text.
async fn caught_up(servers: &[&Server], room: &str) -> String {
    let mut viewers = Vec::new();
    for server in servers {
        viewers.push(Viewer::join(server, &format!("room={room}&history=0")).await);
    }
    let marker = format!("marker {}", uuid::Uuid::new_v4());
    servers[0].say(room, &marker).await;
    for viewer in &mut viewers {
        viewer.until(&marker).await;
    }
    marker
}
