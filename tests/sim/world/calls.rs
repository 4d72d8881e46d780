//! Calls from the outside: made, run, answered, given up.

use super::streams::Sending;
use super::wires::DELAY_MAX;
use super::{Phase, World};
use crate::golden::Input;
use crate::queue::Event;
use crate::step::{CallStep, Service};
use relay_core::{
    Answer, Call, CallError, CallId, Delivery, ErrorCode, Executed, IncomingCall, Instant, Reply,
    Role, TraceHop,
};
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
        host.node.as_ref()?;
        let uid = self.checker.called(step, host.life, host.hostile, probe);
        self.tally.calls.made += 1;
        let (body, service) = (self.checker.body(uid), step.service.to_string());
        let node = step.node.map(|home| format!("home-{home}")).unwrap_or_default();
        self.input(at, || Input::Call {
            node: Some(node.clone()).filter(|node| !node.is_empty()),
            service: service.clone(),
            body: body.to_vec(),
            deadline: step.deadline,
            idempotent: step.idempotent,
            trace: step.trace,
            stream: step.chunks > 0,
        });
        let host = &mut self.hosts[at];
        let from = host.node.as_mut()?;
        let call = Call {
            node: &node,
            service: &service,
            method: "run",
            body: &body,
            deadline: step.deadline.0,
            idempotent: step.idempotent,
            trace: step.trace,
            stream: step.chunks > 0,
            ..Call::default()
        };
        match from.call(call, local, &mut host.out) {
            Ok(call) => {
                host.wait(call, uid);
                self.recorded(at, |life| life.called(Some(call)));
                if step.chunks > 0 {
                    self.start_stream(at, call, uid);
                }
                if let Some(after) = step.cancel_after {
                    self.queue.push(now.after(after.0), Event::GiveUp { uid });
                }
                self.apply(at);
            }
            Err(error) => {
                self.recorded(at, |life| life.called(None));
                self.answered(at, uid, &Answer::Failed(Box::new(error)));
            }
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
        if self.records(at) {
            self.apply(at);
        }
        let host = &mut self.hosts[at];
        let mut waiting = host.waiting.iter().flatten();
        let Some((call, _)) = waiting.find(|(_, waiting)| *waiting == uid).copied() else { return };
        let _ = host.take_waiting(call);
        self.record_cancel(at, call);
        let host = &mut self.hosts[at];
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
                self.judge_name(at, known);
                let host = &mut self.hosts[at];
                let Some(uid) = known else {
                    // Made up by a hostile host: answered at once, with nothing, or never.
                    let local = host.clock.local(now);
                    if body.is_empty() {
                        self.record_reply(at, id, b"");
                    }
                    let host = &mut self.hosts[at];
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
                self.start_sending(at, &call, uid);
            }
            Delivery::Chunk { call, number, is_last, body } => {
                self.take_chunk(at, call, (number, is_last), &body);
            }
            Delivery::Credit { call, .. } => self.credited(at, call),
            Delivery::Publication(publication) => self.hear(at, &publication),
            Delivery::Missed { .. } => self.tally.mark("a subscriber was told that it missed some"),
            Delivery::Cancelled { call } => {
                self.hosts[at].sending.remove(&call);
                let slot = self.hosts[at].running.get_mut(call.slot());
                let stopped = slot.and_then(|slot| slot.take_if(|(running, _)| *running == call));
                if stopped.is_some() {
                    self.tally.mark("a cancel stopped a handler");
                }
            }
            Delivery::Answer { call, answer, trace } => match self.hosts[at].take_waiting(call) {
                Some(uid) => {
                    self.judge_trace(at, uid, &answer, &trace);
                    self.answered(at, uid, &answer);
                }
                None => self.checker.blame("S1", None, "an answer to no call"),
            },
        }
    }

    /// A handler may have a stream to send before its result.
    fn start_sending(&mut self, at: usize, call: &IncomingCall, uid: u32) {
        let record = &self.checker.calls[uid as usize];
        if call.streams != (record.step.chunks > 0) && !record.hostile {
            self.checker.blame("S22", Some(uid), "its handler is told wrongly whether it streams");
        }
        if call.streams && self.checker.calls[uid as usize].step.chunks > 0 {
            self.hosts[at].sending.insert(call.call, Sending { uid, sent: 0, done: false });
            self.send_chunks(at, call.call);
        }
    }

    /// A call that names a node runs there and nowhere else (S10).
    fn judge_name(&mut self, at: usize, uid: Option<u32>) {
        let Some(uid) = uid else { return };
        let record = &self.checker.calls[uid as usize];
        let asked = record.step.node.map(|home| usize::from(self.plan.topology.home(home)));
        if !record.hostile && asked.is_some_and(|asked| asked != at) {
            let text = format!("it asked for another node and ran on {}", self.hosts[at].name);
            self.checker.blame("S10", Some(uid), &text);
        }
    }

    /// A traced answer tells the way it took: who served it first, who asked last, and the Mains
    /// that it crossed between them.
    fn judge_trace(&mut self, at: usize, uid: u32, answer: &Answer, trace: &[TraceHop]) {
        let record = &self.checker.calls[uid as usize];
        if record.hostile || !record.step.trace || !matches!(answer, Answer::Result(_)) {
            // One wrong bit in a request asks for a trace as well as any caller.
            let damaged = self.tally.was("a bit was changed");
            if !record.step.trace && !trace.is_empty() && !damaged {
                self.checker.blame("J1", Some(uid), "a trace that nobody asked for");
            }
            return;
        }
        let name = |host: usize| self.hosts.get(host).map(|host| host.name.to_string());
        let nodes: Vec<&str> = trace.iter().rev().map(|hop| hop.node.as_str()).collect();
        let server = record.server.and_then(|server| name(usize::from(server)));
        // An attempt whose link was given up may run on, and then it is not the one that answers.
        let is_last = server.is_none() || nodes.last().copied() == server.as_deref();
        let ends =
            nodes.first().copied() == name(at).as_deref() && (is_last || record.ways.len() > 1);
        let names = |way: &[u16]| way.iter().filter_map(|main| name(usize::from(*main))).collect();
        let ways: Vec<Vec<String>> = record.ways.iter().map(|way| names(way)).collect();
        let between = nodes.len() >= 2 && {
            let way = &nodes[1..nodes.len() - 1];
            // After another Main had failed, the first one may have found one of its own.
            let is_own = ways.iter().any(|seen| way == &seen[..1]);
            // What nobody took compressed may have been sent again plain, over another Main by now.
            let now = self.main_now(at).and_then(name);
            let is_moved = now.is_some() && way.first().copied() == now.as_deref();
            let ends_so = |seen: &Vec<String>| {
                seen.len() >= way.len() && seen[seen.len() - way.len()..] == *way
            };
            ways.is_empty()
                || is_own
                || ways.iter().any(|seen| way == seen || is_moved && ends_so(seen))
        };
        let falls = trace.windows(2).all(|hops| hops[0].took <= hops[1].took + TRACE_SLACK);
        self.tally.mark("a call told the way it took");
        let calm = self.plan.faults.drift_ppm == 0;
        if !ends || (nodes.len() > 2 && !between) || (calm && !falls) {
            let text = format!("it says it went over {nodes:?}, seen were {ways:?} to {server:?}");
            self.checker.blame("J1", Some(uid), &text);
        }
    }

    pub(super) fn end_handler(&mut self, at: usize, life: u32, slot: usize, uid: u32) {
        let host = &mut self.hosts[at];
        if host.life != life {
            return;
        }
        if host.condition.asleep_until > self.now {
            let slot = slot as u32;
            return host.deferred.push(Event::Handler { host: at as u16, life, slot, uid });
        }
        if self.records(at) {
            self.apply(at);
        }
        let running = self.hosts[at].running.get(slot).copied().flatten();
        let Some((call, _)) = running.filter(|(_, run)| *run == uid) else { return };
        self.judge_cancel(at, uid);
        if let Some(sending) = self.hosts[at].sending.get_mut(&call) {
            sending.done = true;
            if sending.sent < self.checker.calls[uid as usize].step.chunks {
                return;
            }
        }
        self.reply(at, call);
        self.apply(at);
    }

    /// A handler has its result, and everything before it was sent.
    pub(super) fn reply(&mut self, at: usize, call: CallId) {
        let local = self.local(at);
        let host = &mut self.hosts[at];
        host.sending.remove(&call);
        let running = host.running.get_mut(call.slot());
        let Some((_, uid)) = running.and_then(|run| run.take_if(|(run, _)| *run == call)) else {
            return;
        };
        let answer = self.checker.answer(uid);
        self.record_reply(at, call, &answer);
        let host = &mut self.hosts[at];
        if let Some(node) = &mut host.node {
            node.reply(call, Reply::Result(&answer), local, &mut host.out);
        }
    }

    /// A handler came to its end: it may not have been cancelled long ago over a path that lived.
    fn judge_cancel(&mut self, at: usize, uid: u32) {
        let record = &self.checker.calls[uid as usize];
        let (caller, since) = (usize::from(record.step.from), record.made_at);
        let mains = 0..usize::from(self.plan.topology.mains);
        let mut path = mains.chain([caller, at]);
        if record.hostile || !path.all(|at| self.hosts[at].is_untroubled_since(since)) {
            return;
        }
        let most = |way| self.plan.network.delay_min.0 + self.mean_delay(way) * (DELAY_MAX + 1);
        // The way there is one to the first Main, one to the Home, and those between Mains.
        let between = most([0, 0]) * u32::from(self.plan.topology.mains - 1);
        let travel: Duration = most([caller, 0]) + most([0, at]) + between;
        self.checker.ran_to_its_end(uid, CANCEL_TIME_MAX + travel * 2);
    }

    /// An answer reached the host that called.
    fn answered(&mut self, at: usize, uid: u32, answer: &Answer) {
        let latest = self.latest_answer(at, uid);
        let record = &self.checker.calls[uid as usize];
        let (step, took, probe) = (record.step, self.now.since(record.made_at), record.probe);
        self.note(u64::from(uid));
        self.checker.answered(uid, answer, latest);
        self.judge_leaving(at, uid, answer);
        if let Answer::Failed(error) = answer {
            self.count_refused(uid, error);
        }
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

    /// Whether a host can call a service when all is well.
    pub(super) fn is_reachable(&self, from: u16, service: Service) -> bool {
        let topology = self.plan.topology;
        let mut homes = topology.homes_for(topology.main_of(from));
        match service {
            Service::Nowhere => false,
            Service::Shared(number) => number < topology.shared_services && homes.next().is_some(),
            Service::Own(home) => homes.any(|there| there == home),
        }
    }
}

/// Times in a trace are whole microseconds.
const TRACE_SLACK: Duration = Duration::from_micros(1);
/// A cancel has to reach its handler within this time and that of the way, if the path lives.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(1);
/// Granularity of timers and one turn of the loop.
const LATENESS_MAX: Duration = Duration::from_millis(20);
