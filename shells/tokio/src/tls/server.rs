//! The accepting end: handshakes, bounded in number and time, and what comes without TLS.

use super::certificate::{Certificate, TlsError, certificates, read_file};
use super::trouble::of_accept;
use super::{ALPN_HTTP, ALPN_RELAY, provider};
use crate::complaints::complain;
use crate::first_byte::Speaks;
use crate::{Node, Tcp};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How a node listens with TLS. Cheap to clone; all TCP listeners made of it share one bound of
/// handshakes and one certificate.
#[derive(Clone)]
pub struct ServerTls {
    certificate: Certificate,
    client_roots: Option<Arc<RootCertStore>>,
    handshakes: Arc<Semaphore>,
}

/// Speaks TLS with those who connect to one port.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    handshakes: Arc<Semaphore>,
    /// What the port is for, to tell those who come without TLS.
    is_http: bool,
}

/// Why a connection is not spoken with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// So many handshakes are under way that this one was not begun.
    Busy,
    /// It took too long.
    Late,
    /// It went away before there was anything to say about it.
    Gone(io::Error),
    /// One line that says what is wrong and what to do.
    Failed(String),
}

impl ServerTls {
    /// Listens with a certificate.
    #[must_use]
    pub fn new(certificate: Certificate) -> Self {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        Self { certificate, client_roots: None, handshakes }
    }

    /// Lets in only those who show a certificate which a CA in this PEM file signed.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn with_client_ca_file(mut self, path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&read_file(path)?, path)? {
            let added = roots.add(certificate);
            added.map_err(|error| TlsError::Unusable(path.to_owned(), error.to_string()))?;
        }
        self.client_roots = Some(Arc::new(roots));
        Ok(self)
    }

    /// The certificate, to read it again.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// For a port of `tls://`: bare frames over TLS.
    ///
    /// # Errors
    /// [`TlsError`] when the CAs of clients cannot be used.
    pub fn relay_acceptor(&self) -> Result<Acceptor, TlsError> {
        self.acceptor(ALPN_RELAY, false)
    }

    /// For a port of `https://` and `wss://`.
    ///
    /// # Errors
    /// [`TlsError`] when the CAs of clients cannot be used.
    pub fn http_acceptor(&self) -> Result<Acceptor, TlsError> {
        self.acceptor(ALPN_HTTP, true)
    }

    fn acceptor(&self, protocol: &[u8], is_http: bool) -> Result<Acceptor, TlsError> {
        let tls = TlsAcceptor::from(Arc::new(self.config(protocol)?));
        Ok(Acceptor { tls, handshakes: Arc::clone(&self.handshakes), is_http })
    }

    pub(crate) fn config(&self, protocol: &[u8]) -> Result<ServerConfig, TlsError> {
        let unusable = |why: &dyn fmt::Display| {
            TlsError::Unusable("the TLS configuration".into(), why.to_string())
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?;
        let builder = match &self.client_roots {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let roots = Arc::clone(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                builder.with_client_cert_verifier(verifier.build().map_err(|e| unusable(&e))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.certificate.clone()));
        config.alpn_protocols = vec![protocol.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // Early data could be recorded and sent again, and a call would run twice.
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// The same with a bound of its own, so that a crowd at another port does not count here.
    pub(crate) fn apart(&self) -> Self {
        Self { handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)), ..self.clone() }
    }

    /// A place among the handshakes, if there is one.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.handshakes).try_acquire_owned().ok()
    }

    /// Whether so many handshakes are under way that strangers have to prove their address first.
    pub(crate) fn is_loaded(&self) -> bool {
        self.handshakes.available_permits() < HANDSHAKES_MAX - HANDSHAKES_MAX / 4
    }
}

impl Acceptor {
    /// Speaks TLS over a fresh connection. Those who speak something else are told so in their own
    /// words.
    ///
    /// # Errors
    /// [`Refused`] says why there is no TLS; the connection is closed.
    pub async fn accept(&self, mut socket: TcpStream) -> Result<TlsStream<TcpStream>, Refused> {
        let place = Arc::clone(&self.handshakes).try_acquire_owned().map_err(|_| Refused::Busy)?;
        let accepted = timeout(HANDSHAKE_TIMEOUT, async {
            let mut first = [0];
            // The byte stays in the socket, for TLS to read.
            let speaks = match socket.peek(&mut first).await {
                Ok(0) => return Err(Refused::Gone(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => Speaks::of(first[0]),
                Err(error) => return Err(Refused::Gone(error)),
            };
            if speaks != Speaks::Tls {
                self.turn_away(&mut socket, speaks).await;
                return Err(Refused::Failed(self.why_no_tls(speaks)));
            }
            self.tls.accept(socket).await.map_err(|error| match of_accept(&error) {
                Some(why) => Refused::Failed(why),
                None => Refused::Gone(error),
            })
        });
        let accepted = accepted.await.unwrap_or(Err(Refused::Late));
        drop(place);
        accepted
    }

    /// Speaks TLS over a fresh connection and hands it to the node as a link of bare frames.
    /// Failures are logged, so many in a while.
    pub fn accept_link(&self, node: &Node, socket: TcpStream) {
        let (acceptor, node) = (self.clone(), node.clone());
        let options = node.runtime().options().clone();
        tokio::spawn(async move {
            let peer = socket.peer_addr().ok();
            match acceptor.accept(socket).await {
                Ok(stream) => node.accept(Tcp::with_options(stream, &options)),
                Err(refused) => refused.log(peer),
            }
        });
    }

    fn why_no_tls(&self, speaks: Speaks) -> String {
        let what = match speaks {
            Speaks::Http => "HTTP without TLS",
            Speaks::Tls | Speaks::Other => "bytes without TLS",
        };
        let port = if self.is_http { "dial wss:// or https:// there" } else { "dial tls:// there" };
        format!("{what} came to a port for TLS: {port}")
    }

    /// Says what is wrong in a way that the client understands, and lets it read that: what it
    /// still sends is read away, or the reset of the connection could destroy the words.
    async fn turn_away(&self, socket: &mut TcpStream, speaks: Speaks) {
        let words: &[u8] = match (speaks, self.is_http) {
            (Speaks::Http, true) => HTTP_TO_HTTPS,
            (Speaks::Http, false) => HTTP_TO_LINKS,
            (Speaks::Tls | Speaks::Other, _) => UNEXPECTED_MESSAGE,
        };
        let told = async {
            socket.write_all(words).await?;
            socket.shutdown().await?;
            let mut rest = [0; 1024];
            for _ in 0..LINGER_READS_MAX {
                if socket.read(&mut rest).await? == 0 {
                    break;
                }
            }
            Ok::<_, io::Error>(())
        };
        // Whoever does not listen is not told.
        drop(timeout(LINGER_MAX, told).await);
    }
}

impl Refused {
    /// Writes one line for what an operator can do something about, so many in a while.
    pub fn log(&self, peer: Option<std::net::SocketAddr>) {
        match self {
            Self::Busy | Self::Late | Self::Failed(_) => complain(peer, &self.to_string()),
            Self::Gone(error) => tracing::debug!(?peer, %error, "a connection ended before TLS"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => write!(f, "{HANDSHAKES_MAX} handshakes are under way already"),
            Self::Late => write!(f, "no TLS handshake within {} s", HANDSHAKE_TIMEOUT.as_secs()),
            Self::Gone(error) => write!(f, "it ended before TLS was spoken: {error}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refused {}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("is_http", &self.is_http).finish_non_exhaustive()
    }
}

/// Handshakes at a time, over TCP and QUIC together.
const HANDSHAKES_MAX: usize = 512;
/// How long one may take.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_READS_MAX: usize = 16;
const HTTP_TO_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 45\r\n\r\n\
    this port speaks TLS: use https:// or wss://\n";
const HTTP_TO_LINKS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 67\r\n\r\n\
    this port is for relay links over TLS: dial it by a tls:// address\n";
/// An alert of TLS (fatal, unexpected message): a relay that dialled without TLS knows it.
const UNEXPECTED_MESSAGE: &[u8] = &[21, 3, 1, 0, 2, 2, 10];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_have_the_length_they_say() {
        for words in [HTTP_TO_HTTPS, HTTP_TO_LINKS] {
            let text = std::str::from_utf8(words).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{}", body.len());
        }
    }
}
