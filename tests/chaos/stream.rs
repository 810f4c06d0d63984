//! The stream from the outside: its shards and records by the AWS SDK, its faults by their own address.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::error::{DisplayErrorContext, SdkError};
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::types::{Shard, ShardIteratorType};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use bytes::Bytes;
use chat_room::kinesis::{Record, kpl};
use chat_room::message::{HashKey, Room, Timestamp};
use serde::Deserialize;
use tokio::time::sleep;

use crate::checker::Key;
use crate::text;
use crate::wire;

/// The stream's name.
pub(crate) const NAME: &str = "messages";
/// How long a call may take.
const CALL: Duration = Duration::from_secs(10);
/// How often a page is asked for at most.
const THROTTLED: usize = 120;
/// Pages of records read at most: a stream that never comes to its end.
const PAGES: usize = 100_000;

/// Whoever holds the stream.
pub(crate) struct Stream {
    client: Client,
    address: SocketAddr,
    /// The root by which the holder's certificate is believed.
    root: Option<Vec<u8>>,
}

/// What the stream holds.
pub(crate) struct Content {
    /// For each room its messages in order, with every write that was retried.
    pub(crate) rooms: Vec<Vec<Key>>,
    /// Messages in a shard that does not own their room.
    pub(crate) misrouted: usize,
}

impl Content {
    /// Messages that are there more than once, each time but the first.
    pub(crate) fn repeats(&self) -> usize {
        let repeats = self.rooms.iter().map(|room| {
            let different: HashSet<&Key> = room.iter().collect();
            room.len() - different.len()
        });
        repeats.sum()
    }
}

type Failed = String;

fn failed<E: std::error::Error + 'static, R: std::fmt::Debug + 'static>(
    error: SdkError<E, R>,
) -> Failed {
    DisplayErrorContext(error).to_string()
}

impl Stream {
    pub(crate) fn new(address: SocketAddr, root: Option<Vec<u8>>) -> Result<Self, Failed> {
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            // The faults that were asked for strike this client, too.
            .retry_config(RetryConfig::standard().with_max_attempts(5))
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_timeout(CALL)
                    .operation_attempt_timeout(CALL / 4)
                    .build(),
            );
        let config = match &root {
            None => config.endpoint_url(format!("http://{address}")),
            Some(root) => {
                let context = TlsContext::builder()
                    .with_trust_store(TrustStore::empty().with_pem_certificate(root.clone()))
                    .build()
                    .map_err(|error| error.to_string())?;
                let http = Builder::new()
                    .tls_provider(tls::Provider::rustls(CryptoMode::AwsLc))
                    .tls_context(context)
                    .build_https();
                config
                    .endpoint_url(format!("https://{address}"))
                    .http_client(http)
            }
        };
        Ok(Self {
            client: Client::from_conf(config.build()),
            address,
            root,
        })
    }

    /// Where it is served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All shards, parents before children.
    async fn shards(&self) -> Result<Vec<Shard>, Failed> {
        let mut shards: Vec<Shard> = Vec::new();
        let mut next = None;
        loop {
            let call = self.client.list_shards();
            let call = match next.take() {
                None => call.stream_name(NAME),
                Some(token) => call.next_token(token),
            };
            let page = call.send().await.map_err(failed)?;
            shards.extend(page.shards.unwrap_or_default());
            next = page.next_token;
            if next.is_none() {
                break;
            }
        }
        // The service numbers them as they come to be.
        shards.sort_by(|one, other| one.shard_id.cmp(&other.shard_id));
        Ok(shards)
    }

    pub(crate) async fn open_shards(&self) -> Result<Vec<String>, Failed> {
        let shards = self.shards().await?;
        let open = shards.into_iter().filter(is_open);
        Ok(open.map(|shard| shard.shard_id).collect())
    }

    /// Splits one shard at a drawn place.
    pub(crate) async fn split(&self, rng: &mut fastrand::Rng) -> Result<(), Failed> {
        let open: Vec<Shard> = self.shards().await?.into_iter().filter(is_open).collect();
        let shard = rng.choice(&open).ok_or("there is no open shard")?;
        let (start, end) = range(shard)?;
        if end - start < 16 {
            return Err("the shard is too narrow to be split".to_owned());
        }
        let quarter = (end - start) / 4;
        let at = start + quarter + rng.u128(0..quarter * 2);
        let call = self.client.split_shard().stream_name(NAME);
        let call = call
            .shard_to_split(&shard.shard_id)
            .new_starting_hash_key(at.to_string());
        call.send().await.map(drop).map_err(failed)
    }

    /// Merges two neighbours.
    pub(crate) async fn merge(&self, rng: &mut fastrand::Rng) -> Result<(), Failed> {
        let open: Vec<Shard> = self.shards().await?.into_iter().filter(is_open).collect();
        let mut pairs = Vec::new();
        for low in &open {
            for high in &open {
                if range(low)?.1.checked_add(1) == Some(range(high)?.0) {
                    pairs.push((low, high));
                }
            }
        }
        let (low, high) = rng.choice(&pairs).ok_or("there are no two neighbours")?;
        let call = self.client.merge_shards().stream_name(NAME);
        let call = call
            .shard_to_merge(&low.shard_id)
            .adjacent_shard_to_merge(&high.shard_id);
        call.send().await.map(drop).map_err(failed)
    }

    /// Adds fault rules: a JSON list of them.
    pub(crate) async fn add_faults(&self, seed: u64, rules: &str) -> Result<(), Failed> {
        let body = format!(r#"{{"seed":{seed},"rule":{rules}}}"#);
        self.faults("POST", &body).await.map(drop)
    }

    /// Takes all rules away.
    pub(crate) async fn heal(&self) -> Result<(), Failed> {
        self.faults("DELETE", "").await.map(drop)
    }

    /// How often each fault did occur.
    pub(crate) async fn fault_counts(&self) -> Result<BTreeMap<String, u64>, Failed> {
        #[derive(Deserialize)]
        struct Standing {
            counts: BTreeMap<String, u64>,
        }
        let text = self.faults("GET", "").await?;
        let standing: Standing =
            serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))?;
        Ok(standing.counts)
    }

    async fn faults(&self, method: &str, body: &str) -> Result<String, Failed> {
        let answer = wire::ask(self.address, self.root.as_deref(), method, "/faults", body).await;
        match answer {
            Ok((200, text)) => Ok(text),
            Ok((status, text)) => Err(format!("{method} /faults: {status} {text}")),
            Err(error) => Err(format!("{method} /faults: {error}")),
        }
    }

    /// Reads all of it, decoded with nothing removed, but for what is in a shard that does not own its room.
    pub(crate) async fn content(&self, rooms: &[String]) -> Result<Content, Failed> {
        let mut content = Content {
            rooms: vec![Vec::new(); rooms.len()],
            misrouted: 0,
        };
        let places: HashMap<&str, usize> = rooms
            .iter()
            .enumerate()
            .map(|(place, room)| (room.as_str(), place))
            .collect();
        let mut done: HashSet<String> = HashSet::new();
        for shard in self.shards().await? {
            if !done.insert(shard.shard_id.clone()) {
                continue;
            }
            let (start, end) = range(&shard)?;
            for record in self.records(&shard.shard_id).await? {
                for user in kpl::decode(&record) {
                    let Some(key) = text::of_payload(&user.data) else {
                        continue;
                    };
                    let Some(place) = places.get(key.0.as_str()) else {
                        continue;
                    };
                    let room = Room::new(&key.0).map_err(|error| error.to_string())?;
                    let HashKey(hash) = room.hash_key();
                    if hash < start || hash > end {
                        content.misrouted += 1;
                    } else if let Some(room) = content.rooms.get_mut(*place) {
                        room.push(key.1);
                    }
                }
            }
        }
        Ok(content)
    }

    /// One page of records. Who polls a shard shares its rate with us, and after a large page there is none for seconds.
    async fn page(&self, iterator: &str) -> Result<GetRecordsOutput, Failed> {
        for _ in 0..THROTTLED {
            match self
                .client
                .get_records()
                .shard_iterator(iterator)
                .send()
                .await
            {
                Err(error)
                    if error.as_service_error().is_some_and(
                        GetRecordsError::is_provisioned_throughput_exceeded_exception,
                    ) =>
                {
                    sleep(Duration::from_millis(500)).await;
                }
                answer => return answer.map_err(failed),
            }
        }
        Err("the stream cannot be read: throttled for too long".to_owned())
    }

    async fn records(&self, shard: &str) -> Result<Vec<Record>, Failed> {
        let call = self.client.get_shard_iterator().stream_name(NAME);
        let call = call
            .shard_id(shard)
            .shard_iterator_type(ShardIteratorType::TrimHorizon);
        let mut next = call.send().await.map_err(failed)?.shard_iterator;
        let mut records = Vec::new();
        for _ in 0..PAGES {
            let Some(iterator) = next.take() else { break };
            let page = self.page(&iterator).await?;
            let is_at_tip = page.millis_behind_latest.unwrap_or(0) == 0;
            next = page.next_shard_iterator.filter(|_| !is_at_tip);
            for record in page.records {
                records.push(Record {
                    sequence: record
                        .sequence_number
                        .parse()
                        .map_err(|_| "not a sequence number".to_owned())?,
                    partition_key: record.partition_key.unwrap_or_default(),
                    data: Bytes::from(record.data.into_inner()),
                    arrival: Timestamp::from_millis(0),
                });
            }
        }
        Ok(records)
    }
}

fn is_open(shard: &Shard) -> bool {
    let range = shard.sequence_number_range.as_ref();
    range.is_some_and(|range| range.ending_sequence_number.is_none())
}

fn range(shard: &Shard) -> Result<(u128, u128), Failed> {
    let range = shard
        .hash_key_range
        .as_ref()
        .ok_or("a shard without a range")?;
    let number = |text: &str| text.parse().map_err(|_| format!("not a hash key: {text}"));
    Ok((
        number(&range.starting_hash_key)?,
        number(&range.ending_hash_key)?,
    ))
}
