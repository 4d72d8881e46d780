//! What other Mains offer, and through which of them: what they announced, link by link.
//!
//! An offer is known by service, node and origin (the Main to which the node is attached). It may
//! be announced by several peers, each with its own path. What a peer announced counts as long as
//! its link lives; the newest word of the origin counts whichever way it took.

use crate::config::Limits;
use crate::holdings::Holdings;
use crate::message::{Record, Texts, interest};
use crate::name::NodeId;
use crate::outbox::LinkId;
use crate::slots::{Slot, Slots};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

mod count;
mod hash;
mod marks;

use count::Count;
pub(crate) use hash::hash_of;
use marks::{Marks, Word};

/// Everything that peers announced.
#[derive(Debug, Default)]
pub struct Federation {
    services: BTreeMap<Arc<str>, BTreeMap<Place, Learned>>,
    peers: BTreeMap<LinkId, Told>,
    marks: Marks,
    /// When to look at which offer; an entry may be early, never late.
    expiry: BTreeSet<(Instant, Offer, LinkId)>,
    /// Where shards keep what they know of a service behind a peer, and for how many offers.
    slots: BTreeMap<(Arc<str>, LinkId), (Slot, u32)>,
    count: Count,
}

/// Whose offer of which service, and at which Main.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Offer {
    pub(crate) service: Arc<str>,
    pub(crate) node: NodeId,
    pub(crate) origin: NodeId,
}

/// Where an offer of a service comes from.
type Place = (NodeId, NodeId, LinkId);

/// An offer, as one peer announced it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Learned {
    /// The methods announced; none means that any may be tried.
    pub methods: Arc<[Arc<str>]>,
    /// What the node says of itself, as packed pairs of key and value.
    pub labels: Arc<[u8]>,
    /// The Mains that a call crosses, the peer first and the origin last.
    pub path: Arc<[NodeId]>,
    /// The life of the origin.
    pub epoch: u64,
    /// Which of its changes this is.
    pub seq: u64,
    /// When it was announced or last confirmed.
    pub confirmed_at: Instant,
    /// Calls may go there. If not, it is only kept because the peer counts it.
    pub usable: bool,
    pub(crate) key: [u8; 8],
    pub(crate) slot: Slot,
    ttl: Duration,
    hash: u64,
    listed_at: Instant,
}

/// What one peer announced, all together.
#[derive(Debug, Default)]
struct Told {
    count: Count,
    sum: u64,
    offers: BTreeSet<Offer>,
    confirmed_at: Instant,
    /// Something was not taken, so that the counts cannot agree.
    is_over: bool,
    /// When it was asked last to announce everything again.
    asked_at: Option<Instant>,
}

/// What an announcement changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// Nothing that matters to anyone.
    None,
    /// Where calls may go, or publications.
    Routes,
    /// The same, and with it everything of earlier lives of the origin.
    Life,
    /// Nothing: the peer announces more than it may, for the first time on this link.
    OverQuota,
    /// The peer says what no Main says.
    Broken,
}

impl Federation {
    /// Every offer that calls may use, with its node, its origin and the link to the peer.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &NodeId, &NodeId, LinkId, &Learned)> {
        self.real_services().flat_map(|(service, places)| {
            places.iter().filter(|(_, learned)| learned.usable).map(
                move |((node, origin, link), learned)| (&**service, node, origin, *link, learned),
            )
        })
    }

    /// Every pattern of topics that subscribers at another Main want, with that Main and the link
    /// to the peer through which it is reached.
    pub fn interests(&self) -> impl Iterator<Item = (&str, &NodeId, LinkId, &Learned)> {
        self.services.iter().filter_map(|(name, places)| Some((interest(name)?, places))).flat_map(
            |(pattern, places)| {
                let usable = places.iter().filter(|(_, learned)| learned.usable);
                usable.map(move |((_, origin, link), learned)| (pattern, origin, *link, learned))
            },
        )
    }

    fn real_services(&self) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<Place, Learned>)> {
        self.services.iter().filter(|(name, _)| interest(name).is_none())
    }

    /// What is known takes so much.
    pub(crate) fn holdings(&self) -> Holdings {
        let told = self.peers.values().map(|told| told.offers.len()).sum();
        self.marks
            .holdings()
            .entries::<(Place, Learned)>(self.count.all() as usize)
            .entries::<Offer>(told)
            .entries::<(Instant, Offer, LinkId)>(self.expiry.len())
            .entries::<((Arc<str>, LinkId), (Slot, u32))>(self.slots.len())
    }

    /// Offers of services: those that calls may use and such that are only kept.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.count.services()
    }

    /// Whether no service was announced.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Offers of services by one peer.
    #[must_use]
    pub fn count_of(&self, link: LinkId) -> u32 {
        self.peers.get(&link).map_or(0, |told| told.count.services())
    }

    /// The usable offers of every service, ordered by name.
    pub(crate) fn services(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = (&NodeId, LinkId, &Learned)>)> {
        self.real_services().map(|(service, places)| {
            let usable = places.iter().filter(|(_, learned)| learned.usable);
            (service, usable.map(|((node, _, link), learned)| (node, *link, learned)))
        })
    }

    /// Who holds a name at another Main: the mark of its key.
    pub(crate) fn holder(&self, node: &NodeId) -> Option<[u8; 8]> {
        let mut all = self.services.values().flat_map(|places| places.iter());
        all.find(|((name, _, _), learned)| name == node && learned.usable).map(|(_, l)| l.key)
    }

    /// The newest life of an origin that anything was heard of.
    pub(crate) fn epoch_of(&self, origin: &NodeId) -> u64 {
        self.marks.epoch_of(origin)
    }

    /// Every offer, for a peer that is told all.
    pub(crate) fn offers(&self) -> impl Iterator<Item = Offer> {
        self.services.iter().flat_map(|(service, places)| {
            places.keys().map(|(node, origin, _)| Offer {
                service: Arc::clone(service),
                node: node.clone(),
                origin: origin.clone(),
            })
        })
    }

    /// The shortest way to an offer that does not lead through `avoid`.
    pub(crate) fn best(&self, offer: &Offer, avoid: &NodeId) -> Option<&Learned> {
        let places = self.services.get(&offer.service)?;
        let first = (offer.node.clone(), offer.origin.clone(), LinkId::LEAST);
        let same = |(node, origin, _): &Place| *node == offer.node && *origin == offer.origin;
        let all = places.range(first..).take_while(|(place, _)| same(place));
        let ways = all.map(|(_, learned)| learned).filter(|l| l.usable && !l.path.contains(avoid));
        ways.min_by(|a, b| (a.path.len(), &a.path).cmp(&(b.path.len(), &b.path)))
    }

    /// The last word of the origin that an offer is over, if that is what it said.
    pub(crate) fn ended(&self, offer: &Offer) -> Option<(u64, u64)> {
        self.marks.ended(offer)
    }

    /// A peer is linked; nothing was announced over the link yet.
    pub(crate) fn link_up(&mut self, link: LinkId, now: Instant) {
        self.peers.insert(link, Told { confirmed_at: now, ..Told::default() });
    }

    /// Takes what a peer announced. `own` is the id of this node.
    pub(crate) fn announced(
        &mut self,
        (link, peer, own): (LinkId, &NodeId, &NodeId),
        record: &Record<'_>,
        limits: &Limits,
        now: Instant,
        slots: &mut Slots,
    ) -> (Offer, Change) {
        let offer = Offer::of(record);
        let change = match record {
            Record::Up { epoch, seq, key, methods, labels, ttl_ms, path, .. } => {
                let path: Arc<[NodeId]> =
                    path.iter().flatten().flat_map(NodeId::new).collect::<Vec<_>>().into();
                let honest = path.first() == Some(peer) && path.last() == Some(&offer.origin);
                if !honest || !is_simple(&path) || path.len() > limits.mains_max() {
                    return (offer, Change::Broken);
                }
                // A path vector refuses its own id; and a Main knows best what it offers itself.
                let elsewhere = !path.contains(own);
                let ttl = Duration::from_millis(u64::from(*ttl_ms)).min(limits.registry_ttl);
                let learned = Learned {
                    methods: methods.iter().flatten().map(Arc::from).collect(),
                    labels: Arc::from(labels.0),
                    epoch: *epoch,
                    seq: *seq,
                    confirmed_at: now,
                    usable: elsewhere,
                    key: *key,
                    slot: Slot::NONE,
                    ttl,
                    hash: hash_of(&offer, *epoch, *seq, &path),
                    listed_at: now.after(ttl),
                    path,
                };
                self.up(link, &offer, learned, limits.services_per_peer_max, now, slots)
            }
            Record::Down { epoch, seq, .. } => {
                let told = self.peers.get(&link).is_some_and(|told| told.offers.contains(&offer));
                if !told && offer.origin != *peer {
                    // It is not for this peer to say; believed, it could end every other Main.
                    return (offer, Change::None);
                }
                self.remove(link, &offer, slots);
                match self.marks.hear(&offer, (*epoch, *seq), true, now) {
                    Word::Old => Change::Routes,
                    Word::New => self.outdate(&offer, *seq),
                    Word::NewLife => self.outdate_life(&offer.origin, *epoch),
                }
            }
            Record::Lost { .. } => {
                self.remove(link, &offer, slots);
                Change::Routes
            }
        };
        (offer, change)
    }

    fn up(
        &mut self,
        link: LinkId,
        offer: &Offer,
        mut learned: Learned,
        offers_max: u32,
        now: Instant,
        slots: &mut Slots,
    ) -> Change {
        self.remove(link, offer, slots);
        let Some(told) = self.peers.get_mut(&link) else { return Change::None };
        if told.count.all() >= offers_max {
            let is_first = !core::mem::replace(&mut told.is_over, true);
            return if is_first { Change::OverQuota } else { Change::None };
        }
        let mut change = Change::Routes;
        if learned.usable {
            match self.marks.hear(offer, (learned.epoch, learned.seq), false, now) {
                Word::Old => learned.usable = planted!("old_word_counts"),
                Word::New => change = self.outdate(offer, learned.seq),
                Word::NewLife => change = self.outdate_life(&offer.origin, learned.epoch),
            }
        }
        let Some(told) = self.peers.get_mut(&link) else { return Change::None };
        told.count.add(offer);
        told.sum = told.sum.wrapping_add(learned.hash);
        told.offers.insert(offer.clone());
        let service = Arc::clone(&offer.service);
        if interest(&service).is_none() {
            let entry = self.slots.entry((service, link));
            let (slot, users) = entry.or_insert_with(|| (slots.take(), 0));
            *users += 1;
            learned.slot = *slot;
        }
        self.expiry.insert((learned.listed_at, offer.clone(), link));
        let places = self.services.entry(Arc::clone(&offer.service)).or_default();
        places.insert(offer.place(link), learned);
        self.count.add(offer);
        change
    }

    /// Forgets what one peer said of an offer.
    fn remove(&mut self, link: LinkId, offer: &Offer, slots: &mut Slots) {
        let Some(places) = self.services.get_mut(&offer.service) else { return };
        let Some(learned) = places.remove(&offer.place(link)) else { return };
        if places.is_empty() {
            self.services.remove(&offer.service);
        }
        self.count.remove(offer);
        self.expiry.remove(&(learned.listed_at, offer.clone(), link));
        let key = (Arc::clone(&offer.service), link);
        if let Some((slot, users)) = self.slots.get_mut(&key) {
            *users -= 1;
            if *users == 0 {
                slots.give_back(*slot);
                self.slots.remove(&key);
            }
        }
        if let Some(told) = self.peers.get_mut(&link) {
            told.count.remove(offer);
            told.sum = told.sum.wrapping_sub(learned.hash);
            told.offers.remove(offer);
        }
    }

    /// What was said of an offer before this change of its origin counts no more.
    fn outdate(&mut self, offer: &Offer, seq: u64) -> Change {
        let places = self.services.get_mut(&offer.service);
        let places = places.into_iter().flatten();
        for ((node, origin, _), learned) in places {
            if *node == offer.node && *origin == offer.origin && learned.seq < seq {
                learned.usable = false;
            }
        }
        Change::Routes
    }

    /// What was said of an earlier life of an origin counts no more.
    fn outdate_life(&mut self, origin: &NodeId, epoch: u64) -> Change {
        for places in self.services.values_mut() {
            for ((_, of, _), learned) in places {
                if of == origin && learned.epoch < epoch {
                    learned.usable = false;
                }
            }
        }
        Change::Life
    }

    /// The link to a peer ended, and with it all that was announced over it.
    pub(crate) fn link_down(
        &mut self,
        link: LinkId,
        now: Instant,
        slots: &mut Slots,
    ) -> Vec<Offer> {
        let Some(told) = self.peers.get(&link) else { return Vec::new() };
        let offers: Vec<Offer> = told.offers.iter().cloned().collect();
        for offer in &offers {
            self.remove(link, offer, slots);
            self.marks.touch(offer, now);
        }
        self.peers.remove(&link);
        offers
    }

    /// A peer says how much it announced in all. If that fits, all of it still stands. If not,
    /// what it announced is forgotten, and the result says so: it has to announce it again. That
    /// costs the peer more than it cost to ask, so it is asked at most once in `pause`.
    pub(crate) fn digest(
        &mut self,
        link: LinkId,
        (count, sum): (u32, u64),
        pause: Duration,
        now: Instant,
        slots: &mut Slots,
    ) -> Option<Vec<Offer>> {
        let told = self.peers.get_mut(&link)?;
        if told.is_over || (told.count.all(), told.sum) == (count, sum) {
            told.confirmed_at = now;
            return None;
        }
        if told.asked_at.is_some_and(|at| now.since(at) < pause) {
            return None;
        }
        let offers = self.link_down(link, now, slots);
        let asked_at = Some(now);
        self.peers.insert(link, Told { confirmed_at: now, asked_at, ..Told::default() });
        Some(offers)
    }

    /// Removes every offer whose lease is over, and words of origins that nobody can contradict
    /// any more.
    pub(crate) fn expire(&mut self, now: Instant, slots: &mut Slots) -> Vec<(Offer, LinkId)> {
        let mut gone = Vec::new();
        while self.expiry.first().is_some_and(|(at, _, _)| *at <= now) {
            let Some((_, offer, link)) = self.expiry.pop_first() else { break };
            let told_at = self.peers.get(&link).map_or(Instant::ZERO, |told| told.confirmed_at);
            let places = self.services.get_mut(&offer.service);
            let learned = places.and_then(|places| places.get_mut(&offer.place(link)));
            let Some(learned) = learned else { continue };
            learned.confirmed_at = learned.confirmed_at.max(told_at);
            let ends_at = learned.confirmed_at.after(learned.ttl);
            if ends_at > now {
                learned.listed_at = ends_at;
                self.expiry.insert((ends_at, offer, link));
            } else {
                self.marks.touch(&offer, now);
                self.remove(link, &offer, slots);
                gone.push((offer, link));
            }
        }
        gone
    }

    /// Forgets words that are older than every lease.
    pub(crate) fn forget_old_words(&mut self, life: Duration, now: Instant) {
        let services = &self.services;
        self.marks.sweep(life, now, |offer| {
            let places = services.get(&offer.service);
            places.is_some_and(|places| {
                let first = (offer.node.clone(), offer.origin.clone(), LinkId::LEAST);
                let next = places.range(first..).next();
                next.is_some_and(|((node, of, _), _)| *node == offer.node && *of == offer.origin)
            })
        });
    }

    /// When `expire` has to be called next.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiry.first().map(|(at, _, _)| *at)
    }
}

impl Offer {
    fn of(record: &Record<'_>) -> Self {
        let (service, node, origin) = record.key();
        // The names were checked with the page.
        let id = |text| NodeId::new(text).unwrap_or_else(|_| NodeId::unknown());
        Self { service: Arc::from(service), node: id(node), origin: id(origin) }
    }

    fn place(&self, link: LinkId) -> Place {
        (self.node.clone(), self.origin.clone(), link)
    }
}

impl Learned {
    /// When it ends unless it is confirmed.
    #[must_use]
    pub const fn expires_at(&self) -> Instant {
        self.confirmed_at.after(self.ttl)
    }

    /// One of its labels.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        label(&self.labels, key)
    }
}

/// One of a list of labels.
pub(crate) fn label<'a>(labels: &'a [u8], key: &str) -> Option<&'a str> {
    let mut texts = Texts(labels).iter().flatten();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        if name == key {
            return Some(value);
        }
    }
    None
}

/// Whether no Main is on the path twice.
pub(crate) fn is_simple<T: PartialEq>(path: &[T]) -> bool {
    path.iter().enumerate().all(|(at, node)| !path[..at].contains(node))
}

#[cfg(test)]
mod tests;
