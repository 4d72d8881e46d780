//! The certificate of a node with its key, from PEM files that may change.

use super::provider;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureScheme};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// A chain of certificates, the node's own first, and the key of that one. Cheap to clone; all
/// clones see what [`Self::reload`] reads.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    files: Option<(PathBuf, PathBuf)>,
    current: RwLock<Arc<CertifiedKey>>,
}

/// Why certificates or keys cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// It holds no certificate.
    NoCertificate(PathBuf),
    /// It holds no private key.
    NoKey(PathBuf),
    /// The key is not that of the first certificate: the names of both files.
    NotItsKey(PathBuf, PathBuf),
    /// What it holds is damaged, or of a kind that is not supported.
    Unusable(PathBuf, String),
    /// The system has no roots to check certificates against.
    NoRoots(String),
}

impl Certificate {
    /// Reads a chain and its key from PEM files.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn from_files(
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        let files = (chain.into(), key.into());
        let current = RwLock::new(read(&files.0, &files.1)?);
        Ok(Self(Arc::new(Inner { files: Some(files), current })))
    }

    /// Takes a chain and its key as PEM text.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong with them.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let current = parse(chain, key, Path::new("the chain"), Path::new("the key"))?;
        Ok(Self(Arc::new(Inner { files: None, current: RwLock::new(current) })))
    }

    /// Reads the files again. Tells whether the certificate is another one now; the old one stays
    /// when the new one cannot be used.
    ///
    /// # Errors
    /// [`TlsError`] as [`Self::from_files`] has.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some((chain, key)) = &self.0.files else { return Ok(false) };
        let read = read(chain, key)?;
        let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = current.cert != read.cert;
        *current = read;
        Ok(is_new)
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Certificate {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current()).filter(|current| current.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.0.files).finish_non_exhaustive()
    }
}

fn read(chain: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    parse(&read_file(chain)?, &read_file(key)?, chain, key)
}

fn parse(
    chain: &[u8],
    key: &[u8],
    chain_name: &Path,
    key_name: &Path,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(chain, chain_name)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => TlsError::NoKey(key_name.to_owned()),
        other => TlsError::Unusable(key_name.to_owned(), other.to_string()),
    })?;
    let made = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::NotItsKey(key_name.to_owned(), chain_name.to_owned())
        }
        Error::InvalidCertificate(error) => {
            TlsError::Unusable(chain_name.to_owned(), error.to_string())
        }
        other => TlsError::Unusable(key_name.to_owned(), other.to_string()),
    })?;
    Ok(Arc::new(made))
}

/// All certificates of a PEM text, at least one.
pub(super) fn certificates(
    pem: &[u8],
    name: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| TlsError::Unusable(name.to_owned(), error.to_string()))?;
    if found.is_empty() { Err(TlsError::NoCertificate(name.to_owned())) } else { Ok(found) }
}

/// A file of PEM, which is never large.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable(path.to_owned(), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(TlsError::Unusable(path.to_owned(), why));
    }
    Ok(bytes)
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::NoCertificate(path) => write!(
                f,
                "{} holds no certificate: PEM is expected, with -----BEGIN CERTIFICATE-----",
                path.display()
            ),
            Self::NoKey(path) => write!(
                f,
                "{} holds no private key: PEM without a password is expected, with -----BEGIN \
                 PRIVATE KEY-----",
                path.display()
            ),
            Self::NotItsKey(key, chain) => write!(
                f,
                "the key in {} is not that of the first certificate in {}",
                key.display(),
                chain.display()
            ),
            Self::Unusable(path, why) => write!(f, "{} cannot be used: {why}", path.display()),
            Self::NoRoots(why) => write!(
                f,
                "this system has no roots to check certificates against ({why}): install its \
                 package ca-certificates, or name the file of a CA (--tls-ca)"
            ),
        }
    }
}

impl std::error::Error for TlsError {}

/// All roots that a system trusts take a quarter of this.
const FILE_BYTES_MAX: u64 = 1 << 20;
