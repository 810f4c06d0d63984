//! Which operation a request is for, and the way there: its body to a checked input, the outcome to a body.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body::{Body, EventBody};
use super::format::Format;
use super::line::Line;
use super::{Head, signature};
use crate::embedded::operations::{
    Caller, Context, Input, Operation, Structure, account, checked, consumers, records, settings,
    shards, streams, tags,
};
use crate::embedded::{Error, ErrorKind, Service};

/// What is to be carried out.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) caller: Caller,
    /// How its body is encoded, and its answer is to be.
    pub(super) format: Format,
    /// The records that are throttled.
    pub(super) refused: Vec<bool>,
}

impl Request {
    /// What a head asks for.
    pub(super) fn of(service: &Service, head: &Head<'_>) -> Result<Self, Error> {
        if head.method != "POST" || head.path != "/" {
            return Err(Error::new(
                ErrorKind::UnknownOperation,
                "Operations are called by POST to /.",
            ));
        }
        Ok(Self {
            operation: head.target.unwrap_or_default().parse()?,
            caller: signature::caller(service.config(), head)?,
            format: head.format(),
            refused: Vec::new(),
        })
    }

    /// Reads an input and holds it to the model.
    fn input<I: DeserializeOwned + Input>(&self, body: &[u8]) -> Result<I, Error> {
        let Structure(input) = self.format.decode(body)?;
        checked(input)
    }

    fn answer(&self, answer: &impl Serialize) -> Result<Body, Error> {
        Ok(Body::whole(self.format.encode(answer)?))
    }
}

/// Runs one operation on the body of its request.
pub(super) async fn run(
    service: &Service,
    request: &Request,
    body: &[u8],
    line: &Arc<Line>,
) -> Result<Body, Error> {
    let to = &Context {
        service,
        caller: &request.caller,
    };
    macro_rules! outcome {
        (await $operation:path) => {
            $operation(to, request.input(body)?).await?
        };
        ($operation:path) => {
            $operation(to, request.input(body)?)?
        };
    }
    macro_rules! answered {
        ($($operation:tt)+) => {
            request.answer(&outcome!($($operation)+))
        };
    }
    // For operations whose answer has no members: the body is empty.
    macro_rules! silent {
        ($($operation:tt)+) => {{
            outcome!($($operation)+);
            Ok(Body::Whole(None))
        }};
    }
    service.count_call(&request.caller.account, request.operation)?;
    match request.operation {
        Operation::AddTagsToStream => silent!(await tags::add),
        Operation::CreateStream => silent!(await streams::create),
        Operation::DecreaseStreamRetentionPeriod => silent!(await settings::decrease_retention),
        Operation::DeleteStream => silent!(await streams::delete),
        Operation::DeregisterStreamConsumer => silent!(await consumers::deregister),
        Operation::DescribeAccountSettings => answered!(account::settings),
        Operation::DescribeLimits => answered!(account::limits),
        Operation::DescribeStream => answered!(streams::describe),
        Operation::DescribeStreamConsumer => answered!(consumers::describe),
        Operation::DescribeStreamSummary => answered!(streams::summarize),
        Operation::DisableEnhancedMonitoring => answered!(await settings::disable_monitoring),
        Operation::EnableEnhancedMonitoring => answered!(await settings::enable_monitoring),
        Operation::GetRecords => answered!(await records::get),
        Operation::GetShardIterator => answered!(await records::iterator),
        Operation::IncreaseStreamRetentionPeriod => silent!(await settings::increase_retention),
        Operation::ListShards => answered!(shards::list),
        Operation::ListStreamConsumers => answered!(consumers::list),
        Operation::ListStreams => answered!(streams::list),
        Operation::ListTagsForResource => answered!(tags::list_of),
        Operation::ListTagsForStream => answered!(tags::list),
        Operation::MergeShards => silent!(await shards::merge),
        Operation::PutRecord => answered!(await records::put_one),
        Operation::RegisterStreamConsumer => answered!(await consumers::register),
        Operation::RemoveTagsFromStream => silent!(await tags::remove),
        Operation::SplitShard => silent!(await shards::split),
        Operation::StartStreamEncryption => silent!(await settings::start_encryption),
        Operation::StopStreamEncryption => silent!(await settings::stop_encryption),
        Operation::TagResource => silent!(await tags::tag),
        Operation::UntagResource => silent!(await tags::untag),
        Operation::UpdateAccountSettings => answered!(await account::update_settings),
        Operation::UpdateMaxRecordSize => silent!(await settings::update_max_record),
        Operation::UpdateShardCount => answered!(await shards::update_count),
        Operation::UpdateStreamMode => silent!(await settings::update_mode),
        Operation::UpdateStreamRecordDistributionStrategy => silent!(settings::update_distribution),
        Operation::UpdateStreamWarmThroughput => answered!(await settings::update_warm_throughput),
        Operation::PutRecords => {
            let input = request.input(body)?;
            request.answer(&records::put_many(to, input, &request.refused).await?)
        }
        Operation::SubscribeToShard => {
            let subscribed = consumers::subscribe(to, request.input(body)?).await?;
            let events = EventBody::new(service.clone(), subscribed, Arc::clone(line));
            Ok(Body::Events(events))
        }
    }
}
