//! Plays a case with a client, and says where it went otherwise than expected.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::client::{Came, Client};
use super::matcher::{differs, short};
use super::table::{Case, Step};
use super::words::{Kept, resolve, resolve_members};
use crate::harness::DEADLINE;

/// How often a case is run whose answers come too late to be conclusive.
const TRIES: u32 = 5;
/// How often something is tried that is to come about. What is limited to so many calls a second is tried less often.
const POLL: Duration = Duration::from_millis(50);
const SLOW_POLL: Duration = Duration::from_millis(300);

/// How a case went that was not as it should be.
#[derive(Debug)]
enum Trouble {
    /// Otherwise than expected.
    Otherwise(String),
    /// Too slowly to tell.
    Late(String),
}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Self::Otherwise(text)
    }
}

/// Plays a case; an error says what was expected and what came.
pub(super) async fn play(case: &Case, client: &Client) -> Result<(), String> {
    let mut late = String::new();
    for _ in 0..TRIES {
        let mut stage = Stage::new(client);
        let outcome = stage.run(case).await;
        stage.clear().await;
        match outcome {
            Ok(()) => return Ok(()),
            Err(Trouble::Otherwise(text)) => return Err(text),
            Err(Trouble::Late(text)) => late = text,
        }
    }
    Err(format!("too slow to tell, {TRIES} times: {late}"))
}

/// One run of a case.
struct Stage<'a> {
    client: &'a Client,
    /// Unique, for names of streams and handles.
    prefix: String,
    kept: Kept,
    open: Vec<String>,
    /// Streams that the case has created, besides its own.
    created: Vec<Value>,
    marked: Option<Instant>,
}

impl<'a> Stage<'a> {
    fn new(client: &'a Client) -> Self {
        let prefix = format!("b-{}", Uuid::new_v4().simple());
        let kept = ["stream", "new", "new2"]
            .map(|name| (name.to_owned(), format!("{prefix}-{name}").into()))
            .into();
        Self {
            client,
            prefix,
            kept,
            open: Vec::new(),
            created: Vec::new(),
            marked: None,
        }
    }

    async fn run(&mut self, case: &Case) -> Result<(), Trouble> {
        if let Some(shards) = case.stream {
            self.make_stream(shards).await?;
        }
        if case.consumer {
            self.make_consumer().await?;
        }
        for (place, step) in case.steps.iter().enumerate() {
            let unsayable = case.unsayable.contains_key(self.client.name());
            if unsayable && place + 1 == case.steps.len() {
                return self.cannot_say(step).await;
            }
            let outcome = self.step(step).await;
            outcome.map_err(|trouble| {
                let number = place + 1;
                match trouble {
                    Trouble::Otherwise(text) => {
                        Trouble::Otherwise(format!("step {number}, {}: {text}", title(step)))
                    }
                    Trouble::Late(text) => {
                        Trouble::Late(format!("step {number}, {}: {text}", title(step)))
                    }
                }
            })?;
        }
        Ok(())
    }

    /// What the table says a client cannot say, it must indeed not be able to say.
    async fn cannot_say(&mut self, step: &Step) -> Result<(), Trouble> {
        match self.once(step).await? {
            Came::Unsayable(_) | Came::Broken(_) => Ok(()),
            came => Err(format!("the table calls this unsayable, but {}", told(&came)).into()),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), Trouble> {
        if let Some(seconds) = step.pause {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            return Ok(());
        }
        let start = Instant::now();
        let answer = loop {
            if step.mark {
                self.marked = Some(Instant::now());
            }
            let came = self.once(step).await?;
            match self.judge(step, &came)? {
                None => break came,
                Some(trouble) => {
                    if is_throttled(&came) && start.elapsed() < DEADLINE {
                        tokio::time::sleep(SLOW_POLL).await;
                        continue;
                    }
                    let over = matches!(came, Came::End | Came::Unsayable(_) | Came::Broken(_))
                        || (step.event.is_some() && !matches!(came, Came::Answer(_)));
                    if !step.until || over || start.elapsed() > DEADLINE {
                        self.check_within(step)?;
                        return Err(trouble.into());
                    }
                }
            }
            if step.event.is_none() {
                tokio::time::sleep(poll(step)).await;
            }
        };
        self.check_within(step)?;
        if let (Some(seconds), Some(marked)) = (step.not_before, self.marked) {
            let passed = marked.elapsed();
            if passed < Duration::from_secs_f64(seconds) {
                return Err(format!("came after {passed:?}, not after {seconds} s or more").into());
            }
        }
        if let Came::Answer(answer) = answer {
            for (name, pointer) in &step.keep {
                let part = answer.pointer(pointer).cloned();
                let part = part.ok_or_else(|| {
                    format!("{} has nothing at {pointer} to keep", short(&answer))
                })?;
                self.kept.insert(name.clone(), part);
            }
        }
        Ok(())
    }

    fn check_within(&self, step: &Step) -> Result<(), Trouble> {
        if let (Some(seconds), Some(marked)) = (step.within, self.marked) {
            let passed = marked.elapsed();
            if passed > Duration::from_secs_f64(seconds) {
                return Err(Trouble::Late(format!(
                    "answered after {passed:?}, which is more than {seconds} s"
                )));
            }
        }
        Ok(())
    }

    /// Does what the step says, once.
    async fn once(&mut self, step: &Step) -> Result<Came, Trouble> {
        let input = resolve_members(&step.with, &self.kept)?;
        if let Some(operation) = &step.call {
            let name = input
                .get("StreamName")
                .filter(|_| operation == "CreateStream")
                .cloned();
            let came = self.client.call(operation, input).await;
            if matches!(came, Came::Answer(_)) {
                self.created.extend(name);
            }
            return Ok(came);
        }
        if let Some(handle) = &step.subscribe {
            let handle = format!("{}-{handle}", self.prefix);
            let came = self.client.subscribe(&handle, input).await;
            if matches!(came, Came::Answer(_)) {
                self.open.push(handle);
            }
            return Ok(came);
        }
        if let Some(handle) = &step.event {
            let handle = format!("{}-{handle}", self.prefix);
            return Ok(self.event(&handle, step.gather).await);
        }
        if let Some(handle) = &step.close {
            let handle = format!("{}-{handle}", self.prefix);
            self.open.retain(|open| *open != handle);
            return Ok(self.client.close(&handle).await);
        }
        Err("a step without call, subscribe, event, close or pause"
            .to_owned()
            .into())
    }

    /// The next event, or as many as bring `gather` records, in one: the last, with the records of all.
    async fn event(&self, handle: &str, gather: usize) -> Came {
        let mut records = Vec::new();
        loop {
            let mut came = self.client.next(handle).await;
            let Came::Answer(event) = &mut came else {
                return came;
            };
            if let Some(Value::Array(more)) = event.get_mut("Records") {
                records.append(more);
            }
            if records.len() >= gather {
                event["Records"] = Value::Array(records);
                return came;
            }
        }
    }

    /// What is otherwise than the step expects.
    fn judge(&self, step: &Step, came: &Came) -> Result<Option<String>, Trouble> {
        let said = || told(came);
        if is_throttled(came) {
            return Ok(Some(said()));
        }
        Ok(match (&step.error, &step.end, came) {
            (Some(error), _, Came::Error { kind, .. }) => {
                let words = error.words();
                (!words.contains(kind))
                    .then(|| format!("expected {}, {}", words.join(" or "), said()))
            }
            (Some(error), ..) => Some(format!(
                "expected {}, {}",
                error.words().join(" or "),
                said()
            )),
            (_, Some(end), came) => {
                let words = end.words();
                let word = match came {
                    Came::End => "<quietly>",
                    Came::Error { kind, .. } => kind,
                    _ => "",
                };
                let ends = words.iter().any(|expected| expected == word);
                (!ends).then(|| format!("expected its end ({}), {}", words.join(" or "), said()))
            }
            (_, _, Came::Answer(answer)) => match &step.expect {
                Some(expected) => differs(&resolve(expected, &self.kept)?, Some(answer)),
                None => None,
            },
            _ => Some(format!("expected an answer, {}", said())),
        })
    }

    async fn make_stream(&mut self, shards: u32) -> Result<(), Trouble> {
        let name = self.kept["stream"].clone();
        self.created.push(name.clone());
        let this = json!({ "StreamName": name });
        let create = json!({ "StreamName": name, "ShardCount": shards });
        // Others create theirs at the same time, and only so many may be at it.
        self.settled("CreateStream", &create, |_| true).await?;
        let pointer = "/StreamDescriptionSummary/StreamStatus";
        let is_active = |answer: &Value| {
            answer
                .pointer(pointer)
                .is_some_and(|status| status == "ACTIVE")
        };
        let summary = self
            .settled("DescribeStreamSummary", &this, is_active)
            .await?;
        let summary = &summary["StreamDescriptionSummary"];
        self.keep("arn", &summary["StreamARN"]);
        self.keep("created", &summary["StreamCreationTimestamp"]);
        let listed = self.settled("ListShards", &this, |_| true).await?;
        for (number, shard) in listed["Shards"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            self.keep(&format!("shard{number}"), &shard["ShardId"]);
            self.keep(
                &format!("start{number}"),
                &shard["HashKeyRange"]["StartingHashKey"],
            );
            self.keep(
                &format!("end{number}"),
                &shard["HashKeyRange"]["EndingHashKey"],
            );
        }
        Ok(())
    }

    async fn make_consumer(&mut self) -> Result<(), Trouble> {
        let register = json!({ "StreamARN": self.kept["arn"], "ConsumerName": "reader" });
        let registered = self
            .settled("RegisterStreamConsumer", &register, |_| true)
            .await?;
        let arn = registered["Consumer"]["ConsumerARN"].clone();
        let pointer = "/ConsumerDescription/ConsumerStatus";
        let is_active = |answer: &Value| {
            answer
                .pointer(pointer)
                .is_some_and(|status| status == "ACTIVE")
        };
        let this = json!({ "ConsumerARN": arn });
        self.settled("DescribeStreamConsumer", &this, is_active)
            .await?;
        self.keep("consumer", &"reader".into());
        self.keep("consumer_arn", &arn);
        Ok(())
    }

    fn keep(&mut self, name: &str, value: &Value) {
        self.kept.insert(name.to_owned(), value.clone());
    }

    /// Calls until there is an answer as wanted.
    async fn settled(
        &self,
        operation: &str,
        input: &Value,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Trouble> {
        let start = Instant::now();
        loop {
            let came = self.client.call(operation, members(input)).await;
            match came {
                Came::Answer(answer) if wanted(&answer) => return Ok(answer),
                came if start.elapsed() > DEADLINE => {
                    return Err(format!(
                        "making what the case begins with, {operation}: {}",
                        told(&came)
                    )
                    .into());
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Leaves nothing behind. What was never made, or is gone, cannot be deleted, which does not matter.
    async fn clear(&mut self) {
        for handle in self.open.drain(..) {
            self.client.close(&handle).await;
        }
        for name in self.created.drain(..) {
            let delete = json!({ "StreamName": name, "EnforceConsumerDeletion": true });
            self.client.call("DeleteStream", members(&delete)).await;
        }
    }
}

/// Whether an account, or a stream, has called an operation too often in a second, for which a client waits. What of a
/// thing there may be so many is told by the same type.
fn is_throttled(came: &Came) -> bool {
    matches!(came, Came::Error { kind, message } if kind == "LimitExceededException" && message.starts_with("Rate exceeded"))
}

fn poll(step: &Step) -> Duration {
    let is_limited = step.subscribe.is_some() || step.call.as_deref() == Some("GetRecords");
    if is_limited && step.error.is_none() {
        SLOW_POLL
    } else {
        POLL
    }
}

fn members(input: &Value) -> Map<String, Value> {
    input.as_object().cloned().unwrap_or_default()
}

fn title(step: &Step) -> String {
    let mut title = String::new();
    let parts = [
        ("", &step.call),
        ("subscribe ", &step.subscribe),
        ("event of ", &step.event),
        ("close ", &step.close),
    ];
    for (word, name) in parts {
        if let Some(name) = name {
            let _ = write!(title, "{word}{name}");
        }
    }
    title
}

fn told(came: &Came) -> String {
    match came {
        Came::Answer(answer) => format!("came {}", short(answer)),
        Came::Error { kind, message } => format!("came {kind}: {message}"),
        Came::End => "came the end".to_owned(),
        Came::Unsayable(text) => format!("the client cannot say this: {text}"),
        Came::Broken(text) => format!("came no answer: {text}"),
    }
}
