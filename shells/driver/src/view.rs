//! The registry and the links of a node, copied out for people and for HTTP.

use crate::endpoint::{Endpoint, TransportKind};
use crate::links::{LinkIo, LinkTable};
use relay_core::{
    BreakerState, Dial, DialId, DialState, InstanceView, Instant, LinkId, Node, NodeId, Role,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a node knows of services and peers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegistryView {
    /// All instances of all services, by service and node.
    pub services: Vec<ServiceView>,
    /// Linked Homes and Mains, and Mains that are dialled in vain, by node and address.
    pub peers: Vec<PeerView>,
}

/// One instance of a service. The default knows nothing of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
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
    /// The Main it is attached to; this node for what is not federated.
    pub origin: String,
    /// The Mains a call from here would cross, nearest first; empty for what is not federated.
    pub path: Vec<String>,
    /// Where it says it runs; empty when it says nothing.
    pub zone: String,
    /// Whether calls are let through to it.
    pub breaker: BreakerView,
    /// Moving average of how long its answers took; none before the first.
    pub latency: Option<Duration>,
    /// Calls that were sent to it.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
}

/// Where an instance is, seen from the node that is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// In this node itself.
    #[default]
    Node,
    /// In a Home that is attached to this Main.
    Attached,
    /// Behind another Main.
    Federated,
}

impl Scope {
    /// Every scope, nearest first.
    pub const ALL: [Self; 3] = [Self::Node, Self::Attached, Self::Federated];

    /// The word used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Attached => "attached",
            Self::Federated => "federated",
        }
    }
}

/// Whether calls are let through to an instance that may have failed often.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BreakerView {
    /// They are.
    #[default]
    Closed,
    /// None is, until the instance had time to recover.
    Open,
    /// One is, to see whether it did.
    HalfOpen,
}

impl From<BreakerState> for BreakerView {
    fn from(state: BreakerState) -> Self {
        match state {
            BreakerState::Closed => Self::Closed,
            BreakerState::Open => Self::Open,
            BreakerState::HalfOpen => Self::HalfOpen,
        }
    }
}

impl BreakerView {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The word used in JSON, metrics and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// One node that this node is linked to, or wants to be. The default was never reached.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
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
    /// How the link to it stands.
    pub status: PeerStatus,
    /// The round trip to it when it was last measured; none before the first time.
    pub latency: Option<Duration>,
    /// How long the link has been authenticated; none without one.
    pub uptime: Option<Duration>,
    /// How long no call, answer or stream has passed over the link; none without one.
    pub idle: Option<Duration>,
    /// Bytes that came over the link.
    pub bytes_in: u64,
    /// Bytes handed to the link.
    pub bytes_out: u64,
    /// It said that it is leaving.
    pub is_draining: bool,
    /// What carries the link, or would.
    pub transport: Option<TransportKind>,
    /// What the link does.
    pub state: LinkState,
    /// Why there is no link, as far as the last attempt tells; none while there is one.
    pub trouble: Option<String>,
}

/// What a link does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LinkState {
    /// The connection or the handshake is under way.
    Connecting,
    /// Calls, answers or streams passed within the last minute.
    Active,
    /// Only pings and news of the registry did.
    Idle,
    /// It is being closed.
    Closing,
    /// It ended in good order, or was never tried; the next attempt comes.
    #[default]
    Closed,
    /// It could not be made or was lost; the next attempt comes.
    Failed,
}

impl LinkState {
    /// The word used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }

    fn of_link(link: Option<&LinkIo>, now: Instant) -> Self {
        match link {
            None => Self::Closed,
            Some(link) if link.closing.is_some() => Self::Closing,
            Some(link) if now.since(link.busy_at) < IDLE_AFTER => Self::Active,
            Some(_) => Self::Idle,
        }
    }

    const fn of_dial(status: PeerStatus, has_trouble: bool) -> Self {
        match status {
            PeerStatus::Connecting => Self::Connecting,
            PeerStatus::Connected | PeerStatus::Waiting if has_trouble => Self::Failed,
            PeerStatus::Connected | PeerStatus::Waiting => Self::Closed,
        }
    }
}

/// How the link to a peer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PeerStatus {
    /// It is authenticated and alive.
    Connected,
    /// The connection or the handshake is under way.
    Connecting,
    /// It was lost or could not be made; the next attempt comes.
    #[default]
    Waiting,
}

impl PeerStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Connected, Self::Connecting, Self::Waiting];

    /// The word used in JSON, metrics and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Connecting => "connecting",
            Self::Waiting => "waiting",
        }
    }

    pub(crate) const fn of(state: DialState) -> Self {
        match state {
            DialState::Up(..) | DialState::Standby => Self::Connected,
            DialState::Connecting => Self::Connecting,
            DialState::Waiting(_) => Self::Waiting,
        }
    }
}

/// What the node knows of each instance from the calls it sent there.
fn measured(node: &Node) -> BTreeMap<(&str, &NodeId, LinkId), ServiceView> {
    let view = |instance: InstanceView<'_>| ServiceView {
        breaker: instance.breaker.into(),
        latency: instance.latency,
        calls: instance.calls,
        failures: instance.failures,
        ..ServiceView::default()
    };
    let instances = node.instances().filter(|instance| instance.calls > 0);
    let keyed = instances.map(|found| ((found.service, found.node, found.link), view(found)));
    keyed.collect()
}

/// Copies what `node` knows; `address` is what it calls itself.
pub(crate) fn registry(
    node: &Node,
    links: &LinkTable,
    troubles: &BTreeMap<DialId, String>,
    address: &str,
    now: Instant,
) -> RegistryView {
    let services = services(node, address, now);
    let mut peers = linked(node, links, now);
    let control = node.control();
    let is_down = |state| !matches!(state, DialState::Up(..) | DialState::Standby);
    let down = control.dials().filter(|(_, dial)| is_down(dial.state));
    peers.extend(down.map(|(id, dial)| {
        let (status, trouble) = (PeerStatus::of(dial.state), troubles.get(&id));
        PeerView {
            node: dial.node().map(ToString::to_string),
            address: dial.address().into(),
            status,
            transport: transport_of(dial),
            state: LinkState::of_dial(status, trouble.is_some()),
            trouble: trouble.cloned(),
            ..PeerView::default()
        }
    }));
    peers.sort_by(|a, b| (&a.node, &a.address).cmp(&(&b.node, &b.address)));
    RegistryView { services, peers }
}

fn services(node: &Node, address: &str, now: Instant) -> Vec<ServiceView> {
    let control = node.control();
    let known = measured(node);
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
            origin: node.id().to_string(),
            zone: registration.label("zone").unwrap_or_default().into(),
            ..known.get(&(name, offered_by, registration.link)).cloned().unwrap_or_default()
        }
    });
    let federated =
        control.federation().iter().map(|(name, offered_by, origin, link, learned)| ServiceView {
            name: name.into(),
            node: offered_by.to_string(),
            address: address.into(),
            methods: learned.methods.iter().map(|method| method.to_string()).collect(),
            scope: Scope::Federated,
            last_seen: now.since(learned.confirmed_at),
            expires_in: Some(learned.expires_at().since(now)),
            origin: origin.to_string(),
            path: learned.path.iter().map(ToString::to_string).collect(),
            zone: learned.label("zone").unwrap_or_default().into(),
            ..known.get(&(name, offered_by, link)).cloned().unwrap_or_default()
        });
    services.chain(federated).collect()
}

/// The linked Homes and Mains.
fn linked(node: &Node, links: &LinkTable, now: Instant) -> Vec<PeerView> {
    let control = node.control();
    let mut peers = Vec::new();
    for (link, linked) in control.links().filter(|(_, l)| l.peer.role != Role::Caller) {
        let leads_there = |dial: &Dial| match dial.state {
            DialState::Up(up, _) => up == link,
            DialState::Standby => dial.node() == Some(&linked.peer.node),
            DialState::Waiting(_) | DialState::Connecting => false,
        };
        let dialled = control.dials().find(|(_, dial)| leads_there(dial));
        let offered = match linked.peer.role {
            Role::Main => control.federation().count_of(link) as usize,
            Role::Home | Role::Caller => linked.services.len(),
        };
        let io = links.get(link);
        peers.push(PeerView {
            node: Some(linked.peer.node.to_string()),
            address: dialled.map_or_else(String::new, |(_, dial)| dial.address().into()),
            role: Some(linked.peer.role),
            is_healthy: true,
            last_seen: Some(now.since(linked.confirmed_at)),
            server_count: offered,
            status: PeerStatus::Connected,
            latency: node.round_trip(link),
            uptime: Some(now.since(linked.since)),
            idle: io.map(|io| now.since(io.busy_at)),
            bytes_in: io.map_or(0, |io| io.bytes_in),
            bytes_out: io.map_or(0, |io| io.bytes_out),
            is_draining: linked.is_leaving,
            transport: io
                .and_then(|io| io.transport)
                .or_else(|| dialled.and_then(|(_, dial)| transport_of(dial))),
            state: LinkState::of_link(io, now),
            trouble: None,
        });
    }
    peers
}

fn transport_of(dial: &Dial) -> Option<TransportKind> {
    Endpoint::parse(dial.address()).ok().map(|endpoint| endpoint.transport())
}

/// How long a link may be without calls before it counts as idle.
const IDLE_AFTER: Duration = Duration::from_secs(60);
