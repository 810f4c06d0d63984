//! Who calls, and what its ARNs mean.
//!
//! There is one namespace of streams. Whoever calls sees all of them, with ARNs of the region its signature names and of
//! its own account; ARNs of another region or account name nothing, as on AWS.

use crate::embedded::clock::Now;
use crate::embedded::store::{Consumer, Resource, Store};
use crate::embedded::{Config, Error, Service};

const PARTITION: &str = "aws";

/// Whoever calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Twelve digits.
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Caller {
    /// One that does not say who it is.
    pub(crate) fn unnamed(config: &Config) -> Self {
        Self {
            account: config.account.clone(),
            region: config.region.clone(),
        }
    }
}

/// What every operation is given beside its input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) service: &'a Service,
    pub(crate) caller: &'a Caller,
}

/// A consumer as its ARN names it: the second of its registration tells it from others of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConsumerName<'a> {
    pub(crate) stream: &'a str,
    pub(crate) consumer: &'a str,
    pub(crate) second: u64,
}

impl Context<'_> {
    /// Runs one operation on the store.
    pub(crate) fn with<T>(&self, operation: impl FnOnce(&mut Store, Now) -> T) -> T {
        self.service.with(operation)
    }

    /// Runs one operation that changes something, and waits until the change is stored.
    pub(crate) fn commit<T>(
        &self,
        operation: impl FnOnce(&mut Store, Now) -> Result<T, Error>,
    ) -> impl Future<Output = Result<T, Error>> {
        self.service.commit(operation)
    }

    /// The ARN of a stream, for this caller.
    pub(crate) fn stream_arn(&self, stream: &str) -> String {
        let Caller { account, region } = self.caller;
        format!("arn:{PARTITION}:kinesis:{region}:{account}:stream/{stream}")
    }

    /// The ARN of a stream's consumer, for this caller.
    pub(crate) fn consumer_arn(&self, stream: &str, consumer: &Consumer) -> String {
        let (stream, name) = (self.stream_arn(stream), &consumer.name);
        format!("{stream}/consumer/{name}:{}", consumer.second)
    }

    /// Which stream is meant: by its name, its ARN, or both if they agree.
    pub(crate) fn stream(
        &self,
        by_name: Option<String>,
        by_arn: Option<&str>,
    ) -> Result<String, Error> {
        match (by_name, by_arn) {
            (None, None) => Err(Error::invalid_argument(
                "Either StreamName or StreamARN must be specified.",
            )),
            (Some(name), None) => Ok(name),
            (None, Some(arn)) => Ok(self.stream_of_arn(arn)?.to_owned()),
            (Some(name), Some(arn)) if self.stream_of_arn(arn)? == name => Ok(name),
            (Some(name), Some(arn)) => Err(Error::invalid_argument(format!(
                "StreamName {name} and StreamARN {arn} do not name the same stream."
            ))),
        }
    }

    /// The name in a stream's ARN.
    pub(crate) fn stream_of_arn<'a>(&self, arn: &'a str) -> Result<&'a str, Error> {
        let resource = self.resource(arn)?;
        let stream = resource.strip_prefix("stream/");
        stream.ok_or_else(|| missing(arn))
    }

    /// What a consumer's ARN names.
    pub(crate) fn consumer_of_arn<'a>(&self, arn: &'a str) -> Result<ConsumerName<'a>, Error> {
        let resource = self.resource(arn)?;
        let parts = || {
            let (stream, rest) = resource.strip_prefix("stream/")?.split_once("/consumer/")?;
            let (consumer, second) = rest.rsplit_once(':')?;
            Some(ConsumerName {
                stream,
                consumer,
                second: second.parse().ok()?,
            })
        };
        parts().ok_or_else(|| missing(arn))
    }

    /// What can have tags. Of channels and queues there are none.
    pub(crate) fn resource_of_arn<'a>(&self, arn: &'a str) -> Result<Resource<'a>, Error> {
        if arn.contains("/consumer/") {
            let named = self.consumer_of_arn(arn)?;
            return Ok(Resource {
                stream: named.stream,
                consumer: Some((named.consumer, named.second)),
            });
        }
        Ok(Resource {
            stream: self.stream_of_arn(arn)?,
            consumer: None,
        })
    }

    /// What an ARN names, if it is one of this caller's region and account.
    fn resource<'a>(&self, arn: &'a str) -> Result<&'a str, Error> {
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        let ["arn", PARTITION, "kinesis", region, account, resource] = parts.as_slice() else {
            return Err(missing(arn));
        };
        if *region != self.caller.region || *account != self.caller.account {
            return Err(missing(arn));
        }
        Ok(resource)
    }
}

fn missing(arn: &str) -> Error {
    let shown: String = arn.chars().take(256).collect();
    Error::not_found(format!("Resource {shown} not found."))
}
