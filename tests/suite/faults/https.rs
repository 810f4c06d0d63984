//! A test over https: run again in a process whose environment has what a program in the field would have.

use std::path::{Path, PathBuf};
use std::process::Command;

use chat_room::embedded::Tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

/// Names the folder with the certificates, in the process that has the test's body.
const FOLDER: &str = "CHAT_ROOM_TEST_CERTIFICATES";

/// The certificate to serve with, in a process that is to use https.
pub(super) fn certificate() -> Option<Tls> {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    Some(Tls {
        certificate: folder.join("localhost.pem"),
        key: folder.join("localhost.key"),
    })
}

/// Runs the body, in another process. `name` is the path of the test, which calls this.
pub(super) fn run<F: Future<Output = ()>>(name: &str, body: impl FnOnce() -> F) {
    if certificate().is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        return runtime.unwrap().block_on(body());
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let name = name.split_once("::").unwrap().1;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .env("SSL_CERT_FILE", folder.path().join("root.pem"))
        .env_remove("SSL_CERT_DIR")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", folder.path())
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{name}: {}\n{}", said[0], said[1]);
    assert!(
        said[0].contains("1 passed"),
        "{name} was not run: {}",
        said[0]
    );
}

pub(crate) fn make_certificates(folder: &Path) {
    make_certificates_until(folder, 4096);
}

/// With a certificate that runs out at the beginning of this year.
pub(crate) fn make_certificates_until(folder: &Path, year: i32) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(["localhost", "127.0.0.1"].map(str::to_owned)).unwrap();
    leaf.not_after = date_time_ymd(year, 1, 1);
    let leaf = leaf.signed_by(&key, &root).unwrap();
    for (file, text) in [
        ("root.pem", root.pem()),
        ("localhost.pem", leaf.pem()),
        ("localhost.key", key.serialize_pem()),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
    }
}
