//! The control plane: who is linked, who offers what, whom to dial. One per node.
//!
//! It talks to shards by mail only, and gives them an immutable route table whenever the registry
//! has changed, at most once in the publish interval.

use crate::close::CloseReason;
use crate::config::Config;
use crate::error::{CallError, ErrorCode};
use crate::event::{Event, ServiceDown};
use crate::federation::Federation;
use crate::handshake::Peer;
use crate::holdings::Holdings;
use crate::mail::{Mail, MailBody, MailTo};
use crate::message::{ControlMessage, Texts};
use crate::name::{NodeId, is_method, is_service};
use crate::outbox::{DialId, LinkId, Outbox};
use crate::registry::{Registration, Registry};
use crate::rng::Generator;
use crate::slots::{Slot, Slots};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

mod asking;
mod dials;
mod learned;
mod links;
mod messages;
mod peers;
mod table;
mod topics;

use asking::Asking;
use dials::Dials;
pub use dials::{Dial, DialState};
use peers::Announcer;
use topics::Subscriptions;

/// The control plane of a node. See the crate documentation for the contract of its methods.
#[derive(Debug)]
pub struct Control {
    config: Arc<Config>,
    node: NodeId,
    shards: u16,
    registry: Registry,
    /// Services of the local application.
    own: BTreeSet<Arc<str>>,
    federation: Federation,
    announcer: Announcer,
    subscriptions: Subscriptions,
    asking: Asking,
    slots: Slots,
    links: BTreeMap<LinkId, Linked>,
    /// The newest link of each Main and Home.
    nodes: BTreeMap<NodeId, LinkId>,
    dials: Dials,
    generator: Generator,
    /// When shards are to be told what is out of date, if anything is: of the route table and of
    /// the interests of other Mains.
    publish_at: Option<Instant>,
    stale: Stale,
    published_at: Instant,
    /// When the interests of other Mains were told, and how many there were.
    interests_told: (Instant, u32),
    /// When this node's registrations at its Main are to be refreshed.
    refresh_at: Option<Instant>,
    /// Links that others have taken the place of, and when they are given up.
    retiring: Vec<(Instant, LinkId)>,
    hash_seed: u64,
    labels: Arc<[u8]>,
}

/// An authenticated link, as Control sees it.
#[derive(Debug)]
pub struct Linked {
    /// The peer.
    pub peer: Arc<Peer>,
    /// When the link was authenticated.
    pub since: Instant,
    /// When the peer last confirmed anything: by the handshake, a registration or a refresh.
    pub confirmed_at: Instant,
    /// It said that it is about to leave.
    pub is_leaving: bool,
    /// What it says of itself, as packed pairs of key and value.
    labels: Arc<[u8]>,
    /// What it registered.
    pub services: BTreeSet<Arc<str>>,
    /// What it had registered until the lease ended: it comes back when the peer confirms it.
    lapsed: BTreeMap<Arc<str>, Registration>,
    /// What it subscribed to.
    pub patterns: BTreeSet<Arc<str>>,
    dial: Option<DialId>,
}

/// What shards know and what has changed since.
#[derive(Clone, Copy, Debug, Default)]
struct Stale {
    routes: bool,
    interests: bool,
}

impl Control {
    /// The control plane of a node of `shards` shards.
    #[must_use]
    pub fn new(config: Arc<Config>, node: NodeId, shards: u16, seed: [u8; 32]) -> Self {
        let mut generator = Generator::new(seed);
        let hash_seed = generator.next();
        let dials = Dials::new(config.role, &config.limits);
        let mut labels = Vec::new();
        if !config.zone.is_empty() {
            Texts::pack([ZONE, &config.zone], &mut labels);
        }
        Self {
            config,
            node,
            shards,
            registry: Registry::default(),
            own: BTreeSet::new(),
            federation: Federation::default(),
            announcer: Announcer::default(),
            subscriptions: Subscriptions::default(),
            asking: Asking::default(),
            slots: Slots::default(),
            links: BTreeMap::new(),
            nodes: BTreeMap::new(),
            dials,
            generator,
            publish_at: None,
            stale: Stale::default(),
            published_at: Instant::ZERO,
            interests_told: (Instant::ZERO, 0),
            refresh_at: None,
            retiring: Vec::new(),
            hash_seed,
            labels: labels.into(),
        }
    }

    /// Tells the wall time, by which the lives of a Main are told from each other.
    pub fn set_wall_clock(&mut self, unix_seconds: u64) {
        self.announcer.start_life(unix_seconds, self.generator.next());
    }

    /// Offers a service of the local application to everyone.
    ///
    /// # Errors
    /// A [`CallError`] when a name is invalid or a bound is reached; nothing is registered then.
    pub fn register<T: AsRef<str>>(
        &mut self,
        service: &str,
        methods: &[T],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), CallError> {
        let refuse = |code, text: &str| Err(CallError::new(code, self.node.as_str(), text));
        if !is_service(service) {
            return refuse(ErrorCode::NameInvalid, &crate::NameInvalid::Service.to_string());
        }
        if !methods.iter().all(|method| is_method(method.as_ref())) {
            return refuse(ErrorCode::NameInvalid, &crate::NameInvalid::Method.to_string());
        }
        let limits = &self.config.limits;
        if self.own.len() >= limits.services_per_link_max as usize {
            return refuse(ErrorCode::Overloaded, "too many services on this node");
        }
        if methods.len() > limits.methods_per_service_max as usize {
            return refuse(ErrorCode::Overloaded, "too many methods in this service");
        }
        let ttl = limits.registry_ttl;
        let service: Arc<str> = Arc::from(service);
        let node = self.node.clone();
        let registration = Registration {
            link: LOCAL,
            methods: methods.iter().map(|method| Arc::from(method.as_ref())).collect(),
            labels: Arc::clone(&self.labels),
            key: [0; 8],
            slot: self.slot_for(&service, &node),
            seq: self.announcer.next_seq(),
            confirmed_at: now,
            expires_at: None,
            ttl,
            listed_at: None,
        };
        let (offer, slot) = ((Arc::clone(&service), node.clone()), registration.slot);
        if let Err(code) = self.registry.register(offer, registration, &self.config.limits) {
            self.slots.give_back(slot);
            let text = "the registry is full";
            return Err(CallError::new(code, self.node.as_str(), text));
        }
        self.own.insert(Arc::clone(&service));
        self.tell_main(&service, out);
        self.own_changed(&service, &node, now, out);
        out.event(Event::ServiceUp { service, node });
        self.changed(now, out);
        Ok(())
    }

    /// The slot of an instance that is registered again, or a new one.
    fn slot_for(&mut self, service: &str, node: &NodeId) -> Slot {
        let known = self.registry.get(service, node).map(|known| known.slot);
        known.unwrap_or_else(|| self.slots.take())
    }

    /// Removes an offer made over `link`, and tells the peers.
    fn remove_offer(
        &mut self,
        service: &str,
        node: &NodeId,
        link: LinkId,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let Some(gone) = self.registry.withdraw(service, node, link) else { return false };
        self.slots.give_back(gone.slot);
        self.announcer.next_seq();
        self.own_changed(service, node, now, out);
        true
    }

    /// Takes a service of the local application back. Tells whether it was offered.
    pub fn withdraw(&mut self, service: &str, now: Instant, out: &mut Outbox) -> bool {
        let node = self.node.clone();
        if !self.remove_offer(service, &node, LOCAL, now, out) {
            return false;
        }
        self.own.remove(service);
        self.retract(service, out);
        let why = ServiceDown::Withdrawn;
        out.event(Event::ServiceDown { service: Arc::from(service), node, why });
        self.changed(now, out);
        true
    }

    /// Keeps a link to one of `addresses` from now on: dials the first one, and the next one
    /// whenever a link is lost or its Main leaves.
    pub fn dial<T: AsRef<str>>(
        &mut self,
        addresses: &[T],
        now: Instant,
        out: &mut Outbox,
    ) -> DialId {
        let addresses = addresses.iter().map(|address| address.as_ref().to_string()).collect();
        let id = self.dials.add(addresses, now);
        self.poll_dials(now, out);
        id
    }

    /// Stops dialling and closes the link, if there is one. Tells whether the dial was known.
    pub fn undial(&mut self, dial: DialId, out: &mut Outbox) -> bool {
        let node = self.dials.node(dial).cloned();
        let Some(links) = self.dials.remove(dial) else { return false };
        for link in links {
            self.close(link, CloseReason::Requested, out);
        }
        // Where the peer dialled as well, its link was kept and this dial only stood by.
        let linked = node.and_then(|node| self.nodes.get(&node)).copied();
        if let Some(link) = linked.filter(|_| self.config.is_main()) {
            self.close(link, CloseReason::Requested, out);
        }
        true
    }

    /// Waits no longer before the next attempt of any dial, but for pauses that a peer asked for:
    /// for hosts that know that the network has come back.
    pub fn dial_now(&mut self, now: Instant, out: &mut Outbox) {
        self.dials.hasten(now);
        self.poll_dials(now, out);
    }

    /// Reports that no connection could be made for an [`Open`](crate::Open).
    pub fn handle_dial_failed(&mut self, dial: DialId, now: Instant, out: &mut Outbox) {
        self.dials.failed(dial, &mut self.generator, now, out);
    }

    fn poll_dials(&mut self, now: Instant, out: &mut Outbox) {
        let nodes = &self.nodes;
        let is_main = self.config.is_main();
        self.dials.poll(now, |node| is_main && nodes.contains_key(node), out);
    }

    /// Takes a message from a shard of this node.
    pub fn handle_mail(&mut self, mail: Mail, now: Instant, out: &mut Outbox) {
        match mail.body {
            MailBody::LinkUp { link, peer, dial } => self.link_up(link, peer, dial, now, out),
            MailBody::LinkDown { link, dial, pause } => {
                self.link_down(link, dial, pause, now, out);
            }
            MailBody::Control { link, payload } => self.handle_message(link, &payload, now, out),
            MailBody::Send { .. }
            | MailBody::Close { .. }
            | MailBody::Retire { .. }
            | MailBody::Ping { .. }
            | MailBody::Routes(_)
            | MailBody::Request { .. }
            | MailBody::Frame { .. }
            | MailBody::Subscription { .. }
            | MailBody::Interests(_)
            | MailBody::NotPublished { .. }
            | MailBody::Publication { .. }
            | MailBody::Taken { .. } => debug_assert!(false, "mail for a shard came to Control"),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        self.poll_dials(now, out);
        let expired = self.registry.expire(now);
        if !expired.is_empty() && !planted!("expired_stays_routed") {
            self.changed(now, out);
        }
        for ((service, node), registration) in expired {
            self.slots.give_back(registration.slot);
            self.announcer.next_seq();
            self.own_changed(&service, &node, now, out);
            if let Some(linked) = self.links.get_mut(&registration.link) {
                linked.services.remove(&service);
                linked.lapsed.insert(Arc::clone(&service), registration);
            }
            out.event(Event::ServiceDown { service, node, why: ServiceDown::Expired });
        }
        self.tend_peers(now, out);
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh(now, out);
        }
        if self.retiring.first().is_some_and(|(at, _)| *at <= now) {
            self.retire(now, out);
        }
        if self.asking.next().is_some_and(|at| at <= now) {
            self.tell_topics(now, out);
        }
        if self.publish_at.is_some_and(|at| at <= now) {
            self.publish(now, out);
        }
    }

    /// When [`Self::handle_timeout`] has to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let leases = [self.registry.next_expiry(), self.federation.next_expiry()];
        let own = [self.dials.next(), self.announcer.next(), self.refresh_at, self.publish_at];
        let later = [self.retiring.first().map(|(at, _)| *at), self.asking.next()];
        leases.into_iter().chain(own).chain(later).flatten().min()
    }

    /// When the next lease ends.
    #[must_use]
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let leases = [self.registry.next_expiry(), self.federation.next_expiry()];
        leases.into_iter().flatten().min()
    }

    /// All registrations this node knows.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What other Mains offer.
    #[must_use]
    pub const fn federation(&self) -> &Federation {
        &self.federation
    }

    /// All authenticated links, ordered by id.
    pub fn links(&self) -> impl Iterator<Item = (LinkId, &Linked)> {
        self.links.iter().map(|(link, linked)| (*link, linked))
    }

    /// All addresses this node keeps dialling.
    pub fn dials(&self) -> impl Iterator<Item = (DialId, &Dial)> {
        self.dials.iter()
    }

    /// Whether a link that this node dialled is authenticated.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.upstream().is_some()
    }

    /// Announces that this node is about to leave: whoever can do without it goes elsewhere. It
    /// goes on working until it is told to [`drain`](Self::drain).
    pub fn leave(&self, out: &mut Outbox) {
        if self.config.is_main() {
            for link in self.links.keys() {
                self.send(*link, &ControlMessage::Leaving, out);
            }
        }
    }

    /// Starts to leave: the Main is told that this node's services are gone, and lost links are
    /// not dialled again.
    pub fn drain(&mut self, out: &mut Outbox) {
        let own: Vec<Arc<str>> = self.own_services();
        for service in own {
            self.retract(&service, out);
        }
        self.refresh_at = None;
        self.dials.stop();
    }

    /// What all tables take.
    pub(crate) fn holdings(&self) -> Holdings {
        let services = |linked: &Linked| linked.services.len() + linked.lapsed.len();
        let services: usize = self.links.values().map(services).sum();
        self.registry
            .holdings()
            .with(self.federation.holdings())
            .with(self.announcer.holdings())
            .with(self.subscriptions.holdings())
            .with(self.asking.holdings())
            .entries::<(LinkId, Linked)>(self.links.len())
            .entries::<(NodeId, LinkId)>(self.nodes.len())
            .entries::<Registration>(services)
            .entries::<(DialId, Dial)>(self.dials.iter().count())
            .entries::<u32>(self.slots.len())
            .entries::<(Instant, LinkId)>(self.retiring.len())
    }

    /// The link to the Main of this node, if it is none itself and has one.
    #[must_use]
    pub fn upstream(&self) -> Option<LinkId> {
        if self.config.is_main() {
            return None;
        }
        let mut links = self.dials.iter().filter_map(|(_, dial)| dial.link());
        links.find(|link| self.links.contains_key(link))
    }

    fn own_services(&self) -> Vec<Arc<str>> {
        self.own.iter().cloned().collect()
    }

    fn close(&self, link: LinkId, reason: CloseReason, out: &mut Outbox) {
        out.mail(MailTo::Shard(link.shard), MailBody::Close { link, reason });
    }

    fn refuse_text(&self, code: ErrorCode) -> alloc::string::String {
        format!("{} (at {})", code.meaning(), self.node)
    }
}

/// The label that says where a node is.
const ZONE: &str = "zone";
/// A peer may not ask for a longer pause than this.
const PAUSE_MAX: Duration = Duration::from_mins(5);
/// The local application is a link of the first shard.
const LOCAL: LinkId = LinkId { shard: 0, slot: 0, generation: 1 };
