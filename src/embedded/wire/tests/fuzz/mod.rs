//! Fuzzing what reaches the port: every answer is a right one or a typed error, in the encoding that was asked in.

mod frames;
mod requests;
mod tokens;

use bolero::TypeGenerator;
use ciborium::Value;

use super::*;
use crate::embedded::operations::Operation;
use crate::fuzz::{Changes, Text, fuzz};

/// A request of either encoding, and what became of it.
fn send(service: &Service, operation: &str, format: Format, body: &[u8]) -> Answer {
    let target = format!("Kinesis_20131202.{operation}");
    let head = Head {
        target: Some(&target),
        content_type: Some(format.content_type()),
        ..HEAD
    };
    Answer::of(format, respond(service, &head, body))
}

const HEAD: Head<'_> = Head {
    method: "POST",
    path: "/",
    target: None,
    content_type: None,
    query: None,
    authorization: None,
    has_date: false,
};

fn operation(index: u8) -> &'static str {
    let all = Operation::ALL;
    all[usize::from(index) % all.len()].name()
}

enum Answer {
    Right(Value),
    Events(Body),
    /// The error's type.
    Refused(String),
}

impl Answer {
    /// Checks that an answer is one that a client can read.
    fn of(format: Format, response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = match body {
            Body::Whole(bytes) => bytes.unwrap_or_default(),
            Body::Events(_) => {
                assert_eq!(parts.status, StatusCode::OK);
                return Self::Events(body);
            }
        };
        assert_eq!(parts.headers[CONTENT_TYPE], format.content_type());
        let value = match format {
            _ if body.is_empty() => Value::Null,
            Format::Cbor => ciborium::from_reader(&body[..]).expect("an answer is CBOR"),
            Format::Json => serde_json::from_slice(&body).expect("an answer is JSON"),
        };
        if parts.status == StatusCode::OK {
            return Self::Right(value);
        }
        // Nothing that comes from outside is the service's own failure, a 500.
        assert!(parts.status.is_client_error(), "{} {value:?}", parts.status);
        let kind = member(&value, "__type").as_text().unwrap().to_owned();
        assert!(kind.ends_with("Exception"), "{kind}");
        assert_eq!(parts.headers["x-amzn-errortype"], *kind);
        assert!(member(&value, "message").is_text());
        Self::Refused(kind)
    }

    fn right(self) -> Value {
        match self {
            Self::Right(value) => value,
            Self::Events(_) => panic!("a stream of events"),
            Self::Refused(kind) => panic!("{kind}"),
        }
    }
}

fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let members = value.as_map().map_or(&[][..], Vec::as_slice);
    let found = members.iter().find(|(key, _)| key.as_text() == Some(name));
    &found.unwrap_or_else(|| panic!("no {name} in {value:?}")).1
}

fn map(members: Vec<(&str, Value)>) -> Value {
    let members = members
        .into_iter()
        .map(|(name, value)| (name.into(), value));
    Value::Map(members.collect())
}

/// The same in either encoding: in JSON a blob is base64 and a time is seconds.
fn encode(format: Format, value: &Value) -> Vec<u8> {
    match format {
        Format::Json => serde_json::to_vec(&json_of(value)).unwrap(),
        Format::Cbor => {
            let mut body = Vec::new();
            ciborium::into_writer(value, &mut body).unwrap();
            body
        }
    }
}

fn json_of(value: &Value) -> serde_json::Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    match value {
        Value::Integer(number) => i64::try_from(*number).ok().into(),
        Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Bool(flag) => (*flag).into(),
        Value::Tag(_, time) => {
            let millis = time.as_integer().and_then(|time| u32::try_from(time).ok());
            (f64::from(millis.unwrap_or_default()) / 1000.0).into()
        }
        Value::Array(items) => items.iter().map(json_of).collect(),
        Value::Map(members) => members
            .iter()
            .filter_map(|(name, value)| Some((name.as_text()?.to_owned(), json_of(value))))
            .collect(),
        _ => serde_json::Value::Null,
    }
}

#[derive(Debug, Clone, Copy, TypeGenerator)]
enum Encoding {
    Json,
    Cbor,
}

impl Encoding {
    fn format(self) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::Cbor => Format::Cbor,
        }
    }
}
