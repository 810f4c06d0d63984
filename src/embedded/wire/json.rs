//! JSON 1.1: bodies to typed inputs, typed answers to bodies.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::embedded::{Error, ErrorKind};

pub(super) const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Reads an input. An empty body is an empty object.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Error::new(ErrorKind::Serialization, error.to_string()))
}

/// Writes an answer.
pub(super) fn encode<T: Serialize>(answer: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(answer)
        .map_err(|error| Error::new(ErrorKind::InternalFailure, error.to_string()))
}

#[derive(Serialize)]
struct ErrorShape<'a> {
    #[serde(rename = "__type")]
    kind: &'a str,
    message: &'a str,
}

/// Writes an error.
pub(super) fn encode_error(error: &Error) -> Vec<u8> {
    // Two strings always serialize; were it not so, the status and the header would still say what happened.
    serde_json::to_vec(&ErrorShape {
        kind: error.kind().name(),
        message: error.message(),
    })
    .unwrap_or_default()
}
