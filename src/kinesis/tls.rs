//! Whom we believe: the roots of trust for TLS.
//!
//! In a container that holds nothing but our binary there are no certificate files; then the
//! roots that Mozilla trusts, compiled in, take their place. Where there are files, or where
//! `SSL_CERT_FILE` or `SSL_CERT_DIR` names some, those and only those count.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use base64::Engine as _;

use super::{Error, ErrorKind};

/// Where Linux distributions and BSDs keep their roots: what `openssl-probe` looks for.
const SYSTEM_FILES: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

const MARK: &[u8] = b"-----BEGIN CERTIFICATE-----";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    System,
    CompiledIn,
}

impl Roots {
    /// Decides, so that nobody meets an empty set of roots (with which every handshake fails, and
    /// debug builds of the SDK panic).
    pub(super) fn find() -> Result<Self, Error> {
        let roots = Self::choose(
            env::var_os("SSL_CERT_FILE").as_deref(),
            env::var_os("SSL_CERT_DIR").as_deref(),
            &SYSTEM_FILES,
        )?;
        if roots == Self::CompiledIn {
            tracing::info!(
                "no certificate files here: the roots that are compiled in are believed"
            );
        }
        Ok(roots)
    }

    fn choose(
        file: Option<&OsStr>,
        folder: Option<&OsStr>,
        system: &[&str],
    ) -> Result<Self, Error> {
        if let Some(path) = file {
            let error = |what: String| {
                Err(Error::new("reading", "SSL_CERT_FILE", ErrorKind::Config).with_detail(what))
            };
            return match fs::read(path) {
                Err(cause) => error(format!("{}: {cause}", Path::new(path).display())),
                Ok(text) if !has_certificate(&text) => error(format!(
                    "{}: there is no certificate in it",
                    Path::new(path).display()
                )),
                Ok(_) => Ok(Self::System),
            };
        }
        let keychain = cfg!(any(windows, target_os = "macos"));
        let filled = |path: &&str| fs::read(path).is_ok_and(|text| has_certificate(&text));
        if keychain || folder.is_some_and(has_files) || system.iter().any(filled) {
            Ok(Self::System)
        } else {
            Ok(Self::CompiledIn)
        }
    }

    /// A client of its own, with connections of its own.
    pub(super) fn http_client(self) -> Result<SharedHttpClient, Error> {
        let store = match self {
            Self::System => TrustStore::empty().with_native_roots(true),
            Self::CompiledIn => TrustStore::empty().with_pem_certificate(compiled_in()),
        };
        let context = TlsContext::builder()
            .with_trust_store(store)
            .build()
            .map_err(|error| {
                Error::new("setting up", "TLS", ErrorKind::Config).with_detail(error.to_string())
            })?;
        Ok(Builder::new()
            .tls_provider(tls::Provider::rustls(CryptoMode::AwsLc))
            .tls_context(context)
            .build_https())
    }
}

fn has_certificate(text: &[u8]) -> bool {
    text.windows(MARK.len()).any(|window| window == MARK)
}

fn has_files(folder: &OsStr) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Mozilla's roots as PEM.
fn compiled_in() -> Vec<u8> {
    let mut pem = String::with_capacity(200 * 1024);
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let text = base64::engine::general_purpose::STANDARD.encode(root);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_any_file_the_compiled_in_roots_are_used_and_can_be() {
        let roots = Roots::choose(None, None, &["/nowhere"]).unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(roots, Roots::CompiledIn);
        }
        assert!(has_certificate(&compiled_in()));
        assert!(Roots::CompiledIn.http_client().is_ok());
    }

    #[test]
    fn a_cert_file_that_is_none_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        let message = |path: &Path| {
            Roots::choose(Some(path.as_os_str()), None, &[])
                .unwrap_err()
                .to_string()
        };
        assert!(message(&path).contains("roots.pem"), "{}", message(&path));
        fs::write(&path, "nothing").unwrap();
        assert!(message(&path).contains("no certificate"));
        fs::write(&path, compiled_in()).unwrap();
        let roots = Roots::choose(Some(path.as_os_str()), None, &[]).unwrap();
        assert_eq!(roots, Roots::System);
    }
}
