//! What a bystander makes of the breakers of every Main, from what they say and from where they
//! send calls (S18).

use super::World;
use relay_core::{BreakerState, Instant, NodeId};
use std::collections::BTreeMap;

/// How each breaker stands, as far as its Main has told: by Main, service and instance (a Home, or
/// the Main behind which the service is).
#[derive(Debug, Default)]
pub(super) struct Breakers(BTreeMap<(usize, String, String), Told>);

#[derive(Clone, Copy, Debug)]
struct Told {
    /// Nothing when it may have changed without a word.
    state: Option<BreakerState>,
    since: Instant,
    /// Calls that went there since.
    calls: u32,
}

impl Breakers {
    /// A host starts without memory.
    pub(super) fn forget_host(&mut self, at: usize) {
        self.0.retain(|(main, _, _), _| *main != at);
    }

    /// Instances at the end of a link are new ones when the link is. Of two links to a Main the
    /// other one may live on.
    pub(super) fn forget_node(&mut self, at: usize, node: &NodeId) {
        let is_it = |main: usize, of: &str| main == at && of == node.as_str();
        let is_main = node.as_str().starts_with("main-");
        self.0.retain(|(main, _, of), _| is_main || !is_it(*main, of));
        for ((main, _, of), told) in &mut self.0 {
            if is_it(*main, of) {
                told.state = None;
            }
        }
    }

    /// An instance that comes or goes is a new one.
    pub(super) fn forget(&mut self, at: usize, service: &str, node: &NodeId) {
        self.0.remove(&(at, service.into(), node.to_string()));
    }

    /// What is behind another Main may be new, or the same as before: nobody outside can tell.
    pub(super) fn doubt_service(&mut self, at: usize, service: &str) {
        for ((main, of, node), told) in &mut self.0 {
            if *main == at && of == service && node.starts_with("main-") {
                told.state = None;
            }
        }
    }
}

impl World {
    /// A Main says how an instance stands from now on.
    pub(super) fn breaker_turned(
        &mut self,
        at: usize,
        service: &str,
        node: &NodeId,
        state: BreakerState,
    ) {
        let key = (at, service.to_owned(), node.to_string());
        let told = self.breakers.0.get(&key);
        let before = told.map_or(Some(BreakerState::Closed), |told| told.state);
        let legal = match (before, state) {
            (None, _)
            | (Some(BreakerState::Closed | BreakerState::HalfOpen), BreakerState::Open)
            | (Some(BreakerState::Open), BreakerState::HalfOpen | BreakerState::Closed)
            | (Some(BreakerState::HalfOpen), BreakerState::Closed) => true,
            (Some(before), after) => before == after && after != BreakerState::HalfOpen,
        };
        if !legal {
            let main = &self.hosts[at].name;
            let text =
                format!("{main}: breaker of {service} at {node} went from {before:?} to {state:?}");
            self.checker.blame("S18", None, &text);
        }
        self.tally.mark(match state {
            BreakerState::Closed => "a breaker closed",
            BreakerState::Open => "a breaker opened",
            BreakerState::HalfOpen => "a breaker let one call try",
        });
        // While there are two links to a Main, each has a breaker of its own.
        let peer = self.main_at(node.as_str());
        let is_one = peer.is_none_or(|peer| self.links_between(at, peer) < 2);
        let told = Told { state: is_one.then_some(state), since: self.now, calls: 0 };
        self.breakers.0.insert(key, told);
        self.judge_share(at, service);
    }

    /// Never more than half of the instances of a service are shut out (R19).
    fn judge_share(&mut self, at: usize, service: &str) {
        let Some(node) = &self.hosts[at].node else { return };
        let mut all: BTreeMap<(&str, String), bool> = BTreeMap::new();
        for instance in node.instances().filter(|instance| instance.service == service) {
            let out = instance.breaker != BreakerState::Closed;
            all.insert((instance.service, format!("{:?}", instance.link)), out);
        }
        let out = all.values().filter(|out| **out).count();
        // Instances that went away meanwhile leave a larger share behind.
        if all.len() > 1 && out == all.len() && self.plan_is_still() {
            let text = format!("{} shut out all {out} instances of {service}", self.hosts[at].name);
            self.checker.blame("S18", None, &text);
        }
    }

    fn links_between(&self, at: usize, to: usize) -> usize {
        let joints = self.hosts[at].links.iter().flatten();
        joints.filter(|joint| self.other_end(at, joint.link) == Some(to)).count()
    }

    /// Whether no instance ever comes or goes.
    fn plan_is_still(&self) -> bool {
        self.plan.faults.rates().iter().all(|(_, rate)| *rate == 0.0)
    }

    /// A Main sends a call to an instance: not while that is shut out, and one at most to try it.
    pub(super) fn watch_breaker(&mut self, at: usize, service: &str, to: usize, uid: Option<u32>) {
        let Some(node) = self.hosts.get(to).map(|host| host.name.to_string()) else { return };
        if self.links_between(at, to) > 1 {
            return;
        }
        let Some(told) = self.breakers.0.get_mut(&(at, service.to_owned(), node.clone())) else {
            return;
        };
        told.calls += 1;
        let wrong = match told.state {
            None | Some(BreakerState::Closed) => false,
            Some(BreakerState::Open) => true,
            Some(BreakerState::HalfOpen) => told.calls > 1,
        };
        if wrong {
            let text = format!(
                "{} sent call {} to {node}, shut out of {service} since {:?}",
                self.hosts[at].name, told.calls, told.since
            );
            self.checker.blame("S18", uid, &text);
        }
    }
}
