//! A certificate authority for tests, and what it signs.
#![allow(dead_code, reason = "each test uses what it needs")]

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A CA whose certificate tests may trust.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A chain and its key as PEM text.
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("signed"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    /// A certificate that is valid now.
    pub(crate) fn sign(&self, names: &[&str]) -> Pair {
        self.sign_for(names, SystemTime::now() - HOUR, SystemTime::now() + 24 * HOUR)
    }

    /// A certificate that was valid until an hour ago.
    pub(crate) fn sign_expired(&self, names: &[&str]) -> Pair {
        self.sign_for(names, SystemTime::now() - 48 * HOUR, SystemTime::now() - HOUR)
    }

    fn sign_for(&self, names: &[&str], from: SystemTime, to: SystemTime) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        (params.not_before, params.not_after) = (from.into(), to.into());
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        Pair { chain: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A folder for the files of one test, which is removed with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("relay-tls-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
