//! Who offers what, until when: the control plane's truth, from which route tables are made.

use crate::config::Limits;
use crate::error::ErrorCode;
use crate::holdings::Holdings;
use crate::name::NodeId;
use crate::outbox::LinkId;
use crate::slots::Slot;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// All registrations, by service and node.
#[derive(Debug, Default)]
pub struct Registry {
    services: BTreeMap<Arc<str>, BTreeMap<NodeId, Registration>>,
    count: u32,
    /// When to look at which registration; an entry may be early, never late.
    expiry: BTreeSet<(Instant, Arc<str>, NodeId)>,
}

/// One node's offer of one service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The link to the node; of the local application for services of this node.
    pub link: LinkId,
    /// The methods announced; none means that any may be tried.
    pub methods: Arc<[Arc<str>]>,
    /// What the node says of itself, as packed pairs of key and value.
    pub labels: Arc<[u8]>,
    /// First bytes of the hash of the node's key.
    pub(crate) key: [u8; 8],
    /// Where shards keep what they know of the instance.
    pub(crate) slot: Slot,
    /// Rises with every change of what this Main announces.
    pub(crate) seq: u64,
    /// When it was last confirmed.
    pub confirmed_at: Instant,
    /// When it ends unless it is confirmed; never for services of this node.
    pub expires_at: Option<Instant>,
    /// Life after each confirmation.
    pub(crate) ttl: Duration,
    /// Under which time it stands in the list of expiries: `expires_at` or earlier.
    pub(crate) listed_at: Option<Instant>,
}

impl Registration {
    /// What the node says of itself under this key, such as `zone`.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        crate::federation::label(&self.labels, key)
    }
}

/// Whose offer of which service.
pub(crate) type Offer = (Arc<str>, NodeId);

impl Registry {
    /// All registrations, ordered by service and node.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &NodeId, &Registration)> {
        self.services.iter().flat_map(|(service, nodes)| {
            nodes.iter().map(move |(node, registration)| (&**service, node, registration))
        })
    }

    /// What all registrations take.
    pub(crate) fn holdings(&self) -> Holdings {
        Holdings::default()
            .entries::<(Offer, Registration)>(self.count as usize)
            .entries::<(Instant, Offer)>(self.expiry.len())
    }

    /// The registration of one service by one node.
    #[must_use]
    pub fn get(&self, service: &str, node: &NodeId) -> Option<&Registration> {
        self.services.get(service)?.get(node)
    }

    /// The registrations of one service, ordered by node.
    pub fn offers(&self, service: &str) -> impl Iterator<Item = (&NodeId, &Registration)> {
        self.services.get(service).into_iter().flatten()
    }

    /// Registrations in all.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether nothing is registered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds or replaces an offer; tells whether it is new.
    pub(crate) fn register(
        &mut self,
        offer: Offer,
        mut registration: Registration,
        limits: &Limits,
    ) -> Result<bool, ErrorCode> {
        let (service, node) = offer;
        let known = self.services.get(&*service).and_then(|nodes| nodes.get(&node));
        let listed_at = known.and_then(|known| known.listed_at);
        let known = known.is_some();
        if !known && self.count >= limits.services_max {
            return Err(ErrorCode::Overloaded);
        }
        self.unlist(listed_at, &service, &node);
        registration.listed_at = registration.expires_at;
        if let Some(at) = registration.expires_at {
            self.expiry.insert((at, Arc::clone(&service), node.clone()));
        }
        self.services.entry(service).or_default().insert(node, registration);
        self.count += u32::from(!known);
        Ok(!known)
    }

    /// Removes an offer, if it is still the one made over `link`.
    pub(crate) fn withdraw(
        &mut self,
        service: &str,
        node: &NodeId,
        link: LinkId,
    ) -> Option<Registration> {
        let nodes = self.services.get_mut(service)?;
        nodes.get(node).filter(|found| found.link == link)?;
        let registration = nodes.remove(node)?;
        if nodes.is_empty() {
            self.services.remove(service);
        }
        self.count -= 1;
        self.unlist(registration.listed_at, service, node);
        Some(registration)
    }

    fn unlist(&mut self, listed_at: Option<Instant>, service: &str, node: &NodeId) {
        if let Some(at) = listed_at {
            self.expiry.remove(&(at, Arc::from(service), node.clone()));
        }
    }

    /// Confirms an offer made over `link`.
    pub(crate) fn confirm(&mut self, service: &str, node: &NodeId, link: LinkId, now: Instant) {
        let registration = self.services.get_mut(service).and_then(|nodes| nodes.get_mut(node));
        if let Some(registration) = registration.filter(|registration| registration.link == link) {
            registration.confirmed_at = now;
            // The entry in `expiry` stays early; it is moved when it comes up.
            if registration.expires_at.is_some() {
                registration.expires_at = Some(now.after(registration.ttl));
            }
        }
    }

    /// Removes every offer whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(Offer, Registration)> {
        let mut gone = Vec::new();
        while self.expiry.first().is_some_and(|(at, _, _)| *at <= now) {
            let Some((_, service, node)) = self.expiry.pop_first() else { break };
            let nodes = self.services.get_mut(&*service);
            let Some(registration) = nodes.and_then(|nodes| nodes.get_mut(&node)) else { continue };
            registration.listed_at = registration.expires_at;
            match registration.expires_at {
                Some(at) if at > now => {
                    self.expiry.insert((at, service, node));
                }
                Some(_) => {
                    let link = registration.link;
                    if let Some(registration) = self.withdraw(&service, &node, link) {
                        gone.push(((service, node), registration));
                    }
                }
                None => {}
            }
        }
        gone
    }

    /// When `expire` has to be called next.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiry.first().map(|(at, _, _)| *at)
    }

    /// Every service with its registrations, ordered by name.
    pub(crate) fn services(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<NodeId, Registration>)> {
        self.services.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId { shard: 0, slot: 4, generation: 1 };

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn offer(service: &str, node: &str) -> Offer {
        (Arc::from(service), NodeId::new(node).expect("legal"))
    }

    fn registration(link: LinkId, now: Instant) -> Registration {
        let ttl = Duration::from_secs(10);
        let expires_at = Some(now.after(ttl));
        Registration {
            link,
            methods: Arc::from([]),
            labels: Arc::from([]),
            key: [0; 8],
            slot: Slot::NONE,
            seq: 0,
            confirmed_at: now,
            expires_at,
            ttl,
            listed_at: None,
        }
    }

    fn registry(offers: &[(&str, &str)]) -> Registry {
        let mut registry = Registry::default();
        for (service, node) in offers {
            let new = registration(LINK, at(0));
            assert_eq!(registry.register(offer(service, node), new, &Limits::default()), Ok(true));
        }
        registry
    }

    #[test]
    fn an_offer_expires_unless_it_is_confirmed() {
        let mut registry = registry(&[("blog", "a"), ("shop", "a")]);
        let node = NodeId::new("a").expect("legal");
        registry.confirm("blog", &node, LINK, at(5));
        assert!(registry.expire(at(9)).is_empty());
        let gone = registry.expire(at(10));
        assert_eq!((gone.len(), &gone[0].0, gone[0].1.link), (1, &offer("shop", "a"), LINK));
        assert_eq!((registry.len(), registry.next_expiry()), (1, Some(at(15))));
        assert_eq!(registry.expire(at(15)).len(), 1);
        assert!(registry.is_empty() && registry.next_expiry().is_none());
    }

    #[test]
    fn the_end_of_an_old_link_leaves_the_new_offer() {
        let mut registry = registry(&[("blog", "a")]);
        let newer = LinkId { generation: 2, ..LINK };
        let limits = Limits::default();
        let again = registry.register(offer("blog", "a"), registration(newer, at(1)), &limits);
        assert_eq!(again, Ok(false));
        let node = NodeId::new("a").expect("legal");
        assert_eq!(registry.withdraw("blog", &node, LINK), None);
        assert!(registry.withdraw("blog", &node, newer).is_some() && registry.is_empty());
    }

    #[test]
    fn the_number_of_offers_is_bounded() {
        let mut registry = registry(&[("a", "x"), ("b", "x")]);
        let limits = Limits { services_max: 2, ..Limits::default() };
        let refused = registry.register(offer("c", "x"), registration(LINK, at(0)), &limits);
        assert_eq!(refused, Err(ErrorCode::Overloaded));
        assert_eq!(
            registry.register(offer("a", "x"), registration(LINK, at(0)), &limits),
            Ok(false)
        );
    }
}
