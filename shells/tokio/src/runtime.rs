//! The runtime of this shell: tokio's clocks and tasks, and connections to Mains.

use crate::tcp::Tcp;
use crate::websocket::WebSocket;
use relay_driver::{BoxFuture, Endpoint, Runtime, Transport};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// A handle on the tokio runtime that a node runs on.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
    origin: Instant,
}

impl Runtime for Tokio {
    fn current() -> Self {
        Self { handle: Handle::current(), origin: Instant::now() }
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
        Box::pin(establish(endpoint))
    }
}

async fn establish(endpoint: Endpoint) -> io::Result<Box<dyn Transport>> {
    let socket = TcpStream::connect(endpoint.authority()).await?;
    Ok(match &endpoint {
        Endpoint::WebSocket { authority, path } => {
            Box::new(WebSocket::connect(socket, authority, path).await?)
        }
        Endpoint::Tcp { .. } => Box::new(Tcp::new(socket)),
    })
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
