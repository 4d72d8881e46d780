//! `/federation…`: this node's view of the other Mains, and of what can be called through them.

use super::reply::json;
use super::{Shared, rfc3339};
use axum::body::Body;
use axum::extract::State;
use hyper::{Response, StatusCode};
use relay_tokio::{
    BreakerView, PeerStatus, PeerView, RegistryView, Role, ServiceView, TransportKind,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// `GET /federation/peers`
pub(super) async fn peers(State(shared): State<Arc<Shared>>) -> Response<Body> {
    #[derive(Serialize)]
    struct Peers<'a> {
        node_id: &'a str,
        node_address: &'a str,
        peers: Vec<Peer<'a>>,
        timestamp: String,
    }
    #[derive(Serialize)]
    struct Peer<'a> {
        node_id: Option<&'a str>,
        address: &'a str,
        status: &'static str,
        is_healthy: bool,
        is_draining: bool,
        last_seen: Option<String>,
        latency_ms: Option<f64>,
        uptime_seconds: Option<f64>,
        idle_seconds: Option<f64>,
        bytes_in: u64,
        bytes_out: u64,
        services: usize,
        transport: Option<&'static str>,
        state: &'static str,
        error: Option<&'a str>,
    }
    let now = SystemTime::now();
    let view = shared.node.registry();
    let peers = mains(&view).map(|peer| Peer {
        node_id: peer.node.as_deref(),
        address: &peer.address,
        status: peer.status.name(),
        is_healthy: peer.is_healthy,
        is_draining: peer.is_draining,
        last_seen: peer.last_seen.map(|age| super::registry::ago(now, age)),
        latency_ms: peer.latency.map(millis),
        uptime_seconds: peer.uptime.map(seconds),
        idle_seconds: peer.idle.map(seconds),
        bytes_in: peer.bytes_in,
        bytes_out: peer.bytes_out,
        services: peer.server_count,
        transport: peer.transport.map(TransportKind::name),
        state: peer.state.name(),
        error: peer.trouble.as_deref(),
    });
    let peers = Peers {
        node_id: shared.node.id().as_str(),
        node_address: shared.address(),
        peers: peers.collect(),
        timestamp: rfc3339(now),
    };
    json(StatusCode::OK, &peers)
}

/// `GET /federation/health`
pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let view = shared.node.registry();
    let measured = shared.metrics.calls().average_latency();
    let mut health = health_of(&view, measured, shared.is_draining());
    // Where no registry is served, counts are told and names are not.
    health.peers.take_if(|_| !shared.config.enable_registry);
    json(StatusCode::OK, &health)
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    connected_homes: usize,
    connected_peers: usize,
    total_services: usize,
    failed_services: usize,
    average_latency: String,
    average_latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<Vec<PeerHealth<'a>>>,
}

#[derive(Serialize)]
struct PeerHealth<'a> {
    node_id: Option<&'a str>,
    address: &'a str,
    status: &'static str,
}

fn health_of(view: &RegistryView, measured: Option<Duration>, is_draining: bool) -> Health<'_> {
    let is_open = |service: &ServiceView| service.breaker == BreakerView::Open;
    let is_peer_down = mains(view).any(|peer| peer.status != PeerStatus::Connected);
    let status = match () {
        () if is_draining => "draining",
        () if is_peer_down || view.services.iter().any(is_open) => "degraded",
        () => "healthy",
    };
    // A service has failed when no instance of it takes calls.
    let mut services: BTreeMap<&str, bool> = BTreeMap::new();
    for service in &view.services {
        *services.entry(&service.name).or_insert(true) &= is_open(service);
    }
    let homes = view.peers.iter().filter(|peer| peer.role == Some(Role::Home));
    let latency = average_latency(&view.services).or(measured).unwrap_or_default();
    Health {
        status,
        connected_homes: homes.count(),
        connected_peers: mains(view).filter(|peer| peer.is_healthy).count(),
        total_services: services.len(),
        failed_services: services.values().filter(|has_failed| **has_failed).count(),
        average_latency: latency_text(latency),
        average_latency_ms: millis(latency),
        peers: Some(mains(view).map(PeerHealth::of).collect()),
    }
}

impl<'a> PeerHealth<'a> {
    fn of(peer: &'a PeerView) -> Self {
        let (node_id, status) = (peer.node.as_deref(), peer.status.name());
        Self { node_id, address: &peer.address, status }
    }
}

/// The Mains among the peers: those that are linked, and those that are dialled. Homes only dial,
/// so whoever has not introduced itself yet is a Main.
fn mains(view: &RegistryView) -> impl Iterator<Item = &PeerView> {
    view.peers.iter().filter(|peer| matches!(peer.role, Some(Role::Main) | None))
}

/// The mean over all instances that were measured, each with the weight of its calls.
fn average_latency(services: &[ServiceView]) -> Option<Duration> {
    let measured = services.iter().filter_map(|service| Some((service.latency?, service)));
    let (sum, weight) = measured.fold((0_u128, 0_u128), |(sum, weight), (latency, service)| {
        let calls = u128::from(service.calls.max(1));
        (sum + latency.as_nanos().saturating_mul(calls), weight + calls)
    });
    let nanos = sum.checked_div(weight)?;
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// Milliseconds with three decimals.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Seconds with three decimals.
fn seconds(time: Duration) -> f64 {
    millis(time).round() / 1e3
}

/// `45ms`; below ten with one decimal, because a relay next door takes less than one.
fn latency_text(time: Duration) -> String {
    let millis = millis(time);
    if millis >= 10.0 || millis == 0.0 {
        format!("{millis:.0}ms")
    } else {
        format!("{millis:.1}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, breaker: BreakerView, latency_ms: u64, calls: u64) -> ServiceView {
        ServiceView {
            name: name.into(),
            breaker,
            latency: (latency_ms > 0).then(|| Duration::from_millis(latency_ms)),
            calls,
            ..ServiceView::default()
        }
    }

    fn peer(role: Option<Role>, status: PeerStatus) -> PeerView {
        PeerView {
            role,
            is_healthy: status == PeerStatus::Connected,
            status,
            ..PeerView::default()
        }
    }

    #[test]
    fn c17_what_is_down_is_told() {
        use BreakerView::{Closed, HalfOpen, Open};
        use PeerStatus::{Connected, Waiting};
        let home = || peer(Some(Role::Home), Connected);
        let main = || peer(Some(Role::Main), Connected);
        let one = || vec![service("blog", Closed, 0, 0)];
        let kv = |breaker| service("kv", breaker, 0, 0);
        for (services, peers, status, failed) in [
            (one(), vec![home(), main()], "healthy", 0),
            (one(), vec![main(), peer(None, Waiting)], "degraded", 0),
            (vec![kv(Open), kv(Closed)], vec![], "degraded", 0),
            (vec![kv(Open), kv(Open)], vec![], "degraded", 1),
            (vec![kv(HalfOpen)], vec![], "healthy", 0),
        ] {
            let view = RegistryView { services, peers };
            let health = health_of(&view, None, false);
            assert_eq!((health.status, health.failed_services), (status, failed));
        }
        let view = RegistryView { services: one(), peers: vec![home(), main(), home()] };
        let health = health_of(&view, None, true);
        assert_eq!(
            (health.status, health.connected_homes, health.connected_peers, health.total_services),
            ("draining", 2, 1, 1)
        );
        assert_eq!((health.average_latency.as_str(), health.average_latency_ms), ("0ms", 0.0));
    }

    #[test]
    fn m18_latency_is_text_and_number() {
        let of = |services: &[ServiceView]| {
            let view = RegistryView { services: services.to_vec(), peers: Vec::new() };
            let health = health_of(&view, Some(Duration::from_micros(1250)), false);
            (health.average_latency, health.average_latency_ms)
        };
        let known = [
            service("a", BreakerView::Closed, 50, 3),
            service("a", BreakerView::Closed, 30, 1),
            service("b", BreakerView::Closed, 0, 9),
        ];
        assert_eq!(of(&known), ("45ms".to_owned(), 45.0));
        assert_eq!(of(&known[2..]), ("1.2ms".to_owned(), 1.25), "what the gateway measured");
    }
}
