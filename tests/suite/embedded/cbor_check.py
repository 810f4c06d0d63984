#!/usr/bin/env python3
"""Speaks CBOR 1.1 to the embedded Kinesis as AWS' Java SDK does: bodies by cbor2, signatures and event streams by botocore.

Usage: cbor_check.py ENDPOINT

Prints what it checks, one line each; exits with 1 when something is not as it should be.
"""

import base64
import json
import sys
import time
import urllib.error
import urllib.request
import uuid

import cbor2
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer

CBOR = "application/x-amz-cbor-1.1"
DEADLINE = 10
EPOCH = 1


def check(what, holds):
    print(("ok    " if holds else "FAILED") + " " + what, flush=True)
    if not holds:
        sys.exit(1)


def millis(value):
    """A time as the Java SDK writes it: whole milliseconds, where RFC 8949 has seconds."""
    return cbor2.CBORTag(EPOCH, value)


def loads(body):
    """Reads a body, and leaves times as they came."""
    return cbor2.loads(body, semantic_decoders={EPOCH: lambda value, _immutable: millis(value)}, allow_duplicate_keys=False)


def post(endpoint, operation, members):
    body = cbor2.dumps(members, indefinite_containers=True)
    headers = {"Content-Type": CBOR, "X-Amz-Target": "Kinesis_20131202." + operation}
    request = AWSRequest("POST", endpoint + "/", headers=headers, data=body)
    SigV4Auth(Credentials("test", "test"), "kinesis", "us-east-1").add_auth(request)
    request = urllib.request.Request(endpoint + "/", data=body, headers=dict(request.headers), method="POST")
    try:
        return urllib.request.urlopen(request, timeout=DEADLINE)
    except urllib.error.HTTPError as refused:
        return refused


def main(endpoint):
    def call(operation, **members):
        with post(endpoint, operation, members) as answer:
            body = answer.read()
            if answer.status != 200 or answer.headers["Content-Type"] != CBOR:
                check(f"{operation} is answered in CBOR: {answer.status} {answer.headers} {body!r}", False)
            return loads(body) if body else None

    def refused(code, operation, **members):
        with post(endpoint, operation, members) as answer:
            error = loads(answer.read())
            in_kind = answer.status == 400 and answer.headers["Content-Type"] == CBOR
            return in_kind and error["__type"] == code and isinstance(error["message"], str)

    stream = "cbor-" + uuid.uuid4().hex
    check("an operation without an answer has an empty body", call("CreateStream", StreamName=stream, ShardCount=1) is None)
    deadline = time.monotonic() + DEADLINE
    while (summary := call("DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"])["StreamStatus"] != "ACTIVE":
        check("the stream becomes active", time.monotonic() < deadline)
        time.sleep(0.02)
    made = summary["StreamCreationTimestamp"]
    begin = int(time.time() * 1000)
    is_millis = made.tag == EPOCH and type(made.value) is int and abs(made.value - begin) < 600_000
    check("a time is an integer of milliseconds under tag 1", is_millis)
    check("a second stream of its name is refused", refused("ResourceInUseException", "CreateStream", StreamName=stream, ShardCount=1))
    check("a blob that is no byte string is refused", refused("SerializationException", "PutRecord", StreamName=stream, PartitionKey="a", Data="eA=="))

    every_byte = bytes(range(256)) * 64
    put = call("PutRecord", StreamName=stream, PartitionKey="ключ", Data=every_byte)
    entries = [{"Data": b"", "PartitionKey": "b"}, {"Data": b"two", "PartitionKey": "c"}]
    many = call("PutRecords", StreamName=stream, Records=entries)
    check("records are put", many["FailedRecordCount"] == 0 and len(many["Records"]) == 2)
    shard = call("ListShards", StreamName=stream)["Shards"][0]["ShardId"]
    iterator = dict(StreamName=stream, ShardId=shard, ShardIteratorType="AT_TIMESTAMP")
    read = call("GetShardIterator", Timestamp=millis(made.value), **iterator)["ShardIterator"]
    got = call("GetRecords", ShardIterator=read)
    check("what was put is read from a time before it", [record["Data"] for record in got["Records"]] == [every_byte, b"", b"two"])
    first = got["Records"][0]
    arrival = first["ApproximateArrivalTimestamp"]
    check("keys and numbers are as they were", first["PartitionKey"] == "ключ" and first["SequenceNumber"] == put["SequenceNumber"])
    check("the arrival is whole milliseconds too", arrival.tag == EPOCH and type(arrival.value) is int and arrival.value >= made.value)
    later = arrival.value + 3_600_000
    ahead = refused("InvalidArgumentException", "GetShardIterator", Timestamp=millis(later), **iterator)
    if not ahead:
        read = call("GetShardIterator", Timestamp=millis(later), **iterator)["ShardIterator"]
        ahead = call("GetRecords", ShardIterator=read)["Records"] == []
    check("from a time after it nothing is read", ahead)

    registered = call("RegisterStreamConsumer", StreamARN=summary["StreamARN"], ConsumerName="reader")["Consumer"]
    while call("DescribeStreamConsumer", ConsumerARN=registered["ConsumerARN"])["ConsumerDescription"]["ConsumerStatus"] != "ACTIVE":
        check("the consumer becomes active", time.monotonic() < deadline)
        time.sleep(0.02)
    start = {"Type": "AT_TIMESTAMP", "Timestamp": millis(made.value)}
    subscription = dict(ConsumerARN=registered["ConsumerARN"], ShardId=shard, StartingPosition=start)
    with post(endpoint, "SubscribeToShard", subscription) as answer:
        check("a subscription is an event stream", answer.headers["Content-Type"] == "application/vnd.amazon.eventstream")
        frames, data, opened = EventStreamBuffer(), [], False
        while len(data) < 3:
            came = answer.read1()
            if not came:
                check("the subscription lasts until the records have come", False)
            frames.add_data(came)
            for frame in frames:
                headers = frame.headers
                check("a frame is an event of JSON", (headers[":message-type"], headers[":content-type"]) == ("event", "application/x-amz-json-1.1"))
                event = json.loads(frame.payload)
                opened = opened or headers[":event-type"] == "initial-response"
                data += [base64.b64decode(record["Data"]) for record in event.get("Records", [])]
    check("which begins with the initial response and brings the records", opened and data == [every_byte, b"", b"two"])
    call("DeleteStream", StreamName=stream, EnforceConsumerDeletion=True)
    check("what is deleted is not found", refused("ResourceNotFoundException", "ListShards", StreamName=stream))


if __name__ == "__main__":
    main(*sys.argv[1:])
