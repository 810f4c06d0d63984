//! I3: one order within a room, for all viewers on all instances.

use std::collections::HashMap;
use std::sync::Arc;

use super::{texts, two_instances};
use crate::harness::{PlainViewer, Server, Viewer};

const PUBLISHERS: usize = 6;
const EACH: usize = 60;

/// Publishes `EACH` texts to `room`, every one after the one before it was accepted, by way of the servers in turn.
async fn publish(servers: Vec<Arc<Server>>, room: &'static str, publisher: usize) {
    for (number, text) in texts(&format!("p{publisher} "), EACH).iter().enumerate() {
        servers[number % servers.len()].say(room, text).await;
    }
}

/// Asserts that `shown` has every text once, and each publisher's in its order.
fn assert_complete_and_in_each_publishers_order(shown: &[String]) {
    let mut by_publisher: HashMap<&str, Vec<String>> = HashMap::new();
    for text in shown {
        let (publisher, _) = text.split_once(' ').expect("p<publisher> <number>");
        by_publisher
            .entry(publisher)
            .or_default()
            .push(text.clone());
    }
    assert_eq!(by_publisher.len(), PUBLISHERS);
    for (publisher, shown) in by_publisher {
        assert_eq!(
            shown,
            texts(&format!("{publisher} "), EACH),
            "of {publisher}"
        );
    }
}

#[tokio::test]
async fn i3_all_viewers_on_both_instances_see_one_order() {
    let (first, second) = two_instances().await;
    let (first, second) = (Arc::new(first), Arc::new(second));
    let rooms = ["alpha", "beta"];
    let mut viewers = Vec::new();
    for room in rooms {
        for server in [&first, &second] {
            let viewer = Viewer::join(server, &format!("room={room}")).await;
            let plain = PlainViewer::join(server, &format!("room={room}")).await;
            viewers.push((room, viewer, plain));
        }
    }
    let mut publishers = Vec::new();
    for room in rooms {
        for publisher in 0..PUBLISHERS {
            // Two write to one instance each, the third changes with every message.
            let servers = match publisher % 3 {
                0 => vec![Arc::clone(&first)],
                1 => vec![Arc::clone(&second)],
                _ => vec![Arc::clone(&first), Arc::clone(&second)],
            };
            publishers.push(tokio::spawn(publish(servers, room, publisher)));
        }
    }
    let mut seen: HashMap<&str, Vec<Vec<String>>> = HashMap::new();
    for (room, viewer, plain) in &mut viewers {
        let texts = viewer
            .take(PUBLISHERS * EACH)
            .await
            .into_iter()
            .map(|message| message.text)
            .collect();
        seen.entry(room)
            .or_default()
            .extend([texts, plain.take(PUBLISHERS * EACH).await]);
    }
    for publisher in publishers {
        publisher.await.expect("a publisher");
    }
    for orders in seen.values() {
        assert_eq!(orders.len(), 4);
        assert_complete_and_in_each_publishers_order(&orders[0]);
        for order in orders {
            assert_eq!(order, &orders[0]);
        }
    }
}

#[tokio::test]
async fn i3_a_newcomers_history_has_the_order_that_was_shown_live() {
    let server = Arc::new(Server::start(&["--history", "1000"]).await);
    let mut live = Viewer::join(&server, "room=alpha").await;
    let mut publishers = Vec::new();
    for publisher in 0..PUBLISHERS {
        publishers.push(tokio::spawn(publish(
            vec![Arc::clone(&server)],
            "alpha",
            publisher,
        )));
    }
    let shown = live.take(PUBLISHERS * EACH).await;
    for publisher in publishers {
        publisher.await.expect("a publisher");
    }
    let history = Viewer::join(&server, "room=alpha")
        .await
        .take(PUBLISHERS * EACH)
        .await;
    assert_eq!(history, shown);
    let positions: Vec<_> = shown
        .iter()
        .map(|message| message.position.clone())
        .collect();
    let mut distinct = positions.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(
        distinct.len(),
        positions.len(),
        "every message has a position of its own"
    );
}
