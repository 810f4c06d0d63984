//! What is printed at the end, and whether it is good enough.

use std::time::Duration;

use crate::checker::{Checked, Violation};
use crate::director::Done;
use crate::holding::Holding;
use crate::plan::{FAULTS, Kind, Step};
use crate::run::Counts;
use crate::world::Tally;

/// Messages acknowledged for every second of the run, at least, but for those in which the whole stream is throttled: else
/// it proves little.
const ACKNOWLEDGED_A_SECOND: u64 = 20;
/// Resumes within the window that must be recovered, in percent.
const RECOVERED: u64 = 90;
/// Violations that are printed of all that were found.
const PRINTED: usize = 20;
/// And of those that had to be found.
const WANTED_PRINTED: usize = 3;
/// And viewers whose comings and goings are.
const DIARIES: usize = 3;

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Report {
    planned: Vec<(Kind, usize)>,
    /// The instances showed repeats, which had to be found.
    shows_repeats: bool,
    /// For how long nothing could be put into the stream, by the plan.
    throttled: Duration,
    pub(crate) done: Done,
    /// Of the embedded service's own counting.
    pub(crate) faults: Counts,
    pub(crate) drained_in: Duration,
    pub(crate) shards: usize,
    /// What each process held before and after.
    pub(crate) holdings: Vec<(Holding, Holding)>,
}

impl Report {
    pub(crate) fn new(plan: &[Step], tls: bool, shows_repeats: bool) -> Self {
        let count = |kind: Kind| plan.iter().filter(|step| step.kind == kind).count();
        let planned = Kind::all(tls).into_iter().map(|kind| (kind, count(kind)));
        let droughts = plan.iter().filter(|step| step.kind == Kind::Drought);
        Self {
            throttled: droughts.map(|step| step.length).sum(),
            shows_repeats,
            planned: planned.filter(|(_, count)| *count > 0).collect(),
            ..Self::default()
        }
    }

    /// How often a kind really occurred.
    fn occurred(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Fault(index) => FAULTS
                .get(index)
                .and_then(|(name, _)| self.faults.get(*name))
                .copied()
                .unwrap_or_default(),
            kind => self.done.get(&kind).copied().unwrap_or_default(),
        }
    }
}

/// The report with what was found wrong.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) report: Report,
    pub(crate) checked: Checked,
    pub(crate) violations: Vec<Violation>,
    /// What the checker noticed when it was shown a broken run.
    pub(crate) proofs: Result<Vec<String>, String>,
    pub(crate) problems: Vec<String>,
    /// Records in shards that do not own their room, and repeats, in the stream itself.
    pub(crate) misrouted: usize,
    pub(crate) repeats: usize,
    pub(crate) viewers: usize,
    pub(crate) failed: Vec<String>,
    /// Messages that had to be acknowledged, at least.
    pub(crate) wanted: u64,
    /// How those came and went with whom something is wrong.
    pub(crate) diaries: Vec<(String, Vec<String>)>,
}

impl Findings {
    /// Adds what was too little, and prints what was counted.
    pub(crate) fn judge(&mut self, tally: &Tally, length: Duration) {
        for (kind, _) in &self.report.planned {
            if self.report.occurred(*kind) == 0 {
                self.failed
                    .push(format!("{kind} was planned and never occurred"));
            }
        }
        let (recovered, not) = (tally.recovered.get(), tally.not_recovered.get());
        if recovered * 100 < (recovered + not) * RECOVERED {
            self.failed.push(format!(
                "{recovered} of {} resumes within the window were recovered: under {RECOVERED} %",
                recovered + not
            ));
        }
        let open = length.saturating_sub(self.report.throttled);
        let wanted = open.as_secs() * ACKNOWLEDGED_A_SECOND;
        self.wanted = wanted;
        if tally.acknowledged.get() < wanted {
            self.failed.push(format!(
                "{} messages were acknowledged, at least {wanted} are wanted",
                tally.acknowledged.get()
            ));
        }
        if self.report.shows_repeats && self.count(is_repeat) == 0 {
            self.failed
                .push("the checker is blind: it found no repeat where none was removed".to_owned());
        }
        if let Err(error) = &self.proofs {
            self.failed.push(format!("the checker is blind: {error}"));
        }
        println!("\n\nwhat went wrong on purpose        planned  occurred");
        for (kind, planned) in &self.report.planned {
            println!("  {kind:30} {planned:8} {:9}", self.report.occurred(*kind));
        }
        println!(
            "posts: {} accepted, {} refused with Retry-After ({} of them while the whole stream was throttled), {} unanswered, {} broken; {} sent again",
            tally.accepted.get(),
            tally.refused.get(),
            tally.refused_in_droughts.get(),
            tally.unanswered.get(),
            tally.broken.get(),
            tally.again.get()
        );
        println!(
            "viewers: {}; {} connections lost; {} first joins, {} of them with a forged position",
            self.viewers,
            tally.lost_connections.get(),
            tally.joins.get(),
            tally.forged.get()
        );
        println!(
            "resumes: {recovered} recovered, {not} not ({} of those on an instance that was not ready), {} after the window; {} times on another instance",
            tally.not_recovered_unready.get(),
            tally.late_resumes.get(),
            tally.elsewhere.get()
        );
    }

    pub(crate) fn is_sound(&self) -> bool {
        // Whoever comes between a message and its repeat sees another order, too.
        (self.report.shows_repeats || self.violations.is_empty())
            && self.problems.is_empty()
            && self.failed.is_empty()
    }

    fn count(&self, is: fn(&Violation) -> bool) -> usize {
        self.violations.iter().filter(|v| is(v)).count()
    }

    pub(crate) fn print(&self) {
        let Checked {
            acknowledged,
            shown,
            owed,
            shown_again,
        } = self.checked;
        println!(
            "messages: {acknowledged} acknowledged ({} at least), {shown} seen, {owed} owed and looked for, {shown_again} seen again after a resume that was not recovered",
            self.wanted
        );
        println!(
            "stream: {} shards open and read; {} repeats and {} misrouted messages in it that nobody may see; drained in {:.1} s",
            self.report.shards,
            self.repeats,
            self.misrouted,
            self.report.drained_in.as_secs_f64()
        );
        for (nth, (before, after)) in self.report.holdings.iter().enumerate() {
            println!(
                "process {nth}: descriptors {} → {} ({}), tasks {} → {}, threads {} → {}, memory {} → {} MiB",
                before.descriptors.count(),
                after.descriptors.count(),
                after.descriptors.since(&before.descriptors),
                before.tasks,
                after.tasks,
                before.threads,
                after.threads,
                before.resident >> 20,
                after.resident >> 20
            );
        }
        if let Ok(proofs) = &self.proofs {
            println!("the checker, shown this run with");
            for proof in proofs {
                println!("  {proof}");
            }
        }
        println!(
            "lost {}, repeated {}, out of order {}, otherwise wrong {}",
            self.count(|v| matches!(v, Violation::Lost { .. })),
            self.count(is_repeat),
            self.count(|v| matches!(
                v,
                Violation::Disordered { .. } | Violation::Overtaken { .. }
            )),
            self.count(|v| matches!(
                v,
                Violation::Misrouted { .. } | Violation::Unknown { .. } | Violation::Strange { .. }
            )),
        );
        if self.report.shows_repeats {
            println!("no repeat was removed, and the checker found them, such as");
            let wanted = self.violations.iter().filter(|v| is_repeat(v));
            for violation in wanted.take(WANTED_PRINTED) {
                println!("  {violation}");
            }
            return self.print_failures();
        }
        for violation in self.violations.iter().take(PRINTED) {
            eprintln!("VIOLATION {violation}");
        }
        for (name, diary) in self.diaries.iter().take(DIARIES) {
            eprintln!("{name}\n    {}", diary.join("\n    "));
        }
        self.print_failures();
    }

    fn print_failures(&self) {
        for problem in &self.problems {
            eprintln!("PROBLEM {problem}");
        }
        for failed in &self.failed {
            eprintln!("FAILED {failed}");
        }
    }
}

fn is_repeat(violation: &Violation) -> bool {
    matches!(violation, Violation::Repeated { .. })
}
