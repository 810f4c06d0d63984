//! Faults of subscriptions.

use std::time::Duration;

use super::{Settings, World, in_process, over_https};

in_process! {
    async fn a_subscription_that_ends_early() {
        let mut world = World::start().await;
        world.faults.add("fault = \"early-end\"\nevery = 15").unwrap();
        world.publish_until("early-end", 4).await;
        world.holds().await;
    }

    async fn a_subscription_that_ends_with_an_internal_failure() {
        let mut world = World::start().await;
        world.faults.add("fault = \"exception\"\nevery = 15").unwrap();
        world.publish_until("exception", 4).await;
        world.holds().await;
    }

    async fn a_subscription_that_ends_because_another_took_over() {
        let mut world = World::start().await;
        world.faults.add("fault = \"exception\"\nexception = \"ResourceInUseException\"\nevery = 15").unwrap();
        world.publish_until("exception", 3).await;
        world.holds().await;
    }

    async fn a_subscription_that_ends_because_its_key_cannot_be_used() {
        let mut world = World::start().await;
        world.faults.add(
            "[[rule]]\nfault = \"exception\"\nexception = \"KMSThrottlingException\"\nnth = 9\n\
             [[rule]]\nfault = \"exception\"\nexception = \"KMSDisabledException\"\nnth = 20\n\
             [[rule]]\nfault = \"exception\"\nexception = \"KMSAccessDeniedException\"\nnth = 31\n\
             [[rule]]\nfault = \"exception\"\nexception = \"KMSInvalidStateException\"\nnth = 42\n",
        ).unwrap();
        world.publish_until("exception", 4).await;
        world.holds().await;
    }

    async fn records_that_are_delivered_twice() {
        let mut world = World::start().await;
        world.faults.add("fault = \"duplicate\"\nrate = 0.4").unwrap();
        world.publish(20).await;
        world.occurs("duplicate", 5).await;
        world.holds().await;
    }

    async fn a_subscription_that_is_refused_because_there_is_one() {
        let mut world = World::with(Settings {
            lifetime: Duration::from_millis(400),
            ..Settings::default()
        }).await;
        world.faults.add("fault = \"in-use\"\nrate = 0.5").unwrap();
        world.publish_until("in-use", 4).await;
        world.holds().await;
    }
}

over_https! {
    async fn a_subscription_that_falls_silent_and_stays_open() {
        let mut world = World::start().await;
        world.faults.add("fault = \"silent\"\nevery = 25").unwrap();
        world.publish_until("silent", 3).await;
        world.holds().await;
    }

    async fn subscriptions_that_expire_and_are_renewed() {
        let mut world = World::with(Settings {
            lifetime: Duration::from_millis(300),
            ..Settings::default()
        }).await;
        // No fault, but a count of the calls.
        world.faults.add("fault = \"delay\"\noperation = \"SubscribeToShard\"\ndelay = \"0s\"\nname = \"subscribed\"").unwrap();
        world.publish_until("subscribed", 12).await;
        world.holds().await;
    }

    async fn a_subscription_whose_answer_is_lost() {
        let mut world = World::with(Settings {
            lifetime: Duration::from_millis(400),
            ..Settings::default()
        }).await;
        world.faults.add("fault = \"answer-lost\"\noperation = \"SubscribeToShard\"\nrate = 0.3").unwrap();
        world.publish_until("answer-lost", 2).await;
        world.holds().await;
    }

    async fn a_subscription_whose_answer_never_comes() {
        let mut world = World::with(Settings {
            lifetime: Duration::from_millis(400),
            ..Settings::default()
        }).await;
        world.faults.add("fault = \"answer-never\"\noperation = \"SubscribeToShard\"\nrate = 0.3").unwrap();
        world.publish_until("answer-never", 2).await;
        world.holds().await;
    }
}
