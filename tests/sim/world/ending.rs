//! How a world ends: it heals, must work again, must come to rest, and is accounted for.

use super::wires::DELAY_MAX;
use super::{CORE, Phase, World};
use crate::dice::Dice;
use crate::queue::Event;
use crate::report::Report;
use crate::span::Span;
use crate::step::{CallStep, Service};
use relay_core::{Answer, BreakerState, Executed, Instant, Role};
use std::collections::BTreeSet;
use std::time::Duration;

impl World {
    pub(super) fn next_phase(&mut self) {
        let (phase, lasts) = match self.phase {
            Phase::Storm => {
                self.heal();
                self.queue.push(self.now, Event::Converge);
                (Phase::Settle, self.settle_time())
            }
            Phase::Settle => {
                self.judge_links();
                self.judge_registries();
                self.plan_probes();
                self.plan_sayings();
                self.queue.push(self.now, Event::Probe);
                (Phase::Probe, Duration::ZERO)
            }
            Phase::Probe => {
                self.tally.idle_from = self.tally.frames;
                (Phase::Idle, IDLE_TIME)
            }
            Phase::Idle | Phase::Over => {
                self.judge_idleness();
                self.account();
                (Phase::Over, Duration::ZERO)
            }
        };
        self.phase = phase;
        // Probes go on until they are all answered.
        if phase != Phase::Probe {
            self.queue.push(self.now.after(lasts), Event::Phase);
        }
    }

    /// Longer than every deadline, every time to notice a dead link, and every pause before the
    /// next dial (L4).
    fn settle_time(&self) -> Duration {
        let limits = &self.limits;
        let find_out = limits.idle_timeout + limits.handshake_timeout * 2;
        // Each Main that is dead or cut off costs a pause and an attempt.
        let mains = u32::from(self.plan.topology.fallbacks.min(self.plan.topology.mains - 1)) + 1;
        let find_out = find_out + (limits.reconnect_max + ATTEMPT_MAX) * mains;
        // And then everyone may have to wait for his turn, a few times over.
        let turns = self.plan.nodes().div_ceil(limits.handshakes_per_second.max(2) - 1) * 4;
        let find_out = find_out + Duration::from_secs(u64::from(turns));
        // The last call to fail may have shut its instance out.
        let deadlines =
            self.plan.traffic.deadline_max.0 + limits.breaker_open + Duration::from_secs(1);
        let travel = self.mean_delay([0, 0]).max(FAR_DELAY) * DELAY_MAX * 8;
        find_out.max(deadlines) + travel
    }

    /// Ends the storm for a random part of the world; the rest stays broken, and must not matter.
    fn heal(&mut self) {
        let topology = self.plan.topology;
        let dice = &mut Dice::new(self.plan.seed, &[CORE]);
        let calm = self.plan.faults.rates().iter().all(|(_, rate)| *rate == 0.0);
        let all = calm || dice.happens(500_000);
        let first = self.hosts.len() - 1;
        let kept_main = usize::from(topology.main_of(first as u16));
        let mut kept: Vec<bool> = self.hosts.iter().map(|_| all || dice.happens(750_000)).collect();
        (kept[first], kept[kept_main]) = (true, true);
        self.edges.clear();
        for at in 0..self.hosts.len() {
            let is_main = at < usize::from(topology.mains);
            let main = topology.mains_of(at as u16).any(|main| kept[usize::from(main)]);
            let crashes = dice.happens(500_000);
            if kept[at] && (is_main || main) {
                self.heal_host(at);
                let life = self.hosts[at].life;
                self.queue.push(self.now, Event::Boot { host: at as u16, life });
            } else if crashes {
                self.hosts[at].condition.lost = true;
                self.crash(at, None);
            } else {
                self.cut_off(at);
            }
        }
        // What was held up goes on.
        for wire in 0..self.wires.len() {
            for side in 0..2 {
                self.wake_lane(wire, side);
            }
        }
    }

    /// Whether a host is in the part of the world that is well, and has kept to the protocol.
    pub(super) fn is_sound(&self, at: usize) -> bool {
        let host = &self.hosts[at];
        !host.condition.lost && !host.hostile
    }

    /// Every sound Home and caller is linked again (L4).
    fn judge_links(&mut self) {
        for at in 0..self.hosts.len() {
            let host = &self.hosts[at];
            if !self.is_sound(at) {
                continue;
            }
            let connected = host.node.as_ref().is_some_and(|node| node.control().is_connected());
            if host.node.is_none() || (host.role != Role::Main && !connected) {
                let text = format!("{} is not linked again", host.name);
                self.checker.blame("L4", None, &text);
            }
        }
    }

    /// Calls that must succeed now: from every sound caller to every service it can reach.
    fn plan_probes(&mut self) {
        let topology = self.plan.topology;
        let deadline = PROBE_TIME_MAX + self.longest_way() * 8;
        let mut probes = Vec::new();
        for from in topology.mains..self.hosts.len() as u16 {
            let main = self.main_now(usize::from(from)).filter(|main| self.is_sound(*main));
            let Some(main) = main.filter(|_| self.is_sound(usize::from(from))) else { continue };
            let reached = self.reached_from(main);
            let is_there = |home: &u16| self.is_attached_to(&reached, *home);
            let homes: Vec<u16> = (0..topology.homes).filter(is_there).collect();
            let offered = |home: &u16| !self.hosts[usize::from(topology.home(*home))].withdrawn;
            let shared = if homes.iter().any(offered) { topology.shared_services } else { 0 };
            // Any node may offer any name: where a hostile Home is about, calls say whom they want.
            // And where little may be announced, not all is known everywhere.
            let few = self.limits.services_per_peer_max < 100;
            let shared = if self.hostility || few { 0 } else { shared };
            let homes = if few { Vec::new() } else { homes };
            let shared = (0..shared).map(|number| (Service::Shared(number), None));
            let own = |home| (Service::Own(home), self.hostility.then_some(home));
            probes.extend(shared.chain(homes.iter().copied().map(own)).map(|(service, node)| {
                let deadline = Span::millis(deadline.as_millis() as u64);
                let (handler, body, answer) = (Span::millis(1), 16, 16);
                CallStep {
                    from,
                    service,
                    node,
                    deadline,
                    handler,
                    body,
                    answer,
                    ..CallStep::usual()
                }
            }));
        }
        // The last ones are made first; in large worlds a part of them has to do.
        let dice = &mut Dice::new(self.plan.seed, &[CORE, 1]);
        while probes.len() > PROBES_MAX {
            probes.swap_remove(dice.below(probes.len() as u64) as usize);
        }
        self.probes = probes;
    }

    /// Whether a Home is sound and attached to one of these Mains.
    fn is_attached_to(&self, mains: &BTreeSet<usize>, home: u16) -> bool {
        let at = usize::from(self.plan.topology.home(home));
        self.is_sound(at) && self.main_now(at).is_some_and(|main| mains.contains(&main))
    }

    /// Whether a Home has gone where its callers cannot follow: where links are used up, it moves
    /// to another Main though all is well, and that one may be behind a Main that is lost.
    fn has_moved_away(&self, step: CallStep) -> bool {
        let topology = self.plan.topology;
        let Some(main) = self.main_now(usize::from(step.from)) else { return false };
        let mut homes = match step.service {
            Service::Own(home) => home..home + 1,
            Service::Shared(_) | Service::Nowhere => 0..topology.homes,
        };
        let reached = self.reached_from(main);
        let is_shared = matches!(step.service, Service::Shared(_));
        let offers = |home| {
            let at = usize::from(topology.home(home));
            !(is_shared && self.hosts[at].withdrawn) && self.is_attached_to(&reached, home)
        };
        self.limits.labels_per_slot < u32::MAX && !homes.any(offers)
    }

    /// Makes the next call that must succeed, one at a time (L1).
    pub(super) fn probe(&mut self) {
        if self.say_next() {
            return;
        }
        let Some(step) = self.probes.pop() else {
            return self.queue.push(self.now, Event::Phase);
        };
        self.tally.mark("a call had to succeed");
        if self.call(step, true).is_none() {
            self.checker.blame("L1", None, "a caller that is well could not make a call");
        }
    }

    /// A caller that is told that it may safely try again does so, but not for long.
    pub(super) fn probe_answered(&mut self, uid: u32, answer: &Answer) {
        let record = &self.checker.calls[uid as usize];
        let step = record.step;
        let mut pause = BETWEEN_PROBES;
        match answer {
            Answer::Failed(error) => {
                let since = *self.probing_since.get_or_insert(record.made_at);
                // A link that has used up its labels is replaced, and with it goes what is on it.
                let replaced = self.limits.labels_per_slot < u32::MAX;
                let safe = error.executed == Executed::No || replaced;
                // Its Home may try other Mains first, and those that are lost do not answer.
                let others = ATTEMPT_MAX * u32::from(self.plan.topology.fallbacks);
                let handshake =
                    if replaced { self.longest_way() * 8 + others } else { Duration::ZERO };
                let whole = PROBE_TIME_MAX + self.longest_way() * 8;
                let left = whole.saturating_sub(self.now.since(since)).as_millis() as u64;
                if safe && self.now < since.after(PROBE_TIME_MAX + handshake) {
                    // All attempts together have the time of one, but for links being replaced.
                    let left = if replaced { whole.as_millis() as u64 } else { left.max(1) };
                    self.probes.push(CallStep { deadline: Span::millis(left), ..step });
                    pause = PROBE_AGAIN;
                } else if self.has_moved_away(step) {
                    self.probing_since = None;
                } else {
                    let (from, service) = (step.from, step.service);
                    let took = Span(self.now.since(since));
                    let text = format!(
                        "all was well, and host {from} got '{error}' from {service} after {took}"
                    );
                    self.checker.blame("L1", Some(uid), &text);
                }
            }
            Answer::Result(_) | Answer::ApplicationError(_) => {
                self.probing_since = None;
                self.judge_recovery(step);
            }
        }
        self.queue.push(self.now.after(pause), Event::Probe);
    }

    /// What has just answered well is shut out nowhere on the way (L5).
    fn judge_recovery(&mut self, step: CallStep) {
        let Service::Own(home) = step.service else { return };
        let at = usize::from(self.plan.topology.home(home));
        // What a Home asks of itself goes nowhere.
        let Some(main) = self.main_now(at).filter(|_| at != usize::from(step.from)) else { return };
        let Some(node) = &self.hosts[main].node else { return };
        let service = step.service.to_string();
        let name = &self.hosts[at].name;
        let mut instances = node.instances();
        let out = instances.find(|instance| {
            let it = instance.service == service && instance.node == name;
            it && instance.breaker != BreakerState::Closed
        });
        if out.is_some() {
            let text = format!("{service} has just answered and is shut out all the same");
            self.checker.blame("L5", None, &text);
        }
    }

    pub(super) fn longest_way(&self) -> Duration {
        let network = &self.plan.network;
        let mean = if network.far > 0.0 { FAR_DELAY } else { network.delay_mean.0 };
        network.delay_min.0 + mean * (DELAY_MAX + 1)
    }

    /// At rest only keepalives are sent, and digests between Mains (L7).
    fn judge_idleness(&mut self) {
        let frames = self.tally.frames - self.tally.idle_from;
        let allowed = 2 * self.hosts.len() as u64 * IDLE_TIME.as_secs();
        let mains = self.plan.topology.mains;
        let all = (0..mains).flat_map(|a| (0..mains).map(move |b| (a, b)));
        let ways = all.filter(|(a, b)| self.plan.topology.are_linked(*a, *b)).count() as u64;
        let confirm_every = self.limits.health_interval.min(self.limits.registry_ttl / 3);
        let digests = IDLE_TIME.as_millis() / confirm_every.as_millis().max(1) + 1;
        // With each digest there may be a ping, and its answer.
        let allowed = allowed + ways * (3 * digests as u64 + 2 * IDLE_TIME.as_secs());
        if frames > allowed {
            let text = format!("{frames} frames in {IDLE_TIME:?} in which nobody did anything");
            self.checker.blame("L7", None, &text);
        }
    }

    /// Every call answered, every table empty, every byte accounted for.
    fn account(&mut self) {
        self.checker.finish();
        self.judge_sayings();
        for at in 0..self.hosts.len() {
            self.audit(at);
            let host = &self.hosts[at];
            let Some(node) = &host.node else { continue };
            let left = node.calls_in_flight();
            if left != 0 {
                let text = format!("{} still holds {left} calls", host.name);
                self.checker.blame("S12", None, &text);
            }
        }
        self.balance();
    }

    /// What the run was like.
    #[must_use]
    pub fn into_report(mut self) -> Report {
        self.count_traffic();
        let nodes = self.hosts.len() as u32;
        let verdicts = std::mem::take(&mut self.checker.verdicts);
        let names: Vec<String> = self.hosts.iter().map(|host| host.name.to_string()).collect();
        let name = |at: usize| names.get(at).cloned().unwrap_or_else(|| "a stranger".into());
        let report = self.tally.into_report(name);
        let virtual_time = self.now.since(Instant::ZERO);
        Report { seed: self.plan.seed, nodes, verdicts, virtual_time, ..report }
    }
}

/// An attempt to reach a Main that is cut off takes so long.
const ATTEMPT_MAX: Duration = Duration::from_secs(3);
const FAR_DELAY: Duration = Duration::from_millis(250);
const IDLE_TIME: Duration = Duration::from_secs(60);
/// A call to a service that is there is answered within this time and that of the way (L1).
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);
const BETWEEN_PROBES: Duration = Duration::from_millis(1);
const PROBE_AGAIN: Duration = Duration::from_millis(50);
const PROBES_MAX: usize = 60;
