//! What a bystander makes of the breakers of every Main, from what they say and from where they
//! send calls (S18).

use super::World;
use relay_core::{BreakerState, Instant, LinkId};
use std::collections::BTreeMap;

/// How each breaker stands, as far as its Main has told: by Main, service and link.
#[derive(Debug, Default)]
pub(super) struct Breakers(BTreeMap<(usize, String, LinkId), Told>);

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

    /// What was at the end of a link is gone with it.
    pub(super) fn forget_link(&mut self, at: usize, link: LinkId) {
        self.0.retain(|(main, _, of), _| *main != at || *of != link);
    }

    /// Instances of a service come and go: what is known of them may be new, or as before. Nobody
    /// outside can tell.
    pub(super) fn doubt(&mut self, at: usize, service: &str) {
        for ((main, of, _), told) in &mut self.0 {
            if *main == at && of == service {
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
        link: LinkId,
        state: BreakerState,
    ) {
        let key = (at, service.to_owned(), link);
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
            let text = format!(
                "{main}: breaker of {service} over {link} went from {before:?} to {state:?}"
            );
            self.checker.blame("S18", None, &text);
        }
        self.tally.mark(match state {
            BreakerState::Closed => "a breaker closed",
            BreakerState::Open => "a breaker opened",
            BreakerState::HalfOpen => "a breaker let one call try",
        });
        let told = Told { state: Some(state), since: self.now, calls: 0 };
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

    /// Whether no instance ever comes or goes.
    fn plan_is_still(&self) -> bool {
        self.plan.faults.rates().iter().all(|(_, rate)| *rate == 0.0)
    }

    /// A Main sends a call to an instance: not while that is shut out, and one at most to try it.
    pub(super) fn watch_breaker(
        &mut self,
        at: usize,
        service: &str,
        link: LinkId,
        uid: Option<u32>,
    ) {
        let Some(told) = self.breakers.0.get_mut(&(at, service.to_owned(), link)) else { return };
        told.calls += 1;
        let wrong = match told.state {
            None | Some(BreakerState::Closed) => false,
            Some(BreakerState::Open) => true,
            Some(BreakerState::HalfOpen) => told.calls > 1,
        };
        if wrong {
            let text = format!(
                "{} sent call {} over {link}, where {service} is shut out since {:?}",
                self.hosts[at].name, told.calls, told.since
            );
            self.checker.blame("S18", uid, &text);
        }
    }
}
