//! A request that came over TCP: its body is read within limits, then it is answered.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::body::Body;
use super::connection::Shared;
use super::faulty::Broken;
use super::line::{Fate, Line};
use super::{AMZ_DATE, Head, TARGET, error_response, respond};
use crate::embedded::{Error, ErrorKind};

/// An error resets the request's stream in HTTP/2, and closes the connection in HTTP/1.1.
pub(super) async fn handle(
    shared: Shared,
    line: Arc<Line>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Broken> {
    let (parts, body) = request.into_parts();
    let head = head(&parts);
    let read = read(&shared, &parts.headers, body);
    let in_time = timeout(shared.limits.body_read_timeout, read).await;
    let answered = match in_time.unwrap_or_else(|_| Err(late())) {
        Ok(bytes) => respond(&shared.service, &head, bytes, &line).await,
        Err(error) => Ok(error_response(head.format(), &error)),
    };
    match answered {
        // An answer that streams ends when the listener stops.
        Ok(response) => Ok(response.map(|body| {
            body.until(|| {
                let mut stopping = shared.stopping.clone();
                async move {
                    let _ = stopping.wait_for(|stop| *stop).await;
                    Ok(())
                }
            })
        })),
        Err(Broken::Stream) => Err(Broken::Stream),
        Err(Broken::Connection) => {
            line.strike(Fate::Reset);
            // Whoever serves the connection ends this with it.
            std::future::pending().await
        }
    }
}

fn head(parts: &Parts) -> Head<'_> {
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    Head {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        target: header(TARGET),
        content_type: header(CONTENT_TYPE.as_str()),
        query: parts.uri.query(),
        authorization: header(AUTHORIZATION.as_str()),
        has_date: header(AMZ_DATE).or_else(|| header(DATE.as_str())).is_some(),
    }
}

fn late() -> Error {
    Error::new(
        ErrorKind::Serialization,
        "the request's body did not arrive in time",
    )
}

/// Reads a body once there is room for it.
async fn read(shared: &Shared, headers: &HeaderMap, body: Incoming) -> Result<Bytes, Error> {
    let limit = shared.limits.body_bytes;
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    let too_large = || {
        Error::new(
            ErrorKind::Serialization,
            format!("the request's body is larger than {limit} bytes"),
        )
    };
    let expected = announced.unwrap_or(limit);
    if expected > limit {
        return Err(too_large());
    }
    let _room = shared
        .room_for(expected)
        .await
        .map_err(|_| Error::new(ErrorKind::InternalFailure, "the service is stopping"))?;
    match Limited::new(body, expected).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Error::new(
            ErrorKind::Serialization,
            format!("the request's body broke off: {error}"),
        )),
    }
}
