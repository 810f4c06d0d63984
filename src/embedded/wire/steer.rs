//! The faults' own address, `/faults`: not Kinesis, and there only where it was asked for.
//!
//! `GET` tells the counters, `POST` adds rules (JSON if it says so, else TOML), `DELETE` takes all rules away.

use http::{Response, StatusCode};

use super::body::Body;
use super::format::Format;
use super::{Head, response};
use crate::embedded::Service;

const PATH: &str = "/faults";

/// The answer, if that is what was asked for.
pub(super) fn answer(service: &Service, head: &Head<'_>, body: &[u8]) -> Option<Response<Body>> {
    if head.path != PATH || !service.config().faults_endpoint {
        return None;
    }
    let faults = service.faults();
    let taken = match head.method {
        "GET" => Ok(()),
        "DELETE" => {
            faults.clear();
            Ok(())
        }
        "POST" => {
            let is_json = head.content_type.is_some_and(|kind| kind.contains("json"));
            let added = if is_json {
                faults.add_json(body)
            } else {
                faults.add(&String::from_utf8_lossy(body))
            };
            added.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
        }
        other => Err((StatusCode::METHOD_NOT_ALLOWED, format!("not {other}"))),
    };
    Some(match taken {
        Ok(()) => match Format::Json.encode(&faults.standing()) {
            Ok(standing) => response(StatusCode::OK, "application/json", Body::whole(standing)),
            Err(error) => super::error_response(Format::Json, &error),
        },
        Err((status, problem)) => {
            response(status, "text/plain; charset=utf-8", Body::whole(problem))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::Config;

    fn ask(
        service: &Service,
        method: &str,
        kind: &str,
        body: &str,
    ) -> Option<(StatusCode, String)> {
        let head = Head {
            method,
            path: PATH,
            target: None,
            content_type: Some(kind),
            query: None,
            authorization: None,
            has_date: false,
        };
        let response = answer(service, &head, body.as_bytes())?;
        let status = response.status();
        let Body::Whole(bytes) = response.into_body() else {
            panic!("events");
        };
        let text = String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        Some((status, text))
    }

    #[tokio::test]
    async fn rules_are_added_counted_and_taken_away() {
        let service = Service::new(Config {
            faults_endpoint: true,
            ..Config::default()
        });
        service.create_stream_if_missing("messages", 1).unwrap();
        let json = "application/json";
        let (status, text) =
            ask(&service, "POST", json, r#"{"fault":"throttle","rate":0.5}"#).unwrap();
        assert_eq!(status, StatusCode::OK);
        assert!(text.starts_with(r#"{"rules":1,"counts":{"#), "{text}");
        let (_, text) = ask(&service, "POST", "", "fault = \"split\"").unwrap();
        assert!(
            text.contains(r#""rules":1,"#) && text.contains(r#""split":1"#),
            "{text}"
        );
        let (_, text) = ask(&service, "GET", "", "").unwrap();
        assert!(text.contains(r#""throttle":0"#), "{text}");
        let (_, text) = ask(&service, "DELETE", "", "").unwrap();
        assert!(text.contains(r#""rules":0"#), "{text}");
        let (status, text) = ask(&service, "POST", json, r#"{"fault":"trottle"}"#).unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text.contains("trottle"), "{text}");
    }

    #[test]
    fn without_being_asked_for_there_is_no_such_address() {
        let service = Service::new(Config::default());
        assert_eq!(ask(&service, "GET", "", ""), None);
    }
}
