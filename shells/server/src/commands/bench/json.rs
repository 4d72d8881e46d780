//! What came of it all, for programs: one JSON object.

use super::load::{Finished, Pace};
use super::report::{Report, throughput, whole_seconds};
use super::search::{Found, Step};
use super::tally::Tally;
use crate::cli::Failure;
use relay_tokio::Executed;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// One line that holds the object.
///
/// # Errors
/// [`Failure`] when a number cannot be written.
pub(super) fn text(report: &Report) -> Result<String, Failure> {
    let object = Object {
        method: &report.method,
        concurrency: report.concurrency,
        links: report.links,
        interrupted: report.is_interrupted(),
        search: report.found.as_ref().map(search),
        load: report.load.as_ref().map(|(pace, finished)| load(report, *pace, finished)),
    };
    let text = serde_json::to_string(&object);
    let text = text.map_err(|error| Failure::work(format!("cannot write the figures: {error}")))?;
    Ok(text + "\n")
}

fn search(found: &Found) -> SearchObject {
    let step = |step: &Step| StepObject {
        rate: step.rate,
        holds: step.holds,
        p99_ms: millis(step.p99),
        calls: step.calls,
        errors: step.errors,
        wrong: step.wrong,
    };
    SearchObject { sustainable_rate: found.rate, steps: found.steps.iter().map(step).collect() }
}

fn load<'a>(report: &'a Report, pace: Pace, finished: &'a Finished) -> LoadObject<'a> {
    let tally = &finished.tally;
    let rate = match pace {
        Pace::Closed { .. } => None,
        Pace::Open { rate, .. } => Some(rate),
    };
    let mut by_code = BTreeMap::new();
    for ((code, _), errors) in &tally.errors_by {
        let of_code = by_code.entry(code.as_str()).or_insert((0, errors.message.as_str()));
        of_code.0 += errors.count;
    }
    let executed = [Executed::No, Executed::Yes, Executed::Unknown];
    let urls = report.attempts(tally).map(|(url, attempts)| UrlObject {
        url,
        calls: attempts.count,
        failed: attempts.failed,
    });
    LoadObject {
        rate,
        due: finished.due,
        calls: tally.calls,
        ok: tally.ok,
        wrong: tally.wrong,
        errors: tally.errors,
        never_came_back: tally.lost,
        cut_off: tally.cut_off(),
        failed_over: tally.failed_over,
        errors_by_code: by_code.iter().map(|(code, (count, _))| (*code, *count)).collect(),
        errors_by_executed: executed.map(|e| (e.name(), tally.errors_of(e))).into(),
        error_messages: by_code.iter().map(|(code, (_, message))| (*code, *message)).collect(),
        first_wrong: tally.first_wrong.as_deref(),
        duration_seconds: finished.took.as_secs_f64(),
        throughput_per_second: throughput(finished),
        ok_each_second: whole_seconds(finished),
        latency: latency(tally),
        urls: urls.collect(),
    }
}

fn latency(tally: &Tally) -> Option<Latency> {
    let percentile = |per_mille| millis(tally.latency.percentile(per_mille));
    tally.shortest.map(|shortest| Latency {
        min_ms: millis(shortest),
        p50_ms: percentile(500),
        p90_ms: percentile(900),
        p99_ms: percentile(990),
        p999_ms: percentile(999),
        max_ms: millis(tally.latency.longest()),
    })
}

fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

#[derive(Serialize)]
struct Object<'a> {
    method: &'a str,
    concurrency: u32,
    links: u16,
    interrupted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<SearchObject>,
    /// Nothing when the search was interrupted.
    #[serde(flatten)]
    load: Option<LoadObject<'a>>,
}

#[derive(Serialize)]
struct SearchObject {
    sustainable_rate: u64,
    steps: Vec<StepObject>,
}

#[derive(Serialize)]
struct StepObject {
    rate: u64,
    holds: bool,
    p99_ms: f64,
    calls: u64,
    errors: u64,
    wrong: u64,
}

#[derive(Serialize)]
struct LoadObject<'a> {
    /// Nothing in a closed loop, as is `due`.
    rate: Option<u64>,
    due: Option<u64>,
    calls: u64,
    ok: u64,
    wrong: u64,
    errors: u64,
    never_came_back: u64,
    cut_off: u64,
    failed_over: u64,
    errors_by_code: BTreeMap<&'a str, u64>,
    errors_by_executed: BTreeMap<&'static str, u64>,
    /// What the first error of each code said.
    error_messages: BTreeMap<&'a str, &'a str>,
    first_wrong: Option<&'a str>,
    duration_seconds: f64,
    throughput_per_second: f64,
    ok_each_second: Vec<u64>,
    /// Of the right answers; nothing when there was none.
    latency: Option<Latency>,
    urls: Vec<UrlObject<'a>>,
}

#[derive(Serialize)]
struct Latency {
    min_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
}

#[derive(Serialize)]
struct UrlObject<'a> {
    url: &'a str,
    calls: u64,
    failed: u64,
}
