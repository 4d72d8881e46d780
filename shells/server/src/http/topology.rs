//! `GET /federation/topology`: the nodes and links that this node knows of, as a map.
//!
//! It is made of what the registry holds anyway: the links of this node, and the paths by which it
//! learned what other Mains offer. So a Main behind another one is on the map once it, or a Home
//! attached to it, offers something.

use super::reply::json;
use super::{Shared, rfc3339};
use axum::body::Body;
use axum::extract::State;
use hyper::{Response, StatusCode};
use relay_tokio::{RegistryView, Role, Scope};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

/// `GET /federation/topology`
pub(super) async fn all(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let view = shared.node.registry();
    let (id, role) = (shared.node.id().as_str(), shared.node.role());
    json(StatusCode::OK, &topology_of(&view, id, role, rfc3339(SystemTime::now())))
}

#[derive(Serialize)]
struct Topology<'a> {
    node_id: &'a str,
    nodes: Vec<Node<'a>>,
    edges: Vec<Edge<'a>>,
    timestamp: String,
}

/// A node, and the Mains that a call from here to it crosses, nearest first; a Main itself is the
/// last of them.
#[derive(Serialize, PartialEq, Eq, Debug)]
struct Node<'a> {
    node_id: &'a str,
    node_type: &'static str,
    known: Known,
    path: Vec<&'a str>,
    services: usize,
}

/// Two nodes that are linked, in the order of their ids: a link has no direction.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Edge<'a> {
    nodes: [&'a str; 2],
    known: Known,
}

/// From where something is known; what is surer comes first.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "lowercase")]
enum Known {
    /// It is this node itself.
    Own,
    /// This node has a link to it, or it is such a link.
    Link,
    /// A peer announced it.
    Announced,
}

fn topology_of<'a>(
    view: &'a RegistryView,
    own: &'a str,
    role: Role,
    timestamp: String,
) -> Topology<'a> {
    let mut map = Map { own, ..Map::default() };
    map.meet(own, role.name(), Known::Own, Vec::new());
    for peer in view.peers.iter().filter(|peer| peer.is_healthy) {
        let (Some(id), Some(role)) = (peer.node.as_deref(), peer.role) else { continue };
        let path = if role == Role::Main { vec![id] } else { Vec::new() };
        map.meet(id, role.name(), Known::Link, path);
        map.link(own, id, Known::Link);
    }
    for service in &view.services {
        if service.scope == Scope::Federated {
            let path: Vec<&str> = service.path.iter().map(String::as_str).collect();
            map.walk(&path);
            if service.node != service.origin {
                map.meet(&service.node, Role::Home.name(), Known::Announced, path);
                map.link(&service.origin, &service.node, Known::Announced);
            }
        }
        map.count(&service.node, &service.name);
    }
    let edges = map.edges.into_iter().map(|(nodes, known)| Edge { nodes, known });
    Topology {
        node_id: own,
        edges: edges.collect(),
        nodes: map.nodes.into_values().map(|(node, _)| node).collect(),
        timestamp,
    }
}

#[derive(Default)]
struct Map<'a> {
    own: &'a str,
    /// With the services of each node, of which one may be known over several ways.
    nodes: BTreeMap<&'a str, (Node<'a>, BTreeSet<&'a str>)>,
    edges: BTreeMap<[&'a str; 2], Known>,
}

impl<'a> Map<'a> {
    /// The Mains on a path are nodes, and each is linked to the next one.
    fn walk(&mut self, path: &[&'a str]) {
        let mut before = self.own;
        for (at, main) in path.iter().enumerate() {
            self.meet(main, Role::Main.name(), Known::Announced, path[..=at].to_vec());
            self.link(before, main, Known::Announced);
            before = main;
        }
    }

    /// Of several ways to a node the shortest is told, and of equals the first by name.
    fn meet(&mut self, id: &'a str, node_type: &'static str, known: Known, path: Vec<&'a str>) {
        let Some((met, _)) = self.nodes.get_mut(id) else {
            let node = Node { node_id: id, node_type, known, path, services: 0 };
            self.nodes.insert(id, (node, BTreeSet::new()));
            return;
        };
        if (known, path.len(), &path) < (met.known, met.path.len(), &met.path) {
            (met.known, met.path) = (known, path);
        }
    }

    fn link(&mut self, one: &'a str, other: &'a str, known: Known) {
        let nodes = if one < other { [one, other] } else { [other, one] };
        let edge = self.edges.entry(nodes).or_insert(known);
        *edge = known.min(*edge);
    }

    fn count(&mut self, node: &str, service: &'a str) {
        if let Some((node, services)) = self.nodes.get_mut(node) {
            services.insert(service);
            node.services = services.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_tokio::{PeerView, ServiceView};
    use serde_json::json;

    fn service(name: &str, node: &str, path: &[&str]) -> ServiceView {
        let own = path.is_empty();
        ServiceView {
            name: name.into(),
            node: node.into(),
            scope: if own { Scope::Attached } else { Scope::Federated },
            origin: path.last().copied().unwrap_or("a").into(),
            path: path.iter().map(|main| (*main).to_owned()).collect(),
            ..ServiceView::default()
        }
    }

    fn peer(node: &str, role: Option<Role>) -> PeerView {
        let node = role.is_some().then(|| node.to_owned());
        PeerView { node, role, is_healthy: role.is_some(), ..PeerView::default() }
    }

    /// A ring of four Mains: the one across is known over both neighbours.
    #[test]
    fn e18_links_are_surer_than_words_and_short_ways_better_than_long_ones() {
        let view = RegistryView {
            services: vec![
                service("blog", "home", &[]),
                service("shop", "far", &["d", "b", "c"]),
                service("shop", "far", &["d", "c"]),
                service("shop", "far", &["b", "c"]),
                service("news", "far", &["b", "c"]),
                service("clock", "b", &["b"]),
            ],
            peers: vec![
                peer("b", Some(Role::Main)),
                peer("d", Some(Role::Main)),
                peer("home", Some(Role::Home)),
                peer("down", None),
            ],
        };
        let topology = topology_of(&view, "a", Role::Main, String::new());
        let map = serde_json::to_value(&topology).unwrap();
        let node = |id, of, known, path: &[&str], services: usize| {
            let mut node = json!({"node_id": id, "node_type": of, "known": known, "path": path});
            node["services"] = json!(services);
            node
        };
        let nodes = [
            node("a", "main", "own", &[], 0),
            node("b", "main", "link", &["b"], 1),
            node("c", "main", "announced", &["b", "c"], 0),
            node("d", "main", "link", &["d"], 0),
            node("far", "home", "announced", &["b", "c"], 2),
            node("home", "home", "link", &[], 1),
        ];
        assert_eq!(map["nodes"], json!(nodes));
        let edge = |one, other, known| json!({"nodes": [one, other], "known": known});
        let edges = [
            edge("a", "b", "link"),
            edge("a", "d", "link"),
            edge("a", "home", "link"),
            edge("b", "c", "announced"),
            edge("b", "d", "announced"),
            edge("c", "d", "announced"),
            edge("c", "far", "announced"),
        ];
        assert_eq!(map["edges"], json!(edges));
    }
}
