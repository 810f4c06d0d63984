//! The service, called by the real SDK: in process and over TCP.

mod callers;
mod fanout;
mod h2;
mod limits;
mod ports;
mod records;
mod settings;
mod streams;
mod tags;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::time::timeout;

use super::{Config, Listener, Service};

const STREAM: &str = "messages";
const SHARD: &str = "shardId-000000000000";
/// Nothing here takes that long, unless something is broken.
const DEADLINE: Duration = Duration::from_secs(10);

type Events = EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>;

/// A service with a client, and the port between them if there is one.
struct Kinesis {
    service: Service,
    client: Client,
    _listener: Option<Listener>,
}

impl Kinesis {
    fn in_process(config: Config) -> Self {
        let service = Service::new(config);
        let client = client(service.http_client(), "http://kinesis.invalid");
        Self {
            service,
            client,
            _listener: None,
        }
    }

    fn over_tcp(config: Config) -> Self {
        let service = Service::new(config);
        let listener = service.listen(any_port()).unwrap();
        let http = aws_smithy_http_client::Builder::new().build_http();
        let client = client(http, &format!("http://{}", listener.local_addr()));
        Self {
            service,
            client,
            _listener: Some(listener),
        }
    }

    /// The ARN of the stream, which is made with this many shards.
    async fn stream(&self, shards: u32) -> String {
        self.service
            .create_stream_if_missing(STREAM, shards)
            .unwrap();
        let summary = self
            .client
            .describe_stream_summary()
            .stream_name(STREAM)
            .send()
            .await
            .unwrap();
        summary.stream_description_summary.unwrap().stream_arn
    }

    async fn register(&self, stream_arn: &str, name: &str) -> String {
        let register = self
            .client
            .register_stream_consumer()
            .stream_arn(stream_arn)
            .consumer_name(name);
        register
            .send()
            .await
            .unwrap()
            .consumer
            .unwrap()
            .consumer_arn
    }

    async fn put(&self, key: &str, data: &[u8]) -> String {
        let put = self
            .client
            .put_record()
            .stream_name(STREAM)
            .partition_key(key)
            .data(data.into());
        put.send().await.unwrap().sequence_number
    }

    async fn subscribe(
        &self,
        consumer_arn: &str,
        shard: &str,
        start: StartingPosition,
    ) -> Result<Events, String> {
        let subscribe = self
            .client
            .subscribe_to_shard()
            .consumer_arn(consumer_arn)
            .shard_id(shard)
            .starting_position(start);
        match timeout(DEADLINE, subscribe.send()).await.unwrap() {
            Ok(output) => Ok(output.event_stream),
            Err(error) => Err(code(&error)),
        }
    }
}

fn client(http: SharedHttpClient, endpoint: &str) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url(endpoint)
        .http_client(http)
        .build();
    Client::from_conf(config)
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// The error type an operation answered with.
fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    match error {
        SdkError::ServiceError(error) => error.err().code().unwrap_or("no code").to_owned(),
        other => format!("no answer: {}", other.code().unwrap_or("")),
    }
}

/// What a subscription brought.
#[derive(Debug)]
enum Came {
    Event(SubscribeToShardEvent),
    Exception(String),
    End,
}

async fn next(events: &mut Events) -> Came {
    match timeout(DEADLINE, events.recv())
        .await
        .expect("an event in time")
    {
        Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => Came::Event(event),
        Ok(Some(other)) => panic!("an unknown event {other:?}"),
        Ok(None) => Came::End,
        Err(error) => Came::Exception(code(&error)),
    }
}

async fn event(events: &mut Events) -> SubscribeToShardEvent {
    match next(events).await {
        Came::Event(event) => event,
        other => panic!("no event but {other:?}"),
    }
}

/// The next event that has records or children.
async fn full_event(events: &mut Events) -> SubscribeToShardEvent {
    loop {
        let event = event(events).await;
        if !event.records.is_empty() || event.child_shards.is_some() {
            return event;
        }
    }
}

/// Makes each test twice: in process, and over TCP.
macro_rules! both_ways {
    ($(async fn $name:ident($kinesis:ident = $config:expr) $body:block)*) => {
        mod in_process {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let $kinesis = Kinesis::in_process($config);
                $body
            })*
        }
        mod over_tcp {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let $kinesis = Kinesis::over_tcp($config);
                $body
            })*
        }
    };
}
use both_ways;
