//! What goes wrong, and when: all of it drawn from the seed before anything starts. Pure.
//!
//! The run is cut into rounds of about a minute. Each round is a shuffled deck in which every kind occurs at least once, so that
//! each occurs however short the run is.

use std::fmt;
use std::time::Duration;

/// How long a round is, about.
const ROUND: Duration = Duration::from_mins(1);
/// The longest time for which an instance is stopped, in a run that is long enough.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// For how long the whole stream is throttled in every so manieth round; in the others for a tenth of them.
const LONG_DROUGHT: Duration = Duration::from_secs(30);
const ROUNDS_TO_A_LONG_DROUGHT: u32 = 4;
/// Before it, for nothing that is put meanwhile would be struck by anything else, and there are windows of so long.
const BEFORE_A_DROUGHT: Duration = Duration::from_secs(3);

/// Faults of the embedded service that are asked for at run time: name, and the rule without its name and seed.
///
/// Rules end by themselves (`times`, `until`); what needs an occasion comes with a rule that makes one.
pub(crate) const FAULTS: &[(&str, &str)] = &[
    (
        "throttle",
        r#"[{"fault":"throttle","operation":"PutRecords","rate":0.5,"until":"2s"},{"fault":"throttle","rate":0.3,"until":"2s"}]"#,
    ),
    (
        "throttle-records",
        r#"[{"fault":"throttle-records","rate":0.7,"until":"3s"}]"#,
    ),
    (
        "internal-error",
        r#"[{"fault":"internal-error","rate":0.3,"until":"2s"}]"#,
    ),
    (
        "delay",
        r#"[{"fault":"delay","operation":"PutRecords","rate":0.3,"delay":"400ms","until":"3s"}]"#,
    ),
    ("reset", r#"[{"fault":"reset","rate":0.3,"until":"2s"}]"#),
    (
        "answer-lost",
        r#"[{"fault":"answer-lost","operation":"PutRecords","rate":0.4,"until":"3s"}]"#,
    ),
    (
        "answer-never",
        r#"[{"fault":"answer-never","operation":"PutRecords","rate":0.3,"times":3,"until":"20s"}]"#,
    ),
    (
        "late-write",
        r#"[{"fault":"late-write","rate":0.3,"times":4,"delay":"7s","until":"20s"}]"#,
    ),
    (
        "in-use",
        r#"[{"fault":"in-use","times":2,"until":"30s"},{"fault":"early-end","name":"made way for in-use","times":2}]"#,
    ),
    (
        "trimmed-start",
        r#"[{"fault":"trimmed-start","times":1,"until":"30s"},{"fault":"early-end","name":"made way for trimmed-start","times":2}]"#,
    ),
    (
        "expired-iterator",
        r#"[{"fault":"expired-iterator","rate":0.3,"times":3,"until":"20s"}]"#,
    ),
    (
        "silent",
        r#"[{"fault":"silent","rate":0.3,"times":1,"until":"20s"}]"#,
    ),
    (
        "early-end",
        r#"[{"fault":"early-end","rate":0.2,"times":3,"until":"20s"}]"#,
    ),
    (
        "exception",
        r#"[{"fault":"exception","exception":"InternalFailureException","rate":0.2,"times":1,"until":"20s"},{"fault":"exception","exception":"ResourceInUseException","rate":0.2,"times":1,"until":"20s"},{"fault":"exception","exception":"KMSThrottlingException","rate":0.2,"times":1,"until":"20s"}]"#,
    ),
    (
        "duplicate",
        r#"[{"fault":"duplicate","rate":0.3,"times":40,"until":"20s"}]"#,
    ),
    (
        "stream-reset",
        r#"[{"fault":"stream-reset","rate":0.2,"times":2,"until":"20s"},{"fault":"stream-reset","operation":"PutRecords","rate":0.2,"times":2,"until":"20s"}]"#,
    ),
    (
        "go-away",
        r#"[{"fault":"go-away","rate":0.2,"times":1,"until":"20s"},{"fault":"go-away","operation":"PutRecords","rate":0.2,"times":1,"delay":"500ms","until":"20s"}]"#,
    ),
    (
        "black-hole",
        r#"[{"fault":"black-hole","rate":0.2,"times":1,"delay":"30s","until":"20s"},{"fault":"black-hole","operation":"PutRecords","rate":0.2,"times":1,"delay":"30s","until":"20s"}]"#,
    ),
    ("deregister", r#"[{"fault":"deregister"}]"#),
    (
        "few-streams",
        r#"[{"fault":"few-streams","streams":2,"times":2,"until":"30s"},{"fault":"go-away","name":"made way for few-streams","times":2,"delay":"200ms","until":"30s"}]"#,
    ),
];

/// The last of them is one of HTTP/2, and occurs only over https.
const OVER_TLS_ONLY: usize = 1;

/// A kind of thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A fault of the stream's, an index into [`FAULTS`].
    Fault(usize),
    /// A shard is split.
    Split,
    /// Two shards are merged.
    Merge,
    /// `kill -9` of an instance, which is started again on its port.
    Kill,
    /// SIGSTOP of an instance, and SIGCONT after a while.
    Pause,
    /// All instances are killed and started again at once.
    KillAll,
    /// Many messages at the same time, in no order.
    Burst,
    /// Nothing can be put into the stream for a while: publishers are refused.
    Drought,
}

impl Kind {
    /// Every kind, over https or not.
    pub(crate) fn all(tls: bool) -> Vec<Self> {
        let faults = FAULTS.len() - if tls { 0 } else { OVER_TLS_ONLY };
        let others = [
            Self::Split,
            Self::Merge,
            Self::Kill,
            Self::Pause,
            Self::KillAll,
            Self::Burst,
            Self::Drought,
        ];
        (0..faults).map(Self::Fault).chain(others).collect()
    }

    /// How often it occurs in a round.
    fn per_round(self) -> usize {
        match self {
            Self::Split | Self::Merge | Self::Kill | Self::Burst => 3,
            Self::Pause => 2,
            Self::Fault(_) | Self::KillAll | Self::Drought => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fault(index) => FAULTS.get(*index).map_or("fault", |(name, _)| name),
            Self::Split => "split",
            Self::Merge => "merge",
            Self::Kill => "kill -9",
            Self::Pause => "SIGSTOP",
            Self::KillAll => "all killed",
            Self::Burst => "burst",
            Self::Drought => "whole stream throttled",
        })
    }
}

/// One of them at its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Since the start.
    pub(crate) at: Duration,
    pub(crate) kind: Kind,
    /// How long an instance stays stopped, or dead, or the stream throttled.
    pub(crate) length: Duration,
    /// What it draws from if it has more to choose.
    pub(crate) seed: u64,
}

/// What goes wrong in a run of `length`.
pub(crate) fn plan(seed: u64, length: Duration, tls: bool) -> Vec<Step> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let rounds = (length.as_secs() / ROUND.as_secs()).max(1);
    let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
    let each = length / rounds;
    let pauses = LONGEST_PAUSE.min(each / 10);
    let longer_pauses = if rounds > 1 { LONGEST_PAUSE } else { pauses };
    let mut steps = Vec::new();
    for round in 0..rounds {
        let mut deck: Vec<Kind> = Kind::all(tls)
            .into_iter()
            .filter(|kind| *kind != Kind::Drought)
            .flat_map(|kind| std::iter::repeat_n(kind, kind.per_round()))
            .collect();
        rng.shuffle(&mut deck);
        let count = u32::try_from(deck.len()).unwrap_or(u32::MAX);
        // It comes last, alone.
        let drought = if (round + 1) % ROUNDS_TO_A_LONG_DROUGHT == 0 {
            LONG_DROUGHT
        } else {
            each / 10
        };
        let alone = drought + BEFORE_A_DROUGHT.min(each / 10);
        let busy = each.saturating_sub(alone);
        let gap = busy / (count + 1);
        for (nth, kind) in (0..).zip(deck) {
            let longest = match kind {
                Kind::Pause => longer_pauses,
                _ => Duration::from_secs(2),
            };
            steps.push(Step {
                at: each * round + gap * nth + gap.mul_f64(rng.f64()),
                kind,
                length: longest.mul_f64(0.2 + 0.8 * rng.f64()),
                seed: rng.u64(..),
            });
        }
        steps.push(Step {
            at: (each * (round + 1)).saturating_sub(drought),
            kind: Kind::Drought,
            length: drought,
            seed: rng.u64(..),
        });
    }
    steps
}

/// What makes the stream hold messages twice, evenly over a run, for one that is to see them.
pub(crate) fn of_repeats(seed: u64, length: Duration) -> Vec<Step> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let named = |name: &str| FAULTS.iter().position(|(fault, _)| *fault == name);
    let kinds = ["answer-lost", "late-write", "answer-lost"]
        .into_iter()
        .filter_map(named)
        .map(Kind::Fault);
    let at = (0_u32..).map(|nth| length * nth / 4);
    kinds
        .zip(at)
        .map(|(kind, at)| Step {
            at,
            kind,
            length: Duration::ZERO,
            seed: rng.u64(..),
        })
        .collect()
}
