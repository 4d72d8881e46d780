//! Draws what happens to a world, step by step, from its plan and its seed.

use crate::dice::Dice;
use crate::plan::{Plan, Topology};
use crate::said::TOPICS;
use crate::span::Span;
use crate::step::{CallStep, HostStep, PublishStep, Service, Step, Timed};
use std::collections::BTreeMap;
use std::time::Duration;

mod faults;

use faults::FaultClock;

/// Every step of a plan, in the order of time.
#[derive(Debug)]
pub struct Draw {
    plan: Plan,
    dice: Dice,
    calls: CallClock,
    faults: Vec<FaultClock>,
    said: SayClock,
    /// Steps already drawn that happen later.
    prepared: BTreeMap<(u64, u64), Step>,
    serial: u64,
}

/// When the next calls are made, and by whom.
#[derive(Debug)]
struct CallClock {
    next: u64,
    /// Mean time between two moments at which calls are made; none when nobody calls.
    mean: Option<Duration>,
    callers: f64,
    homes: f64,
}

/// When the next thing is said on a topic. It has dice of its own: everything else in a world is as
/// it would be without topics.
#[derive(Debug)]
struct SayClock {
    next: u64,
    mean: Option<Duration>,
    dice: Dice,
}

impl SayClock {
    fn new(plan: &Plan) -> Self {
        let a_second = plan.traffic.publications_per_second * f64::from(plan.nodes());
        let mean = (a_second > 0.0).then(|| Duration::from_nanos((1e9 / a_second) as u64));
        let next = FIRST_CALL_AT.as_micros() as u64;
        Self { next, mean, dice: Dice::new(plan.seed, &[SAY]) }
    }

    const fn due(&self) -> u64 {
        if self.mean.is_some() { self.next } else { u64::MAX }
    }
}

impl Draw {
    /// The steps of this plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let (topology, traffic) = (&plan.topology, &plan.traffic);
        let callers = callers_and_greed(plan) * traffic.calls_per_second;
        let homes = f64::from(topology.homes) * traffic.home_calls_per_second;
        let moments = (callers + homes) / f64::from(traffic.burst);
        let mean = (moments > 0.0).then(|| Duration::from_nanos((1e9 / moments) as u64));
        let first = FIRST_CALL_AT.as_micros() as u64;
        let mut dice = Dice::new(plan.seed, &[DRAW]);
        let faults = FaultClock::all(plan, &mut dice);
        let calls = CallClock { next: first, mean, callers, homes };
        let said = SayClock::new(plan);
        Self { plan: plan.clone(), dice, calls, faults, said, prepared: BTreeMap::new(), serial: 0 }
    }

    fn prepare(&mut self, at: u64, step: Step) {
        self.serial += 1;
        self.prepared.insert((at, self.serial), step);
    }

    /// Makes the calls of one moment.
    fn draw_calls(&mut self) {
        let at = self.calls.next;
        for _ in 0..self.plan.traffic.burst {
            let call = self.draw_call();
            self.prepare(at, Step::Call(call));
        }
        let mut mean = self.calls.mean.unwrap_or(Duration::from_hours(1));
        if self.overloaded(at) {
            mean = mean.div_f64(self.plan.traffic.overload.max(1.0));
        }
        self.calls.next = at + (self.dice.about(mean).as_micros() as u64).max(1);
    }

    /// Somebody says something, or for a time does not want to hear something any more.
    fn draw_saying(&mut self) {
        let (at, nodes) = (self.said.next, u64::from(self.plan.nodes()));
        let body_max = u64::from(self.plan.traffic.body_max.min(4_000));
        let dice = &mut self.said.dice;
        let host = dice.below(nodes) as u16;
        let (topic, body) =
            (dice.below(TOPICS.len() as u64) as u8, dice.spread(0, body_max) as u32);
        let (gives_up, lasts) = (dice.happens(GIVES_UP), dice.up_to(GIVEN_UP_MAX));
        let mean = self.said.mean.unwrap_or(Duration::from_hours(1));
        self.said.next = at + (dice.about(mean).as_micros() as u64).max(1);
        if gives_up {
            self.prepare(at, Step::Unsubscribe(HostStep { host }));
            self.prepare(at + lasts.as_micros() as u64, Step::Subscribe(HostStep { host }));
        } else {
            self.prepare(at, Step::Publish(PublishStep { host, topic, body }));
        }
    }

    /// Whether the window around this time is one of overload.
    fn overloaded(&self, at: u64) -> bool {
        let window = at / OVERLOAD_WINDOW_MICROS;
        let mut dice = Dice::new(self.plan.seed, &[OVERLOAD, window]);
        dice.happens(parts(self.plan.traffic.overloaded))
    }

    fn draw_call(&mut self) -> CallStep {
        let topology = self.plan.topology;
        let by_home = self.calls.homes / (self.calls.callers + self.calls.homes);
        let (first, count) = if self.dice.happens(parts(by_home)) {
            (topology.mains, topology.homes)
        } else {
            (topology.mains + topology.homes, topology.callers)
        };
        let greedy = first != topology.mains
            && self.plan.traffic.greedy > 1.0
            && self
                .dice
                .happens(parts((self.plan.traffic.greedy - 1.0) / callers_and_greed(&self.plan)));
        let from = if greedy { first } else { first + self.dice.below(u64::from(count)) as u16 };
        let main = topology.main_of(from);
        let service = self.draw_service(main);
        let (traffic, dice) = (&self.plan.traffic, &mut self.dice);
        let node = match service {
            _ if !dice.happens(parts(traffic.by_node)) => None,
            Service::Own(home) => Some(home),
            Service::Shared(_) | Service::Nowhere => {
                let homes = topology.homes_for(main);
                homes.clone().nth(dice.below(homes.count() as u64) as usize)
            }
        };
        let deadline =
            dice.spread(traffic.deadline_min.as_micros(), traffic.deadline_max.as_micros());
        let handler = if dice.happens(parts(traffic.slow)) {
            dice.up_to(SLOW_HANDLER_MAX)
        } else {
            dice.about(traffic.handler.0)
        };
        // A caller waits whole milliseconds: that is what a request can say.
        let deadline = Span::millis((deadline / 1_000).max(1));
        let cancelled = dice.happens(parts(traffic.cancelled));
        let lot = &mut Dice::new(self.plan.seed, &[STREAM, self.serial]);
        let streamed = lot.happens(parts(traffic.streamed));
        CallStep {
            from,
            service,
            node,
            deadline,
            handler: whole_micros(handler),
            body: dice.spread(0, u64::from(traffic.body_max)) as u32,
            answer: dice.spread(0, u64::from(traffic.body_max)) as u32,
            cancel_after: cancelled.then(|| whole_micros(dice.up_to(deadline.0))),
            idempotent: dice.happens(parts(traffic.idempotent)),
            trace: dice.happens(parts(traffic.traced)),
            chunks: if streamed { lot.spread(1, CHUNKS_MAX) as u16 } else { 0 },
        }
    }

    /// A service that a caller at this Main asks for: the first ones more often.
    fn draw_service(&mut self, main: u16) -> Service {
        let (topology, dice) = (self.plan.topology, &mut self.dice);
        if dice.happens(parts(self.plan.traffic.unknown)) {
            return Service::Nowhere;
        }
        let shared = u64::from(topology.shared_services);
        let homes = topology.homes_for(main).count() as u64;
        if shared + homes == 0 {
            return Service::Nowhere;
        }
        let weight = |rank: u64| match self.plan.traffic.skew {
            0 => UNIT,
            1 => UNIT / (rank + 1),
            _ => UNIT / ((rank + 1) * (rank + 1)),
        };
        let total: u64 = (0..shared + homes).map(weight).sum();
        let mut left = dice.below(total);
        let mut rank = 0;
        while left >= weight(rank) {
            left -= weight(rank);
            rank += 1;
        }
        match rank.checked_sub(shared) {
            None => Service::Shared(rank as u16),
            Some(home) => {
                topology.homes_for(main).nth(home as usize).map_or(Service::Nowhere, Service::Own)
            }
        }
    }
}

impl Iterator for Draw {
    type Item = Timed;

    fn next(&mut self) -> Option<Timed> {
        loop {
            let prepared = self.prepared.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
            let call = if self.calls.mean.is_some() { self.calls.next } else { u64::MAX };
            let fault = (0..self.faults.len()).min_by_key(|at| self.faults[*at].next);
            let fault_at = fault.map_or(u64::MAX, |at| self.faults[at].next);
            let next = prepared.min(call).min(fault_at).min(self.said.due());
            if next >= self.plan.duration.as_micros() {
                return None;
            }
            if prepared == next {
                let ((at, _), step) = self.prepared.pop_first()?;
                return Some(Timed { at: Span(Duration::from_micros(at)), step });
            }
            match fault {
                Some(fault) if fault_at == next => self.draw_fault(fault),
                _ if self.said.due() == next => self.draw_saying(),
                _ => self.draw_calls(),
            }
        }
    }
}

impl Topology {
    /// The Main of a Home or a caller.
    #[must_use]
    pub const fn main_of(&self, host: u16) -> u16 {
        if host < self.mains {
            host
        } else if host < self.mains + self.homes {
            (host - self.mains) % self.mains
        } else {
            (host - self.mains - self.homes) % self.mains
        }
    }

    /// The numbers, among the Homes, of those whose first Main this is.
    pub fn homes_of(&self, main: u16) -> impl Iterator<Item = u16> + Clone + use<> {
        (main..self.homes).step_by(usize::from(self.mains))
    }

    /// The host of a Home by its number among the Homes.
    #[must_use]
    pub const fn home(&self, number: u16) -> u16 {
        self.mains + number
    }
}

/// How many callers there seem to be, where the first one makes the calls of several.
fn callers_and_greed(plan: &Plan) -> f64 {
    let more = if plan.topology.callers == 0 { 0.0 } else { plan.traffic.greedy.max(1.0) - 1.0 };
    f64::from(plan.topology.callers) + more
}

/// A share as parts of a million.
pub(crate) fn parts(share: f64) -> u32 {
    (share * 1e6) as u32
}

/// Files tell times to the microsecond, and a world replayed from a file must be the same.
fn whole_micros(time: Duration) -> Span {
    Span(Duration::from_micros(time.as_micros() as u64))
}

/// Time for the hosts to find each other.
const FIRST_CALL_AT: Duration = Duration::from_secs(1);
const OVERLOAD_WINDOW_MICROS: u64 = 5_000_000;
const SLOW_HANDLER_MAX: Duration = Duration::from_secs(8);
/// The weight of the service that is called most.
const UNIT: u64 = 1 << 24;
/// How often a publication is a subscription given up instead, in parts of a million.
const GIVES_UP: u32 = 50_000;
const GIVEN_UP_MAX: Duration = Duration::from_secs(5);
const SAY: u64 = 24;
const DRAW: u64 = 1;
const OVERLOAD: u64 = 2;
const STREAM: u64 = 13;
const CHUNKS_MAX: u64 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_the_order_of_time_and_the_same_each_time() {
        for seed in 0..20 {
            let plan = Plan::swarm(seed);
            let steps: Vec<Timed> = Draw::new(&plan).collect();
            assert!(steps.is_sorted_by_key(|step| step.at), "seed {seed}");
            assert!(steps.iter().all(|step| step.at < plan.duration));
            assert_eq!(steps, Draw::new(&plan).collect::<Vec<_>>(), "seed {seed}");
        }
    }

    #[test]
    fn calls_come_as_often_as_the_plan_says_and_some_services_more_often() {
        let mut plan = Plan { duration: Span::seconds(1_000), ..Plan::default() };
        plan.topology.homes = 9;
        let calls: Vec<CallStep> = Draw::new(&plan)
            .filter_map(|timed| match timed.step {
                Step::Call(call) => Some(call),
                _ => None,
            })
            .collect();
        assert!((9_000..11_000).contains(&calls.len()), "{}", calls.len());
        let of = |service| calls.iter().filter(|call| call.service == service).count();
        assert!(of(Service::Shared(0)) > 5 * of(Service::Own(8)), "ranks one and ten");
    }
}
