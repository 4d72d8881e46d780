//! Where services are, as the data plane sees it: an immutable snapshot, replaced whole.

use crate::name::NodeId;
use crate::outbox::LinkId;
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
    /// Where everything goes that is not offered here: the Main of a Home or a caller.
    upstream: Option<LinkId>,
}

#[derive(Debug)]
struct ServiceRoute {
    name: Arc<str>,
    first: u32,
    count: u32,
}

/// One node that offers a service.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) node: NodeId,
    pub(crate) link: LinkId,
}

impl RouteTable {
    /// An empty table.
    pub(crate) fn empty() -> Self {
        Self::build(0, None, core::iter::empty::<(Arc<str>, core::iter::Empty<Instance>)>())
    }

    /// Builds a table from services, each with its instances.
    pub(crate) fn build<I: Iterator<Item = Instance>>(
        seed: u64,
        upstream: Option<LinkId>,
        services: impl Iterator<Item = (Arc<str>, I)>,
    ) -> Self {
        let mut table =
            Self { seed, index: Vec::new(), services: Vec::new(), instances: Vec::new(), upstream };
        for (name, instances) in services {
            let first = table.instances.len() as u32;
            table.instances.extend(instances);
            let count = table.instances.len() as u32 - first;
            table.services.push(ServiceRoute { name, first, count });
        }
        let size = (table.services.len() * 2).next_power_of_two().max(2);
        table.index = vec![EMPTY; size];
        for (at, service) in table.services.iter().enumerate() {
            let mut place = hash(seed, service.name.as_bytes()) as usize & (size - 1);
            while table.index[place] != EMPTY {
                place = (place + 1) & (size - 1);
            }
            table.index[place] = at as u32;
        }
        table
    }

    /// The nodes that offer `service`.
    #[inline]
    pub(crate) fn instances(&self, service: &str) -> &[Instance] {
        let mask = self.index.len() - 1;
        let mut place = hash(self.seed, service.as_bytes()) as usize & mask;
        loop {
            let at = self.index[place];
            if at == EMPTY {
                return &[];
            }
            let route = &self.services[at as usize];
            if &*route.name == service {
                return &self.instances[route.first as usize..(route.first + route.count) as usize];
            }
            place = (place + 1) & mask;
        }
    }

    /// The link to the Main of this node.
    pub(crate) const fn upstream(&self) -> Option<LinkId> {
        self.upstream
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
    use alloc::format;
    use core::iter;

    #[test]
    fn every_service_is_found_and_nothing_else() {
        let link = |n: u32| LinkId { shard: 0, slot: n, generation: 1 };
        let node = NodeId::new("home").expect("legal");
        let names: Vec<Arc<str>> = (0..1000).map(|n| Arc::from(format!("service-{n}"))).collect();
        let services = names.iter().zip(0..).map(|(name, n)| {
            (Arc::clone(name), iter::once(Instance { node: node.clone(), link: link(n) }))
        });
        let table = RouteTable::build(7, Some(link(5)), services);
        for (name, n) in names.iter().zip(0..) {
            let found = table.instances(name);
            assert_eq!((found.len(), found[0].link), (1, link(n)));
        }
        assert!(table.instances("service-1000").is_empty() && table.instances("").is_empty());
        assert_eq!(table.upstream(), Some(link(5)));
    }

    #[test]
    fn the_hash_depends_on_seed_and_length() {
        assert_ne!(hash(1, b"blog"), hash(2, b"blog"));
        assert_ne!(hash(1, b"blog"), hash(1, b"blog\0"));
    }
}
