//! `chat-room doctor`: a line for each check, and an exit code that says whether all is well.

use super::harness::{Ended, Launch, Server, kinesis_local};

async fn examine(launch: Launch, args: &[&str]) -> Ended {
    launch
        .without_listen()
        .args(&["doctor"])
        .args(args)
        .run()
        .await
}

/// The mark of the line about that.
fn mark<'a>(ended: &'a Ended, what: &str) -> &'a str {
    let about = format!(" {what}: ");
    let line = ended.stdout.lines().find(|line| line.contains(&about));
    line.and_then(|line| line.split(' ').next())
        .unwrap_or_else(|| panic!("nothing about {what}: {ended:?}"))
}

#[tokio::test]
async fn the_embedded_stream_is_well() {
    let ended = examine(Launch::new(), &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for what in [
        "credentials",
        "stream",
        "distribution",
        "retention",
        "shards",
        "consumers",
    ] {
        assert_eq!(mark(&ended, what), "ok", "{ended:?}");
    }
    for line in ended.stdout.lines() {
        let marks = ["ok ", "warn ", "fail "];
        assert!(marks.iter().any(|mark| line.starts_with(mark)), "{line}");
    }
}

#[tokio::test]
async fn a_stream_over_the_wire_is_examined_without_leaving_a_trace() {
    let server = Server::start_sharing(&[]).await;
    let before = server.metrics().await;
    let ended = examine(Launch::on_kinesis_at(server.kinesis()), &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for what in [
        "PutRecords",
        "SubscribeToShard",
        "GetShardIterator, GetRecords",
        "DeregisterStreamConsumer",
        "DescribeStreamConsumer",
        "ListStreamConsumers",
        "ListTagsForResource",
    ] {
        let what = format!("permission {what}");
        assert_eq!(mark(&ended, &what), "ok", "{ended:?}");
    }
    let records = |metrics: &str| {
        let mut lines = metrics.lines();
        let line = lines.find(|line| line.starts_with("chat_room_consumer_records_total"));
        line.map(str::to_owned)
    };
    server.say("lobby", "one record").await;
    let after = server.metrics().await;
    assert_ne!(records(&after), records(&before));
    assert!(
        records(&after).is_some_and(|line| line.ends_with(" 1")),
        "{after}"
    );
}

#[tokio::test]
async fn a_missing_stream_is_told_with_what_to_do_by_the_doctor_and_at_the_start() {
    let server = Server::start_sharing(&[]).await;
    let args = ["--stream", "elsewhere"];
    let ended = examine(Launch::on_kinesis_at(server.kinesis()), &args).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(mark(&ended, "stream"), "fail");
    let advice = "none of that name in region us-east-1 at http://127.0.0.1:";
    assert!(ended.stdout.contains(advice), "{ended:?}");
    let ended = Launch::on_kinesis_at(server.kinesis())
        .args(&args)
        .run()
        .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(advice), "{ended:?}");
}

#[tokio::test]
async fn without_credentials_doctor_and_start_say_so() {
    let server = Server::start_sharing(&[]).await;
    let bare = || {
        Launch::on_kinesis_at(server.kinesis())
            .env("AWS_ACCESS_KEY_ID", "")
            .env("AWS_SECRET_ACCESS_KEY", "")
    };
    let ended = examine(bare(), &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(mark(&ended, "credentials"), "fail");
    let ended = bare().run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told = "no credentials were found";
    assert!(ended.stderr.contains(told), "{ended:?}");
}

#[tokio::test]
async fn a_host_that_nobody_knows_ends_the_start() {
    let args = [
        "--kinesis",
        "aws",
        "--region",
        "eu-nowhere-1",
        "--endpoint-url",
        "http://kinesis.eu-nowhere-1.invalid",
    ];
    let ended = examine(Launch::new().args(&args), &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(mark(&ended, "connection"), "fail");
    let ended = Launch::new().args(&args).run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told = "the name of the host is not known";
    assert_eq!(ended.stderr.matches(told).count(), 1 + logged(&ended, told));
}

/// How many log lines hold that.
fn logged(ended: &Ended, text: &str) -> usize {
    let lines = ended.stderr.lines();
    lines
        .filter(|line| !line.starts_with("chat-room: ") && line.contains(text))
        .count()
}

#[tokio::test]
async fn another_kinesis_is_examined_too() {
    let (_kinesis, address) = kinesis_local(1, &[]).await;
    let ended = examine(Launch::on_kinesis_at(address), &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // It does not know DryRun.
    assert_eq!(mark(&ended, "permission SubscribeToShard"), "warn");
}
