//! Does what the plan says, at its moments.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::sync::MutexGuard;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::plan::{FAULTS, Kind, Step};
use crate::process::Process;
use crate::publisher;
use crate::stream::Stream;
use crate::world::World;

/// Shards are split up to so many, and merged down to so few.
const SHARDS: std::ops::RangeInclusive<usize> = 2..=8;
/// How often a change of the stream is tried: another may be under way.
const TRIES: usize = 20;
/// Bursts write as publishers from here on.
const BURSTS: u32 = 1_000_000;

/// How often each kind was done.
pub(crate) type Done = BTreeMap<Kind, u64>;

pub(crate) struct Director {
    pub(crate) world: Arc<World>,
    pub(crate) stream: Arc<Stream>,
    pub(crate) done: Mutex<Done>,
}

impl Director {
    /// Goes through the plan, and returns when all of it is done and every instance runs again.
    pub(crate) async fn direct(self: &Arc<Self>, plan: Vec<Step>) {
        let start = Instant::now();
        let mut steps = JoinSet::new();
        for (step, nth) in plan.into_iter().zip(0..) {
            sleep_until(start + step.at).await;
            let director = Arc::clone(self);
            steps.spawn(async move { director.step(step, nth).await });
            while steps.try_join_next().is_some() {}
        }
        while steps.join_next().await.is_some() {}
    }

    async fn step(&self, step: Step, nth: u32) {
        let mut rng = fastrand::Rng::with_seed(step.seed);
        let done = match step.kind {
            Kind::Fault(index) => {
                let (_, rules) = FAULTS.get(index).copied().unwrap_or_default();
                self.stream.add_faults(step.seed % 1_000_000, rules).await
            }
            Kind::Split => self.reshape(true, &mut rng).await,
            Kind::Merge => self.reshape(false, &mut rng).await,
            Kind::Kill => self.kill(step.length, &mut rng).await,
            Kind::Pause => self.pause(step.length, &mut rng).await,
            Kind::KillAll => self.kill_all(step.length).await,
            Kind::Burst => {
                let room = rng.usize(..self.world.rooms.len());
                let count = rng.u32(150..400);
                publisher::burst(Arc::clone(&self.world), room, BURSTS + nth, count, rng).await;
                Ok(())
            }
            Kind::Drought => self.drought(step).await,
        };
        match done {
            Ok(()) => {
                let mut done = self
                    .done
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                *done.entry(step.kind).or_default() += 1;
            }
            Err(error) => tracing_line(step.kind, &error),
        }
    }

    /// Splits or merges, whichever is meant and, at the bounds, whichever is possible.
    async fn reshape(&self, split: bool, rng: &mut fastrand::Rng) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..TRIES {
            let open = self.stream.open_shards().await;
            let changed = match open.map(|open| open.len()) {
                Err(error) => Err(error),
                Ok(open) if split && open >= *SHARDS.end() => {
                    // Room is made first; what counts is the split that follows.
                    let _ = self.stream.merge(rng).await;
                    Err("too many shards".to_owned())
                }
                Ok(open) if !split && open <= *SHARDS.start() => {
                    let _ = self.stream.split(rng).await;
                    Err("too few shards".to_owned())
                }
                Ok(_) if split => self.stream.split(rng).await,
                Ok(_) => self.stream.merge(rng).await,
            };
            match changed {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            sleep(Duration::from_millis(300)).await;
        }
        Err(last)
    }

    /// An instance that nobody else is at, or the first that comes free.
    async fn pick(&self, rng: &mut fastrand::Rng) -> Option<MutexGuard<'_, Process>> {
        let broken = self.world.instances.len() - 1;
        let first = rng.usize(..broken);
        for nth in 0..broken {
            let instance = self.world.instances.get((first + nth) % broken)?;
            if let Ok(process) = instance.process.try_lock() {
                return Some(process);
            }
        }
        Some(self.world.instances.get(first)?.process.lock().await)
    }

    /// Throttles all that is put; somebody must be refused meanwhile.
    async fn drought(&self, step: Step) -> Result<(), String> {
        let tally = &self.world.tally;
        let before = tally.refused.get();
        let rule = format!(
            r#"[{{"fault":"throttle","name":"drought","operation":"PutRecords","until":"{}ms"}}]"#,
            step.length.as_millis()
        );
        self.stream.add_faults(step.seed % 1_000_000, &rule).await?;
        sleep(step.length).await;
        let refused = tally.refused.get() - before;
        tally.refused_in_droughts.add_many(refused);
        if refused == 0 {
            return Err("nobody was refused".to_owned());
        }
        Ok(())
    }

    async fn kill(&self, length: Duration, rng: &mut fastrand::Rng) -> Result<(), String> {
        let mut process = self.pick(rng).await.ok_or("there is no instance")?;
        process.kill();
        sleep(length).await;
        process.start().map_err(|error| error.to_string())
    }

    async fn pause(&self, length: Duration, rng: &mut fastrand::Rng) -> Result<(), String> {
        let process = self.pick(rng).await.ok_or("there is no instance")?;
        process
            .signal(Signal::STOP)
            .map_err(|error| error.to_string())?;
        sleep(length).await;
        process
            .signal(Signal::CONT)
            .map_err(|error| error.to_string())
    }

    async fn kill_all(&self, length: Duration) -> Result<(), String> {
        let broken = self.world.instances.len() - 1;
        let broken = self.world.instances.iter().take(broken);
        let mut processes = join_all(broken.map(|instance| instance.process.lock())).await;
        for process in &mut processes {
            process.kill();
        }
        sleep(length).await;
        for process in &mut processes {
            process.start().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Notices processes that end by themselves, and starts them again so that the run goes on. Never returns.
    pub(crate) async fn watch(&self) {
        loop {
            sleep(Duration::from_millis(200)).await;
            for instance in &self.world.instances {
                let Ok(mut process) = instance.process.try_lock() else {
                    continue;
                };
                if let Some(status) = process.ended() {
                    self.world.problem(format!(
                        "{} ended by itself with {status}; its last words:\n    {}",
                        process.name,
                        process.last_words()
                    ));
                    let _ = process.start();
                }
            }
        }
    }
}

/// A step that could not be done: that is no violation, but its kind may be missing at the end.
fn tracing_line(kind: Kind, error: &str) {
    eprintln!("    {kind} could not be done: {error}");
}
