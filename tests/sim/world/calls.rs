//! Calls from the outside: made, run, answered, given up.

use super::wires::DELAY_MAX;
use super::{Phase, World};
use crate::queue::Event;
use crate::step::{CallStep, Service};
use relay_core::{Answer, Call, CallError, Delivery, ErrorCode, Executed, Instant, Reply, Role};
use std::time::Duration;

impl World {
    /// A host makes a call, unless it is down or asleep.
    pub(super) fn call(&mut self, step: CallStep, probe: bool) -> Option<u32> {
        let (at, now) = (usize::from(step.from), self.now);
        let local = self.local(at);
        let host = &mut self.hosts[at];
        if host.condition.asleep_until > now || host.role == Role::Main {
            return None;
        }
        let from = host.node.as_mut()?;
        let uid = self.checker.called(step, host.life, host.hostile, probe);
        self.tally.calls.made += 1;
        let (body, service) = (self.checker.body(uid), step.service.to_string());
        let node = step.node.map(|home| format!("home-{home}")).unwrap_or_default();
        let call = Call {
            node: &node,
            service: &service,
            method: "run",
            body: &body,
            deadline: step.deadline.0,
            ..Call::default()
        };
        match from.call(call, local, &mut host.out) {
            Ok(call) => {
                host.wait(call, uid);
                if let Some(after) = step.cancel_after {
                    self.queue.push(now.after(after.0), Event::GiveUp { uid });
                }
                self.apply(at);
            }
            Err(error) => self.answered(at, uid, &Answer::Failed(Box::new(error))),
        }
        Some(uid)
    }

    /// The caller does not want to wait any longer.
    pub(super) fn give_up(&mut self, uid: u32) {
        let record = &self.checker.calls[uid as usize];
        let (at, life) = (usize::from(record.step.from), record.life);
        let local = self.local(at);
        let host = &mut self.hosts[at];
        if host.life != life {
            return;
        }
        if host.condition.asleep_until > self.now {
            return host.deferred.push(Event::GiveUp { uid });
        }
        let mut waiting = host.waiting.iter().flatten();
        let Some((call, _)) = waiting.find(|(_, waiting)| *waiting == uid).copied() else { return };
        let _ = host.take_waiting(call);
        if let Some(node) = &mut host.node {
            node.cancel(call, local, &mut host.out);
            self.checker.cancelled(uid);
            self.tally.calls.cancelled += 1;
            self.apply(at);
        }
    }

    pub(super) fn deliver(&mut self, at: usize, delivery: Delivery) {
        match delivery {
            Delivery::Request(call) => {
                let (body, hostility) = (call.body(), self.hostility);
                let known = self.checker.executed(&body, call.service(), hostility);
                let (id, now) = (call.call, self.now);
                let host = &mut self.hosts[at];
                let Some(uid) = known else {
                    // Made up by a hostile host: answered at once, with nothing, or never.
                    let local = host.clock.local(now);
                    if let (Some(node), true) = (&mut host.node, body.is_empty()) {
                        node.reply(id, Reply::Result(b""), local, &mut host.out);
                    }
                    return;
                };
                host.run(id, uid);
                let (life, slot) = (host.life, id.slot() as u32);
                let takes = self.checker.calls[uid as usize].step.handler.0;
                self.note(u64::from(uid));
                let done = Event::Handler { host: at as u16, life, slot, uid };
                self.queue.push(now.after(takes), done);
            }
            Delivery::Cancelled { call } => {
                let slot = self.hosts[at].running.get_mut(call.slot());
                let stopped = slot.and_then(|slot| slot.take_if(|(running, _)| *running == call));
                if stopped.is_some() {
                    self.tally.mark("a cancel stopped a handler");
                }
            }
            Delivery::Answer { call, answer, .. } => match self.hosts[at].take_waiting(call) {
                Some(uid) => self.answered(at, uid, &answer),
                None => self.checker.blame("S1", None, "an answer to no call"),
            },
        }
    }

    pub(super) fn end_handler(&mut self, at: usize, life: u32, slot: usize, uid: u32) {
        let local = self.local(at);
        let host = &mut self.hosts[at];
        if host.life != life {
            return;
        }
        if host.condition.asleep_until > self.now {
            let slot = slot as u32;
            return host.deferred.push(Event::Handler { host: at as u16, life, slot, uid });
        }
        let running = host.running.get_mut(slot);
        let Some((call, _)) = running.and_then(|run| run.take_if(|(_, run)| *run == uid)) else {
            return;
        };
        let answer = self.checker.answer(uid);
        self.judge_cancel(at, uid);
        let host = &mut self.hosts[at];
        if let Some(node) = &mut host.node {
            node.reply(call, Reply::Result(&answer), local, &mut host.out);
            self.apply(at);
        }
    }

    /// A handler came to its end: it may not have been cancelled long ago over a path that lived.
    fn judge_cancel(&mut self, at: usize, uid: u32) {
        let record = &self.checker.calls[uid as usize];
        let (caller, since) = (usize::from(record.step.from), record.made_at);
        let main = usize::from(self.plan.topology.main_of(record.step.from));
        let path = [caller, main, at];
        if record.hostile || !path.iter().all(|at| self.hosts[*at].is_untroubled_since(since)) {
            return;
        }
        let ways = [[caller, main], [main, at]];
        let most = |way| self.plan.network.delay_min.0 + self.mean_delay(way) * (DELAY_MAX + 1);
        let travel: Duration = ways.into_iter().map(most).sum();
        self.checker.ran_to_its_end(uid, CANCEL_TIME_MAX + travel * 2);
    }

    /// An answer reached the host that called.
    fn answered(&mut self, at: usize, uid: u32, answer: &Answer) {
        let latest = self.latest_answer(at, uid);
        let record = &self.checker.calls[uid as usize];
        let (step, took, probe) = (record.step, self.now.since(record.made_at), record.probe);
        self.note(u64::from(uid));
        self.checker.answered(uid, answer, latest);
        if !probe {
            match answer {
                Answer::Failed(error) => self.count_failure(&step, error),
                Answer::Result(_) | Answer::ApplicationError(_) => {
                    self.tally.succeeded(took, self.now);
                }
            }
        }
        if self.phase == Phase::Probe && probe {
            self.probe_answered(uid, answer);
        }
    }

    fn count_failure(&mut self, step: &CallStep, error: &CallError) {
        let told = match error.executed {
            Executed::No => "no",
            Executed::Unknown => "unknown",
            Executed::Yes => "yes",
        };
        self.tally.failed(error.code.name(), told, self.now);
        match error.code {
            ErrorCode::Overloaded => {
                self.tally.mark("a call was refused because a bound was reached");
            }
            ErrorCode::Deadline => self.tally.mark("a call ran out of time"),
            ErrorCode::LinkLost => self.tally.mark("a link broke under a call"),
            ErrorCode::Unavailable => {
                self.tally.mark("a call came while its caller was not linked");
            }
            _ => {}
        }
        let elsewhere = !self.is_reachable(step.from, step.service);
        if error.code == ErrorCode::NoSuchService && elsewhere {
            self.tally.failed_as_expected(self.now);
        }
    }

    /// The last moment at which the answer to a call may reach its caller (S2).
    fn latest_answer(&self, at: usize, uid: u32) -> Instant {
        let record = &self.checker.calls[uid as usize];
        let faults = &self.plan.faults;
        let deadline = record.step.deadline.0;
        let drift = deadline * faults.drift_ppm / 1_000_000;
        let due = record.made_at.after(deadline + drift);
        let awake = self.hosts[at].condition.asleep_until;
        due.max(awake).after(LATENESS_MAX + faults.late_timers.0)
    }

    /// Whether a host can call a service when all is well: Mains do not know each other yet.
    pub(super) const fn is_reachable(&self, from: u16, service: Service) -> bool {
        let topology = self.plan.topology;
        match service {
            Service::Nowhere => false,
            Service::Shared(number) => {
                number < topology.shared_services && topology.main_of(from) < topology.homes
            }
            Service::Own(home) => {
                home < topology.homes
                    && topology.main_of(topology.home(home)) == topology.main_of(from)
            }
        }
    }
}

/// A cancel has to reach its handler within this time and that of the way, if the path lives.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(1);
/// Granularity of timers and one turn of the loop.
const LATENESS_MAX: Duration = Duration::from_millis(20);
