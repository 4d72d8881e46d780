//! Runs worlds: one, or seed after seed on every core until the time is over. Runs that have begun
//! are finished, because only a finished run can be judged; those that Ctrl-C stops are left out.

use super::figures::Total;
use super::options::Order;
use super::panics::{Quiet, caught};
use super::progress::Progress;
use super::stop::Stop;
use relay_sim::{Plan, Report, Span, Verdict, World};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What came of an order.
#[derive(Debug)]
pub(super) struct Outcome {
    /// All seeds together.
    pub(super) total: Total,
    /// The run of the lowest seed that broke a promise.
    pub(super) broken: Option<Broken>,
    /// Seeds whose two runs differed, with their hashes.
    pub(super) unequal: Vec<(u64, [u64; 2])>,
    /// Real time that it took.
    pub(super) wall: Duration,
    /// Whether Ctrl-C ended it.
    pub(super) is_interrupted: bool,
    /// Threads that worked.
    pub(super) threads: usize,
}

/// A run that broke a promise.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) plan: Plan,
    pub(super) report: Report,
}

impl Outcome {
    /// Whether every promise was kept, and every seed gave one run.
    pub(super) const fn is_clean(&self) -> bool {
        self.total.violations == 0 && self.unequal.is_empty()
    }

    /// Hours that nodes lived through in one real minute.
    pub(super) fn node_hours_per_minute(&self) -> f64 {
        let hours = self.total.report.virtual_time.as_secs_f64() / 3_600.0;
        self.per_minute(f64::from(self.total.report.nodes) * hours)
    }

    /// How many of them there were in one real minute.
    pub(super) fn per_minute(&self, count: f64) -> f64 {
        count * 60.0 / self.wall.as_secs_f64().max(1e-6)
    }
}

/// Runs what is asked for.
pub(super) fn hunt(order: &Order, progress: &Progress, stop: &Stop) -> Outcome {
    let started = Instant::now();
    let _quiet = Quiet::new();
    let is_pair = order.is_verified && order.hunt_for.is_none() && order.jobs > 1;
    let threads = match order.hunt_for {
        Some(_) => order.jobs,
        None => 1 + usize::from(is_pair),
    };
    let hunt = Hunt {
        order,
        progress,
        stop,
        started,
        is_pair,
        next: AtomicU64::new(0),
        found: Mutex::new(Found::default()),
    };
    std::thread::scope(|scope| {
        for _ in 1..if is_pair { 1 } else { threads } {
            scope.spawn(|| hunt.work());
        }
        hunt.work();
    });
    progress.clear();
    let Found { mut total, broken, mut unequal } =
        hunt.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    total.finish();
    unequal.sort_unstable();
    let is_interrupted = stop.is_asked();
    Outcome { total, broken, unequal, wall: started.elapsed(), is_interrupted, threads }
}

struct Hunt<'a> {
    order: &'a Order,
    progress: &'a Progress,
    stop: &'a Stop,
    started: Instant,
    /// Whether the two runs of a seed go side by side.
    is_pair: bool,
    next: AtomicU64,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    total: Total,
    broken: Option<Broken>,
    unequal: Vec<(u64, [u64; 2])>,
}

impl Hunt<'_> {
    fn work(&self) {
        while let Some(plan) = self.next_plan() {
            let Some((report, again)) = self.run(&plan) else { return };
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            let calls = report.calls.made;
            if let Some(again) = again.filter(|again| *again != report.trace_hash) {
                found.unequal.push((plan.seed, [report.trace_hash, again]));
            }
            found.total.add(&report);
            let is_first = found.broken.as_ref().is_none_or(|other| plan.seed < other.plan.seed);
            if is_first && !report.verdicts.is_empty() {
                found.broken = Some(Broken { plan, report });
            }
            drop(found);
            self.progress.finished(calls);
        }
    }

    /// The plan of the next seed; `None` when there is none left, or no time.
    fn next_plan(&self) -> Option<Plan> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if self.stop.is_asked() {
            return None;
        }
        let is_due = match self.order.hunt_for {
            Some(time) => index == 0 || self.started.elapsed() < time,
            None => index == 0,
        };
        let seed = self.order.plan.seed.wrapping_add(index);
        is_due.then(|| Plan { seed, ..self.order.plan.clone() })
    }

    /// The report, and the hash of the second run if one is asked for; `None` when it was stopped.
    fn run(&self, plan: &Plan) -> Option<(Report, Option<u64>)> {
        let simulate = || self.simulate(plan);
        if self.is_pair {
            return std::thread::scope(|scope| {
                let second = scope.spawn(simulate);
                let first = simulate();
                let second = second.join().unwrap_or_else(|panic| resume_unwind(panic));
                Some((first?, Some(second?.trace_hash)))
            });
        }
        let report = simulate()?;
        if !self.order.is_verified {
            return Some((report, None));
        }
        Some((report, Some(simulate()?.trace_hash)))
    }

    /// One run. That nothing panics is a promise, too.
    fn simulate(&self, plan: &Plan) -> Option<Report> {
        let mut reached = 0.0;
        let run = caught(|| {
            let world = match &self.order.replay {
                Some(schedule) => World::scheduled(schedule),
                None => World::new(plan),
            };
            self.advance(world, &mut reached)
        });
        run.unwrap_or_else(|what| {
            let at = Span(plan.duration.0.mul_f64(reached));
            let verdict = Verdict { oracle: "S13", uid: None, at, what };
            let (seed, nodes) = (plan.seed, plan.nodes());
            Some(Report { seed, nodes, verdicts: vec![verdict], ..Report::default() })
        })
    }

    fn advance(&self, mut world: World, reached: &mut f64) -> Option<Report> {
        while world.advance() {
            if self.stop.is_asked() {
                return None;
            }
            *reached = world.progress().clamp(0.0, 1.0);
            self.progress.advanced(*reached, world.calls_made() as u64);
        }
        Some(world.into_report())
    }
}
