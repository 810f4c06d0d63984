//! What can be changed about a stream beside its shards, and about the account.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    EncryptionType, MetricsName, MinimumThroughputBillingCommitmentInput as CommitmentInput,
    MinimumThroughputBillingCommitmentInputStatus as Asked,
    MinimumThroughputBillingCommitmentOutputStatus as Status, PutRecordsRequestEntry,
    RecordDistributionStrategy, ScalingType, StreamDescriptionSummary, StreamMode,
    StreamModeDetails, StreamStatus,
};

use super::*;

impl Kinesis {
    async fn summary(&self) -> StreamDescriptionSummary {
        let describe = self.client.describe_stream_summary().stream_name(STREAM);
        let output = describe.send().await.unwrap();
        output.stream_description_summary.unwrap()
    }

    async fn set_mode(&self, arn: &str, mode: StreamMode) -> Result<(), String> {
        let details = StreamModeDetails::builder().stream_mode(mode).build();
        let update = self.client.update_stream_mode().stream_arn(arn);
        let update = update.stream_mode_details(details.unwrap()).send().await;
        update.map(|_| ()).map_err(|error| code(&error))
    }

    async fn commit(&self, status: Asked) -> Status {
        let input = CommitmentInput::builder().status(status).build().unwrap();
        let update = self.client.update_account_settings();
        let update = update.minimum_throughput_billing_commitment(input);
        let output = update.send().await.unwrap();
        output.minimum_throughput_billing_commitment.unwrap().status
    }
}

both_ways! {
    async fn retention_is_lengthened_and_shortened(kinesis = Config::default()) {
        let arn = kinesis.stream(1).await;
        let longer = |hours| kinesis.client.increase_stream_retention_period().stream_name(STREAM).retention_period_hours(hours);
        let shorter = |hours| kinesis.client.decrease_stream_retention_period().stream_arn(&arn).retention_period_hours(hours);
        assert_eq!(kinesis.summary().await.retention_period_hours, 24);
        longer(8_760).send().await.unwrap();
        assert_eq!(kinesis.summary().await.retention_period_hours, 8_760);
        shorter(48).send().await.unwrap();
        assert_eq!(kinesis.summary().await.retention_period_hours, 48);
        // As it is already is fine with both.
        longer(48).send().await.unwrap();
        shorter(48).send().await.unwrap();
        for hours in [47, 23, 8_761, 0, -1] {
            assert_eq!(code(&longer(hours).send().await.unwrap_err()), "InvalidArgumentException", "{hours}");
        }
        for hours in [49, 23, 0, -1] {
            assert_eq!(code(&shorter(hours).send().await.unwrap_err()), "InvalidArgumentException", "{hours}");
        }
        assert_eq!(kinesis.summary().await.retention_period_hours, 48);
    }

    async fn a_change_takes_its_time_and_another_must_wait(kinesis = Config { creating_time: Duration::from_millis(150), ..Config::default() }) {
        let arn = kinesis.stream(1).await;
        let status = || async { kinesis.summary().await.stream_status };
        while status().await != StreamStatus::Active {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kinesis.client.update_max_record_size().stream_arn(&arn).max_record_size_in_kib(2048).send().await.unwrap();
        let now = kinesis.summary().await;
        if now.stream_status == StreamStatus::Updating {
            assert_eq!(now.max_record_size_in_kib, Some(1024), "not yet");
        }
        while status().await != StreamStatus::Active {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(kinesis.summary().await.max_record_size_in_kib, Some(2048));
    }

    async fn a_change_amid_another_is_refused(kinesis = Config { creating_time: Duration::from_hours(1), ..Config::default() }) {
        let arn = kinesis.stream(1).await;
        let longer = kinesis.client.increase_stream_retention_period().stream_name(STREAM).retention_period_hours(48).send().await;
        assert_eq!(code(&longer.unwrap_err()), "ResourceInUseException");
        let tagged = kinesis.client.add_tags_to_stream().stream_name(STREAM).tags("a", "b").send().await;
        assert_eq!(code(&tagged.unwrap_err()), "ResourceInUseException");
        assert_eq!(kinesis.set_mode(&arn, StreamMode::OnDemand).await.unwrap_err(), "ResourceInUseException");
        let metrics = kinesis.client.enable_enhanced_monitoring().stream_arn(&arn).shard_level_metrics(MetricsName::All).send().await;
        assert_eq!(code(&metrics.unwrap_err()), "ResourceInUseException");
    }

    async fn larger_records_are_taken_once_they_may(kinesis = Config::default()) {
        let arn = kinesis.stream(1).await;
        let put = || {
            let data = Blob::new(vec![7; 1024 * 1024]);
            kinesis.client.put_record().stream_name(STREAM).partition_key("k").data(data).send()
        };
        assert_eq!(code(&put().await.unwrap_err()), "InvalidArgumentException");
        kinesis.client.update_max_record_size().stream_arn(&arn).max_record_size_in_kib(1025).send().await.unwrap();
        put().await.unwrap();
        let nowhere = kinesis.client.update_max_record_size().max_record_size_in_kib(1025).send().await;
        assert_eq!(code(&nowhere.unwrap_err()), "InvalidArgumentException");
    }

    async fn the_mode_decides_who_may_reshard(kinesis = Config::default()) {
        let arn = kinesis.stream(1).await;
        let update = || kinesis.client.update_shard_count().stream_arn(&arn).target_shard_count(2).scaling_type(ScalingType::UniformScaling).send();
        assert_eq!(kinesis.summary().await.record_distribution_strategy, None);
        kinesis.set_mode(&arn, StreamMode::OnDemand).await.unwrap();
        let summary = kinesis.summary().await;
        assert_eq!(summary.stream_mode_details.unwrap().stream_mode, StreamMode::OnDemand);
        assert_eq!(summary.record_distribution_strategy, Some(RecordDistributionStrategy::UserPartitionKey));
        assert_eq!(code(&update().await.unwrap_err()), "ValidationException");
        kinesis.set_mode(&arn, StreamMode::Provisioned).await.unwrap();
        update().await.unwrap();
        let distribute = |strategy| kinesis.client.update_stream_record_distribution_strategy().stream_arn(&arn).record_distribution_strategy(strategy).send();
        assert_eq!(code(&distribute(RecordDistributionStrategy::Auto).await.unwrap_err()), "InvalidArgumentException");
        distribute(RecordDistributionStrategy::UserPartitionKey).await.unwrap();
    }

    async fn encryption_is_reported(kinesis = Config::default()) {
        const KEY: &str = "alias/aws/kinesis";
        let arn = kinesis.stream(1).await;
        let client = &kinesis.client;
        let put = || async {
            let entry = PutRecordsRequestEntry::builder().partition_key("k").data(Blob::new("x")).build().unwrap();
            client.put_records().stream_name(STREAM).records(entry).send().await.unwrap().encryption_type
        };
        assert_eq!(put().await, None);
        let start = client.start_stream_encryption().stream_name(STREAM).key_id(KEY);
        let none = start.clone().encryption_type(EncryptionType::None).send().await;
        assert_eq!(code(&none.unwrap_err()), "InvalidArgumentException");
        start.encryption_type(EncryptionType::Kms).send().await.unwrap();
        let summary = kinesis.summary().await;
        assert_eq!((summary.encryption_type, summary.key_id.as_deref()), (Some(EncryptionType::Kms), Some(KEY)));
        let stream = client.describe_stream().stream_arn(&arn).send().await.unwrap().stream_description.unwrap();
        assert_eq!((stream.encryption_type, stream.key_id.as_deref()), (Some(EncryptionType::Kms), Some(KEY)));
        assert_eq!(put().await, Some(EncryptionType::Kms));
        client.stop_stream_encryption().stream_arn(&arn).encryption_type(EncryptionType::Kms).key_id(KEY).send().await.unwrap();
        let summary = kinesis.summary().await;
        assert_eq!((summary.encryption_type, summary.key_id), (Some(EncryptionType::None), None));
        assert_eq!(put().await, None);
    }

    async fn shard_metrics_are_turned_on_and_off(kinesis = Config::default()) {
        let arn = kinesis.stream(1).await;
        let client = &kinesis.client;
        let some = client.enable_enhanced_monitoring().stream_name(STREAM)
            .shard_level_metrics(MetricsName::OutgoingBytes).shard_level_metrics(MetricsName::IncomingBytes).send().await.unwrap();
        assert_eq!(some.stream_arn.as_deref(), Some(&*arn));
        assert_eq!(some.current_shard_level_metrics(), []);
        assert_eq!(some.desired_shard_level_metrics(), [MetricsName::IncomingBytes, MetricsName::OutgoingBytes]);
        let described = kinesis.summary().await.enhanced_monitoring;
        assert_eq!(described[0].shard_level_metrics(), some.desired_shard_level_metrics());
        let all = client.enable_enhanced_monitoring().stream_arn(&arn).shard_level_metrics(MetricsName::All).send().await.unwrap();
        assert_eq!((all.current_shard_level_metrics().len(), all.desired_shard_level_metrics().len()), (2, 7));
        let less = client.disable_enhanced_monitoring().stream_arn(&arn).shard_level_metrics(MetricsName::IncomingBytes).send().await.unwrap();
        assert_eq!((less.current_shard_level_metrics().len(), less.desired_shard_level_metrics().len()), (7, 6));
        let none = client.disable_enhanced_monitoring().stream_arn(&arn).shard_level_metrics(MetricsName::All).send().await.unwrap();
        assert_eq!(none.desired_shard_level_metrics(), []);
    }

    async fn warm_throughput_is_for_on_demand_streams_of_a_committed_account(kinesis = Config::default()) {
        let arn = kinesis.stream(1).await;
        let client = &kinesis.client;
        let settings = || async { client.describe_account_settings().send().await.unwrap().minimum_throughput_billing_commitment.unwrap() };
        assert_eq!(settings().await.status, Status::Disabled);
        let warm = |mibps| client.update_stream_warm_throughput().stream_name(STREAM).warm_throughput_mibps(mibps).send();
        assert_eq!(code(&warm(100).await.unwrap_err()), "ValidationException", "provisioned");
        kinesis.set_mode(&arn, StreamMode::OnDemand).await.unwrap();
        assert_eq!(code(&warm(100).await.unwrap_err()), "ValidationException", "not committed");
        assert_eq!(kinesis.commit(Asked::Enabled).await, Status::Enabled);
        let output = warm(100).await.unwrap();
        assert_eq!(output.stream_arn.as_deref(), Some(&*arn));
        let object = output.warm_throughput.unwrap();
        assert_eq!((object.target_mibps, object.current_mibps), (Some(100), Some(0)));
        assert_eq!(kinesis.summary().await.warm_throughput.unwrap().current_mibps, Some(100));
        assert_eq!(code(&warm(10_241).await.unwrap_err()), "InvalidArgumentException");
        assert_eq!(kinesis.commit(Asked::Disabled).await, Status::EnabledUntilEarliestAllowedEnd);
        assert!(settings().await.ended_at.is_some());
    }

    async fn limits_count_what_is_there(kinesis = Config { open_shards: 9, ..Config::default() }) {
        kinesis.stream(2).await;
        let on_demand = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap();
        kinesis.client.create_stream().stream_name("other").stream_mode_details(on_demand).send().await.unwrap();
        let limits = kinesis.client.describe_limits().send().await.unwrap();
        assert_eq!((limits.shard_limit, limits.open_shard_count), (9, 6));
        assert_eq!((limits.on_demand_stream_count, limits.on_demand_stream_count_limit), (1, 50));
    }
}
