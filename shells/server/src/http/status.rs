//! What the node says about itself: alive, ready, who and where.

use super::Shared;
use super::reply::json;
use crate::json_rpc::{BATCH_ENTRIES_MAX, DEPTH_MAX, ID_BYTES_MAX};
use axum::body::Body;
use axum::extract::State;
use hyper::{Response, StatusCode};
use relay_tokio::Role;
use serde::Serialize;
use std::sync::Arc;
use std::time::SystemTime;

/// `GET /`
pub(super) async fn index(State(shared): State<Arc<Shared>>) -> String {
    let mut page = format!("Relay {VERSION}, node {} ({})\n\n", shared.node.id(), kind(&shared));
    for (method, path, what) in endpoints(&shared) {
        page.push_str(&format!("{method:<7}{path:<24}{what}\n"));
    }
    page
}

/// `GET /health`: the process is alive and answers. Says nothing about Homes.
pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Response<Body> {
    #[derive(Serialize)]
    struct Health<'a> {
        status: &'a str,
        node_id: &'a str,
        timestamp: String,
    }
    let timestamp = super::rfc3339(SystemTime::now());
    let health = Health { status: "healthy", node_id: shared.node.id().as_str(), timestamp };
    json(StatusCode::OK, &health)
}

/// `GET /ready`: calls sent here have a chance to be answered.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response<Body> {
    #[derive(Serialize)]
    struct Ready<'a> {
        status: &'a str,
        node_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    }
    let reason = not_ready(&shared);
    let (status, word) = match reason {
        None => (StatusCode::OK, "ready"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    json(status, &Ready { status: word, node_id: shared.node.id().as_str(), reason })
}

fn not_ready(shared: &Shared) -> Option<&'static str> {
    if shared.is_draining() {
        return Some("the node is shutting down");
    }
    match shared.node.role() {
        Role::Home | Role::Caller => {
            (!shared.node.is_connected()).then_some("there is no link to the Main")
        }
        Role::Main => {
            let view = shared.node.registry();
            let has_home =
                view.peers.iter().any(|peer| peer.is_healthy && peer.role == Some(Role::Home));
            (view.services.is_empty() && !has_home).then_some("no Home is connected")
        }
    }
}

/// `GET /info`
pub(super) async fn info(State(shared): State<Arc<Shared>>) -> Response<Body> {
    #[derive(Serialize)]
    struct Info<'a> {
        name: &'a str,
        version: &'a str,
        node_id: &'a str,
        node_type: &'a str,
        address: &'a str,
        uptime_seconds: u64,
        endpoints: Vec<String>,
        limits: Limits,
    }
    #[derive(Serialize)]
    struct Limits {
        request_bytes_max: usize,
        batch_entries_max: usize,
        batch_response_bytes_max: usize,
        id_bytes_max: usize,
        depth_max: u32,
        connections_max: usize,
    }
    let config = &shared.config;
    let endpoints = endpoints(&shared);
    let info = Info {
        name: "relay",
        version: VERSION,
        node_id: shared.node.id().as_str(),
        node_type: kind(&shared),
        address: shared.address(),
        uptime_seconds: shared.started_at.elapsed().as_secs(),
        endpoints: endpoints.map(|(method, path, _)| format!("{method} {path}")).collect(),
        limits: Limits {
            request_bytes_max: config.body_bytes_max,
            batch_entries_max: BATCH_ENTRIES_MAX,
            batch_response_bytes_max: config.batch_bytes_max,
            id_bytes_max: ID_BYTES_MAX,
            depth_max: DEPTH_MAX,
            connections_max: config.connections_max,
        },
    };
    json(StatusCode::OK, &info)
}

fn kind(shared: &Shared) -> &'static str {
    match shared.node.role() {
        Role::Main => "main",
        Role::Home => "home",
        Role::Caller => "caller",
    }
}

type Endpoint = (&'static str, &'static str, &'static str);

fn endpoints(shared: &Shared) -> impl Iterator<Item = &'static Endpoint> + use<> {
    let is_main = shared.node.role() == Role::Main;
    let has_registry = shared.config.enable_registry;
    ENDPOINTS.iter().filter(move |(_, path, _)| match *path {
        "/ws/p2p" => is_main,
        "/topics" => has_registry,
        "/federation/registry" | "/federation/peers" | "/federation/topology" => has_registry,
        path => has_registry || !path.starts_with("/registry"),
    })
}

/// The route that answers `path`, as metrics name it.
pub(super) fn route_of(path: &str) -> &'static str {
    let is_service = path.strip_prefix("/rpc/").is_some_and(|rest| !rest.is_empty());
    let is_topic = path.strip_prefix("/publish/").is_some_and(|rest| !rest.is_empty());
    let path = match path {
        _ if is_service => "/rpc/{service}",
        _ if is_topic => "/publish/{topic}",
        path => path,
    };
    let found = ENDPOINTS.iter().find(|(_, route, _)| *route == path);
    found.map_or(OTHER_ROUTES, |(_, route, _)| *route)
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What metrics call everything else, so that paths of strangers never become labels.
const OTHER_ROUTES: &str = "(other)";
const ENDPOINTS: [Endpoint; 21] = [
    ("POST", "/rpc", "JSON-RPC 2.0: service.method, node.service.method, remote_call"),
    ("POST", "/rpc/{service}", "JSON-RPC 2.0 with plain method names"),
    ("POST", "/publish/{topic}", "publish the body, which is JSON"),
    ("GET", "/topics", "patterns that are subscribed to"),
    ("GET", "/health", "the process is alive"),
    ("GET", "/ready", "calls can be answered"),
    ("GET", "/info", "who this node is, and its limits"),
    ("GET", "/registry", "services and peers"),
    ("GET", "/registry/servers", "services"),
    ("GET", "/registry/peers", "peers"),
    ("GET", "/registry/health", "counts of services and peers"),
    ("POST", "/registry/peers/add", "dial a peer: {\"node_id\", \"address\"}"),
    ("DELETE", "/registry/peers/remove", "forget a peer: {\"node_id\"}"),
    ("GET", "/federation/registry", "services here and behind other Mains, with the way there"),
    ("GET", "/federation/peers", "other Mains, and how the links to them stand"),
    ("GET", "/federation/topology", "a map: nodes, and the links between them"),
    ("GET", "/federation/health", "the federation in one look"),
    ("GET", "/metrics", "numbers for Prometheus"),
    ("GET", "/ws", "JSON-RPC 2.0 both ways, for programs in any language (WebSocket)"),
    ("GET", "/ws/p2p", "links of other relays (WebSocket)"),
    ("GET", "/", "this page"),
];
