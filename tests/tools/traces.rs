//! Prints a digest of what happens in the world of each seed: what `cargo xtask traces` runs in
//! several builds, to see that a seed is the same world in all of them.
//!
//! `cargo run --release -p relay-sim --bin traces -- --first 1 --seeds 200`

use relay_sim::{Plan, Report, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)).and_then(print_traces) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("traces: {message}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    first: u64,
    seeds: u64,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self { first: 1, seeds: 200 };
        while let Some(name) = words.next() {
            let place = match name.as_str() {
                "--first" => &mut arguments.first,
                "--seeds" => &mut arguments.seeds,
                _ => return Err(format!("'{name}' is neither --first N nor --seeds N")),
            };
            let number = words.next().and_then(|word| word.parse().ok());
            *place = number.ok_or_else(|| format!("give a whole number after {name}"))?;
        }
        Ok(arguments)
    }
}

/// One line a seed, until one gives two different worlds.
fn print_traces(Arguments { first, seeds }: Arguments) -> Result<(), String> {
    for seed in first..first.saturating_add(seeds) {
        let plan = Plan::swarm(seed);
        let (once, again) = (run(&plan), run(&plan));
        if once != again {
            return Err(format!("seed {seed} differs from itself: {}", difference(&once, &again)));
        }
        println!("{}", line(&once));
    }
    Ok(())
}

/// What `cargo xtask traces` compares.
fn line(report: &Report) -> String {
    let Report { seed, trace_hash, events, calls, .. } = report;
    format!("{seed} {trace_hash:016x} {events} {}", calls.made)
}

fn difference(once: &Report, again: &Report) -> String {
    let (one, other) = (line(once), line(again));
    if one == other {
        format!("the trace is the same ({one}), other counts of the report are not")
    } else {
        format!("first {one}, then {other}")
    }
}
