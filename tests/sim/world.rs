//! The world: hosts that run nodes, the connections between them, and the one loop in which
//! everything happens.

use crate::checker::Checker;
use crate::dice::Dice;
use crate::draw::Draw;
use crate::golden::Recorder;
use crate::network::Wire;
use crate::plan::{Federation, Plan};
use crate::queue::{Event, Queue};
use crate::report::Report;
use crate::said::Said;
use crate::schedule::Schedule;
use crate::step::Timed;
use crate::tally::Tally;
use bytes::Bytes;
use relay_core::{Instant, Limits, LinkId, NodeId, Output, Role};
use std::collections::BTreeMap;
use std::time::Duration;

mod breakers;
mod calls;
mod ending;
mod fairness;
mod host;
mod leaving;
mod life;
mod mains;
mod outcomes;
mod record;
mod registries;
mod steps;
mod streams;
mod topics;
mod watch;
mod wires;

use breakers::Breakers;
use fairness::Flows;
use host::{Clock, Host};

pub use outcomes::{CallEnd, CallOutcome};

/// Hosts, connections between them, and one clock. Nothing in it depends on anything but the plan.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    limits: Limits,
    now: Instant,
    queue: Queue,
    hosts: Vec<Host>,
    wires: Vec<Wire>,
    ghosts: Vec<Ghost>,
    /// Until when nothing gets from one Main to another.
    edges: BTreeMap<(u16, u16), Instant>,
    breakers: Breakers,
    flows: Flows,
    /// When a link came up or ended last.
    linked_at: Instant,
    source: Source,
    next_step: Option<Timed>,
    recorded: Option<Vec<Timed>>,
    /// Follows one host, for a golden trace.
    recorder: Option<Box<Recorder>>,
    phase: Phase,
    /// Calls that must succeed, the next one last, and since when it is tried.
    probes: Vec<crate::step::CallStep>,
    probing_since: Option<Instant>,
    /// What is to be said then, and on which topic.
    sayings: Vec<(u16, u8)>,
    said: Said,
    checker: Checker,
    tally: Tally,
    dice: Dice,
    spares: Vec<Vec<Output>>,
    /// Calls that went to a node whose offer is not there any more: service, host, call.
    suspects: Vec<(String, usize, Option<u32>)>,
    /// What an honest host sent first, for those who replay it.
    overheard: Bytes,
    hostility: bool,
    /// Things that happened at this very moment.
    crowd: u32,
}

/// Where steps come from.
#[derive(Debug)]
enum Source {
    Drawn(Box<Draw>),
    Listed(std::vec::IntoIter<Timed>),
}

/// Input that comes for a link when the link is gone.
#[derive(Debug)]
struct Ghost {
    host: usize,
    life: u32,
    link: LinkId,
    bytes: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Calls are made, and things go wrong.
    Storm,
    /// Nothing goes wrong any more; what was broken is found and mended.
    Settle,
    /// Calls that must succeed.
    Probe,
    /// Nobody does anything.
    Idle,
    Over,
}

/// Runs a world to its end.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    let mut world = World::new(plan);
    while world.advance() {}
    world.into_report()
}

impl World {
    /// A world in which nothing has happened, and whose steps are drawn as it goes.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self::from_source(plan, Source::Drawn(Box::new(Draw::new(plan))))
    }

    /// A world in which just these steps happen.
    #[must_use]
    pub fn scheduled(schedule: &Schedule) -> Self {
        let steps = schedule.steps.clone().into_iter();
        Self::from_source(&schedule.plan, Source::Listed(steps))
    }

    /// Keeps every step from now on, for [`Self::take_recorded`].
    pub fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// The steps that happened since [`Self::record`].
    pub fn take_recorded(&mut self) -> Vec<Timed> {
        self.recorded.take().unwrap_or_default()
    }

    fn from_source(plan: &Plan, source: Source) -> Self {
        let topology = plan.topology;
        let mut plan = plan.clone();
        plan.faults = plan.faults.resolved();
        let mut dice = Dice::new(plan.seed, &[WORLD]);
        let mut host = |role, name: String| {
            let clock = Clock::new(&mut dice, plan.faults.drift_ppm);
            NodeId::new(&name).ok().map(|name| Host::new(role, name, clock))
        };
        let mains = (0..topology.mains).map(|n| (Role::Main, format!("main-{n}")));
        let homes = (0..topology.homes).map(|n| (Role::Home, format!("home-{n}")));
        let callers = (0..topology.callers).map(|n| (Role::Caller, format!("caller-{n}")));
        let roles = mains.chain(homes).chain(callers);
        let hosts: Vec<Host> = roles.filter_map(|(role, name)| host(role, name)).collect();
        let end = Instant::ZERO.after(plan.duration.0);
        let mut limits = plan.limits.limits();
        if matches!(plan.topology.federation, Federation::Chain | Federation::Web) {
            limits.hops_max = limits.ttl;
        }
        // Nobody may answer what a hostile host asks for; it must end before the world does.
        limits.deadline_max = plan.traffic.deadline_max.0.max(DEADLINE_MAX);
        let mut world = Self {
            limits,
            now: Instant::ZERO,
            queue: Queue::default(),
            wires: Vec::new(),
            ghosts: Vec::new(),
            edges: BTreeMap::new(),
            breakers: Breakers::default(),
            flows: Flows::default(),
            linked_at: Instant::ZERO,
            source,
            next_step: None,
            recorded: None,
            recorder: None,
            phase: Phase::Storm,
            probes: Vec::new(),
            probing_since: None,
            sayings: Vec::new(),
            said: Said::new(plan.seed),
            checker: Checker::new(plan.seed),
            tally: Tally::new(plan.duration.0),
            dice,
            spares: Vec::new(),
            suspects: Vec::new(),
            overheard: Bytes::new(),
            hostility: false,
            crowd: 0,
            hosts,
            plan,
        };
        for host in 0..world.hosts.len() {
            // Not all at once: some dial before their Main is there.
            let at = world.dice.up_to(BOOT_WITHIN);
            world.queue.push(Instant::ZERO.after(at), Event::Boot { host: host as u16, life: 0 });
        }
        world.queue.push(end, Event::Phase);
        world.queue.push(world.tally.next_sample(Instant::ZERO), Event::Sample);
        world.fetch_step();
        world
    }

    /// Lets some thousand things happen; false when the run is over. The first broken promise ends
    /// it.
    pub fn advance(&mut self) -> bool {
        for _ in 0..EVENTS_AT_ONCE {
            if self.phase == Phase::Over || !self.checker.verdicts.is_empty() {
                return false;
            }
            let Some((at, event)) = self.queue.pop() else { return false };
            debug_assert!(at >= self.now, "time runs backwards");
            self.crowd = if at == self.now { self.crowd + 1 } else { 0 };
            if self.crowd > CROWD_MAX {
                self.checker.blame("L7", None, &format!("time stands still at {event:?}"));
                return false;
            }
            self.now = at;
            self.checker.set_now(at);
            self.tally.events += 1;
            self.happen(event);
        }
        true
    }

    /// How much of the virtual time is over, from zero to one.
    #[must_use]
    pub fn progress(&self) -> f64 {
        let whole = self.plan.duration.0.as_secs_f64();
        (self.now.since(Instant::ZERO).as_secs_f64() / whole).min(1.0)
    }

    /// Virtual time that passed.
    pub(crate) const fn now_since_start(&self) -> Duration {
        self.now.since(Instant::ZERO)
    }

    /// Calls made so far.
    #[must_use]
    pub fn calls_made(&self) -> usize {
        self.checker.calls.len()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Lane { wire, side } => self.wake_lane(wire as usize, usize::from(side)),
            Event::Timer { host, life } => self.wake_node(usize::from(host), life),
            Event::Handler { host, life, slot, uid } => {
                self.end_handler(usize::from(host), life, slot as usize, uid);
            }
            Event::GiveUp { uid } => self.give_up(uid),
            Event::Boot { host, life } => self.boot(usize::from(host), life),
            Event::Refused { host, life, dial } => self.refused(usize::from(host), life, dial),
            Event::Wake { host } => self.wake_host(usize::from(host)),
            Event::Closed { host, life, link } => {
                self.closed(usize::from(host), life, link, true);
            }
            Event::Ghost { at } => self.haunt(at as usize),
            Event::Step => self.take_step(),
            Event::Audit { host } => self.audit_later(usize::from(host)),
            Event::Ends { host, life, drained } => self.end_of(usize::from(host), life, drained),
            Event::Sample => self.sample(),
            Event::Converge => self.look_at_registries(),
            Event::Probe => self.probe(),
            Event::Phase => self.next_phase(),
            Event::Send { host, life, slot, uid } => {
                self.send_again(usize::from(host), life, slot as usize, uid);
            }
            Event::Consume { uid, bytes } => self.consume(uid, bytes),
        }
    }

    /// Gets the next step and arranges for it.
    fn fetch_step(&mut self) {
        let next = match &mut self.source {
            Source::Drawn(draw) => draw.next(),
            Source::Listed(steps) => steps.next(),
        };
        // A storm that was cut short is over all the same.
        let next = next.filter(|timed| timed.at < self.plan.duration);
        if let Some(timed) = &next {
            self.queue.push(Instant::ZERO.after(timed.at.0).max(self.now), Event::Step);
        }
        self.next_step = next;
    }

    fn take_step(&mut self) {
        let Some(timed) = self.next_step.take() else { return };
        if self.phase == Phase::Storm {
            self.apply_step(&timed.step);
            if let Some(recorded) = &mut self.recorded {
                recorded.push(timed);
            }
        }
        self.fetch_step();
    }

    /// Puts a word into the digest of everything that happens.
    fn note(&mut self, word: u64) {
        self.tally.note(word ^ self.now.as_nanos());
    }
}

/// Where the chance of each part of a world comes from.
const WORLD: u64 = 4;
const CONNECTION: u64 = 5;
const BOOT: u64 = 6;
const CORE: u64 = 7;
const BOOT_WITHIN: Duration = Duration::from_millis(200);
/// More things than can happen at one moment, unless they keep each other going for ever.
const CROWD_MAX: u32 = 1_000_000;
/// A world goes on for longer than this after its storm.
const DEADLINE_MAX: Duration = Duration::from_mins(1);
const EVENTS_AT_ONCE: u32 = 4_096;
