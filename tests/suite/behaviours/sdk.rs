//! The Rust SDK as a client: inputs are given to its builders member by member, answers are written out by its own
//! schemas, so that what a case sees is what the SDK has understood.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::types::SubscribeToShardEventStream as Event;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_json::codec::JsonCodec;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_schema::codec::Codec;
use aws_smithy_schema::serde::{SerializableStruct, ShapeSerializer};
use serde_json::{Map, Value, json};

use super::client::Came;
use super::inputs::Input;

type Events = aws_sdk_kinesis::primitives::event_stream::EventReceiver<
    Event,
    aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError,
>;

pub(super) struct Sdk {
    client: Client,
    subscriptions: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Events>>>>,
}

impl Sdk {
    /// A client over HTTP/1.1, which is what this SDK speaks where there is no TLS.
    pub(super) fn over_http(endpoint: &str) -> Self {
        Self::new(
            endpoint,
            aws_smithy_http_client::Builder::new().build_http(),
        )
    }

    /// A client that trusts the root given as PEM, and negotiates HTTP/2.
    pub(super) fn over_https(endpoint: &str, root: &[u8]) -> Self {
        let trust = TrustStore::empty().with_pem_certificate(root);
        let context = TlsContext::builder().with_trust_store(trust).build();
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context.expect("a TLS context"))
            .build_https();
        Self::new(endpoint, http)
    }

    fn new(endpoint: &str, http: SharedHttpClient) -> Self {
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(endpoint)
            // One call is one request.
            .retry_config(RetryConfig::disabled())
            .http_client(http)
            .build();
        Self {
            client: Client::from_conf(config),
            subscriptions: Mutex::default(),
        }
    }

    pub(super) async fn call(&self, operation: &str, input: Map<String, Value>) -> Came {
        super::inputs::call(&self.client, operation, Input::new(input))
            .await
            .unwrap_or_else(|unsayable| Came::Unsayable(unsayable.0))
    }

    pub(super) async fn subscribe(&self, handle: &str, input: Map<String, Value>) -> Came {
        let call = match super::inputs::subscribe(&self.client, Input::new(input)) {
            Ok(call) => call,
            Err(unsayable) => return Came::Unsayable(unsayable.0),
        };
        match call.send().await {
            Ok(output) => {
                let events = Arc::new(tokio::sync::Mutex::new(output.event_stream));
                self.subscriptions
                    .lock()
                    .unwrap()
                    .insert(handle.to_owned(), events);
                Came::Answer(json!({}))
            }
            Err(error) => refused(&error),
        }
    }

    pub(super) async fn next(&self, handle: &str) -> Came {
        let events = self.subscriptions.lock().unwrap().get(handle).cloned();
        let events = events.unwrap_or_else(|| panic!("no subscription has the handle {handle}"));
        let event = events.lock().await.recv().await;
        match event {
            Ok(Some(Event::SubscribeToShardEvent(event))) => {
                let mut event = written(&event);
                // Where there is none this SDK puts an empty one, for the model says that there always is.
                if event["ContinuationSequenceNumber"] == "" {
                    event["ContinuationSequenceNumber"].take();
                }
                Came::Answer(event)
            }
            Ok(Some(other)) => Came::Broken(format!("an event of another kind: {other:?}")),
            Ok(None) => Came::End,
            Err(error) => refused(&error),
        }
    }

    pub(super) fn close(&self, handle: &str) -> Came {
        let events = self.subscriptions.lock().unwrap().remove(handle);
        assert!(events.is_some(), "no subscription has the handle {handle}");
        Came::Answer(json!({}))
    }
}

/// What a call has come to.
pub(super) fn came<
    O: SerializableStruct,
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
>(
    answer: Result<O, SdkError<E, R>>,
) -> Came {
    match answer {
        Ok(output) => Came::Answer(written(&output)),
        Err(error) => refused(&error),
    }
}

fn refused<E: ProvideErrorMetadata + std::error::Error + 'static, R: std::fmt::Debug>(
    error: &SdkError<E, R>,
) -> Came {
    match error {
        SdkError::ServiceError(context) => {
            let error = context.err();
            Came::Error {
                kind: error.code().unwrap_or("no type").to_owned(),
                message: error.message().unwrap_or_default().to_owned(),
            }
        }
        other => Came::Broken(format!("{other:?}")),
    }
}

fn written(shape: &dyn SerializableStruct) -> Value {
    let mut json = JsonCodec::default().create_serializer();
    json.write_struct(shape.schema(), shape)
        .expect("an answer can be written");
    serde_json::from_slice(&json.finish()).expect("JSON")
}
