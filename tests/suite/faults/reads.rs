//! Faults of positions and of polling.

use std::time::Duration;

use chat_room::consumer::Mode;

use super::{Settings, World, in_process, over_https};

fn polling() -> Settings {
    Settings {
        mode: Mode::Polling,
        ..Settings::default()
    }
}

in_process! {
    async fn an_iterator_that_has_expired() {
        let mut world = World::with(polling()).await;
        world.faults.add("fault = \"expired-iterator\"\nrate = 0.2").unwrap();
        world.publish_until("expired-iterator", 4).await;
        world.holds().await;
    }

    async fn a_position_past_retention() {
        let mut world = World::with(Settings {
            lifetime: Duration::from_millis(400),
            ..Settings::default()
        }).await;
        world.faults.add("fault = \"trimmed-start\"\nevery = 3").unwrap();
        world.publish_until("trimmed-start", 3).await;
        world.holds().await;
    }
}

over_https! {
    async fn polls_that_are_throttled() {
        let mut world = World::with(polling()).await;
        world.faults.add("fault = \"throttle\"\noperation = \"GetRecords\"\nrate = 0.4").unwrap();
        world.publish_until("throttle", 4).await;
        world.holds().await;
    }

    async fn polls_that_are_never_answered() {
        let mut world = World::with(polling()).await;
        world.faults.add("fault = \"answer-never\"\noperation = \"GetRecords\"\nevery = 40").unwrap();
        world.publish_until("answer-never", 2).await;
        world.holds().await;
    }
}
