//! Publishers: each message is sent, to whatever instance answers, until there is a 202 for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use crate::checker::Key;
use crate::text;
use crate::world::{Phase, World};

/// How long a message may take once all is healed.
const FINISH: Duration = Duration::from_mins(1);
/// How long a publisher waits for an answer, now and then much shorter.
const PATIENCE: std::ops::Range<u64> = 3_000..7_000;
const IMPATIENCE: std::ops::Range<u64> = 20..300;
/// Messages of a burst that are under way at once.
const BURST_AT_ONCE: usize = 48;

#[derive(Deserialize)]
struct Receipt {
    id: Uuid,
    room: String,
    position: String,
}

/// Posts to one room, one message after the other, until all is healed.
pub(crate) async fn publish(
    world: Arc<World>,
    room: usize,
    publisher: u32,
    pause: Duration,
    mut rng: fastrand::Rng,
) {
    world.recording().patient.insert(publisher);
    let Ok(client) = client() else {
        return world.problem("no HTTP client");
    };
    world.reached(Phase::Breaking).await;
    for number in 0.. {
        if !world.is_in(Phase::Breaking) {
            return;
        }
        let key = Key { publisher, number };
        post(&world, &client, room, key, &mut rng).await;
        sleep(pause.mul_f64(0.2 + 1.6 * rng.f64())).await;
    }
}

/// Posts many messages to one room at the same time.
pub(crate) async fn burst(
    world: Arc<World>,
    room: usize,
    publisher: u32,
    count: u32,
    mut rng: fastrand::Rng,
) {
    let Ok(client) = client() else {
        return world.problem("no HTTP client");
    };
    let posts = (0..count).map(|number| {
        let (world, client, mut rng) = (&world, &client, rng.fork());
        let key = Key { publisher, number };
        async move { post(world, client, room, key, &mut rng).await }
    });
    stream::iter(posts)
        .buffer_unordered(BURST_AT_ONCE)
        .collect::<()>()
        .await;
}

/// Posts one message that comes after all others of its room.
pub(crate) async fn mark(world: &World, room: usize, key: Key, mut rng: fastrand::Rng) {
    match client() {
        Ok(client) => post(world, &client, room, key, &mut rng).await,
        Err(error) => world.problem(format!("no HTTP client: {error}")),
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        .build()
}

async fn post(
    world: &World,
    client: &reqwest::Client,
    room: usize,
    key: Key,
    rng: &mut fastrand::Rng,
) {
    let id = uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid();
    let name = world.rooms.get(room).cloned().unwrap_or_default();
    let body = json!({ "id": id, "room": name, "text": text::of(&name, key) });
    let mut instance = rng.usize(..world.instances.len());
    let mut give_up = None;
    let mut repeats = usize::from(rng.u8(..12) == 0);
    let mut is_first = true;
    loop {
        if is_first {
            world.posts(room, key);
        } else {
            world.tally.again.add();
        }
        is_first = false;
        let patience = Duration::from_millis(if rng.u8(..10) == 0 {
            rng.u64(IMPATIENCE)
        } else {
            rng.u64(PATIENCE)
        });
        match attempt(world, client, instance, &body, patience).await {
            Answer::Accepted(receipt) => {
                if receipt.id != id || receipt.room != name || receipt.position.is_empty() {
                    world.problem(format!("the 202 for {key} is about another message"));
                }
                world.acknowledged(key);
                if repeats == 0 {
                    return;
                }
                repeats -= 1;
            }
            Answer::Later(wait) => sleep(wait.min(Duration::from_secs(1))).await,
            Answer::None => sleep(Duration::from_millis(rng.u64(20..200))).await,
            Answer::Wrong(what) => world.problem(format!("POST of {key}: {what}")),
        }
        if *world.phase.borrow() >= Phase::Draining {
            let since = *give_up.get_or_insert_with(Instant::now);
            if since.elapsed() > FINISH {
                world.problem(format!(
                    "{key} in {name} was not accepted within {FINISH:?} after all was healed"
                ));
                return;
            }
        }
        if rng.bool() {
            instance = rng.usize(..world.instances.len());
        }
    }
}

enum Answer {
    Accepted(Receipt),
    Later(Duration),
    None,
    Wrong(String),
}

async fn attempt(
    world: &World,
    client: &reqwest::Client,
    instance: usize,
    body: &serde_json::Value,
    patience: Duration,
) -> Answer {
    let Some(instance) = world.instances.get(instance) else {
        return Answer::None;
    };
    let url = format!("http://{}/chat-messages", instance.address);
    let sent = client.post(url).timeout(patience).json(body).send().await;
    let answer = match sent {
        Ok(answer) => answer,
        Err(error) if error.is_timeout() => {
            world.tally.unanswered.add();
            return Answer::None;
        }
        Err(_) => {
            world.tally.broken.add();
            return Answer::None;
        }
    };
    match answer.status() {
        StatusCode::ACCEPTED => {
            let Ok(receipt) = answer.json().await else {
                world.tally.broken.add();
                return Answer::None;
            };
            world.tally.accepted.add();
            Answer::Accepted(receipt)
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            world.tally.refused.add();
            let after = answer.headers().get("retry-after");
            let seconds = after.and_then(|after| after.to_str().ok()?.parse().ok());
            match seconds {
                Some(seconds) => Answer::Later(Duration::from_secs(seconds)),
                None => Answer::Wrong(format!("{} without Retry-After", answer.status())),
            }
        }
        status => {
            let text = answer.text().await.unwrap_or_default();
            Answer::Wrong(format!("{status} {text}"))
        }
    }
}
