//! The control plane: who is linked, who offers what, whom to dial. One per node.
//!
//! It talks to shards by mail only, and gives them an immutable route table whenever the registry
//! has changed, at most once in the publish interval.

use crate::close::CloseReason;
use crate::config::{Config, Role};
use crate::error::{CallError, ErrorCode};
use crate::event::{Event, ServiceDown};
use crate::handshake::Peer;
use crate::mail::{Mail, MailBody, MailTo};
use crate::name::{NodeId, is_method, is_service};
use crate::outbox::{DialId, LinkId, Outbox};
use crate::registry::{Registration, Registry};
use crate::rng::Generator;
use crate::route::RouteTable;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

mod dials;
mod messages;

use dials::Dials;
pub use dials::{Dial, DialState};

/// The control plane of a node. See the crate documentation for the contract of its methods.
#[derive(Debug)]
pub struct Control {
    config: Arc<Config>,
    node: NodeId,
    shards: u16,
    registry: Registry,
    links: BTreeMap<LinkId, Linked>,
    /// The newest link of each Main and Home.
    nodes: BTreeMap<NodeId, LinkId>,
    dials: Dials,
    generator: Generator,
    /// When the route table is to be published, if it is out of date.
    publish_at: Option<Instant>,
    published_at: Instant,
    /// When this node's registrations at its Main are to be refreshed.
    refresh_at: Option<Instant>,
    hash_seed: u64,
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
    /// What it registered.
    pub services: BTreeSet<Arc<str>>,
    /// What it had registered until the lease ended: it comes back when the peer confirms it.
    lapsed: BTreeMap<Arc<str>, Registration>,
    dial: Option<DialId>,
}

impl Control {
    /// The control plane of a node of `shards` shards.
    #[must_use]
    pub fn new(config: Arc<Config>, node: NodeId, shards: u16, seed: [u8; 32]) -> Self {
        let mut generator = Generator::new(seed);
        let hash_seed = generator.next();
        Self {
            config,
            node,
            shards,
            registry: Registry::default(),
            links: BTreeMap::new(),
            nodes: BTreeMap::new(),
            dials: Dials::default(),
            generator,
            publish_at: None,
            published_at: Instant::ZERO,
            refresh_at: None,
            hash_seed,
        }
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
        let here = self.registry.iter().filter(|(_, node, _)| **node == self.node).count();
        if here >= limits.services_per_link_max as usize {
            return refuse(ErrorCode::Overloaded, "too many services on this node");
        }
        if methods.len() > limits.methods_per_service_max as usize {
            return refuse(ErrorCode::Overloaded, "too many methods in this service");
        }
        let service: Arc<str> = Arc::from(service);
        let registration = Registration {
            link: LOCAL,
            methods: methods.iter().map(|method| Arc::from(method.as_ref())).collect(),
            confirmed_at: now,
            expires_at: None,
            ttl: limits.registry_ttl,
            listed_at: None,
        };
        let offer = (Arc::clone(&service), self.node.clone());
        let added = self.registry.register(offer, registration, limits);
        added.or_else(|code| refuse(code, "the registry is full").map(|()| false))?;
        self.announce(&service, out);
        out.event(Event::ServiceUp { service, node: self.node.clone() });
        self.changed(now, out);
        Ok(())
    }

    /// Takes a service of the local application back. Tells whether it was offered.
    pub fn withdraw(&mut self, service: &str, now: Instant, out: &mut Outbox) -> bool {
        let node = self.node.clone();
        if !self.registry.withdraw(service, &node, LOCAL) {
            return false;
        }
        self.retract(service, out);
        let why = ServiceDown::Withdrawn;
        out.event(Event::ServiceDown { service: Arc::from(service), node, why });
        self.changed(now, out);
        true
    }

    /// Keeps a link to `address` from now on: dials it, and dials again whenever it is lost.
    pub fn dial(&mut self, address: &str, now: Instant, out: &mut Outbox) -> DialId {
        let id = self.dials.add(address, now);
        self.dials.poll(now, out);
        id
    }

    /// Stops dialling and closes the link, if there is one. Tells whether the dial was known.
    pub fn undial(&mut self, dial: DialId, out: &mut Outbox) -> bool {
        let Some(link) = self.dials.remove(dial) else { return false };
        if let Some(link) = link {
            self.close(link, CloseReason::Requested, out);
        }
        true
    }

    /// Reports that no connection could be made for an [`Open`](crate::Open).
    pub fn handle_dial_failed(&mut self, dial: DialId, now: Instant, out: &mut Outbox) {
        self.dials.failed(dial, &self.config.limits, &mut self.generator, now, out);
    }

    /// Takes a message from a shard of this node.
    pub fn handle_mail(&mut self, mail: Mail, now: Instant, out: &mut Outbox) {
        match mail.body {
            MailBody::LinkUp { link, peer, dial } => self.link_up(link, peer, dial, now, out),
            MailBody::LinkDown { link, dial } => self.link_down(link, dial, now, out),
            MailBody::Control { link, payload } => self.handle_message(link, &payload, now, out),
            MailBody::Send { .. }
            | MailBody::Close { .. }
            | MailBody::Routes(_)
            | MailBody::Request { .. }
            | MailBody::Frame { .. } => debug_assert!(false, "mail for a shard came to Control"),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        self.dials.poll(now, out);
        let expired = self.registry.expire(now);
        if !expired.is_empty() && !cfg!(mutant = "expired_stays_routed") {
            self.changed(now, out);
        }
        for ((service, node), registration) in expired {
            if let Some(linked) = self.links.get_mut(&registration.link) {
                linked.services.remove(&service);
                linked.lapsed.insert(Arc::clone(&service), registration);
            }
            out.event(Event::ServiceDown { service, node, why: ServiceDown::Expired });
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh(now, out);
        }
        if self.publish_at.is_some_and(|at| at <= now) {
            self.publish(now, out);
        }
    }

    /// When [`Self::handle_timeout`] has to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let registry = self.registry.next_expiry();
        [self.dials.next(), registry, self.refresh_at, self.publish_at].into_iter().flatten().min()
    }

    /// All registrations this node knows.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
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

    fn link_up(
        &mut self,
        link: LinkId,
        peer: Arc<Peer>,
        dial: Option<DialId>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let unwanted = |dials: &mut Dials, dial| !dials.connected(dial, link, now);
        if dial.is_some_and(|dial| unwanted(&mut self.dials, dial)) {
            return self.close(link, CloseReason::Requested, out);
        }
        // Callers offer nothing, so any number of them may share an identity.
        if peer.role != Role::Caller {
            match self.supersede(&peer) {
                Ok(Some(older)) => self.close(older, CloseReason::Superseded, out),
                Ok(None) => {}
                Err(code) => return self.close(link, CloseReason::Fault(code), out),
            }
            self.nodes.insert(peer.node.clone(), link);
        }
        let (services, lapsed) = (BTreeSet::new(), BTreeMap::new());
        let linked = Linked { peer, since: now, confirmed_at: now, services, lapsed, dial };
        self.links.insert(link, linked);
        if dial.is_some() {
            for service in self.own_services() {
                self.announce(&service, out);
            }
            self.refresh_at = Some(now.after(self.config.limits.registry_ttl / 3));
            self.changed(now, out);
        }
    }

    /// The link that a new link of the same node replaces; another key may not take the name.
    fn supersede(&self, peer: &Peer) -> Result<Option<LinkId>, ErrorCode> {
        if peer.node == self.node {
            return Err(ErrorCode::NameConflict);
        }
        let Some(older) = self.nodes.get(&peer.node) else { return Ok(None) };
        let same_key = self.links.get(older).is_none_or(|linked| linked.peer.key == peer.key);
        if same_key { Ok(Some(*older)) } else { Err(ErrorCode::NameConflict) }
    }

    fn link_down(&mut self, link: LinkId, dial: Option<DialId>, now: Instant, out: &mut Outbox) {
        if let Some(dial) = dial {
            self.dials.failed(dial, &self.config.limits, &mut self.generator, now, out);
        }
        let Some(linked) = self.links.remove(&link) else { return };
        let node = &linked.peer.node;
        if self.nodes.get(node) == Some(&link) {
            self.nodes.remove(node);
        }
        for service in linked.services {
            if cfg!(mutant = "lost_link_stays_offered") {
                break;
            }
            if self.registry.withdraw(&service, node, link) {
                let (node, why) = (node.clone(), ServiceDown::LinkLost);
                out.event(Event::ServiceDown { service, node, why });
            }
        }
        self.changed(now, out);
    }

    fn upstream(&self) -> Option<LinkId> {
        let up = |(link, linked): (&LinkId, &Linked)| linked.dial.map(|_| *link);
        self.links.iter().find_map(up)
    }

    fn own_services(&self) -> Vec<Arc<str>> {
        let own = self.registry.iter().filter(|(_, node, _)| **node == self.node);
        own.map(|(service, _, _)| Arc::from(service)).collect()
    }

    /// Publishes a new route table: at once while tables are small, so that what is registered can
    /// be called; large ones at most once in the publish interval.
    fn changed(&mut self, now: Instant, out: &mut Outbox) {
        let at = self.published_at.after(self.config.limits.publish_interval);
        if at <= now || self.registry.len() <= PUBLISHED_AT_ONCE_MAX {
            self.publish(now, out);
        } else {
            self.publish_at = Some(at);
        }
    }

    fn publish(&mut self, now: Instant, out: &mut Outbox) {
        self.publish_at = None;
        self.published_at = now;
        let upstream = self.upstream();
        let table = RouteTable::build(self.hash_seed, upstream, self.registry.routes());
        let table = Arc::new(table);
        for shard in 0..self.shards {
            out.mail(MailTo::Shard(shard), MailBody::Routes(Arc::clone(&table)));
        }
    }

    fn close(&self, link: LinkId, reason: CloseReason, out: &mut Outbox) {
        out.mail(MailTo::Shard(link.shard), MailBody::Close { link, reason });
    }

    fn refuse_text(&self, code: ErrorCode) -> alloc::string::String {
        format!("{} (at {})", code.meaning(), self.node)
    }
}

/// A table of so many offers is built in some ten microseconds.
const PUBLISHED_AT_ONCE_MAX: u32 = 1_024;
/// The local application is a link of the first shard.
const LOCAL: LinkId = LinkId { shard: 0, slot: 0, generation: 1 };
