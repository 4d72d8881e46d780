//! Many seeds, each a world of its own. A failing one is shown and shortened by its number:
//! `RELAY_SEED=N cargo nextest run -p relay-sim seeds --no-capture`.

use relay_sim::{Plan, Report, Schedule, hunt, run};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds that no run has seen before, unless `RELAY_SEED` names one.
#[test]
fn fresh_seeds_break_no_promise() {
    let (first, count) = match named_seed() {
        Some(seed) => (seed, 1),
        None => (fresh_seed(), FRESH_SEEDS),
    };
    println!("seeds {first} to {}", first + count - 1);
    let marks = Mutex::new(BTreeMap::new());
    let (calls, succeeded) = (AtomicU64::new(0), AtomicU64::new(0));
    let go_on = |seed: u64| seed < first + count;
    let found = hunt(first, jobs(), Plan::swarm, go_on, |report| {
        calls.fetch_add(report.calls.made, Ordering::Relaxed);
        succeeded.fetch_add(report.calls.succeeded, Ordering::Relaxed);
        let mut marks = marks.lock().expect("no thread panics");
        for (mark, times) in &report.marks {
            *marks.entry(*mark).or_insert(0) += times;
        }
    });
    if let Some(report) = found {
        fail(&report);
    }
    let (calls, succeeded) = (calls.into_inner(), succeeded.into_inner());
    println!("{count} seeds, {calls} calls, {succeeded} with a result");
    if count > 1 {
        assert!(calls > 100 * count && succeeded > calls / 4, "the worlds do too little");
        let marks = marks.into_inner().expect("no thread panics");
        for mark in SOMETIMES {
            assert!(marks.contains_key(mark), "never reached: {mark}; reached: {marks:#?}");
        }
    }
}

/// The same few seeds each time, so that a change of the simulator is seen to keep them good.
#[test]
fn the_first_seeds_break_no_promise() {
    if let Some(report) = hunt(1, jobs(), Plan::swarm, |seed| seed <= 200, |_| {}) {
        fail(&report);
    }
}

#[test]
fn a_world_without_faults_answers_every_call_to_a_service_that_is_there() {
    for seed in 0..20 {
        let mut plan = Plan::swarm(seed);
        (plan.faults, plan.limits) = Default::default();
        (plan.traffic.slow, plan.network) = (0.0, Default::default());
        plan.traffic.deadline_min = relay_sim::Span::seconds(2);
        plan.traffic.body_max = 500;
        let report = run(&plan);
        assert!(report.verdicts.is_empty(), "seed {seed}: {:#?}", report.verdicts);
        let availability = report.availability();
        assert!(availability > 0.999, "seed {seed}: {availability} {:?}", report.errors);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 2_000..2_020 {
        let (first, second) = (run(&Plan::swarm(seed)), run(&Plan::swarm(seed)));
        assert_eq!(first, second, "seed {seed}");
        assert_ne!(first.trace_hash, run(&Plan::swarm(seed + 100)).trace_hash);
    }
}

/// Shows what broke, and the shortest way there that was found.
fn fail(report: &Report) -> ! {
    let plan = Plan::swarm(report.seed);
    eprintln!("seed {}: {:#?}\nshortening it…", report.seed, report.verdicts.first());
    let schedule = Schedule::shrink(&plan, report, &mut |_| {});
    let text = schedule.map_or_else(|| "it cannot be repeated".into(), |found| found.write());
    panic!(
        "seed {}: {:#?}\nreplay: RELAY_SEED={} cargo nextest run -p relay-sim seeds --no-capture\n\
         shortened, for tests/scenarios/schedules:\n{text}",
        report.seed,
        report.verdicts.first(),
        report.seed
    )
}

fn named_seed() -> Option<u64> {
    std::env::var("RELAY_SEED").ok().and_then(|seed| seed.parse().ok())
}

/// From the clock: other worlds each time. Which ones is printed, and the seed replays them.
fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

const FRESH_SEEDS: u64 = 600;

/// Situations that some of the seeds must have been in.
const SOMETIMES: [&str; 25] = [
    "a bit was changed",
    "a call had to succeed",
    "a cancel stopped a handler",
    "a connection attempt got no answer",
    "a connection was refused",
    "a handshake failed",
    "a lease expired",
    "a link ended for a broken protocol",
    "a link was closed by its peer",
    "a machine died and its peers were not told",
    "a newer link took the place of an older one",
    "a silent link was given up",
    "a slow consumer was cut off",
    "an answer to nothing",
    "input came for a link that was gone",
    "a call was refused because a bound was reached",
    "a call ran out of time",
    "a link broke under a call",
    "a call came while its caller was not linked",
    "a stranger was answered",
    "a chunk of a stream came",
    "a handler waited for its caller",
    "a drain was judged",
    "a call outlived the leaving of its Main",
    "the shares of callers were judged",
];
