//! Steps on a small model and on the world itself: each call must come to what the model allows,
//! whatever the steps are, and no oracle may object. For a longer search:
//! `RELAY_CASES=N cargo nextest run --release -p relay-sim model --no-capture`.

use predict::{LASTS_MAX, Model, SETTLED_WITHIN};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use relay_sim::{
    CallEnd, CallOutcome, CallStep, ClockJump, Clog, Dice, Draw, HostStep, Lasting, Plan, Report,
    Schedule, Service, Span, Step, Timed, Topology, World,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

mod exhaustive;
mod predict;

/// How often the model knew the only end that a call could come to, by that end.
#[derive(Default, Debug)]
struct Seen {
    calls: u64,
    exact: BTreeMap<String, u64>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        for (end, times) in other.exact {
            *self.exact.entry(end).or_default() += times;
        }
    }
}

#[test]
fn every_call_comes_to_what_the_model_allows() {
    let config = ProptestConfig { cases: cases(CASES), ..config() };
    let seen = RefCell::new(Seen::default());
    let worlds = plan().prop_flat_map(|plan| {
        let steps = vec((gap(), any_step(plan.topology), times()), 1..=60);
        (Just(plan), steps)
    });
    let outcome = TestRunner::new(config).run(&worlds, |(plan, steps)| {
        let schedule = schedule(plan, &steps);
        let wrong = compare(&schedule, &mut seen.borrow_mut());
        prop_assert!(wrong.is_none(), "{}\n{}", wrong.unwrap_or_default(), schedule.write());
        Ok(())
    });
    judge(outcome);
    let seen = seen.into_inner();
    let exact: u64 = seen.exact.values().sum();
    println!("{} calls; certain were {exact}: {:#?}", seen.calls, seen.exact);
    assert!(exact * 3 > seen.calls, "the model is certain of too few calls");
    for end in CERTAIN {
        assert!(seen.exact.contains_key(end), "never certain: {end}; certain: {:#?}", seen.exact);
    }
}

/// Any part of a run is a run: no step is needed for the promises to hold.
#[test]
fn leaving_steps_out_or_waiting_longer_breaks_no_promise() {
    let config = ProptestConfig { cases: cases(PARTS), max_shrink_iters: 0, ..config() };
    let kept = RefCell::new([0, 0]);
    let outcome = TestRunner::new(config).run(&any::<u64>(), |seed| {
        let (schedule, drawn) = part(seed);
        let mut kept = kept.borrow_mut();
        (kept[0], kept[1]) = (kept[0] + schedule.steps.len(), kept[1] + drawn);
        let verdicts = schedule.run().verdicts;
        prop_assert!(verdicts.is_empty(), "seed {seed}: {verdicts:#?}\n{}", schedule.write());
        Ok(())
    });
    judge(outcome);
    let [kept, drawn] = kept.into_inner();
    println!("{kept} of {drawn} steps");
    assert!(kept * 4 > drawn && kept < drawn, "too little was left, or nothing was left out");
}

/// Some of the steps of a seed, with pauses between them, and how many there were.
fn part(seed: u64) -> (Schedule, usize) {
    let mut dice = Dice::new(seed, &[PART]);
    let mut plan = Plan::swarm(seed);
    let drawn: Vec<Timed> = Draw::new(&plan).collect();
    let count = drawn.len();
    let share = dice.pick(&[100_000, 500_000, 900_000]);
    let (mut waited, mut steps) = (Duration::ZERO, Vec::new());
    for mut timed in drawn {
        if dice.happens(10_000) && waited < WAITED_MAX {
            waited += Duration::from_micros(dice.below(20_000_000));
        }
        if dice.happens(share) {
            timed.at.0 += waited;
            steps.push(timed);
        }
    }
    plan.duration.0 += waited;
    (Schedule { finding: String::new(), plan, steps }, count)
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// As many worlds as usual, or as `RELAY_CASES` says.
fn cases(usual: u32) -> u32 {
    std::env::var("RELAY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

fn judge<T: std::fmt::Debug>(outcome: Result<(), TestError<T>>) {
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(TestError::Abort(reason)) => panic!("no world could be made: {reason}"),
    }
}

/// Runs a schedule and tells what the model does not allow.
fn compare(schedule: &Schedule, seen: &mut Seen) -> Option<String> {
    let (report, outcomes) = run(schedule);
    if let Some(verdict) = report.verdicts.first() {
        return Some(format!("{verdict:?}"));
    }
    let model = Model::new(&schedule.plan, &schedule.steps);
    let made: Vec<_> = outcomes.iter().map(|outcome| (outcome.at.0, outcome.step)).collect();
    if made != model.calls() {
        return Some(format!("calls made: {made:?}, expected: {:?}", model.calls()));
    }
    for outcome in &outcomes {
        let prediction = model.predict(outcome.at.0, &outcome.step);
        seen.calls += 1;
        if let Some(end) = prediction.only_end() {
            *seen.exact.entry(name(end)).or_default() += 1;
        }
        if !prediction.allows(outcome) {
            return Some(format!("{outcome:?}\nallowed: {prediction:#?}"));
        }
    }
    None
}

fn run(schedule: &Schedule) -> (Report, Vec<CallOutcome>) {
    let mut world = World::scheduled(schedule);
    while world.advance() {}
    let outcomes = world.outcomes().collect();
    (world.into_report(), outcomes)
}

fn name(end: CallEnd) -> String {
    match end {
        CallEnd::Error { code, executed } => format!("{} {}", code.name(), executed.name()),
        other => format!("{other:?}"),
    }
}

/// Steps at moments of their own, after the hosts have found each other, and time for all to end.
fn schedule(mut plan: Plan, steps: &[(u64, Step, u64)]) -> Schedule {
    let mut millis = FOUND_WITHIN_MILLIS;
    let mut timed = Vec::with_capacity(STEPS_MAX);
    for (gap, step, times) in steps {
        millis += gap;
        for again in 0..*times {
            millis += again.min(1) * AGAIN_AFTER_MILLIS;
            // Everything else lasts whole milliseconds: nothing ends just when this happens.
            let at = Span(Duration::from_micros(1_000 * millis + timed.len() as u64 + 1));
            timed.push(Timed { at, step: step.clone() });
        }
    }
    timed.truncate(STEPS_MAX);
    let last = Duration::from_millis(millis);
    plan.duration = Span(last + Duration::from_millis(TIME_MAX_MILLIS) + LASTS_MAX * 2);
    Schedule { finding: String::new(), plan, steps: timed }
}

/// A world in which a broken link is soon found and made again.
fn small_plan(seed: u64) -> Plan {
    let mut plan = Plan { seed, ..Plan::default() };
    plan.traffic.deadline_max = Span::millis(TIME_MAX_MILLIS);
    plan.limits.idle_timeout = Span::seconds(3);
    plan.limits.reconnect_max = Span::seconds(2);
    // The model has no breakers.
    plan.limits.breaker_failures = 1 << 20;
    plan
}

fn plan() -> impl Strategy<Value = Plan> {
    let mains = prop_oneof![3 => Just(1_u16), 1 => 2..=3_u16];
    let topology = (mains, 1..=4_u16, 1..=3_u16, 0..=2_u16);
    let delays = (prop::sample::select(vec![0, 1]), prop::sample::select(vec![0, 1, 4]));
    let tiny = || prop_oneof![3 => Just(0_u32), 1 => 1..=2_u32];
    let limits = (tiny(), tiny(), tiny(), prop::sample::select(vec![0, 4 << 10]));
    let chunk_max = prop::sample::select(vec![7, 1_400, 64 << 10]);
    (any::<u64>(), topology, delays, chunk_max, limits).prop_map(
        |(seed, (mains, homes, callers, shared), (least, mean), chunk_max, limits)| {
            let mut plan = small_plan(seed);
            (plan.topology.mains, plan.topology.homes) = (mains, homes);
            (plan.topology.callers, plan.topology.shared_services) = (callers, shared);
            plan.network.delay_min = Span::millis(least);
            plan.network.delay_mean = Span::millis(mean);
            plan.network.chunk_max = chunk_max;
            let bounds = &mut plan.limits;
            (bounds.calls_per_link_max, bounds.calls_per_caller_max) = (limits.0, limits.1);
            (bounds.local_calls_max, bounds.frame_bytes_max) = (limits.2, limits.3);
            plan
        },
    )
}

/// Milliseconds to the next step: while the last one still has its effect, or after it.
fn gap() -> impl Strategy<Value = u64> {
    let settled = SETTLED_WITHIN.as_millis() as u64;
    prop_oneof![3 => 0..50_u64, 3 => 50..4_000_u64, 2 => settled..settled + 1_000]
}

/// How often in a row: many calls of one caller fill its tables.
fn times() -> impl Strategy<Value = u64> {
    prop_oneof![8 => Just(1_u64), 1 => 2..=4_u64]
}

fn any_step(topology: Topology) -> impl Strategy<Value = Step> {
    let Topology { mains, homes, callers, .. } = topology;
    let host = move || 0..mains + homes + callers;
    let lasting = move || {
        let lasts = prop_oneof![1..2_000_u64, 4_000..LASTS_MAX.as_millis() as u64];
        (host(), lasts.prop_map(Span::millis)).prop_map(|(host, lasts)| Lasting { host, lasts })
    };
    let on_host = move || host().prop_map(|host| HostStep { host });
    let on_home = move || (mains..mains + homes).prop_map(|host| HostStep { host });
    let ways = prop::sample::select(vec![(true, true), (true, false), (false, true)]);
    let clog = (lasting(), ways).prop_map(|(Lasting { host, lasts }, (sending, receiving))| {
        Step::Clog(Clog { host, sending, receiving, lasts })
    });
    let jump = (host(), -120..=120_i32);
    prop_oneof![
        14 => call(topology).prop_map(Step::Call),
        1 => on_home().prop_map(Step::Register),
        1 => on_home().prop_map(Step::Withdraw),
        3 => lasting().prop_map(Step::Crash),
        1 => lasting().prop_map(Step::Pause),
        1 => on_host().prop_map(Step::Reset),
        1 => on_host().prop_map(Step::HalfOpen),
        1 => clog,
        1 => jump.prop_map(|(host, seconds)| Step::ClockJump(ClockJump { host, seconds })),
    ]
}

/// A call by anyone, now and then of a service or a node that is not there.
fn call(topology: Topology) -> impl Strategy<Value = CallStep> {
    let Topology { mains, homes, callers, shared_services, .. } = topology;
    let service = prop_oneof![
        3 => (0..shared_services.max(1)).prop_map(Service::Shared),
        4 => (0..homes).prop_map(Service::Own),
        1 => Just(Service::Nowhere),
    ];
    let node = prop_oneof![6 => Just(None), 1 => (0..=homes).prop_map(Some)];
    let time = || prop_oneof![1 => 1..60_u64, 3 => 60..TIME_MAX_MILLIS].prop_map(Span::millis);
    let cancel_after = prop_oneof![4 => Just(None), 1 => time().prop_map(Some)];
    // Far below the tiny limit of a frame, or above it.
    let size = || prop_oneof![5 => 0..1_000_u32, 1 => 4_096..6_000_u32];
    // A Main that is told to call does nothing.
    let from = mains - 1..mains + homes + callers;
    (from, service, node, time(), time(), cancel_after, size(), size()).prop_map(
        |(from, service, node, deadline, handler, cancel_after, body, answer)| CallStep {
            from,
            service,
            node,
            deadline,
            handler,
            body,
            answer,
            cancel_after,
            ..CallStep::usual()
        },
    )
}

const CASES: u32 = 500;
const STEPS_MAX: usize = 60;
const AGAIN_AFTER_MILLIS: u64 = 150;
const PARTS: u32 = 60;
const PART: u64 = 100;
const WAITED_MAX: Duration = Duration::from_secs(60);
/// The longest that a call or a handler takes.
const TIME_MAX_MILLIS: u64 = 5_000;
const FOUND_WITHIN_MILLIS: u64 = 3_000;
/// Ends that the model must have foretold of some calls.
const CERTAIN: [&str; 9] = [
    "Cancelled",
    "DEADLINE unknown",
    "NO_SUCH_SERVICE no",
    "OVERLOADED no",
    "Orphaned",
    "Result",
    "TOO_LARGE no",
    "TOO_LARGE yes",
    "UNAVAILABLE no",
];
