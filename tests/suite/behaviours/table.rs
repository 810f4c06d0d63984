//! The list of behaviours, as it stands in `tests/behaviours/*.toml`.
//!
//! A case has a name (a sentence), the source of what it expects, and steps: calls, and what is to come. Most begin with
//! a stream of their own.
//!
//! | key of a case | meaning |
//! | --- | --- |
//! | `source` | where the service model (`Operation`, `Operation$Member`, `Shape`) or the documentation says so |
//! | `stream = n` | a stream with `n` shards is made first: `$stream`, `$arn`, `$created`, `$shard0`, `$start0`, `$end0`, … |
//! | `consumer = true` | and a consumer is registered with it: `$consumer`, `$consumer_arn` |
//! | `service` | `usual` (the program with `--embedded-limits aws`), `brief` (subscriptions and tokens live a second or two), `slow` (CREATING, UPDATING and DELETING take time) |
//! | `unsayable` | clients whose types cannot express the last step, with what keeps them from it |
//!
//! | key of a step | meaning |
//! | --- | --- |
//! | `call` | an operation; `with` is its input |
//! | `subscribe` | SubscribeToShard with `with` as input; its value is the subscription's handle |
//! | `event` | the next event of the subscription of that handle; with `gather = n` as many as bring `n` records, as if one |
//! | `close` | the client leaves the subscription |
//! | `pause` | so many seconds of the service's time pass |
//! | `expect` | the answer: members that are named must be so, others are not looked at (`matcher.rs`) |
//! | `error` | or the type of the error, or several of which one must come |
//! | `end` | or the end of the subscription: `<quietly>`, or the type of the exception that ends it, or several of which one must come |
//! | `until` | again and again until what is expected comes; for events, those that are otherwise are passed over |
//! | `keep` | names for parts of the answer, by JSON pointer, to be used as `$name` or `${name}` in later steps |
//! | `mark`, `within`, `not-before` | a time to count from; the seconds in which the answer must be here for the case to be conclusive at all (else it is run again); and those before which it must not be |
//!
//! `$new` and `$new2` are names of streams that do not exist yet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) source: String,
    #[serde(default)]
    pub(super) service: Kind,
    pub(super) stream: Option<u32>,
    #[serde(default)]
    pub(super) consumer: bool,
    #[serde(default)]
    pub(super) unsayable: BTreeMap<String, String>,
    pub(super) steps: Vec<Step>,
}

/// Which service a case is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    #[default]
    Usual,
    Brief,
    Slow,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Step {
    pub(super) call: Option<String>,
    pub(super) subscribe: Option<String>,
    pub(super) event: Option<String>,
    pub(super) close: Option<String>,
    pub(super) pause: Option<f64>,
    #[serde(default)]
    pub(super) with: Map<String, Value>,
    #[serde(default)]
    pub(super) gather: usize,
    pub(super) expect: Option<Value>,
    pub(super) error: Option<OneOf>,
    pub(super) end: Option<OneOf>,
    #[serde(default)]
    pub(super) until: bool,
    #[serde(default)]
    pub(super) keep: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) mark: bool,
    pub(super) within: Option<f64>,
    pub(super) not_before: Option<f64>,
}

impl Step {
    pub(super) fn takes_time(&self) -> bool {
        self.pause.is_some() || self.not_before.is_some()
    }
}

/// One word, or several of which any will do.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOf {
    This(String),
    Any(Vec<String>),
}

impl OneOf {
    pub(super) fn words(&self) -> &[String] {
        match self {
            Self::This(word) => std::slice::from_ref(word),
            Self::Any(words) => words,
        }
    }
}

/// All cases, in the order of the files' names.
pub(super) fn cases() -> Vec<Case> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        case: Vec<Case>,
    }
    let folder = folder();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry of the folder").path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    let cases: Vec<_> = files
        .iter()
        .flat_map(|path| read::<File>(path).case)
        .collect();
    let mut names = BTreeSet::new();
    for case in &cases {
        assert!(
            names.insert(&case.name),
            "two cases are called {:?}",
            case.name
        );
    }
    cases
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviours")
}
