//! Who calls: region and account as the signature names them, and one namespace of streams.

use super::*;

/// A client of another region and account.
fn stranger(service: &Service, key: &str, region: &'static str) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(Credentials::new(key, "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url("http://kinesis.invalid")
        .http_client(service.http_client())
        .build();
    Client::from_conf(config)
}

#[tokio::test]
async fn every_caller_sees_the_same_streams_under_arns_of_its_own() {
    let kinesis = Kinesis::in_process(Config::default());
    let ours = kinesis.stream(1).await;
    let reader = kinesis.register(&ours, "reader").await;
    let other = stranger(&kinesis.service, "123456789012", "eu-west-1");
    let theirs = "arn:aws:kinesis:eu-west-1:123456789012:stream/messages";
    let listed = other.list_streams().send().await.unwrap();
    assert_eq!(listed.stream_names, [STREAM]);
    assert_eq!(listed.stream_summaries()[0].stream_arn, theirs);
    let put = other.put_record().stream_arn(theirs).partition_key("k");
    put.data(b"x".to_vec().into()).send().await.unwrap();
    let consumers = other.list_stream_consumers().stream_arn(theirs);
    let consumers = consumers.send().await.unwrap().consumers.unwrap();
    let named = &consumers[0].consumer_arn;
    assert_eq!(*named, reader.replace(&ours, theirs));
    let subscribe = other.subscribe_to_shard().consumer_arn(named);
    let position = StartingPosition::builder().r#type("TRIM_HORIZON".into());
    let subscribe = subscribe.starting_position(position.build().unwrap());
    let mut events = subscribe.shard_id(SHARD).send().await.unwrap().event_stream;
    assert_eq!(full_event(&mut events).await.records.len(), 1);
    // What one made the other can end.
    let end = other.deregister_stream_consumer().consumer_arn(named);
    end.send().await.unwrap();
    let gone = kinesis.client.describe_stream_consumer();
    let gone = gone.consumer_arn(&reader).send().await;
    assert_eq!(code(&gone.unwrap_err()), "ResourceNotFoundException");
}

#[tokio::test]
async fn arns_of_another_region_or_account_are_not_found() {
    let kinesis = Kinesis::in_process(Config::default());
    let ours = kinesis.stream(1).await;
    for (key, region) in [("123456789012", "us-east-1"), ("test", "eu-west-1")] {
        let other = stranger(&kinesis.service, key, region);
        let describe = other.describe_stream_summary().stream_arn(&ours);
        let refused = describe.send().await.unwrap_err();
        assert_eq!(
            code(&refused),
            "ResourceNotFoundException",
            "{key} {region}"
        );
    }
}

#[tokio::test]
async fn a_name_and_an_arn_must_agree() {
    let kinesis = Kinesis::over_tcp(Config::default());
    let arn = kinesis.stream(1).await;
    let reader = kinesis.register(&arn, "reader").await;
    let client = &kinesis.client;
    let describe = || client.describe_stream_summary();
    let both = describe().stream_name(STREAM).stream_arn(&arn).send().await;
    both.unwrap();
    let other = describe().stream_name("other").stream_arn(&arn);
    assert_eq!(
        code(&other.send().await.unwrap_err()),
        "InvalidArgumentException"
    );
    let neither = describe().send().await;
    assert_eq!(code(&neither.unwrap_err()), "InvalidArgumentException");
    let consumer = || client.describe_stream_consumer();
    let all = consumer().stream_arn(&arn).consumer_name("reader");
    all.consumer_arn(&reader).send().await.unwrap();
    let wrong = consumer().consumer_name("writer").consumer_arn(&reader);
    assert_eq!(
        code(&wrong.send().await.unwrap_err()),
        "InvalidArgumentException"
    );
    for half in [
        consumer().stream_arn(&arn),
        consumer().consumer_name("reader"),
    ] {
        assert_eq!(
            code(&half.send().await.unwrap_err()),
            "InvalidArgumentException"
        );
    }
}
