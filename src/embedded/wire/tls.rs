//! TLS for the port: a certificate from files, ALPN for HTTP/2 and HTTP/1.1.
//!
//! A client that offers no protocol is served too: what it speaks shows in its first bytes, as without TLS.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::embedded::config::Tls;

/// Who a port says it is. Clones share one certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    files: Tls,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificate {
    pub(super) fn read(files: &Tls) -> io::Result<Self> {
        Ok(Self {
            files: files.clone(),
            current: Arc::new(Current(ArcSwap::from_pointee(load(files)?))),
        })
    }

    /// Reads the files again; connections that are made from now on get what is in them.
    ///
    /// # Errors
    /// Names the file that cannot be used; the certificate stays as it was.
    pub fn renew(&self) -> io::Result<()> {
        self.current.0.store(Arc::new(load(&self.files)?));
        Ok(())
    }

    /// What takes connections.
    pub(super) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

fn load(tls: &Tls) -> io::Result<CertifiedKey> {
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| {
            if chain.is_empty() {
                Err(PemError::NoItemsFound)
            } else {
                Ok(chain)
            }
        })
        .map_err(|error| unusable(&tls.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| unusable(&tls.key, &error))?;
    CertifiedKey::from_der(chain, key, &provider())
        .map_err(|error| unusable(&tls.certificate, &error))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{}: {error}", path.display()),
    )
}
