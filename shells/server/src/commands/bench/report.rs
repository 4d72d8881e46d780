//! What came of it all, for a person.

use super::INTERRUPTED;
use super::load::{Finished, Pace};
use super::plan::Plan;
use super::search::{self, Found};
use super::tally::{Attempts, Tally};
use crate::cli::one_line;
use crate::commands::sim::words::{count, plural, time};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// What was asked for, and what came of it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) method: String,
    pub(super) urls: Vec<String>,
    pub(super) concurrency: u32,
    pub(super) links: u16,
    /// None when the search for a rate was interrupted.
    pub(super) load: Option<(Pace, Finished)>,
    pub(super) found: Option<Found>,
    allows_errors: bool,
}

impl Report {
    pub(super) fn new(plan: &Plan, load: Option<(Pace, Finished)>, found: Option<Found>) -> Self {
        Self {
            method: plan.question.method.clone(),
            urls: plan.urls.iter().map(ToString::to_string).collect(),
            concurrency: plan.concurrency,
            links: plan.links,
            load,
            found,
            allows_errors: plan.allows_errors,
        }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.load.as_ref().is_none_or(|(_, finished)| finished.is_interrupted)
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        let searched_wrong = self.found.iter().flat_map(|found| &found.steps).any(|s| s.wrong > 0);
        let is_bad = self.load.as_ref().is_some_and(|(_, finished)| {
            let tally = &finished.tally;
            tally.wrong + tally.lost > 0 || (tally.errors > 0 && !self.allows_errors)
        });
        match self.is_interrupted() {
            true => ExitCode::from(INTERRUPTED),
            false if is_bad || searched_wrong => ExitCode::from(1),
            false => ExitCode::SUCCESS,
        }
    }

    /// What was tried at each URL.
    pub(super) fn attempts<'a>(
        &'a self,
        tally: &'a Tally,
    ) -> impl Iterator<Item = (&'a str, Attempts)> {
        let urls = self.urls.iter().enumerate();
        urls.map(|(at, url)| (url.as_str(), tally.attempts.get(&at).copied().unwrap_or_default()))
    }
}

/// Right answers in each second.
pub(super) fn throughput(finished: &Finished) -> f64 {
    finished.tally.ok as f64 / finished.took.as_secs_f64().max(1e-6)
}

/// Right answers in each second that was over when the load was.
pub(super) fn whole_seconds(finished: &Finished) -> Vec<u64> {
    let mut seconds = finished.tally.ok_each_second.clone();
    seconds.resize(finished.took.as_secs().min(86_400) as usize, 0);
    seconds
}

/// The whole report.
pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    if let Some(found) = &report.found {
        write_search(&mut out, found);
    }
    if let Some((pace, finished)) = &report.load {
        write_load(&mut out, report, *pace, finished);
    }
    out
}

fn write_search(out: &mut String, found: &Found) {
    for step in &found.steps {
        line(out, "tried", &search::words(step));
    }
    let rate = count(found.rate);
    match (found.rate, found.is_interrupted) {
        (0, _) => line(out, "sustainable", "not known: interrupted"),
        (_, true) => line(out, "sustainable", &format!("{rate} calls/s or more: interrupted")),
        (_, false) => line(out, "sustainable", &format!("{rate} calls/s")),
    }
    out.push('\n');
}

fn write_load(out: &mut String, report: &Report, pace: Pace, finished: &Finished) {
    let tally = &finished.tally;
    let at_most = format!("at most {} in flight", count(report.concurrency.into()));
    let how = match pace {
        Pace::Closed { .. } => at_most,
        Pace::Open { rate, .. } => format!("{} due each second, {at_most}", count(rate)),
    };
    line(out, "method", &format!("{}: {how}", report.method));
    for (url, attempts) in report.attempts(tally) {
        let failed = match attempts.failed {
            0 => String::new(),
            failed => format!(", {} failed", count(failed)),
        };
        line(out, "url", &format!("{url}: {}{failed}", plural(attempts.count, "call")));
    }
    if let Some(due) = finished.due {
        line(out, "due", &count(due));
    }
    for (name, number) in [
        ("calls", tally.calls),
        ("right", tally.ok),
        ("wrong", tally.wrong),
        ("errors", tally.errors),
        ("never came back", tally.lost),
    ] {
        line(out, name, &count(number));
    }
    for (name, number) in [("cut off", tally.cut_off()), ("failed over", tally.failed_over)] {
        if number > 0 {
            line(out, name, &count(number));
        }
    }
    write_speed(out, finished);
    write_troubles(out, tally);
    if finished.is_interrupted {
        out.push_str("interrupted: these are the figures until then\n");
    }
}

fn write_speed(out: &mut String, finished: &Finished) {
    let tally = &finished.tally;
    line(out, "duration", &time(finished.took));
    let mut speed = format!("{} right answers/s", count(throughput(finished).round() as u64));
    let seconds = whole_seconds(finished);
    if let (Some(least), Some(most)) = (seconds.iter().min(), seconds.iter().max()) {
        let _ = write!(speed, ", from {} to {} in each second", count(*least), count(*most));
    }
    line(out, "throughput", &speed);
    let percentile = |per_mille| time(tally.latency.percentile(per_mille));
    let latency = match tally.shortest {
        None => String::from("-"),
        Some(shortest) => format!(
            "min {}, p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
            time(whole_micros(shortest)),
            percentile(500),
            percentile(900),
            percentile(990),
            percentile(999),
            time(whole_micros(tally.latency.longest())),
        ),
    };
    line(out, "latency", &latency);
}

fn write_troubles(out: &mut String, tally: &Tally) {
    for ((code, executed), errors) in &tally.errors_by {
        let (code, message) = (one_line(code), one_line(&errors.message));
        let number = count(errors.count);
        line(out, "error", &format!("{number} × {code} (executed: {executed}): {message}"));
    }
    if let Some(wrong) = &tally.first_wrong {
        line(out, "first wrong", &one_line(wrong));
    }
}

fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "{name:NAME_COLUMNS$} {text}");
}

/// The buckets of the times in between are of whole microseconds, too.
const fn whole_micros(time: Duration) -> Duration {
    Duration::from_micros(time.as_micros() as u64)
}

const NAME_COLUMNS: usize = 15;
