//! Nobody starves: what a link takes is shared out among those who want it (L3).
//!
//! A flow is all that comes to a Main over one link: the calls of one caller, or those that another
//! Main passes on. Where a Main refuses calls because a host that it sends them to has enough, each
//! flow must get half of its fair share of what that host took within any five seconds.

use super::World;
use crate::checker::Record;
use crate::step::Service;
use relay_core::{CallError, ErrorCode, Executed, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What Mains sent on and refused in the last seconds, by the Main and the host that it goes to.
#[derive(Debug, Default)]
pub(super) struct Flows(BTreeMap<(u16, u16), VecDeque<Second>>);

/// One second of the calls from one host to another.
#[derive(Debug, Default)]
struct Second {
    /// Since the start.
    number: u64,
    /// By the host over whose link they came.
    flows: BTreeMap<u16, Flow>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Flow {
    taken: u32,
    refused: u32,
}

impl Flows {
    fn count(&mut self, way: (u16, u16), flow: u16, now: Instant) -> &mut Flow {
        let number = second_of(now);
        let seconds = self.0.entry(way).or_default();
        if seconds.back().is_none_or(|last| last.number < number) {
            seconds.push_back(Second { number, flows: BTreeMap::new() });
        }
        while seconds.front().is_some_and(|first| first.number + WINDOW + 1 < number) {
            seconds.pop_front();
        }
        let at = seconds.len() - 1;
        seconds[at].flows.entry(flow).or_default()
    }

    /// What came in the whole seconds before `end`.
    fn window(&self, way: (u16, u16), end: u64) -> BTreeMap<u16, Flow> {
        let mut sum: BTreeMap<u16, Flow> = BTreeMap::new();
        let seconds = self.0.get(&way).into_iter().flatten();
        let within = seconds.filter(|second| second.number < end && second.number + WINDOW >= end);
        for (flow, counts) in within.flat_map(|second| &second.flows) {
            let whole = sum.entry(*flow).or_default();
            whole.taken += counts.taken;
            whole.refused += counts.refused;
        }
        sum
    }
}

impl World {
    /// A Main sends a call on to another host.
    pub(super) fn count_taken(&mut self, uid: u32, main: u16, to: u16) {
        if self.shares_are_judged() {
            let flow = flow_of(&self.checker.calls[uid as usize], main);
            self.flows.count((main, to), flow, self.now).taken += 1;
        }
    }

    /// A Main refused a call because the host that it goes to has enough.
    pub(super) fn count_refused(&mut self, uid: u32, error: &CallError) {
        let refused = error.code == ErrorCode::Overloaded && error.executed == Executed::No;
        let mains = &self.hosts[..usize::from(self.plan.topology.mains)];
        let named = mains.iter().position(|main| main.name.as_str() == &*error.node);
        let Some(main) = named.filter(|_| refused) else { return };
        if !self.shares_are_judged() {
            return;
        }
        let record = &self.checker.calls[uid as usize];
        let asked = record.step.node.or(match record.step.service {
            Service::Own(home) => Some(home),
            Service::Shared(_) | Service::Nowhere => None,
        });
        let home = asked.map(|home| usize::from(self.plan.topology.home(home)));
        let Some(there) = home.and_then(|home| self.main_now(home)) else { return };
        let to = if there == main { home } else { Some(there) };
        let flow = flow_of(record, main as u16);
        if let Some(to) = to {
            self.flows.count((main as u16, to as u16), flow, self.now).refused += 1;
        }
    }

    /// Only where calls are alike is it fair that each takes as many, and only where one comes
    /// after the other can each be let in.
    fn shares_are_judged(&self) -> bool {
        let traffic = &self.plan.traffic;
        let alike = traffic.slow == 0.0 && traffic.streamed == 0.0 && traffic.burst == 1;
        alike && self.limits.labels_per_slot == u32::MAX && !self.hostility
    }

    /// Looks back at the last seconds of the calls that a Main refused (L3).
    pub(super) fn judge_shares(&mut self, main: usize) {
        if !self.shares_are_judged() {
            return;
        }
        let (own, end) = (main as u16, second_of(self.now));
        let ways = self.flows.0.range((own, 0)..=(own, u16::MAX)).map(|(way, _)| *way);
        for way in ways.collect::<Vec<_>>() {
            self.judge_way(way, end);
        }
    }

    fn judge_way(&mut self, way: (u16, u16), end: u64) {
        let flows = self.flows.window(way, end);
        let refused = flows.values().any(|flow| flow.refused > 0);
        let room = self.limits.calls_per_link_max as usize > 2 * flows.len();
        if !refused || flows.len() < 2 || !room || end < WINDOW {
            return;
        }
        let since = Instant::ZERO.after(Duration::from_secs(end - WINDOW));
        let is_calm = |host: u16| {
            let host = &self.hosts[usize::from(host)];
            host.is_calm_since(since) && host.is_untroubled_since(since)
        };
        if ![way.0, way.1].into_iter().chain(flows.keys().copied()).all(is_calm) {
            return;
        }
        self.tally.mark("the shares of callers were judged");
        let level = level(&flows);
        for (host, flow) in flows {
            let fair = f64::from(flow.taken + flow.refused).min(level);
            if f64::from(flow.taken + SLACK) < fair / 2.0 {
                let [main, to, from] =
                    [way.0, way.1, host].map(|host| &self.hosts[usize::from(host)].name);
                let text = format!(
                    "{main} sent {} calls of {from} to {to} in {WINDOW} s and refused {}, its fair \
                     share was {fair:.1}",
                    flow.taken, flow.refused
                );
                self.checker.blame("L3", None, &text);
            }
        }
    }
}

/// The host over whose link a call came to a Main.
fn flow_of(record: &Record, main: u16) -> u16 {
    let before = record.sent_on.iter().rev().find(|sent| sent.main != main);
    before.map_or(record.step.from, |sent| sent.main)
}

/// The most that one flow may take so that all together take no more than they did, where each
/// takes what it wants up to that.
fn level(flows: &BTreeMap<u16, Flow>) -> f64 {
    let mut wanted: Vec<u32> = flows.values().map(|flow| flow.taken + flow.refused).collect();
    wanted.sort_unstable();
    let mut left = f64::from(flows.values().map(|flow| flow.taken).sum::<u32>());
    let mut flows = wanted.len();
    for wants in wanted {
        let equal = left / flows as f64;
        if f64::from(wants) > equal {
            return equal;
        }
        left -= f64::from(wants);
        flows -= 1;
    }
    f64::INFINITY
}

const fn second_of(moment: Instant) -> u64 {
    moment.as_nanos() / 1_000_000_000
}

/// Seconds over which a flow must have its share.
const WINDOW: u64 = 5;
/// Who was not there a moment ago may be refused once or twice until there is room for him.
const SLACK: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_what_is_left_for_those_who_want_more() {
        let flows = |flows: &[(u32, u32)]| {
            let flows =
                flows.iter().map(|(taken, refused)| Flow { taken: *taken, refused: *refused });
            level(&(0..).zip(flows).collect())
        };
        assert_eq!(flows(&[(10, 0), (90, 900)]), 90.0);
        assert_eq!(flows(&[(5, 5), (95, 900)]), 90.0, "the first one wanted ten");
        assert_eq!(flows(&[(50, 50), (50, 900)]), 50.0);
        assert_eq!(flows(&[(3, 0), (4, 0)]), f64::INFINITY);
    }
}
