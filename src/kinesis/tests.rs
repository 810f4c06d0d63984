//! Against the embedded service, through its in-process connector: the calls as they go over the
//! wire.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use tokio::time::timeout;

use super::*;
use crate::embedded;

const SOON: Duration = Duration::from_secs(10);

async fn stream(shards: u32) -> (embedded::Service, Kinesis) {
    let service = embedded::Service::new(embedded::Config::default());
    service
        .create_stream_if_missing("messages", shards)
        .unwrap();
    let endpoint = Endpoint::InProcess(service.http_client());
    let kinesis = connect(&Config::new("messages", endpoint)).await.unwrap();
    (service, kinesis)
}

fn entry(key: &str, data: &str) -> PutEntry {
    PutEntry {
        partition_key: key.to_owned(),
        data: data.into(),
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| String::from_utf8(record.data.to_vec()).unwrap();
    records.iter().map(text).collect()
}

/// A client whose requests are never answered.
#[derive(Clone, Debug)]
struct Silent;

impl HttpConnector for Silent {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(std::future::pending())
    }
}

impl HttpClient for Silent {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

#[tokio::test]
async fn what_is_put_is_polled_with_its_key_sequence_and_time() {
    let (_service, kinesis) = stream(1).await;
    let outcomes = kinesis
        .put_records(vec![entry("a", "one"), entry("b", "two")], SOON)
        .await
        .unwrap();
    let shard = kinesis.list_shards().await.unwrap().remove(0);
    assert_eq!(shard.range, HashKeyRange::ALL);
    let from = kinesis
        .get_shard_iterator(&shard.id, StartingPosition::TrimHorizon)
        .await
        .unwrap();
    let batch = kinesis.get_records(&from, 100).await.unwrap();
    assert_eq!(texts(&batch.records), ["one", "two"]);
    assert_eq!(batch.records[1].partition_key, "b");
    assert!(batch.records[0].arrival.as_millis() > 1_700_000_000_000);
    assert!(batch.records[0].sequence < batch.records[1].sequence);
    let stored = PutOutcome::Stored {
        shard: shard.id,
        sequence: batch.records[0].sequence,
    };
    assert_eq!(outcomes[0], stored);
    assert!(batch.next.is_some());
}

#[tokio::test]
async fn a_subscription_pushes_records_and_ends_with_the_shards_children() {
    let (_service, kinesis) = stream(1).await;
    let summary = kinesis.describe_summary().await.unwrap();
    assert_eq!(summary.status, StreamStatus::Active);
    assert_eq!(summary.distribution, Distribution::PartitionKey);
    let registered = kinesis
        .register_consumer(&summary.arn, "me", &[("instance", "1")])
        .await
        .unwrap();
    let again = kinesis
        .register_consumer(&summary.arn, "me", &[])
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::ResourceInUse);
    let described = kinesis.describe_consumer(&summary.arn, "me").await.unwrap();
    assert_eq!(described.status, ConsumerStatus::Active);
    assert_eq!(described.arn, registered.arn);

    let shard = kinesis.list_shards().await.unwrap().remove(0);
    let mut subscription = kinesis
        .subscribe(&registered.arn, &shard.id, StartingPosition::TrimHorizon)
        .await
        .unwrap();
    kinesis
        .put_records(vec![entry("a", "one")], SOON)
        .await
        .unwrap();
    let event = loop {
        let event = timeout(SOON, subscription.next()).await.unwrap();
        let event = event.unwrap().unwrap();
        if !event.records.is_empty() {
            break event;
        }
        assert!(event.continuation.is_some());
    };
    assert_eq!(texts(&event.records), ["one"]);

    // Splitting is nothing that the program itself ever does.
    kinesis
        .client()
        .split_shard()
        .stream_name("messages")
        .shard_to_split(shard.id.as_str())
        .new_starting_hash_key((1_u128 << 127).to_string())
        .send()
        .await
        .unwrap();
    let last = loop {
        let event = timeout(SOON, subscription.next()).await.unwrap();
        let event = event
            .unwrap()
            .expect("an event with the children comes first");
        if event.continuation.is_none() {
            break event;
        }
    };
    assert_eq!(last.children.len(), 2);
    assert_eq!(last.children[0].parents, std::slice::from_ref(&shard.id));
    assert!(
        last.children[1]
            .range
            .contains(last.children[1].range.start)
    );
    let end = timeout(SOON, subscription.next()).await.unwrap();
    assert!(end.unwrap().is_none());

    let shards = kinesis.list_shards().await.unwrap();
    assert_eq!(shards.iter().filter(|shard| shard.is_open()).count(), 2);
    kinesis.deregister_consumer(&registered.arn).await.unwrap();
    assert!(
        kinesis
            .list_consumers(&summary.arn)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (service, kinesis) = stream(1).await;
    let endpoint = Endpoint::InProcess(service.http_client());
    let other = connect(&Config::new("other", endpoint)).await.unwrap();
    let error = other.list_shards().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceNotFound);
    assert!(
        error.to_string().starts_with("ListShards other:"),
        "{error}"
    );
    let error = other
        .put_records(vec![entry("a", "b")], SOON)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceNotFound);
    assert!(!error.is_retryable());
    let error = kinesis
        .get_shard_iterator(
            &"shardId-000000000099".into(),
            StartingPosition::TrimHorizon,
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceNotFound);
}

#[tokio::test]
async fn a_service_that_never_answers_is_waited_for_no_longer_than_the_limit() {
    let endpoint = Endpoint::InProcess(SharedHttpClient::new(Silent));
    let config = Config {
        call_timeout: Duration::from_millis(30),
        ..Config::new("messages", endpoint)
    };
    let kinesis = connect(&config).await.unwrap();
    let listed = timeout(SOON, kinesis.list_shards()).await.unwrap();
    assert_eq!(listed.unwrap_err().kind(), ErrorKind::Timeout);
    let (consumer, shard) = ("arn".into(), "shardId-000000000000".into());
    let subscribed = kinesis.subscribe(&consumer, &shard, StartingPosition::TrimHorizon);
    let subscribed = timeout(SOON, subscribed).await.unwrap();
    assert_eq!(subscribed.unwrap_err().kind(), ErrorKind::Timeout);
    let put = kinesis.put_records(vec![entry("a", "b")], Duration::from_millis(30));
    let put = timeout(SOON, put).await.unwrap();
    assert!(put.unwrap_err().is_retryable());
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_a_failed_connection() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let endpoint = Endpoint::Aws {
        region: Some("eu-central-1".to_owned()),
        endpoint_url: Some(format!("http://127.0.0.1:{port}")),
    };
    let kinesis = connect(&Config::new("messages", endpoint)).await.unwrap();
    // Without credentials the SDK does not even get that far; both are told apart from a refusal.
    let error = kinesis.describe_summary().await.unwrap_err();
    let kinds = [
        ErrorKind::Connection,
        ErrorKind::NoCredentials,
        ErrorKind::Timeout,
    ];
    assert!(kinds.contains(&error.kind()), "{error}");
}
