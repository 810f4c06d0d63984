//! The connection to one stream.

use std::time::Duration;

use aws_config::meta::region::RegionProviderChain;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Builder, Credentials, Region, StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::connections::{Calls, Maker, Subscriptions};
use super::tls::Roots;
use super::{Error, ErrorKind};

/// What is signed for where no region matters: in process, and at an endpoint that is given by
/// its address and without a region.
const FALLBACK_REGION: &str = "us-east-1";

/// Where the stream is.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// In this process: the embedded service's connector. No credentials are looked for.
    InProcess(SharedHttpClient),
    /// AWS, or whatever speaks its protocol at `endpoint_url`. What is `None` is found by the
    /// SDK's own rules (environment, profile, instance metadata).
    Aws {
        /// The region.
        region: Option<String>,
        /// The address to use instead of the region's own: `http://…` or `https://…`.
        endpoint_url: Option<String>,
    },
}

/// How to reach the stream, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The stream's name.
    pub stream: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// The longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// The longest wait for a control call (listing, describing, registering), retries included,
    /// for a page of records, and for a subscription to open.
    pub call_timeout: Duration,
    /// How often the SDK tries a control call before its error is ours.
    pub control_attempts: u32,
}

impl Config {
    /// The default limits: 3 s for a connection, 10 s for a call, 3 attempts at a control call.
    pub fn new(stream: impl Into<String>, endpoint: Endpoint) -> Self {
        Self {
            stream: stream.into(),
            endpoint,
            connect_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(10),
            control_attempts: 3,
        }
    }
}

/// A handle on one stream; clones share the connections.
#[derive(Clone, Debug)]
pub struct Kinesis {
    /// `PutRecords`, on connections of their own.
    pub(super) puts: Calls,
    /// `GetRecords` and `RegisterStreamConsumer`: whoever asks for those wants to know at once how
    /// it went.
    pub(super) once: Calls,
    /// `SubscribeToShard`.
    pub(super) subscriptions: Subscriptions,
    /// Everything else; the SDK retries.
    pub(super) control: Calls,
    pub(super) stream: std::sync::Arc<str>,
    place: std::sync::Arc<str>,
    pub(super) call_timeout: Duration,
}

impl Kinesis {
    /// The stream's name.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Where the stream is, for people: a region, or an endpoint.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The SDK's client, for what only tests do, such as splitting shards.
    #[cfg(test)]
    pub(crate) fn client(&self) -> Client {
        self.control.client().0
    }
}

/// Prepares the clients. Speaks to nobody but, for AWS, to those who tell region and credentials.
///
/// # Errors
/// [`ErrorKind::Config`] if the endpoint, the region or the roots of trust cannot be used;
/// [`ErrorKind::Timeout`] if whoever tells the region does not.
pub async fn connect(config: &Config) -> Result<Kinesis, Error> {
    let (base, place, http) = match &config.endpoint {
        Endpoint::InProcess(client) => {
            let place = "this process".to_owned();
            (in_process(), place, Http::Given(client.clone()))
        }
        Endpoint::Aws {
            region,
            endpoint_url,
        } => {
            if let Some(url) = endpoint_url {
                check_endpoint(url)?;
            }
            let roots = Roots::find()?;
            let client = roots.http_client()?;
            let load = aws(region.as_deref(), endpoint_url.as_deref(), client);
            let (base, place) = tokio::time::timeout(config.call_timeout, load)
                .await
                .map_err(|_| {
                    Error::new("finding", "region and credentials", ErrorKind::Timeout)
                })??;
            (base, place, Http::Made(roots))
        }
    };
    let timeouts = |attempts: u32| {
        TimeoutConfig::builder()
            .connect_timeout(config.connect_timeout)
            .operation_attempt_timeout(config.call_timeout / attempts.max(1))
            .build()
    };
    let base = base
        // Every call has a time limit as a whole, which is stricter.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    // No attempt timeout of the SDK's on puts and reads: their limits are set with each call.
    let untried = TimeoutConfig::builder()
        .connect_timeout(config.connect_timeout)
        .build();
    let once = base
        .clone()
        .retry_config(RetryConfig::disabled())
        .timeout_config(untried);
    let control = base
        .retry_config(RetryConfig::standard().with_max_attempts(config.control_attempts.max(1)))
        .timeout_config(timeouts(config.control_attempts));
    let maker = |config: Builder| {
        let http = http.clone();
        Maker::new(move || {
            let config = config.clone().http_client(http.client()?);
            Ok(Client::from_conf(config.build()))
        })
    };
    Ok(Kinesis {
        puts: Calls::new(maker(once.clone()))?,
        once: Calls::new(maker(once.clone()))?,
        subscriptions: Subscriptions::new(maker(once)),
        control: Calls::new(maker(control))?,
        stream: config.stream.as_str().into(),
        place: place.into(),
        call_timeout: config.call_timeout,
    })
}

/// Where connections come from.
#[derive(Clone, Debug)]
enum Http {
    /// All from one client: in process there are none.
    Given(SharedHttpClient),
    /// From a client of its own each.
    Made(Roots),
}

impl Http {
    fn client(&self) -> Result<SharedHttpClient, Error> {
        match self {
            Self::Given(client) => Ok(client.clone()),
            Self::Made(roots) => roots.http_client(),
        }
    }
}

fn in_process() -> Builder {
    Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(FALLBACK_REGION))
        .endpoint_url("http://embedded.invalid")
        .credentials_provider(Credentials::new(
            "embedded", "embedded", None, None, "embedded",
        ))
}

async fn aws(
    region: Option<&str>,
    endpoint_url: Option<&str>,
    client: SharedHttpClient,
) -> Result<(Builder, String), Error> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client);
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    } else if endpoint_url.is_some() {
        // At an address of its own the region only enters the signature, so the instance
        // metadata need not be asked, which takes seconds where there are none.
        let chain = RegionProviderChain::first_try(
            aws_config::environment::region::EnvironmentVariableRegionProvider::new(),
        )
        .or_else(aws_config::profile::ProfileFileRegionProvider::new())
        .or_else(FALLBACK_REGION);
        loader = loader.region(chain);
    }
    if let Some(url) = endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let found = loader.load().await;
    let Some(region) = found.region() else {
        let error = Error::new("finding", "the region", ErrorKind::Config);
        return Err(error.with_detail("set --region, AWS_REGION, or a region in the AWS profile"));
    };
    let mut place = format!("region {region}");
    if let Some(url) = found.endpoint_url() {
        check_endpoint(url)?;
        place = format!("{place} at {url}");
    }
    Ok((Builder::from(&found), place))
}

/// Refuses what is no address, and what would send AWS requests in the clear.
fn check_endpoint(url: &str) -> Result<(), Error> {
    let refuse = |what: &str| Err(Error::new("endpoint", url, ErrorKind::Config).with_detail(what));
    let Ok(uri) = url.parse::<http::Uri>() else {
        return refuse("this is not a URL");
    };
    let Some(host) = uri.host() else {
        return refuse("this is not a URL with a host");
    };
    match uri.scheme_str() {
        Some("http") if host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn") => {
            refuse("AWS is spoken to over https only")
        }
        Some("http" | "https") => Ok(()),
        _ => refuse("it must begin with http:// or https://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_cannot_be_meant_is_refused() {
        for url in [
            "",
            "localhost",
            "127.0.0.1:4567",
            "ftp://a",
            "http://",
            "http://kinesis.eu-central-1.amazonaws.com",
        ] {
            let error = check_endpoint(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        }
        for url in [
            "http://127.0.0.1:4567",
            "https://localhost:4567/",
            "http://[::1]:1",
            "https://kinesis.eu-central-1.amazonaws.com",
        ] {
            assert!(check_endpoint(url).is_ok(), "{url}");
        }
    }
}
