//! What the nodes of a world hold does not grow with the time it runs.

use relay_sim::{Federation, Plan, Report, Span, run};

/// A federation in which one host in ten is down, cut off or asleep at any time.
fn plan(seed: u64) -> Plan {
    let mut plan = Plan { seed, duration: Span::seconds(2 * 3_600), ..Plan::default() };
    let topology = &mut plan.topology;
    (topology.mains, topology.homes, topology.callers) = (3, 6, 6);
    (topology.shared_services, topology.fallbacks) = (2, 2);
    topology.federation = Federation::Mesh;
    let traffic = &mut plan.traffic;
    (traffic.calls_per_second, traffic.idempotent) = (0.5, 0.5);
    (traffic.cancelled, traffic.streamed) = (0.05, 0.05);
    traffic.deadline_min = Span::seconds(2);
    (plan.faults.share, plan.faults.leave) = (0.1, 0.02);
    plan.faults.outage = Span::seconds(30);
    plan
}

/// The mean of what was held in the second and in the last quarter, in bytes.
fn levels(report: &Report) -> [u64; 2] {
    let quarters = report.held_in_quarters();
    [quarters[1].0, quarters[3].0]
}

#[test]
fn what_the_nodes_of_a_federation_hold_does_not_grow_in_hours_of_faults() {
    for seed in 1..=2 {
        let report = run(&plan(seed));
        assert!(report.verdicts.is_empty(), "seed {seed}: {:#?}", report.verdicts);
        assert!(report.calls.made > 10_000 && report.faults.len() > 5, "seed {seed}: {report:?}");
        let [second, last] = levels(&report);
        assert!(second > 10_000, "seed {seed}: {second} bytes are no tables");
        assert!(last * 100 <= second * 110, "seed {seed}: {second} bytes became {last}");
    }
}
