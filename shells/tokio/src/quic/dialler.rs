//! The dialling end.

use super::transport::Quic;
use super::{KEEP_ALIVE, transport, why_dial_failed};
use crate::socket::SocketOptions;
use crate::tls::{ClientTls, of_certificate};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, TokioRuntime};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the links over QUIC that a node dials come from: one UDP socket for IPv4 and one for IPv6,
/// made when they are needed first. Cheap to clone.
#[derive(Clone, Default)]
pub struct Dialler(Arc<Mutex<Endpoints>>);

#[derive(Default)]
struct Endpoints {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

impl Dialler {
    /// Moves all links to fresh sockets, whose ports and perhaps addresses are others. The links go
    /// on. A change of networks that the system knows of needs no call: the sockets are bound to no
    /// address, and the system takes another way by itself.
    ///
    /// # Errors
    /// Those of the system; the links stay where they are then.
    pub fn rebind(&self) -> io::Result<()> {
        let endpoints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let options = SocketOptions::default();
        for (endpoint, address) in [(&endpoints.v4, ANY_V4), (&endpoints.v6, ANY_V6)] {
            if let Some(endpoint) = endpoint {
                endpoint.rebind(options.udp(address)?)?;
            }
        }
        Ok(())
    }

    /// The addresses of its sockets; none before a link was dialled.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let endpoints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = [&endpoints.v4, &endpoints.v6].into_iter().flatten();
        made.filter_map(|endpoint| endpoint.local_addr().ok()).collect()
    }

    pub(crate) async fn connect(
        &self,
        authority: &str,
        host: &str,
        tls: &ClientTls,
        options: &SocketOptions,
    ) -> io::Result<Quic> {
        let dialled = options.each_address(authority, |address| {
            self.connect_to(address, authority, host, tls, options)
        });
        let connection = dialled.await?;
        // The peer learns of the stream with the first frame on it.
        let (send, receive) = connection.open_bi().await.map_err(io::Error::other)?;
        Ok(Quic::new(connection, send, receive))
    }

    async fn connect_to(
        &self,
        address: SocketAddr,
        authority: &str,
        host: &str,
        tls: &ClientTls,
        options: &SocketOptions,
    ) -> io::Result<Connection> {
        let (config, checked) = tls.quic()?;
        let config = QuicClientConfig::try_from(config).map_err(io::Error::other)?;
        let mut config = ClientConfig::new(Arc::new(config));
        let mut transport = transport(0);
        transport.keep_alive_interval(Some(KEEP_ALIVE));
        config.transport_config(Arc::new(transport));
        let endpoint = self.endpoint(address, options)?;
        let connecting = endpoint.connect_with(config, address, host).map_err(io::Error::other)?;
        connecting.await.map_err(|error| {
            io::Error::other(match checked.refused() {
                Some(why) => of_certificate(&why, authority),
                None => why_dial_failed(&error, authority),
            })
        })
    }

    fn endpoint(&self, to: SocketAddr, options: &SocketOptions) -> io::Result<Endpoint> {
        let mut endpoints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (slot, address) = match to {
            SocketAddr::V4(_) => (&mut endpoints.v4, ANY_V4),
            SocketAddr::V6(_) => (&mut endpoints.v6, ANY_V6),
        };
        if let Some(endpoint) = slot {
            return Ok(endpoint.clone());
        }
        let socket = options.udp(address)?;
        let config = EndpointConfig::default();
        let endpoint = Endpoint::new(config, None, socket, Arc::new(TokioRuntime))?;
        Ok(slot.insert(endpoint).clone())
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialler")
    }
}

const ANY_V4: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
const ANY_V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
