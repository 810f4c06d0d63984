//! A run from its start to its verdict.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::args::Args;
use crate::checker::{self, Key};
use crate::director::{Director, Done};
use crate::health::{self, LOG_MEMORY, STREAM_MEMORY, Shards};
use crate::process::{Process, Program, free_address};
use crate::publisher;
use crate::report::{Findings, Report};
use crate::stream::Stream;
use crate::tls::Certificates;
use crate::viewer::{Habit, View};
use crate::world::{Instance, MARKERS, Phase, RESUME_WINDOW, World};

/// Shards at the start.
const SHARDS: usize = 4;
/// Publishers in a busy room, and how long each pauses between two messages, on average.
const PUBLISHERS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(120);
/// How long the only publisher of the nearly silent room pauses.
const LONG_PAUSE: Duration = Duration::from_secs(4);
/// Roaming viewers in a room.
const ROAMING: usize = 4;
/// How often a guest comes.
const GUESTS_EVERY: Duration = Duration::from_millis(1_500);
/// How long until all processes are ready, or all viewers there.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long until all viewers have seen the last message of their room.
const DRAIN_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Sound,
    Broken,
    Interrupted,
}

/// Runs, unless somebody asks for an end before.
pub(crate) async fn until_interrupted(args: &Args, seed: u64) -> Result<Outcome, String> {
    let mut interrupts = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminations = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        outcome = run(args, seed) => outcome,
        _ = interrupts.recv() => Ok(Outcome::Interrupted),
        _ = terminations.recv() => Ok(Outcome::Interrupted),
    }
}

async fn run(args: &Args, seed: u64) -> Result<Outcome, String> {
    println!("chaos: {}", args.command(seed));
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let logs = args.logs.as_deref().unwrap_or(folder.path());
    std::fs::create_dir_all(logs).map_err(|error| error.to_string())?;
    // The instances start in folders of their own.
    let logs = &std::path::absolute(logs).map_err(|error| error.to_string())?;
    let findings = go_through(args, seed, logs).await;
    let is_sound = findings.as_ref().is_ok_and(Findings::is_sound);
    if !is_sound && args.logs.is_none() {
        eprintln!("the logs are kept in {}", folder.keep().display());
    }
    let findings = findings?;
    findings.print();
    Ok(if is_sound {
        Outcome::Sound
    } else {
        Outcome::Broken
    })
}

async fn go_through(args: &Args, seed: u64, logs: &Path) -> Result<Findings, String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let plan = args.steps(seed);
    let (phase, watching) = watch::channel(Phase::Gathering);
    let (instances, stream) = start(args, logs).await?;
    let world = Arc::new(World::new(watching, instances));
    let stream = Arc::new(stream);
    wait_until(START_LIMIT, "every instance is ready", async || {
        for instance in 0..world.instances.len() {
            if !world.is_ready(instance).await {
                return false;
            }
        }
        true
    })
    .await?;
    let before = health::holdings(&world, &stream).await;

    let mut viewers = JoinSet::new();
    for (room, name) in world.rooms.iter().enumerate() {
        for nth in 0..=ROAMING {
            let (habit, name) = match nth {
                0 => (Habit::Steady, format!("{name}'s steady viewer")),
                nth => (Habit::Roaming, format!("{name}'s viewer {nth}")),
            };
            viewers.spawn(View::new(&world, room, habit, name, rng.fork()).run());
        }
    }
    wait_until(START_LIMIT, "every viewer has joined", async || {
        let recording = world.recording();
        recording
            .viewers
            .iter()
            .all(|viewer| !viewer.stays.is_empty())
    })
    .await?;

    let director = Arc::new(Director {
        world: Arc::clone(&world),
        stream: Arc::clone(&stream),
        done: std::sync::Mutex::default(),
    });
    // Dropped with this future, also when it is interrupted: nothing outlives it.
    let mut beside = JoinSet::new();
    beside.spawn({
        let director = Arc::clone(&director);
        async move { director.watch().await }
    });
    beside.spawn(progress(Arc::clone(&world), args.length()));
    beside.spawn(guests(Arc::clone(&world), rng.fork()));
    let mut publishers = publishers(&world, &mut rng);

    let start = Instant::now();
    phase.send_replace(Phase::Breaking);
    director.direct(plan.clone()).await;
    sleep(args.length().saturating_sub(start.elapsed())).await;
    let mut report = Report::new(&plan, args.tls, args.show_repeats);
    heal(&stream).await?;
    phase.send_replace(Phase::Draining);

    while let Some(ended) = publishers.join_next().await {
        ended.map_err(|error| error.to_string())?;
    }
    let mut last = JoinSet::new();
    for (room, publisher) in (0..world.rooms.len()).zip(MARKERS..) {
        let (world, rng) = (Arc::clone(&world), rng.fork());
        let key = Key {
            publisher,
            number: 0,
        };
        last.spawn(async move { publisher::mark(&world, room, key, rng).await });
    }
    while last.join_next().await.is_some() {}
    let drained = async || world.unmarked().is_empty();
    if wait_until(DRAIN_LIMIT, "", drained).await.is_err() {
        let unmarked = world.unmarked().join(", ");
        world.problem(format!(
            "not within {DRAIN_LIMIT:?} after all was healed: the last message of their room for {unmarked}"
        ));
    }
    report.drained_in = start.elapsed().saturating_sub(args.length());
    match health::all_shards_are_read(&world, &stream).await {
        Ok(shards) => report.shards = shards,
        Err(unread) => world.problem(format!("shards not read: {unread}")),
    }
    report.faults = stream.fault_counts().await?;
    let content = stream.content(&world.rooms).await?;
    phase.send_replace(Phase::Closing);
    while let Some(ended) = viewers.join_next().await {
        ended.map_err(|error| error.to_string())?;
    }
    let shards = Shards {
        before: SHARDS,
        now: report.shards,
    };
    match health::nothing_grew(&world, &stream, &before, shards).await {
        Ok(after) => report.holdings = before.into_iter().zip(after).collect(),
        Err(grown) => world.problem(format!("grown: {grown}")),
    }
    beside.shutdown().await;
    stop(&world).await;
    write_diaries(&world, logs).map_err(|error| error.to_string())?;
    report.done = take_done(&director);
    Ok(verdict(args, &world, report, &content))
}

fn take_done(director: &Director) -> Done {
    let done = director.done.lock();
    done.unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone()
}

/// Starts the process that holds the stream, and three instances on it.
async fn start(args: &Args, logs: &Path) -> Result<(Vec<Instance>, Stream), String> {
    let text = |error: std::io::Error| error.to_string();
    let program = if args.show_repeats {
        Program::ShowsRepeats
    } else {
        Program::AsItIs
    };
    let kinesis = free_address().map_err(text)?;
    let address = free_address().map_err(text)?;
    let rules = logs.join("faults.toml");
    std::fs::write(&rules, "").map_err(text)?;
    let (log_memory, stream_memory) = (LOG_MEMORY.to_string(), STREAM_MEMORY.to_string());
    let window = format!("{}s", RESUME_WINDOW.as_secs());
    let common = [
        "--log-memory",
        &log_memory,
        "--resume-window",
        &window,
        "--workers",
        "2",
        // Shorter than publishers wait, so that they see what they are told.
        "--publish-timeout",
        "2s",
    ];
    let holder = address.to_string();
    let port = kinesis.to_string();
    let shards = SHARDS.to_string();
    let rules = rules.display().to_string();
    let mut given = common.to_vec();
    given.extend(["--listen", &holder, "--embedded-listen", &port]);
    given.extend([
        "--embedded-shards",
        &shards,
        "--embedded-memory",
        &stream_memory,
    ]);
    given.extend(["--embedded-faults", &rules]);
    // The rates of AWS: of records into a shard and out of it, and of calls.
    given.extend(["--embedded-limits", "aws"]);
    let certificates = args.tls.then(|| Certificates::make(logs));
    let certificates = certificates.transpose().map_err(text)?;
    let files = certificates.as_ref().map(|made| {
        [&made.certificate, &made.key, &made.root].map(|path| path.display().to_string())
    });
    let mut envs = Vec::new();
    if let Some([certificate, key, root]) = &files {
        given.extend([
            "--embedded-tls-cert",
            certificate,
            "--embedded-tls-key",
            key,
        ]);
        envs.push(("SSL_CERT_FILE", root.as_str()));
    }
    let mut holder = Process::new(program, "holder", logs, &given, &[]).map_err(text)?;
    holder.start().map_err(text)?;
    let stream = Stream::new(
        kinesis,
        certificates.as_ref().map(|made| made.root_pem.clone()),
    )?;
    wait_until(START_LIMIT, "the stream is there", async || {
        stream.open_shards().await.is_ok()
    })
    .await
    .map_err(|error| format!("{error}: {}", holder.last_words()))?;

    let scheme = if args.tls { "https" } else { "http" };
    let url = format!("{scheme}://{kinesis}");
    let mut instances = Vec::new();
    for nth in 0..3 {
        let address = free_address().map_err(text)?;
        let (name, listen) = (format!("instance-{nth}"), address.to_string());
        let consumer = format!("chaos-{nth}");
        // One polls: half of the faults of reading are its alone.
        let mode = if nth == 2 { "polling" } else { "auto" };
        let mut given = common.to_vec();
        given.extend([
            "--listen",
            &listen,
            "--kinesis",
            "aws",
            "--region",
            "us-east-1",
        ]);
        given.extend(["--endpoint-url", &url, "--start", "15m"]);
        given.extend(["--consumer-name", &consumer, "--consumer", mode]);
        let mut process = Process::new(program, &name, logs, &given, &envs).map_err(text)?;
        process.start().map_err(text)?;
        instances.push(Instance {
            address,
            process: tokio::sync::Mutex::new(process),
        });
    }
    instances.push(Instance {
        address,
        process: tokio::sync::Mutex::new(holder),
    });
    Ok((instances, stream))
}

fn publishers(world: &Arc<World>, rng: &mut fastrand::Rng) -> JoinSet<()> {
    let mut publishers = JoinSet::new();
    let quiet = world.rooms.len() - 1;
    for (room, first) in (0..world.rooms.len()).zip((0..).step_by(100)) {
        let (count, pause) = if room == quiet {
            (1, LONG_PAUSE)
        } else {
            (PUBLISHERS, PAUSE)
        };
        for nth in 0..count {
            let world = Arc::clone(world);
            publishers.spawn(publisher::publish(
                world,
                room,
                first + nth,
                pause,
                rng.fork(),
            ));
        }
    }
    publishers
}

/// Sends guests, as long as things go wrong.
async fn guests(world: Arc<World>, mut rng: fastrand::Rng) {
    let mut guests = JoinSet::new();
    for nth in 0.. {
        sleep(GUESTS_EVERY).await;
        while guests.try_join_next().is_some() {}
        if !world.is_in(Phase::Breaking) {
            break;
        }
        let room = rng.usize(..world.rooms.len());
        let name = format!("guest {nth} of {}", world.rooms[room]);
        guests.spawn(View::new(&world, room, Habit::Guest, name, rng.fork()).run());
    }
    while guests.join_next().await.is_some() {}
}

async fn heal(stream: &Stream) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..10 {
        match stream.heal().await {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
        sleep(Duration::from_millis(200)).await;
    }
    Err(last)
}

/// Ends the instances as an operator would.
async fn stop(world: &World) {
    for instance in &world.instances {
        let mut process = instance.process.lock().await;
        if let Err(problem) = process.stop(STOP_LIMIT).await {
            world.problem(problem);
        }
    }
}

fn verdict(
    args: &Args,
    world: &World,
    report: Report,
    content: &crate::stream::Content,
) -> Findings {
    let recording = world.recording();
    let (checked, violations) = checker::check(&recording);
    let proofs = checker::tamper::prove(&recording, &content.rooms);
    let touched = |name: &str| {
        violations
            .iter()
            .any(|violation| violation.viewer() == Some(name))
    };
    let viewers = recording.viewers.iter();
    let diaries = viewers.filter(|viewer| touched(&viewer.name));
    let diaries = diaries
        .map(|viewer| (viewer.name.clone(), viewer.diary.clone()))
        .collect();
    let mut findings = Findings {
        diaries,
        report,
        checked,
        violations,
        proofs,
        problems: world.problems(),
        misrouted: content.misrouted,
        repeats: content.repeats(),
        viewers: recording.viewers.len(),
        failed: Vec::new(),
        wanted: 0,
    };
    drop(recording);
    findings.judge(&world.tally, args.length());
    findings
}

/// How every viewer came and went, beside the logs of the instances.
fn write_diaries(world: &World, logs: &Path) -> std::io::Result<()> {
    let mut lines = Vec::new();
    for viewer in &world.recording().viewers {
        lines.push(viewer.name.clone());
        lines.extend(viewer.diary.iter().map(|entry| format!("    {entry}")));
    }
    std::fs::write(logs.join("viewers.txt"), lines.join("\n") + "\n")
}

/// Says every so often how it goes.
async fn progress(world: Arc<World>, length: Duration) {
    let is_terminal = std::io::stderr().is_terminal();
    let every = Duration::from_secs(if is_terminal { 1 } else { 10 });
    let (start, tally) = (Instant::now(), &world.tally);
    loop {
        sleep(every).await;
        let line = format!(
            "{:5} s of {}  acknowledged {}  seen {}  resumed {} + {}  problems {}",
            start.elapsed().as_secs(),
            length.as_secs(),
            tally.acknowledged.get(),
            tally.shown.get(),
            tally.recovered.get(),
            tally.not_recovered.get(),
            world.problems().len(),
        );
        if is_terminal {
            eprint!("\r{line}\x1b[K");
        } else {
            eprintln!("{line}");
        }
    }
}

async fn wait_until(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) -> Result<(), String> {
    let waited = async {
        while !condition().await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let waited = timeout(limit, waited).await;
    waited.map_err(|_| format!("not within {limit:?}: {what}"))
}

/// Counts by name.
pub(crate) type Counts = BTreeMap<String, u64>;
