//! `POST /chat-messages`: from a request's body to a message in the stream.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::limits::Busy;
use super::problem::{FieldError, Kind, Problem};
use super::reply::{self, Reply};
use crate::message::payload::Draft;
use crate::message::{Name, Room, Text, Timestamp};
use crate::producer::{PublishError, Receipt};

/// How much of a body that is too long is read and thrown away, as a multiple of the limit, so
/// that the client gets to read the answer instead of a reset connection.
const DISCARDED: usize = 16;
/// And for how long.
const DISCARDING: Duration = Duration::from_millis(500);

/// Checks what the head says about the body.
pub(super) fn check_head(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(is_json) {
        return Err(Problem::new(
            Kind::UnsupportedMediaType,
            "Send Content-Type: application/json.",
        ));
    }
    let plain = |coding: &http::HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return Err(Problem::new(
            Kind::UnsupportedMediaType,
            "Send the body without a content encoding.",
        ));
    }
    Ok(())
}

/// Whether it is `application/json`, in UTF-8 if it says so at all.
fn is_json(kind: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
                value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

/// Reads a body of at most `limit` bytes, within `time`.
pub(super) async fn read_body<B>(
    headers: &HeaderMap,
    mut body: B,
    limit: usize,
    time: Duration,
) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let too_large = || {
        let detail = format!("The body may have at most {limit} bytes.");
        Problem::new(Kind::TooLarge, detail).close()
    };
    if length.is_some_and(|length| length > limit) {
        // Whoever asks first whether to send is told so without having sent.
        if !headers.contains_key(EXPECT) {
            discard(&mut body, limit).await;
        }
        return Err(too_large());
    }
    let read = tokio::time::timeout(time, collect(&mut body, limit)).await;
    match read {
        Ok(Ok(data)) => Ok(data),
        Ok(Err(Unread::TooLong)) => {
            discard(&mut body, limit).await;
            Err(too_large())
        }
        Ok(Err(Unread::Broken)) => {
            Err(Problem::new(Kind::Malformed, "The body did not arrive completely.").close())
        }
        Err(_) => Err(Problem::from(Kind::BodyTimeout).close()),
    }
}

enum Unread {
    TooLong,
    Broken,
}

async fn collect<B>(body: &mut B, limit: usize) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > limit {
            return Err(Unread::TooLong);
        }
        if first.is_empty() && all.is_empty() {
            // Nearly every body comes in one piece, which then need not be copied.
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

async fn discard<B>(body: &mut B, limit: usize)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut left = limit.saturating_mul(DISCARDED);
    let until_enough = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(DISCARDING, until_enough).await;
}

/// The fields, of any type: so that each can be complained of by name. Others are passed over.
#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    room: Value,
    #[serde(default)]
    name: Value,
    #[serde(default)]
    text: Value,
}

/// Makes a message of a body with a text of at most `max_text` characters; `now` is its time,
/// `new_id` makes an id where the client gave none.
pub(super) fn parse(
    body: &[u8],
    max_text: usize,
    now: Timestamp,
    new_id: impl FnOnce() -> Uuid,
) -> Result<Draft, Problem> {
    // serde would take an array for the fields in their order.
    let start = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let fields: Option<Fields> = match start {
        Some(b'{') => serde_json::from_slice(body).ok(),
        _ => None,
    };
    let fields = fields.ok_or_else(|| {
        Problem::new(
            Kind::Malformed,
            "Send a JSON object in UTF-8, each of its fields once, such as {\"text\": \"hello\"}.",
        )
    })?;
    let mut errors = Vec::new();
    let mut note = |field, detail: String| {
        let detail = detail.into();
        errors.push(FieldError { field, detail });
    };

    let id = string(fields.id).and_then(|id| id.map(|id| uuid(&id)).transpose());
    let id = id.map_err(|error| note("id", error)).ok().flatten();
    let room = string(fields.room).and_then(|room| match room {
        Some(room) => Room::new(&room).map_err(|error| error.to_string()),
        None => Ok(Room::lobby()),
    });
    let room = room.map_err(|error| note("room", error));
    let name = string(fields.name).and_then(|name| match name {
        Some(name) => Name::new(name).map_err(|error| error.to_string()),
        None => Ok(None),
    });
    let name = name.map_err(|error| note("name", error));
    let text = string(fields.text).and_then(|text| {
        let text = text.ok_or_else(|| "is missing".to_owned())?;
        Text::within(text, max_text).map_err(|error| error.to_string())
    });
    let text = text.map_err(|error| note("text", error));

    match (room, name, text) {
        (Ok(room), Ok(name), Ok(text)) if errors.is_empty() => Ok(Draft {
            id: id.unwrap_or_else(new_id),
            room,
            name,
            text,
            time: now,
        }),
        _ => Err(Problem::fields(Kind::InvalidMessage, errors)),
    }
}

/// A text, or nothing where the field is absent or null.
fn string(value: Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err("must be a string".into()),
    }
}

/// A UUID in its usual form; the others that the library knows would come back changed.
fn uuid(text: &str) -> Result<Uuid, String> {
    let usual = text.len() == 36;
    let id = if usual { text.parse().ok() } else { None };
    id.ok_or_else(|| "must be a UUID such as 67e55044-10b1-426f-9247-bb680e5fe0c8".into())
}

/// The answer to what became of the message `id`.
pub(super) fn answer(id: Uuid, result: Result<Receipt, PublishError>) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Accepted<'a> {
        id: Uuid,
        room: &'a str,
        position: String,
    }
    match result {
        Ok(receipt) => {
            let body = Accepted {
                id: receipt.id,
                room: receipt.room.as_str(),
                position: receipt.position.to_string(),
            };
            Ok(reply::json(StatusCode::ACCEPTED, "application/json", &body))
        }
        Err(error) => Err(refusal(error).about(id)),
    }
}

/// The answer to a message that is over a limit.
pub(super) fn busy(busy: Busy) -> Problem {
    match busy {
        Busy::Client(wait) => Problem::from(Kind::TooManyMessages).retry_after(wait),
        Busy::Room(wait) => Problem::from(Kind::RoomBusy).retry_after(wait),
    }
}

/// The answer to a message while as many as may be of its connection are under way.
pub(super) fn too_many() -> Problem {
    Problem::from(Kind::TooManyUnderWay).retry_after(Duration::from_secs(1))
}

fn refusal(error: PublishError) -> Problem {
    let soon = Duration::from_secs(1);
    match error {
        PublishError::Full { retry_after } => {
            Problem::from(Kind::QueueFull).retry_after(retry_after)
        }
        PublishError::Unavailable { retry_after } => {
            Problem::from(Kind::StreamUnavailable).retry_after(retry_after)
        }
        PublishError::Timeout => Problem::new(
            Kind::NotConfirmed,
            "It may have been stored. Sent again with the same id, it is shown once.",
        )
        .retry_after(soon),
        PublishError::TooLarge { .. } => {
            Problem::new(Kind::TooLarge, "The stream takes no records of this size.")
        }
        PublishError::Closing => Problem::from(Kind::Closing).retry_after(soon).close(),
    }
}

/// What the metrics call the outcome of an attempt to publish.
pub(super) fn outcome(answer: &Result<Reply, Problem>) -> &'static str {
    match answer {
        Ok(_) => "accepted",
        Err(problem) => problem.kind.name(),
    }
}

/// How long it took, in seconds.
pub(super) fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use proptest::prelude::*;

    use super::*;

    const MADE: Uuid = Uuid::from_u128(42);

    fn read(body: &str) -> Result<Draft, Problem> {
        parse(body.as_bytes(), 2_000, Timestamp::from_millis(7), || MADE)
    }

    async fn shown(problem: Problem) -> String {
        let body = problem.into_reply().into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().into()).unwrap()
    }

    #[test]
    fn a_text_alone_goes_to_the_lobby_with_an_id_of_ours() {
        let draft = read(r#"{"text":"hello"}"#).unwrap();
        assert_eq!(draft.room, Room::lobby());
        assert_eq!(draft.text.as_str(), "hello");
        assert_eq!((draft.id, draft.name), (MADE, None));
        assert_eq!(draft.time, Timestamp::from_millis(7));
    }

    #[test]
    fn all_fields_are_taken_and_others_passed_over() {
        let body = r#" {"id":"67E55044-10b1-426f-9247-bb680e5fe0c8","room":"den","name":"Ada",
            "text":"a\n😀","mood":{"x":[1]}} "#;
        let draft = read(body).unwrap();
        assert_eq!(draft.id.to_string(), "67e55044-10b1-426f-9247-bb680e5fe0c8");
        assert_eq!(draft.room.as_str(), "den");
        assert_eq!(draft.name.as_ref().map(Name::as_str), Some("Ada"));
        let draft = read(r#"{"id":null,"room":null,"name":"","text":"x"}"#).unwrap();
        assert_eq!((draft.id, draft.name), (MADE, None));
    }

    #[tokio::test]
    async fn every_broken_field_is_named() {
        let body = r#"{"id":"7","room":"a b","name":5,"text":""}"#;
        let text = shown(read(body).unwrap_err()).await;
        let value: Value = serde_json::from_str(&text).unwrap();
        let fields: Vec<_> = value["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| &e["field"])
            .collect();
        assert_eq!(fields, ["id", "room", "name", "text"]);
        assert_eq!(value["status"], 400);
        for (body, field, detail) in [
            ("{}", "text", "is missing"),
            (r#"{"text":null}"#, "text", "is missing"),
            (r#"{"text":5}"#, "text", "must be a string"),
            (
                r#"{"text":"\u0007"}"#,
                "text",
                "must not have the control character U+0007",
            ),
            (
                r#"{"text":"x","id":"67e5504410b1426f9247bb680e5fe0c8"}"#,
                "id",
                "must be a UUID such as 67e55044-10b1-426f-9247-bb680e5fe0c8",
            ),
        ] {
            let value: Value = serde_json::from_str(&shown(read(body).unwrap_err()).await).unwrap();
            assert_eq!(value["errors"][0]["field"], field, "{body}");
            assert_eq!(value["errors"][0]["detail"], detail, "{body}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_malformed() {
        let long = format!("{{\"text\":{}", "[".repeat(10_000));
        for body in [
            "",
            " ",
            "null",
            "5",
            "\"text\"",
            "[]",
            r#"["a","b","c","d"]"#,
            "{",
            "{\"text\":\"a\"",
            r#"{"text":"a"}x"#,
            r#"{"text":"a","text":"b"}"#,
            "{\"text\":\"\\ud800\"}",
            &long,
        ] {
            assert_eq!(read(body).unwrap_err().kind, Kind::Malformed, "{body}");
        }
        let body = b"{\"text\":\"\xff\"}";
        assert_eq!(
            parse(body, 2_000, Timestamp::from_millis(0), || MADE)
                .unwrap_err()
                .kind,
            Kind::Malformed
        );
    }

    #[test]
    fn only_json_is_taken() {
        let check = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
            headers.insert(name, value.parse().unwrap());
            check_head(&headers)
        };
        for kind in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"; x=y",
        ] {
            assert!(check("content-type", kind).is_ok(), "{kind}");
        }
        for kind in [
            "",
            "text/plain",
            "application/jsonp",
            "application/json; charset=latin1",
            "application/x-www-form-urlencoded",
        ] {
            assert!(check("content-type", kind).is_err(), "{kind}");
        }
        assert!(check("content-encoding", "gzip").is_err());
        assert!(check("content-encoding", "identity").is_ok());
        assert!(check_head(&HeaderMap::new()).is_err());
    }

    #[tokio::test]
    async fn a_body_may_come_in_pieces_up_to_the_limit() {
        let pieces = |sizes: &[usize]| {
            let frames: Vec<_> = sizes
                .iter()
                .map(|size| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; *size]))))
                .collect();
            StreamBody::new(stream::iter(frames))
        };
        let time = Duration::from_secs(5);
        let headers = HeaderMap::new();
        let read = read_body(&headers, pieces(&[3, 0, 5]), 8, time)
            .await
            .unwrap();
        assert_eq!(read.len(), 8);
        for sizes in [&[9][..], &[4, 5]] {
            let refused = read_body(&headers, pieces(sizes), 8, time)
                .await
                .unwrap_err();
            assert_eq!(refused.kind, Kind::TooLarge);
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, 9.into());
        headers.insert(EXPECT, "100-continue".parse().unwrap());
        let refused = read_body(&headers, Full::new(Bytes::new()), 8, time)
            .await
            .unwrap_err();
        assert_eq!(refused.kind, Kind::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let read = read_body(&HeaderMap::new(), never, 8, Duration::from_secs(10)).await;
        assert_eq!(read.unwrap_err().kind, Kind::BodyTimeout);
    }

    #[tokio::test]
    async fn each_refusal_of_the_producer_has_its_status_and_carries_the_id() {
        let wait = Duration::from_secs(3);
        for (error, status, retry) in [
            (PublishError::Full { retry_after: wait }, 503, Some("3")),
            (
                PublishError::Unavailable { retry_after: wait },
                503,
                Some("3"),
            ),
            (PublishError::Timeout, 503, Some("1")),
            (PublishError::TooLarge { bytes: 9, limit: 8 }, 413, None),
            (PublishError::Closing, 503, Some("1")),
        ] {
            let problem = answer(MADE, Err(error)).unwrap_err();
            let reply = problem.clone().into_reply();
            assert_eq!(reply.status(), status);
            let header = reply.headers().get("retry-after");
            assert_eq!(header.map(|value| value.to_str().unwrap()), retry);
            assert!(shown(problem).await.contains(&MADE.to_string()));
        }
    }

    #[tokio::test]
    async fn an_acceptance_says_id_room_and_position() {
        let receipt = Receipt {
            id: MADE,
            room: Room::lobby(),
            position: "495903.7".parse().unwrap(),
        };
        let reply = answer(MADE, Ok(receipt)).unwrap();
        assert_eq!(reply.status(), 202);
        assert_eq!(reply.headers()["content-type"], "application/json");
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            r#"{"id":"00000000-0000-0000-0000-00000000002a","room":"lobby","position":"495903.7"}"#
        );
    }

    proptest! {
        #[test]
        fn no_body_panics(body: Vec<u8>, kind in "\\PC{0,30}") {
            let _ = parse(&body, 2_000, Timestamp::from_millis(0), || MADE);
            let _ = is_json(&kind);
        }

        #[test]
        fn what_is_accepted_is_what_was_sent(text in "(?s).{1,50}", name in "\\PC{0,20}") {
            let body = serde_json::json!({ "text": text, "name": name }).to_string();
            if let Ok(draft) = read(&body) {
                prop_assert_eq!(draft.text.as_str(), &text);
                prop_assert_eq!(draft.name.as_ref().map_or("", Name::as_str), &name);
            }
        }
    }
}
