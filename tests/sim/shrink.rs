//! Makes a run that breaks a promise as short as it gets, so that a person can read it.
//!
//! Steps are left out in ever smaller groups as long as the same oracle still objects (Zeller,
//! Hildebrandt, "Simplifying and Isolating Failure-Inducing Input"). It works because the chance of
//! each connection and of each start of a host is its own: leaving one out changes no other.

use crate::plan::{Bounds, Network, Plan, Topology};
use crate::report::Report;
use crate::schedule::Schedule;
use crate::span::Span;
use crate::step::Timed;
use crate::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

impl Schedule {
    /// The shortest schedule found that still breaks the promise that `report`, of a run of `plan`,
    /// tells of. `watch` is told the number of steps left, again and again. Nothing if the run
    /// cannot be repeated, which would be a bug of the simulator.
    pub fn shrink(plan: &Plan, report: &Report, watch: &mut dyn FnMut(usize)) -> Option<Self> {
        let oracle = report.verdicts.first()?.oracle;
        let steps = recorded(plan);
        let schedule = Self { finding: String::new(), plan: plan.clone(), steps };
        let mut shrinker = Shrinker { schedule, oracle, events: 0, watch };
        if !shrinker.try_out(shrinker.schedule.clone()) {
            return None;
        }
        loop {
            let before = shrinker.schedule.clone();
            shrinker.shorten();
            shrinker.leave_out_steps();
            shrinker.simplify();
            if shrinker.schedule == before || shrinker.events >= EVENTS_MAX {
                return Some(shrinker.schedule);
            }
        }
    }
}

struct Shrinker<'a> {
    schedule: Schedule,
    oracle: &'static str,
    /// Events simulated so far, which is the time it took.
    events: u64,
    watch: &'a mut dyn FnMut(usize),
}

impl Shrinker<'_> {
    /// Takes the candidate if the same oracle objects to it.
    fn try_out(&mut self, mut candidate: Schedule) -> bool {
        if self.events >= EVENTS_MAX || candidate.plan.validate().is_err() {
            return false;
        }
        let report = candidate.run();
        // A run that panicked does not know how far it came.
        self.events += report.events.max(1_000);
        let verdict = report.verdicts.iter().find(|verdict| verdict.oracle == self.oracle);
        let Some(verdict) = verdict else { return false };
        candidate.finding = format!("{} after {}: {}", verdict.oracle, verdict.at, verdict.what);
        self.schedule = candidate;
        (self.watch)(self.schedule.steps.len());
        true
    }

    /// Ends the storm soon after the last step.
    fn shorten(&mut self) {
        let last = self.schedule.steps.last().map_or_else(Span::default, |timed| timed.at);
        for rest in [1, 5, 20] {
            let duration = Span(last.0 + Duration::from_secs(rest));
            if duration < self.schedule.plan.duration {
                let mut candidate = self.schedule.clone();
                candidate.plan.duration = duration;
                if self.try_out(candidate) {
                    return;
                }
            }
        }
    }

    fn leave_out_steps(&mut self) {
        let mut size = self.schedule.steps.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < self.schedule.steps.len() {
                let mut candidate = self.schedule.clone();
                let end = (at + size).min(candidate.steps.len());
                candidate.steps.drain(at..end);
                if !self.try_out(candidate) {
                    at += size;
                }
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    /// Takes the usual value for everything about the world that does not matter.
    fn simplify(&mut self) {
        let used = self.schedule.steps.iter().map(|timed| timed.step.host()).max().unwrap_or(0);
        let changes: [&dyn Fn(&mut Plan); 12] = [
            &|plan| plan.network = Network::default(),
            &|plan| plan.network.chunk_max = Network::default().chunk_max,
            &|plan| plan.network.window = Network::default().window,
            &|plan| plan.network.far = 0.0,
            &|plan| plan.network.delay_mean = Span::default(),
            &|plan| plan.faults.drift_ppm = 0,
            &|plan| plan.faults.late_timers = Span::default(),
            &|plan| plan.limits = Bounds::default(),
            &|plan| plan.topology.callers = callers_used(plan.topology, used),
            &|plan| plan.topology.shared_services = 0,
            &|plan| plan.traffic.deadline_max = Span::seconds(2),
            // What is drawn from a schedule no more should not be in its file.
            &|plan| plan.traffic = Plan { seed: 0, ..Plan::default() }.traffic,
        ];
        for change in changes {
            let mut candidate = self.schedule.clone();
            change(&mut candidate.plan);
            if candidate.plan != self.schedule.plan {
                self.try_out(candidate);
            }
        }
        let mut candidate = self.schedule.clone();
        let faults = &mut candidate.plan.faults;
        let (drift_ppm, late_timers) = (faults.drift_ppm, faults.late_timers);
        *faults = crate::plan::Faults { drift_ppm, late_timers, ..crate::plan::Faults::default() };
        if candidate.plan != self.schedule.plan {
            self.try_out(candidate);
        }
    }
}

/// Callers are numbered last, so those that no step is about can go.
fn callers_used(topology: Topology, last_used: u16) -> u16 {
    (last_used + 1).saturating_sub(topology.mains + topology.homes).min(topology.callers)
}

/// Every step of a run, up to its end or its panic.
fn recorded(plan: &Plan) -> Vec<Timed> {
    let mut world = World::new(plan);
    world.record();
    // The outcome is known; only the steps are wanted.
    let _ = catch_unwind(AssertUnwindSafe(|| while world.advance() {}));
    world.take_recorded()
}

/// Enough for thousands of small worlds, and about half a minute without optimisation.
const EVENTS_MAX: u64 = 20_000_000;
