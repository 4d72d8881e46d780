//! `relay sim`: a world of relays in this process, on a virtual clock, judged call by call.
//!
//! What a world is and what is promised in it is decided in the crate `relay-sim`; here is decided
//! which worlds are run, and how they are told about.

mod figures;
mod files;
mod hunt;
mod json;
mod options;
mod page;
mod panics;
mod progress;
mod stop;
mod summary;
pub(super) mod words;

use crate::cli::{Failure, SimArgs, print};
use hunt::Outcome;
use options::Order;
use panics::Quiet;
use progress::Progress;
use relay_sim::Schedule;
use std::path::PathBuf;
use std::process::ExitCode;
use stop::{INTERRUPTED, Stop};
use summary::Paint;

/// Runs the worlds that are asked for and tells what they were like.
///
/// # Errors
/// [`Failure`] when the file or an option is wrong, or something cannot be written.
pub fn execute(args: &SimArgs) -> Result<ExitCode, Failure> {
    let order = Order::of(args)?;
    files::check(&order)?;
    let stop = Stop::listen()?;
    let outcome = hunt::hunt(&order, &Progress::new(&order), &stop);
    stop.hunt_is_over();
    tell(&order, &outcome)?;
    Ok(match outcome.is_clean() {
        _ if outcome.is_interrupted => ExitCode::from(INTERRUPTED),
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}

/// Prints the figures, whatever becomes of the files.
fn tell(order: &Order, outcome: &Outcome) -> Result<(), Failure> {
    let page = order.page.as_ref().filter(|_| outcome.total.seeds > 0);
    let write_page = |path: &PathBuf| files::write(path, &page::html(order, outcome));
    if order.is_json {
        let written = page.map_or(Ok(()), write_page);
        let schedule = shorten(order, outcome);
        let path = schedule.as_ref().ok().and_then(Option::as_deref);
        print(&json::text(order, outcome, path)?)?;
        written?;
        schedule?;
        return Ok(());
    }
    let paint = Paint::of_stdout();
    if outcome.total.seeds == 0 {
        print("interrupted: no run was finished\n")?;
        return Ok(());
    }
    print(&summary::text(order, outcome, paint))?;
    let written = page.map_or(Ok(()), write_page);
    if let Some(path) = page.filter(|_| written.is_ok()) {
        print(&format!("page: {}\n", path.display()))?;
    }
    let schedule = shorten(order, outcome)?;
    if is_shortened(order, outcome) {
        print(&summary::schedule(schedule.as_deref(), paint))?;
    }
    written
}

/// Whether a schedule is to be made of the violation.
const fn is_shortened(order: &Order, outcome: &Outcome) -> bool {
    outcome.broken.is_some() && order.replay.is_none() && !outcome.is_interrupted
}

/// Shortens the first run that broke a promise, and writes what is left of it.
fn shorten(order: &Order, outcome: &Outcome) -> Result<Option<PathBuf>, Failure> {
    let is_due = is_shortened(order, outcome);
    let Some(broken) = outcome.broken.as_ref().filter(|_| is_due) else { return Ok(None) };
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
    files::write(&path, &shortest.write())?;
    Ok(Some(path))
}
