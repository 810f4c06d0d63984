//! Changes of the stream while records are under way.

use super::{Settings, World, in_process, over_https};

in_process! {
    async fn a_shard_that_is_split() {
        let mut world = World::with(Settings { shards: 1, ..Settings::default() }).await;
        world.faults.add("fault = \"split\"\nevery = 10\ntimes = 3").unwrap();
        world.publish(30).await;
        world.occurred("split");
        assert!(world.open_shards().await > 1);
        world.holds().await;
    }

    async fn a_consumer_that_is_deregistered_from_outside() {
        let mut world = World::start().await;
        world.faults.add("fault = \"deregister\"\nconsumer = \"reader-1\"").unwrap();
        world.occurred("deregister");
        world.publish(15).await;
        world.faults.add("fault = \"deregister\"\nevery = 10\ntimes = 2").unwrap();
        world.publish(20).await;
        world.occurred("deregister");
        world.holds().await;
    }
}

over_https! {
    async fn shards_that_are_merged() {
        let mut world = World::with(Settings { shards: 4, ..Settings::default() }).await;
        world.faults.add("fault = \"merge\"\nevery = 10\ntimes = 3").unwrap();
        world.publish(30).await;
        world.occurred("merge");
        assert!(world.open_shards().await < 4);
        world.holds().await;
    }

    async fn a_shard_that_is_split_at_a_moment_and_merged_at_another() {
        let mut world = World::with(Settings { shards: 1, ..Settings::default() }).await;
        world.faults.add("[[rule]]\nfault = \"split\"\nafter = \"50ms\"\n[[rule]]\nfault = \"merge\"\nafter = \"400ms\"").unwrap();
        world.publish_until("merge", 1).await;
        world.occurred("split");
        world.holds().await;
    }
}
