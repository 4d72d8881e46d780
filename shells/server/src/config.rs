//! The settings of a node: defaults, then the file, then the environment, then flags. A value
//! that is not allowed and a key that does not exist are refused before anything starts, with the
//! name of the key, where it came from and what is allowed.

mod balancing;
mod keys;
mod layers;
mod limits;
mod mode;
mod node_type;
mod print;
mod secrets;
mod tls;
mod values;

pub use keys::{KEYS, RULES};
pub use layers::Environment;
pub(crate) use layers::distance;
pub use mode::Mode;
pub use node_type::NodeType;
pub use secrets::{read_token, secret_key, warn_if_open};
pub use tls::TlsSettings;
pub use values::{duration, duration_text};

use crate::cli::{Failure, RunArgs};
use crate::discovery::Peer;
use crate::hosts::ServiceSpec;
use keys as k;
use layers::Layers;
use relay_tokio::{Balancing, Compression, Endpoint, Limits, SocketOptions};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything a node can be told, checked.
pub struct Config {
    /// Who the node is and whom it talks to.
    pub node: NodeSettings,
    /// The listener for HTTP and WebSocket.
    pub http: HttpSettings,
    /// Certificates.
    pub tls: TlsSettings,
    /// Options of the sockets.
    pub socket: SocketOptions,
    /// The registry.
    pub registry: RegistrySettings,
    /// Bounds and periods of the node.
    pub limits: Limits,
    /// How instances of services are chosen.
    pub balancing: Balancing,
    /// Services to offer, in the order of their names.
    pub services: Vec<ServiceSpec>,
    /// What is logged, and how.
    pub log: LogSettings,
    layers: Layers,
}

/// Who the node is and whom it talks to.
pub struct NodeSettings {
    /// The chosen id; otherwise it is derived from the key.
    pub id: Option<String>,
    /// The chosen type, which overrides detection.
    pub node_type: Option<NodeType>,
    /// The node was asked to be a Main by `--server`.
    pub is_server: bool,
    /// Hub or p2p.
    pub mode: Mode,
    /// The Mains to dial, the preferred one first; a link is kept to one of them.
    pub connect: Vec<Endpoint>,
    /// Mains to federate with.
    pub peers: Vec<Peer>,
    /// The federation.
    pub cluster: String,
    /// Where the node is.
    pub zone: Option<String>,
    /// What longer bodies are compressed with.
    pub compression: Option<Compression>,
    /// What the node says its address is, where that is not the listener's.
    pub address: Option<String>,
    /// File of the token.
    pub token_file: Option<PathBuf>,
    /// File of the secret key.
    pub key_file: Option<PathBuf>,
    /// The program to offer as a service.
    pub program: Option<PathBuf>,
    /// The listener for relay links over plain TCP.
    pub listen_tcp: Option<SocketAddr>,
    /// The same over TLS.
    pub listen_tls: Option<SocketAddr>,
    /// The same over QUIC.
    pub listen_quic: Option<SocketAddr>,
    /// How long calls in flight may take after a stop signal.
    pub shutdown_grace: Duration,
}

/// The listener for HTTP and WebSocket.
pub struct HttpSettings {
    /// Where to listen.
    pub address: SocketAddr,
    /// A Home listens too; a Main always does.
    pub is_home_listening: bool,
    /// Browsers may call from other origins.
    pub enable_cors: bool,
    /// From which ones.
    pub cors_origins: Vec<String>,
    /// Bounds reading a request and a stalled socket.
    pub read_timeout: Duration,
    /// Bounds a stalled write.
    pub write_timeout: Duration,
    /// Bounds reading the head of a request.
    pub head_timeout: Duration,
    /// Bounds a connection without a request.
    pub idle_timeout: Duration,
    /// Largest body of a request.
    pub body_bytes_max: usize,
    /// Largest answer to one batch.
    pub batch_bytes_max: usize,
    /// Most connections at once.
    pub connections_max: usize,
    /// Web pages that may open WebSockets.
    pub link_origins: Vec<String>,
    /// Headers added to each response.
    pub headers: BTreeMap<String, String>,
}

/// The registry.
pub struct RegistrySettings {
    /// It is served over HTTP.
    pub enable: bool,
    /// Longest pause between two lookups of a DNS name of peers.
    pub discovery_interval: Duration,
    /// DNS servers to ask for peers; those of the system when there are none.
    pub dns_servers: Vec<SocketAddr>,
}

/// What is logged, and how.
pub struct LogSettings {
    /// A filter of `tracing`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

/// The form of the log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object for each line.
    Json,
}

impl Config {
    /// Reads all layers and checks every value.
    ///
    /// # Errors
    /// [`Failure`] names the first setting that is wrong.
    pub fn load(flags: &RunArgs, environment: &Environment) -> Result<Self, Failure> {
        let layers = Layers::collect(flags, environment)?;
        let limits = limits::read(&layers)?;
        let node = node_settings(&layers)?;
        let config = Self {
            tls: tls::read(&layers, &node)?,
            socket: tls::sockets(&layers)?,
            node,
            http: http_settings(&layers)?,
            registry: RegistrySettings {
                enable: layers.required(&k::REGISTRY_ENABLE, values::boolean)?,
                discovery_interval: layers.required(&k::REGISTRY_DISCOVERY, values::period)?,
                dns_servers: layers.list(&k::REGISTRY_DNS_SERVERS, values::dns_server)?,
            },
            balancing: balancing::read(&layers, &limits)?,
            limits,
            services: services(&layers)?,
            log: LogSettings {
                level: layers.required(&k::LOG_LEVEL, values::log_filter)?,
                format: layers.required(&k::LOG_FORMAT, values::log_format)?,
            },
            layers,
        };
        tls::check_exposure(&config.layers, &config.node, &config.http, &config.tls)?;
        Ok(config)
    }

    /// What the node is; `None` when nothing says so and there is nothing to run.
    ///
    /// # Errors
    /// [`Failure`] when the settings contradict each other.
    pub fn node_type(&self) -> Result<Option<NodeType>, Failure> {
        let node = &self.node;
        let asked = node_type::Asked {
            is_server: node.is_server,
            has_connect: !node.connect.is_empty(),
            node_type: node.node_type,
        };
        let has_work = node.program.is_some() || !self.services.is_empty();
        let Some(node_type) = asked.decide(has_work)? else { return Ok(None) };
        if node_type == NodeType::Home {
            self.check_home()?;
        }
        Ok(Some(node_type))
    }

    /// The effective settings as TOML, each with its source.
    #[must_use]
    pub fn listing(&self) -> String {
        print::listing(&self.layers)
    }

    fn check_home(&self) -> Result<(), Failure> {
        if !self.node.peers.is_empty() {
            let source = self.layers.source_of(&k::NODE_PEERS);
            return Err(Failure::usage(format!(
                "a Home has no peers of its own, but node.peers is set ({source})"
            ))
            .with_hint("remove the peers: the Main that the Home connects to federates for it"));
        }
        if !self.http.is_home_listening && self.layers.is_from_flag(&k::HTTP_PORT) {
            let port = self.http.address.port();
            return Err(Failure::usage("--port says where to listen, but a Home only dials out")
                .with_hint(format!(
                    "add --listen 127.0.0.1:{port} instead to let this Home listen, \
                     or remove --port"
                )));
        }
        Ok(())
    }
}

fn node_settings(layers: &Layers) -> Result<NodeSettings, Failure> {
    Ok(NodeSettings {
        id: layers.optional(&k::NODE_ID, values::node_id)?,
        node_type: layers.optional(&k::NODE_TYPE, NodeType::from_name)?,
        is_server: layers.required(&k::NODE_SERVER, values::boolean)?,
        mode: layers.required(&k::NODE_MODE, values::mode)?,
        connect: layers.list(&k::NODE_CONNECT, values::endpoint)?,
        peers: layers.list(&k::NODE_PEERS, values::peer)?,
        cluster: layers.required(&k::NODE_CLUSTER, values::node_id)?,
        zone: layers.optional(&k::NODE_ZONE, values::node_id)?,
        compression: layers.required(&k::NODE_COMPRESSION, values::compression)?,
        address: layers.optional(&k::NODE_ADDRESS, values::host_and_port)?,
        token_file: layers.optional(&k::NODE_TOKEN_FILE, values::path)?,
        key_file: layers.optional(&k::NODE_KEY_FILE, values::path)?,
        program: layers.optional(&k::NODE_PROGRAM, values::path)?,
        listen_tcp: layers.optional(&k::NODE_LISTEN_TCP, values::socket_address)?,
        listen_tls: layers.optional(&k::NODE_LISTEN_TLS, values::socket_address)?,
        listen_quic: layers.optional(&k::NODE_LISTEN_QUIC, values::socket_address)?,
        shutdown_grace: layers
            .required(&k::NODE_SHUTDOWN_GRACE, values::duration_at_most_an_hour)?,
    })
}

fn http_settings(layers: &Layers) -> Result<HttpSettings, Failure> {
    let host: IpAddr = layers.required(&k::HTTP_HOST, values::host)?;
    let port: u16 = layers.required(&k::HTTP_PORT, values::port)?;
    Ok(HttpSettings {
        address: SocketAddr::new(host, port),
        is_home_listening: layers.required(&k::HTTP_LISTEN, values::boolean)?,
        enable_cors: layers.required(&k::HTTP_ENABLE_CORS, values::boolean)?,
        cors_origins: layers.list(&k::HTTP_CORS_ORIGINS, values::origin)?,
        read_timeout: layers.required(&k::HTTP_READ_TIMEOUT, values::period)?,
        write_timeout: layers.required(&k::HTTP_WRITE_TIMEOUT, values::period)?,
        head_timeout: layers.required(&k::HTTP_HEAD_TIMEOUT, values::period)?,
        idle_timeout: layers.required(&k::HTTP_IDLE_TIMEOUT, values::period)?,
        body_bytes_max: layers.required(&k::HTTP_BODY_BYTES_MAX, values::body_bytes)?,
        batch_bytes_max: layers.required(&k::HTTP_BATCH_BYTES_MAX, values::body_bytes)?,
        connections_max: layers.required(&k::HTTP_CONNECTIONS_MAX, values::connection_count)?,
        link_origins: layers.list(&k::HTTP_LINK_ORIGINS, values::plain_origin)?,
        headers: layers.map(&k::HTTP_HEADERS, values::header)?,
    })
}

fn services(layers: &Layers) -> Result<Vec<ServiceSpec>, Failure> {
    let texts = layers.map(&k::SERVICES, values::service)?;
    let spec = |(name, text): (String, String)| {
        ServiceSpec::parse(&format!("{name}={text}")).map_err(|error| {
            let source = layers.source_of_entry(&k::SERVICES, &name);
            Failure::usage(format!("services.{name} ({source}) is not allowed: {error}"))
        })
    };
    texts.into_iter().map(spec).collect()
}

#[cfg(test)]
mod tests;
