//! The in-process way in: an HTTP client for the SDK that calls the service function, with no port and no socket.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::time::sleep;

use super::body::{Body, EventBody};
use super::faulty::{Broken, FOR_EVER};
use super::line::{Fate, Line};
use super::{Head, TARGET, respond};
use crate::embedded::Service;

/// A connector, and the client that always hands out that one.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Connector {
    service: Service,
    /// What stands for its connection; another one once a fault has struck it.
    line: Arc<Mutex<Arc<Line>>>,
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
    let head = Head {
        method: request.method(),
        path: path(request.uri()),
        target: request.headers().get(TARGET),
        content_type: request.headers().get(CONTENT_TYPE.as_str()),
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
    let response = response.map(|body| match body {
        Body::Whole(bytes) => SdkBody::from(bytes.unwrap_or_default()),
        Body::Events(events) => SdkBody::from_body_1_x(Lined::new(events, line)),
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

/// Events that share the fate of their connection.
struct Lined {
    events: EventBody,
    line: Arc<Line>,
    broken: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Lined {
    fn new(events: EventBody, line: Arc<Line>) -> Self {
        let watched = Arc::clone(&line);
        Self {
            events,
            line,
            broken: Box::pin(async move { broken(&watched).await }),
        }
    }
}

impl http_body::Body for Lined {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if this.broken.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Broken::Connection)));
        }
        if matches!(this.line.fate(), Fate::BlackHoled(_)) {
            return Poll::Pending;
        }
        Pin::new(&mut this.events).poll_frame(cx)
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
