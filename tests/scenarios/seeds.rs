//! Many seeds, each a world of its own; a failing one is replayed by its number:
//! `RELAY_SEED=N cargo nextest run -p relay-sim seeds`.

use relay_sim::{Faults, Report, WorldConfig, run};
use std::collections::BTreeSet;
use std::time::Duration;

fn world(seed: u64, faults: Faults) -> Report {
    let homes = 1 + (seed % 4) as usize;
    let callers = 1 + (seed / 4 % 3) as usize;
    run(WorldConfig { seed, homes, callers, calls: 300, faults })
}

fn all(seeds: std::ops::Range<u64>, faults: impl Fn(u64) -> Faults) -> BTreeSet<&'static str> {
    let one = std::env::var("RELAY_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = one.map_or(seeds, |seed: u64| seed..seed + 1);
    let mut marks = BTreeSet::new();
    for seed in seeds {
        let report = world(seed, faults(seed));
        assert!(report.verdicts.is_empty(), "seed {seed}: {:#?}", report.verdicts);
        assert!(report.succeeded > 0, "seed {seed}: no call ever succeeded");
        marks.extend(report.marks);
    }
    marks
}

/// Which faults there are, and how strong, is itself drawn by the seed.
fn swarm(seed: u64) -> Faults {
    let on = |bit: u64, rate| if seed >> bit & 1 == 1 { rate } else { 0 };
    Faults {
        reset: on(0, 3_000),
        half_open: on(1, 600),
        crash: on(2, 300),
        delay_max: Duration::from_millis([1, 30, 250][(seed % 3) as usize]),
        chunk_max: [1, 7, 1_400, 65_536][(seed / 8 % 4) as usize],
    }
}

#[test]
fn without_faults_every_call_to_a_known_service_succeeds() {
    let marks = all(0..12, |_| Faults::NONE);
    assert!(marks.contains("NO_SUCH_SERVICE") && !marks.contains("LINK_LOST"), "{marks:?}");
}

#[test]
fn with_faults_every_call_gets_one_honest_answer() {
    let marks = all(1_000..1_096, swarm);
    for mark in [
        "reset",
        "half-open",
        "main crashed",
        "host crashed",
        "LINK_LOST",
        "DEADLINE",
        "UNAVAILABLE",
        "cancel reached the handler",
        "told: not executed",
        "told: unknown",
    ] {
        assert!(marks.contains(mark), "never reached: {mark}; reached: {marks:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 2_000..2_010 {
        let (first, second) = (world(seed, swarm(seed)), world(seed, swarm(seed)));
        assert_eq!(first, second, "seed {seed}");
        assert_ne!(first.trace_hash, world(seed + 8, swarm(seed)).trace_hash);
    }
}
