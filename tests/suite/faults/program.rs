//! The same from outside: the program's flags, and `/faults` on its port.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::https::make_certificates;
use crate::harness::{Launch, Server, Viewer, within};

/// Speaks HTTP/1.1 over TLS to `/faults`, with no ALPN.
struct Steering {
    connector: TlsConnector,
    address: SocketAddr,
}

impl Steering {
    fn new(root: &Path, address: SocketAddr) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(root).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            connector: TlsConnector::from(Arc::new(config)),
            address,
        }
    }

    async fn call(&self, method: &str, body: &str) -> Value {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = self.connector.connect(name, stream).await.unwrap();
        let request = format!(
            "{method} /faults HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // Without a close_notify rustls says so, and what came is there nevertheless.
        let _ = within("an answer", stream.read_to_string(&mut answer)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

/// One instance serves its stream over https, another reads and writes it there; both go wrong by rules from a file and
/// by rules that are sent while they run.
#[tokio::test]
async fn two_instances_over_https_survive_what_file_and_endpoint_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let path = |file: &str| folder.path().join(file).display().to_string();
    let faults =
        "seed = 3\n[[rule]]\nfault = \"throttle\"\noperation = \"PutRecords\"\nrate = 0.3\n";
    let serving = Launch::new()
        .file("faults.toml", faults)
        .args(&[
            "--embedded-listen",
            "127.0.0.1:0",
            "--embedded-faults",
            "faults.toml",
        ])
        .args(&["--embedded-tls-cert", &path("localhost.pem")])
        .args(&["--embedded-tls-key", &path("localhost.key")])
        .start()
        .await;
    let kinesis = format!("https://localhost:{}", serving.kinesis().port());
    let beside = Launch::new()
        .args(&[
            "--kinesis",
            "aws",
            "--region",
            "us-east-1",
            "--endpoint-url",
            &kinesis,
        ])
        .env("SSL_CERT_FILE", &path("root.pem"))
        .start()
        .await;
    let steering = Steering::new(&folder.path().join("root.pem"), serving.kinesis());
    let rules = r#"{"rule":[
        {"fault":"split","nth":5},
        {"fault":"early-end","every":20,"times":2},
        {"fault":"answer-lost","operation":"PutRecords","nth":9}
    ]}"#;
    assert_eq!(steering.call("POST", rules).await["rules"], 4);

    let mut viewers = Vec::new();
    for server in [&serving, &beside] {
        viewers.push(Viewer::join(server, "room=a&history=0").await);
    }
    let mut texts = Vec::new();
    for number in 0..20 {
        let text = number.to_string();
        let server: &Server = if number % 2 == 0 { &beside } else { &serving };
        within("an acknowledgement", server.say("a", &text)).await;
        texts.push(text);
    }
    for viewer in &mut viewers {
        let shown = within("all messages", viewer.take(texts.len())).await;
        let shown: Vec<_> = shown.into_iter().map(|shown| shown.text).collect();
        assert_eq!(shown, texts);
    }
    let standing = steering.call("GET", "").await;
    for fault in ["throttle", "split", "answer-lost"] {
        assert!(
            standing["counts"][fault].as_u64() > Some(0),
            "{fault}: {standing}"
        );
    }
    assert_eq!(steering.call("DELETE", "").await["rules"], 0);
}

#[tokio::test]
async fn a_file_of_faults_that_makes_no_sense_ends_the_start() {
    let ended = Launch::new()
        .file("faults.toml", "[[rule]]\nfault = \"trottle\"\n")
        .args(&["--embedded-faults", "faults.toml"])
        .run()
        .await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("faults.toml") && ended.stderr.contains("trottle"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn faults_are_refused_with_aws() {
    let ended = Launch::new()
        .args(&["--kinesis", "aws", "--embedded-faults", "faults.toml"])
        .run()
        .await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("embedded-faults"), "{}", ended.stderr);
}
