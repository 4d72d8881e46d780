//! What each step from outside does.

use super::World;
use crate::golden::Input;
use crate::network::{End, NOBODY};
use crate::queue::Event;
use crate::span::Span;
use crate::step::{Clog, HostStep, Inject, Lasting, SlowReader, Step};
use bytes::Bytes;
use relay_core::{Instant, Role, Side};

impl World {
    pub(super) fn apply_step(&mut self, step: &Step) {
        let hosts = self.hosts.len();
        if usize::from(step.host()) >= hosts {
            return;
        }
        self.note(u64::from(step.host()));
        if !step.is_usual() {
            self.tally.fault(step.name(), self.now);
        }
        match step {
            Step::Call(call) => {
                let _ = self.call(*call, false);
            }
            Step::Publish(_) | Step::Subscribe(_) | Step::Unsubscribe(_) => {
                self.apply_topic_step(step);
            }
            Step::Register(HostStep { host }) => self.offer_again(usize::from(*host)),
            Step::Withdraw(HostStep { host }) => self.withdraw(usize::from(*host)),
            Step::Crash(Lasting { host, lasts }) => {
                let at = usize::from(*host);
                let up_at = self.hosts[at].condition.trouble(self.now, lasts.0);
                self.crash(at, Some(up_at));
            }
            Step::Pause(Lasting { host, lasts }) => self.pause(*host, *lasts),
            Step::Reset(HostStep { host }) => {
                if let Some(wire) = self.trouble_wire(usize::from(*host)) {
                    self.break_wire(wire);
                }
            }
            Step::HalfOpen(HostStep { host }) => {
                if let Some(wire) = self.trouble_wire(usize::from(*host)) {
                    self.wires[wire].silence();
                }
            }
            Step::Clog(clog) => self.clog(clog),
            Step::SlowReader(SlowReader { host, bytes_per_second, lasts }) => {
                let condition = &mut self.hosts[usize::from(*host)].condition;
                condition.slow_until = condition.trouble(self.now, lasts.0);
                condition.bytes_per_second = (*bytes_per_second).max(1);
            }
            Step::Corrupt(corrupt) => {
                let condition = &mut self.hosts[usize::from(corrupt.host)].condition;
                condition.trouble(self.now, std::time::Duration::ZERO);
                condition.corrupt[usize::from(corrupt.sending)] = Some(corrupt.bit);
            }
            Step::ClockJump(jump) => {
                let at = usize::from(jump.host);
                self.hosts[at].condition.skew_seconds = i64::from(jump.seconds.clamp(-120, 120));
                if !self.records(at) {
                    self.set_wall_clock(at);
                }
            }
            Step::Stranger(inject) => self.stranger(inject),
            Step::Inject(inject) => self.inject(inject),
            Step::Sever(sever) => self.sever(sever),
            Step::PeerReset(pair) => {
                for wire in self.trouble_pair(*pair) {
                    self.break_wire(wire);
                }
            }
            Step::PeerHalfOpen(pair) => {
                for wire in self.trouble_pair(*pair) {
                    self.wires[wire].silence();
                }
            }
            Step::Leave(Lasting { host, lasts }) => self.leave(usize::from(*host), *lasts),
        }
    }

    /// The wire of a host, which something is about to happen to.
    fn trouble_wire(&mut self, at: usize) -> Option<usize> {
        let wire = self.wire_of(at)?;
        for end in self.wires[wire].ends {
            if let Some(host) = self.hosts.get_mut(end.host) {
                host.condition.troubled_at = self.now;
            }
        }
        Some(wire)
    }

    fn pause(&mut self, host: u16, lasts: Span) {
        let condition = &mut self.hosts[usize::from(host)].condition;
        let until = condition.trouble(self.now, lasts.0);
        condition.asleep_until = condition.asleep_until.max(until);
        self.queue.push(until, Event::Wake { host });
    }

    fn clog(&mut self, clog: &Clog) {
        let condition = &mut self.hosts[usize::from(clog.host)].condition;
        let until = condition.trouble(self.now, clog.lasts.0);
        if clog.sending {
            condition.sending_until = condition.sending_until.max(until);
        }
        if clog.receiving {
            condition.receiving_until = condition.receiving_until.max(until);
        }
    }

    fn withdraw(&mut self, at: usize) {
        let local = self.local(at);
        let shared = self.plan.topology.shared_services;
        let host = &mut self.hosts[at];
        if host.role != Role::Home || host.withdrawn || host.condition.asleep_until > self.now {
            return;
        }
        host.withdrawn = true;
        host.condition.troubled_at = self.now;
        for service in (0..shared).map(|service| format!("shared-{service}")) {
            self.input(at, || Input::Withdraw { service: service.clone() });
            let host = &mut self.hosts[at];
            let Some(node) = &mut host.node else { return };
            if !node.withdraw(&service, local, &mut host.out) {
                self.checker.blame(
                    "S13",
                    None,
                    "a service that was offered could not be withdrawn",
                );
            }
        }
        self.apply(at);
    }

    fn offer_again(&mut self, at: usize) {
        let local = self.local(at);
        let shared = self.plan.topology.shared_services;
        let host = &mut self.hosts[at];
        if host.role != Role::Home || !host.withdrawn || host.condition.asleep_until > self.now {
            return;
        }
        host.withdrawn = false;
        for service in (0..shared).map(|service| format!("shared-{service}")) {
            self.input(at, || Input::Register { service: service.clone() });
            let host = &mut self.hosts[at];
            let Some(node) = &mut host.node else { return };
            if let Err(error) = node.register(&service, &["run"], local, &mut host.out) {
                self.checker.blame("S13", None, &format!("{service} was not registered: {error}"));
            }
        }
        self.apply(at);
    }

    /// Somebody without a key connects to a Main and sends bytes.
    fn stranger(&mut self, inject: &Inject) {
        let main = usize::from(inject.host);
        let host = &mut self.hosts[main];
        if host.role != Role::Main || host.condition.asleep_until > self.now {
            return;
        }
        if host.node.is_none() {
            return;
        }
        let life = host.life;
        let Some(link) = self.open(main, Side::Accepted) else {
            self.tally.mark("a Main had no room for a link");
            return;
        };
        let nobody = End { host: NOBODY, life: 0, link: None };
        let wire = self.add_wire([nobody, End { host: main, life, link: Some(link) }]);
        let bytes = match inject.bytes.len() {
            0 => self.overheard.clone(),
            _ => Bytes::copy_from_slice(&inject.bytes),
        };
        self.smuggle(wire, 1, bytes);
        self.apply(main);
    }

    /// A host sends what its node did not write.
    fn inject(&mut self, inject: &Inject) {
        let at = usize::from(inject.host);
        if self.hosts[at].role == Role::Main {
            return;
        }
        let Some(wire) = self.wire_of(at).filter(|wire| self.wires[*wire].authenticated) else {
            return;
        };
        self.hostility = true;
        self.hosts[at].hostile = true;
        self.checker.distrust(inject.host);
        self.smuggle(wire, 1, Bytes::copy_from_slice(&inject.bytes));
    }

    fn smuggle(&mut self, wire: usize, to: usize, bytes: Bytes) {
        let lane = &mut self.wires[wire].lanes[to];
        lane.ledger.sent += bytes.len() as u64;
        // Between two frames, as a hostile program would send it.
        if lane.backlog.is_empty() {
            self.launch(wire, to, bytes);
        } else {
            lane.backlog.push_back(bytes);
        }
    }

    /// Nothing that lasts lasts any longer.
    pub(super) fn heal_host(&mut self, at: usize) {
        let condition = &mut self.hosts[at].condition;
        for until in [
            &mut condition.asleep_until,
            &mut condition.sending_until,
            &mut condition.receiving_until,
            &mut condition.slow_until,
        ] {
            *until = (*until).min(self.now);
        }
        condition.corrupt = [None; 2];
        condition.troubled_at = condition.troubled_at.min(self.now);
        self.wake_host(at);
    }

    /// From now on nothing gets in or out.
    pub(super) fn cut_off(&mut self, at: usize) {
        let condition = &mut self.hosts[at].condition;
        let never = Instant::from_nanos(u64::MAX);
        (condition.sending_until, condition.receiving_until) = (never, never);
        (condition.asleep_until, condition.lost) = (condition.asleep_until.min(self.now), true);
        self.wake_host(at);
    }
}

impl Step {
    /// The host that it befalls, or that calls.
    #[must_use]
    pub const fn host(&self) -> u16 {
        match self {
            Self::Call(call) => call.from,
            Self::Register(step)
            | Self::Withdraw(step)
            | Self::Subscribe(step)
            | Self::Unsubscribe(step)
            | Self::Reset(step)
            | Self::HalfOpen(step) => step.host,
            Self::Publish(step) => step.host,
            Self::Crash(step) | Self::Pause(step) => step.host,
            Self::Clog(step) => step.host,
            Self::SlowReader(step) => step.host,
            Self::Corrupt(step) => step.host,
            Self::ClockJump(step) => step.host,
            Self::Stranger(step) | Self::Inject(step) => step.host,
            Self::Sever(step) => step.host,
            Self::PeerReset(step) | Self::PeerHalfOpen(step) => step.host,
            Self::Leave(step) => step.host,
        }
    }

    /// Whether it is what hosts do, and nothing that befalls them.
    #[must_use]
    pub const fn is_usual(&self) -> bool {
        matches!(
            self,
            Self::Call(_)
                | Self::Register(_)
                | Self::Publish(_)
                | Self::Subscribe(_)
                | Self::Unsubscribe(_)
        )
    }

    /// Its name in a report.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Call(_) => "call",
            Self::Register(_) => "register",
            Self::Publish(_) => "publish",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Withdraw(_) => "withdraw",
            Self::Crash(_) => "crash",
            Self::Pause(_) => "pause",
            Self::Reset(_) => "reset",
            Self::HalfOpen(_) => "half-open",
            Self::Clog(_) => "clog",
            Self::SlowReader(_) => "slow reader",
            Self::Corrupt(_) => "corrupt",
            Self::ClockJump(_) => "clock jump",
            Self::Stranger(_) => "stranger",
            Self::Inject(_) => "hostile",
            Self::Sever(_) => "sever",
            Self::PeerReset(_) => "peer reset",
            Self::PeerHalfOpen(_) => "peer half-open",
            Self::Leave(_) => "leave",
        }
    }
}
