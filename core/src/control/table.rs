//! From what this node knows to what its shards look up.

use super::{Control, Linked, Stale, ZONE};
use crate::compress::Compression;
use crate::config::Role;
use crate::federation::label;
use crate::mail::{MailBody, MailTo};
use crate::name::NodeId;
use crate::outbox::{LinkId, Outbox};
use crate::route::{Instance, RouteTable, TableBuilder, Upstream};
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Control {
    /// Publishes a new route table: at once while tables are small, so that what is registered can
    /// be called; large ones at most once in the publish interval.
    pub(super) fn changed(&mut self, now: Instant, out: &mut Outbox) {
        self.stale.routes = true;
        self.publish(now, out);
    }

    /// The same for what other Mains want.
    pub(super) fn interests_changed(&mut self, now: Instant, out: &mut Outbox) {
        self.stale.interests = true;
        self.publish(now, out);
    }

    /// When shards may be told of the routes, and of the interests.
    fn publish_due(&self) -> (Instant, Instant) {
        let interval = self.config.limits.publish_interval;
        let offers = self.registry.len() + self.federation.len();
        let routes_at = if offers <= PUBLISHED_AT_ONCE_MAX {
            Instant::ZERO
        } else {
            self.published_at.after(interval)
        };
        // The tree is built anew from all patterns: the more there are, the longer one has to do.
        let (told_at, patterns) = self.interests_told;
        (routes_at, told_at.after(interval * (patterns / PATTERNS_PER_INTERVAL)))
    }

    /// Tells shards what has changed and may be told, and says when the rest may be.
    pub(super) fn publish(&mut self, now: Instant, out: &mut Outbox) {
        let (routes_at, interests_at) = self.publish_due();
        let is_due = Stale {
            routes: self.stale.routes && routes_at <= now,
            interests: self.stale.interests && interests_at <= now,
        };
        self.stale.routes &= !is_due.routes;
        self.stale.interests &= !is_due.interests;
        let later =
            [self.stale.routes.then_some(routes_at), self.stale.interests.then_some(interests_at)];
        self.publish_at = later.into_iter().flatten().min();
        if is_due.routes {
            self.published_at = now;
            let table = Arc::new(self.table());
            for shard in 0..self.shards {
                out.mail(MailTo::Shard(shard), MailBody::Routes(Arc::clone(&table)));
            }
        }
        if is_due.interests && self.config.is_main() {
            let interests = Arc::new(self.interests());
            self.interests_told = (now, interests.len());
            for shard in 0..self.shards {
                out.mail(MailTo::Shard(shard), MailBody::Interests(Arc::clone(&interests)));
            }
        }
    }

    /// Merges what is attached here with what other Mains offer, service by service.
    fn table(&self) -> RouteTable {
        let mut builder = TableBuilder::new(self.hash_seed, self.slots.len());
        let mut own = self.registry.services().peekable();
        let is_main = self.config.is_main();
        let federation = is_main.then(|| self.federation.services());
        let mut learned = federation.into_iter().flatten().peekable();
        let mut instances: Vec<Instance> = Vec::new();
        loop {
            let name = match (own.peek(), learned.peek()) {
                (Some((a, _)), Some((b, _))) => Arc::clone(if a <= b { a } else { b }),
                (Some((name, _)), None) => Arc::clone(name),
                (None, Some((name, _))) => Arc::clone(name),
                (None, None) => break,
            };
            let rules = self.config.rules(&name);
            let tier = |distance: usize, labels: &[u8], is_leaving: bool| {
                let zone = &self.config.zone;
                let far = !zone.is_empty() && label(labels, ZONE) != Some(zone.as_str());
                let distance = u16::try_from(distance).unwrap_or(MOST) & MOST;
                u16::from(is_leaving) << 8 | distance << 1 | u16::from(far && rules.prefer_zone)
            };
            if let Some((_, nodes)) = own.next_if(|(own, _)| **own == name) {
                instances.extend(nodes.iter().map(|(node, registration)| Instance {
                    node: node.clone(),
                    link: registration.link,
                    slot: registration.slot,
                    tier: tier(0, &registration.labels, false),
                    path: None,
                    compressions: self.compressions(registration.link),
                }));
            }
            if let Some((_, places)) = learned.next_if(|(learned, _)| **learned == name) {
                instances.extend(places.map(|(node, link, learned)| Instance {
                    node: node.clone(),
                    link,
                    slot: learned.slot,
                    tier: tier(learned.path.len(), &learned.labels, self.is_leaving(link)),
                    path: Some(Arc::clone(&learned.path)),
                    compressions: self.compressions(link),
                }));
            }
            if !instances.is_empty() {
                builder.service(name, rules, instances.drain(..));
            }
        }
        let upstream = |link| Upstream { link, compressions: self.compressions(link) };
        builder.build(self.upstream().map(upstream), self.peers())
    }

    /// What requests over this link may be compressed with; those that end here must be read here.
    fn compressions(&self, link: LinkId) -> u8 {
        let own = Compression::BUILT & self.config.compressions;
        self.links.get(&link).map_or(own, |linked| linked.peer.capabilities.compressions)
    }

    fn is_leaving(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|linked| linked.is_leaving)
    }

    /// The Mains that this one is linked to.
    fn peers(&self) -> Vec<(NodeId, LinkId)> {
        if !self.config.is_main() {
            return Vec::new();
        }
        let is_main = |link: &&LinkId| {
            self.links.get(link).is_some_and(|linked: &Linked| linked.peer.role == Role::Main)
        };
        let mains = self.nodes.iter().filter(|(_, link)| is_main(link));
        mains.map(|(node, link)| (node.clone(), *link)).collect()
    }
}

/// A table of so many offers is built in some ten microseconds.
const PUBLISHED_AT_ONCE_MAX: u32 = 1_024;
/// Patterns of other Mains for each publish interval that passes before shards are told of them
/// again.
const PATTERNS_PER_INTERVAL: u32 = 256;
/// The largest distance that a tier tells apart.
const MOST: u16 = 0x7f;
