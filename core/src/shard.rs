//! The data plane of one core: it owns its links and moves frames between them.
//!
//! The local application and the other shards of the node are links too, so a call has one path
//! whoever sends it and whoever serves it. What a shard knows of services is a route table that
//! Control replaces as a whole.

use crate::close::CloseReason;
use crate::config::{Config, Role};
use crate::deadlines::Deadlines;
use crate::error::{CallError, ErrorCode};
use crate::event::{BreakerState, Event};
use crate::frame::FrameWriter;
use crate::handshake::{Acceptor, Dialler, Identity};
use crate::mail::{Mail, MailBody, MailTo};
use crate::name::NodeId;
use crate::outbox::{DialId, LinkId, Outbox, Output};
use crate::rng::Generator;
use crate::route::RouteTable;
use crate::stats::Stats;
use crate::time::{Instant, WallClock};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

mod account;
mod answer;
mod audit;
mod compress;
mod forward;
mod instances;
mod links;
mod local;
mod numbers;
mod open;
mod pace;
mod passage;
mod path;
mod publish;
mod receive;
mod retry;
mod select;
mod stream;
mod timers;
mod trace;

pub use audit::Usage;
pub use local::{Call, Reply};
pub(crate) use open::control_payload;
pub use publish::{Publish, Published};
pub use stream::StreamError;

use crate::interests::Interests;
use crate::topic::TopicTree;
use compress::PlainServices;
use instances::Instances;
use links::{End, Link, Links, Network, Phase};
use numbers::{Heard, Numbers};
use pace::Pace;
use retry::Kept;

/// One shard of a node. See the crate documentation for the contract of its methods.
#[derive(Debug)]
pub struct Shard {
    id: u16,
    shards: u16,
    config: Arc<Config>,
    identity: Arc<Identity>,
    generator: Generator,
    wall: WallClock,
    links: Links,
    routes: Arc<RouteTable>,
    timers: Deadlines,
    writer: FrameWriter,
    local_labels: crate::calls::Labels,
    instances: Instances,
    kept: Kept,
    pace: Pace,
    plain: PlainServices,
    /// What links of this shard subscribed to, and what other Mains want.
    topics: TopicTree<LinkId>,
    interests: Arc<Interests>,
    /// Numbers of what the local application publishes in this life, and of what it heard.
    life: u64,
    numbers: Numbers,
    heard: Heard,
    /// Bytes of publications on the way to each other shard.
    mailed: Vec<u32>,
    /// Space for lookups.
    found_links: Vec<LinkId>,
    found_mains: Vec<u32>,
    /// Links to close when the frame at hand is done with.
    doomed: Vec<(LinkId, CloseReason)>,
    last_epoch: u64,
    /// No new links are taken.
    leaving: bool,
    /// No new calls are taken.
    draining: bool,
    stats: Stats,
}

/// Which end of a new link this node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It accepted the connection.
    Accepted,
    /// It dialled.
    Dialled(DialId),
}

/// No room for another link; close the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkLimitReached;

impl core::fmt::Display for LinkLimitReached {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("no room for another link")
    }
}

impl core::error::Error for LinkLimitReached {}

/// What a shard knows of one instance of a service from the calls that it sent there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InstanceView<'a> {
    /// The service.
    pub service: &'a str,
    /// The node that offers it.
    pub node: &'a NodeId,
    /// The link to the node, or to the Main behind which it is. Instances of a service behind one
    /// Main share what follows.
    pub link: LinkId,
    /// Calls that wait for an answer.
    pub in_flight: u32,
    /// Moving average of the time to an answer.
    pub latency: Option<core::time::Duration>,
    /// Calls sent there.
    pub calls: u64,
    /// Those of them that failed for a reason that is the instance's.
    pub failures: u64,
    /// Whether it gets calls.
    pub breaker: BreakerState,
}

impl Shard {
    /// Shard `id` of `shards`. `seed` must be fresh random bytes: nonces come from it.
    #[must_use]
    pub fn new(
        id: u16,
        shards: u16,
        config: Arc<Config>,
        identity: Arc<Identity>,
        seed: [u8; 32],
    ) -> Self {
        let links = Links::new(id, shards, &config.limits);
        let pace = Pace::new(config.limits.handshakes_per_second / u32::from(shards.max(1)));
        let kept = Kept::new(&config.limits);
        let remembered = config.limits.topics_remembered;
        let mut generator = Generator::new(seed);
        let life = generator.next();
        Self {
            id,
            shards,
            config,
            identity,
            generator,
            wall: WallClock::default(),
            links,
            routes: Arc::new(RouteTable::empty()),
            timers: Deadlines::default(),
            writer: FrameWriter::default(),
            local_labels: crate::calls::Labels::default(),
            instances: Instances::default(),
            kept,
            pace,
            plain: PlainServices::default(),
            topics: TopicTree::default(),
            interests: Arc::default(),
            life,
            numbers: Numbers::new(remembered),
            heard: Heard::new(remembered),
            mailed: alloc::vec![0; usize::from(shards)],
            found_links: Vec::new(),
            found_mains: Vec::new(),
            doomed: Vec::new(),
            last_epoch: 0,
            leaving: false,
            draining: false,
            stats: Stats::default(),
        }
    }

    /// Tells the wall time, which only the time stamps of handshakes need.
    pub const fn set_wall_clock(&mut self, unix_seconds: u64, now: Instant) {
        self.wall.set(unix_seconds, now);
    }

    /// Adds a link over a fresh connection and starts its handshake.
    ///
    /// # Errors
    /// [`LinkLimitReached`] when a bound of links is reached: close the connection.
    pub fn open_link(
        &mut self,
        side: Side,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<LinkId, LinkLimitReached> {
        let limits = &self.config.limits;
        let dialled = matches!(side, Side::Dialled(_));
        // A node's own dials are few and wanted; strangers must not be able to crowd them out.
        let handshakes_full = !dialled && self.links.handshaking >= limits.handshakes_max;
        if self.links.network >= limits.links_max || handshakes_full {
            self.stats.links_refused += 1;
            return Err(LinkLimitReached);
        }
        let nonce = self.generator.bytes();
        let (phase, dial, request) = match side {
            // There is no room for any where there is no code for them.
            Side::Accepted if !Role::Main.is_built() => return Err(LinkLimitReached),
            Side::Accepted => (Phase::Accepting(Box::new(Acceptor::new(nonce))), None, None),
            Side::Dialled(dial) => {
                let unix_seconds = self.wall.unix_seconds(now);
                let (dialler, request) =
                    Dialler::new(&self.config, &self.identity, nonce, unix_seconds);
                (Phase::Dialling(Box::new(dialler)), Some(dial), Some(request))
            }
        };
        let network = Network::new(phase, dial, limits, now);
        let labels = self.config.limits.labels_per_slot;
        let link = self.links.insert(Link::new(End::Network(network), 0, 0, labels));
        if let Some(request) = request {
            self.send_handshake(link, &request, out);
        }
        self.rewind_timer(link);
        Ok(link)
    }

    /// Reports that bytes of this link were written to the connection.
    pub fn handle_flushed(&mut self, link: LinkId, bytes: u32) {
        if planted!("flushed_uncounted") {
            return;
        }
        if let Some(network) = self.links.network(link) {
            network.write_bytes = network.write_bytes.saturating_sub(bytes);
        }
    }

    /// Reports that the connection of this link ended. `detail` says what the driver saw.
    pub fn handle_closed(&mut self, link: LinkId, detail: &str, now: Instant, out: &mut Outbox) {
        let Some(network) = self.links.network(link) else { return };
        let reason = match network.partial {
            Some(_) => CloseReason::Fault(ErrorCode::Truncated),
            None => CloseReason::PeerClosed,
        };
        self.end_link(link, reason, String::from(detail), now, out);
        self.close_doomed(now, out);
    }

    /// Takes a message from another machine of this node.
    pub fn handle_mail(&mut self, mail: Mail, now: Instant, out: &mut Outbox) {
        match mail.body {
            MailBody::Routes(routes) => self.routes = routes,
            MailBody::Send { link, payload } => self.send_control(link, &payload, now, out),
            MailBody::Close { link, reason } => self.close(link, reason, "", now, out),
            MailBody::Retire { link } => self.retire(link, now, out),
            MailBody::Ping { link } => self.ping(link, PING, now, out),
            MailBody::Request { from, link, frame } => {
                let from = self.links.sibling(from);
                self.handle_request_for(from, link, frame, now, out);
            }
            MailBody::Frame { from, frame } => {
                let from = self.links.sibling(from);
                self.handle_call_frame(from, frame, now, out);
            }
            MailBody::Subscription { link, pattern, is_on } => {
                self.set_subscription(link, &pattern, is_on);
            }
            MailBody::Interests(interests) => self.interests = interests,
            MailBody::Publication { from, link, frame } => {
                self.take_publication((from, link), &frame, now, out);
            }
            MailBody::NotPublished { link, code } => self.hold_publications(link, code, now),
            MailBody::Taken { from, bytes } => self.publications_taken(from, bytes),
            MailBody::LinkUp { .. } | MailBody::LinkDown { .. } | MailBody::Control { .. } => {
                debug_assert!(false, "mail for Control came to a shard");
            }
        }
        self.close_doomed(now, out);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(slot) = self.timers.take_due(now) {
            if let Some(link) = self.links.id_of(slot) {
                self.handle_link_timeout(link, now, out);
            }
        }
        self.close_doomed(now, out);
    }

    /// When [`Self::handle_timeout`] has to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Takes no new links from now on; everything else goes on.
    pub const fn leave(&mut self) {
        self.leaving = true;
    }

    /// Refuses new calls from now on; those in flight go on.
    pub const fn drain(&mut self) {
        self.draining = true;
    }

    /// Calls in flight: made by the local application, or served by it, or passing through.
    #[must_use]
    pub fn calls_in_flight(&self) -> u32 {
        let ids = self.links.network_ids();
        let count = |id: LinkId| self.links.get(id).map_or(0, |link| link.inbound.live());
        let local = count(self.links.local());
        ids.into_iter().fold(local, |sum, id| sum + count(id))
    }

    /// Says goodbye on every link and closes it. Calls in flight are answered as lost. Whoever
    /// dialled is asked to come again one after the other, so that a restart is no storm.
    pub fn close_all(&mut self, reason: CloseReason, now: Instant, out: &mut Outbox) {
        for (nth, link) in (0..).zip(self.links.network_ids()) {
            let pause = self.pace.pause_of(nth);
            if let Some(network) = self.links.network(link).filter(|n| n.dial.is_none()) {
                network.pause = Some(pause);
            }
            self.close(link, reason, "", now, out);
        }
        self.close_doomed(now, out);
    }

    /// The time to a peer and back, when it was last measured.
    #[must_use]
    pub fn round_trip(&self, link: LinkId) -> Option<core::time::Duration> {
        match &self.links.get(link)?.end {
            End::Network(network) => network.round_trip,
            End::Local | End::Sibling(_) => None,
        }
    }

    /// How many instances get no calls, and how many are being tried.
    #[must_use]
    pub fn shut_out(&self) -> (usize, usize) {
        let mut counts = (0, 0);
        for (slot, state) in self.instances.troubled() {
            let Some((_, route)) = self.routes.route_of(slot) else { continue };
            if !route.near.iter().chain(route.far).any(|instance| instance.slot == slot) {
                continue;
            }
            match state {
                BreakerState::Open => counts.0 += 1,
                BreakerState::HalfOpen => counts.1 += 1,
                BreakerState::Closed => {}
            }
        }
        counts
    }

    /// What is known of each instance of each service, ordered by service.
    pub fn instances(&self) -> impl Iterator<Item = InstanceView<'_>> {
        self.routes.services().flat_map(move |(service, instances)| {
            instances.iter().map(move |instance| {
                let state = self.instances.get(instance.slot);
                InstanceView {
                    service,
                    node: &instance.node,
                    link: instance.link,
                    in_flight: state.map_or(0, |state| state.in_flight),
                    latency: state.and_then(instances::State::latency),
                    calls: state.map_or(0, |state| state.calls),
                    failures: state.map_or(0, |state| state.failed),
                    breaker: state.map_or(BreakerState::Closed, instances::State::breaker),
                }
            })
        })
    }

    /// Counters since the start.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Links over bytes, authenticated or not.
    #[must_use]
    pub const fn link_count(&self) -> u32 {
        self.links.network
    }

    /// Closes a link: the peer is told why, then everything that hangs on the link ends.
    fn close(
        &mut self,
        link: LinkId,
        reason: CloseReason,
        detail: &str,
        now: Instant,
        out: &mut Outbox,
    ) {
        if self.links.network(link).is_none() {
            return;
        }
        self.send_goodbye(link, reason, detail, out);
        out.push(Output::Close { link, reason });
        self.end_link(link, reason, String::from(detail), now, out);
    }

    /// Forgets a link: what waits on it is answered, what it asked for is cancelled.
    fn end_link(
        &mut self,
        id: LinkId,
        reason: CloseReason,
        detail: String,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(mut link) = self.links.remove(id) else { return };
        self.timers.set(id.slot, link.wake_at, None);
        let End::Network(network) = &link.end else { return };
        let (dial, peer, pause) = (network.dial, network.peer().cloned(), network.pause);
        self.stats.links_closed += 1;
        for onward in link.inbound.drain() {
            self.cancel_onward(onward, now, out);
        }
        let node = peer.as_ref().map(|peer| peer.node.clone());
        for call in link.outbound.drain() {
            if planted!("link_lost_silent") {
                break;
            }
            let text = match &node {
                Some(node) => alloc::format!("the link to {node} ended: {reason}"),
                None => String::from("the link ended"),
            };
            let mut error = self.error(ErrorCode::LinkLost, text);
            if planted!("told_no_after_dispatch") {
                error = error.with_executed(crate::Executed::No);
            }
            self.settle(&call, instances::Ending::Failed, now, out);
            if !self.try_elsewhere(&call, &error, None, now, out) {
                self.answer_error(&call, &error, now, out);
            }
        }
        if peer.is_some() || dial.is_some() {
            let pause = pause.filter(|_| dial.is_some());
            out.mail(MailTo::Control, MailBody::LinkDown { link: id, dial, pause });
        }
        out.event(Event::LinkDown { link: id, node, reason, detail });
    }

    /// Marks a link to be closed once the frame at hand is done with.
    fn doom(&mut self, link: LinkId, reason: CloseReason) {
        self.doomed.push((link, reason));
    }

    fn close_doomed(&mut self, now: Instant, out: &mut Outbox) {
        while let Some((link, reason)) = self.doomed.pop() {
            self.close(link, reason, "", now, out);
        }
    }

    fn error(&self, code: ErrorCode, message: impl Into<String>) -> CallError {
        CallError::new(code, self.identity.node().as_str(), message)
    }

    fn is_main(&self) -> bool {
        self.config.is_main()
    }
}

/// The number of a ping that only asks whether the peer lives, and how far it is.
const PING: u64 = 0;
