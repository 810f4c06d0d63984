//! Settings: defaults < file < environment < flags, and clear words about what cannot be understood.

use std::net::TcpListener;

use super::harness::{Ended, Launch, PlainViewer, Server};

/// Asserts that the start was refused as a usage error whose message has all of `names`.
fn assert_refused(ended: &Ended, names: &[&str]) {
    assert_eq!(ended.code, Some(2), "a usage error ends with 2: {ended:?}");
    for name in names {
        assert!(
            ended.stderr.contains(name),
            "the message should name {name}: {}",
            ended.stderr
        );
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "nothing is served");
}

#[tokio::test]
async fn help_shows_every_flag() {
    let ended = Launch::new().without_listen().args(&["--help"]).run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let flags = [
        "--config",
        "--listen",
        "--metrics-listen",
        "--kinesis",
        "--stream",
        "--region",
        "--endpoint-url",
        "--consumer-name",
        "--consumer",
        "--start",
        "--history",
        "--resume-window",
        "--log-memory",
        "--max-rooms",
        "--ready-timeout",
        "--allowed-origins",
        "--embedded-listen",
        "--embedded-shards",
        "--embedded-data",
        "--embedded-creating-time",
        "--embedded-limits",
        "--embedded-consumers",
        "--drain",
    ];
    for flag in flags {
        let shown = ended
            .stdout
            .split([' ', ',', '\n', '=', '['])
            .any(|word| word == flag);
        assert!(shown, "--help should show {flag}:\n{}", ended.stdout);
    }
}

#[tokio::test]
async fn version_is_name_and_number() {
    let ended = Launch::new()
        .without_listen()
        .args(&["--version"])
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.stdout.trim(),
        concat!("chat-room ", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn an_unknown_flag_is_refused() {
    let ended = Launch::new().args(&["--histroy", "5"]).run().await;
    assert_refused(&ended, &["--histroy"]);
}

#[tokio::test]
async fn a_bad_value_of_a_flag_is_refused() {
    assert_refused(
        &Launch::new().args(&["--history", "many"]).run().await,
        &["--history", "many"],
    );
    assert_refused(
        &Launch::new().args(&["--kinesis", "elsewhere"]).run().await,
        &["--kinesis", "elsewhere"],
    );
    assert_refused(
        &Launch::new().args(&["--log-memory", "a-lot"]).run().await,
        &["--log-memory", "a-lot"],
    );
    assert_refused(
        &Launch::new().args(&["--resume-window", "soon"]).run().await,
        &["--resume-window", "soon"],
    );
    assert_refused(
        &Launch::new().args(&["--embedded-shards", "0"]).run().await,
        &["--embedded-shards", "0"],
    );
    assert_refused(
        &Launch::new()
            .args(&["--embedded-limits", "some"])
            .run()
            .await,
        &["--embedded-limits", "some"],
    );
    assert_refused(
        &Launch::new()
            .without_listen()
            .args(&["--listen", "nowhere"])
            .run()
            .await,
        &["--listen", "nowhere"],
    );
}

#[tokio::test]
async fn an_unknown_key_in_the_file_is_refused() {
    let ended = Launch::new()
        .file("chat-room.toml", "histroy = 5\n")
        .run()
        .await;
    assert_refused(&ended, &["histroy", "chat-room.toml"]);
}

#[tokio::test]
async fn a_bad_value_in_the_file_is_refused() {
    let ended = Launch::new()
        .file("chat-room.toml", "history = \"many\"\n")
        .run()
        .await;
    assert_refused(&ended, &["history", "many", "chat-room.toml"]);
    let ended = Launch::new()
        .file("chat-room.toml", "this is no TOML")
        .run()
        .await;
    assert_refused(&ended, &["chat-room.toml"]);
}

#[tokio::test]
async fn a_file_that_is_named_and_missing_is_refused() {
    let ended = Launch::new()
        .args(&["--config", "not-there.toml"])
        .run()
        .await;
    assert_refused(&ended, &["not-there.toml"]);
}

#[tokio::test]
async fn an_unknown_variable_is_refused() {
    let ended = Launch::new().env("CHAT_ROOM_HISTROY", "5").run().await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.to_lowercase().contains("histroy"),
        "the key: {}",
        ended.stderr
    );
    let source = ended.stderr.to_lowercase();
    assert!(
        source.contains("environment") || source.contains("chat_room_histroy"),
        "the source: {}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_bad_value_of_a_variable_is_refused() {
    let ended = Launch::new().env("CHAT_ROOM_HISTORY", "many").run().await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let source = ended.stderr.to_lowercase();
    assert!(
        source.contains("history") && source.contains("many"),
        "key and value: {}",
        ended.stderr
    );
    assert!(
        source.contains("environment") || source.contains("chat_room_history"),
        "the source: {}",
        ended.stderr
    );
}

/// Asserts that a newcomer is shown so many of five messages.
async fn assert_history(server: &Server, expected: usize, whose: &str) {
    let mut live = PlainViewer::join(server, "").await;
    let texts: Vec<_> = (0..5).map(|number| number.to_string()).collect();
    server.say_all("lobby", &texts).await;
    live.until("4").await;
    let mut late = PlainViewer::join(server, "").await;
    // Only what was shown tells that it has joined: what is said before may be history as well.
    assert_eq!(late.take(expected).await, texts[5 - expected..], "{whose}");
    server.say("lobby", "end").await;
    assert_eq!(late.next().await, "end", "{whose}");
}

#[tokio::test]
async fn flags_go_before_the_environment_and_that_before_the_file() {
    let file = "history = 1\n";
    let server = Launch::new().file("chat-room.toml", file).start().await;
    assert_history(&server, 1, "the file").await;
    let server = Launch::new()
        .file("chat-room.toml", file)
        .env("CHAT_ROOM_HISTORY", "2")
        .start()
        .await;
    assert_history(&server, 2, "the environment").await;
    let launch = Launch::new()
        .file("chat-room.toml", file)
        .env("CHAT_ROOM_HISTORY", "2");
    let server = launch.args(&["--history", "3"]).start().await;
    assert_history(&server, 3, "the flag").await;
    let launch = Launch::new()
        .file("chat-room.toml", file)
        .file("other.toml", "history = 4\n");
    let server = launch.args(&["--config", "other.toml"]).start().await;
    assert_history(&server, 4, "the file that was named").await;
}

#[tokio::test]
async fn every_flag_has_its_variable() {
    let server = Launch::new()
        .without_listen()
        .env("CHAT_ROOM_LISTEN", "127.0.0.1:0")
        .env("CHAT_ROOM_EMBEDDED_SHARDS", "3")
        .env("CHAT_ROOM_LOG_MEMORY", "64MiB")
        .env("CHAT_ROOM_RESUME_WINDOW", "30s")
        .start()
        .await;
    server.say("lobby", "hello").await;
}

#[tokio::test]
async fn an_address_in_use_is_a_failure_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let ended = Launch::new().listen(address).run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains(&address.to_string()),
        "the address: {}",
        ended.stderr
    );
}
