//! What this Main tells its peers: all at first, then every change, and from time to time a digest
//! that confirms the rest.
//!
//! Each Main announces what is attached to itself, and alone writes epoch and seq of that. What it
//! learned from other peers it passes on as long as a call may cross so many Mains (with the
//! default of three hops: not at all).

use super::{Control, Linked};
use crate::config::Role;
use crate::event::Event;
use crate::federation::{Offer, hash_of};
use crate::holdings::Holdings;
use crate::mail::{MailBody, MailTo};
use crate::message::{ControlMessage, Page, Record, Texts, interest};
use crate::name::NodeId;
use crate::outbox::{LinkId, Outbox};
use crate::shard::control_payload;
use crate::time::{Instant, millis};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// The side of a Main that its peers see.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    /// This life of the node; rises from one life to the next.
    pub(super) epoch: u64,
    /// The same by the clock alone.
    born: u64,
    /// Rises with every change of what is attached here.
    pub(super) seq: u64,
    links: BTreeMap<LinkId, PeerLink>,
    /// When changes are to be announced, if there are any.
    announce_at: Option<Instant>,
    announced_at: Instant,
    /// When the next digests are due.
    digest_at: Option<Instant>,
    /// When the way to the peers is to be measured again.
    measure_at: Instant,
}

/// One peer, as far as it was told.
#[derive(Debug, Default)]
struct PeerLink {
    /// It said which life of this node it knows; before that nothing is announced to it.
    is_greeted: bool,
    /// What it was told and was not taken back, each with its hash.
    told: BTreeMap<Offer, u64>,
    sum: u64,
    /// What may have changed since.
    changed: BTreeSet<Offer>,
}

impl Announcer {
    /// What is remembered of what peers were told.
    pub(super) fn holdings(&self) -> Holdings {
        let told = self.links.values().map(|link| link.told.len() + link.changed.len()).sum();
        let all = Holdings::default().entries::<(LinkId, PeerLink)>(self.links.len());
        all.entries::<(Offer, u64)>(told)
    }

    /// The next number for a change of what is attached here.
    pub(super) const fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub(super) fn next(&self) -> Option<Instant> {
        [self.announce_at, self.digest_at].into_iter().flatten().min()
    }

    /// Where this life stands among others of the same node.
    pub(super) const fn start_life(&mut self, unix_seconds: u64, lot: u64) {
        if self.epoch == 0 {
            self.epoch = (unix_seconds << EPOCH_LOT_BITS) | (lot >> (64 - EPOCH_LOT_BITS)) | 1;
            self.born = self.epoch;
        }
    }
}

impl Control {
    /// A link to another Main is up: both say first what they know of each other.
    pub(super) fn peer_up(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        let Some(linked) = self.links.get(&link) else { return };
        let epoch_seen = self.federation.epoch_of(&linked.peer.node);
        self.federation.link_up(link, now);
        self.announcer.links.insert(link, PeerLink::default());
        let due = now.after(self.confirm_every());
        self.announcer.digest_at.get_or_insert(due);
        self.send(link, &ControlMessage::Hello { epoch_seen }, out);
    }

    /// A link to another Main ended: what it announced is gone with it.
    pub(super) fn peer_down(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        if self.announcer.links.remove(&link).is_none() {
            return;
        }
        let offers = self.federation.link_down(link, now, &mut self.slots);
        self.learned_changed(offers, now, out);
    }

    /// A peer says which life of this node is the newest it heard of.
    pub(super) fn greeted(
        &mut self,
        link: LinkId,
        epoch_seen: u64,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.announcer.links.get_mut(&link) else { return };
        peer.is_greeted = true;
        let believed = epoch_seen <= self.announcer.born.saturating_add(EPOCHS_AHEAD_MAX);
        if epoch_seen > self.announcer.epoch && believed {
            // An earlier life had a clock that was ahead; nobody would listen to this one.
            self.announcer.epoch = epoch_seen.saturating_add(1);
            let links: Vec<LinkId> = self.announcer.links.keys().copied().collect();
            links.into_iter().for_each(|link| self.tell_all(link));
        } else {
            self.tell_all(link);
        }
        self.announce_soon(now, out);
    }

    /// A peer does not have what it was told: it is told again.
    pub(super) fn resync(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        let Some(peer) = self.announcer.links.get_mut(&link) else { return };
        peer.told.clear();
        peer.sum = 0;
        self.tell_all(link);
        self.announce_soon(now, out);
    }

    fn tell_all(&mut self, link: LinkId) {
        let own = self.registry.iter().map(|(service, node, _)| self.own_offer(service, node));
        let mut all: BTreeSet<Offer> = own.chain(self.own_interests()).collect();
        if self.config.limits.mains_max() > 1 {
            all.extend(self.federation.offers());
        }
        if let Some(peer) = self.announcer.links.get_mut(&link) {
            peer.changed.extend(peer.told.keys().cloned());
            peer.changed.append(&mut all);
        }
    }

    fn own_offer(&self, service: &str, node: &NodeId) -> Offer {
        Offer { service: Arc::from(service), node: node.clone(), origin: self.node.clone() }
    }

    /// Something that is attached here has changed.
    pub(super) fn own_changed(
        &mut self,
        service: &str,
        node: &NodeId,
        now: Instant,
        out: &mut Outbox,
    ) {
        if self.announcer.links.is_empty() {
            return;
        }
        self.tell_peers_of(Vec::from([self.own_offer(service, node)]), now, out);
    }

    /// What peers may be told of these offers has changed.
    pub(super) fn tell_peers_of(&mut self, offers: Vec<Offer>, now: Instant, out: &mut Outbox) {
        for peer in self.announcer.links.values_mut() {
            peer.changed.extend(offers.iter().cloned());
        }
        self.announce_soon(now, out);
    }

    /// Announces changes at once, unless some were announced a moment ago.
    fn announce_soon(&mut self, now: Instant, out: &mut Outbox) {
        let at = self.announcer.announced_at.after(ANNOUNCE_INTERVAL);
        if at <= now {
            self.announce(now, out);
        } else {
            self.announcer.announce_at = Some(at);
        }
    }

    /// Announces every change to every peer.
    fn announce(&mut self, now: Instant, out: &mut Outbox) {
        self.announcer.announce_at = None;
        self.announcer.announced_at = now;
        let links: Vec<LinkId> = self.announcer.links.keys().copied().collect();
        for link in links {
            let Some(peer) = self.announcer.links.get_mut(&link) else { continue };
            if !peer.is_greeted || peer.changed.is_empty() {
                continue;
            }
            let mut peer = core::mem::take(peer);
            let mut page = Page::default();
            for offer in core::mem::take(&mut peer.changed) {
                if self.write_change(link, &mut peer, offer, &mut page, now) {
                    self.send_page(link, &mut page, out);
                }
            }
            self.send_page(link, &mut page, out);
            self.announcer.links.insert(link, peer);
        }
    }

    fn send_page(&self, link: LinkId, page: &mut Page, out: &mut Outbox) {
        if let Some(page) = page.take() {
            self.send(link, &ControlMessage::Announce { page: &page }, out);
        }
    }

    /// Writes what there is to say of an offer to a peer. Tells whether the page is full.
    fn write_change(
        &self,
        link: LinkId,
        peer: &mut PeerLink,
        offer: Offer,
        page: &mut Page,
        now: Instant,
    ) -> bool {
        let Some(to) = self.links.get(&link) else { return false };
        let (mut packed, mut way) = (Vec::new(), Vec::new());
        let known = peer.told.get(&offer).copied();
        let Some(stand) = self.stand(&offer, to, now) else {
            if known.is_none() {
                return false;
            }
            peer.sum = peer.sum.wrapping_sub(known.unwrap_or_default());
            peer.told.remove(&offer);
            return page.push(&self.farewell(&offer));
        };
        let hash = hash_of(&offer, stand.epoch, stand.seq, &stand.path);
        if known == Some(hash) {
            return false;
        }
        let full = page.push(&Record::Up {
            origin: offer.origin.as_str(),
            epoch: stand.epoch,
            seq: stand.seq,
            service: &offer.service,
            node: offer.node.as_str(),
            key: stand.key,
            methods: Texts::pack(stand.methods.iter(), &mut packed),
            labels: Texts(&stand.labels),
            ttl_ms: millis(stand.left),
            path: Texts::pack(stand.path.iter(), &mut way),
        });
        peer.sum = peer.sum.wrapping_sub(known.unwrap_or_default()).wrapping_add(hash);
        peer.told.insert(offer, hash);
        full
    }

    /// How an offer stands for a peer, if it can be called through this node.
    fn stand(&self, offer: &Offer, to: &Linked, now: Instant) -> Option<Stand> {
        if offer.origin == self.node
            && let Some(pattern) = interest(&offer.service)
        {
            return self.subscriptions.announced(pattern).map(|seq| Stand {
                epoch: self.announcer.epoch,
                seq,
                key: [0; 8],
                methods: Arc::from([]),
                labels: Arc::from([]),
                left: self.at_least(self.config.limits.registry_ttl),
                path: Vec::from([self.node.clone()]),
            });
        }
        if offer.origin == self.node {
            let found = self.registry.get(&offer.service, &offer.node)?;
            return Some(Stand {
                epoch: self.announcer.epoch,
                seq: found.seq,
                key: found.key,
                methods: Arc::clone(&found.methods),
                labels: Arc::clone(&found.labels),
                left: self.at_least(found.expires_at.map_or(found.ttl, |at| at.since(now))),
                path: Vec::from([self.node.clone()]),
            });
        }
        let found = self.federation.best(offer, &to.peer.node)?;
        if found.path.len() >= self.config.limits.mains_max() {
            return None;
        }
        let mut path = Vec::from([self.node.clone()]);
        path.extend(found.path.iter().cloned());
        Some(Stand {
            epoch: found.epoch,
            seq: found.seq,
            key: found.key,
            methods: Arc::clone(&found.methods),
            labels: Arc::clone(&found.labels),
            left: self.at_least(found.expires_at().since(now)),
            path,
        })
    }

    /// How often digests go out: often enough that no lease ends between two of them.
    pub(super) fn confirm_every(&self) -> Duration {
        let limits = &self.config.limits;
        limits.health_interval.min(limits.registry_ttl / 3)
    }

    /// A lease that is about to end is probably refreshed before the next digest; if not, that is
    /// announced.
    fn at_least(&self, left: Duration) -> Duration {
        left.max(self.confirm_every() * 2)
    }

    /// What is said of an offer that was announced and does not stand any more.
    fn farewell<'a>(&self, offer: &'a Offer) -> Record<'a> {
        let (origin, service, node) = (offer.origin.as_str(), &*offer.service, offer.node.as_str());
        let ended = if offer.origin == self.node {
            Some((self.announcer.epoch, self.announcer.seq))
        } else {
            self.federation.ended(offer)
        };
        match ended {
            Some((epoch, seq)) => Record::Down { origin, epoch, seq, service, node },
            None => Record::Lost { origin, service, node },
        }
    }

    /// Does what is due among Mains.
    pub(super) fn tend_peers(&mut self, now: Instant, out: &mut Outbox) {
        if self.federation.next_expiry().is_some_and(|at| at <= now) {
            let gone = self.federation.expire(now, &mut self.slots);
            let offers = gone.into_iter().map(|(offer, _)| offer).collect();
            self.learned_changed(offers, now, out);
        }
        if self.announcer.announce_at.is_some_and(|at| at <= now) {
            self.announce(now, out);
        }
        if self.announcer.digest_at.is_some_and(|at| at <= now) {
            self.send_digests(now, out);
        }
    }

    fn send_digests(&mut self, now: Instant, out: &mut Outbox) {
        let limits = &self.config.limits;
        let again = now.after(self.confirm_every());
        let is_alone = self.announcer.links.is_empty();
        self.announcer.digest_at = (!is_alone).then_some(again);
        self.federation.forget_old_words(limits.registry_ttl, now);
        let measures = self.announcer.measure_at <= now;
        if measures {
            self.announcer.measure_at = now.after(limits.health_interval);
        }
        for (link, peer) in &self.announcer.links {
            if peer.is_greeted && !planted!("digest_forgotten") {
                let (count, sum) = (peer.told.len() as u32, peer.sum);
                self.send(*link, &ControlMessage::Digest { count, sum }, out);
            }
            if measures {
                out.mail(MailTo::Shard(link.shard), MailBody::Ping { link: *link });
            }
        }
    }

    /// Writes a control message to a link.
    pub(super) fn send(&self, link: LinkId, message: &ControlMessage<'_>, out: &mut Outbox) {
        let payload = control_payload(message);
        out.mail(MailTo::Shard(link.shard), MailBody::Send { link, payload });
    }

    /// A peer says that it is about to leave.
    pub(super) fn peer_leaves(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        let Some(linked) = self.links.get_mut(&link) else { return };
        linked.is_leaving = true;
        let node = linked.peer.node.clone();
        let dial = linked.dial;
        out.event(Event::Goodbye {
            link,
            node,
            reason: crate::CloseReason::Shutdown,
            message: String::from("about to leave"),
        });
        if self.config.role == Role::Main {
            return self.changed(now, out);
        }
        if let Some(dial) = dial {
            self.dials.leave(dial, link, now, &mut self.generator);
        }
    }
}

/// An offer as a peer is told of it.
struct Stand {
    epoch: u64,
    seq: u64,
    key: [u8; 8],
    methods: Arc<[Arc<str>]>,
    labels: Arc<[u8]>,
    left: Duration,
    path: Vec<NodeId>,
}

/// Changes that come within this time are announced together.
const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(20);
/// Lives that start in the same second differ by lot.
const EPOCH_LOT_BITS: u32 = 20;
/// A hundred years. A peer that lies must not use up the lives that this node may have.
const EPOCHS_AHEAD_MAX: u64 = (100 * 366 * 24 * 3_600) << EPOCH_LOT_BITS;
