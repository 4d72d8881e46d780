//! The registry and the links of a node, copied out for people and for HTTP.

use relay_core::{DialState, Instant, Node, Role};
use std::time::Duration;

/// What a node knows of services and peers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegistryView {
    /// All instances of all services, by service and node.
    pub services: Vec<ServiceView>,
    /// Linked Homes and Mains, and Mains that are dialled in vain, by node and address.
    pub peers: Vec<PeerView>,
}

/// One instance of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceView {
    /// The service.
    pub name: String,
    /// The node that offers it.
    pub node: String,
    /// Where it can be called: the address of the Main that knows it.
    pub address: String,
    /// The methods it announced; none means that any may be tried.
    pub methods: Vec<String>,
    /// Where the instance is, seen from here.
    pub scope: Scope,
    /// How long ago it was last confirmed; zero for services of this node.
    pub last_seen: Duration,
    /// When it expires unless it is confirmed; never for services of this node.
    pub expires_in: Option<Duration>,
}

/// Where an instance is, seen from the node that is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// In this node itself.
    Node,
    /// In a Home that is attached to this Main.
    Attached,
}

impl Scope {
    /// The word used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Attached => "attached",
        }
    }
}

/// One node that this node is linked to, or wants to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerView {
    /// Its id, once it has authenticated.
    pub node: Option<String>,
    /// The address this node dials; empty for a node that dialled.
    pub address: String,
    /// What it is, once it has authenticated.
    pub role: Option<Role>,
    /// A link is authenticated and alive.
    pub is_healthy: bool,
    /// How long ago it last confirmed anything.
    pub last_seen: Option<Duration>,
    /// Services it registered here.
    pub server_count: usize,
}

/// Copies what `node` knows; `address` is what it calls itself.
pub(crate) fn registry(node: &Node, address: &str, now: Instant) -> RegistryView {
    let control = node.control();
    let services = control.registry().iter().map(|(name, offered_by, registration)| {
        let own = offered_by == node.id();
        ServiceView {
            name: name.into(),
            node: offered_by.to_string(),
            address: address.into(),
            methods: registration.methods.iter().map(|method| method.to_string()).collect(),
            scope: if own { Scope::Node } else { Scope::Attached },
            last_seen: if own { Duration::ZERO } else { now.since(registration.confirmed_at) },
            expires_in: registration.expires_at.map(|at| at.since(now)),
        }
    });
    let services = services.collect();
    let mut peers: Vec<PeerView> = Vec::new();
    for (link, linked) in control.links().filter(|(_, l)| l.peer.role != Role::Caller) {
        let up = |state| matches!(state, DialState::Up(up, _) if up == link);
        let dialled = control.dials().find(|(_, dial)| up(dial.state));
        peers.push(PeerView {
            node: Some(linked.peer.node.to_string()),
            address: dialled.map_or_else(String::new, |(_, dial)| dial.address().into()),
            role: Some(linked.peer.role),
            is_healthy: true,
            last_seen: Some(now.since(linked.confirmed_at)),
            server_count: linked.services.len(),
        });
    }
    let is_down = |state| !matches!(state, DialState::Up(..) | DialState::Standby);
    let down = control.dials().filter(|(_, dial)| is_down(dial.state));
    peers.extend(down.map(|(_, dial)| PeerView {
        node: None,
        address: dial.address().into(),
        role: None,
        is_healthy: false,
        last_seen: None,
        server_count: 0,
    }));
    peers.sort_by(|a, b| (&a.node, &a.address).cmp(&(&b.node, &b.address)));
    RegistryView { services, peers }
}
