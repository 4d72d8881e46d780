//! What a node listens on: HTTP and WebSocket, and relay links over TCP, TLS and QUIC.

use super::gateway::bind_with;
use crate::cli::Failure;
use crate::config::Config;
use crate::http::Backoff;
use relay_tokio::tls::{Acceptor, ServerTls};
use relay_tokio::{Node, SocketOptions, Tcp, quic};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Listeners that are bound, so that no address can fail any more once the node has started.
pub(super) struct Listeners {
    pub(super) http: Option<(TcpListener, SocketAddr)>,
    /// How the HTTP port speaks TLS.
    pub(super) http_tls: Option<Acceptor>,
    tcp: Option<(TcpListener, SocketAddr)>,
    tls: Option<(TcpListener, SocketAddr, Acceptor)>,
    quic: Option<(quic::Listener, SocketAddr)>,
    options: SocketOptions,
}

impl Listeners {
    /// Binds everything that the settings name. Must be called on the runtime.
    ///
    /// # Errors
    /// [`Failure`] names the address that cannot be listened on.
    pub(super) fn bind(
        config: &Config,
        serves_http: bool,
        server: Option<&ServerTls>,
    ) -> Result<Self, Failure> {
        let options = config.socket.clone();
        let unusable = |error| crate::commands::tls::refused("--tls-client-ca", &error);
        let bind = |address: Option<SocketAddr>| {
            address.map(|address| bind_with(address, &options)).transpose()
        };
        let http = bind(serves_http.then_some(config.http.address))?;
        let tcp = bind(config.node.listen_tcp)?;
        let tls = bind(config.node.listen_tls)?;
        let http_tls = server.map(ServerTls::http_acceptor).transpose().map_err(unusable)?;
        let relay_tls = server.map(ServerTls::relay_acceptor).transpose().map_err(unusable)?;
        let quic = match (config.node.listen_quic, server) {
            (Some(address), Some(server)) => {
                let failed = |error| super::gateway::bind_failed(address, &error);
                let listener = quic::Listener::bind(address, server, &options).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                Some((listener, address))
            }
            (Some(_) | None, _) => None,
        };
        let tls = tls.zip(relay_tls).map(|((listener, at), acceptor)| (listener, at, acceptor));
        Ok(Self { http, http_tls, tcp, tls, quic, options })
    }

    /// Gives `node` the links that come, beside those over WebSocket. Gives the tasks that do, and
    /// the listener of QUIC.
    pub(super) fn serve(self, node: &Node) -> (Vec<JoinHandle<()>>, Option<quic::Listener>) {
        let mut tasks = Vec::new();
        let options = self.options;
        if let Some((listener, address)) = self.tcp {
            tracing::info!("TCP endpoint: tcp://{address}");
            let node = node.clone();
            tasks.push(tokio::spawn(accept(listener, move |socket| {
                node.accept(Tcp::with_options(socket, &options));
            })));
        }
        if let Some((listener, address, acceptor)) = self.tls {
            tracing::info!("TLS endpoint: tls://{address}");
            let node = node.clone();
            tasks.push(tokio::spawn(accept(listener, move |socket| {
                acceptor.accept_link(&node, socket);
            })));
        }
        let quic = self.quic.map(|(listener, address)| {
            tracing::info!("QUIC endpoint: quic://{address}");
            let (serving, node) = (listener.clone(), node.clone());
            tasks.push(tokio::spawn(async move { serving.serve(node).await }));
            listener
        });
        (tasks, quic)
    }
}

async fn accept(listener: TcpListener, mut take: impl FnMut(tokio::net::TcpStream)) {
    let mut backoff = Backoff::default();
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                backoff.reset();
                take(socket);
            }
            Err(error) => backoff.wait(&error).await,
        }
    }
}
