//! The HTTP edge: what is refused and how, origins, the page and its files, the operations endpoints, limits.

mod assets;
mod limits;
mod operations;
mod origins;
mod publishing;
mod routing;

use reqwest::{Response, StatusCode};
use serde_json::Value;

/// Asserts that `answer` is an `application/problem+json` with `status` in its line and in its body; gives the body.
async fn problem(answer: Response, status: StatusCode, of: &str) -> Value {
    let (found, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.expect("a body");
    assert_eq!(found, status, "{of}: {text}");
    assert_eq!(
        headers
            .get("Content-Type")
            .map(|value| value.to_str().unwrap()),
        Some("application/problem+json"),
        "{of}: {text}"
    );
    let body: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{of}: {text}: {error}"));
    assert_eq!(body["status"], status.as_u16(), "{of}: {text}");
    assert!(
        body["title"]
            .as_str()
            .is_some_and(|title| !title.is_empty()),
        "{of}: a title, RFC 9457: {text}"
    );
    body
}

/// The header as text, empty where there is none.
fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().expect("a header in ASCII"))
}

/// Whether a header that is a list of names has `name`.
fn lists(value: &str, name: &str) -> bool {
    value
        .split(',')
        .any(|item| item.trim().eq_ignore_ascii_case(name))
}
