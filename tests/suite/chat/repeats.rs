//! I2: a message is shown once, however often it was posted.

use serde_json::json;
use uuid::Uuid;

use super::two_instances;
use crate::harness::{Server, Viewer};

#[tokio::test]
async fn i2_a_message_posted_twice_is_shown_once() {
    let server = Server::start(&[]).await;
    let mut viewer = Viewer::join(&server, "room=den").await;
    let id = Uuid::new_v4().to_string();
    let message = json!({"text": "once", "room": "den", "id": id});
    let receipts = [
        server.publish(&message).await,
        server.publish(&message).await,
    ];
    assert!(receipts.iter().all(|receipt| receipt.id == id));
    server.say("den", "end").await;
    let shown = viewer.until("end").await;
    assert_eq!(shown.len(), 1, "{shown:?}");
    let mut late = Viewer::join(&server, "room=den").await;
    assert_eq!(
        late.until("end").await,
        shown,
        "nor is it twice in the history"
    );
}

#[tokio::test]
async fn i2_a_message_posted_to_both_instances_is_shown_once_on_both() {
    let (first, second) = two_instances().await;
    let mut viewers = [
        Viewer::join(&first, "room=den").await,
        Viewer::join(&second, "room=den").await,
    ];
    let mut ids = Vec::new();
    for round in 0..20 {
        let id = Uuid::new_v4().to_string();
        let message = json!({"text": format!("once {round}"), "room": "den", "id": id});
        let (one, other) = tokio::join!(first.publish(&message), second.publish(&message));
        assert_eq!((&one.id, &other.id), (&id, &id));
        ids.push(id);
    }
    second.say("den", "end").await;
    for viewer in &mut viewers {
        let shown: Vec<_> = viewer
            .until("end")
            .await
            .into_iter()
            .map(|message| message.id)
            .collect();
        assert_eq!(shown, ids);
    }
}

#[tokio::test]
async fn i2_the_first_of_two_texts_under_one_id_wins() {
    let server = Server::start(&[]).await;
    let mut viewer = Viewer::join(&server, "room=den").await;
    let id = Uuid::new_v4().to_string();
    server
        .publish(&json!({"text": "first", "room": "den", "id": id}))
        .await;
    server
        .publish(&json!({"text": "second", "room": "den", "id": id}))
        .await;
    server.say("den", "end").await;
    let shown: Vec<_> = viewer
        .until("end")
        .await
        .into_iter()
        .map(|message| message.text)
        .collect();
    assert_eq!(shown, ["first"]);
}

#[tokio::test]
async fn an_id_counts_within_its_room_only() {
    let server = Server::start(&["--embedded-shards", "3"]).await;
    let id = Uuid::new_v4().to_string();
    for room in ["a", "b", "c"] {
        let mut viewer = Viewer::join(&server, &format!("room={room}")).await;
        server
            .publish(&json!({"text": "mine", "room": room, "id": id}))
            .await;
        assert_eq!(viewer.next().await.id, id, "{room}");
    }
}
