//! SIGHUP: what is taken anew, and what is said about the rest.

use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::faults::make_certificates;
use crate::harness::{Launch, Raw, Server, eventually, within};

const FILE: &str = "chat-room.toml";

fn write(server: &Server, text: &str) {
    std::fs::write(server.folder().join(FILE), text).expect("the settings file");
}

/// Asks for a reload, and waits until the log has one more line with `text`.
async fn reload(server: &Server, text: &str) {
    let lines = || server.said().matches(text).count();
    let before = lines();
    server.signal(Signal::HUP);
    eventually(text, || async { lines() > before }).await;
}

#[tokio::test]
async fn the_log_level_is_taken_at_once_and_the_rest_is_named() {
    let launch = Launch::new().file(FILE, "log-level = \"warn\"\n");
    let server = launch.start().await;
    server.say("den", "quietly").await;
    assert!(!server.said().contains(" INFO "), "{}", server.said());

    write(
        &server,
        "log-level = \"info,chat_room::http=debug\"\nhistory = 7\ndrain = \"9s\"\n",
    );
    reload(&server, "taken only at the next start").await;
    let said = server.said();
    assert!(said.contains("settings=\"history, drain\""), "{said}");
    assert!(
        said.contains("log_level=info,chat_room::http=debug"),
        "{said}"
    );

    write(&server, "log-level = \"loud\"\n");
    reload(&server, "cannot reload the settings").await;
    assert!(server.said().contains("\"loud\""), "{}", server.said());
    // And goes on, with what it had.
    let mut raw = Raw::open(server.address()).await;
    raw.send(b"nothing like HTTP\r\n\r\n").await;
    eventually("a line of the module with a level of its own", || async {
        server.said().contains("DEBUG chat_room::http")
    })
    .await;
}

/// What the embedded Kinesis shows to whoever trusts the root in `folder`.
async fn certificate(server: &Server, folder: &Path) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(folder.join("root.pem")).expect("the root");
    roots.add(root).expect("a root");
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(server.kinesis())
        .await
        .expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let tls = within("a handshake", tls)
        .await
        .map_err(|error| error.to_string())?;
    let chain = tls.get_ref().1.peer_certificates().expect("a certificate");
    Ok(chain[0].clone().into_owned())
}

#[tokio::test]
async fn the_certificate_of_the_embedded_kinesis_is_read_again() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_certificates(old.path());
    make_certificates(new.path());
    let launch = Launch::new()
        .args(&["--embedded-listen", "127.0.0.1:0"])
        .args(&[
            "--embedded-tls-cert",
            "localhost.pem",
            "--embedded-tls-key",
            "localhost.key",
        ]);
    let install = |folder: &Path, from: &Path| {
        for file in ["localhost.pem", "localhost.key"] {
            std::fs::copy(from.join(file), folder.join(file)).expect("a file");
        }
    };
    install(launch.folder(), old.path());
    let server = launch.start().await;
    let first = certificate(&server, old.path()).await.expect("the old one");

    std::fs::write(server.folder().join("localhost.key"), "no key").unwrap();
    reload(&server, "cannot reload the certificate").await;
    assert!(server.said().contains("localhost.key"), "{}", server.said());
    let kept = certificate(&server, old.path()).await;
    assert_eq!(kept.as_ref(), Ok(&first), "it stays as it was");

    install(server.folder(), new.path());
    reload(&server, "reloaded the certificate").await;
    let second = certificate(&server, new.path()).await.expect("the new one");
    assert_ne!(first, second);
    assert!(certificate(&server, old.path()).await.is_err());
}
