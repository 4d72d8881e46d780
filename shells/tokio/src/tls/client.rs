//! The dialling end: whom to believe, and what to show.

use super::certificate::{certificates, read_file};
use super::{ALPN_HTTP, ALPN_RELAY, Certificate, TlsError, of_dial, provider};
use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a node that dials believes and shows. The default believes the CAs of the system, which are
/// read when they are needed first. Cheap to clone.
#[derive(Clone, Default)]
pub struct ClientTls {
    roots: Arc<OnceLock<Result<Arc<WebPkiServerVerifier>, String>>>,
    certificate: Option<Certificate>,
}

impl ClientTls {
    /// Believes the CAs in a PEM file and no others: a federation with a CA of its own need not
    /// trust all those of the world.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn with_ca_file(self, path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        self.with_cas(&read_file(path)?, path)
    }

    /// The same with PEM text.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong with it.
    pub fn with_ca_pem(self, pem: &[u8]) -> Result<Self, TlsError> {
        self.with_cas(pem, Path::new("the CA"))
    }

    /// Shows a certificate to nodes that ask for one.
    #[must_use]
    pub fn with_certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Speaks TLS over a connection to `authority` (`host:port`), as a client of its HTTP port.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub async fn connect_http(
        &self,
        socket: TcpStream,
        authority: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        self.connect(socket, authority, ALPN_HTTP).await
    }

    /// Speaks TLS over a connection to `authority`, for frames of a relay.
    pub(crate) async fn connect_relay(
        &self,
        socket: TcpStream,
        authority: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        self.connect(socket, authority, ALPN_RELAY).await
    }

    async fn connect(
        &self,
        socket: TcpStream,
        authority: &str,
        protocol: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = server_name(authority)?;
        let config = self.config(protocol, Arc::clone(self.verifier()?) as _)?;
        let connector = TlsConnector::from(Arc::new(config));
        let connected = connector.connect(name, socket).await;
        connected.map_err(|error| io::Error::new(error.kind(), of_dial(&error, authority)))
    }

    /// The configuration for one dial of QUIC, whose errors hold no more than a text: why the
    /// certificate was refused is kept aside.
    pub(crate) fn quic(&self) -> io::Result<(ClientConfig, Arc<Checked>)> {
        let checked =
            Arc::new(Checked { verifier: Arc::clone(self.verifier()?), refused: Mutex::default() });
        let config = self.config(ALPN_RELAY, Arc::clone(&checked) as _)?;
        Ok((config, checked))
    }

    fn config(
        &self,
        protocol: &[u8],
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> io::Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            // It is the verifier of rustls itself, made once for all dials.
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.certificate {
            Some(certificate) => builder.with_client_cert_resolver(Arc::new(certificate.clone())),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn with_cas(mut self, pem: &[u8], name: &Path) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem, name)? {
            let added = roots.add(certificate);
            added.map_err(|error| TlsError::Unusable(name.to_owned(), error.to_string()))?;
        }
        let verifier = verifier_of(roots)
            .map_err(|error| TlsError::Unusable(name.to_owned(), error.to_string()))?;
        self.roots = Arc::new(OnceLock::from(Ok(verifier)));
        Ok(self)
    }

    fn verifier(&self) -> io::Result<&Arc<WebPkiServerVerifier>> {
        let verifier = self.roots.get_or_init(|| system().map_err(|error| error.to_string()));
        verifier.as_ref().map_err(|why| io::Error::other(why.clone()))
    }
}

fn verifier_of(
    roots: RootCertStore,
) -> Result<Arc<WebPkiServerVerifier>, rustls::server::VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()
}

/// Believes the roots that the system has installed, so that a CA which its operator added or
/// removed counts here too, and none is compiled in that may be distrusted one day.
fn system() -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old roots of a kind that is not supported are left out, as browsers do.
    roots.add_parsable_certificates(found.certs);
    let no_roots = || {
        let first = found.errors.first().map(ToString::to_string);
        TlsError::NoRoots(first.unwrap_or_else(|| String::from("none is installed")))
    };
    if roots.is_empty() {
        return Err(no_roots());
    }
    verifier_of(roots).map_err(|error| TlsError::NoRoots(error.to_string()))
}

fn server_name(authority: &str) -> io::Result<ServerName<'static>> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| {
        let why = format!("'{host}' is no name that a certificate can hold");
        io::Error::new(io::ErrorKind::InvalidInput, why)
    })
}

/// The verifier of rustls, which keeps why it refused a certificate.
#[derive(Debug)]
pub(crate) struct Checked {
    verifier: Arc<WebPkiServerVerifier>,
    refused: Mutex<Option<CertificateError>>,
}

impl Checked {
    /// Why the certificate was refused, if it was.
    pub(crate) fn refused(&self) -> Option<CertificateError> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.verifier.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if let Err(Error::InvalidCertificate(error)) = &verified {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
