//! Whole conversations: operations in any order, with members that fit and members that do not, on a store that remembers.

use http_body_util::BodyExt as _;

use super::*;

/// A value for a member.
#[derive(Debug, TypeGenerator)]
enum Guess {
    One(Scalar),
    List(#[generator(bolero::produce::<Vec<Scalar>>().with().len(0..4_usize))] Vec<Scalar>),
    Object(
        #[generator(bolero::produce::<Vec<(u8, Scalar)>>().with().len(0..4_usize))]
        Vec<(u8, Scalar)>,
    ),
    Records(
        #[generator(bolero::produce::<Vec<(Scalar, Scalar)>>().with().len(0..6_usize))]
        Vec<(Scalar, Scalar)>,
    ),
}

#[derive(Debug, TypeGenerator)]
enum Scalar {
    Null,
    Flag(bool),
    Number(i64),
    Small(u8),
    Fraction(f64),
    Time(u32),
    Words(Text),
    Blob(Text),
    /// Something that means something here.
    Known(u8),
    /// Something that was in an answer.
    Seen(u8),
    /// The same, but not quite.
    Forged(u8, Changes),
}

#[derive(Debug, TypeGenerator)]
struct Call {
    operation: u8,
    encoding: Encoding,
    #[generator(bolero::produce::<Vec<(u8, Guess)>>().with().len(0..4_usize))]
    members: Vec<(u8, Guess)>,
    /// Below 64 the body is damaged, too.
    damage: u8,
    changes: Changes,
}

const KNOWN: &[&str] = &[
    "a",
    "b",
    "shardId-000000000000",
    "shardId-000000000001",
    "shardId-000000000002",
    "arn:aws:kinesis:us-east-1:000000000000:stream/a",
    "arn:aws:kinesis:us-east-1:000000000000:stream/b",
    "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/c:1",
    "AT_SEQUENCE_NUMBER",
    "AFTER_SEQUENCE_NUMBER",
    "TRIM_HORIZON",
    "LATEST",
    "AT_TIMESTAMP",
    "AFTER_SHARD_ID",
    "AT_TRIM_HORIZON",
    "FROM_TIMESTAMP",
    "FROM_TRIM_HORIZON",
    "AT_LATEST",
    "UNIFORM_SCALING",
    "ON_DEMAND",
    "PROVISIONED",
    "KMS",
    "ALL",
    "0",
    "1",
    "340282366920938463463374607431768211455",
    "170141183460469231731687303715884105728",
];

const STREAM_ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/a";

/// What a client that knows what it does would send.
fn sensible(operation: &str, seen: &Seen) -> Vec<(&'static str, Value)> {
    let stream = ("StreamName", "a".into());
    let shard = ("ShardId", "shardId-000000000000".into());
    let record = || {
        vec![
            ("PartitionKey", "k".into()),
            ("Data", Value::Bytes(b"data".to_vec())),
        ]
    };
    match operation {
        "CreateStream" => vec![("StreamName", "b".into()), ("ShardCount", 1.into())],
        "GetRecords" => vec![("ShardIterator", seen.last("ShardIterator"))],
        "GetShardIterator" => vec![stream, shard, ("ShardIteratorType", "TRIM_HORIZON".into())],
        "ListStreams" => vec![("Limit", 1.into())],
        "ListStreamConsumers" => vec![("StreamARN", STREAM_ARN.into())],
        "MergeShards" => vec![
            stream,
            ("ShardToMerge", "shardId-000000000000".into()),
            ("AdjacentShardToMerge", "shardId-000000000001".into()),
        ],
        "PutRecord" => [vec![stream], record()].concat(),
        "PutRecords" => vec![stream, ("Records", Value::Array(vec![map(record())]))],
        "RegisterStreamConsumer" | "DescribeStreamConsumer" => {
            vec![
                ("StreamARN", STREAM_ARN.into()),
                ("ConsumerName", "c".into()),
            ]
        }
        "DeregisterStreamConsumer" => vec![("ConsumerARN", seen.last("ConsumerARN"))],
        "SplitShard" => vec![
            stream,
            ("ShardToSplit", "shardId-000000000000".into()),
            ("NewStartingHashKey", "1000".into()),
        ],
        "SubscribeToShard" => vec![
            ("ConsumerARN", seen.last("ConsumerARN")),
            shard,
            (
                "StartingPosition",
                map(vec![("Type", "TRIM_HORIZON".into())]),
            ),
        ],
        "UpdateShardCount" => vec![
            stream,
            ("TargetShardCount", 2.into()),
            ("ScalingType", "UNIFORM_SCALING".into()),
        ],
        "ListTagsForResource" => vec![("ResourceARN", STREAM_ARN.into())],
        "TagResource" => {
            let tags = map(vec![("k", "v".into())]);
            vec![("ResourceARN", STREAM_ARN.into()), ("Tags", tags)]
        }
        "UntagResource" => {
            let keys = Value::Array(vec!["k".into()]);
            vec![("ResourceARN", STREAM_ARN.into()), ("TagKeys", keys)]
        }
        "IncreaseStreamRetentionPeriod" | "DecreaseStreamRetentionPeriod" => {
            vec![stream, ("RetentionPeriodHours", 48.into())]
        }
        "StartStreamEncryption" | "StopStreamEncryption" => vec![
            stream,
            ("EncryptionType", "KMS".into()),
            ("KeyId", "alias/aws/kinesis".into()),
        ],
        "EnableEnhancedMonitoring" | "DisableEnhancedMonitoring" => {
            vec![
                stream,
                ("ShardLevelMetrics", Value::Array(vec!["ALL".into()])),
            ]
        }
        "UpdateStreamMode" => {
            let mode = map(vec![("StreamMode", "ON_DEMAND".into())]);
            vec![
                ("StreamARN", STREAM_ARN.into()),
                ("StreamModeDetails", mode),
            ]
        }
        "UpdateMaxRecordSize" => vec![
            ("StreamARN", STREAM_ARN.into()),
            ("MaxRecordSizeInKiB", 2048.into()),
        ],
        "DescribeLimits" | "DescribeAccountSettings" => vec![],
        _ => vec![stream],
    }
}

/// The strings that answers had, by the name they had there.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    fn learn(&mut self, value: &Value, name: &str) {
        match value {
            Value::Text(text) if self.0.len() < 256 => self.0.push((name.to_owned(), text.clone())),
            Value::Array(items) => items.iter().for_each(|item| self.learn(item, name)),
            Value::Map(members) => {
                for (key, value) in members {
                    self.learn(value, key.as_text().unwrap_or_default());
                }
            }
            _ => {}
        }
    }

    /// The newest of that name; iterators follow one another.
    fn last(&self, name: &str) -> Value {
        let is = |of: &str| of == name || name == "ShardIterator" && of == "NextShardIterator";
        let found = self.0.iter().rev().find(|(of, _)| is(of));
        found.map_or(Value::Null, |(_, text)| text.as_str().into())
    }

    fn any(&self, index: u8) -> &str {
        let count = self.0.len().max(1);
        let found = self.0.get(usize::from(index) % count);
        found.map_or("", |(_, text)| text)
    }

    fn scalar(&self, scalar: &Scalar) -> Value {
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Flag(flag) => (*flag).into(),
            Scalar::Number(number) => (*number).into(),
            Scalar::Small(number) => (*number).into(),
            Scalar::Fraction(number) => (*number).into(),
            Scalar::Time(millis) => Value::Tag(1, Box::new((*millis).into())),
            Scalar::Words(words) => words.text().into(),
            Scalar::Blob(blob) => Value::Bytes(blob.text().into_bytes()),
            Scalar::Known(index) => KNOWN[usize::from(*index) % KNOWN.len()].into(),
            Scalar::Seen(index) => self.any(*index).into(),
            Scalar::Forged(index, changes) => {
                let forged = changes.apply(self.any(*index).as_bytes().to_vec());
                String::from_utf8_lossy(&forged).into_owned().into()
            }
        }
    }

    fn guess(&self, guess: &Guess) -> Value {
        match guess {
            Guess::One(scalar) => self.scalar(scalar),
            Guess::List(scalars) => scalars
                .iter()
                .map(|scalar| self.scalar(scalar))
                .collect::<Vec<_>>()
                .into(),
            Guess::Object(members) => map(members
                .iter()
                .map(|(index, scalar)| (name(*index), self.scalar(scalar)))
                .collect()),
            Guess::Records(records) => records
                .iter()
                .map(|(key, data)| {
                    map(vec![
                        ("PartitionKey", self.scalar(key)),
                        ("Data", self.scalar(data)),
                    ])
                })
                .collect::<Vec<_>>()
                .into(),
        }
    }
}

fn name(index: u8) -> &'static str {
    MEMBERS[usize::from(index) % MEMBERS.len()]
}

impl Call {
    fn body(&self, operation: &str, seen: &Seen) -> Vec<u8> {
        let mut members = sensible(operation, seen);
        for (index, guess) in &self.members {
            let name = name(*index);
            members.retain(|(of, _)| *of != name);
            members.push((name, seen.guess(guess)));
        }
        let body = encode(self.encoding.format(), &map(members));
        if self.damage < 64 {
            self.changes.apply(body)
        } else {
            body
        }
    }
}

/// Half of them on the way that a service with faults takes, though none strikes.
#[test]
fn conversations_are_answered_to_their_end() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    fuzz!(500, (Vec<Call>, bool), |(calls, faulty): &(
        Vec<Call>,
        bool
    )| {
        // A subscription that waits has a timer.
        let _entered = runtime.enter();
        let service = service();
        if *faulty {
            let never = "fault = \"throttle\"\nshard = \"none\"";
            service.faults().add(never).unwrap();
        }
        let mut seen = Seen::default();
        for opening in ["RegisterStreamConsumer", "PutRecord", "GetShardIterator"] {
            let body = encode(Format::Json, &map(sensible(opening, &seen)));
            seen.learn(&send(&service, opening, Format::Json, &body).right(), "");
        }
        let mut subscriptions = Vec::new();
        for call in calls {
            let operation = operation(call.operation);
            let body = call.body(operation, &seen);
            match send(&service, operation, call.encoding.format(), &body) {
                Answer::Right(answer) => seen.learn(&answer, ""),
                Answer::Events(body) => subscriptions.push(body),
                Answer::Refused(_) => {}
            }
            for events in &mut subscriptions {
                for _ in 0..3 {
                    if let Some(Some(Ok(frame))) = events.frame().now_or_never() {
                        frames::read(frame.data_ref().unwrap()).expect("a whole frame");
                    }
                }
            }
        }
        send(&service, "ListStreams", Format::Cbor, &[0xa0]).right();
    });
}

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=000000000000/20261124/us-east-1/kinesis/aws4_request, \
                      SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=0123456789abcdef";
const PRESIGNED: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=key%2F20261124%2Feu-west-1%2Fkinesis%2Faws4_request\
                         &X-Amz-Date=20261124T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=0123456789abcdef";

/// What a request's head may say.
#[derive(Debug, TypeGenerator)]
struct HeadGuess {
    method: Option<Text>,
    path: Option<Text>,
    target: Option<(bool, u8, Changes)>,
    content_type: Option<(u8, Changes)>,
    query: Option<Changes>,
    authorization: Option<Changes>,
    has_date: bool,
    #[generator(bolero::produce::<Vec<u8>>().with().len(0..64_usize))]
    body: Vec<u8>,
}

#[test]
fn heads_are_understood_or_refused() {
    let types = [
        "application/x-amz-json-1.1",
        "application/x-amz-cbor-1.1",
        "application/json; charset=utf-8",
        "application/cbor",
    ];
    fuzz!(3_000, HeadGuess, |guess: &HeadGuess| {
        let method = guess.method.as_ref().map(Text::text);
        let path = guess.path.as_ref().map(Text::text);
        let text = |changes: &Changes, of: &str| {
            String::from_utf8_lossy(&changes.apply(of.as_bytes().to_vec())).into_owned()
        };
        let target = guess.target.as_ref().map(|(prefix, index, changes)| {
            let operation = operation(*index);
            let prefix = if *prefix { "Kinesis_20131202." } else { "" };
            text(changes, &format!("{prefix}{operation}"))
        });
        let content_type = guess.content_type.as_ref();
        let content_type = content_type
            .map(|(index, changes)| text(changes, types[usize::from(*index) % types.len()]));
        let query = guess.query.as_ref().map(|changes| text(changes, PRESIGNED));
        let authorization = guess.authorization.as_ref();
        let authorization = authorization.map(|changes| text(changes, SIGNED));
        let head = Head {
            method: method.as_deref().unwrap_or("POST"),
            path: path.as_deref().unwrap_or("/"),
            target: target.as_deref(),
            content_type: content_type.as_deref(),
            query: query.as_deref(),
            authorization: authorization.as_deref(),
            has_date: guess.has_date,
        };
        let format = head.format();
        Answer::of(format, respond(&service(), &head, &guess.body));
    });
}
