//! Many faults at once.

use super::{Settings, World, in_process, over_https};

/// Seeded; rates at which messages still get through within seconds.
const STORM: &str = r#"
seed = 42
[[rule]]
fault = "throttle"
operation = "PutRecords"
rate = 0.1
[[rule]]
fault = "internal-error"
rate = 0.05
[[rule]]
fault = "answer-lost"
operation = "PutRecords"
rate = 0.1
[[rule]]
fault = "late-write"
rate = 0.03
delay = "700ms"
[[rule]]
fault = "split"
every = 25
times = 2
[[rule]]
fault = "merge"
every = 40
times = 2
[[rule]]
fault = "early-end"
rate = 0.02
[[rule]]
fault = "silent"
rate = 0.005
[[rule]]
fault = "duplicate"
rate = 0.1
[[rule]]
fault = "stream-reset"
rate = 0.02
"#;

async fn storm() {
    let mut world = World::with(Settings {
        rooms: 12,
        ..Settings::default()
    })
    .await;
    world.faults.add(STORM).unwrap();
    world.publish(15).await;
    for fault in [
        "throttle",
        "internal-error",
        "answer-lost",
        "split",
        "early-end",
        "duplicate",
    ] {
        world.occurs(fault, 1).await;
    }
    world.faults.clear();
    world.holds().await;
}

in_process! {
    async fn many_faults_at_once() {
        storm().await;
    }
}

over_https! {
    async fn many_faults_at_once_over_https() {
        storm().await;
    }
}
