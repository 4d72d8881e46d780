//! `relay bench`: load on a running federation, and what came of every call.

mod answer;
mod http;
mod json;
mod link;
mod load;
mod plan;
mod progress;
mod question;
mod report;
mod search;
mod tally;
mod targets;

use super::block_on;
use super::run::{StopSignals, raise_file_limit};
use crate::cli::{BenchArgs, Failure, print};
use load::{Finished, Pace, Workers};
use plan::{Aim, Plan};
use progress::Progress;
use report::Report;
use search::{Found, Search, Step};
use std::process::ExitCode;
use std::time::Duration;
use tally::Tally;
use targets::Targets;

/// Makes the calls and tells what came of them.
///
/// # Errors
/// [`Failure`] when the command line is wrong, no Main is reached or nothing can be printed.
pub fn execute(args: &BenchArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::of(args)?;
    // Each call in flight over HTTP is a connection of its own.
    raise_file_limit();
    block_on(run(plan))
}

async fn run(plan: Plan) -> Result<ExitCode, Failure> {
    let mut signals = StopSignals::install()?;
    let targets = tokio::select! {
        targets = Targets::open(&plan) => targets?,
        () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let mut bench = Bench { plan, workers: Workers::new(targets), signals };
    let report = bench.measure().await;
    bench.workers.targets().close().await;
    let report = report?;
    print(&if bench.plan.is_json { json::text(&report)? } else { report::text(&report) })?;
    Ok(report.exit_code())
}

struct Bench {
    plan: Plan,
    workers: Workers,
    signals: StopSignals,
}

impl Bench {
    async fn measure(&mut self) -> Result<Report, Failure> {
        let (pace, found) = match self.plan.aim {
            Aim::Measure(pace) => (Some(pace), None),
            Aim::Find { p99_max, seconds } => {
                let found = self.find(p99_max).await?;
                let rate = (!found.is_interrupted).then(|| found.rate * 8 / 10);
                let rate = rate.map(|rate| rate.max(1));
                (rate.map(|rate| Pace::Open { rate, calls: rate * seconds }), Some(found))
            }
        };
        let load = match pace {
            Some(pace) => Some((pace, self.load(pace).await?)),
            None => None,
        };
        Ok(Report::new(&self.plan, load, found))
    }

    async fn load(&mut self, pace: Pace) -> Result<Finished, Failure> {
        let mut progress = Progress::new();
        let mut watch = |tally: &Tally, passed: Duration| {
            progress.draw(|| progress::line(tally, passed));
            true
        };
        let count = self.plan.concurrency;
        self.workers.run(pace, count, &mut self.signals, &mut watch).await
    }

    /// Tries one rate after the other.
    async fn find(&mut self, p99_max: Duration) -> Result<Found, Failure> {
        let mut search = Search::default();
        let mut steps = Vec::new();
        let mut progress = Progress::new();
        while let Some(rate) = search.next_rate() {
            let calls = rate * STEP_SECONDS;
            let mut watch = |tally: &Tally, _: Duration| {
                progress.draw(|| format!("trying {rate} calls/s"));
                !search::is_hopeless(tally, calls, p99_max)
            };
            let pace = Pace::Open { rate, calls };
            let count = self.plan.concurrency;
            let finished = self.workers.run(pace, count, &mut self.signals, &mut watch).await?;
            let is_interrupted = finished.is_interrupted;
            let step = Step::of(rate, &finished, p99_max);
            search.judge(rate, step.holds);
            steps.push(step);
            if is_interrupted {
                return Ok(Found { rate: search.rate().unwrap_or(0), steps, is_interrupted });
            }
            // What was cut off has to end before the next rate is judged.
            tokio::time::sleep(BETWEEN_STEPS).await;
        }
        let Some(rate) = search.rate() else { return Err(search::nothing_holds(&steps)) };
        Ok(Found { rate, steps, is_interrupted: false })
    }
}

/// How long a rate is tried.
const STEP_SECONDS: u64 = 2;
const BETWEEN_STEPS: Duration = Duration::from_millis(300);
/// The exit code of a process that was interrupted.
const INTERRUPTED: u8 = 130;
