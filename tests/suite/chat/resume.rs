//! Coming back with `after`: exactly what was missed, on any instance.

use std::sync::Arc;

use super::{caught_up, two_instances};
use crate::harness::{Server, Shown, Viewer};

/// Publishes `count` messages to `room` at once, so that many of them share records and frames; gives them as they are shown.
async fn burst(server: &Arc<Server>, room: &'static str, count: usize) -> Vec<Shown> {
    let mut viewer = Viewer::join(server, &format!("room={room}&history=0")).await;
    let mut posts = Vec::new();
    for number in 0..count {
        let server = Arc::clone(server);
        posts.push(tokio::spawn(async move {
            server.say(room, &format!("m{number}")).await
        }));
    }
    let shown = viewer.take(count).await;
    for post in posts {
        let receipt = post.await.expect("a POST");
        assert!(
            shown
                .iter()
                .any(|message| message.id == receipt.id && message.position == receipt.position),
            "the 202 said {receipt:?}, which nobody was shown"
        );
    }
    shown
}

/// Joins after `position` and takes what comes up to `marker`.
async fn missed(server: &Server, room: &str, position: &str, marker: &str) -> Vec<Shown> {
    let mut viewer = Viewer::join(server, &format!("room={room}&after={position}")).await;
    assert!(
        viewer.joined.recovered,
        "after {position}: {:?}",
        viewer.joined
    );
    viewer.until(marker).await
}

#[tokio::test]
async fn i1_a_viewer_that_comes_back_gets_exactly_what_it_missed_on_either_instance() {
    let (first, second) = two_instances().await;
    let first = Arc::new(first);
    let shown = burst(&first, "den", 200).await;
    let indices: Vec<_> = shown
        .iter()
        .map(|message| message.position.split_once('.').unwrap().1)
        .collect();
    assert!(
        indices.iter().any(|&index| index != "0"),
        "200 POSTs at once should share records, or this test shows nothing: {indices:?}"
    );
    let marker = caught_up(&[&second, &first], "den").await;
    for server in [&*first, &second] {
        for (number, message) in shown.iter().enumerate().step_by(7) {
            let missed = missed(server, "den", &message.position, &marker).await;
            assert_eq!(
                missed,
                shown[number + 1..],
                "after message {number}, {}",
                message.position
            );
        }
    }
}

#[tokio::test]
async fn more_than_the_history_is_resumed() {
    let server = Arc::new(Server::start(&["--history", "3"]).await);
    let shown = burst(&server, "den", 60).await;
    let marker = caught_up(&[&server], "den").await;
    assert_eq!(
        missed(&server, "den", &shown[0].position, &marker).await,
        shown[1..]
    );
}

#[tokio::test]
async fn the_position_of_a_202_is_one_to_resume_from_at_once_on_either_instance() {
    let (first, second) = two_instances().await;
    for round in 0..10 {
        let receipt = first.say("den", &format!("seen {round}")).await;
        // The second instance may not have read that far: then it waits, and sends nothing up to and with it.
        let query = format!("room=den&after={}", receipt.position);
        let viewers = tokio::join!(Viewer::join(&first, &query), Viewer::join(&second, &query));
        let next = format!("next {round}");
        first.say("den", &next).await;
        for mut viewer in [viewers.0, viewers.1] {
            assert!(viewer.joined.recovered, "{:?}", viewer.joined);
            assert_eq!(viewer.until(&next).await, [], "round {round}");
        }
    }
}

#[tokio::test]
async fn an_empty_room_has_a_position_to_resume_from() {
    let (first, second) = two_instances().await;
    for room in ["empty-a", "empty-b", "empty-c", "empty-d"] {
        let position = Viewer::join(&first, &format!("room={room}"))
            .await
            .joined
            .position;
        first.say(room, "missed").await;
        for server in [&first, &second] {
            let mut viewer = Viewer::join(server, &format!("room={room}&after={position}")).await;
            assert!(viewer.joined.recovered, "{room}: {:?}", viewer.joined);
            assert_eq!(viewer.next().await.text, "missed", "{room}");
        }
    }
}

#[tokio::test]
async fn the_joined_frame_tells_where_to_resume_before_any_message_came() {
    let server = Arc::new(Server::start(&[]).await);
    burst(&server, "den", 20).await;
    let marker = caught_up(&[&server], "den").await;
    let mut viewer = Viewer::join(&server, "room=den").await;
    let position = viewer.joined.position.clone();
    let history = viewer.until(&marker).await;
    assert_eq!(history.len(), 20);
    let resumed = missed(&server, "den", &history[4].position, &marker).await;
    assert_eq!(resumed, history[5..]);
    // Whether it counts the history as shown or as still to come: nothing that was sent after it is left out.
    server.say("den", "later").await;
    let mut again = Viewer::join(&server, &format!("room=den&after={position}")).await;
    assert!(again.joined.recovered, "{:?}", again.joined);
    again.until("later").await;
}

#[tokio::test]
async fn a_position_that_is_none_gets_the_newest_history_unrecovered() {
    let server = Arc::new(Server::start(&["--history", "10"]).await);
    let shown = burst(&server, "den", 30).await;
    let number = shown[0].position.split_once('.').unwrap().0.to_owned();
    let malformed = [
        "nonsense".to_owned(),
        String::new(),
        number.clone(),
        format!("{number}."),
        format!("{number}.x"),
        format!("-{number}.0"),
        format!("{number}{number}.0"),
        format!("{number}.99999999999999999999"),
        "%00".to_owned(),
    ];
    for position in malformed {
        let mut viewer = Viewer::join(&server, &format!("room=den&after={position}")).await;
        assert!(
            !viewer.joined.recovered,
            "after {position:?}: {:?}",
            viewer.joined
        );
        assert_eq!(viewer.take(10).await, shown[20..], "after {position:?}");
    }
}

#[tokio::test]
async fn a_position_of_another_stream_gets_the_newest_history_unrecovered() {
    let server = Arc::new(Server::start(&["--history", "10"]).await);
    let shown = burst(&server, "den", 30).await;
    let number = shown[0].position.split_once('.').unwrap().0;
    // Long before anything this stream ever had, and long after.
    let first = number.as_bytes()[0];
    assert!(first < b'9', "{number}");
    let ahead = format!("{}{}.0", char::from(first + 1), &number[1..]);
    for position in ["1.0".to_owned(), ahead] {
        let mut viewer = Viewer::join(&server, &format!("room=den&after={position}")).await;
        assert!(
            !viewer.joined.recovered,
            "after {position}: {:?}",
            viewer.joined
        );
        assert_eq!(viewer.take(10).await, shown[20..], "after {position}");
    }
}

#[tokio::test]
async fn i1_a_viewer_resumes_on_an_instance_that_was_started_anew() {
    let first = Arc::new(Server::start_sharing(&["--embedded-shards", "3"]).await);
    let second = Server::start_beside(&first, &[]).await;
    let mut viewer = Viewer::join(&second, "room=den").await;
    let shown = burst(&first, "den", 40).await;
    assert_eq!(viewer.take(40).await, shown);
    second.stop().await;
    first.say("den", "meanwhile").await;
    let second = Server::start_beside(&first, &[]).await;
    let marker = caught_up(&[&second, &first], "den").await;
    let missed = missed(&second, "den", &shown[30].position, &marker).await;
    assert_eq!(missed[..9], shown[31..]);
    assert_eq!(
        missed[9..]
            .iter()
            .map(|message| message.text.as_str())
            .collect::<Vec<_>>(),
        ["meanwhile"]
    );
}
