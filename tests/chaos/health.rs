//! Whether the processes are well once all is over: every shard read, nothing grown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::holding::{Holding, Ports};
use crate::stream::Stream;
use crate::wire;
use crate::world::World;

/// `--log-memory` of every instance.
pub(crate) const LOG_MEMORY: usize = 64 << 20;
/// `--embedded-memory` of the one that holds the stream.
pub(crate) const STREAM_MEMORY: usize = 256 << 20;
/// What an instance may hold beside its log.
const BESIDE: usize = 100 << 20;
/// Connections of an instance to the stream beside those of its shards: for calls that list, describe and register.
const CALLS: usize = 3;
/// This tool's own connections to the stream.
const OWN: usize = 2;
/// Tasks that may be more: calls that are under way.
const SPARE_TASKS: usize = 4;
/// How long it may take until every shard is read.
const READ_WITHIN: Duration = Duration::from_mins(1);
/// How long it may take until what viewers and publishers used is given back, and what the faults left: the port of the
/// stream keeps a connection for a minute on which nothing is asked for, and one that is black-holed for half a minute.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(90);

/// What every process holds.
pub(crate) async fn holdings(world: &World, stream: &Stream) -> Vec<Holding> {
    let mut holdings = Vec::new();
    for instance in &world.instances {
        let ports = Ports {
            stream: stream.address(),
            chat: instance.address,
        };
        let pid = instance.process.lock().await.pid();
        let holding = pid.and_then(|pid| Holding::of(pid, ports));
        let mut holding = holding.unwrap_or_default();
        holding.tasks = tasks(instance.address).await.unwrap_or_default();
        holdings.push(holding);
    }
    holdings
}

/// By its metrics.
async fn tasks(address: std::net::SocketAddr) -> Option<usize> {
    let asked = wire::ask(address, None, "GET", "/metrics", "").await;
    let (_, text) = asked.ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("chat_room_stream_tasks "));
    line?.trim().parse().ok()
}

/// Waits until every instance says that it reads every shard, at its tip.
pub(crate) async fn all_shards_are_read(world: &World, stream: &Stream) -> Result<usize, String> {
    let start = Instant::now();
    loop {
        let open = stream.open_shards().await;
        let mut unread = Vec::new();
        match &open {
            Ok(open) => {
                for instance in &world.instances {
                    if let Err(problem) = reads(instance.address, open).await {
                        let name = instance.process.lock().await.name.clone();
                        unread.push(format!("{name}: {problem}"));
                    }
                }
            }
            Err(error) => unread.push(format!("the shards cannot be listed: {error}")),
        }
        if unread.is_empty() {
            return Ok(open.map_or(0, |open| open.len()));
        }
        if start.elapsed() > READ_WITHIN {
            return Err(unread.join("; "));
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// By `/readyz` and by the metrics.
async fn reads(address: std::net::SocketAddr, open: &[String]) -> Result<(), String> {
    let get = async |path| match wire::ask(address, None, "GET", path, "").await {
        Ok((200, text)) => Ok(text),
        Ok((status, text)) => Err(format!("{path}: {status} {text}")),
        Err(error) => Err(format!("{path}: {error}")),
    };
    let ready = get("/readyz").await?;
    if !ready.contains(r#""behind":[]"#) {
        return Err(format!("/readyz says {ready}"));
    }
    let metrics = get("/metrics").await?;
    let value = |line: &str| -> Option<f64> { line.rsplit_once(' ')?.1.trim().parse().ok() };
    let shards = metrics
        .lines()
        .find(|line| line.starts_with("chat_room_consumer_shards "))
        .and_then(value);
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    if shards != Some(open.len() as f64) {
        return Err(format!(
            "chat_room_consumer_shards is {shards:?}, {} are open",
            open.len()
        ));
    }
    for shard in open {
        let name = format!("chat_room_consumer_behind_seconds{{shard=\"{shard}\"}}");
        let behind = metrics
            .lines()
            .find(|line| line.starts_with(&name))
            .and_then(value);
        if behind.is_none_or(|behind| behind > 1.0) {
            return Err(format!("{name} is {behind:?}"));
        }
    }
    Ok(())
}

/// Waits until every process holds no more than before, but for what `shards` need that are open now.
pub(crate) async fn nothing_grew(
    world: &Arc<World>,
    stream: &Stream,
    before: &[Holding],
    shards: Shards,
) -> Result<Vec<Holding>, String> {
    let start = Instant::now();
    loop {
        let now = holdings(world, stream).await;
        let mut grown = Vec::new();
        for (nth, (now, before)) in now.iter().zip(before).enumerate() {
            // The holder of the stream has the other end of everybody's connections.
            let beside = (nth + 1 == world.instances.len()).then_some(nth);
            for what in growth(before, now, shards, beside) {
                grown.push(format!("process {nth} has {what}"));
            }
        }
        if grown.is_empty() {
            return Ok(now);
        }
        if start.elapsed() > GIVEN_BACK_WITHIN {
            return Err(grown.join("; "));
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// How many are open, and how many were.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shards {
    pub(crate) before: usize,
    pub(crate) now: usize,
}

/// What a process has too much of. `beside` is for the one that holds the stream: how many instances use it.
fn growth(before: &Holding, now: &Holding, shards: Shards, beside: Option<usize>) -> Vec<String> {
    let mut grown = Vec::new();
    let mut limit = |what: &str, now: usize, limit: usize| {
        if now > limit {
            grown.push(format!("{now} {what}, at most {limit}"));
        }
    };
    // In HTTP/1.1 each shard has one that is read from. Those of calls are kept for the next until they were idle for a
    // minute: as many as were ever needed at once, which is one for each shard's lane.
    let each = 2 * shards.now + CALLS;
    let most = beside.map_or(each, |instances| instances * each + OWN);
    let connections = now.descriptors.to_the_stream();
    limit("connections of the stream", connections, most);
    let more = connections.saturating_sub(before.descriptors.to_the_stream());
    // A shard has a task that reads it, and in HTTP/2 one at the other end that writes to it.
    let of_shards = (1 + beside.unwrap_or(0)) * shards.now.saturating_sub(shards.before);
    let tasks = before.tasks + more + of_shards + SPARE_TASKS;
    limit("tasks", now.tasks, tasks);
    limit("threads", now.threads, before.threads);
    let memory = LOG_MEMORY + BESIDE + if beside.is_some() { STREAM_MEMORY } else { 0 };
    limit("bytes of memory", now.resident, memory);
    for (kind, count, was) in now.descriptors.others_since(&before.descriptors) {
        limit(&format!("open: {kind}"), count, was);
    }
    if !grown.is_empty() {
        let (open, since) = (&now.descriptors, now.descriptors.since(&before.descriptors));
        grown.push(format!(
            "all in all open: {open} (since the start: {since})"
        ));
    }
    grown
}
