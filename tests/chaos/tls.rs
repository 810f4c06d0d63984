//! A root of our own, and a certificate for loopback.

use std::io;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Where they are.
pub(crate) struct Certificates {
    pub(crate) root: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The root itself, as PEM.
    pub(crate) root_pem: Vec<u8>,
}

impl Certificates {
    pub(crate) fn make(folder: &Path) -> io::Result<Self> {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = || KeyPair::generate().map_err(io::Error::other);
        let root = CertifiedIssuer::self_signed(root, key()?).map_err(io::Error::other)?;
        let leaf_key = key()?;
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .and_then(|leaf| leaf.signed_by(&leaf_key, &root))
            .map_err(io::Error::other)?;
        let made = Self {
            root: folder.join("root.pem"),
            certificate: folder.join("loopback.pem"),
            key: folder.join("loopback.key"),
            root_pem: root.pem().into_bytes(),
        };
        std::fs::write(&made.root, &made.root_pem)?;
        std::fs::write(&made.certificate, leaf.pem())?;
        std::fs::write(&made.key, leaf_key.serialize_pem())?;
        Ok(made)
    }
}
