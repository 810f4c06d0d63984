//! Instances that die and leave their registered consumers behind.

use std::net::Ipv4Addr;
use std::time::Duration;

use chat_room::consumer::{self, Mode, Start};
use chat_room::embedded::{self, Service};
use chat_room::kinesis::{self, Endpoint};
use chat_room::log::{self, Log};
use chat_room::producer;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::{DEADLINE, Launch, call_kinesis};

/// In place of ten minutes. A heartbeat must come within a third of it, also on a slow machine.
const SILENCE: Duration = Duration::from_secs(3);

async fn call(address: std::net::SocketAddr, operation: &str, body: Value) -> Value {
    let text = call_kinesis(address, operation, &body).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{operation}: {text}: {error}"))
}

/// The program itself dies; who judges is the same consumer in this process, with its times made short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consumer_of_an_instance_that_was_killed_is_reaped_and_another_services_is_not() {
    let service = Service::new(embedded::Config::default());
    service.create_stream_if_missing("messages", 2).unwrap();
    let listener = service.listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr();
    let args = ["--consumer", "enhanced", "--consumer-name", "victim"];
    let mut victim = Launch::on_kinesis_at(address).args(&args).start().await;
    let stream = call(
        address,
        "DescribeStreamSummary",
        json!({"StreamName": "messages"}),
    )
    .await;
    let stream = stream["StreamDescriptionSummary"]["StreamARN"].clone();
    // Somebody else's, of a name as we would give it, but without our tag.
    let theirs = json!({"StreamARN": stream, "ConsumerName": "chat-room-of-theirs", "Tags": {"owner": "them"}});
    call(address, "RegisterStreamConsumer", theirs).await;
    let registered = async || {
        let listed = call(address, "ListStreamConsumers", json!({"StreamARN": stream})).await;
        let listed = listed["Consumers"].as_array().expect("consumers").clone();
        let name = |consumer: &Value| consumer["ConsumerName"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = listed.iter().map(name).collect();
        names.sort_unstable();
        let arn = |wanted: &str| {
            let found = listed.iter().find(|consumer| name(consumer) == wanted);
            found.map(|consumer| consumer["ConsumerARN"].clone())
        };
        (names, arn("victim"))
    };
    let (_, arn) = registered().await;
    let tags = call(address, "ListTagsForResource", json!({"ResourceARN": arn})).await;
    for tag in [
        "chat-room:instance",
        "chat-room:started",
        "chat-room:version",
    ] {
        assert!(tags.to_string().contains(tag), "{tag}: {tags}");
    }
    victim.signal(Signal::KILL);
    victim.ended().await;

    let config = kinesis::Config::new("messages", Endpoint::InProcess(service.http_client()));
    let kinesis = kinesis::connect(&config).await.unwrap();
    let (publisher, producer) = producer::start(kinesis.clone(), producer::Config::default());
    let (log, _news) = Log::new(log::Config::default());
    let config = consumer::Config {
        mode: Mode::Enhanced,
        name: Some("judge".to_owned()),
        start: Start::TrimHorizon,
        orphan_silence: SILENCE,
        ..consumer::Config::default()
    };
    let judge = consumer::start(kinesis, log, config).await.unwrap();
    let begin = Instant::now();
    let left = loop {
        let own = judge.facts().borrow().heartbeat();
        publisher.announce(&own).await.unwrap();
        let (names, _) = registered().await;
        if !names.contains(&"victim".to_owned()) {
            break names;
        }
        assert!(begin.elapsed() < DEADLINE, "never reaped: {names:?}");
        sleep(SILENCE / 30).await;
    };
    assert!(
        begin.elapsed() >= SILENCE,
        "too early: {:?}",
        begin.elapsed()
    );
    assert_eq!(left, ["chat-room-of-theirs", "judge"]);
    let limit = Duration::from_secs(5);
    judge.stop(limit).await;
    producer.stop(limit).await;
    listener.stop().await;
}

/// So many less than the service's 20 that there is hardly a place left.
const NEARLY_ALL: usize = 17;

#[tokio::test]
async fn that_hardly_another_consumer_can_be_registered_is_told_before_none_can() {
    let holder = super::Holder::start(&[]).await;
    let address = holder.server.kinesis();
    let stream = call(
        address,
        "DescribeStreamSummary",
        json!({"StreamName": "messages"}),
    )
    .await;
    let stream = stream["StreamDescriptionSummary"]["StreamARN"].clone();
    for number in 0..NEARLY_ALL {
        let another = json!({"StreamARN": stream, "ConsumerName": format!("another-{number}")});
        call(address, "RegisterStreamConsumer", another).await;
    }
    let beside = holder.beside(&["--consumer", "enhanced"]).start().await;
    let words =
        "deregister those that nobody uses, or start further instances with --consumer polling";
    assert!(beside.log().contains(words), "{}", beside.log());
}
