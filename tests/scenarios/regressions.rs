//! Every schedule that once broke a promise, kept so that it never does again.

use relay_sim::{Plan, Schedule, hunt};
use std::fs;
use std::path::Path;

#[test]
fn schedules_that_once_broke_a_promise_keep_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/schedules");
    let mut replayed = 0;
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a text");
        let schedule = Schedule::read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(schedule.steps.len() <= 200, "{name} is too long to be understood");
        assert!(!schedule.finding.is_empty(), "{name} does not say what it found");
        let report = schedule.run();
        assert!(report.verdicts.is_empty(), "{name}: {:#?}", report.verdicts);
        assert!(report.events > 100, "{name}: nothing happened");
        replayed += 1;
    }
    assert!(replayed >= 5, "only {replayed} schedules were found");
}

/// Drawn, written down, read back: the same world.
#[test]
fn a_schedule_survives_its_file() {
    for seed in 1..30 {
        let plan = Plan::swarm(seed);
        let steps = relay_sim::Draw::new(&plan).collect();
        let schedule = Schedule { finding: "none".into(), plan, steps };
        let read = Schedule::read(&schedule.write()).expect("what is written can be read");
        assert_eq!(read, schedule, "seed {seed}");
        assert_eq!(read.run().trace_hash, relay_sim::run(&schedule.plan).trace_hash, "seed {seed}");
    }
}

/// A world that must fail, because its promise cannot be kept: links that can carry three calls.
#[test]
fn a_broken_promise_is_shortened_to_a_few_steps() {
    let impossible = |seed| {
        let mut plan = Plan::swarm(seed);
        // Nothing gets through within two seconds, so no call can succeed then (L1).
        plan.network.delay_min = relay_sim::Span::seconds(2);
        plan
    };
    let report = hunt(1, 1, impossible, |seed| seed < 50, |_| {}).expect("it cannot go well");
    let mut watched = 0;
    let schedule = Schedule::shrink(&impossible(report.seed), &report, &mut |_| watched += 1);
    let schedule = schedule.expect("a seed can be repeated");
    assert!(schedule.steps.len() <= 200 && watched > 0, "{} steps", schedule.steps.len());
    let again = Schedule::read(&schedule.write()).expect("it can be read").run();
    assert_eq!(again.verdicts[0].oracle, report.verdicts[0].oracle);
}
