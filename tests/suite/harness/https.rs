//! A client over TLS that trusts one root, speaking what it is told to.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::within;

/// Whom to believe.
#[derive(Clone)]
pub(crate) struct Trust(ClientConfig);

impl Trust {
    /// The root in this file, and nobody else.
    pub(crate) fn in_file(path: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(path).expect("a root certificate");
        roots.add(root).expect("a root certificate");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS");
        Self(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// Makes a connection one with TLS, offering these protocols.
    pub(crate) async fn secure(
        &self,
        tcp: TcpStream,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = self.0.clone();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let connector = TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().expect("a name");
        within("a TLS handshake", Box::pin(connector.connect(name, tcp))).await
    }

    /// Asks on a connection of its own, in HTTP/2 if the server agrees to it, else in HTTP/1.1.
    pub(crate) async fn ask(
        &self,
        address: SocketAddr,
        protocols: &[&str],
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Response {
        let tcp = within("a connection", TcpStream::connect(address)).await;
        let stream = Box::pin(self.secure(tcp.expect("a connection"), protocols)).await;
        let stream = stream.expect("a TLS connection");
        let http_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let request = http::Request::builder().method(method);
        let request = if http_2 {
            request.uri(format!("https://{address}{path}"))
        } else {
            request.uri(path).header("Host", address.to_string())
        };
        let body = body.map(ToString::to_string);
        let request = match body {
            Some(_) => request.header("Content-Type", "application/json"),
            None => request,
        };
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .expect("a request");
        let io = TokioIo::new(Box::new(stream));
        let answer = async {
            if http_2 {
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                sender.send_request(request).await
            } else {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
                tokio::spawn(connection);
                sender.send_request(request).await
            }
        };
        let answer = within("an answer over TLS", Box::pin(answer))
            .await
            .expect("an answer over TLS");
        let (head, body) = answer.into_parts();
        let body = within("a body over TLS", body.collect())
            .await
            .expect("a body");
        http::Response::from_parts(head, body.to_bytes()).into()
    }
}
