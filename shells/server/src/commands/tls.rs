//! Certificates out of settings and flags, with what to do when they cannot be used.

use crate::cli::{Failure, TlsArgs};
use crate::config::warn_if_open;
use relay_tokio::tls::{Certificate, ClientTls, TlsError};
use std::path::Path;

/// What a tool believes and shows.
///
/// # Errors
/// [`Failure`] names the flag whose file cannot be used.
pub(super) fn of_args(args: &TlsArgs) -> Result<ClientTls, Failure> {
    let certificate = match (&args.tls_cert, &args.tls_key) {
        (Some(chain), Some(key)) => Some(certificate(chain, key)?),
        (Some(_) | None, _) => None,
    };
    client(args.tls_ca.as_deref(), certificate.as_ref())
}

/// What a node that dials believes and shows.
///
/// # Errors
/// [`Failure`] names the setting whose file cannot be used.
pub(super) fn client(
    ca: Option<&Path>,
    certificate: Option<&Certificate>,
) -> Result<ClientTls, Failure> {
    let mut tls = ClientTls::default();
    if let Some(path) = ca {
        tls = tls.with_ca_file(path).map_err(|error| refused("--tls-ca", &error))?;
    }
    Ok(match certificate {
        Some(certificate) => tls.with_certificate(certificate.clone()),
        None => tls,
    })
}

/// A chain and its key.
///
/// # Errors
/// [`Failure`] names the file that cannot be used.
pub(super) fn certificate(chain: &Path, key: &Path) -> Result<Certificate, Failure> {
    let certificate = Certificate::from_files(chain, key)
        .map_err(|error| refused("--tls-cert and --tls-key", &error))?;
    warn_if_open(key, "private key of the certificate");
    Ok(certificate)
}

/// A file that cannot be used, and what to do.
pub(super) fn refused(flags: &str, error: &TlsError) -> Failure {
    let failure = Failure::usage(format!("{flags}: {error}"));
    match error {
        TlsError::Unreadable(..) => failure.with_hint("check the path, and who may read the file"),
        TlsError::NotItsKey(..) => failure.with_hint(
            "give the key that the certificate was made for; the node's own certificate comes \
             first in its file, those of the CAs after it",
        ),
        TlsError::NoCertificate(..) | TlsError::NoKey(..) | TlsError::Unusable(..) => {
            failure.with_hint("docs/tls.md shows how to make certificates and keys with openssl")
        }
        _ => failure,
    }
}
