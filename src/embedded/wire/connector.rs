//! The in-process way in: an HTTP client for the SDK that calls the service function, with no port and no socket.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Response;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use tokio::time::sleep;

use super::body::Body;
use super::faulty::{Broken, FOR_EVER};
use super::line::{Fate, Line};
use super::{AMZ_DATE, Head, TARGET, respond};
use crate::embedded::Service;

/// A connector, and the client that always hands out that one.
#[derive(Clone)]
pub(in crate::embedded) struct Connector {
    service: Service,
    /// What stands for its connection; another one once a fault has struck it.
    line: Arc<Mutex<Arc<Line>>>,
}

/// The SDK logs its client whole at `trace`: nothing of what the service holds.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    pub(in crate::embedded) fn new(service: Service) -> Self {
        Self {
            service,
            line: Arc::new(Mutex::new(Line::new())),
        }
    }

    fn line(&self) -> Arc<Line> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !line.is_whole() {
            *line = Line::new();
        }
        Arc::clone(&line)
    }
}

impl HttpClient for Connector {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(answer(self.service.clone(), self.line(), request))
    }
}

async fn answer(
    service: Service,
    line: Arc<Line>,
    mut request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    // A connector that never suspends starves the tasks beside it: a caller in a loop would keep its thread.
    tokio::task::yield_now().await;
    let mut body = request.take_body();
    if body.bytes().is_none() {
        // Every input of Kinesis is in memory; a body that is not can only be one that is read first.
        body = SdkBody::from(
            body.collect()
                .await
                .map_err(ConnectorError::user)?
                .to_bytes(),
        );
    }
    let header = |name: &str| request.headers().get(name);
    let head = Head {
        method: request.method(),
        path: path(request.uri()),
        target: header(TARGET),
        content_type: header(CONTENT_TYPE.as_str()),
        // The SDK signs by header.
        query: None,
        authorization: header(AUTHORIZATION.as_str()),
        has_date: header(AMZ_DATE).is_some(),
    };
    let bytes = Bytes::copy_from_slice(body.bytes().unwrap_or_default());
    let answered = respond(&service, &head, bytes, &line);
    let response = match until_broken(&line, answered).await {
        Ok(response) => response,
        Err(broken) => {
            if broken == Broken::Connection {
                line.strike(Fate::Reset);
            }
            return Err(ConnectorError::io(broken.into()));
        }
    };
    let shares_the_fate = || async move {
        broken(&line).await;
        Err(Broken::Connection)
    };
    let response = response.map(|body| match body.until(shares_the_fate) {
        Body::Whole(bytes) => SdkBody::from(bytes.unwrap_or_default()),
        events @ Body::Events(_) => SdkBody::from_body_1_x(events),
    });
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}

/// The answer, unless the connection is struck before it: a reset ends it, a black hole swallows it.
async fn until_broken(
    line: &Line,
    answered: impl Future<Output = Result<Response<Body>, Broken>>,
) -> Result<Response<Body>, Broken> {
    tokio::select! {
        answered = answered => answered,
        () = broken(line) => Err(Broken::Connection),
    }
}

/// Ends when the connection has broken.
async fn broken(line: &Line) {
    let mut known = Fate::Whole;
    loop {
        known = line.other_than(known).await;
        match known {
            Fate::Whole | Fate::GoingAway(None) => {}
            Fate::GoingAway(Some(after)) => return sleep(after).await,
            Fate::BlackHoled(after) => return sleep(after.unwrap_or(FOR_EVER)).await,
            Fate::Reset => return,
        }
    }
}

/// The path of an absolute or relative URI.
fn path(uri: &str) -> &str {
    let after_authority = match uri.find("://") {
        Some(scheme) => uri
            .get(scheme + 3..)
            .and_then(|rest| rest.find('/').and_then(|slash| rest.get(slash..)))
            .unwrap_or("/"),
        None => uri,
    };
    after_authority.split('?').next().unwrap_or("/")
}
