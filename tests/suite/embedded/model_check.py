#!/usr/bin/env python3
"""Walks the service model of Kinesis, as botocore has it, and holds the embedded service to it over the wire.

Usage: model_check.py ENDPOINT README json|cbor

For every operation that the README says the service has, and every member of its input however deep, it sends what lies
just outside each constraint (required, length, pattern, range, enumeration, type) and expects ValidationException, or
SerializationException for a wrong type; and what lies just inside, which must get neither. For every other operation it
expects UnknownOperationException. The two lists of the README must together be the model's.

The last argument is the encoding of the bodies, and of the answers.

Everything is asked about a stream that does not exist: constraints come before anything is looked up.

Prints a line for each thing that is not as it should be, and how many requests there were; exits with 1 if any was.
"""

import base64
import copy
import http.client
import json
import re
import sys
from collections import Counter
from urllib.parse import urlsplit

import botocore.session
import cbor2
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "us-east-1"
ACCOUNT = "000000000000"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/missing"
CONSUMER = f"{STREAM}/consumer/missing:1"
PUT = {"Data": b"x", "PartitionKey": "k"}

# What each operation is asked, unless it is asked about the stream by its name and nothing else.
ASKED = {
    "AddTagsToStream": {"StreamName": "missing", "Tags": {"a": "b"}},
    "CreateStream": {"StreamName": "made", "ShardCount": 1},
    "DecreaseStreamRetentionPeriod": {"StreamName": "missing", "RetentionPeriodHours": 24},
    "DeregisterStreamConsumer": {"ConsumerARN": CONSUMER},
    "DescribeAccountSettings": {},
    "DescribeLimits": {},
    "DescribeStreamConsumer": {"ConsumerARN": CONSUMER},
    "DisableEnhancedMonitoring": {"StreamName": "missing", "ShardLevelMetrics": ["ALL"]},
    "EnableEnhancedMonitoring": {"StreamName": "missing", "ShardLevelMetrics": ["ALL"]},
    "GetRecords": {"ShardIterator": "x"},
    "GetShardIterator": {"StreamName": "missing", "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"},
    "IncreaseStreamRetentionPeriod": {"StreamName": "missing", "RetentionPeriodHours": 24},
    "ListStreamConsumers": {"StreamARN": STREAM},
    "ListStreams": {},
    "ListTagsForResource": {"ResourceARN": STREAM},
    "MergeShards": {"StreamName": "missing", "ShardToMerge": "shardId-000000000000", "AdjacentShardToMerge": "shardId-000000000001"},
    "PutRecord": {"StreamName": "missing", **PUT},
    "PutRecords": {"StreamName": "missing", "Records": [PUT]},
    "RegisterStreamConsumer": {"StreamARN": STREAM, "ConsumerName": "missing"},
    "RemoveTagsFromStream": {"StreamName": "missing", "TagKeys": ["a"]},
    "SplitShard": {"StreamName": "missing", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "7"},
    "StartStreamEncryption": {"StreamName": "missing", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
    "StopStreamEncryption": {"StreamName": "missing", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
    "SubscribeToShard": {"ConsumerARN": CONSUMER, "ShardId": "shardId-000000000000", "StartingPosition": {"Type": "LATEST"}},
    "TagResource": {"ResourceARN": STREAM, "Tags": {"a": "b"}},
    "UntagResource": {"ResourceARN": STREAM, "TagKeys": ["a"]},
    "UpdateAccountSettings": {"MinimumThroughputBillingCommitment": {"Status": "DISABLED"}},
    "UpdateMaxRecordSize": {"StreamARN": STREAM, "MaxRecordSizeInKiB": 1024},
    "UpdateShardCount": {"StreamName": "missing", "TargetShardCount": 1, "ScalingType": "UNIFORM_SCALING"},
    "UpdateStreamMode": {"StreamARN": STREAM, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}},
    "UpdateStreamRecordDistributionStrategy": {"StreamARN": STREAM, "RecordDistributionStrategy": "USER_PARTITION_KEY"},
    "UpdateStreamWarmThroughput": {"StreamName": "missing", "WarmThroughputMiBps": 1},
}

# For each pattern of the model: texts that match it and texts that do not, of any length its shape allows.
ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}"
PATTERNS = {
    "[a-zA-Z0-9_.-]+": (["a", "A.z_0-"], ["a b", "a/b", "ä", "a\n", ":"]),
    "^(0|([1-9]\\d{0,38}))$": (["0", "1", "9" * 39], ["", "00", "01", "-1", "+1", "1.0", "x", "9" * 40, "١"]),
    "^(0|([1-9]\\d{0,128}))$": (["0", "1", "9" * 129], ["", "00", "01", "-1", "x", "9" * 130]),
    "[a-z0-9]{20}-[a-z0-9]{3}": (["a" * 20 + "-0b1"], ["a" * 20 + "-ABC", "a" * 19 + "-0b1", "a" * 24]),
    "arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+": (
        [STREAM, "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/x", "arn:aws:kinesis::123456789012:stream/!", CONSUMER],
        [f"{ARN}:table/x", f"{ARN}:stream/", f"{ARN}:stream/a b", f"{ARN[:-1]}:stream/a", f"x{STREAM}", "missing"],
    ),
    "^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/[a-zA-Z0-9_.-]+:[0-9]+": (
        [CONSUMER, f"{ARN}:xstream/a/consumer/b:0"],
        [STREAM, f"{STREAM}/consumer/a", f"{STREAM}/consumer/a:", f"{STREAM}/consumer/a:x", f"{STREAM}/consumer/a b:1", f"{ARN}:stream//consumer/a:1"],
    ),
    "arn:aws.*:kinesis:.*:\\d{12}:.*(stream|channel|queue)/\\S+": (
        [STREAM, CONSUMER, f"{ARN}:queue/a", f"{ARN}:channel/a"],
        [f"{ARN}:table/x", f"{ARN}:stream/", f"{ARN}:stream/a b", "missing"],
    ),
}

class Time(int):
    """A time, in seconds."""


class Json:
    content_type = "application/x-amz-json-1.1"
    # A value of each kind, and which kinds a shape takes.
    values = {"string": "x", "number": 7, "boolean": True, "list": [], "map": {}}
    takes = {"string": "string", "blob": "string", "timestamp": "number"}
    # Blobs that are none.
    blobs = ("eA", "eA=", "!A==", "eB==", "=A==")
    bodies = {"a list": b"[]", "no JSON": b"{", "a text": b'"x"', "null": b"null", "more than one": b"{} {}"}

    @staticmethod
    def dumps(value):
        return json.dumps(value, default=lambda blob: base64.b64encode(blob).decode()).encode()

    loads = staticmethod(json.loads)


class Cbor:
    content_type = "application/x-amz-cbor-1.1"
    # A time is a number, of milliseconds, with a tag; tags are passed over.
    values = {**Json.values, "blob": b"x"}
    takes = {"string": "string", "blob": "blob", "timestamp": "number"}
    blobs = ("eA==",)
    bodies = {"a list": b"\x80", "a map cut short": b"\xa1", "a text": b"\x61x", "null": b"\xf6", "more than one": b"\xa0\xa0"}

    @staticmethod
    def dumps(value):
        def tagged(value):
            if isinstance(value, Time):
                return cbor2.CBORTag(1, value * 1000)
            if isinstance(value, list):
                return [tagged(element) for element in value]
            if isinstance(value, dict):
                return {key: tagged(element) for key, element in value.items()}
            return value

        return cbor2.dumps(tagged(value))

    loads = staticmethod(cbor2.loads)


# Which kind of value a shape takes, where both encodings have the same.
TAKES = {"integer": "number", "long": "number", "boolean": "boolean", "list": "list", "map": "map", "structure": "map"}


class Service:
    def __init__(self, endpoint, encoding):
        self.encoding = encoding
        parts = urlsplit(endpoint)
        self.host = parts.netloc
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        self.signer = SigV4Auth(Credentials("test", "test"), "kinesis", REGION)

    def ask(self, operation, body):
        """The error type of the answer; nothing if there is none."""
        data = body if isinstance(body, bytes) else self.encoding.dumps(body)
        headers = {
            "Content-Type": self.encoding.content_type,
            "X-Amz-Target": f"Kinesis_20131202.{operation}",
            "Host": self.host,
        }
        request = AWSRequest("POST", f"http://{self.host}/", headers, data)
        self.signer.add_auth(request)
        self.connection.request("POST", "/", data, dict(request.headers))
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status == 200:
            return None
        if answer.headers["Content-Type"] != self.encoding.content_type:
            return f"an answer in {answer.headers['Content-Type']}"
        return self.encoding.loads(content)["__type"].split("#")[-1]


def long(shape, length):
    """A text of so many characters that breaks no other constraint of its shape."""
    known = PATTERNS[shape["pattern"]][0] if "pattern" in shape else ["k"]
    for text in known:
        for grown in (text[:-1] + text[-1] * (length - len(text) + 1), text + "a" * (length - len(text))):
            if len(grown) == length and ("pattern" not in shape or re.fullmatch(shape["pattern"], grown)):
                return grown
    return None


def cases(shapes, name, valid):
    """Values of a shape beside its constraints: what it is about, the value, whether it is within them."""
    shape = shapes[name]
    kind = shape["type"]
    if kind == "string" and "enum" in shape:
        yield "a word that is none", "NEITHER", False
        yield "an empty word", "", False
        for word in shape["enum"]:
            yield f"the word {word}", word, True
    elif kind == "string":
        pattern = shape.get("pattern")
        if pattern is not None:
            within, outside = PATTERNS[pattern]
            for text in within:
                assert re.fullmatch(pattern, text), (pattern, text)
                yield f"matching {text[:60]!r}", text, True
            for text in outside:
                assert not re.fullmatch(pattern, text), (pattern, text)
                yield f"not matching {text[:60]!r}", text, False
        for bound, step in (("min", -1), ("max", 1)):
            if bound in shape:
                for length, fits in ((shape[bound], True), (shape[bound] + step, False)):
                    text = "" if length <= 0 else long(shape, length)
                    # Of a pattern of one length only there is no other text.
                    if text is not None and length >= 0:
                        yield f"{length} characters", text, fits
    elif kind in ("integer", "long"):
        for bound, step in (("min", -1), ("max", 1)):
            if bound in shape:
                yield f"the number {shape[bound]}", shape[bound], True
                yield f"the number {shape[bound] + step}", shape[bound] + step, False
    elif kind == "blob":
        yield "an empty blob", b"", True
        if "max" in shape:
            yield f"{shape['max'] + 1} bytes", bytes(shape["max"] + 1), False
            yield f"{shape['max']} bytes", bytes(shape["max"]), True
    elif kind == "list":
        for length, fits in sizes(shape):
            yield f"{length} elements", [copy.deepcopy(valid[0])] * length, fits
        for about, value, fits in cases(shapes, shape["member"]["shape"], valid[0]):
            yield f"an element with {about}", [value], fits
    elif kind == "map":
        for length, fits in sizes(shape):
            yield f"{length} entries", {f"key {number}": "v" for number in range(length)}, fits
        for about, value, fits in cases(shapes, shape["key"]["shape"], "k"):
            yield f"a key with {about}", {value: "v"}, fits
        for about, value, fits in cases(shapes, shape["value"]["shape"], "v"):
            yield f"a value with {about}", {"k": value}, fits
    elif kind == "structure":
        for member in shape.get("required", []):
            yield f"no {member}", {key: value for key, value in valid.items() if key != member}, False
            yield f"null for {member}", {**valid, member: None}, False
        for member, reference in shape["members"].items():
            inner = valid.get(member, example(shapes, reference["shape"]))
            for about, value, fits in cases(shapes, reference["shape"], inner):
                yield f"{member}: {about}", {**valid, member: value}, fits


def sizes(shape):
    for bound, step in (("min", -1), ("max", 1)):
        if bound in shape:
            yield shape[bound], True
            if shape[bound] + step >= 0:
                yield shape[bound] + step, False


def example(shapes, name):
    """Something of a shape that breaks no constraint."""
    shape = shapes[name]
    if shape["type"] == "structure":
        return {member: example(shapes, shape["members"][member]["shape"]) for member in shape.get("required", [])}
    if shape["type"] == "list":
        return [example(shapes, shape["member"]["shape"])]
    if shape["type"] == "map":
        return {"k": "v"}
    if "enum" in shape:
        return shape["enum"][0]
    if "pattern" in shape:
        return PATTERNS[shape["pattern"]][0][0]
    return {"string": "x", "blob": b"x", "boolean": False, "timestamp": Time(1)}.get(shape["type"], shape.get("min", 1))


def mistaken(encoding, shapes, name, valid):
    """Values of a shape in which something is of the wrong type."""
    shape, takes = shapes[name], {**TAKES, **encoding.takes}
    if shape["type"] == "structure":
        for member, reference in shape["members"].items():
            kind = shapes[reference["shape"]]["type"]
            for what, value in encoding.values.items():
                if what != takes[kind]:
                    yield f"{member}: a {what}", {**valid, member: value}
            inner = valid.get(member, example(shapes, reference["shape"]))
            for about, value in mistaken(encoding, shapes, reference["shape"], inner):
                yield f"{member}: {about}", {**valid, member: value}
    elif shape["type"] == "list":
        kind = shapes[shape["member"]["shape"]]["type"]
        for what, value in {**encoding.values, "null": None}.items():
            if what != takes[kind]:
                yield f"an element that is a {what}", [value]
        for about, value in mistaken(encoding, shapes, shape["member"]["shape"], valid[0]):
            yield f"an element with {about}", [value]
    elif shape["type"] == "map":
        for what, value in encoding.values.items():
            if what != "string":
                yield f"a value that is a {what}", {"k": value}
    elif shape["type"] == "blob":
        for text in encoding.blobs:
            yield f"the blob {text!r}", text


def lists(readme):
    """What the README says the service has, and what it lacks."""
    with open(readme, encoding="utf-8") as file:
        part = re.search(r"<!-- operations -->(.*)<!-- /operations -->", file.read(), re.S).group(1)
    has, lacks = part.split("\n\n")[:2]
    return set(re.findall(r"`(\w+)`", has)), set(re.findall(r"`(\w+)`", lacks))


def main(endpoint, readme, encoding):
    model = botocore.session.get_session().get_service_model("kinesis")._service_description
    shapes, operations = model["shapes"], model["operations"]
    service = Service(endpoint, encoding)
    has, lacks = lists(readme)
    wrong, asked = [], Counter()

    def expect(kind, operation, about, body, holds, wanted):
        answer = service.ask(operation, body)
        asked[kind] += 1
        if not holds(answer):
            wrong.append(f"{operation}, {about}: {answer}, not {wanted}")

    if has | lacks != set(operations) or has & lacks:
        wrong.append(f"the README's lists are not the model's: {sorted((has | lacks) ^ set(operations))} {sorted(has & lacks)}")
    for operation in sorted(lacks | {"Nothing", "createStream"}):
        expect("unknown", operation, "{}", {}, lambda answer: answer == "UnknownOperationException", "UnknownOperationException")
    refusals = ("ValidationException", "SerializationException", "UnknownOperationException", "InternalFailureException")
    for operation in sorted(has):
        valid = ASKED.get(operation, {"StreamName": "missing"})
        expect("inside", operation, "as it should be", valid, lambda answer: answer not in refusals, "anything but a refusal")
        for what, body in encoding.bodies.items():
            expect("type", operation, what, body, lambda answer: answer == "SerializationException", "SerializationException")
        if "input" not in operations[operation]:
            continue
        name = operations[operation]["input"]["shape"]
        for about, body, fits in cases(shapes, name, valid):
            if fits:
                expect("inside", operation, about, body, lambda answer: answer not in refusals, "anything but a refusal")
            else:
                expect("outside", operation, about, body, lambda answer: answer == "ValidationException", "ValidationException")
        for about, body in mistaken(encoding, shapes, name, valid):
            expect("type", operation, about, body, lambda answer: answer == "SerializationException", "SerializationException")
    print("\n".join(wrong))
    print(f"{sum(asked.values())} requests ({dict(asked)}), {len(wrong)} not answered as they should be")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    encodings = {"json": Json, "cbor": Cbor}
    if len(sys.argv) != 4 or sys.argv[3] not in encodings:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], encodings[sys.argv[3]])
