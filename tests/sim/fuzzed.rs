//! Any bytes as a schedule: how a fuzzer chooses a small world, what befalls it, and what its
//! hostile hosts send.
//!
//! Every choice takes its own few bytes and none is refused, so a small change of the bytes is a
//! small change of the world. The order of each list below is the meaning of inputs that are kept:
//! what is new goes to its end.

use crate::plan::{Bounds, Network, Plan, Topology, Traffic};
use crate::said::TOPICS;
use crate::schedule::Schedule;
use crate::span::Span;
use crate::step::{
    CallStep, ClockJump, Clog, Corrupt, HostStep, Inject, Lasting, PublishStep, Service,
    SlowReader, Step, Timed,
};
use std::time::Duration;

mod frames;

/// The schedule that these bytes stand for. It is always legal, and small: a few hosts, a few
/// seconds, at most 64 steps.
#[must_use]
pub fn schedule_from_bytes(bytes: &[u8]) -> Schedule {
    let mut input = Input(bytes);
    let mut plan = read_plan(&mut input);
    let (mut at, mut steps) = (FIRST_STEP_AT, Vec::new());
    while steps.len() < STEPS_MAX && !input.0.is_empty() {
        let pause = read_pause(&mut input);
        if at + pause > STORM_MAX {
            break;
        }
        at += pause;
        let step = read_step(&mut input, plan.topology);
        steps.push(Timed { at: Span(at), step });
    }
    plan.duration = Span(at + Duration::from_secs(1));
    Schedule { finding: String::new(), plan, steps }
}

/// Reads choices off the front of the bytes. When they are used up, it reads zeros.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn bit(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// A number from `first` on, one of `count`.
    fn number(&mut self, first: u16, count: u16) -> u16 {
        first + u16::from(self.byte()) % count.max(1)
    }

    /// So many times ten milliseconds.
    fn time(&mut self) -> Span {
        Span::millis(u64::from(self.byte()) * 10)
    }

    /// As many bytes as the next byte says.
    fn piece(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte());
        self.bytes(count)
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fn read_plan(input: &mut Input<'_>) -> Plan {
    let mut plan = Plan { seed: u64::from(input.byte()), ..Plan::default() };
    plan.topology = Topology {
        mains: input.number(1, 2),
        homes: input.number(1, 3),
        callers: input.number(0, 3),
        shared_services: input.number(0, 3),
        ..Topology::default()
    };
    plan.network = Network {
        delay_min: Span::millis(input.pick(&[0, 1])),
        delay_mean: Span::millis(input.pick(&[0, 1, 10])),
        far: 0.0,
        chunk_max: input.pick(&[64 << 10, 1, 7, 1_400]),
        window: input.pick(&[256 << 10, 4 << 10]),
    };
    plan.limits = read_limits(input);
    // Of the traffic only this matters where steps are listed: how long the world may take to rest,
    // and that hosts subscribe.
    plan.traffic =
        Traffic { deadline_max: DEADLINE_MAX, publications_per_second: SUBSCRIBED, ..plan.traffic };
    plan.faults.drift_ppm = input.pick(&[0, 200]);
    plan.faults.late_timers = Span::millis(input.pick(&[0, 10]));
    plan
}

/// A bit for each bound says whether it is tiny.
fn read_limits(input: &mut Input<'_>) -> Bounds {
    let bits = input.short();
    let tiny = |bit: u32, value: u32| if bits & (1 << bit) != 0 { value } else { 0 };
    let times = |bit: u32, seconds: u32| Span::seconds(u64::from(tiny(bit, seconds)));
    Bounds {
        calls_per_link_max: tiny(0, 1).max(tiny(1, 4)),
        calls_per_caller_max: tiny(2, 1).max(tiny(3, 4)),
        local_calls_max: tiny(4, 1).max(tiny(5, 8)),
        write_bytes_max: tiny(6, 4 << 10),
        frame_bytes_max: tiny(7, 4 << 10),
        registry_ttl: times(8, 5),
        idle_timeout: times(9, 3),
        reconnect_max: times(10, 2),
        labels_per_slot: tiny(11, 3).max(tiny(12, 20)),
        ..Bounds::default()
    }
}

/// Most steps follow each other closely; some leave time for what the last ones broke.
fn read_pause(input: &mut Input<'_>) -> Duration {
    let byte = input.byte();
    match byte {
        0..LONG_PAUSES => Duration::from_micros(u64::from(byte) * 200),
        LONG_PAUSES.. => Duration::from_millis(u64::from(byte - LONG_PAUSES + 1) * 50),
    }
}

fn read_step(input: &mut Input<'_>, topology: Topology) -> Step {
    let kind = input.pick(&STEPS);
    let others = topology.homes + topology.callers;
    let host = match kind {
        StepKind::Call | StepKind::Inject => input.number(topology.mains, others),
        StepKind::Stranger => input.number(0, topology.mains),
        StepKind::Register | StepKind::Withdraw => input.number(topology.mains, topology.homes),
        StepKind::Corrupt | StepKind::ClockJump | StepKind::Fault | StepKind::Topic => {
            input.number(0, topology.mains + others)
        }
    };
    match kind {
        StepKind::Call => Step::Call(read_call(input, host)),
        StepKind::Inject => Step::Inject(Inject { host, bytes: frames::read(input) }),
        StepKind::Stranger => Step::Stranger(Inject { host, bytes: frames::read(input) }),
        StepKind::Register => Step::Register(HostStep { host }),
        StepKind::Withdraw => Step::Withdraw(HostStep { host }),
        StepKind::Corrupt => {
            let (sending, bit) = (input.bit(), u32::from(input.short()));
            Step::Corrupt(Corrupt { host, sending, bit })
        }
        StepKind::ClockJump => {
            let seconds = i32::from(input.byte().cast_signed());
            Step::ClockJump(ClockJump { host, seconds })
        }
        StepKind::Fault => read_fault(input, host),
        StepKind::Topic => match input.byte() % 4 {
            2 => Step::Unsubscribe(HostStep { host }),
            3 => Step::Subscribe(HostStep { host }),
            _ => {
                let (topic, size) = (input.byte() % TOPICS.len() as u8, u32::from(input.byte()));
                Step::Publish(PublishStep { host, topic, body: size.pow(2) / 4 })
            }
        },
    }
}

fn read_call(input: &mut Input<'_>, from: u16) -> CallStep {
    let service = input.pick(&[
        Service::Shared(0),
        Service::Own(0),
        Service::Own(1),
        Service::Own(2),
        Service::Shared(1),
        Service::Nowhere,
    ]);
    let node = input.pick(&[None, None, None, None, None, Some(0), Some(1), Some(2)]);
    // Quadratic, so that most bodies are small and some do not fit.
    let mut size = || u32::from(input.byte()).pow(2) / 4;
    let (body, answer) = (size(), size());
    let (deadline, handler) = (input.time().max(Span::millis(1)), input.time());
    let more = input.byte();
    CallStep {
        from,
        service,
        node,
        deadline,
        handler,
        body,
        answer,
        cancel_after: (more & 1 != 0).then(|| input.time()),
        chunks: u16::from(more >> 4),
        ..CallStep::usual()
    }
}

/// What befalls a host without saying much.
fn read_fault(input: &mut Input<'_>, host: u16) -> Step {
    let (what, lasts) = (input.byte() % 6, input.time());
    match what {
        0 => Step::Reset(HostStep { host }),
        1 => Step::HalfOpen(HostStep { host }),
        2 => Step::Crash(Lasting { host, lasts }),
        3 => Step::Pause(Lasting { host, lasts }),
        4 => {
            let (sending, receiving) = input.pick(&[(true, true), (true, false), (false, true)]);
            Step::Clog(Clog { host, sending, receiving, lasts })
        }
        _ => {
            let bytes_per_second = u32::from(input.byte()) * 100;
            Step::SlowReader(SlowReader { host, bytes_per_second, lasts })
        }
    }
}

#[derive(Clone, Copy)]
enum StepKind {
    Call,
    Inject,
    Stranger,
    Fault,
    Corrupt,
    ClockJump,
    Withdraw,
    Register,
    Topic,
}

const STEPS: [StepKind; 13] = [
    StepKind::Call,
    StepKind::Inject,
    StepKind::Fault,
    StepKind::Stranger,
    StepKind::Corrupt,
    StepKind::ClockJump,
    StepKind::Withdraw,
    StepKind::Register,
    StepKind::Call,
    StepKind::Inject,
    StepKind::Fault,
    StepKind::Inject,
    StepKind::Topic,
];

/// By then the hosts have found each other.
const FIRST_STEP_AT: Duration = Duration::from_millis(700);
const STORM_MAX: Duration = Duration::from_secs(10);
const STEPS_MAX: usize = 64;
/// A pause is long from this byte on.
const LONG_PAUSES: u8 = 200;
/// Any number above zero.
const SUBSCRIBED: f64 = 1.0;
/// What one byte can ask for.
const DEADLINE_MAX: Span = Span::millis(2_550);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dice;
    use std::collections::BTreeSet;

    fn noise(seed: u64) -> Vec<u8> {
        let mut dice = Dice::new(seed, &[]);
        let length = dice.spread(0, 2_000);
        (0..length).map(|_| dice.next() as u8).collect()
    }

    #[test]
    fn any_bytes_are_a_legal_schedule() {
        let mut kinds = BTreeSet::new();
        for seed in 0..2_000 {
            let schedule = schedule_from_bytes(&noise(seed));
            assert_eq!(schedule.plan.validate(), Ok(()), "noise {seed}");
            let read = Schedule::read(&schedule.write());
            assert_eq!(read.as_ref(), Ok(&schedule), "noise {seed}");
            assert!(schedule.steps.len() <= STEPS_MAX);
            for timed in &schedule.steps {
                assert!(timed.at < schedule.plan.duration, "noise {seed}");
                assert!(u32::from(timed.step.host()) < schedule.plan.nodes(), "noise {seed}");
                kinds.insert(timed.step.name());
            }
        }
        assert_eq!(kinds.len(), 16, "every kind of step: {kinds:?}");
    }

    #[test]
    fn worlds_of_noise_keep_their_promises() {
        let mut marks = BTreeSet::new();
        for seed in 0..150 {
            let report = schedule_from_bytes(&noise(seed)).run();
            assert!(report.verdicts.is_empty(), "noise {seed}: {:#?}", report.verdicts);
            marks.extend(report.marks.into_keys());
        }
        for mark in [
            "a stranger was answered",
            "a link ended for a broken protocol",
            "a publication was heard",
            "a publication had to be heard",
        ] {
            assert!(marks.contains(mark), "'{mark}' never happened, but {marks:#?}");
        }
    }
}
