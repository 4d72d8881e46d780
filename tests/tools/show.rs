//! Runs one seed and shows what came of it; a broken promise is shortened to a schedule.
//!
//! `cargo run --release -p relay-sim --bin show -- 37 [FILE] [--federation]`

use relay_sim::{Plan, Schedule, run_caught};

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let is_federation = std::env::args().any(|argument| argument == "--federation");
    let plan = if is_federation { Plan::federation(seed) } else { Plan::swarm(seed) };
    let report = run_caught(&plan);
    println!("{:#?}\n{:?}\n{:?}", report.verdicts, report.calls, report.marks);
    println!("errors {:?} told {:?} trace {:x}", report.errors, report.told, report.trace_hash);
    if let Some(schedule) = Schedule::shrink(&plan, &report, &mut |_| {}) {
        println!("{}", schedule.write());
        if let Some(path) = std::env::args().nth(2).filter(|path| path != "--federation") {
            std::fs::write(path, schedule.write()).unwrap_or_else(|error| eprintln!("{error}"));
        }
    }
}
