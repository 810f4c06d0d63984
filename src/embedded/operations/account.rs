//! `DescribeLimits`, `DescribeAccountSettings`, `UpdateAccountSettings`.

use serde::Serialize;

use super::context::Context;
use super::input::{Structure, given, input};
use super::rules::{Inner, Words};
use super::types::Timestamp;
use crate::embedded::Error;
use crate::embedded::store::{AccountLimits, Commitment};

input! {
    /// Without members.
    NoInput {}
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeLimitsOutput {
    shard_limit: usize,
    open_shard_count: usize,
    on_demand_stream_count: usize,
    on_demand_stream_count_limit: usize,
    channel_count: u32,
}

pub(crate) fn limits(context: &Context<'_>, _: NoInput) -> Result<DescribeLimitsOutput, Error> {
    let AccountLimits {
        shards,
        on_demand_streams,
    } = context.with(|store, now| Ok(store.account_limits(now)))?;
    Ok(DescribeLimitsOutput {
        shard_limit: shards.most,
        open_shard_count: shards.used,
        on_demand_stream_count: on_demand_streams.used,
        on_demand_stream_count_limit: on_demand_streams.most,
        channel_count: 0,
    })
}

/// The answer to both that ask about settings.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountSettingsOutput {
    minimum_throughput_billing_commitment: CommitmentShape,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CommitmentShape {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_allowed_end_at: Option<Timestamp>,
}

impl From<Commitment> for AccountSettingsOutput {
    fn from(commitment: Commitment) -> Self {
        Self {
            minimum_throughput_billing_commitment: CommitmentShape {
                status: commitment.status(),
                started_at: commitment.started.map(Timestamp),
                ended_at: commitment.ended.map(Timestamp),
                earliest_allowed_end_at: commitment.earliest_end().map(Timestamp),
            },
        }
    }
}

pub(crate) fn settings(context: &Context<'_>, _: NoInput) -> Result<AccountSettingsOutput, Error> {
    context.with(|store, now| Ok(store.commitment(now).into()))
}

/// `MinimumThroughputBillingCommitmentInputStatus`.
const STATUSES: Words<bool> = Words(&[("ENABLED", true), ("DISABLED", false)]);

input! {
    CommitmentInput {
        status: String = "Status" must STATUSES,
    }
}

input! {
    UpdateAccountSettingsInput {
        commitment: Structure<CommitmentInput> = "MinimumThroughputBillingCommitment" must Inner,
    }
}

pub(crate) async fn update_settings(
    context: &Context<'_>,
    input: UpdateAccountSettingsInput,
) -> Result<AccountSettingsOutput, Error> {
    let Structure(commitment) = given(input.commitment)?;
    let is_on = given(STATUSES.meaning(&given(commitment.status)?))?;
    context
        .commit(|store, now| Ok(store.commit_account(is_on, now).into()))
        .await
}
