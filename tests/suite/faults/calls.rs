//! Faults of calls: what is written, and how often.

use super::{Settings, World, in_process, over_https};
use crate::harness::eventually;

in_process! {
    async fn a_call_that_is_throttled() {
        let mut world = World::start().await;
        world.faults.add("fault = \"throttle\"\noperation = \"PutRecords\"\nrate = 0.4").unwrap();
        world.publish(20).await;
        world.occurred("throttle");
        world.holds().await;
    }

    async fn a_call_part_of_which_is_throttled() {
        let mut world = World::with(Settings { shards: 1, rooms: 120, ..Settings::default() }).await;
        world.faults.add("fault = \"throttle-records\"\nrate = 0.5").unwrap();
        world.publish_long(6, 2_000).await;
        world.occurred("throttle-records");
        world.holds().await;
    }

    async fn an_answer_that_is_lost_after_the_write() {
        let mut world = World::start().await;
        world.faults.add("fault = \"answer-lost\"\noperation = \"PutRecords\"\nevery = 3").unwrap();
        world.publish(15).await;
        world.occurred("answer-lost");
        assert!(world.stored().await > world.acknowledged(), "nothing was written twice");
        world.holds().await;
    }

    async fn a_write_that_is_applied_late_after_newer_ones() {
        let mut world = World::start().await;
        world.faults.add("fault = \"late-write\"\nnth = 3\ndelay = \"1200ms\"").unwrap();
        world.publish(20).await;
        world.occurred("late-write");
        let seen = world.acknowledged();
        eventually("the late write", || async { world.stored().await > seen }).await;
        world.holds().await;
    }

    async fn a_late_write_is_a_repeat_also_for_who_started_after_its_retry() {
        let mut world = World::start().await;
        world.faults.add("fault = \"late-write\"\nnth = 3\ndelay = \"8s\"").unwrap();
        world.publish(5).await;
        world.occurred("late-write");
        let newcomer = world.newcomer().await;
        let seen = world.acknowledged();
        assert_eq!(world.stored().await, seen, "it came too early to tell");
        world.publish(1).await;
        let seen = world.acknowledged();
        eventually("the late write", || async { world.stored().await > seen }).await;
        world.publish(1).await;
        world.shows_the_rest(&newcomer).await;
        world.holds().await;
    }

    async fn a_call_that_waits() {
        let mut world = World::start().await;
        world.faults.add("fault = \"delay\"\nrate = 0.2\ndelay = \"150ms\"").unwrap();
        world.publish(15).await;
        world.occurred("delay");
        world.holds().await;
    }
}

over_https! {
    async fn a_call_that_fails_with_status_500() {
        let mut world = World::start().await;
        world.faults.add("fault = \"internal-error\"\nrate = 0.3").unwrap();
        world.publish(15).await;
        world.occurred("internal-error");
        world.holds().await;
    }

    async fn an_answer_that_never_comes_after_the_write() {
        let mut world = World::start().await;
        world.faults.add("fault = \"answer-never\"\noperation = \"PutRecords\"\nevery = 5").unwrap();
        world.publish(6).await;
        world.occurred("answer-never");
        assert!(world.stored().await > world.acknowledged(), "nothing was written twice");
        world.holds().await;
    }

    async fn a_connection_that_is_reset_before_the_write() {
        let mut world = World::start().await;
        world.faults.add("fault = \"reset\"\noperation = \"PutRecords\"\nevery = 4").unwrap();
        world.publish(15).await;
        world.occurred("reset");
        world.holds().await;
    }

    async fn a_write_over_https_that_is_applied_late_after_newer_ones() {
        let mut world = World::start().await;
        world.faults.add("fault = \"late-write\"\nnth = 3\ndelay = \"1200ms\"").unwrap();
        world.publish(10).await;
        world.occurred("late-write");
        let seen = world.acknowledged();
        eventually("the late write", || async { world.stored().await > seen }).await;
        world.holds().await;
    }
}
