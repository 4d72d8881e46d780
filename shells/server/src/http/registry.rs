//! `/registry…`: which services and peers this node knows, and peers added and removed by hand.

use super::accept::RouteContext;
use super::body::read_json;
use super::federation::millis;
use super::reply::{json, refusal};
use super::{Shared, rfc3339};
use crate::discovery::Peer as PeerName;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use hyper::{Request, Response, StatusCode};
use relay_tokio::{Endpoint, PeerView, RegistryView, Scope, ServiceView, is_node_id};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

/// `GET /registry`
pub(super) async fn all(State(shared): State<Arc<Shared>>) -> Response<Body> {
    registry(&shared, Detail::Plain)
}

/// `GET /federation/registry`: the same, and for each instance where it comes from, which Mains a
/// call crosses on its way there, and how it has fared.
pub(super) async fn federated(State(shared): State<Arc<Shared>>) -> Response<Body> {
    registry(&shared, Detail::Federation)
}

fn registry(shared: &Shared, detail: Detail) -> Response<Body> {
    #[derive(Serialize)]
    struct Registry<'a> {
        node_id: &'a str,
        node_address: &'a str,
        servers: BTreeMap<&'a str, Server<'a>>,
        peers: BTreeMap<&'a str, Peer<'a>>,
        timestamp: String,
    }
    let now = SystemTime::now();
    let view = shared.node.registry();
    let registry = Registry {
        node_id: shared.node.id().as_str(),
        node_address: shared.address(),
        servers: servers_of(&view, detail, now),
        peers: peers_of(&view, now),
        timestamp: rfc3339(now),
    };
    json(StatusCode::OK, &registry)
}

/// `GET /registry/servers`
pub(super) async fn servers(State(shared): State<Arc<Shared>>) -> Response<Body> {
    json(StatusCode::OK, &servers_of(&shared.node.registry(), Detail::Plain, SystemTime::now()))
}

/// `GET /registry/peers`
pub(super) async fn peers(State(shared): State<Arc<Shared>>) -> Response<Body> {
    json(StatusCode::OK, &peers_of(&shared.node.registry(), SystemTime::now()))
}

/// `GET /registry/health`
pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Response<Body> {
    #[derive(Serialize)]
    struct Health<'a> {
        status: &'a str,
        node_id: &'a str,
        node_address: &'a str,
        server_count: usize,
        peer_count: usize,
        timestamp: String,
    }
    let now = SystemTime::now();
    let view = shared.node.registry();
    let health = Health {
        status: "healthy",
        node_id: shared.node.id().as_str(),
        node_address: shared.address(),
        server_count: servers_of(&view, Detail::Plain, now).len(),
        peer_count: peers_of(&view, now).len(),
        timestamp: rfc3339(now),
    };
    json(StatusCode::OK, &health)
}

/// `POST /registry/peers/add`
pub(super) async fn add_peer(
    State(shared): State<Arc<Shared>>,
    Extension(context): Extension<RouteContext>,
    request: Request<Body>,
) -> Response<Body> {
    let body = match body_of(request, &context).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let Ok(AddPeer { node_id, address }) = serde_json::from_slice(&body) else {
        return bad_request("send {\"node_id\": \"…\", \"address\": \"host:port\"}");
    };
    if node_id.as_deref().is_some_and(|id| !is_node_id(id)) {
        return bad_request("a node id is 1 to 128 of a-z 0-9 . _ -");
    }
    let peer = match PeerName::parse(&address) {
        Ok(peer) => peer,
        Err(error) => return bad_request(&error.to_string()),
    };
    let dialled = peer.to_string();
    let name = node_id.clone().unwrap_or_else(|| dialled.clone());
    let mut names = shared.peer_names.lock().unwrap_or_else(PoisonError::into_inner);
    if names.len() >= PEER_NAMES_MAX && !names.contains_key(&name) {
        let detail = format!("{PEER_NAMES_MAX} peers were added by hand: remove one first");
        return refusal(StatusCode::TOO_MANY_REQUESTS, "Too Many Peers", &detail);
    }
    if let Err(error) = shared.peers.add(&peer) {
        return refusal(StatusCode::TOO_MANY_REQUESTS, "Too Many Peers", &error.to_string());
    }
    // Naming another address for a peer moves it.
    let before = names.insert(name, dialled);
    if let Some(before) = before.filter(|before| !names.values().any(|known| known == before)) {
        let _was_kept = shared.peers.remove(&before);
    }
    drop(names);
    json(StatusCode::OK, &PeerChange { status: "added", node_id, address: Some(address) })
}

/// `DELETE /registry/peers/remove`
pub(super) async fn remove_peer(
    State(shared): State<Arc<Shared>>,
    Extension(context): Extension<RouteContext>,
    request: Request<Body>,
) -> Response<Body> {
    let body = match body_of(request, &context).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let Ok(RemovePeer { node_id }) = serde_json::from_slice(&body) else {
        return bad_request("send {\"node_id\": \"…\"}, an id or the address that was added");
    };
    // The name given when the peer was added need not be the id by which it introduced itself.
    let mut names = shared.peer_names.lock().unwrap_or_else(PoisonError::into_inner);
    let parsed = Endpoint::parse(&node_id).map(|endpoint| endpoint.to_string()).ok();
    let address = names.remove(&node_id).or(parsed);
    if let Some(address) = &address {
        names.retain(|_, known| known != address);
    }
    drop(names);
    let by_name = address.as_deref().is_some_and(|address| shared.peers.remove(address));
    let by_id = shared.peers.remove(&node_id);
    if by_name || by_id {
        let change = PeerChange { status: "removed", node_id: Some(node_id), address: None };
        json(StatusCode::OK, &change)
    } else {
        let detail = "see GET /registry/peers for the ids and addresses of all peers";
        refusal(StatusCode::NOT_FOUND, "Peer Not Found", detail)
    }
}

/// Everything under `/registry` when it is switched off.
pub(super) async fn absent() -> Response<Body> {
    #[derive(Serialize)]
    struct Absent {
        error: &'static str,
    }
    json(StatusCode::NOT_FOUND, &Absent { error: "Registry Not Available" })
}

#[derive(Deserialize)]
struct AddPeer {
    node_id: Option<String>,
    address: String,
}

#[derive(Deserialize)]
struct RemovePeer {
    node_id: String,
}

#[derive(Serialize)]
struct PeerChange {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

/// One instance of a service; the first of its name carries the others.
#[derive(Serialize)]
struct Server<'a> {
    name: &'a str,
    node_id: &'a str,
    node_address: &'a str,
    methods: &'a [String],
    last_seen: String,
    is_local: bool,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(flatten)]
    federation: Option<Federation<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instances: Vec<Self>,
}

/// What only `/federation/registry` tells of an instance.
#[derive(Serialize)]
struct Federation<'a> {
    origin: &'a str,
    path: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    zone: &'a str,
    breaker: &'static str,
    latency_ms: Option<f64>,
    calls: u64,
    failures: u64,
}

/// How much is told of each instance.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Plain,
    Federation,
}

#[derive(Serialize)]
struct Peer<'a> {
    node_id: Option<&'a str>,
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
    is_healthy: bool,
    server_count: usize,
}

fn servers_of(view: &RegistryView, detail: Detail, now: SystemTime) -> BTreeMap<&str, Server<'_>> {
    let mut servers: BTreeMap<&str, Server<'_>> = BTreeMap::new();
    let nearest_first = Scope::ALL;
    for scope in nearest_first {
        for service in view.services.iter().filter(|service| service.scope == scope) {
            let server = server_of(service, detail, now);
            match servers.get_mut(service.name.as_str()) {
                Some(first) => first.instances.push(server),
                None => drop(servers.insert(&service.name, server)),
            }
        }
    }
    servers
}

fn server_of(service: &ServiceView, detail: Detail, now: SystemTime) -> Server<'_> {
    Server {
        name: &service.name,
        node_id: &service.node,
        node_address: &service.address,
        methods: &service.methods,
        last_seen: ago(now, service.last_seen),
        is_local: match service.scope {
            Scope::Node | Scope::Attached => true,
            Scope::Federated => false,
        },
        scope: service.scope.name(),
        expires_at: service.expires_in.map(|left| rfc3339(now + left.min(YEAR))),
        federation: (detail == Detail::Federation).then(|| Federation {
            origin: &service.origin,
            path: &service.path,
            zone: &service.zone,
            breaker: service.breaker.name(),
            latency_ms: service.latency.map(millis),
            calls: service.calls,
            failures: service.failures,
        }),
        instances: Vec::new(),
    }
}

/// Peers by id, or by address before they have introduced themselves.
fn peers_of(view: &RegistryView, now: SystemTime) -> BTreeMap<&str, Peer<'_>> {
    view.peers.iter().map(|peer| (id_or_address(peer), peer_of(peer, now))).collect()
}

fn id_or_address(peer: &PeerView) -> &str {
    peer.node.as_deref().unwrap_or(&peer.address)
}

fn peer_of(peer: &PeerView, now: SystemTime) -> Peer<'_> {
    Peer {
        node_id: peer.node.as_deref(),
        address: &peer.address,
        last_seen: peer.last_seen.map(|seen| ago(now, seen)),
        is_healthy: peer.is_healthy,
        server_count: peer.server_count,
    }
}

pub(super) fn ago(now: SystemTime, age: Duration) -> String {
    rfc3339(now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH))
}

async fn body_of(request: Request<Body>, context: &RouteContext) -> Result<Bytes, Response<Body>> {
    let (head, body) = request.into_parts();
    read_json(&head.headers, body, PEER_BODY_BYTES_MAX, &context.connection).await
}

fn bad_request(detail: &str) -> Response<Body> {
    refusal(StatusCode::BAD_REQUEST, "Bad Request", detail)
}

const PEER_NAMES_MAX: usize = 1024;
const PEER_BODY_BYTES_MAX: usize = 4096;
const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn federated() -> RegistryView {
        let of = |name: &str, node: &str, scope| ServiceView {
            name: name.into(),
            node: node.into(),
            scope,
            origin: String::from("main-a"),
            ..ServiceView::default()
        };
        let far = ServiceView {
            origin: String::from("main-c"),
            path: vec![String::from("main-b"), String::from("main-c")],
            expires_in: Some(Duration::from_secs(60)),
            breaker: relay_tokio::BreakerView::Open,
            latency: Some(Duration::from_micros(1500)),
            calls: 7,
            failures: 5,
            zone: String::from("eu"),
            ..of("blog", "alice.home", Scope::Federated)
        };
        let near = of("blog", "bob.home", Scope::Attached);
        let own = of("blog", "main-a", Scope::Node);
        RegistryView { services: vec![far, near, own], peers: Vec::new() }
    }

    fn written(detail: Detail) -> Value {
        serde_json::to_value(servers_of(&federated(), detail, SystemTime::UNIX_EPOCH)).unwrap()
    }

    #[test]
    fn m20_local_instances_stand_before_federated_ones() {
        let blog = &written(Detail::Plain)["blog"];
        let others = blog["instances"].as_array().unwrap();
        let all: Vec<&Value> = std::iter::once(blog).chain(others).collect();
        let said = |key: &str| all.iter().map(|one| one[key].clone()).collect::<Vec<_>>();
        assert_eq!(said("scope"), ["node", "attached", "federated"]);
        assert_eq!(said("is_local"), [true, true, false]);
        assert_eq!(said("origin"), [Value::Null, Value::Null, Value::Null]);
    }

    #[test]
    fn c15_the_federation_tells_the_way_there() {
        let blog = &written(Detail::Federation)["blog"];
        assert_eq!((&blog["origin"], &blog["path"]), (&json!("main-a"), &json!([])));
        assert_eq!((&blog["breaker"], &blog["latency_ms"]), (&json!("closed"), &Value::Null));
        let far = &blog["instances"][1];
        let expected = json!({
            "name": "blog", "node_id": "alice.home", "node_address": "", "methods": [],
            "last_seen": "1970-01-01T00:00:00Z", "is_local": false, "scope": "federated",
            "expires_at": "1970-01-01T00:01:00Z", "origin": "main-c", "path": ["main-b", "main-c"],
            "zone": "eu", "breaker": "open", "latency_ms": 1.5, "calls": 7, "failures": 5,
        });
        assert_eq!(*far, expected);
    }
}
