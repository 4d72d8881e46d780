//! The runtime of this shell: smol's timers and tasks, and connections to Mains.

use crate::tcp::Tcp;
use crate::websocket::WebSocket;
use relay_driver::{BoxFuture, Endpoint, Runtime, Transport};
use smol::Executor;
use smol::net::TcpStream;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the tasks of a node run: on smol's global executor, or on one of the application's own.
///
/// The global one (`Smol::default()`, and what [`Node::start`](crate::Node::start),
/// [`Home`](crate::Home) and [`Client`](crate::Client) use) has threads of its own, as many as the
/// variable `SMOL_THREADS` says, one by default. So a node needs no runtime around it: it can be
/// started from any thread, and it is driven whatever that thread does. With [`Smol::on`] the
/// application decides, and it has to run the executor as long as the node lives:
///
/// ```
/// use relay_smol::{Node, NodeConfig, Role, Smol};
/// use std::sync::Arc;
///
/// let executor = Arc::new(smol::Executor::new());
/// let runtime = Smol::on(Arc::clone(&executor));
/// let main = Node::start_on(NodeConfig::new(Role::Main), runtime).expect("starts");
/// smol::block_on(executor.run(main.shutdown(std::time::Duration::ZERO)));
/// ```
#[derive(Clone, Debug)]
pub struct Smol {
    /// The global one where there is none.
    executor: Option<Arc<Executor<'static>>>,
    origin: Instant,
}

impl Smol {
    /// A node that runs where `executor` is run.
    #[must_use]
    pub fn on(executor: Arc<Executor<'static>>) -> Self {
        Self { executor: Some(executor), ..Self::default() }
    }
}

impl Default for Smol {
    fn default() -> Self {
        Self { executor: None, origin: Instant::now() }
    }
}

impl Runtime for Smol {
    fn current() -> Self {
        Self::default()
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
        match &self.executor {
            Some(executor) => executor.spawn(future).detach(),
            None => smol::spawn(future).detach(),
        }
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        Box::pin(async move {
            smol::Timer::after(pause).await;
        })
    }

    fn connect(&self, endpoint: Endpoint) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        Box::pin(establish(endpoint))
    }
}

async fn establish(endpoint: Endpoint) -> io::Result<Box<dyn Transport>> {
    if endpoint.transport().is_encrypted() {
        let why = "this shell speaks neither TLS nor QUIC: dial ws:// or tcp://";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let socket = TcpStream::connect(endpoint.authority()).await?;
    Ok(match &endpoint {
        Endpoint::WebSocket { authority, path } | Endpoint::SecureWebSocket { authority, path } => {
            Box::new(WebSocket::connect(socket, authority, path).await?)
        }
        Endpoint::Tcp { .. } | Endpoint::Tls { .. } | Endpoint::Quic { .. } => {
            Box::new(Tcp::new(socket))
        }
    })
}

/// Small frames must not wait for the acknowledgement of earlier ones; the kernel's keepalive
/// finds dead hosts that the protocol's own would find later.
pub(crate) fn prepare(socket: &TcpStream) {
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    let set = socket.set_nodelay(true);
    let set = set.and_then(|()| socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(%error, "socket options");
    }
}
