//! Every order of a few steps in the smallest world: one Main, one Home, one caller. What random
//! schedules meet by luck is met here for certain.

use super::predict::{LASTS_MAX, SETTLED_WITHIN};
use super::{FOUND_WITHIN_MILLIS, Seen, compare, small_plan};
use relay_sim::{CallStep, HostStep, Lasting, Plan, Schedule, Service, Span, Step, Timed};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn every_order_of_up_to_five_steps_keeps_every_promise() {
    let orders = orders();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(None));
    let seen = Mutex::new(Seen::default());
    let work = || {
        let mut own = Seen::default();
        while let Some(order) = orders.get(next.fetch_add(1, Ordering::Relaxed)) {
            let schedule = schedule(order);
            if let Some(text) = compare(&schedule, &mut own) {
                let text = format!("{order:?}: {text}\n{}", schedule.write());
                wrong.lock().expect("no thread panics").get_or_insert(text);
                next.store(orders.len(), Ordering::Relaxed);
            }
        }
        seen.lock().expect("no thread panics").add(own);
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    if let Some(text) = wrong.into_inner().expect("no thread panics") {
        panic!("{text}");
    }
    let seen = seen.into_inner().expect("no thread panics");
    let runs = orders.len();
    println!("{runs} runs, {} calls; certain were: {:#?}", seen.calls, seen.exact);
    // The call at the end of each, when all has settled.
    assert!(seen.exact["Result"] + seen.exact["NO_SUCH_SERVICE no"] >= runs as u64);
}

/// What the orders are made of.
const STEPS: [Happens; 7] = [
    Happens::Call,
    Happens::HomeCrashes,
    Happens::MainCrashes,
    Happens::LinkBreaks,
    Happens::LinkFallsSilent,
    Happens::OfferChanges,
    Happens::HomeSleeps,
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Happens {
    Call,
    HomeCrashes,
    MainCrashes,
    LinkBreaks,
    LinkFallsSilent,
    /// Withdrawn, or offered again.
    OfferChanges,
    HomeSleeps,
}

/// All orders of up to four steps with a call among them, and those of five in which there are two
/// calls or more and nothing goes wrong twice in the same way.
fn orders() -> Vec<Vec<Happens>> {
    let mut all = Vec::new();
    let mut longest = vec![Vec::new()];
    for _ in 0..STEPS_MAX {
        let longer = longest.iter().flat_map(|order: &Vec<Happens>| {
            STEPS.map(|step| order.iter().copied().chain([step]).collect())
        });
        longest = longer.collect();
        all.extend(longest.iter().filter(|order| is_telling(order)).cloned());
    }
    all
}

fn is_telling(order: &[Happens]) -> bool {
    let times = |step| order.iter().filter(|happens| **happens == step).count();
    let calls = times(Happens::Call);
    let faults = STEPS.into_iter().filter(|step| *step != Happens::Call);
    calls > 0 && (order.len() < STEPS_MAX || calls > 1 && faults.map(times).all(|times| times < 2))
}

fn schedule(order: &[Happens]) -> Schedule {
    let (main, home, caller) = (0, 1, 2);
    let mut plan = Plan { duration: Span::default(), ..small_plan(7) };
    (plan.topology.mains, plan.topology.homes, plan.topology.callers) = (1, 1, 1);
    let call = |handler| CallStep {
        from: caller,
        service: Service::Shared(0),
        node: None,
        deadline: Span::millis(1_500),
        handler: Span::millis(handler),
        body: 10,
        answer: 10,
        cancel_after: None,
        ..CallStep::usual()
    };
    let mut withdrawn = false;
    let mut micros = FOUND_WITHIN_MILLIS * 1_000;
    let mut steps = Vec::new();
    for (happens, gap) in order.iter().zip(GAPS_MILLIS) {
        micros += gap * 1_000 + 1;
        let lasting = |host, millis| Lasting { host, lasts: Span::millis(millis) };
        let step = match happens {
            // Longer than the shortest gap: the next step comes while the handler runs.
            Happens::Call => Step::Call(call(300)),
            Happens::HomeCrashes => Step::Crash(lasting(home, 500)),
            Happens::MainCrashes => Step::Crash(lasting(main, 500)),
            Happens::LinkBreaks => Step::Reset(HostStep { host: home }),
            Happens::LinkFallsSilent => Step::HalfOpen(HostStep { host: home }),
            Happens::OfferChanges => {
                withdrawn = !withdrawn;
                let host = HostStep { host: home };
                if withdrawn { Step::Withdraw(host) } else { Step::Register(host) }
            }
            Happens::HomeSleeps => Step::Pause(lasting(home, 700)),
        };
        steps.push(Timed { at: Span(Duration::from_micros(micros)), step });
    }
    let settled = Duration::from_micros(micros) + LASTS_MAX + SETTLED_WITHIN;
    steps.push(Timed { at: Span(settled), step: Step::Call(call(1)) });
    plan.duration = Span(settled + Duration::from_secs(2));
    Schedule { finding: String::new(), plan, steps }
}

const STEPS_MAX: usize = 5;
/// Before each step.
const GAPS_MILLIS: [u64; STEPS_MAX] = [200, 200, 600, 250, 1_000];
