//! The accepting end.

use super::transport::Quic;
use super::{transport, why_not_accepted};
use crate::Node;
use crate::complaints::complain;
use crate::socket::SocketOptions;
use crate::tls::{ALPN_RELAY, HANDSHAKE_TIMEOUT, ServerTls};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, VarInt};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// Takes links over QUIC on one UDP port. Cheap to clone.
#[derive(Clone)]
pub struct Listener {
    endpoint: Endpoint,
    pub(super) tls: ServerTls,
    retries: Arc<AtomicU64>,
}

impl Listener {
    /// Listens on `address` with the certificate of `tls`. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// Those of the system, or what is wrong with the TLS configuration.
    pub fn bind(address: SocketAddr, tls: &ServerTls, options: &SocketOptions) -> io::Result<Self> {
        let rustls = tls.config(ALPN_RELAY).map_err(io::Error::other)?;
        Self::with_config(address, tls, rustls, options)
    }

    pub(super) fn with_config(
        address: SocketAddr,
        tls: &ServerTls,
        rustls: rustls::ServerConfig,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let crypto = QuicServerConfig::try_from(rustls).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(Arc::new(transport(1)));
        config.max_incoming(INCOMING_MAX);
        config.incoming_buffer_size(INCOMING_BYTES_MAX);
        config.incoming_buffer_size_total(INCOMING_BYTES_MAX * INCOMING_MAX as u64);
        let socket = options.udp(address)?;
        let (of_endpoint, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
        let endpoint = Endpoint::new(of_endpoint, Some(config), socket, runtime)?;
        Ok(Self { endpoint, tls: tls.apart(), retries: Arc::default() })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Gives `node` every link that comes, until [`Self::close`]. Failures are logged, so many in a
    /// while.
    pub async fn serve(&self, node: Node) {
        while let Some(incoming) = self.endpoint.accept().await {
            let Some(place) = self.tls.place() else {
                complain(Some(incoming.remote_address()), "too many handshakes are under way");
                incoming.refuse();
                continue;
            };
            // An address costs nothing to forge, until it has to send back what was sent to it.
            if self.tls.is_loaded() && incoming.may_retry() && !incoming.remote_address_validated()
            {
                self.retries.fetch_add(1, Ordering::Relaxed);
                // Whoever cannot be asked is not answered.
                drop(incoming.retry());
                continue;
            }
            tokio::spawn(take(node.clone(), incoming, place));
        }
    }

    /// Takes no more links and ends those there are.
    pub fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"the node is shutting down");
    }

    /// Takes no more links; those there are go on.
    pub fn stop(&self) {
        self.endpoint.set_server_config(None);
    }

    /// Strangers that were asked to prove their address, because so many came at a time.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}

/// Makes a link of what came.
async fn take(node: Node, incoming: Incoming, place: OwnedSemaphorePermit) {
    let peer = Some(incoming.remote_address());
    let made = timeout(HANDSHAKE_TIMEOUT, async {
        let connection = incoming.accept()?.await?;
        let (send, receive) = connection.accept_bi().await?;
        Ok(Quic::new(connection, send, receive))
    });
    let made = made.await;
    drop(place);
    match made {
        Ok(Ok(link)) => node.accept(link),
        Ok(Err(error)) => match why_not_accepted(&error) {
            Some(why) => complain(peer, &why),
            None => tracing::debug!(?peer, %error, "a connection by QUIC ended early"),
        },
        Err(_) => complain(peer, "no handshake of QUIC in time"),
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.local_addr()).finish_non_exhaustive()
    }
}

/// First packets that may wait to be looked at, and the bytes of each.
const INCOMING_MAX: usize = 1024;
const INCOMING_BYTES_MAX: u64 = 16 << 10;
