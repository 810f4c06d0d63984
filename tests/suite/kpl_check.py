"""The KPL's record format, checked against aws_kinesis_agg, which shares no code with chat-room.

    kpl_check.py put ENDPOINT STREAM ROOM COUNT   puts COUNT messages to ROOM as one aggregated record
    kpl_check.py read ENDPOINT STREAM COUNT       reads until COUNT user records came; prints a line of JSON for each

Both end with a code other than 0 and a sentence when something is not as it should be.
"""

import base64
import json
import sys
import time
import uuid

import boto3
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import iter_deaggregate_records
from botocore.config import Config

MAGIC = b"\xf3\x89\x9a\xc2"
SECONDS = 30


def client(endpoint):
    return boto3.client(
        "kinesis",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(connect_timeout=5, read_timeout=15, retries={"max_attempts": 1}),
    )


def put(endpoint, stream, room, count):
    aggregator = RecordAggregator()
    for number in range(count):
        payload = {
            "id": str(uuid.uuid4()),
            "room": room,
            "name": "KPL",
            "text": f"aggregated {number}",
            "time": "2026-11-23T12:00:00.000Z",
        }
        full = aggregator.add_user_record(room, json.dumps(payload).encode())
        assert full is None, f"{count} messages do not fit into one record"
    _, _, data = aggregator.clear_and_get().get_contents()
    assert data.startswith(MAGIC), "aws_kinesis_agg did not aggregate"
    answer = client(endpoint).put_record(StreamName=stream, PartitionKey=room, Data=data)
    print(json.dumps({"shard": answer["ShardId"], "sequence": answer["SequenceNumber"]}))


def read(endpoint, stream, count):
    kinesis = client(endpoint)
    iterators = {}
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        start = kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        iterators[shard["ShardId"]] = start["ShardIterator"]
    found = 0
    deadline = time.monotonic() + SECONDS
    while found < count:
        assert time.monotonic() < deadline, f"{found} of {count} user records within {SECONDS} s"
        for shard, iterator in list(iterators.items()):
            if iterator is None:
                continue
            answer = kinesis.get_records(ShardIterator=iterator, Limit=1000)
            iterators[shard] = answer.get("NextShardIterator")
            for record in answer["Records"]:
                found += show(shard, record)
        time.sleep(0.05)


def show(shard, record):
    """Prints the user records of one record of the stream; gives how many there are."""
    aggregated = record["Data"].startswith(MAGIC)
    users = list(iter_deaggregate_records([record], data_format="Boto3"))
    for user in users:
        kinesis = user["kinesis"]
        # It gives back the data of aggregated records in base64, and that of others as it was.
        understood = bool(kinesis.get("aggregated"))
        data = base64.b64decode(kinesis["data"]) if understood else kinesis["data"]
        line = {
            "shard": shard,
            "sequence": record["SequenceNumber"],
            "index": kinesis.get("subSequenceNumber", 0),
            "aggregated": aggregated,
            "understood": understood,
            "key": kinesis["partitionKey"],
            "payload": json.loads(data),
        }
        print(json.dumps(line))
    return len(users)


def main(arguments):
    match arguments:
        case ["put", endpoint, stream, room, count]:
            put(endpoint, stream, room, int(count))
        case ["read", endpoint, stream, count]:
            read(endpoint, stream, int(count))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
