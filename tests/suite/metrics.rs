//! What clients can and cannot do to the metrics.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;

use super::harness::{Server, Viewer};

/// Whatever a client can choose, chosen with `word` in it.
async fn try_everything(server: &Server, word: &str) {
    let methods = ["GET", "POST", "DELETE", word];
    for method in methods.map(|method| Method::from_bytes(method.as_bytes()).expect("a method")) {
        for path in [
            "/",
            "/chat-messages",
            "/websockets/chat-messages",
            &format!("/{word}"),
        ] {
            let sent = server
                .client()
                .request(
                    method.clone(),
                    server.url(&format!("{path}?room={word}&{word}={word}")),
                )
                .header("Origin", format!("https://{word}.example"))
                .header("User-Agent", word)
                .header("traceparent", word)
                .header("Content-Type", format!("application/{word}"))
                .body(word.to_owned())
                .send();
            sent.await.expect("an answer");
        }
    }
    for text in [word, "\u{7}"] {
        let message = json!({ "room": word, "name": word, "text": text, word: word });
        server.post(&message).await;
    }
    server
        .post(&json!({ "room": format!("{word}/"), "text": word }))
        .await;
    let query = format!("room={word}&after={word}");
    let mut viewer = Viewer::join(server, &query).await;
    server.say(word, "seen").await;
    viewer.until("seen").await;
}

/// The time series: names with labels.
async fn series(server: &Server) -> BTreeSet<String> {
    let metrics = server.metrics().await;
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let series = lines.filter_map(|line| line.rsplit_once(' '));
    series.map(|(name, _)| name.to_owned()).collect()
}

#[tokio::test]
async fn no_client_makes_a_time_series_of_its_own() {
    let server = Server::start(&[]).await;
    try_everything(&server, "aardvark").await;
    series(&server).await;
    let before = series(&server).await;
    for word in ["badger", "capybara", "dormouse"] {
        try_everything(&server, word).await;
    }
    let after = series(&server).await;
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
    for word in ["aardvark", "badger"] {
        let named = after.iter().find(|name| name.to_lowercase().contains(word));
        assert_eq!(named, None, "chosen by a client");
    }
    server.stop().await;
}
