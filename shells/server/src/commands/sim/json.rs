//! The figures for programs: one JSON object.

use super::hunt::Outcome;
use super::options::Order;
use crate::cli::Failure;
use relay_sim::{Calls, Histogram, LinkTraffic, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// One line that holds the object.
///
/// # Errors
/// [`Failure`] when a number cannot be written.
pub(super) fn text(
    order: &Order,
    outcome: &Outcome,
    schedule: Option<&Path>,
) -> Result<String, Failure> {
    let total = &outcome.total;
    let report = &total.report;
    let wall = outcome.wall.as_secs_f64();
    let object = Object {
        virtual_seconds: report.virtual_time.as_secs_f64(),
        wall_seconds: wall,
        node_hours_per_minute: outcome.node_hours_per_minute(),
        calls_checked: report.calls_checked(),
        calls_per_minute: outcome.per_minute(report.calls_checked() as f64),
        violations: total.violations,
        trace_hash: hash(report.trace_hash),
        seed: order.plan.seed,
        seeds: total.seeds,
        nodes: report.nodes,
        threads: outcome.threads,
        events: report.events,
        frames: report.frames,
        frames_per_second_per_core: report.frames as f64
            / (wall.max(1e-6) * outcome.threads as f64),
        availability: report.availability(),
        calls: report.calls,
        latency: &report.latency,
        recovery: &report.recovery,
        convergence: &report.convergence,
        errors: &report.errors,
        told: &report.told,
        faults: &report.faults,
        marks: &report.marks,
        verdicts: total
            .verdicts
            .iter()
            .map(|(seed, verdict)| Broken { seed: *seed, verdict })
            .collect(),
        unequal: outcome
            .unequal
            .iter()
            .map(|(seed, hashes)| Unequal { seed: *seed, trace_hashes: hashes.map(hash) })
            .collect(),
        deterministic: (order.is_verified && total.seeds > 0).then_some(outcome.unequal.is_empty()),
        interrupted: outcome.is_interrupted,
        schedule: schedule.map(|path| path.to_string_lossy().into_owned()),
        held: total.held_in_quarters().map(|(bytes, calls)| Held { bytes, calls }),
        links: &report.links,
    };
    let text = serde_json::to_string(&object);
    let text = text.map_err(|error| Failure::work(format!("cannot write the figures: {error}")))?;
    Ok(text + "\n")
}

#[derive(Serialize)]
struct Object<'a> {
    virtual_seconds: f64,
    wall_seconds: f64,
    node_hours_per_minute: f64,
    calls_checked: u64,
    calls_per_minute: f64,
    violations: u64,
    trace_hash: String,
    seed: u64,
    seeds: u64,
    nodes: u32,
    threads: usize,
    events: u64,
    frames: u64,
    frames_per_second_per_core: f64,
    availability: f64,
    calls: Calls,
    latency: &'a Histogram,
    recovery: &'a Histogram,
    convergence: &'a Histogram,
    errors: &'a BTreeMap<&'static str, u64>,
    told: &'a BTreeMap<&'static str, u64>,
    faults: &'a BTreeMap<&'static str, u64>,
    marks: &'a BTreeMap<&'static str, u64>,
    /// The first of the violations, word for word.
    verdicts: Vec<Broken<'a>>,
    unequal: Vec<Unequal>,
    /// Nothing unless it was asked for.
    deterministic: Option<bool>,
    interrupted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// What the nodes held in each quarter of the time.
    held: [Held; 4],
    links: &'a [LinkTraffic],
}

#[derive(Serialize)]
struct Held {
    bytes: u64,
    calls: u64,
}

#[derive(Serialize)]
struct Broken<'a> {
    seed: u64,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

#[derive(Serialize)]
struct Unequal {
    seed: u64,
    trace_hashes: [String; 2],
}

/// As text: many readers of JSON keep no more than 53 bits of a number.
fn hash(hash: u64) -> String {
    format!("{hash:016x}")
}
