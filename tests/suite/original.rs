//! The original's own client works unchanged: it POSTs `{"text": …}` and shows every text frame as it comes.

use reqwest::StatusCode;

use super::harness::{PlainViewer, Server};

#[tokio::test]
async fn the_originals_page_posts_a_text_and_reads_texts() {
    let server = Server::start(&[]).await;
    let address = server.address();
    let mut viewer = PlainViewer::join(&server, "").await;
    // As a browser's XMLHttpRequest sends it from a page of the same origin.
    let answer = server
        .client()
        .post(server.url("/chat-messages"))
        .header("Content-Type", "application/json;charset=UTF-8")
        .header("Origin", format!("http://{address}"))
        .header("Referer", format!("http://{address}/"))
        .header("Accept", "*/*")
        .body(r#"{"text":"hello from 2019"}"#)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(
        viewer.next().await,
        "hello from 2019",
        "nothing but the text"
    );
}

#[tokio::test]
async fn the_last_hundred_texts_come_first() {
    let server = Server::start(&[]).await;
    let mut live = PlainViewer::join(&server, "").await;
    let texts: Vec<_> = (0..130).map(|number| format!("text {number}")).collect();
    server.say_all("lobby", &texts).await;
    assert_eq!(live.take(130).await, texts);
    let mut late = PlainViewer::join(&server, "").await;
    assert_eq!(late.take(100).await, texts[30..]);
    server.say("lobby", "and on").await;
    assert_eq!(late.next().await, "and on");
}
