//! The runtime of this shell: tokio's clocks and tasks, and connections to Mains.

use crate::quic;
use crate::socket::SocketOptions;
use crate::stream::Stream;
use crate::tcp::Tcp;
use crate::tls::ClientTls;
use crate::websocket::WebSocket;
use relay_driver::{BoxFuture, Endpoint, Runtime, Transport};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

/// The tokio runtime that a node runs on, and how the node connects to others.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
    origin: Instant,
    options: SocketOptions,
    tls: ClientTls,
    quic: quic::Dialler,
}

impl Tokio {
    /// Connects by sockets with these options.
    #[must_use]
    pub fn with_options(mut self, options: SocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Believes and shows other certificates than usual: see [`ClientTls`].
    #[must_use]
    pub fn with_tls(mut self, tls: ClientTls) -> Self {
        self.tls = tls;
        self
    }

    /// Where links over QUIC come from, to move them to other sockets.
    #[must_use]
    pub const fn quic(&self) -> &quic::Dialler {
        &self.quic
    }

    /// The options of the sockets.
    #[must_use]
    pub const fn options(&self) -> &SocketOptions {
        &self.options
    }

    /// A connection to the HTTP port at `endpoint`, over TLS where its address says so.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub async fn connect_http(&self, endpoint: &Endpoint) -> io::Result<Stream> {
        let authority = endpoint.authority();
        let socket = self.options.connect(authority).await?;
        if !endpoint.transport().is_encrypted() {
            return Ok(Stream::Plain(socket));
        }
        let stream = self.tls.connect_http(socket, authority).await?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }

    async fn establish(&self, endpoint: &Endpoint) -> io::Result<Box<dyn Transport>> {
        let authority = endpoint.authority();
        Ok(match endpoint {
            Endpoint::WebSocket { path, .. } => {
                let socket = self.options.connect(authority).await?;
                Box::new(WebSocket::connect(socket, authority, path).await?)
            }
            Endpoint::SecureWebSocket { path, .. } => {
                let socket = self.options.connect(authority).await?;
                let stream = self.tls.connect_http(socket, authority).await?;
                Box::new(WebSocket::connect(stream, authority, path).await?)
            }
            Endpoint::Tcp { .. } => Box::new(Tcp::dialled(self.options.connect(authority).await?)),
            Endpoint::Tls { .. } => {
                let socket = self.options.connect(authority).await?;
                Box::new(Tcp::dialled(self.tls.connect_relay(socket, authority).await?))
            }
            Endpoint::Quic { .. } => {
                let dialled =
                    self.quic.connect(authority, endpoint.host(), &self.tls, &self.options);
                Box::new(dialled.await?)
            }
        })
    }
}

impl Runtime for Tokio {
    fn current() -> Self {
        Self {
            handle: Handle::current(),
            origin: Instant::now(),
            options: SocketOptions::default(),
            tls: ClientTls::default(),
            quic: quic::Dialler::default(),
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn random(&self) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).is_ok().then_some(bytes)
    }

    fn spawn(&self, future: BoxFuture<()>) {
        drop(self.handle.spawn(future));
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(pause))
    }

    fn connect(&self, endpoint: Endpoint) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        let dialling = self.clone();
        Box::pin(async move {
            let patience = dialling.options.connect_timeout;
            match timeout(patience, dialling.establish(&endpoint)).await {
                Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Err(late(&endpoint)),
                Ok(established) => established,
                Err(_) => Err(late(&endpoint)),
            }
        })
    }
}

fn late(endpoint: &Endpoint) -> io::Error {
    match endpoint {
        Endpoint::Quic { authority } => {
            io::Error::new(io::ErrorKind::TimedOut, quic::why_silent(authority))
        }
        _ => crate::socket::late(),
    }
}
