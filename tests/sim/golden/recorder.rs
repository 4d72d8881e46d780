//! Records the life of one host of a world.

use super::Fnv;
use super::bare::{Reader, note};
use super::trace::{Input, Profile, Step, Trace};
use super::writer::Writer;
use crate::plan::Plan;
use crate::span::Span;
use crate::world::World;
use relay_core::{CallEnd, CallId, Delivery, DialId, Instant, LinkId, LocalCallId, Output};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The world in which the trace of this seed is recorded: one of the swarm, in every second seed
/// one of three Mains; short, and with what a trace can hold. Hosts do not sleep and timers are not
/// late: when a node is told what is due is for its shell to decide.
#[must_use]
pub fn plan(seed: u64) -> Plan {
    let mut plan = if seed.is_multiple_of(2) { Plan::federation(seed) } else { Plan::swarm(seed) };
    plan.duration = Span::seconds(10);
    let traffic = &mut plan.traffic;
    traffic.body_max = traffic.body_max.min(8_000);
    traffic.calls_per_second = traffic.calls_per_second.max(5.0);
    let faults = &mut plan.faults;
    (faults.pause, faults.drift_ppm, faults.late_timers) = (0.0, 0, Span::default());
    // A link that is written to faster than it takes bytes is read from up to 1 MiB, which is four
    // times what this allows.
    let bytes = &mut plan.limits.write_bytes_max;
    *bytes = if *bytes == 0 { 256 << 10 } else { *bytes };
    plan
}

/// Records the trace of a seed: the longest life of one host of its world.
///
/// # Errors
/// Where that host never started, or the world broke a promise.
pub fn record(seed: u64) -> Result<Trace, String> {
    let plan = plan(seed);
    let topology = plan.topology;
    let (mains, homes) = (usize::from(topology.mains), usize::from(topology.homes));
    let host = match seed % 5 {
        0..=2 => seed as usize % mains,
        3 => mains + seed as usize % homes,
        _ => mains + homes + seed as usize % usize::from(topology.callers),
    };
    let world = World::new(&plan);
    let lives = world.record_host(host)?;
    let longest = lives.into_iter().max_by_key(|trace| trace.steps.len());
    longest.ok_or_else(|| format!("seed {seed}: host {host} never started"))
}

/// Follows one host through its lives.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) host: usize,
    pub(crate) life: Option<Life>,
    pub(crate) lives: Vec<Trace>,
}

/// What is known of the life that is being recorded.
#[derive(Debug)]
pub(crate) struct Life {
    trace: Trace,
    outputs: Fnv,
    links: u32,
    numbers: BTreeMap<LinkId, u32>,
    writers: BTreeMap<LinkId, Writer>,
    /// Connections that are full.
    stalled: BTreeSet<LinkId>,
    /// Bytes that connections took since the last input.
    accepted: BTreeMap<LinkId, u32>,
    dials: BTreeMap<DialId, String>,
    calls: BTreeMap<LocalCallId, (u32, Reader)>,
    calls_made: u32,
    requests: BTreeMap<CallId, u32>,
    requests_seen: u32,
    /// Outputs to which the world reacts with further inputs: that comes after everything else.
    pub(crate) later: VecDeque<Output>,
}

impl Recorder {
    pub(crate) const fn new(host: usize) -> Self {
        Self { host, life: None, lives: Vec::new() }
    }

    pub(crate) fn start(&mut self, seed: u64, profile: Profile) {
        let trace = Trace { seed, profile, steps: Vec::new(), lasts: 0, outputs: 0 };
        self.life = Some(Life {
            trace,
            outputs: Fnv::default(),
            links: 0,
            numbers: BTreeMap::new(),
            writers: BTreeMap::new(),
            stalled: BTreeSet::new(),
            accepted: BTreeMap::new(),
            dials: BTreeMap::new(),
            calls: BTreeMap::new(),
            calls_made: 0,
            requests: BTreeMap::new(),
            requests_seen: 0,
            later: VecDeque::new(),
        });
    }

    /// The node is gone.
    pub(crate) fn end(&mut self, now: Instant) {
        if let Some(mut life) = self.life.take() {
            life.trace.outputs = life.outputs.value();
            life.trace.lasts = now.as_nanos();
            self.lives.push(life.trace);
        }
    }
}

impl Life {
    pub(crate) fn input(&mut self, now: Instant, input: Input) {
        self.accepted.clear();
        self.trace.steps.push(Step { at: now.as_nanos(), stalls: Vec::new(), input });
    }

    pub(crate) fn number(&self, link: LinkId) -> Option<u32> {
        self.numbers.get(&link).copied()
    }

    /// A connection was made; there is a link if the node had room for it.
    pub(crate) fn opened(&mut self, link: Option<LinkId>) {
        if let Some(link) = link {
            self.numbers.insert(link, self.links);
            self.writers.insert(link, Writer::default());
        }
        self.links += 1;
    }

    pub(crate) fn ended(&mut self, link: LinkId) {
        self.numbers.remove(&link);
        self.writers.remove(&link);
        self.stalled.remove(&link);
    }

    /// Follows what the node puts out. Tells whether the world is to react to it later.
    pub(crate) fn output(&mut self, output: &Output) -> bool {
        note(&mut self.outputs, output);
        match output {
            Output::Transmit { link, frame } => {
                if let Some(writer) = self.writers.get_mut(link) {
                    writer.queue(frame.len());
                }
            }
            Output::Open(open) => drop(self.dials.insert(open.dial, open.address.clone())),
            Output::Deliver(delivery) => self.delivered(delivery),
            _ => {}
        }
        matches!(output, Output::Open(_) | Output::Deliver(_))
    }

    fn delivered(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Request(call) => {
                self.requests.insert(call.call, self.requests_seen);
                self.requests_seen += 1;
            }
            Delivery::Cancelled { call } => drop(self.requests.remove(call)),
            Delivery::Chunk { call: CallEnd::Caller(call), is_last, body, .. } => {
                if let Some((_, reader)) = self.calls.get_mut(call) {
                    reader.put(body.clone(), *is_last);
                }
            }
            Delivery::Answer { call, .. } => drop(self.calls.remove(call)),
            Delivery::Chunk { .. }
            | Delivery::Credit { .. }
            | Delivery::Publication(_)
            | Delivery::Missed { .. } => {}
        }
    }

    /// A connection took so many bytes, if it is not full.
    pub(crate) fn accept(&mut self, link: LinkId, bytes: usize) {
        if self.stalled.contains(&link) {
            return;
        }
        *self.accepted.entry(link).or_default() += bytes as u32;
        if let Some(writer) = self.writers.get_mut(&link) {
            writer.accept(bytes);
        }
    }

    /// A connection is full.
    pub(crate) fn stall(&mut self, link: LinkId) {
        let (Some(number), true) = (self.number(link), self.stalled.insert(link)) else { return };
        let accepted = self.accepted.get(&link).copied().unwrap_or_default();
        if let Some(step) = self.trace.steps.last_mut() {
            step.stalls.push((number, accepted));
        }
    }

    /// A connection that was full took so many bytes.
    pub(crate) fn grow(&mut self, link: LinkId, bytes: usize, is_open: bool) {
        if is_open {
            self.stalled.remove(&link);
        }
        if let Some(writer) = self.writers.get_mut(&link) {
            writer.accept(bytes);
        }
    }

    pub(crate) fn is_stalled(&self, link: LinkId) -> bool {
        self.stalled.contains(&link)
    }

    /// Written bytes that the node is to be told of.
    pub(crate) fn reports(&mut self) -> Vec<(LinkId, usize)> {
        let reports = self.writers.iter_mut().map(|(link, writer)| (*link, writer.report()));
        reports.filter(|(_, bytes)| *bytes > 0).collect()
    }

    pub(crate) fn address(&self, dial: DialId) -> String {
        self.dials.get(&dial).cloned().unwrap_or_default()
    }

    pub(crate) fn called(&mut self, call: Option<LocalCallId>) {
        if let Some(call) = call {
            self.calls.insert(call, (self.calls_made, Reader::default()));
        }
        self.calls_made += 1;
    }

    pub(crate) fn call(&self, call: LocalCallId) -> Option<u32> {
        self.calls.get(&call).map(|(number, _)| *number)
    }

    pub(crate) fn gave_up(&mut self, call: LocalCallId) {
        self.calls.remove(&call);
    }

    /// The application reads a chunk: what to grant for it.
    pub(crate) fn read(&mut self, call: LocalCallId) -> Option<u32> {
        self.calls.get_mut(&call)?.1.take()?.1
    }

    pub(crate) fn request(&self, call: CallId) -> Option<u32> {
        self.requests.get(&call).copied()
    }

    pub(crate) fn replied(&mut self, call: CallId) {
        self.requests.remove(&call);
    }
}
