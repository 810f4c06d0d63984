#!/usr/bin/env python3
"""boto3 as a client that is told by lines of JSON what to call, and answers with what came.

In: {"id", "do": "call", "endpoint", "operation", "input"}, and for subscriptions {"id", "do": "subscribe", "endpoint",
"handle", "input"}, {"id", "do": "next", "handle"}, {"id", "do": "close", "handle"}; {"id", "do": "errors"} asks which
errors the service model has, by operation. Out, in any order: {"id", "answer"} or {"id", "error", "message"} or {"id", "end": true} or
{"id", "broken"}. Blobs are base64, times seconds since 1970.
"""

import base64
import datetime
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

CLIENTS = {}
SUBSCRIPTIONS = {}
CONNECTING = threading.Lock()
OUT = threading.Lock()


def client(endpoint):
    with CONNECTING:
        if endpoint not in CLIENTS:
            CLIENTS[endpoint] = connect(endpoint)
        return CLIENTS[endpoint]


def connect(endpoint):
    return boto3.client(
        "kinesis",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            # What is wrong is for the service to find, and one call is one request.
            parameter_validation=False,
            retries={"total_max_attempts": 1},
            max_pool_connections=256,
            read_timeout=60,
        ),
    )


def blobs(value):
    if isinstance(value, dict):
        return {key: base64.b64decode(inner) if key == "Data" else blobs(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [blobs(inner) for inner in value]
    return value


def plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    raise TypeError(f"{type(value)} in an answer")


def failed(error):
    return {"error": error.response["Error"]["Code"], "message": error.response["Error"].get("Message")}


def call(asked):
    answer = getattr(client(asked["endpoint"]), xform_name(asked["operation"]))(**blobs(asked["input"]))
    answer.pop("ResponseMetadata")
    return {"answer": answer}


def subscribe(asked):
    stream = client(asked["endpoint"]).subscribe_to_shard(**blobs(asked["input"]))["EventStream"]
    SUBSCRIPTIONS[asked["handle"]] = (stream, iter(stream))
    return {"answer": {}}


def following(asked):
    event = next(SUBSCRIPTIONS[asked["handle"]][1], None)
    return {"end": True} if event is None else {"answer": event["SubscribeToShardEvent"]}


def close(asked):
    SUBSCRIPTIONS.pop(asked["handle"])[0].close()
    return {"answer": {}}


def errors(_):
    model = client("http://127.0.0.1:9").meta.service_model
    return {"answer": {name: [shape.name for shape in model.operation_model(name).error_shapes] for name in model.operation_names}}


WAYS = {"call": call, "subscribe": subscribe, "next": following, "close": close, "errors": errors}


def serve(asked):
    try:
        came = WAYS[asked["do"]](asked)
    except (ClientError, EventStreamError) as error:
        came = failed(error)
    except Exception as error:  # whatever it is, the test is to show it
        came = {"broken": f"{type(error).__name__}: {error}"}
    line = json.dumps({"id": asked["id"], **came}, default=plain)
    with OUT:
        print(line, flush=True)


def main():
    # One thread for each that can wait for an event at the same time.
    with ThreadPoolExecutor(max_workers=128) as threads:
        for line in sys.stdin:
            threads.submit(serve, json.loads(line))


if __name__ == "__main__":
    main()
