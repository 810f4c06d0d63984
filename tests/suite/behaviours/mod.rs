//! One list of behaviours of Kinesis (`tests/behaviours`, described in `table.rs`), run by real clients: boto3,
//! `@aws-sdk/client-kinesis` over HTTP/2, and the Rust SDK over HTTP/1.1 and over TLS with HTTP/2.
//!
//! `BEHAVIOURS='part of a name'` runs only those cases whose names have it.

mod client;
mod inputs;
mod matcher;
mod play;
mod sdk;
mod table;
mod words;

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat_room::embedded::{Config, Listener, Service, Tls};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::client::{Came, Client, Other};
use self::play::play;
use self::sdk::Sdk;
use self::table::{Case, Kind, OneOf, Step, cases};
use crate::faults::make_certificates;
use crate::harness::{Launch, Server, kinesis_local, suite_file};

/// Cases at the same time. Most wait most of the time.
const AT_ONCE: usize = 32;
/// Programs that share the cases, for of most operations an account may call only a few a second.
const ACCOUNTS: usize = 6;

/// Error types that no operation of the service model lists and any may answer with.
const COMMON: [&str; 4] = [
    "ValidationException",
    "SerializationException",
    "UnknownOperationException",
    "AccessDeniedException",
];

/// The services that the list is run against: the program, several times, and two with times of their own.
struct Embedded {
    usual: Vec<Server>,
    brief: Listener,
    slow: Listener,
    certificates: Option<TempDir>,
}

impl Embedded {
    async fn start(tls: bool) -> Self {
        let certificates = tls.then(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            make_certificates(folder.path());
            folder
        });
        let mut config = Config::default();
        let mut args = vec!["--embedded-listen".to_owned(), "127.0.0.1:0".to_owned()];
        if let Some(folder) = &certificates {
            let file = |name: &str| folder.path().join(name);
            let (certificate, key) = (file("localhost.pem"), file("localhost.key"));
            args.extend([
                "--embedded-tls-cert".to_owned(),
                certificate.display().to_string(),
            ]);
            args.extend(["--embedded-tls-key".to_owned(), key.display().to_string()]);
            config.listener.tls = Some(Tls { certificate, key });
        }
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let usual = (0..ACCOUNTS).map(|_| Launch::new().args(&args).start());
        let usual = join_all(usual).await;
        let listen = |config: Config| {
            Service::new(config)
                .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
                .expect("a port")
        };
        let brief = Config {
            subscription_lifetime: Duration::from_secs(2),
            token_lifetime: Duration::from_secs(1),
            heartbeat: Duration::from_millis(500),
            ..config.clone()
        };
        let slow = Config {
            creating_time: Duration::from_secs(2),
            ..config
        };
        Self {
            usual,
            brief: listen(brief),
            slow: listen(slow),
            certificates,
        }
    }

    /// Runs the list with the clients that `connect` makes for an endpoint.
    async fn run(&self, connect: impl Fn(&str) -> Client) {
        let endpoint = |address: SocketAddr| match &self.certificates {
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        let client = |address| connect(&endpoint(address));
        let clients = Clients {
            usual: self
                .usual
                .iter()
                .map(|server| client(server.kinesis()))
                .collect(),
            brief: client(self.brief.local_addr()),
            slow: client(self.slow.local_addr()),
        };
        let failures = clients.run(&cases(), AT_ONCE).await;
        let told: Vec<_> = failures
            .iter()
            .map(|(name, text)| format!("- {name}\n  {text}"))
            .collect();
        assert!(
            failures.is_empty(),
            "{} cases went otherwise:\n{}",
            failures.len(),
            told.join("\n")
        );
    }

    fn root(&self) -> Vec<u8> {
        let folder = self.certificates.as_ref().expect("a service with TLS");
        std::fs::read(folder.path().join("root.pem")).expect("root.pem")
    }
}

/// A client for each service.
struct Clients {
    usual: Vec<Client>,
    brief: Client,
    slow: Client,
}

impl Clients {
    /// Runs the cases; gives what went otherwise, by their names.
    async fn run(&self, cases: &[Case], at_once: usize) -> BTreeMap<String, String> {
        let wanted = env::var("BEHAVIOURS").unwrap_or_default();
        let mut cases: Vec<_> = cases
            .iter()
            .filter(|case| case.name.contains(&wanted))
            .collect();
        // What waits longest begins first.
        cases.sort_by_key(|case| !case.steps.iter().any(Step::takes_time));
        let played = cases
            .into_iter()
            .enumerate()
            .map(|(number, case)| async move {
                let client = match case.service {
                    Kind::Usual => &self.usual[number % self.usual.len()],
                    Kind::Brief => &self.brief,
                    Kind::Slow => &self.slow,
                };
                (case.name.clone(), play(case, client).await)
            });
        let played = stream::iter(played).buffer_unordered(at_once);
        played
            .filter_map(|(name, outcome)| async { outcome.err().map(|text| (name, text)) })
            .collect()
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_finds_the_behaviours_of_kinesis() {
    let boto3 = Arc::new(Other::boto3());
    let embedded = Embedded::start(false).await;
    embedded
        .run(|endpoint| Client::Other(Arc::clone(&boto3), endpoint.to_owned()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_sdk_finds_the_behaviours_of_kinesis_over_http2() {
    let javascript = Arc::new(Other::javascript());
    let embedded = Embedded::start(false).await;
    embedded
        .run(|endpoint| Client::Other(Arc::clone(&javascript), endpoint.to_owned()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_sdk_finds_the_behaviours_of_kinesis() {
    let embedded = Embedded::start(false).await;
    embedded
        .run(|endpoint| Client::Sdk(Sdk::over_http(endpoint)))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_sdk_finds_the_behaviours_of_kinesis_over_https() {
    let embedded = Embedded::start(true).await;
    let root = embedded.root();
    embedded
        .run(|endpoint| Client::Sdk(Sdk::over_https(endpoint, &root)))
        .await;
}

/// What another Kinesis does otherwise, as it stands in `kinesis_local.toml`: cases by the reason.
///
/// It is slow and throttles, so this takes minutes; `make prove` runs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn kinesis_local_differs_in_what_is_listed_and_in_nothing_else() {
    let listed = differences();
    let limits = [
        ("SHARD_LIMIT", "500"),
        ("ON_DEMAND_STREAM_COUNT_LIMIT", "50"),
    ];
    let (_kinesis, address) = kinesis_local(1, &limits).await;
    let client = || Client::Sdk(Sdk::over_http(&format!("http://{address}")));
    let clients = Clients {
        usual: vec![client()],
        brief: client(),
        slow: client(),
    };
    let found = clients.run(&shared_with_kinesis_local(), 8).await;
    let is_listed = |name: &String| listed.values().any(|names| names.contains(name));
    let new = found.iter().filter(|(name, _)| !is_listed(name));
    let mut told: Vec<_> = new
        .map(|(name, text)| format!("+ {name}\n  {text}"))
        .collect();
    let always = listed
        .iter()
        .filter(|(why, _)| !why.starts_with("Sometimes"));
    let gone = always
        .flat_map(|(_, names)| names)
        .filter(|name| !found.contains_key(*name));
    told.extend(gone.map(|name| format!("- {name}")));
    assert!(
        told.is_empty(),
        "found (+) and not found (-):\n{}",
        told.join("\n")
    );
}

/// Those of the other kinds need times that kinesis-local cannot be set to.
fn shared_with_kinesis_local() -> Vec<Case> {
    let mut cases = cases();
    cases.retain(|case| case.service == Kind::Usual);
    cases
}

/// The cases that go otherwise with kinesis-local, by the reason.
fn differences() -> BTreeMap<String, Vec<String>> {
    let listed = std::fs::read_to_string(suite_file("behaviours/kinesis_local.toml"))
        .expect("the list of differences");
    toml::from_str(&listed).expect("cases by their reason")
}

#[test]
fn every_listed_difference_is_a_case() {
    let cases = shared_with_kinesis_local();
    for name in differences().into_values().flatten() {
        assert!(
            cases.iter().any(|case| case.name == name),
            "no case is called {name:?}"
        );
    }
}

#[tokio::test]
async fn every_expected_error_is_one_that_the_service_model_has_for_its_operation() {
    let Came::Answer(errors) = Other::boto3().ask(json!({"do": "errors"})).await else {
        panic!("boto3 knows its model");
    };
    for case in cases() {
        // What a source begins with is to be found in the service model or in the documentation.
        let operation = case
            .source
            .split(['$', ':', ';', ',', ' '])
            .next()
            .unwrap_or_default();
        assert!(
            errors.get(operation).is_some()
                || case.source.starts_with("https://docs.aws.amazon.com/"),
            "{:?}: the source names no operation: {}",
            case.name,
            case.source
        );
        for step in &case.steps {
            let operation = step.call.as_deref().unwrap_or("SubscribeToShard");
            let known: Vec<_> = errors[operation]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            for word in step.error.iter().flat_map(OneOf::words) {
                let has = known.contains(&word.as_str()) || COMMON.contains(&word.as_str());
                assert!(
                    has,
                    "{:?}: {operation} has no {word}, only {known:?}",
                    case.name
                );
            }
        }
    }
}
