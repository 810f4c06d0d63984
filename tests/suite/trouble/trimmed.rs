//! An instance that was away until what it had yet to read was gone.

use serde_json::json;

use super::Holder;
use crate::harness::{Viewer, eventually};

fn texts(what: &str) -> Vec<String> {
    (0..5).map(|number| format!("{what} {number}")).collect()
}

async fn shows(viewer: &mut Viewer, expected: &[String]) {
    let shown = viewer.take(expected.len()).await;
    let shown: Vec<_> = shown.into_iter().map(|shown| shown.text).collect();
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn what_was_trimmed_before_it_was_read_is_told_and_all_that_is_kept_is_shown() {
    let holder = Holder::start(&[]).await;
    let first = &holder.server;
    let beside = holder.beside(&["--consumer", "enhanced", "--consumer-name", "beside"]);
    let beside = beside.start().await;
    let mut viewers = [
        Viewer::join(first, "room=den").await,
        Viewer::join(&beside, "room=den").await,
    ];
    let mut sent = texts("read");
    let before = first.say_all("den", &sent).await.pop().unwrap().position;
    for viewer in &mut viewers {
        shows(viewer, &sent).await;
    }
    // It cannot subscribe any more, and meanwhile messages come and go.
    let away = json!({"rule": [
        {"fault": "throttle", "operation": "SubscribeToShard", "consumer": "beside"},
        {"fault": "early-end", "consumer": "beside", "times": 1},
    ]});
    holder.add(&away).await;
    eventually("it is away", || async {
        holder.count("throttle").await > 0
    })
    .await;
    let lost = texts("lost");
    first.say_all("den", &lost).await;
    shows(&mut viewers[0], &lost).await;
    holder.add(&json!({"fault": "trim"})).await;
    assert_eq!(holder.count("trim").await, 1);
    let kept = texts("kept");
    let after = first
        .say_all("den", &kept[..1])
        .await
        .pop()
        .unwrap()
        .position;
    first.say_all("den", &kept[1..]).await;
    holder.clear().await;

    for viewer in &mut viewers {
        shows(viewer, &kept).await;
    }
    let restarts = "chat_room_consumer_restarts_at_trim_horizon_total";
    assert!(beside.metric(restarts).await >= 1.0);
    assert!(beside.log().contains("the position is past retention"));
    assert!(!first.log().contains("past retention"));
    // There is a gap, and nobody is told that there is none.
    sent.extend(lost);
    sent.extend(kept.clone());
    for (server, after, recovered) in [
        (first, &before, true),
        (&beside, &before, false),
        (&beside, &after, true),
    ] {
        let query = format!("room=den&after={after}");
        let mut viewer = Viewer::join(server, &query).await;
        assert_eq!(viewer.joined.recovered, recovered, "{after}");
        let expected = match recovered {
            true if after == &before => &sent[5..],
            true => &kept[1..],
            false => &[sent[..5].to_vec(), kept.clone()].concat(),
        };
        shows(&mut viewer, expected).await;
    }
}
