//! Mains that are restarted one after the other, in good order, while everyone calls: nobody
//! notices (L6).

use relay_sim::{CallStep, Federation, Lasting, Plan, Schedule, Service, Span, Step, Timed};

/// Three Mains, each Home and each caller with all three in its list.
fn plan(seed: u64) -> Plan {
    let mut plan = Plan { seed, duration: Span::seconds(40), ..Plan::default() };
    let topology = &mut plan.topology;
    (topology.mains, topology.homes, topology.callers) = (3, 6, 3);
    (topology.federation, topology.fallbacks) = (Federation::Mesh, 2);
    plan
}

/// Every caller calls a service of its own choice a hundred times a second, and every ten seconds
/// another Main leaves.
fn schedule(seed: u64) -> Schedule {
    let plan = plan(seed);
    let (first_caller, homes) = (plan.topology.mains + plan.topology.homes, plan.topology.homes);
    let mut steps = Vec::new();
    for tick in 0..3_500_u16 {
        let at = Span::millis(2_000 + u64::from(tick) * 10);
        for caller in 0..plan.topology.callers {
            let service = match (tick + caller) % 4 {
                0 => Service::Shared(0),
                _ => Service::Own((tick / 4 + caller) % homes),
            };
            let call = CallStep {
                from: first_caller + caller,
                service,
                deadline: Span::seconds(10),
                handler: Span::millis(u64::from(tick % 200)),
                body: 20,
                answer: 20,
                ..CallStep::usual()
            };
            steps.push(Timed { at, step: Step::Call(call) });
        }
        if tick % 1_000 == 300 {
            let leaves = Lasting { host: tick / 1_000, lasts: Span::seconds(4) };
            if leaves.host < plan.topology.mains {
                steps.push(Timed { at, step: Step::Leave(leaves) });
            }
        }
    }
    Schedule { finding: String::new(), plan, steps }
}

#[test]
fn a_rolling_restart_of_all_mains_loses_no_call() {
    for seed in 1..=8 {
        let report = schedule(seed).run();
        assert!(report.verdicts.is_empty(), "seed {seed}: {:#?}", report.verdicts);
        let left = report.marks.get("a Main asked everyone to leave");
        assert_eq!(left, Some(&3), "seed {seed}");
        assert_eq!(report.errors.len(), 0, "seed {seed}: {:?} {:?}", report.errors, report.told);
        let calls = report.calls;
        assert!(calls.succeeded >= 10_500 && calls.failed == 0, "seed {seed}: {calls:?}");
    }
}
