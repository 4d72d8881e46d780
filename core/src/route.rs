//! Where services are, as the data plane sees it: an immutable snapshot, replaced whole.

use crate::config::ServiceRules;
use crate::name::NodeId;
use crate::outbox::LinkId;
use crate::slots::Slot;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// A snapshot of the registry, made for lookups.
#[derive(Debug)]
pub(crate) struct RouteTable {
    seed: u64,
    /// Open addressing over `services`; a power of two, at most half full. Never iterated.
    index: Vec<u32>,
    services: Vec<ServiceRoute>,
    instances: Vec<Instance>,
    /// The service of each slot in use.
    service_of: Vec<u32>,
    /// The Mains that this one is linked to, by id.
    peers: Vec<(NodeId, LinkId)>,
    /// Where everything goes that is not offered here: the Main of a Home or a caller.
    upstream: Option<Upstream>,
}

/// The link to the Main of a Home or a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Upstream {
    pub(crate) link: LinkId,
    /// A bit for each compression that requests over it may have.
    pub(crate) compressions: u8,
}

#[derive(Debug)]
struct ServiceRoute {
    name: Arc<str>,
    rules: ServiceRules,
    first: u32,
    /// Instances of this node and of nodes attached to it; they come first.
    near: u32,
    count: u32,
}

/// One node that offers a service.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) node: NodeId,
    /// The link to the node, or to the Main through which it is reached.
    pub(crate) link: LinkId,
    pub(crate) slot: Slot,
    /// Those with the lowest one are asked first.
    pub(crate) tier: u16,
    /// The Mains on the way; none for nodes attached here.
    pub(crate) path: Option<Arc<[NodeId]>>,
    /// A bit for each compression that requests over this link may have.
    pub(crate) compressions: u8,
}

/// One service, as a request finds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<'a> {
    pub(crate) rules: ServiceRules,
    /// Instances attached here, in the order of their tiers.
    pub(crate) near: &'a [Instance],
    /// Instances behind other Mains, in the order of their tiers.
    pub(crate) far: &'a [Instance],
}

impl RouteTable {
    /// An empty table.
    pub(crate) fn empty() -> Self {
        TableBuilder::new(0, 0).build(None, Vec::new())
    }

    /// Where `service` is, if anybody offers it.
    #[inline]
    pub(crate) fn route(&self, service: &str) -> Option<Route<'_>> {
        let mask = self.index.len() - 1;
        let mut place = hash(self.seed, service.as_bytes()) as usize & mask;
        loop {
            let at = self.index[place];
            if at == EMPTY {
                return None;
            }
            let route = &self.services[at as usize];
            if &*route.name == service {
                return Some(self.slices(route));
            }
            place = (place + 1) & mask;
        }
    }

    /// The service whose instance has this slot.
    pub(crate) fn route_of(&self, slot: Slot) -> Option<(&Arc<str>, Route<'_>)> {
        let at = *self.service_of.get(slot.index as usize)?;
        let route = self.services.get(at as usize)?;
        Some((&route.name, self.slices(route)))
    }

    /// Every service with its instances.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&str, &[Instance])> {
        self.services.iter().map(|route| {
            let first = route.first as usize;
            (&*route.name, &self.instances[first..first + route.count as usize])
        })
    }

    /// The link to the Main of this node.
    pub(crate) const fn upstream(&self) -> Option<Upstream> {
        self.upstream
    }

    /// The link to another Main.
    pub(crate) fn peer(&self, node: &str) -> Option<LinkId> {
        let at = self.peers.binary_search_by(|(peer, _)| peer.as_str().cmp(node)).ok()?;
        Some(self.peers[at].1)
    }

    fn slices(&self, route: &ServiceRoute) -> Route<'_> {
        let first = route.first as usize;
        let all = &self.instances[first..first + route.count as usize];
        let (near, far) = all.split_at(route.near as usize);
        Route { rules: route.rules, near, far }
    }
}

/// Builds a table, service by service.
#[derive(Debug)]
pub(crate) struct TableBuilder {
    seed: u64,
    slots: usize,
    services: Vec<ServiceRoute>,
    instances: Vec<Instance>,
}

impl TableBuilder {
    /// A table for instances with slots below `slots`.
    pub(crate) const fn new(seed: u64, slots: usize) -> Self {
        Self { seed, slots, services: Vec::new(), instances: Vec::new() }
    }

    /// Adds a service that was not added before.
    pub(crate) fn service(
        &mut self,
        name: Arc<str>,
        rules: ServiceRules,
        instances: impl Iterator<Item = Instance>,
    ) {
        let first = self.instances.len();
        self.instances.extend(instances);
        let added = &mut self.instances[first..];
        if added.len() > 1 {
            added.sort_by_key(|instance| (instance.path.is_some(), instance.tier));
        }
        let near = added.partition_point(|instance| instance.path.is_none()) as u32;
        let (first, count) = (first as u32, added.len() as u32);
        self.services.push(ServiceRoute { name, rules, first, near, count });
    }

    /// The table; `peers` are in the order of their ids.
    pub(crate) fn build(
        self,
        upstream: Option<Upstream>,
        peers: Vec<(NodeId, LinkId)>,
    ) -> RouteTable {
        let Self { seed, slots, services, instances } = self;
        let size = (services.len() * 2).next_power_of_two().max(2);
        let mut index = vec![EMPTY; size];
        let mut service_of = vec![EMPTY; slots];
        for (at, service) in services.iter().enumerate() {
            let mut place = hash(seed, service.name.as_bytes()) as usize & (size - 1);
            while index[place] != EMPTY {
                place = (place + 1) & (size - 1);
            }
            index[place] = at as u32;
            let first = service.first as usize;
            for instance in &instances[first..first + service.count as usize] {
                if let Some(entry) = service_of.get_mut(instance.slot.index as usize) {
                    *entry = at as u32;
                }
            }
        }
        RouteTable { seed, index, services, instances, service_of, peers, upstream }
    }
}

/// A seeded hash: each eight bytes are folded in by a 128-bit product whose halves are joined.
/// The seed is secret, so that names cannot be chosen to collide.
#[inline]
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let fold = |state: u64, word: u64| {
        let wide = u128::from(state ^ word) * u128::from(ODD);
        wide as u64 ^ (wide >> 64) as u64
    };
    let mut state = fold(seed ^ ODD, bytes.len() as u64 ^ seed.rotate_left(32));
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = fold(state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(fold(state, u64::from_le_bytes(last)), seed)
}

const EMPTY: u32 = u32::MAX;
/// Odd, and about half of its bits set: the fractional part of the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Role};
    use alloc::format;

    fn instance(n: u32, tier: u16, path: Option<&[NodeId]>) -> Instance {
        let node = NodeId::new("home").expect("legal");
        let link = LinkId { shard: 0, slot: n, generation: 1 };
        let slot = Slot { index: n, generation: 1 };
        Instance { node, link, slot, tier, path: path.map(Arc::from), compressions: 0 }
    }

    #[test]
    fn every_service_is_found_and_nothing_else() {
        let rules = Config::new(Role::Main).rules("any");
        let mut builder = TableBuilder::new(7, 1000);
        for n in 0..1000 {
            let name = Arc::from(format!("service-{n}"));
            builder.service(name, rules, core::iter::once(instance(n, 0, None)));
        }
        let link = LinkId { shard: 0, slot: 5, generation: 1 };
        let upstream = Upstream { link, compressions: 1 };
        let main = NodeId::new("main").expect("legal");
        let table = builder.build(Some(upstream), vec![(main, link)]);
        for n in 0..1000 {
            let route = table.route(&format!("service-{n}")).expect("known");
            assert_eq!((route.near.len(), route.near[0].link.slot, route.far.len()), (1, n, 0));
            let (name, _) = table.route_of(route.near[0].slot).expect("in use");
            assert_eq!(**name, format!("service-{n}"));
        }
        assert!(table.route("service-1000").is_none() && table.route("").is_none());
        assert_eq!((table.upstream(), table.peer("main")), (Some(upstream), Some(link)));
        assert_eq!(table.peer("other"), None);
    }

    #[test]
    fn near_instances_come_first_and_tiers_are_in_order() {
        let rules = Config::new(Role::Main).rules("any");
        let path = [NodeId::new("main").expect("legal")];
        let mut builder = TableBuilder::new(7, 4);
        let mixed = [(0, 2, true), (1, 1, false), (2, 1, true), (3, 0, false)];
        let instances =
            mixed.map(|(n, tier, far)| instance(n, tier, far.then_some(&path as &[NodeId])));
        builder.service(Arc::from("a"), rules, instances.into_iter());
        let table = builder.build(None, Vec::new());
        let route = table.route("a").expect("known");
        let slots = |instances: &[Instance]| -> Vec<u32> {
            instances.iter().map(|instance| instance.slot.index).collect()
        };
        assert_eq!((slots(route.near), slots(route.far)), (vec![3, 1], vec![2, 0]));
    }

    #[test]
    fn the_hash_depends_on_seed_and_length() {
        assert_ne!(hash(1, b"blog"), hash(2, b"blog"));
        assert_ne!(hash(1, b"blog"), hash(1, b"blog\0"));
    }
}
