//! Two instances with one consumer name.

use std::time::Instant;

use super::Holder;
use crate::harness::{Server, Viewer, eventually};

async fn metric(server: &Server, name: &str) -> f64 {
    let metrics = server.metrics().await;
    let values = metrics.lines().filter(|line| line.starts_with(name));
    values
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// The least wait before the first time that a shard is taken back; it doubles each time.
const FIRST_WAIT: f64 = 5.0;

#[tokio::test]
async fn two_instances_with_one_consumer_name_do_not_fight_for_ever() {
    let holder = Holder::start(&[]).await;
    let args = ["--consumer", "enhanced", "--consumer-name", "shared"];
    let begin = Instant::now();
    let servers = [
        holder.beside(&args).start().await,
        holder.beside(&args).start().await,
    ];
    let mut viewers = Vec::new();
    for server in &servers {
        viewers.push(Viewer::join(server, "room=den").await);
    }
    // Whoever was there first loses the shard, and says so.
    let takeovers = "chat_room_consumer_takeovers_total";
    eventually("the take-over is noticed", || async {
        metric(&servers[0], takeovers).await >= 1.0
    })
    .await;
    let words = "another process with this consumer's name has taken the shard over";
    eventually("it is logged", || async {
        servers[0].log().contains(words)
    })
    .await;
    assert_eq!(servers[0].get("/readyz").await.status(), 200);
    // Nothing is lost meanwhile: each gets it when it has the shard again.
    let texts: Vec<_> = (0..5).map(|number| number.to_string()).collect();
    servers[0].say_all("den", &texts).await;
    for viewer in &mut viewers {
        let shown = viewer.take(texts.len()).await;
        let shown: Vec<_> = shown.into_iter().map(|shown| shown.text).collect();
        assert_eq!(shown, texts);
    }
    // Each time it is taken back later: as often as that lets it be in the time that went by.
    for server in &servers {
        let times = metric(server, takeovers).await;
        let elapsed = begin.elapsed().as_secs_f64();
        let most = 1.0 + (1.0 + elapsed / FIRST_WAIT).log2();
        assert!(times <= most, "{times} times in {elapsed} s");
    }
}
