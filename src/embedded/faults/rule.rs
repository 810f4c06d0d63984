//! Rules: which fault, for whom, and when. As text: TOML or JSON.

use std::time::Duration;

use serde::Deserialize;

use crate::embedded::operations::Operation;
use crate::embedded::{Error, ErrorKind};

/// Seconds that a `delay` is, unless the rule says how long.
const DELAY: Duration = Duration::from_secs(1);
/// The part of a call's records that is refused, unless the rule says how many.
const SHARE: f64 = 0.5;
/// The most rules that are kept.
pub(super) const MOST_RULES: usize = 1_000;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $scope:ident;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(crate) enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// All of them.
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in rules and counters.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub(super) fn scope(self) -> Scope {
                match self { $(Self::$name => Scope::$scope,)* }
            }
        }
    };
}

/// What a fault is counted in, and what it can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every call.
    Calls,
    /// Calls of PutRecords and `PutRecord`.
    Writes,
    /// Calls of PutRecords.
    Batches,
    /// Calls of SubscribeToShard.
    Subscribes,
    /// Calls of SubscribeToShard and GetShardIterator that name a sequence number.
    Resumptions,
    /// Calls of GetRecords.
    Polls,
    /// Events of subscriptions.
    Events,
    /// Events of subscriptions that have records.
    Records,
    /// Events of subscriptions, or the calls of any other operation that the rule names.
    Connections,
    /// A change of the stream: at a moment, or at a call, of PutRecords unless the rule names another.
    Changes,
    /// Connections as they come.
    Accepts,
    /// Answers of `DescribeStreamSummary`.
    Summaries,
}

faults! {
    /// The call is refused: too fast.
    Throttle = "throttle", Calls;
    /// The call is refused, with the exception that the rule names.
    Refuse = "refuse", Calls;
    /// Some of a call's records are refused: too fast.
    ThrottleRecords = "throttle-records", Batches;
    /// The call is refused with status 500, and not carried out.
    InternalError = "internal-error", Calls;
    /// The call is carried out, and its connection reset before the answer.
    AnswerLost = "answer-lost", Calls;
    /// The call is carried out and never answered.
    AnswerNever = "answer-never", Calls;
    /// The call waits before it is carried out.
    Delay = "delay", Calls;
    /// The connection is reset before the call is carried out.
    Reset = "reset", Calls;
    /// The call is never answered; its records are written later.
    LateWrite = "late-write", Writes;
    /// The subscription is refused: there is one already.
    InUse = "in-use", Subscribes;
    /// The position is refused, as one past retention.
    TrimmedStart = "trimmed-start", Resumptions;
    /// The iterator is refused, as one too old.
    ExpiredIterator = "expired-iterator", Polls;
    /// The subscription says nothing more, and stays open.
    Silent = "silent", Events;
    /// The subscription ends, in order and too early.
    EarlyEnd = "early-end", Events;
    /// The subscription ends with an exception.
    Exception = "exception", Events;
    /// The event is delivered twice.
    Duplicate = "duplicate", Records;
    /// The HTTP/2 stream is reset (the connection, in HTTP/1.1): a subscription's, or a call's before it is carried out.
    StreamReset = "stream-reset", Connections;
    /// The server says that it takes no more calls on this connection.
    GoAway = "go-away", Connections;
    /// Nothing is read from or written to the connection any more, and it stays open.
    BlackHole = "black-hole", Connections;
    /// The connection may have few HTTP/2 streams at once.
    FewStreams = "few-streams", Accepts;
    /// The stream's summary says that it is being deleted.
    Deleting = "deleting", Summaries;
    /// The stream's summary says that its records are distributed as the service likes.
    AutoDistribution = "auto-distribution", Summaries;
    /// A shard is split.
    Split = "split", Changes;
    /// Two shards are merged.
    Merge = "merge", Changes;
    /// A consumer is deregistered, by somebody else.
    Deregister = "deregister", Changes;
    /// What a shard holds is dropped, and positions before that are refused from then on.
    Trim = "trim", Changes;
}

/// When a fault strikes, whom, and how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) fault: Fault,
    /// What it is counted as: its fault's name, unless this says otherwise.
    name: Option<String>,
    operation: Option<String>,
    pub(super) shard: Option<String>,
    /// A registered consumer's name.
    pub(super) consumer: Option<String>,
    /// A chance from 0 to 1.
    pub(super) rate: Option<f64>,
    /// This one and no other, from 1 on.
    pub(super) nth: Option<u64>,
    /// Every so many.
    pub(super) every: Option<u64>,
    /// At most so often.
    pub(super) times: Option<u64>,
    /// Not before so long after the rule was added.
    #[serde(default, with = "humantime_serde")]
    pub(super) after: Duration,
    /// And not from then on.
    #[serde(default, with = "humantime_serde")]
    pub(super) until: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    delay: Option<Duration>,
    /// The part of the records that is refused.
    share: Option<f64>,
    /// The exception, by its name in the service model.
    exception: Option<String>,
    /// What it says.
    message: Option<String>,
    /// HTTP/2 streams at once.
    streams: Option<u32>,
    #[serde(skip)]
    pub(super) only: Option<Operation>,
    #[serde(skip)]
    pub(super) thrown: Option<ErrorKind>,
}

impl Rule {
    /// What it is counted as.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.fault.name())
    }

    /// How long the call waits, or the write; how long after a GOAWAY the connection is cut, and after how long a black
    /// hole closes.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// The same, where there must be one.
    pub(crate) fn wait(&self) -> Duration {
        self.delay.unwrap_or(DELAY)
    }

    /// The part of the records that is refused.
    pub(super) fn share(&self) -> f64 {
        self.share.unwrap_or(SHARE)
    }

    /// HTTP/2 streams at once.
    pub(crate) fn streams(&self) -> u32 {
        self.streams.unwrap_or(1)
    }

    /// The exception that a subscription ends with, or a call is refused with.
    pub(crate) fn exception(&self) -> Error {
        let kind = self.thrown.unwrap_or(match self.fault {
            Fault::Refuse => ErrorKind::AccessDenied,
            _ => ErrorKind::InternalFailure,
        });
        let message = self.message.as_deref();
        Error::new(kind, message.unwrap_or("A fault was asked for."))
    }

    /// Whether it is to happen at a moment and not at a call.
    pub(super) fn is_timed(&self) -> bool {
        self.fault.scope() == Scope::Changes
            && self.only.is_none()
            && self.rate.is_none()
            && self.nth.is_none()
            && self.every.is_none()
    }

    /// Checks what the types do not say, and understands the names.
    pub(super) fn checked(mut self) -> Result<Self, RuleError> {
        let refuse = |problem: String| Err(RuleError(format!("{}: {problem}", self.fault.name())));
        for (key, part) in [("rate", self.rate), ("share", self.share)] {
            if part.is_some_and(|part| !(0.0..=1.0).contains(&part)) {
                return refuse(format!("{key} must be from 0 to 1"));
            }
        }
        if self.nth == Some(0) || self.every == Some(0) || self.streams == Some(0) {
            return refuse("nth, every and streams begin at 1".to_owned());
        }
        if [
            self.rate.is_some(),
            self.nth.is_some(),
            self.every.is_some(),
        ]
        .into_iter()
        .filter(|given| *given)
        .count()
            > 1
        {
            return refuse("rate, nth and every exclude each other".to_owned());
        }
        if let Some(name) = &self.operation {
            let Some(operation) = Operation::by_name(name) else {
                return refuse(format!("there is no operation {name}"));
            };
            if !self.fault.fits(operation) {
                return refuse(format!("it cannot strike {name}"));
            }
            self.only = Some(operation);
        }
        if let Some(name) = &self.exception {
            let kinds = match self.fault {
                Fault::Refuse => &ErrorKind::REFUSALS[..],
                _ => &ErrorKind::IN_STREAM,
            };
            let Some(kind) = kinds.iter().copied().find(|kind| kind.name() == name) else {
                return refuse(format!("this cannot be done with {name}"));
            };
            self.thrown = Some(kind);
        }
        Ok(self)
    }
}

impl Fault {
    /// Whether it can strike calls of that operation.
    pub(super) fn fits(self, operation: Operation) -> bool {
        let subscribes = operation == Operation::SubscribeToShard;
        match self.scope() {
            Scope::Calls | Scope::Connections | Scope::Changes => true,
            Scope::Writes => matches!(operation, Operation::PutRecord | Operation::PutRecords),
            Scope::Batches => operation == Operation::PutRecords,
            Scope::Subscribes | Scope::Events | Scope::Records => subscribes,
            Scope::Resumptions => subscribes || operation == Operation::GetShardIterator,
            Scope::Polls => operation == Operation::GetRecords,
            Scope::Summaries => operation == Operation::DescribeStreamSummary,
            Scope::Accepts => false,
        }
    }

    /// Whether what it strikes is carried on with, so that another fault may strike it as well.
    pub(super) fn goes_on(self) -> bool {
        match self {
            Self::Delay
            | Self::ThrottleRecords
            | Self::FewStreams
            | Self::Deleting
            | Self::AutoDistribution => true,
            _ => self.scope() == Scope::Changes,
        }
    }
}

/// Why rules are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuleError(pub(super) String);

/// What a file or a request may hold: rules, or one.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    /// From which chance is drawn; the same seed and the same calls give the same faults.
    pub(super) seed: Option<u64>,
    #[serde(default)]
    pub(super) rule: Vec<Rule>,
}

impl Rules {
    pub(super) fn from_toml(text: &str) -> Result<Self, RuleError> {
        let error = |error: toml::de::Error| RuleError(error.to_string());
        let table: toml::Table = toml::from_str(text).map_err(error)?;
        if table.contains_key("fault") {
            Self::one(toml::from_str(text).map_err(error)?)
        } else {
            // From the text once more, so that an error names its line.
            toml::from_str::<Self>(text).map_err(error)?.checked()
        }
    }

    pub(super) fn from_json(text: &[u8]) -> Result<Self, RuleError> {
        let error = |error: serde_json::Error| RuleError(error.to_string());
        let value: serde_json::Value = serde_json::from_slice(text).map_err(error)?;
        if value.get("fault").is_some() {
            Self::one(serde_json::from_value(value).map_err(error)?)
        } else {
            serde_json::from_value::<Self>(value)
                .map_err(error)?
                .checked()
        }
    }

    fn one(rule: Rule) -> Result<Self, RuleError> {
        Self {
            seed: None,
            rule: vec![rule],
        }
        .checked()
    }

    fn checked(self) -> Result<Self, RuleError> {
        let rule = self.rule.into_iter().map(Rule::checked);
        Ok(Self {
            rule: rule.collect::<Result<_, _>>()?,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Rules::from_toml(text).unwrap_err().to_string()
    }

    #[test]
    fn a_rule_is_the_same_as_toml_and_as_json_alone_and_in_a_list() {
        let list = "seed = 7\n[[rule]]\nfault = \"late-write\"\nnth = 3\ndelay = \"250ms\"\nshard = \"shardId-000000000000\"\n";
        let list = Rules::from_toml(list).unwrap();
        assert_eq!(list.seed, Some(7));
        let json =
            br#"{"fault":"late-write","nth":3,"delay":"250ms","shard":"shardId-000000000000"}"#;
        let one = Rules::from_json(json).unwrap();
        assert_eq!(one.rule, list.rule);
        let toml = "fault = \"late-write\"\nnth = 3\ndelay = \"250ms\"\nshard = \"shardId-000000000000\"\n";
        assert_eq!(Rules::from_toml(toml).unwrap().rule, list.rule);
        assert_eq!(one.rule[0].wait(), Duration::from_millis(250));
    }

    #[test]
    fn every_fault_is_read_by_its_name() {
        for fault in Fault::ALL {
            let text = format!("fault = {:?}", fault.name());
            let rules = Rules::from_toml(&text).unwrap();
            assert_eq!(rules.rule[0].fault, *fault, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        assert!(error("fault = \"trottle\"").contains("trottle"));
        assert!(error("fault = \"throttle\"\nrates = 1").contains("rates"));
        assert!(error("fault = \"throttle\"\nrate = 1.5").contains("rate must be"));
        assert!(error("fault = \"throttle\"\nnth = 0").contains("begin at 1"));
        assert!(error("fault = \"throttle\"\nnth = 1\nrate = 0.5").contains("exclude"));
        assert!(error("fault = \"throttle\"\noperation = \"Put\"").contains("operation Put"));
        assert!(error("fault = \"silent\"\noperation = \"PutRecords\"").contains("cannot strike"));
        assert!(error("fault = \"exception\"\nexception = \"Oops\"").contains("Oops"));
        assert!(
            error("fault = \"exception\"\nexception = \"AccessDeniedException\"")
                .contains("cannot")
        );
        assert!(error("fault = \"refuse\"\nexception = \"Oops\"").contains("Oops"));
        assert!(
            error("fault = \"deleting\"\noperation = \"PutRecords\"").contains("cannot strike")
        );
        assert!(error("[[rules]]").contains("rules"));
    }
}
