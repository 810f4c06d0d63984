//! Faults of connections: HTTP/2 over TLS, where all subscriptions share few of them.

use super::{Settings, World, in_process, over_https};

over_https! {
    async fn a_goaway_while_subscriptions_are_open() {
        let mut world = World::start().await;
        world.faults.add("fault = \"go-away\"\nevery = 20").unwrap();
        world.publish_until("go-away", 2).await;
        world.holds().await;
    }

    async fn a_goaway_and_then_the_end_of_the_connection() {
        let mut world = World::start().await;
        world.faults.add("fault = \"go-away\"\nevery = 20\ndelay = \"50ms\"").unwrap();
        world.publish_until("go-away", 3).await;
        world.holds().await;
    }

    async fn a_goaway_while_records_are_under_way() {
        let mut world = World::start().await;
        world.faults.add("fault = \"go-away\"\noperation = \"PutRecords\"\nevery = 7\ndelay = \"5ms\"").unwrap();
        world.publish_until("go-away", 3).await;
        world.holds().await;
    }

    async fn a_subscriptions_stream_that_is_reset() {
        let mut world = World::start().await;
        world.faults.add("fault = \"stream-reset\"\nevery = 15").unwrap();
        world.publish_until("stream-reset", 4).await;
        world.holds().await;
    }

    async fn a_calls_stream_that_is_reset() {
        let mut world = World::start().await;
        world.faults.add("fault = \"stream-reset\"\noperation = \"PutRecords\"\nevery = 4").unwrap();
        world.publish_until("stream-reset", 4).await;
        world.holds().await;
    }

    async fn a_connection_that_is_black_holed_with_all_its_subscriptions() {
        let mut world = World::with(Settings { shards: 6, ..Settings::default() }).await;
        world.publish(3).await;
        world.faults.add("fault = \"black-hole\"\nconsumer = \"reader-1\"\nnth = 1").unwrap();
        world.occurs("black-hole", 1).await;
        world.publish(10).await;
        world.holds().await;
    }

    async fn a_connection_that_is_black_holed_with_the_records_on_it() {
        let mut world = World::start().await;
        world.publish(2).await;
        world.faults.add("fault = \"black-hole\"\noperation = \"PutRecords\"\nevery = 6\ntimes = 2").unwrap();
        world.publish(12).await;
        world.occurred("black-hole");
        world.holds().await;
    }

    async fn a_connection_that_is_black_holed_while_shards_are_listed() {
        let mut world = World::with(Settings { shards: 1, ..Settings::default() }).await;
        world.faults.add("fault = \"black-hole\"\noperation = \"ListShards\"\nnth = 1").unwrap();
        world.faults.add("fault = \"split\"").unwrap();
        world.publish_until("black-hole", 1).await;
        world.publish(5).await;
        world.holds().await;
    }

    async fn connections_that_allow_two_streams_each() {
        // The rule must be there before the first connection is.
        let mut world = World::with(Settings { shards: 12, few_streams: Some(2), ..Settings::default() }).await;
        world.occurred("few-streams");
        world.publish(5).await;
        world.holds().await;
    }

    async fn thirty_shards_are_read_at_once_with_one_of_them_stalled() {
        let mut world = World::with(Settings { shards: 30, rooms: 60, ..Settings::default() }).await;
        // It falls silent again and again, for as long as the rule stands.
        world.faults.add("fault = \"silent\"\nshard = \"shardId-000000000007\"").unwrap();
        world.occurs("silent", 2).await;
        world.publish(4).await;
        world.others_show_all("shardId-000000000007").await;
        world.faults.clear();
        world.holds().await;
    }
}

in_process! {
    async fn a_black_hole_in_process() {
        let mut world = World::start().await;
        world.faults.add("fault = \"black-hole\"\nevery = 25\ntimes = 2").unwrap();
        world.publish_until("black-hole", 2).await;
        world.holds().await;
    }

    async fn a_reset_stream_in_process() {
        let mut world = World::start().await;
        world.faults.add("[[rule]]\nfault = \"stream-reset\"\nevery = 15\n[[rule]]\nfault = \"reset\"\noperation = \"PutRecords\"\nevery = 5").unwrap();
        world.publish_until("stream-reset", 3).await;
        world.publish_until("reset", 3).await;
        world.holds().await;
    }
}
