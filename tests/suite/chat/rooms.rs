//! Publishing, receiving, rooms, history.

use serde_json::json;
use uuid::Uuid;

use super::{caught_up, texts, two_instances};
use crate::harness::{PlainViewer, Server, Viewer};

#[tokio::test]
async fn a_message_is_shown_with_all_that_was_said_of_it() {
    let server = Server::start(&[]).await;
    let mut viewer = Viewer::join(&server, "room=den").await;
    assert_eq!(viewer.joined.room, "den");
    let id = Uuid::new_v4().to_string();
    let receipt = server
        .publish(&json!({"text": "hello", "room": "den", "name": "Ada", "id": id}))
        .await;
    assert_eq!(
        (receipt.id.as_str(), receipt.room.as_str()),
        (id.as_str(), "den")
    );
    let shown = viewer.next().await;
    assert_eq!(shown.id, id);
    assert_eq!(shown.room, "den");
    assert_eq!(shown.name.as_deref(), Some("Ada"));
    assert_eq!(shown.text, "hello");
    assert_eq!(
        shown.position, receipt.position,
        "what the 202 says and what is shown"
    );
    let time = shown.time.as_bytes();
    assert!(
        time.len() == "2026-11-23T19:12:10.123Z".len()
            && time[10] == b'T'
            && time[19] == b'.'
            && time[23] == b'Z',
        "RFC 3339 in UTC with milliseconds: {}",
        shown.time
    );
}

#[tokio::test]
async fn a_receipt_has_an_id_a_room_and_a_position() {
    let server = Server::start(&[]).await;
    let receipt = server.publish(&json!({"text": "hello"})).await;
    assert_eq!(receipt.room, "lobby", "the room when none is named");
    assert!(
        Uuid::parse_str(&receipt.id).is_ok(),
        "an id made by the server is a UUID too: {}",
        receipt.id
    );
    let (sequence, index) = receipt
        .position
        .split_once('.')
        .expect("<sequenceNumber>.<index>");
    assert!(
        !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit()),
        "{}",
        receipt.position
    );
    assert!(index.parse::<u32>().is_ok(), "{}", receipt.position);
    let mut viewer = Viewer::join(&server, "").await;
    assert_eq!(
        viewer.joined.room, "lobby",
        "the room when none is asked for"
    );
    assert_eq!(viewer.next().await.id, receipt.id);
}

#[tokio::test]
async fn every_kind_of_text_arrives_as_it_was_sent() {
    let server = Server::start(&[]).await;
    let mut viewer = Viewer::join(&server, "room=texts").await;
    let mut plain = PlainViewer::join(&server, "room=texts").await;
    let kinds = [
        "\"quoted\" \\ back\\slashed / slashed".to_owned(),
        "two\nlines\tand a tab".to_owned(),
        "<img src=x onerror=alert(1)> & </script>".to_owned(),
        "ä€𝄞 👩‍👩‍👧 \u{2028}\u{2029} \u{feff} العربية".to_owned(),
        "{\"type\":\"joined\"}".to_owned(),
        "x".repeat(2000),
        "𝄞".repeat(2000),
    ];
    for text in &kinds {
        server.say("texts", text).await;
        assert_eq!(&viewer.next().await.text, text);
        assert_eq!(&plain.next().await, text);
    }
}

#[tokio::test]
async fn rooms_are_apart_on_both_of_two_instances() {
    let (first, second) = two_instances().await;
    let rooms: Vec<String> = (0..9).map(|number| format!("room-{number}")).collect();
    let mut viewers = Vec::new();
    for room in &rooms {
        for server in [&first, &second] {
            viewers.push((room, Viewer::join(server, &format!("room={room}")).await));
        }
    }
    for round in 0..10 {
        for (number, room) in rooms.iter().enumerate() {
            let server = if (round + number) % 2 == 0 {
                &first
            } else {
                &second
            };
            server.say(room, &format!("{room} {round}")).await;
        }
    }
    for (room, viewer) in &mut viewers {
        let shown = viewer.take(10).await;
        let texts: Vec<_> = shown.iter().map(|message| message.text.clone()).collect();
        let wanted: Vec<_> = (0..10).map(|round| format!("{room} {round}")).collect();
        assert_eq!(texts, wanted);
        assert!(shown.iter().all(|message| message.room == **room));
    }
}

#[tokio::test]
async fn a_newcomer_gets_the_last_hundred_on_both_instances() {
    let (first, second) = two_instances().await;
    let sent = texts("m", 120);
    first.say_all("late", &sent).await;
    let marker = caught_up(&[&first, &second], "late").await;
    let mut wanted: Vec<_> = sent.iter().cloned().chain([marker]).collect();
    for (name, server) in [("first", &first), ("second", &second)] {
        // What was said last is there too before the next one joins.
        wanted.push(caught_up(&[&first, &second], "late").await);
        let mut viewer = Viewer::join(server, "room=late").await;
        server.say("late", name).await;
        let history: Vec<_> = viewer
            .until(name)
            .await
            .into_iter()
            .map(|message| message.text)
            .collect();
        assert_eq!(history, wanted[wanted.len() - 100..], "the {name} instance");
        wanted.push(name.to_owned());
    }
}

#[tokio::test]
async fn less_history_can_be_asked_for() {
    let server = Server::start(&[]).await;
    let sent = texts("m", 30);
    server.say_all("late", &sent).await;
    let marker = caught_up(&[&server], "late").await;
    for asked in [0, 1, 7, 31, 1000] {
        let mut viewer = Viewer::join(&server, &format!("room=late&history={asked}")).await;
        let mut plain = PlainViewer::join(&server, &format!("room=late&history={asked}")).await;
        let last = format!("after {asked}");
        server.say("late", &last).await;
        let all: Vec<_> = sent.iter().cloned().chain([marker.clone()]).collect();
        let earlier = [0, 1, 7, 31]
            .iter()
            .filter(|&&number| number < asked)
            .map(|number| format!("after {number}"));
        let all: Vec<_> = all.into_iter().chain(earlier).collect();
        let wanted = &all[all.len() - asked.min(all.len())..];
        let shown: Vec<_> = viewer
            .until(&last)
            .await
            .into_iter()
            .map(|message| message.text)
            .collect();
        assert_eq!(shown, wanted, "history={asked}");
        assert_eq!(plain.until(&last).await, wanted, "history={asked}, plain");
    }
}

#[tokio::test]
async fn a_setting_limits_the_history_of_all() {
    let server = Server::start(&["--history", "5"]).await;
    let sent = texts("m", 9);
    server.say_all("late", &sent).await;
    let marker = caught_up(&[&server], "late").await;
    let mut viewer = Viewer::join(&server, "room=late").await;
    let mut greedy = PlainViewer::join(&server, "room=late&history=50").await;
    server.say("late", "last").await;
    let wanted: Vec<_> = sent[5..].iter().cloned().chain([marker]).collect();
    let shown: Vec<_> = viewer
        .until("last")
        .await
        .into_iter()
        .map(|message| message.text)
        .collect();
    assert_eq!(shown, wanted);
    assert_eq!(
        greedy.until("last").await,
        wanted,
        "more than the setting is not to be had"
    );
}

#[tokio::test]
async fn an_instance_that_starts_later_has_the_history_too() {
    let first = Server::start_sharing(&["--embedded-shards", "3"]).await;
    let sent = texts("m", 40);
    for room in ["a", "b", "c", "d"] {
        first.say_all(room, &sent).await;
    }
    let second = Server::start_beside(&first, &[]).await;
    for room in ["a", "b", "c", "d"] {
        let mut viewer = Viewer::join(&second, &format!("room={room}")).await;
        let history: Vec<_> = viewer
            .take(40)
            .await
            .into_iter()
            .map(|message| message.text)
            .collect();
        assert_eq!(history, sent, "{room}");
    }
}
