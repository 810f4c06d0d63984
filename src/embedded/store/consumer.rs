//! Registered consumers of a stream.

use std::collections::HashMap;
use std::sync::Arc;

use super::rates::Bucket;
use super::subscription::SubscriptionId;
use super::tags::Tags;
use crate::embedded::clock::Now;

/// A registered consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) name: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub(crate) created: u64,
    pub(crate) tags: Tags,
    /// The second in its ARN, so that a name registered again is another consumer.
    pub(crate) second: u64,
    /// Steady time from which on it can subscribe.
    pub(super) active_at: u64,
    /// Steady time at which it is gone, once it was deregistered.
    pub(super) gone_at: Option<u64>,
    /// The latest successful subscription to each shard, by the shard's number.
    pub(super) leases: HashMap<u32, Lease>,
    /// How often it subscribes to each shard, where that is limited.
    pub(super) subscribing: HashMap<u32, Bucket>,
}

/// A successful subscription, live or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) id: SubscriptionId,
    /// Steady time.
    pub(super) since: u64,
}

impl Consumer {
    /// Its state, as the service model names it.
    pub(crate) fn status(&self, now: Now) -> &'static str {
        if self.gone_at.is_some() {
            "DELETING"
        } else if now.steady < self.active_at {
            "CREATING"
        } else {
            "ACTIVE"
        }
    }

    /// Whether it can subscribe.
    pub(super) fn is_active(&self, now: Now) -> bool {
        self.gone_at.is_none() && !self.is_creating(now)
    }

    pub(super) fn is_creating(&self, now: Now) -> bool {
        self.gone_at.is_none() && now.steady < self.active_at
    }
}
