//! `relay sim`: a world of relays in this process, on a virtual clock, judged call by call.
//!
//! What a world is and what is promised in it is decided in the crate `relay-sim`; here is decided
//! which worlds are run, and how they are told about.

mod figures;
mod hunt;
mod json;
mod options;
mod page;
mod panics;
mod progress;
mod summary;
mod words;

use crate::cli::{Failure, SimArgs, print};
use hunt::Outcome;
use options::Order;
use panics::Quiet;
use progress::Progress;
use relay_sim::Schedule;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use summary::Paint;

/// Runs the worlds that are asked for and tells what they were like.
///
/// # Errors
/// [`Failure`] when the file or an option is wrong, or something cannot be written.
pub fn execute(args: &SimArgs) -> Result<ExitCode, Failure> {
    let order = Order::of(args)?;
    let outcome = hunt::hunt(&order, &Progress::new(&order));
    if let Some(path) = &order.page {
        write(path, &page::html(&order, &outcome))?;
    }
    if args.json {
        let schedule = shorten(&order, &outcome)?;
        print(&json::text(&order, &outcome, schedule.as_deref())?)?;
    } else {
        let paint = Paint::of_stdout();
        print(&summary::text(&order, &outcome, paint))?;
        let schedule = shorten(&order, &outcome)?;
        if outcome.broken.is_some() && order.replay.is_none() {
            print(&summary::schedule(schedule.as_deref(), paint))?;
        }
    }
    Ok(if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Shortens the first run that broke a promise, and writes what is left of it.
fn shorten(order: &Order, outcome: &Outcome) -> Result<Option<PathBuf>, Failure> {
    let Some(broken) = outcome.broken.as_ref().filter(|_| order.replay.is_none()) else {
        return Ok(None);
    };
    let progress = Progress::new(order);
    let mut watch = |left: usize| progress.shortening(left);
    let quiet = Quiet::new();
    let shortest = Schedule::shrink(&broken.plan, &broken.report, &mut watch);
    drop(quiet);
    progress.clear();
    let Some(shortest) = shortest else { return Ok(None) };
    let path = order
        .schedule
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("sim-{}.toml", broken.plan.seed)));
    write(&path, &shortest.write())?;
    Ok(Some(path))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::work(format!("cannot write {}: {error}", path.display())))
}
