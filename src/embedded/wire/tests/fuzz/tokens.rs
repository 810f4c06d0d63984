//! Iterators and next tokens: only what the service made is taken, and only for what it was made.

use super::*;

/// What is done to a token: to its text, or to what the text stands for.
#[derive(Debug, TypeGenerator)]
struct Forgery {
    which: u8,
    inside: bool,
    changes: Changes,
    encoding: Encoding,
}

fn tokens(service: &Service) -> Vec<(&'static str, &'static str, String)> {
    let arn: Value = "arn:aws:kinesis:us-east-1:000000000000:stream/a".into();
    let ask = |operation, members| {
        let body = encode(Format::Cbor, &map(members));
        send(service, operation, Format::Cbor, &body).right()
    };
    for name in ["c", "d"] {
        let members = vec![("StreamARN", arn.clone()), ("ConsumerName", name.into())];
        ask("RegisterStreamConsumer", members);
    }
    let iterator = vec![
        ("StreamName", "a".into()),
        ("ShardId", "shardId-000000000000".into()),
        ("ShardIteratorType", "TRIM_HORIZON".into()),
    ];
    let limited = |name, value: Value| vec![(name, value), ("MaxResults", 1.into())];
    [
        (
            "GetRecords",
            "ShardIterator",
            ask("GetShardIterator", iterator),
            "ShardIterator",
        ),
        (
            "ListShards",
            "NextToken",
            ask("ListShards", limited("StreamName", "a".into())),
            "NextToken",
        ),
        (
            "ListStreamConsumers",
            "NextToken",
            ask("ListStreamConsumers", limited("StreamARN", arn.clone())),
            "NextToken",
        ),
        (
            "ListStreams",
            "NextToken",
            ask("ListStreams", vec![("Limit", 1.into())]),
            "NextToken",
        ),
    ]
    .into_iter()
    .map(|(operation, name, answer, of)| {
        (
            operation,
            name,
            member(&answer, of).as_text().unwrap().to_owned(),
        )
    })
    .collect()
}

#[test]
fn what_was_changed_is_never_taken() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let service = service();
    service.create_stream_if_missing("b", 1).unwrap();
    let tokens = tokens(&service);
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/a";
    let offer = |operation: &str, name, token: &str, format| {
        let mut members = vec![(name, token.into())];
        if operation == "ListStreamConsumers" {
            members.push(("StreamARN", arn.into()));
        }
        send(&service, operation, format, &encode(format, &map(members)))
    };
    for (operation, name, token) in &tokens {
        offer(operation, name, token, Format::Json).right();
        // Each is for one operation.
        for (other, name, _) in tokens.iter().filter(|(other, ..)| other != operation) {
            assert!(matches!(
                offer(other, name, token, Format::Json),
                Answer::Refused(_)
            ));
        }
    }
    fuzz!(3_000, Forgery, |forgery: &Forgery| {
        let (operation, name, token) = &tokens[usize::from(forgery.which) % tokens.len()];
        let forged = if forgery.inside {
            STANDARD.encode(forgery.changes.apply(STANDARD.decode(token).unwrap()))
        } else {
            let forged = forgery.changes.apply(token.clone().into_bytes());
            String::from_utf8_lossy(&forged).into_owned()
        };
        let answer = offer(operation, name, &forged, forgery.encoding.format());
        let is_refused = matches!(answer, Answer::Refused(_));
        assert_eq!(is_refused, forged != *token, "{operation} {forged}");
    });
}
