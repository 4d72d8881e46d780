//! How many there are of everything: what a scrape of metrics needs, counted without a copy.
//!
//! A registry may hold 100,000 services, and the node waits while it is looked at. So nothing here
//! walks the registry: the cost grows with the number of links only.

use crate::handlers::Handlers;
use crate::happenings::Happenings;
use crate::view::{BreakerView, PeerStatus, Scope};
use relay_core::{Node, Role, Stats};
use std::time::Duration;

/// Counts of one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Counters since the start.
    pub stats: Stats,
    /// What events told since the start.
    pub happenings: Happenings,
    /// Bytes of tables, of kept frames and of such that are not written yet.
    pub held_bytes: u64,
    /// Authenticated links to Mains, Homes and callers.
    pub links: LinkCensus,
    /// The longest of the round trips to the linked Mains, as measured last.
    pub peer_round_trip: Option<Duration>,
    /// Addresses this node dials, in the order of [`PeerStatus::ALL`].
    pub dials: [usize; 3],
    /// Instances of services, in the order of [`Scope::ALL`].
    pub services: [usize; 3],
    /// Instances by the state of their breaker, in the order of [`BreakerView::ALL`].
    pub breakers: [usize; 3],
    /// Different patterns of topics that are subscribed to at this node.
    pub patterns: usize,
    /// Subscriptions: each pattern once for each link that asked for it; the node itself is one.
    pub subscriptions: u32,
    /// Calls made here, served here or passing through.
    pub calls_in_flight: u32,
    /// The node is leaving.
    pub is_draining: bool,
}

/// Authenticated links by the role of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkCensus {
    /// Links to Mains.
    pub mains: usize,
    /// Links to Homes.
    pub homes: usize,
    /// Links to callers.
    pub callers: usize,
}

pub(crate) fn census(
    node: &Node,
    handlers: &Handlers,
    happenings: Happenings,
    is_draining: bool,
) -> Census {
    let control = node.control();
    let mut links = LinkCensus::default();
    let (mut attached, mut peer_round_trip) = (0, None);
    for (link, linked) in control.links() {
        match linked.peer.role {
            Role::Main => {
                links.mains += 1;
                peer_round_trip = peer_round_trip.max(node.round_trip(link));
            }
            Role::Home => {
                links.homes += 1;
                attached += linked.services.len();
            }
            Role::Caller => links.callers += 1,
        }
    }
    let mut dials = [0; 3];
    for (_, dial) in control.dials() {
        dials[PeerStatus::of(dial.state) as usize] += 1;
    }
    let mut services = [0; 3];
    services[Scope::Node as usize] = handlers.len();
    services[Scope::Attached as usize] = attached;
    services[Scope::Federated as usize] = control.federation().len() as usize;
    let all: usize = services.iter().sum();
    let (open, half_open) = node.shut_out();
    let mut breakers = [0; 3];
    breakers[BreakerView::Closed as usize] = all.saturating_sub(open + half_open);
    breakers[BreakerView::Open as usize] = open;
    breakers[BreakerView::HalfOpen as usize] = half_open;
    let (patterns, subscriptions) = control.subscription_counts();
    Census {
        stats: node.stats(),
        happenings,
        held_bytes: node.holdings().bytes,
        links,
        peer_round_trip,
        dials,
        services,
        breakers,
        patterns,
        subscriptions,
        calls_in_flight: node.calls_in_flight(),
        is_draining,
    }
}
