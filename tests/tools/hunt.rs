//! Tries seed after seed for a while, until one breaks a promise: what `cargo xtask mutants` runs
//! against each planted bug.
//!
//! `cargo run --release -p relay-sim --bin hunt -- --first-seed 1 --seconds 60`
//!
//! With `--federation` each world has three Mains and six Homes, with `--mixed` that of every even
//! seed; `--seeds N` ends after N of them; `--marks` tells which situations they came to. Built
//! with `--cfg mutants` it takes `--planted=NAME`, the bug to be hunted.

use relay_sim::{Plan, hunt};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    #[cfg(mutants)]
    if let Some(name) = arguments.iter().find_map(|word| word.strip_prefix("--planted=")) {
        relay_core::planted::choose(name);
    }
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let first = value("--first-seed").unwrap_or(1);
    let limit = Duration::from_secs(value("--seconds").unwrap_or(60));
    let count = value("--seeds").unwrap_or(u64::MAX);
    let jobs = value("--jobs").map_or(2, |jobs| jobs as usize);
    let (start, tried) = (Instant::now(), AtomicU64::new(0));
    let go_on = |seed: u64| start.elapsed() < limit && seed - first < count;
    let is_given = |name: &str| arguments.iter().any(|argument| argument == name);
    let (all, even) = (is_given("--federation"), is_given("--mixed"));
    let is_federation = |seed: u64| all || (even && seed.is_multiple_of(2));
    let plan = |seed| if is_federation(seed) { Plan::federation(seed) } else { Plan::swarm(seed) };
    let (calls, slowest) = (AtomicU64::new(0), AtomicU64::new(0));
    let marks = Mutex::new(BTreeMap::<&str, u64>::new());
    let found = hunt(first, jobs, plan, go_on, |report| {
        if let Ok(mut marks) = marks.lock() {
            report.marks.iter().for_each(|(mark, times)| *marks.entry(mark).or_default() += times);
        }
        tried.fetch_add(1, Ordering::Relaxed);
        calls.fetch_add(report.calls.made, Ordering::Relaxed);
        let micros = report.convergence.percentile(1_000).as_micros() as u64;
        slowest.fetch_max(micros, Ordering::Relaxed);
    });
    if is_given("--marks") {
        for (mark, times) in marks.into_inner().unwrap_or_default() {
            eprintln!("{times:>10} {mark}");
        }
    }
    let (tried, seconds) = (tried.into_inner(), start.elapsed().as_secs_f64());
    let report = found.filter(|report| !report.verdicts.is_empty());
    let Some(report) = report else {
        let (calls, slowest) = (calls.into_inner(), slowest.into_inner() as f64 / 1e6);
        println!(
            "{{\"seeds_tried\":{tried},\"wall_seconds\":{seconds:.1},\"calls\":{calls},\
             \"convergence_seconds_max\":{slowest:.3}}}"
        );
        return ExitCode::SUCCESS;
    };
    let verdict = &report.verdicts[0];
    let found = format!("\"oracle\":{:?},\"what\":{:?}", verdict.oracle, verdict.what);
    let effort = format!("\"seeds_tried\":{tried},\"wall_seconds\":{seconds:.1}");
    println!("{{\"seed\":{},{effort},{found}}}", report.seed);
    ExitCode::FAILURE
}
