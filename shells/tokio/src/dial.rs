//! Connections to Mains, whenever the node asks for one.

use crate::link::drive;
use crate::tcp::Tcp;
use crate::websocket::WebSocket;
use relay_core::{Open, Side};
use relay_driver::{Endpoint, Engine};
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;

/// Makes every connection that the node asks for, until the node is gone.
pub(crate) async fn run(engine: Weak<Engine>) {
    loop {
        let open = poll_fn(|cx| match engine.upgrade() {
            Some(engine) => engine.poll_dial(cx).map(Some),
            None => Poll::Ready(None),
        });
        let (Some(open), Some(engine)) = (open.await, engine.upgrade()) else { return };
        tokio::spawn(connect(engine, open));
    }
}

async fn connect(engine: Arc<Engine>, open: Open) {
    tracing::debug!(address = open.address, "connecting");
    let attempt = tokio::time::timeout(CONNECT_TIMEOUT, establish(&open.address)).await;
    let timeout = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
    match attempt.unwrap_or_else(|_| Err(timeout())) {
        Ok(connection) => {
            tracing::info!(address = open.address, "connected");
            let Ok(link) = engine.open_link(Side::Dialled(open.dial)) else { return };
            match connection {
                Connection::WebSocket(socket) => drive(engine, link, *socket).await,
                Connection::Tcp(socket) => drive(engine, link, socket).await,
            }
        }
        Err(error) => {
            tracing::info!(address = open.address, %error, "could not connect");
            engine.dial_failed(open.dial);
        }
    }
}

enum Connection {
    WebSocket(Box<WebSocket>),
    Tcp(Tcp),
}

async fn establish(address: &str) -> io::Result<Connection> {
    let endpoint = Endpoint::parse(address).map_err(io::Error::other)?;
    let socket = TcpStream::connect(endpoint.authority()).await?;
    prepare(&socket);
    match &endpoint {
        Endpoint::WebSocket { authority, path } => {
            let connected = WebSocket::connect(socket, authority, path).await;
            let connected = connected.map_err(|error| {
                io::Error::other(format!("the WebSocket upgrade failed: {error}"))
            })?;
            Ok(Connection::WebSocket(Box::new(connected)))
        }
        Endpoint::Tcp { .. } => Ok(Connection::Tcp(Tcp::new(socket))),
    }
}

/// Small frames must not wait for the acknowledgement of earlier ones; the kernel's keepalive
/// finds dead hosts that the protocol's own would find later.
pub(crate) fn prepare(socket: &TcpStream) {
    let options = socket2::SockRef::from(socket);
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    let set = options.set_tcp_nodelay(true).and_then(|()| options.set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(%error, "socket options");
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
