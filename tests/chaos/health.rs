//! Whether the processes are well once all is over: every shard read, nothing grown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::process::Holding;
use crate::stream::Stream;
use crate::wire;
use crate::world::World;

/// `--log-memory` of every instance.
pub(crate) const LOG_MEMORY: usize = 64 << 20;
/// `--embedded-memory` of the one that holds the stream.
pub(crate) const STREAM_MEMORY: usize = 256 << 20;
/// What an instance may hold beside its log.
const BESIDE: usize = 100 << 20;
/// Descriptors and threads that may be more than at the start: idle connections to the stream, threads for looking up names.
const SPARE_DESCRIPTORS: usize = 16;
const SPARE_THREADS: usize = 4;
/// Tasks that may be more: what serves those idle connections, a call that is under way.
const SPARE_TASKS: usize = 16;
/// How long it may take until every shard is read.
const READ_WITHIN: Duration = Duration::from_mins(1);
/// How long it may take until what viewers and publishers used is given back, and what the faults left: the port of the
/// stream keeps a connection for a minute on which nothing is asked for, and one that is black-holed for half a minute.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(90);

/// What every process holds.
pub(crate) async fn holdings(world: &World) -> Vec<Holding> {
    let mut holdings = Vec::new();
    for instance in &world.instances {
        let pid = instance.process.lock().await.pid();
        let mut holding = pid.and_then(Holding::of).unwrap_or_default();
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

/// Waits until every process holds no more than before, with so many shards more or less.
pub(crate) async fn nothing_grew(
    world: &Arc<World>,
    before: &[Holding],
    more_shards: usize,
) -> Result<Vec<Holding>, String> {
    let start = Instant::now();
    loop {
        let now = holdings(world).await;
        let mut grown = Vec::new();
        for (nth, (now, before)) in now.iter().zip(before).enumerate() {
            let is_holder = nth + 1 == world.instances.len();
            // A subscription to a shard is a connection: of each instance, all of which end at the holder.
            let connections = if is_holder { nth } else { 1 };
            let descriptors = before.descriptors + SPARE_DESCRIPTORS + connections * more_shards;
            let memory = LOG_MEMORY + BESIDE + if is_holder { STREAM_MEMORY } else { 0 };
            // Beside its connection a shard has a task that reads it.
            let tasks = before.tasks + SPARE_TASKS + (connections + 1) * more_shards;
            for (what, now, limit) in [
                ("descriptors", now.descriptors, descriptors),
                ("tasks", now.tasks, tasks),
                ("threads", now.threads, before.threads + SPARE_THREADS),
                ("bytes of memory", now.resident, memory),
            ] {
                if now > limit {
                    grown.push(format!("process {nth} has {now} {what}, at most {limit}"));
                }
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
