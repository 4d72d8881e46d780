//! Mains that leave in good order, and what is promised to the calls that go over them (L6).

use super::World;
use super::wires::DELAY_MAX;
use crate::checker::{Record, SentOn};
use crate::golden::Input;
use crate::queue::Event;
use crate::span::Span;
use crate::step::Service;
use relay_core::{Answer, CloseReason, ErrorCode, Executed, Instant, Role};
use std::time::Duration;

/// How a Main leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave {
    life: u32,
    /// It asked everyone to use others.
    asked_at: Instant,
    /// From then on it takes no calls.
    drains_at: Instant,
    /// By then it is gone, whatever is still in flight.
    limit: Instant,
}

impl World {
    /// A Main is going to end: it says so first.
    pub(super) fn leave(&mut self, at: usize, lasts: Span) {
        let lasts = lasts.min(LEAVE_MAX);
        let local = self.local(at);
        let (asked_at, drains_at) = (self.now, self.now.after(lasts.0));
        let host = &mut self.hosts[at];
        if host.role != Role::Main || host.condition.asleep_until > self.now {
            return;
        }
        if host.node.is_none() {
            return;
        }
        self.input(at, || Input::Leave);
        let host = &mut self.hosts[at];
        let Some(node) = &mut host.node else { return };
        node.leave(local, &mut host.out);
        // A recorded Main gives calls in flight no time: see World::end_recorded.
        let drain = if self.records(at) { Duration::ZERO } else { DRAIN_MAX };
        let host = &mut self.hosts[at];
        let until = drains_at.after(drain);
        host.condition.leaves_until = host.condition.leaves_until.max(until);
        let life = host.life;
        // Who is asked twice leaves once.
        if host.leave.is_none_or(|leave| leave.life != life) {
            host.leave = Some(Leave { life, asked_at, drains_at, limit: until });
            let (host, drained) = (at as u16, false);
            self.queue.push(drains_at, Event::Ends { host, life, drained });
        }
        self.tally.mark("a Main asked everyone to leave");
        self.apply(at);
    }

    /// The time of a Main that leaves is over: it takes no calls any more, and once nothing is in
    /// flight over it, or its limit has come, it is gone.
    pub(super) fn end_of(&mut self, at: usize, life: u32, drained: bool) {
        let local = self.local(at);
        let host = &mut self.hosts[at];
        if host.life != life {
            return;
        }
        if host.condition.asleep_until > self.now {
            return host.deferred.push(Event::Ends { host: at as u16, life, drained });
        }
        if self.records(at) {
            return self.end_recorded(at);
        }
        let host = &mut self.hosts[at];
        let (Some(node), Some(leave)) = (&mut host.node, host.leave) else { return };
        if !drained {
            node.drain(local, &mut host.out);
            self.apply(at);
        }
        let Some(node) = &self.hosts[at].node else { return };
        if node.calls_in_flight() > 0 && self.now < leave.limit {
            let again = self.now.after(DRAIN_LOOK).min(leave.limit);
            return self.queue.push(again, Event::Ends { host: at as u16, life, drained: true });
        }
        self.judge_rest(at, &leave);
        let host = &mut self.hosts[at];
        let Some(node) = &mut host.node else { return };
        node.close_all(CloseReason::Shutdown, local, &mut host.out);
        self.apply(at);
        self.restart(at);
    }

    /// The process of a Main that has left ends, and starts again.
    pub(super) fn restart(&mut self, at: usize) {
        let up_at = self.now.after(RESTART_AFTER);
        let condition = &mut self.hosts[at].condition;
        condition.leaves_until = condition.leaves_until.max(up_at);
        self.crash(at, Some(up_at));
    }

    /// What a Main still holds when it ends are calls that were asked for lately: none whose time
    /// is over (L6).
    fn judge_rest(&mut self, at: usize, leave: &Leave) {
        let Some(node) = &self.hosts[at].node else { return };
        let left = node.calls_in_flight() as usize;
        self.tally.mark("a drain was judged");
        let since = self.before_trouble(leave.asked_at);
        if left == 0 || self.hostility || !self.hosts.iter().all(|host| host.is_calm_since(since)) {
            return;
        }
        let late = self.longest_way() * 8 + LEAVE_SLACK + self.plan.faults.late_timers.0;
        let may_be_held = |call: &&Record| {
            let gone = call.made_at.after(call.step.deadline.0 * 2).after(late);
            gone >= self.now && call.step.from as usize != at
        };
        let young = self.checker.calls.iter().filter(may_be_held).count();
        if left > young {
            let name = &self.hosts[at].name;
            let text = format!("{name} ended with {left} calls, of which {young} may be in flight");
            self.checker.blame("L6", None, &text);
        }
    }

    /// A call that a Main sent on before it drained comes to its end, if its handler is done and
    /// its answer back before the Main has to be gone: its caller is not left without knowing (L6).
    pub(super) fn judge_leaving(&mut self, at: usize, uid: u32, answer: &Answer) {
        let record = &self.checker.calls[uid as usize];
        let leaves = record.sent_on.iter().filter_map(|sent| self.leave_of(sent));
        let Some(leave) = leaves.min_by_key(|leave| leave.limit) else { return };
        let Answer::Failed(error) = answer else {
            if self.now >= leave.drains_at {
                self.tally.mark("a call outlived the leaving of its Main");
            }
            return;
        };
        let is_lost = error.executed == Executed::Unknown || error.code == ErrorCode::LinkLost;
        let is_broken = is_lost || error.code == ErrorCode::Draining;
        let alone = is_broken && !self.drains_elsewhere(record);
        if alone && self.ends_in_time(record, leave) && self.was_calm(at, record) {
            let (left, limit) = (since_start(leave.asked_at), since_start(leave.limit));
            let text = format!(
                "told '{error}', though the Main that left at {left} had until {limit} to end it"
            );
            self.checker.blame("L6", Some(uid), &text);
        }
    }

    /// How the Main that sent a call on left afterwards, if it has begun to.
    fn leave_of(&self, sent: &SentOn) -> Option<Leave> {
        let leave = self.hosts[usize::from(sent.main)].leave?;
        let is_it = leave.life == sent.life && sent.at < leave.drains_at;
        Some(leave).filter(|_| is_it && leave.asked_at <= self.now)
    }

    /// Whether a Main that the call may have come to has drained besides the one that sent it on:
    /// it may have refused the call, or have ended before it got it.
    fn drains_elsewhere(&self, record: &Record) -> bool {
        let mains = &self.hosts[..usize::from(self.plan.topology.mains)];
        let drains = mains.iter().filter(|main| {
            let has_begun = main.leave.is_some_and(|leave| leave.drains_at <= self.now);
            has_begun && main.condition.leaves_until >= record.made_at
        });
        let itself = record.sent_on.iter().find_map(|sent| self.leave_of(sent));
        let itself = itself.is_some_and(|leave| leave.drains_at <= self.now);
        drains.count() > usize::from(itself)
    }

    /// Whether a call had the time to end: its handler, the way there and back, and a second try.
    fn ends_in_time(&self, record: &Record, leave: Leave) -> bool {
        let mains = u32::from(self.plan.topology.mains);
        let hosts = [usize::from(record.step.from), usize::from(record.server.unwrap_or(0))];
        let least = self.plan.network.delay_min.0;
        let most = |host| least + self.mean_delay([host, 0]) * (DELAY_MAX + 1);
        let way = most(hosts[0]) + most(hosts[1]) + most(0) * (mains - 1);
        let needed = record.step.handler.0 + way * 4 + LEAVE_SLACK;
        let drift = Duration::from_millis(10) + self.plan.faults.late_timers.0;
        let by = record.made_at.after(needed + drift);
        by <= leave.limit && by <= record.made_at.after(record.step.deadline.0)
    }

    /// Whether nothing went wrong with any host that the call may have come to, apart from Mains
    /// that left in good order, and no bytes had to wait.
    fn was_calm(&self, at: usize, record: &Record) -> bool {
        let since = self.before_trouble(record.made_at);
        let topology = self.plan.topology;
        let mains = 0..usize::from(topology.mains);
        // It may have been tried at a Home that never got it.
        let homes = match record.step.service {
            Service::Own(home) => home..home + 1,
            Service::Shared(_) | Service::Nowhere => 0..topology.homes,
        };
        let homes = homes.map(|home| usize::from(topology.home(home)));
        let mut hosts = mains.chain([at]).chain(homes);
        let plain = record.step.chunks == 0 && !record.hostile && !self.hostility;
        // Where labels are few, or the bound of what may wait is small, links end by themselves.
        let lasting = self.limits.labels_per_slot == u32::MAX
            && self.limits.write_bytes_max >= WRITE_BYTES_AMPLE;
        plain && lasting && hosts.all(|host| self.hosts[host].is_calm_since(since))
    }

    /// What went wrong before this moment is found out by the given one: a link that is silent, a
    /// frame of which the rest does not come.
    fn before_trouble(&self, moment: Instant) -> Instant {
        let found_out = self.limits.idle_timeout.max(self.limits.frame_timeout) + FOUND_OUT;
        let nanos = moment.as_nanos().saturating_sub(found_out.as_nanos() as u64);
        Instant::from_nanos(nanos)
    }
}

fn since_start(moment: Instant) -> Span {
    Span(moment.since(Instant::ZERO))
}

/// Nobody who leaves refuses new links for longer.
const LEAVE_MAX: Span = Span::seconds(5);
/// Calls in flight have so long to end.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// How often a Main that drains looks whether anything is in flight.
const DRAIN_LOOK: Duration = Duration::from_millis(10);
const RESTART_AFTER: Duration = Duration::from_secs(1);
const FOUND_OUT: Duration = Duration::from_secs(5);
/// No turn of a node writes so much to one link in these worlds.
const WRITE_BYTES_AMPLE: u32 = 1 << 20;
const LEAVE_SLACK: Duration = Duration::from_millis(100);
