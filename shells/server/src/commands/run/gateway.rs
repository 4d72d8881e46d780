//! The gateway of a node: its settings, its listener and its end.

use crate::cli::Failure;
use crate::config::{self, Config};
use crate::discovery::Peers;
use crate::http::{ClientLimits, Cors, Gateway, GatewayConfig, OriginInvalid};
use relay_tokio::SocketOptions;
use relay_tokio::tls::Acceptor;
use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A gateway that accepts connections until it is closed.
pub(crate) struct Listening {
    close: std::cell::Cell<Option<oneshot::Sender<()>>>,
    task: JoinHandle<()>,
}

impl Listening {
    /// Accepts no more connections.
    pub(crate) fn close(&self) {
        drop(self.close.take());
    }

    /// Waits for the open connections, at most until `until`.
    pub(crate) async fn finish(self, until: Instant) {
        self.close();
        let mut task = self.task;
        if tokio::time::timeout_at(until, &mut task).await.is_err() {
            tracing::warn!("connections were cut because their requests outlived the grace");
            task.abort();
        }
    }
}

/// Listens on `address` and tells the address it got, which differs for port 0. Must be called on
/// the runtime.
pub(crate) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    bind_with(address, &SocketOptions::default())
}

/// The same with options of the socket.
pub(crate) fn bind_with(
    address: SocketAddr,
    options: &SocketOptions,
) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |error: std::io::Error| bind_failed(address, &error);
    let listener = options.listen(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Why nothing can be listened on, and what to do.
pub(crate) fn bind_failed(address: SocketAddr, error: &std::io::Error) -> Failure {
    let failure = Failure::work(format!("cannot listen on {address}: {error}"));
    let hints = [
        (ErrorKind::AddrInUse, "another process listens there: choose another port, or 0"),
        (ErrorKind::PermissionDenied, "ports below 1024 need privileges: choose one above"),
        (ErrorKind::AddrNotAvailable, "this machine has no such address"),
    ];
    match hints.iter().find(|(kind, _)| *kind == error.kind()) {
        Some((_, hint)) => failure.with_hint(*hint),
        None => failure,
    }
}

/// Serves the gateway of the node of `peers` on `listener`.
pub(crate) fn serve(
    peers: Peers,
    settings: GatewayConfig,
    listener: TcpListener,
) -> Result<Listening, Failure> {
    let gateway = Gateway::with_peers(peers, settings)
        .map_err(|error| Failure::usage(format!("the settings of http do not fit: {error}")))?;
    let gateway = Arc::new(gateway);
    let (close, closed) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        gateway.serve(listener, async move { drop(closed.await) }).await;
    });
    Ok(Listening { close: std::cell::Cell::new(Some(close)), task })
}

/// What the settings say about the gateway.
pub(super) fn settings(config: &Config, tls: Option<Acceptor>) -> Result<GatewayConfig, Failure> {
    let http = &config.http;
    let refused = |key: &str, why: &dyn fmt::Display| Failure::usage(format!("{key}: {why}"));
    let cors = if http.enable_cors {
        Cors::list(&http.cors_origins, false)
            .map_err(|error| refused("http.cors_origins", &error))?
    } else {
        Cors::off()
    };
    let allowed_origins = http.link_origins.iter().map(|origin| origin.parse());
    Ok(GatewayConfig {
        address: config.node.address.clone().unwrap_or_default(),
        cors,
        headers: http.headers.clone().into_iter().collect(),
        allowed_origins: allowed_origins
            .collect::<Result<_, _>>()
            .map_err(|error: OriginInvalid| refused("http.link_origins", &error))?,
        token: config.node.token_file.as_deref().map(config::read_token).transpose()?,
        clients: ClientLimits::default(),
        enable_registry: config.registry.enable,
        read_timeout: http.read_timeout,
        write_timeout: http.write_timeout,
        head_timeout: http.head_timeout,
        idle_timeout: http.idle_timeout,
        shutdown_grace: config.node.shutdown_grace + ANSWER_TIME,
        body_bytes_max: http.body_bytes_max,
        batch_bytes_max: http.batch_bytes_max,
        connections_max: http.connections_max,
        tls,
        socket: config.socket.clone(),
    })
}

/// The node answers what is still in flight at the end of the grace; connections that were cut at
/// that very moment would lose those answers. Whoever stops the node bounds the wait.
const ANSWER_TIME: Duration = Duration::from_secs(5);
