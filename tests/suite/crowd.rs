//! Many viewers at once: some stall, some come and go, and the others see everything once and in order.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{
    PlainViewer, Raw, Server, Shown, Viewer, allow_many_files, eventually, within,
};

/// Viewers that never read.
async fn stalled(server: &Server, count: usize) -> Vec<Raw> {
    let mut all = Vec::new();
    for _ in 0..count {
        let mut raw = Raw::open_with_little_room(server.address()).await;
        raw.upgrade("room=den&history=0").await;
        all.push(raw);
    }
    all
}

/// Who posts to the room as fast as it is acknowledged.
struct Publishers {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Vec<String>>,
}

impl Publishers {
    fn start(server: &Arc<Server>, count: usize, padding: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for name in 0..count {
            let (server, stop, padding) =
                (Arc::clone(server), Arc::clone(&stop), padding.to_owned());
            tasks.spawn(async move {
                let mut acknowledged = Vec::new();
                // Relaxed: one message more or less makes no difference.
                while acknowledged.is_empty() || !stop.load(Ordering::Relaxed) {
                    let text = format!("{name} {} {padding}", acknowledged.len());
                    let message = json!({"room": "den", "text": text});
                    server.publish(&message).await;
                    acknowledged.push(text);
                }
                acknowledged
            });
        }
        Self { stop, tasks }
    }

    /// Makes an end, which viewers wait for; what was acknowledged, in the order of each.
    async fn stop(self, server: &Server) -> Vec<Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = within("the last answers", self.tasks.join_all()).await;
        acknowledged.sort_unstable();
        server.say("den", "the end").await;
        acknowledged
    }
}

/// The texts of each publisher must come in the order in which it posted them, each once.
fn assert_all_once_in_order(whose: &str, shown: &[String], acknowledged: &[Vec<String>]) {
    let owed: usize = acknowledged.iter().map(Vec::len).sum();
    assert_eq!(shown.len(), owed, "{whose}: messages shown and owed");
    for (name, texts) in acknowledged.iter().enumerate() {
        let prefix = format!("{name} ");
        let theirs = shown.iter().filter(|text| text.starts_with(&prefix));
        assert!(theirs.eq(texts), "{whose}: what publisher {name} posted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_half_of_the_viewers_stall_and_the_others_miss_nothing() {
    const HALF: usize = 10;
    let server = Arc::new(Server::start(&[]).await);
    let asleep = stalled(&server, HALF).await;
    let mut awake = JoinSet::new();
    for _ in 0..HALF {
        let mut viewer = PlainViewer::join(&server, "room=den&history=0").await;
        awake.spawn(async move { viewer.until("the end").await });
    }
    // The kernel takes some 64 KiB before a viewer is behind: long texts fill that sooner.
    let publishers = Publishers::start(&server, 6, &"🦀".repeat(1_900));
    eventually("those who never read are behind", || async {
        server.metric("chat_room_fanout_viewers_lagging").await >= 10.0
    })
    .await;
    eventually("they are sent away, and the others are not", || async {
        (server
            .metric("chat_room_fanout_viewers{encoding=\"plain\"}")
            .await
            - 10.0)
            .abs()
            < 0.5
    })
    .await;
    let acknowledged = publishers.stop(&server).await;
    for shown in awake.join_all().await {
        assert_all_once_in_order("one who reads", &shown, &acknowledged);
    }
    let reason = "chat_room_fanout_lag_disconnects_total{reason=\"too_far_behind\"}";
    assert!(server.metric(reason).await >= 10.0);
    drop(asleep);
}

/// Comes, reads some, leaves, and comes back to where it was for twice as many, until it has seen
/// the end.
async fn guest(server: Arc<Server>, mut most: usize) -> Vec<Shown> {
    let mut seen: Vec<Shown> = Vec::new();
    let mut position = None;
    loop {
        let query = match &position {
            Some(position) => format!("room=den&after={position}"),
            None => "room=den&history=0".to_owned(),
        };
        let mut viewer = Viewer::join(&server, &query).await;
        let joined = &viewer.joined;
        assert!(
            position.is_none() || joined.recovered,
            "{query}: {joined:?}"
        );
        position.get_or_insert(joined.position.clone());
        for _ in 0..most {
            let shown = viewer.next().await;
            if shown.text == "the end" {
                return seen;
            }
            position = Some(shown.position.clone());
            seen.push(shown);
        }
        most = most.saturating_mul(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_i2_i3_flat_out_with_stalls_joins_and_leaves_everybody_sees_everything_once_and_in_order()
 {
    let server = Arc::new(Server::start(&["--workers", "2"]).await);
    let asleep = stalled(&server, 5).await;
    let mut viewers = JoinSet::new();
    for index in 0..12 {
        // Half of them stay all the time.
        let most = if index % 2 == 0 { usize::MAX } else { index };
        viewers.spawn(guest(Arc::clone(&server), most));
    }
    eventually("everybody is there", || async {
        server
            .metric("chat_room_fanout_viewers{encoding=\"v1\"}")
            .await
            >= 11.5
    })
    .await;
    let publishers = Publishers::start(&server, 6, &"x".repeat(200));
    let mut passers_by = 0;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        // Who comes for the history only.
        let mut viewer = Viewer::join(&server, "room=den&history=20").await;
        viewer.next().await;
        passers_by += 1;
    }
    let acknowledged = publishers.stop(&server).await;
    let mut order: Option<Vec<String>> = None;
    for shown in within("everybody sees the end", viewers.join_all()).await {
        let ids: HashSet<_> = shown.iter().map(|shown| &shown.id).collect();
        assert_eq!(ids.len(), shown.len(), "shown twice");
        let texts: Vec<_> = shown.into_iter().map(|shown| shown.text).collect();
        assert_all_once_in_order("a viewer", &texts, &acknowledged);
        let order = order.get_or_insert_with(|| texts.clone());
        assert!(*order == texts, "two viewers saw two orders");
    }
    println!(
        "{} messages, {passers_by} passers-by",
        order.map_or(0, |order| order.len())
    );
    drop(asleep);
}

#[tokio::test]
async fn the_history_that_newcomers_get_is_encoded_once_and_not_for_each() {
    allow_many_files();
    let server = Server::start(&["--workers", "1"]).await;
    let texts: Vec<_> = (0..100).map(|number| format!("message {number}")).collect();
    server.say_all("den", &texts).await;
    // Once one has seen them all, they are all read.
    let mut first = Viewer::join(&server, "room=den").await;
    first.take(100).await;
    let encodings = "chat_room_log_encodings_total{encoding=\"v1\"}";
    let before = server.metric(encodings).await;
    let mut viewers = Vec::new();
    for _ in 0..500 {
        let mut viewer = Viewer::join(&server, "room=den").await;
        viewer.take(100).await;
        viewers.push(viewer);
    }
    let histories = server.metric(encodings).await - before;
    assert!(histories < 1.5, "{histories} encodings for 500 newcomers");
    // A message, and then another history; while nobody sees the plain encoding, there is none.
    server.say("den", "one more").await;
    for viewer in &mut viewers {
        assert_eq!(viewer.next().await.text, "one more");
    }
    let mut late = Viewer::join(&server, "room=den").await;
    assert_eq!(late.take(100).await[99].text, "one more");
    let more = server.metric(encodings).await - before - histories;
    assert!((more - 2.0).abs() < 0.5, "{more} encodings");
    let metrics = server.metrics().await;
    assert!(!metrics.contains("encodings_total{encoding=\"plain\"}"));
}

/// Bytes of user memory for a viewer that has nothing to do: the aim is 1.0 KB. Pages and malloc's own add to it.
const AN_IDLE_VIEWER: f64 = 1_536.0;

#[tokio::test]
async fn i4_an_idle_viewer_holds_little_memory() {
    const VIEWERS: u16 = 2_000;
    allow_many_files();
    let server = Server::start(&["--workers", "1", "--ping-interval", "off"]).await;
    let mut viewers = Vec::new();
    let mut join = async |count: u16| {
        for _ in 0..count {
            let mut raw = Raw::open(server.address()).await;
            raw.upgrade("history=0").await;
            viewers.push(raw);
        }
        server.metric("process_resident_memory_bytes").await
    };
    // What is there once, however many come, is there after some.
    let before = join(500).await;
    let each = (join(VIEWERS).await - before) / f64::from(VIEWERS);
    assert!(each < AN_IDLE_VIEWER, "{each} bytes");
}

#[tokio::test]
async fn a_burst_of_connections_waits_in_the_backlog() {
    allow_many_files();
    // Who came first must still be let in on a slow machine when the last has been accepted.
    let patient = ["--first-request-timeout", "1m", "--header-timeout", "1m"];
    let server = Server::start(&[&["--workers", "1"][..], &patient].concat()).await;
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("the kernel's limit");
    let burst = most
        .trim()
        .parse()
        .map_or(128, |most: usize| most.min(1_000));
    server.signal(Signal::STOP);
    let mut waiting = Vec::new();
    for _ in 0..burst {
        waiting.push(Raw::open(server.address()).await);
    }
    server.signal(Signal::CONT);
    for raw in &mut waiting {
        raw.upgrade("").await;
    }
    server.say("lobby", "welcome").await;
    for raw in &mut waiting {
        assert_eq!(raw.frame().await.expect("a frame").payload, b"welcome");
    }
}
