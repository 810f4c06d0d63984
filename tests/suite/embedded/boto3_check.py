#!/usr/bin/env python3
"""Checks the embedded Kinesis with boto3, whose event-stream parser checks lengths, CRCs and headers strictly.

Usage: boto3_check.py ENDPOINT

Prints what it checks, one line each; exits with 1 when something is not as it should be.
"""

import sys
import time
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

DEADLINE = 10


def check(what, holds):
    print(("ok    " if holds else "FAILED") + " " + what, flush=True)
    if not holds:
        sys.exit(1)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"] == code and error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return False


def until(what, condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            check(what, False)
        time.sleep(0.02)
    check(what, True)


def main(endpoint):
    kinesis = boto3.client(
        "kinesis",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}, read_timeout=DEADLINE),
    )
    stream = "boto3-" + uuid.uuid4().hex
    kinesis.create_stream(StreamName=stream, ShardCount=2, Tags={"made-by": "boto3"})
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    arn = summary["StreamARN"]
    check("a stream is created and described", summary["OpenShardCount"] == 2 and summary["StreamStatus"] == "ACTIVE")
    check("it is listed", stream in [name for page in kinesis.get_paginator("list_streams").paginate() for name in page["StreamNames"]])
    check("a second one of its name is refused", refused("ResourceInUseException", kinesis.create_stream, StreamName=stream, ShardCount=1))

    shards = kinesis.list_shards(StreamARN=arn)["Shards"]
    first, second = (shard["ShardId"] for shard in shards)
    check("its shards halve the hash space", [int(shard["HashKeyRange"]["StartingHashKey"]) for shard in shards] == [0, 1 << 127])
    page = kinesis.list_shards(StreamName=stream, MaxResults=1)
    rest = kinesis.list_shards(NextToken=page["NextToken"])
    check("they are listed page by page", [page["Shards"][0]["ShardId"], rest["Shards"][0]["ShardId"]] == [first, second])

    put = kinesis.put_record(StreamName=stream, PartitionKey="k", ExplicitHashKey="0", Data=b"\x00\xffone")
    check("a record goes where its hash key says", put["ShardId"] == first)
    many = kinesis.put_records(
        StreamARN=arn,
        Records=[{"PartitionKey": "k", "ExplicitHashKey": "1", "Data": str(number).encode()} for number in range(10)],
    )
    numbers = [int(put["SequenceNumber"])] + [int(record["SequenceNumber"]) for record in many["Records"]]
    check("sequence numbers grow", many["FailedRecordCount"] == 0 and numbers == sorted(set(numbers)))
    check("they have at most 186 bits", max(numbers).bit_length() <= 186)

    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=first, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    read = kinesis.get_records(ShardIterator=iterator)
    check("they are read back", [record["Data"] for record in read["Records"]] == [b"\x00\xffone"] + [str(number).encode() for number in range(10)])
    check("the reader is at the tip", read["MillisBehindLatest"] == 0 and "NextShardIterator" in read)
    check("a forged iterator is refused", refused("InvalidArgumentException", kinesis.get_records, ShardIterator="AAAA"))
    check("an unknown stream is refused", refused("ResourceNotFoundException", kinesis.describe_stream, StreamName="missing"))
    check("an unknown operation is refused", refused("UnknownOperationException", kinesis.get_resource_policy, ResourceARN=arn))

    consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="boto3")["Consumer"]
    consumer_arn = consumer["ConsumerARN"]
    describe = lambda: kinesis.describe_stream_consumer(ConsumerARN=consumer_arn)["ConsumerDescription"]["ConsumerStatus"]
    until("a consumer becomes ACTIVE", lambda: describe() == "ACTIVE")

    def subscribe(shard, **position):
        return kinesis.subscribe_to_shard(ConsumerARN=consumer_arn, ShardId=shard, StartingPosition=position)["EventStream"]

    subscription = subscribe(first, Type="TRIM_HORIZON")
    events = (event["SubscribeToShardEvent"] for event in subscription)
    event = next(events)
    check("a subscription brings the backlog", len(event["Records"]) == 11 and event["MillisBehindLatest"] == 0)
    check("and where to go on from", int(event["ContinuationSequenceNumber"]) == numbers[-1])
    large = bytes(range(256)) * 4000
    kinesis.put_record(StreamName=stream, PartitionKey="\u00e4\U0001f600\"\\", ExplicitHashKey="0", Data=large)
    event = next(events)
    check("a large record is pushed whole", [(record["Data"], record["PartitionKey"]) for record in event["Records"]] == [(large, "\u00e4\U0001f600\"\\")])
    check("a second subscription is refused", refused("ResourceInUseException", subscribe, shard=first, Type="LATEST"))

    kinesis.split_shard(StreamName=stream, ShardToSplit=first, NewStartingHashKey=str(1 << 126))
    event = next(events)
    while "ChildShards" not in event:
        event = next(events)
    children = [child["ShardId"] for child in event["ChildShards"]]
    check("a split ends the subscription with its children", len(children) == 2 and "ContinuationSequenceNumber" not in event)
    check("and with the stream of events", next(events, None) is None)
    closed = {shard["ShardId"]: shard for shard in kinesis.list_shards(StreamName=stream)["Shards"]}
    check("the closed shard has an end", "EndingSequenceNumber" in closed[first]["SequenceNumberRange"])
    check("the children know their parent", all(closed[child]["ParentShardId"] == first for child in children))
    ending = int(closed[first]["SequenceNumberRange"]["EndingSequenceNumber"])
    check("and begin above it", all(int(closed[child]["SequenceNumberRange"]["StartingSequenceNumber"]) > ending for child in children))

    subscription = subscribe(children[0], Type="LATEST")
    events = (event["SubscribeToShardEvent"] for event in subscription)
    event = next(events)
    check("an empty event has a continuation", event["Records"] == [] and event["ContinuationSequenceNumber"])
    kinesis.deregister_stream_consumer(ConsumerARN=consumer_arn)
    try:
        for _ in events:
            pass
        ended = None
    except EventStreamError as error:
        ended = error.response["Error"]["Code"]
    check("deregistering ends a subscription with an exception", ended == "ResourceNotFoundException")

    kinesis.delete_stream(StreamName=stream)
    kinesis.get_waiter("stream_not_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    check("the stream is deleted", True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
