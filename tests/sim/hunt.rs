//! Many seeds, one after the other on every core, until one breaks a promise.

use crate::checker::Verdict;
use crate::plan::Plan;
use crate::report::Report;
use crate::schedule::Schedule;
use crate::span::Span;
use crate::world::World;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Runs a world to its end. A panic inside is a broken promise like any other (S13).
#[must_use]
pub fn run_caught(plan: &Plan) -> Report {
    finish(plan.seed, World::new(plan))
}

impl Schedule {
    /// Lets it happen. A panic inside is a broken promise like any other (S13).
    #[must_use]
    pub fn run(&self) -> Report {
        finish(self.plan.seed, World::scheduled(self))
    }
}

fn finish(seed: u64, mut world: World) -> Report {
    let outcome = catch_unwind(AssertUnwindSafe(|| while world.advance() {}));
    match outcome {
        Ok(()) => world.into_report(),
        Err(panic) => {
            let at = Span(world.now_since_start());
            let verdict = Verdict { oracle: "S13", uid: None, at, what: text_of(&*panic) };
            Report { seed, verdicts: vec![verdict], ..Report::default() }
        }
    }
}

/// Runs the plan of each seed from `first` on, on `jobs` threads, as long as `go_on` says so, and
/// hands every report to `take`. After the first broken promise only the seeds before it are
/// finished; the report of the lowest seed that broke one is returned.
pub fn hunt(
    first: u64,
    jobs: usize,
    plan_of: impl Fn(u64) -> Plan + Sync,
    go_on: impl Fn(u64) -> bool + Sync,
    take: impl Fn(&Report) + Sync,
) -> Option<Report> {
    let (next, found) = (AtomicU64::new(first), Mutex::new(None::<Report>));
    let lowest = AtomicU64::new(u64::MAX);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > lowest.load(Ordering::Relaxed) || !go_on(seed) {
                return;
            }
            let report = run_caught(&plan_of(seed));
            take(&report);
            if !report.verdicts.is_empty() {
                lowest.fetch_min(seed, Ordering::Relaxed);
                if let Ok(mut found) = found.lock()
                    && found.as_ref().is_none_or(|before| before.seed > seed)
                {
                    *found = Some(report);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    found.into_inner().ok().flatten()
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a word"))
}
