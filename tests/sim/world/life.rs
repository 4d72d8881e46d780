//! How hosts live: they start, have their timers looked at, say what must happen, and die.

use super::host::{Joint, Seen};
use super::{BOOT, World};
use crate::dice::Dice;
use crate::draw::parts;
use crate::golden::Input;
use crate::network::WireState;
use crate::plan::Plan;
use crate::queue::Event;
use relay_core::{
    Compression, Config, DialId, Event as NodeEvent, Identity, Instant, LinkId, Node, Output, Role,
};
use std::time::Duration;

impl World {
    pub(super) fn boot(&mut self, at: usize, life: u32) {
        let host = &mut self.hosts[at];
        if host.node.is_some() || host.life != life || host.condition.lost {
            return;
        }
        host.life += 1;
        host.seen = Seen::default();
        host.newest.clear();
        host.challenges.clear();
        self.breakers.forget_host(at);
        let host = &mut self.hosts[at];
        host.timer_at = None;
        let life = host.life;
        self.note(at as u64);
        let mut dice = Dice::new(self.plan.seed, &[BOOT, at as u64, u64::from(life)]);
        let mut seed = [0; 32];
        seed.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&dice.next().to_be_bytes()));
        // The key outlives the process.
        let mut key = [7; 32];
        key[..8].copy_from_slice(&(at as u64).to_be_bytes());
        let host = &mut self.hosts[at];
        let Ok(identity) = Identity::new(&key, Some(host.name.clone())) else { return };
        let mut config = Config::new(host.role);
        config.limits = self.limits.clone();
        compress(&mut config, &self.plan, at);
        host.node = Some(Node::new(config, identity, seed));
        self.start_record(at, key, seed);
        if self.records(at) {
            // As a shell does it: whom it is to dial is known before what is offered.
            self.dial_all(at);
        } else {
            self.set_wall_clock(at);
        }
        self.offer_all(at);
        self.subscribe_all(at);
        if !self.records(at) {
            self.dial_all(at);
        }
        let audit = Event::Audit { host: at as u16 };
        self.queue.push(self.now.after(AUDIT_EVERY), audit);
        self.apply(at);
    }

    /// A Home offers what it has.
    fn offer_all(&mut self, at: usize) {
        let now = self.local(at);
        let topology = self.plan.topology;
        if self.hosts[at].role != Role::Home {
            return;
        }
        let own = format!("service-{}", at - usize::from(topology.mains));
        let shared = 0..if self.hosts[at].withdrawn { 0 } else { topology.shared_services };
        for service in shared.map(|n| format!("shared-{n}")).chain([own]) {
            self.input(at, || Input::Register { service: service.clone() });
            let host = &mut self.hosts[at];
            let Some(node) = &mut host.node else { return };
            if let Err(error) = node.register(&service, &["run"], now, &mut host.out) {
                self.checker.blame("S13", None, &format!("{service} was not registered: {error}"));
            }
        }
    }

    fn dial_all(&mut self, at: usize) {
        let now = self.local(at);
        for addresses in self.dials_of(at) {
            if self.hosts[at].role == Role::Main {
                self.input(at, || Input::Dial { address: addresses.concat() });
            }
            let host = &mut self.hosts[at];
            if let Some(node) = &mut host.node {
                let _ = node.dial_any(&addresses, now, &mut host.out);
            }
        }
    }

    /// Tells the node what its host takes for the wall time.
    pub(super) fn set_wall_clock(&mut self, at: usize) {
        let (wall, local) = (self.unix_time(at), self.local(at));
        if let Some(node) = &mut self.hosts[at].node {
            node.set_wall_clock(wall, local);
        }
    }

    /// What a host takes for the wall time.
    pub(super) fn unix_time(&self, at: usize) -> u64 {
        let seconds = UNIX_SECONDS + self.now.as_nanos() / 1_000_000_000;
        seconds.saturating_add_signed(self.hosts[at].condition.skew_seconds)
    }

    /// The process dies with all that it knew.
    pub(super) fn crash(&mut self, at: usize, up_at: Option<Instant>) {
        let host = &mut self.hosts[at];
        if host.node.is_none() {
            return;
        }
        self.end_record(at);
        self.balance_life(at);
        let host = &mut self.hosts[at];
        host.node = None;
        host.out = relay_core::Outbox::default();
        let joints: Vec<Joint> = host.links.drain(..).flatten().collect();
        let waiting: Vec<u32> = host.waiting.drain(..).flatten().map(|(_, uid)| uid).collect();
        host.running.clear();
        host.sending.clear();
        host.deferred.clear();
        host.condition.asleep_until = host.condition.asleep_until.min(self.now);
        if host.role != Role::Main && host.unlinked_since.is_none() {
            host.unlinked_since = Some(self.now);
            self.tally.count_linked(-1, self.now);
        }
        for uid in waiting {
            self.checker.orphan(uid);
            self.tally.calls.orphaned += 1;
        }
        let life = self.hosts[at].life;
        for joint in joints {
            // A dead process is noticed by its peers; a dead machine is not.
            if self.wires[joint.wire as usize].dice.happens(300_000) {
                self.tally.mark("a machine died and its peers were not told");
                self.wires[joint.wire as usize].silence();
            } else {
                self.break_wire(joint.wire as usize);
            }
        }
        if let Some(up_at) = up_at {
            self.queue.push(up_at, Event::Boot { host: at as u16, life });
        }
    }

    pub(super) fn wake_node(&mut self, at: usize, life: u32) {
        let (now, local) = (self.now, self.local(at));
        let host = &mut self.hosts[at];
        if host.life != life || host.timer_at != Some(now) || host.node.is_none() {
            return;
        }
        host.timer_at = None;
        if host.condition.asleep_until > now {
            return;
        }
        if self.records(at) {
            return self.apply(at);
        }
        let host = &mut self.hosts[at];
        let Some(node) = &mut host.node else { return };
        node.handle_timeout(local, &mut host.out);
        self.note(at as u64);
        self.apply(at);
    }

    /// A host that slept finds everything that came in the meantime, and its timers overdue.
    pub(super) fn wake_host(&mut self, at: usize) {
        if self.hosts[at].condition.asleep_until > self.now {
            return;
        }
        for event in std::mem::take(&mut self.hosts[at].deferred) {
            self.queue.push(self.now, event);
        }
        self.apply(at);
    }

    /// Lets happen what a node has put into its outbox, and arranges for its next timer.
    pub(super) fn apply(&mut self, at: usize) {
        if self.records(at) {
            self.apply_recorded(at);
        }
        while !self.hosts[at].out.is_empty() {
            let mut outputs = self.spares.pop().unwrap_or_default();
            outputs.extend(self.hosts[at].out.drain());
            for output in outputs.drain(..) {
                self.output(at, output);
            }
            self.spares.push(outputs);
        }
        self.judge_suspects();
        let late = self.plan.faults.late_timers.0;
        let host = &mut self.hosts[at];
        let due = host.node.as_ref().and_then(Node::poll_timeout);
        let Some(due) = due.map(|due| host.clock.world(due)) else { return };
        // Earlier timers find out for themselves that they are not needed any more.
        if host.timer_at.is_none_or(|set| due < set) {
            let late = if late.is_zero() { late } else { self.dice.up_to(late) };
            let host = &mut self.hosts[at];
            let due = due.max(self.now).after(late);
            if host.timer_at.is_none_or(|set| due < set) {
                host.timer_at = Some(due);
                self.queue.push(due, Event::Timer { host: at as u16, life: host.life });
            }
        }
    }

    pub(super) fn output(&mut self, at: usize, output: Output) {
        match output {
            Output::Open(open) => self.connect(at, open.dial, &open.address),
            Output::Transmit { link, frame } => self.transmit(at, link, frame),
            Output::Close { link, .. } => self.close(at, link),
            Output::Deliver(delivery) => self.deliver(at, delivery),
            Output::Event(event) => self.observe(at, *event),
            other => self.checker.blame("S13", None, &format!("an unexpected output: {other:?}")),
        }
    }

    fn observe(&mut self, at: usize, event: NodeEvent) {
        match event {
            NodeEvent::LinkUp { link, .. } => self.linked(at, link),
            NodeEvent::LinkDown { node: None, .. } => self.tally.mark("a handshake failed"),
            NodeEvent::LinkDown { reason, link, .. } => {
                self.tally.mark(reason_mark(reason));
                self.linked_at = self.now;
                self.breakers.forget_link(at, link);
                let host = &mut self.hosts[at];
                let connected =
                    host.node.as_ref().is_some_and(|node| node.control().is_connected());
                let alone = host.role != Role::Main && !connected;
                if alone && host.unlinked_since.is_none() {
                    host.unlinked_since = Some(self.now);
                    self.tally.count_linked(-1, self.now);
                }
            }
            NodeEvent::ServiceUp { service, .. } => self.breakers.doubt(at, &service),
            NodeEvent::RouteChanged { service, .. } => {
                self.exonerate_all(at, &service);
                self.breakers.doubt(at, &service);
            }
            NodeEvent::Breaker { service, link, state, .. } => {
                self.breaker_turned(at, &service, link, state);
            }
            NodeEvent::Retried { .. } => self.tally.mark("a call was sent elsewhere"),
            NodeEvent::Resync { .. } => self.tally.mark("a peer was told everything again"),
            NodeEvent::ServiceDown { why, service, node } => {
                self.exonerate(&service, &node);
                self.breakers.doubt(at, &service);
                if why == relay_core::ServiceDown::Expired {
                    self.tally.mark("a lease expired");
                }
            }
            NodeEvent::RegistrationRefused { .. } => self.tally.mark("a registration was refused"),
            NodeEvent::NotPublished { .. } => self.tally.mark("a publication was refused"),
            NodeEvent::SubscriptionRefused { .. } => {
                self.checker.blame("S13", None, "a subscription was refused");
            }
            NodeEvent::StrayAnswer { .. } => self.tally.mark("an answer to nothing"),
            _ => {}
        }
    }

    fn linked(&mut self, at: usize, link: LinkId) {
        self.linked_at = self.now;
        if let Some(joint) = self.hosts[at].joint(link).filter(|joint| joint.side == 1) {
            self.wires[joint.wire as usize].authenticated = true;
        }
        let host = &mut self.hosts[at];
        if let (Some(since), true) = (host.unlinked_since, host.role != Role::Main) {
            host.unlinked_since = None;
            self.tally.count_linked(1, self.now);
            if since > Instant::ZERO {
                self.tally.recovery.add(self.now.since(since));
            }
        }
    }

    /// No connection could be made.
    pub(super) fn refused(&mut self, at: usize, life: u32, dial: DialId) {
        let (now, local) = (self.now, self.local(at));
        let host = &mut self.hosts[at];
        if host.life != life {
            return;
        }
        if host.node.is_none() {
            return;
        }
        if host.condition.asleep_until > now {
            return host.deferred.push(Event::Refused { host: at as u16, life, dial });
        }
        self.record_refusal(at, dial);
        let host = &mut self.hosts[at];
        let Some(node) = &mut host.node else { return };
        node.handle_dial_failed(dial, local, &mut host.out);
        self.apply(at);
    }

    /// The moment, as this host sees it.
    pub(super) fn local(&self, at: usize) -> Instant {
        self.hosts[at].clock.local(self.now)
    }

    /// Whether the wire is open and both of its ends live.
    pub(super) fn is_live(&self, wire: usize) -> bool {
        let wire = &self.wires[wire];
        let lives = |end: &crate::network::End| {
            let host = self.hosts.get(end.host);
            host.is_some_and(|host| host.life == end.life && host.node.is_some())
        };
        wire.state == WireState::Open && wire.ends.iter().all(lives)
    }
}

const fn reason_mark(reason: relay_core::CloseReason) -> &'static str {
    use relay_core::CloseReason;
    match reason {
        CloseReason::Requested => "a link was closed on request",
        CloseReason::Shutdown => "a link ended with its node",
        CloseReason::PeerClosed => "a link was closed by its peer",
        CloseReason::IdleTimeout => "a silent link was given up",
        CloseReason::HandshakeTimeout => "a handshake took too long",
        CloseReason::Superseded => "a newer link took the place of an older one",
        CloseReason::Fault(relay_core::ErrorCode::SlowConsumer) => "a slow consumer was cut off",
        _ => "a link ended for a broken protocol",
    }
}

const UNIX_SECONDS: u64 = 1_800_000_000;
const AUDIT_EVERY: Duration = Duration::from_secs(1);

/// What a host compresses, and what it takes: the same in each of its lives.
pub(super) fn compress(config: &mut Config, plan: &Plan, at: usize) {
    let share = parts(plan.traffic.compressed);
    if share == 0 {
        return;
    }
    let mut dice = Dice::new(plan.seed, &[COMPRESSION, at as u64]);
    if dice.happens(share) {
        config.compression = Some(dice.pick(&Compression::ALL));
    }
    let all = Compression::BITS;
    config.compressions = dice.pick(&[all, all, all, 1, 0]);
    config.limits.deflate_bytes_min = 64;
}

const COMPRESSION: u64 = 16;
