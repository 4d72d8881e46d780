//! The HTTP side of a node: JSON-RPC, health, the registry, metrics, and the door for relay links.
//!
//! One hyper connection per socket, so that every bound is ours: size of the head and of the
//! body, time for each, number of connections, and writes that make no progress. `/rpc` is
//! answered ahead of the router because it is the hot path; everything else is a route.
//!
//! - Whatever yields a JSON-RPC response object has status 200, a parse error too: the response
//!   object is the answer and the status only says that there is one. A single request (not a
//!   batch) that the relay failed also carries the header `Relay-Error: NAME`. Notifications
//!   alone give 204 with no body.
//! - Statuses other than these mean that the request never became JSON-RPC: 400, 405, 408, 413,
//!   415, 431, 501. They close the connection where unread bytes could be taken for a request.
//! - A request with `Transfer-Encoding` is the last one on its connection: a proxy in front and
//!   this server must never disagree about where the next one starts.
//! - A client that goes away while its call runs drops the call, which cancels it.

mod accept;
mod backoff;
mod body;
mod call_headers;
mod connection;
mod cors;
mod federation;
mod head;
mod metrics;
mod registry;
mod reply;
mod rpc;
mod status;
mod timestamp;
mod topics;
mod topology;
mod upgrade;

pub(crate) use backoff::Backoff;
pub(crate) use cors::RELAY_ERROR;
pub use cors::{Cors, CorsInvalid, Origin, OriginInvalid};
pub use timestamp::rfc3339;

pub use crate::ws::ClientLimits;

use crate::calls::Runner;
use crate::discovery::{DiscoveryConfig, Peers};
use crate::metrics::Metrics;
use crate::publication::Budget;
use crate::ws::{ClientSettings, Clients};
use axum::Router;
use axum::routing::{delete, get, post};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{StatusCode, Uri};
use relay_tokio::tls::Acceptor;
use relay_tokio::{Node, SocketOptions};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The HTTP server of a node.
pub struct Gateway {
    shared: Arc<Shared>,
    router: Router,
}

/// How the gateway behaves; [`GatewayConfig::default`] is safe on a public address.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// What this node says its address is; empty means the first address it listens on.
    pub address: String,
    /// Which web pages of other origins may read answers.
    pub cors: Cors,
    /// Headers added to every response.
    pub headers: Vec<(String, String)>,
    /// Web pages that may open WebSockets; pages of this node's own loopback address always may.
    pub allowed_origins: Vec<Origin>,
    /// What clients of `/ws` must show; nothing when there is none.
    pub token: Option<String>,
    /// Bounds of each client of `/ws`. Its messages are bounded as bodies are, its silence as idle
    /// connections are, and it shows the token within the time for a head.
    pub clients: ClientLimits,
    /// Whether `/registry` is served, and what else names services and peers.
    pub enable_registry: bool,
    /// Longest time for the body of a request to arrive.
    pub read_timeout: Duration,
    /// Longest time for a response to make no progress.
    pub write_timeout: Duration,
    /// Longest time for the head of a request to arrive.
    pub head_timeout: Duration,
    /// Longest time for a connection to be kept without a request.
    pub idle_timeout: Duration,
    /// How long requests in flight may go on after shutdown began.
    pub shutdown_grace: Duration,
    /// Largest body of a request.
    pub body_bytes_max: usize,
    /// Largest sum of the results in the answer to one batch.
    pub batch_bytes_max: usize,
    /// Most connections at once; one more is answered 503.
    pub connections_max: usize,
    /// How TLS is spoken; plain HTTP when there is none.
    pub tls: Option<Acceptor>,
    /// Options of the sockets of connections.
    pub socket: SocketOptions,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            cors: Cors::off(),
            headers: Vec::new(),
            allowed_origins: Vec::new(),
            token: None,
            clients: ClientLimits::default(),
            enable_registry: true,
            read_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(15),
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(30),
            body_bytes_max: 1 << 20,
            batch_bytes_max: 4 << 20,
            connections_max: 10_000,
            tls: None,
            socket: SocketOptions::default(),
        }
    }
}

/// Why a [`GatewayConfig`] is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GatewayConfigInvalid {
    /// A header that is not a header, or one that the server must write itself.
    Header(String),
}

impl fmt::Display for GatewayConfigInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(
                f,
                "header '{name}' cannot be added to responses: use a legal name and value, and \
                 none that frames the response or is set by the server"
            ),
        }
    }
}

impl std::error::Error for GatewayConfigInvalid {}

impl Gateway {
    /// Puts a gateway in front of `node`.
    ///
    /// # Errors
    /// [`GatewayConfigInvalid`] when an extra header cannot be sent.
    pub fn new(node: Node, config: GatewayConfig) -> Result<Self, GatewayConfigInvalid> {
        Self::with_peers(Peers::new(node, DiscoveryConfig::default()), config)
    }

    /// Puts a gateway in front of a node whose peers others add and remove too.
    ///
    /// # Errors
    /// [`GatewayConfigInvalid`] when an extra header cannot be sent.
    pub fn with_peers(peers: Peers, config: GatewayConfig) -> Result<Self, GatewayConfigInvalid> {
        let headers = config.headers.iter().map(extra_header).collect::<Result<_, _>>()?;
        let started_at = Instant::now();
        let metrics = Metrics::new(peers.node(), started_at);
        let runner = Arc::new(Runner {
            node: peers.node().clone(),
            metrics: Arc::clone(metrics.calls()),
            batch_bytes_max: config.batch_bytes_max,
        });
        let clients = Arc::new(Clients::new(Arc::clone(&runner), client_settings(&config)));
        metrics.watch_clients(&clients);
        let publishing = Mutex::new(Budget::new(config.clients.publish_bytes_per_second));
        let shared = Arc::new(Shared {
            metrics,
            runner,
            clients,
            node: peers.node().clone(),
            peers,
            config,
            headers,
            started_at,
            is_draining: AtomicBool::new(false),
            listens_at: OnceLock::new(),
            publishing,
            peer_names: Mutex::default(),
        });
        let router = routes(&shared);
        Ok(Self { shared, router })
    }

    /// Tells load balancers by `/ready` that this node is about to go; calls are still taken.
    pub fn drain(&self) {
        self.shared.is_draining.store(true, Ordering::Relaxed);
    }

    /// Serves `listener` until `shutdown` resolves. Connections without a request are then
    /// closed, and requests in flight are finished within the grace of the configuration.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        accept::serve(self, listener, shutdown).await;
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// What all connections and routes share.
struct Shared {
    node: Node,
    peers: Peers,
    metrics: Metrics,
    runner: Arc<Runner>,
    clients: Arc<Clients>,
    config: GatewayConfig,
    headers: Vec<(HeaderName, HeaderValue)>,
    started_at: Instant,
    is_draining: AtomicBool,
    /// The address to show when the configuration names none: where the gateway listens.
    listens_at: OnceLock<String>,
    /// Names that `/registry/peers/add` gave to addresses, so that they can be removed by name.
    peer_names: Mutex<BTreeMap<String, String>>,
    /// What may be published by HTTP, by all together: whose a request is nobody knows.
    publishing: Mutex<Budget>,
}

impl Shared {
    fn publishing(&self) -> MutexGuard<'_, Budget> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> &str {
        match self.config.address.as_str() {
            "" => self.listens_at.get().map_or("", String::as_str),
            address => address,
        }
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed) || self.node.is_draining()
    }
}

fn client_settings(config: &GatewayConfig) -> ClientSettings {
    ClientSettings {
        limits: config.clients.clone(),
        message_bytes_max: config.body_bytes_max,
        clients_max: config.connections_max,
        idle_timeout: config.idle_timeout,
        token_timeout: config.head_timeout,
        token: config.token.clone(),
    }
}

fn routes(shared: &Arc<Shared>) -> Router {
    let router = Router::new()
        .route("/", get(status::index))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/info", get(status::info))
        .route("/metrics", get(metrics::scrape))
        .route("/publish/{topic}", post(topics::publish))
        .route("/federation/health", get(federation::health))
        .route("/ws", get(upgrade::json_client))
        .route("/ws/p2p", get(upgrade::relay_link));
    let router = if shared.config.enable_registry {
        router
            .route("/registry", get(registry::all))
            .route("/registry/servers", get(registry::servers))
            .route("/registry/peers", get(registry::peers))
            .route("/registry/health", get(registry::health))
            .route("/registry/peers/add", post(registry::add_peer))
            .route("/registry/peers/remove", delete(registry::remove_peer))
            .route("/topics", get(topics::all))
            .route("/federation/registry", get(registry::federated))
            .route("/federation/peers", get(federation::peers))
            .route("/federation/topology", get(topology::all))
    } else {
        router
            .route("/registry", get(registry::absent))
            .route("/registry/{*rest}", axum::routing::any(registry::absent))
            .route("/topics", get(registry::absent))
            .route("/federation/registry", get(registry::absent))
            .route("/federation/peers", get(registry::absent))
            .route("/federation/topology", get(registry::absent))
    };
    router
        .fallback(|uri: Uri| async move {
            reply::refusal(
                StatusCode::NOT_FOUND,
                "Not Found",
                &format!("nothing is served at {}", uri.path()),
            )
        })
        .method_not_allowed_fallback(|| async {
            reply::refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "Method Not Allowed",
                "see the Allow header",
            )
        })
        .with_state(Arc::clone(shared))
}

fn extra_header(
    (name, value): &(String, String),
) -> Result<(HeaderName, HeaderValue), GatewayConfigInvalid> {
    let invalid = || GatewayConfigInvalid::Header(name.escape_debug().to_string());
    let header = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
    let value = HeaderValue::try_from(value.as_str()).map_err(|_| invalid())?;
    let is_ours = RESERVED_HEADERS.contains(&header)
        || header.as_str().starts_with("access-control-")
        || header.as_str().starts_with("sec-websocket-");
    if is_ours { Err(invalid()) } else { Ok((header, value)) }
}

const RESERVED_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::DATE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TRAILER,
    header::VARY,
];
