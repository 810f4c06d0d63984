//! Serving over TLS: a certificate from files, which can be read again while it is in use.
//!
//! ALPN offers HTTP/2 and HTTP/1.1. A client that asks for neither is served too: what it speaks shows
//! in its first bytes, as without TLS.

mod expiry;

use std::io;
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    StreamOwned,
};

/// Where a certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// A file with the certificate and those between it and its root, as PEM.
    pub certificate: PathBuf,
    /// A file with its key, as PEM.
    pub key: PathBuf,
}

/// Who a port says it is. Clones share one certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    files: Files,
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
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn read(files: Files) -> io::Result<Self> {
        let current = Arc::new(Current(ArcSwap::from_pointee(load(&files)?)));
        Ok(Self { files, current })
    }

    /// Reads the files again; connections that are made from now on get what is in them.
    ///
    /// # Errors
    /// Names the file that cannot be used; the certificate stays as it was.
    pub fn renew(&self) -> io::Result<()> {
        self.current.0.store(Arc::new(load(&self.files)?));
        Ok(())
    }

    /// When the first of the certificate and those between it and its root runs out; `None` if that is not to be read.
    #[must_use]
    pub fn expiry(&self) -> Option<SystemTime> {
        let key = self.current.0.load();
        let ends = key.cert.iter().map(|certificate| expiry::of(certificate));
        ends.flatten().min()
    }

    /// What takes connections. Sessions are resumed by tickets, so that it keeps nothing of them.
    ///
    /// # Errors
    /// If there is no randomness to be had.
    pub fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(io::Error::other)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A connection over TLS to a server of this machine, whoever it says it is: to ask whether it answers.
///
/// # Errors
/// If it cannot be set up; the handshake comes with the first byte that is sent.
pub fn believing(
    address: IpAddr,
    tcp: TcpStream,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let provider = Arc::new(provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believing(provider)))
        .with_no_client_auth();
    let connection =
        ClientConnection::new(Arc::new(config), address.into()).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, tcp))
}

/// Believes any certificate that its server has the key of.
#[derive(Debug)]
struct Believing(Arc<CryptoProvider>);

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

fn load(files: &Files) -> io::Result<CertifiedKey> {
    let Files { certificate, key } = files;
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| {
            if chain.is_empty() {
                Err(PemError::NoItemsFound)
            } else {
                Ok(chain)
            }
        })
        .map_err(|error| unusable(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    CertifiedKey::from_der(chain, private, &provider())
        .map_err(|error| unusable(certificate, &error))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{}: {error}", path.display()),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    /// A certificate for `localhost` in `folder`, anew with each call, and its root as DER.
    pub(crate) fn make(folder: &Path) -> (Files, CertificateDer<'static>) {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &root).unwrap();
        let files = Files {
            certificate: folder.join("localhost.pem"),
            key: folder.join("localhost.key"),
        };
        std::fs::write(&files.certificate, leaf.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        (files, root.der().clone())
    }

    fn shown(certificate: &Certificate) -> CertificateDer<'static> {
        certificate.current.0.load().cert[0].clone()
    }

    #[test]
    fn a_certificate_is_read_again_and_stays_as_it_was_if_it_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let (files, _) = make(folder.path());
        let certificate = Certificate::read(files.clone()).unwrap();
        let first = shown(&certificate);
        // Half of a change: the new certificate is there, its key is not yet.
        let old_key = std::fs::read(&files.key).unwrap();
        make(folder.path());
        let new_key = std::fs::read(&files.key).unwrap();
        for bad in [&b""[..], b"nothing", &old_key] {
            std::fs::write(&files.key, bad).unwrap();
            let error = certificate.renew().unwrap_err().to_string();
            assert!(error.contains("localhost."), "{error}");
            assert_eq!(shown(&certificate), first);
        }
        std::fs::write(&files.key, new_key).unwrap();
        certificate.renew().unwrap();
        assert_ne!(shown(&certificate), first);
        std::fs::remove_file(&files.certificate).unwrap();
        let error = certificate.renew().unwrap_err().to_string();
        assert!(error.contains("localhost.pem"), "{error}");
    }
}
