//! A small world of the simulator: the input chooses its hosts, its bounds, what goes wrong, and
//! what hostile hosts send once they are let in. Every oracle watches.

use relay_sim::{Schedule, Step, World, schedule_from_bytes};

/// A world, written as [`schedule_from_bytes`] reads it.
pub fn node(data: &[u8]) {
    let mut schedule = schedule_from_bytes(data);
    if cfg!(fuzzing) {
        // Every checksum is taken for right there, so a changed bit would be nobody's lie.
        schedule.steps.retain(|timed| !matches!(timed.step, Step::Corrupt(_)));
    }
    keeps_its_promises(&schedule);
}

/// A panic of a node is not caught: the fuzzer has to see it.
fn keeps_its_promises(schedule: &Schedule) {
    let mut world = World::scheduled(schedule);
    while world.advance() {}
    let verdicts = world.into_report().verdicts;
    assert!(verdicts.is_empty(), "{verdicts:#?}\nin this world:\n\n{}", schedule.write());
}
