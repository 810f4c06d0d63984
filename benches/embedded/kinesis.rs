//! A service and its clients: in this process, or in another one behind a port.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, Record, ShardIteratorType, StartingPosition,
    SubscribeToShardEventStream,
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use chat_room::embedded::{Config, Service};
use tempfile::TempDir;

pub(crate) const STREAM: &str = "bench";
pub(crate) const MIB: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    InProcess,
    Tcp,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InProcess => "in process",
            Self::Tcp => "TCP",
        }
    }
}

/// Where its streams are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    InMemory,
    OnDisk,
}

impl Kept {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InMemory => "memory",
            Self::OnDisk => "disk",
        }
    }

    /// A new folder, if it is to be on disk.
    fn folder(self) -> Option<TempDir> {
        (self == Self::OnDisk).then(|| tempfile::tempdir().unwrap())
    }
}

/// A service that keeps so many MiB of records in memory, and all of them in a folder if there is one.
fn service(memory: usize, folder: Option<&Path>) -> Service {
    match folder {
        None => Service::new(config(memory)),
        Some(folder) => Service::open(config(memory), folder).unwrap(),
    }
}

fn config(memory: usize) -> Config {
    Config {
        memory: memory * MIB,
        ..Config::default()
    }
}

pub(crate) struct Kinesis {
    pub(crate) client: Client,
    /// Where it is served.
    pub(crate) url: String,
    server: Option<Child>,
    /// Goes after the service.
    folder: Option<TempDir>,
}

impl Kinesis {
    /// A service that keeps so many MiB of records in memory, with a stream in it.
    pub(crate) async fn start(way: Way, kept: Kept, memory: usize, shards: i32) -> Self {
        let folder = kept.folder();
        let path = folder.as_ref().map(TempDir::path);
        let mut server = None;
        let mut url = "http://kinesis.invalid".to_owned();
        let http = match way {
            Way::InProcess => service(memory, path).http_client(),
            Way::Tcp => {
                let child;
                (child, url) = spawn(memory, path);
                server = Some(child);
                aws_smithy_http_client::Builder::new().build_http()
            }
        };
        let client = client(http, &url);
        let create = client.create_stream().stream_name(STREAM);
        create.shard_count(shards).send().await.unwrap();
        Self {
            client,
            url,
            server,
            folder,
        }
    }

    /// Another client, with connections of its own.
    pub(crate) fn another(&self) -> Client {
        if self.server.is_none() {
            return self.client.clone();
        }
        client(
            aws_smithy_http_client::Builder::new().build_http(),
            &self.url,
        )
    }

    pub(crate) async fn arn(&self) -> String {
        let summary = self.client.describe_stream_summary().stream_name(STREAM);
        let summary = summary.send().await.unwrap();
        summary.stream_description_summary.unwrap().stream_arn
    }

    pub(crate) async fn register(&self, name: &str) -> String {
        let register = self.client.register_stream_consumer();
        let register = register.stream_arn(self.arn().await).consumer_name(name);
        let registered = register.send().await.unwrap();
        registered.consumer.unwrap().consumer_arn
    }

    /// CPU seconds so far: of the service's process if it has one, else of this one.
    pub(crate) fn cpu(&self) -> f64 {
        let pid = self.pid();
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let nanoseconds = threads.filter_map(|thread| {
            // "time on the CPU in ns, time waiting in ns, timeslices": proc(5), schedstat.
            let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum()).as_secs_f64()
    }

    /// Bytes on disk.
    pub(crate) fn disk(&self) -> u64 {
        let file = self.folder.as_ref().unwrap().path().join("stream.redb");
        std::fs::metadata(file).unwrap().blocks() * 512
    }

    /// Resident memory in MiB: now, and at its highest.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib: f64 = line
                .unwrap()
                .trim()
                .strip_suffix(" kB")
                .unwrap()
                .parse()
                .unwrap();
            kib / 1024.0
        };
        (mib("VmRSS:"), mib("VmHWM:"))
    }

    fn pid(&self) -> u32 {
        self.server
            .as_ref()
            .map_or_else(std::process::id, Child::id)
    }
}

impl Drop for Kinesis {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn client(http: SharedHttpClient, endpoint: &str) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url(endpoint)
        .http_client(http)
        .build();
    Client::from_conf(config)
}

/// Starts this program again as the service.
fn spawn(memory: usize, folder: Option<&Path>) -> (Child, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--serve", &memory.to_string()]);
    if let Some(folder) = folder {
        command.arg("--folder").arg(folder);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    (child, line.trim().to_owned())
}

/// Is the service, until whoever started it is gone.
pub(crate) fn serve(memory: usize, folder: Option<&Path>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let listener = service(memory, folder)
        .listen(([127, 0, 0, 1], 0).into())
        .unwrap();
    crate::say(&format!("http://{}", listener.local_addr()));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

pub(crate) fn entries(count: usize, size: usize) -> Vec<PutRecordsRequestEntry> {
    let data = Blob::new(vec![b'x'; size]);
    let entry = PutRecordsRequestEntry::builder()
        .partition_key("room")
        .data(data)
        .build()
        .unwrap();
    vec![entry; count]
}

pub(crate) async fn put(client: &Client, records: Vec<PutRecordsRequestEntry>) {
    let put = client.put_records().stream_name(STREAM);
    let put = put.set_records(Some(records)).send().await.unwrap();
    assert_eq!(put.failed_record_count, Some(0));
}

pub(crate) fn shard(number: usize) -> String {
    format!("shardId-{number:012}")
}

/// A subscription, for its records.
pub(crate) struct Subscription(
    EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>,
);

impl Subscription {
    pub(crate) async fn open(client: &Client, consumer: &str, start: ShardIteratorType) -> Self {
        let start = StartingPosition::builder().r#type(start).build().unwrap();
        let subscribe = client.subscribe_to_shard().consumer_arn(consumer);
        let subscribe = subscribe.shard_id(shard(0)).starting_position(start);
        Self(subscribe.send().await.unwrap().event_stream)
    }

    /// The records of the next event, which may be none.
    pub(crate) async fn next(&mut self) -> Vec<Record> {
        match self.0.recv().await.unwrap().unwrap() {
            SubscribeToShardEventStream::SubscribeToShardEvent(event) => event.records,
            other => panic!("an unknown event {other:?}"),
        }
    }

    /// Reads until it has had so many records.
    pub(crate) async fn take(&mut self, count: usize) {
        let mut had = 0;
        while had < count {
            had += self.next().await.len();
        }
    }
}
