//! What keeps an instance from its stream: each with a message of its own that says what to do. At the start the program
//! ends with code 1; at run time it tries again, says so in `/readyz`, with status 200, and in a metric.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Holder;
use crate::harness::{Server, call_kinesis, eventually};

const WRONG_REGION: &str = "Credential should be scoped to a valid region, not 'us-east-1'.";

/// Starts an instance beside a holder that goes wrong so, which must end with these words.
async fn cannot_start(rule: Value, args: &[&str], words: &[&str]) {
    let holder = Holder::start(&[]).await;
    holder.add(&rule).await;
    let ended = holder.beside(args).run().await;
    assert_eq!(ended.code, Some(1), "{rule}: {ended:?}");
    for words in words {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

fn refuse(operation: &str, exception: &str, message: &str) -> Value {
    json!({"fault": "refuse", "operation": operation, "exception": exception, "message": message})
}

#[tokio::test]
async fn at_the_start_a_missing_permission_names_itself() {
    let rule = refuse(
        "DescribeStreamSummary",
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/chat",
    );
    let words = [
        "DescribeStreamSummary messages: permission denied",
        "allow this operation in the policy",
    ];
    cannot_start(rule, &[], &words).await;
}

#[tokio::test]
async fn at_the_start_a_missing_permission_to_register_names_itself_where_polling_is_not_wanted() {
    let rule = refuse(
        "RegisterStreamConsumer",
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/chat",
    );
    let words = ["RegisterStreamConsumer", "permission denied"];
    cannot_start(rule, &["--consumer", "enhanced"], &words).await;
}

#[tokio::test]
async fn at_the_start_expired_credentials_are_told_from_unknown_ones() {
    let rule = refuse(
        "DescribeStreamSummary",
        "ExpiredTokenException",
        "The security token included in the request is expired",
    );
    cannot_start(rule, &[], &["the credentials have expired", "renew them"]).await;
    let rule = refuse(
        "DescribeStreamSummary",
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    );
    cannot_start(
        rule,
        &[],
        &[
            "the credentials are not accepted",
            "check that the key exists",
        ],
    )
    .await;
}

#[tokio::test]
async fn at_the_start_a_wrong_region_is_told() {
    let rule = refuse(
        "DescribeStreamSummary",
        "InvalidSignatureException",
        WRONG_REGION,
    );
    cannot_start(rule, &[], &["signed for the wrong region", "set --region"]).await;
}

#[tokio::test]
async fn at_the_start_auto_distribution_is_refused() {
    let words = ["its record distribution is AUTO", "USER_PARTITION_KEY"];
    cannot_start(json!({"fault": "auto-distribution"}), &[], &words).await;
}

#[tokio::test]
async fn at_the_start_a_stream_that_is_being_deleted_or_is_not_there_is_refused() {
    cannot_start(json!({"fault": "deleting"}), &[], &["it is being deleted"]).await;
    let none = json!({"fault": "delay", "delay": "0s"});
    cannot_start(
        none,
        &["--stream", "other"],
        &["stream other", "region us-east-1"],
    )
    .await;
}

/// A holder, and an instance beside it that is ready.
async fn two() -> (Holder, Server) {
    let holder = Holder::start(&[]).await;
    let beside = holder.beside(&["--consumer-name", "beside", "--consumer", "enhanced"]);
    let beside = beside.start().await;
    (holder, beside)
}

/// Waits until `/readyz` holds these words, with status 200, and a metric counts.
async fn is_told(server: &Server, words: &str, metric: &str) {
    eventually(&format!("/readyz says {words:?}"), || async {
        let ready = server.get("/readyz").await;
        assert_eq!(ready.status(), StatusCode::OK, "trouble that came later");
        ready
            .text()
            .await
            .expect("the text of /readyz")
            .contains(words)
    })
    .await;
    let metrics = server.metrics().await;
    let counts = |line: &str| line.starts_with(metric) && !line.ends_with(" 0");
    assert!(metrics.lines().any(counts), "{metric} is not in\n{metrics}");
}

/// Takes all faults away: it recovers by itself.
async fn recovers(holder: &Holder, server: &Server) {
    holder.clear().await;
    eventually("the trouble is over", || async {
        let ready = server
            .get("/readyz")
            .await
            .text()
            .await
            .expect("the text of /readyz");
        ready == r#"{"status":"ready","behind":[],"problems":[]}"#
    })
    .await;
    server.say("den", "here again").await;
}

#[tokio::test]
async fn while_running_expired_credentials_show_and_are_tried_again() {
    let (holder, server) = two().await;
    holder
        .add(&refuse("PutRecords", "ExpiredTokenException", "expired"))
        .await;
    let answer = server
        .post(&json!({"room": "den", "text": "refused"}))
        .await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    let metric = r#"chat_room_producer_put_records_calls_total{outcome="credentials_expired"}"#;
    is_told(&server, "the credentials have expired", metric).await;
    holder.clear().await;
    // Its trouble ends with the next call that goes well.
    server.say("den", "accepted").await;
    recovers(&holder, &server).await;
}

#[tokio::test]
async fn while_running_a_missing_permission_shows_and_is_tried_again() {
    let (holder, server) = two().await;
    let denied = refuse("SubscribeToShard", "AccessDeniedException", "not any more");
    let end = json!({"fault": "early-end", "consumer": "beside", "times": 1});
    holder.add(&json!({"rule": [denied, end]})).await;
    let metric = r#"chat_room_consumer_resubscriptions_total{reason="access_denied"}"#;
    is_told(
        &server,
        "SubscribeToShard shardId-000000000000: permission denied",
        metric,
    )
    .await;
    recovers(&holder, &server).await;
}

#[tokio::test]
async fn while_running_a_wrong_region_shows_and_is_tried_again() {
    let (holder, server) = two().await;
    let refused = refuse("ListShards", "InvalidSignatureException", WRONG_REGION);
    // Whoever comes to the end of a shard asks for the list.
    holder
        .add(&json!({"rule": [refused, {"fault": "split"}]}))
        .await;
    let metric = r#"chat_room_consumer_errors_total{kind="region"}"#;
    is_told(
        &server,
        "ListShards messages: signed for the wrong region",
        metric,
    )
    .await;
    recovers(&holder, &server).await;
}

#[tokio::test]
async fn while_running_auto_distribution_and_deletion_show_and_are_looked_at_again() {
    for (fault, words, kind) in [
        (
            "auto-distribution",
            "its record distribution is AUTO",
            "auto_distribution",
        ),
        ("deleting", "it is being deleted", "stream_deleting"),
    ] {
        let (holder, server) = two().await;
        // Whoever finds its consumer gone looks at the stream before it registers anew.
        let gone = json!({"fault": "deregister", "consumer": "beside"});
        holder.add(&json!({"rule": [{"fault": fault}, gone]})).await;
        let metric = format!("chat_room_consumer_errors_total{{kind=\"{kind}\"}}");
        is_told(&server, words, &metric).await;
        recovers(&holder, &server).await;
    }
}

#[tokio::test]
async fn while_running_a_stream_that_was_deleted_shows_and_is_looked_for() {
    let (holder, server) = two().await;
    let delete = json!({"StreamName": "messages", "EnforceConsumerDeletion": true});
    call_kinesis(holder.server.kinesis(), "DeleteStream", &delete).await;
    let metric = r#"chat_room_consumer_errors_total{kind="stream_not_found"}"#;
    is_told(&server, "this account has none of that name", metric).await;
    let answer = server
        .post(&json!({"room": "den", "text": "nowhere to go"}))
        .await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}
