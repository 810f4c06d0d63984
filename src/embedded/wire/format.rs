//! The two encodings of a body, JSON 1.1 and CBOR 1.1: bodies to typed inputs, typed answers to bodies.
//!
//! A client chooses by the content type of its request and is answered in kind, errors included. Boto3, the JavaScript
//! and the Rust SDK speak JSON; the Java SDK, and with it the KCL, speaks CBOR by default. Events are JSON always: the
//! Java SDK asks for subscriptions in JSON, "until Kinesis supports CBOR for event streaming" (`JsonProtocolSpec` in
//! aws-sdk-java-v2).
//!
//! In CBOR a blob is a byte string, and a timestamp is tag 1 around an integer of milliseconds, not of seconds as
//! RFC 8949 has it: <https://github.com/aws/aws-sdk-java-v2/issues/4661>.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::embedded::{Error, ErrorKind};

/// How deep what is passed over may be nested in CBOR; JSON has a limit of its own, 128. Nothing in the service
/// model is deeper than four.
const DEEPEST: usize = 64;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Cbor,
}

impl Format {
    /// The one a request's content type names; without one it is JSON.
    pub(super) fn of(content_type: Option<&str>) -> Self {
        let media_type = content_type.unwrap_or_default().split(';').next();
        match media_type.unwrap_or_default().trim() {
            cbor if cbor.eq_ignore_ascii_case("application/x-amz-cbor-1.1") => Self::Cbor,
            cbor if cbor.eq_ignore_ascii_case("application/cbor") => Self::Cbor,
            _ => Self::Json,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// Reads an input. An empty body is an input without members.
    pub(super) fn decode<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, Error> {
        let decoded = match self {
            Self::Json if body.is_empty() => json(b"{}"),
            Self::Json => json(body),
            Self::Cbor if body.is_empty() => cbor(&[0xa0]),
            Self::Cbor => cbor(body),
        };
        decoded.map_err(|problem| Error::new(ErrorKind::Serialization, problem))
    }

    /// Writes an answer.
    pub(super) fn encode<T: Serialize>(self, answer: &T) -> Result<Vec<u8>, Error> {
        let encoded = match self {
            Self::Json => serde_json::to_vec(answer).map_err(|error| error.to_string()),
            Self::Cbor => {
                let mut out = Vec::new();
                ciborium::into_writer(answer, &mut out)
                    .map(|()| out)
                    .map_err(|error| error.to_string())
            }
        };
        encoded.map_err(|problem| Error::new(ErrorKind::InternalFailure, problem))
    }

    /// Writes an error.
    pub(super) fn encode_error(self, error: &Error) -> Vec<u8> {
        // Two strings can always be written; were it not so, the status and the header would still say what happened.
        self.encode(&ErrorShape {
            kind: error.kind().name(),
            message: error.message(),
        })
        .unwrap_or_default()
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn cbor<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    use ciborium::de::Error;

    let mut rest = body;
    let value =
        ciborium::de::from_reader_with_recursion_limit(&mut rest, DEEPEST).map_err(|error| {
            match error {
                Error::Io(_) => "the body ends within a value".to_owned(),
                Error::Syntax(at) => format!("not CBOR at byte {at}"),
                Error::Semantic(_, problem) => problem,
                Error::RecursionLimitExceeded => format!("nested deeper than {DEEPEST}"),
            }
        })?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(format!("{} bytes follow the input", rest.len()))
    }
}

#[derive(Serialize)]
struct ErrorShape<'a> {
    #[serde(rename = "__type")]
    kind: &'a str,
    message: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_decides_whatever_its_case_and_parameters() {
        for (content_type, format) in [
            (Some("application/x-amz-json-1.1"), Format::Json),
            (Some("application/x-amz-cbor-1.1"), Format::Cbor),
            (
                Some("Application/X-Amz-CBOR-1.1; charset=utf-8"),
                Format::Cbor,
            ),
            (Some("application/cbor"), Format::Cbor),
            (Some("application/json"), Format::Json),
            (Some(""), Format::Json),
            (None, Format::Json),
        ] {
            assert_eq!(Format::of(content_type), format, "{content_type:?}");
        }
    }
}
