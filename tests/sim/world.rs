//! The world: hosts that run nodes, and the one loop in which everything happens.

use crate::checker::{Checker, Verdict};
use crate::network::{End, Faults, Piece, Wire, WireState};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use relay_core::{
    CallId, Config, DialId, Identity, Instant, LinkId, LocalCallId, Node, NodeId, Outbox, Output,
    Reply, Role, Side,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

mod traffic;

/// Who is in the world and what happens to them.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Homes beside the one Main; each offers `service-N` of its own and `shared`.
    pub homes: usize,
    /// Callers beside the Homes, which call too.
    pub callers: usize,
    /// Calls made in all.
    pub calls: u64,
    /// What goes wrong while calls are made. Afterwards nothing does.
    pub faults: Faults,
}

/// What a run was like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Broken promises; none in a good run.
    pub verdicts: Vec<Verdict>,
    /// Calls that were answered, with a result or an error.
    pub answered: u64,
    /// Calls that were answered with a result.
    pub succeeded: u64,
    /// Situations that occurred, so that a test can see that they do.
    pub marks: BTreeSet<&'static str>,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// A digest of everything that happened, in order.
    pub trace_hash: u64,
}

/// Hosts, connections between them, and one clock.
pub struct World {
    config: WorldConfig,
    rng: ChaCha12Rng,
    now: Instant,
    hosts: Vec<Host>,
    wires: Vec<Wire>,
    checker: Checker,
    marks: BTreeSet<&'static str>,
    calls_made: u64,
    next_call_at: Instant,
    trace: u64,
    quiet: bool,
}

struct Host {
    role: Role,
    name: String,
    life: u32,
    /// Nothing while the host is down, until the time given.
    node: Result<Node, Instant>,
    out: Outbox,
    dial: Option<DialId>,
    /// Calls made here that wait for their answer.
    waiting: BTreeMap<LocalCallId, u64>,
    /// Calls that run here, and when they are answered.
    running: VecDeque<Run>,
}

/// One run of a handler.
struct Run {
    due: Instant,
    call: CallId,
    uid: u64,
    answer: Vec<u8>,
}

/// Runs a world to its end.
#[must_use]
pub fn run(config: WorldConfig) -> Report {
    let mut world = World::new(config);
    while world.calls_made < world.config.calls {
        world.step();
    }
    // From here on nothing goes wrong, and everything must come to rest.
    world.quiet = true;
    world.config.faults = Faults { delay_max: world.config.faults.delay_max, ..Faults::NONE };
    let end = world.now.after(SETTLE_TIME);
    while world.now < end {
        world.step();
    }
    world.finish()
}

impl World {
    /// A world in which nothing has happened.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&config.seed.to_le_bytes());
        let rng = ChaCha12Rng::from_seed(seed);
        let roles = std::iter::once((Role::Main, String::from("main")))
            .chain((0..config.homes).map(|n| (Role::Home, format!("home-{n}"))))
            .chain((0..config.callers).map(|n| (Role::Caller, format!("caller-{n}"))));
        let hosts = roles.map(|(role, name)| Host {
            role,
            name,
            life: 0,
            node: Err(Instant::ZERO),
            out: Outbox::default(),
            dial: None,
            waiting: BTreeMap::new(),
            running: VecDeque::new(),
        });
        let hosts = hosts.collect();
        Self {
            config,
            rng,
            now: Instant::ZERO,
            hosts,
            wires: Vec::new(),
            checker: Checker::default(),
            marks: BTreeSet::new(),
            calls_made: 0,
            next_call_at: Instant::from_nanos(FIRST_CALL_AT.as_nanos() as u64),
            trace: 0,
            quiet: false,
        }
    }

    /// Moves the clock to the next thing that happens, and lets it happen.
    pub fn step(&mut self) {
        let next = self.next_event();
        self.now = self.now.max(next);
        self.note(self.now.as_nanos());
        for host in 0..self.hosts.len() {
            self.run_host(host);
        }
        self.run_wires();
        if !self.quiet && self.next_call_at <= self.now {
            self.make_call();
        }
    }

    fn next_event(&self) -> Instant {
        let mut next = self.now.after(Duration::from_secs(1));
        if !self.quiet {
            next = next.min(self.next_call_at);
        }
        for host in &self.hosts {
            match &host.node {
                Ok(node) => {
                    next = node.poll_timeout().map_or(next, |at| next.min(at));
                    next = host.running.iter().fold(next, |next, run| next.min(run.due));
                }
                Err(up_at) => next = next.min(*up_at),
            }
        }
        let lanes = self.wires.iter().flat_map(|wire| &wire.lanes);
        let pieces = lanes.filter_map(|lane| lane.pieces.front().map(|(at, _)| *at));
        pieces.fold(next, Instant::min)
    }

    fn run_host(&mut self, at: usize) {
        if matches!(self.hosts[at].node, Err(up_at) if up_at <= self.now) {
            self.boot(at);
        }
        if self.chance(self.config.faults.crash) {
            return self.crash(at);
        }
        let (now, calm) = (self.now, self.config.faults.are_none());
        let host = &mut self.hosts[at];
        let Ok(node) = &mut host.node else { return };
        if node.poll_timeout().is_some_and(|due| due <= now) {
            node.handle_timeout(now, &mut host.out);
        }
        while let Some(place) = host.running.iter().position(|run| run.due <= now) {
            let Some(run) = host.running.remove(place) else { break };
            node.reply(run.call, Reply::Result(&run.answer), now, &mut host.out);
            if calm {
                self.checker.ran_to_its_end(run.uid, now);
            }
        }
        self.apply(at);
    }

    fn boot(&mut self, at: usize) {
        let (now, seed) = (self.now, self.bytes());
        let host = &mut self.hosts[at];
        let mut key = [7; 32];
        key[0] = at as u8;
        let identity = NodeId::new(&host.name).ok().map(|name| Identity::new(&key, Some(name)));
        let Some(Ok(identity)) = identity else { return };
        let mut node = Node::new(Config::new(host.role), identity, seed);
        node.set_wall_clock(1_800_000_000, Instant::ZERO);
        if host.role == Role::Home {
            for service in [format!("service-{at}"), String::from("shared")] {
                let registered = node.register(&service, &["run"], now, &mut host.out);
                debug_assert!(registered.is_ok());
            }
        }
        host.life += 1;
        if host.role != Role::Main {
            host.dial = Some(node.dial("main", now, &mut host.out));
        }
        host.node = Ok(node);
        self.note(at as u64);
        self.apply(at);
    }

    fn crash(&mut self, at: usize) {
        let host = &self.hosts[at];
        if host.node.is_err() {
            return;
        }
        self.marks.insert(if host.role == Role::Main { "main crashed" } else { "host crashed" });
        let life = (at, host.life);
        self.checker.caller_gone(life);
        let pause = Duration::from_millis(u64::from(self.below(3_000)));
        let host = &mut self.hosts[at];
        host.node = Err(self.now.after(pause));
        host.out = Outbox::default();
        host.waiting.clear();
        host.running.clear();
        for wire in 0..self.wires.len() {
            if self.wires[wire].ends.iter().any(|end| (end.host, end.life) == life) {
                self.break_wire(wire);
            }
        }
    }

    /// Lets happen what a node has put into its outbox.
    fn apply(&mut self, at: usize) {
        loop {
            let outputs: Vec<Output> = self.hosts[at].out.drain().collect();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                self.output(at, output);
            }
        }
    }

    fn output(&mut self, at: usize, output: Output) {
        match output {
            Output::Open(open) => self.connect(at, open.dial),
            Output::Transmit { link, frame } => {
                self.note(frame.len() as u64);
                if let Ok(node) = &mut self.hosts[at].node {
                    node.handle_flushed(link, frame.len() as u32);
                }
                self.send(at, link, Piece::Bytes(frame));
            }
            Output::Close { link, .. } => self.send(at, link, Piece::End),
            Output::Deliver(delivery) => self.deliver(at, delivery),
            Output::Event(_) => {}
            other => self.checker.blame("S13", 0, &format!("an unexpected output: {other:?}")),
        }
    }

    fn connect(&mut self, at: usize, dial: DialId) {
        let now = self.now;
        let lives = [self.hosts[at].life, self.hosts[MAIN].life];
        let refused = self.hosts[MAIN].node.is_err() || self.chance(self.config.faults.reset);
        let host = &mut self.hosts[at];
        let Ok(node) = &mut host.node else { return };
        if refused {
            return node.handle_dial_failed(dial, now, &mut host.out);
        }
        let Ok(link) = node.open_link(Side::Dialled(dial), now, &mut host.out) else { return };
        let main = &mut self.hosts[MAIN];
        let Ok(node) = &mut main.node else { return };
        let Ok(accepted) = node.open_link(Side::Accepted, now, &mut main.out) else { return };
        self.wires.push(Wire::new([
            End { host: at, life: lives[0], link },
            End { host: MAIN, life: lives[1], link: accepted },
        ]));
    }

    fn send(&mut self, at: usize, link: LinkId, piece: Piece) {
        let delay_max = self.config.faults.delay_max.as_nanos() as u64;
        let chunk_max = self.config.faults.chunk_max;
        let mut pieces = Vec::new();
        match piece {
            Piece::End => pieces.push(Piece::End),
            Piece::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    let size = 1 + self.below(chunk_max.min(bytes.len()) as u32) as usize;
                    pieces.push(Piece::Bytes(bytes.split_to(size.min(bytes.len()))));
                }
            }
        }
        for piece in pieces {
            let delay = Duration::from_nanos(self.rng.next_u64() % (delay_max + 1));
            let due = self.now.after(delay);
            let Some((wire, side)) = self.find(at, link) else { return };
            let wire = &mut self.wires[wire];
            if wire.state == WireState::Open {
                let lane = &mut wire.lanes[1 - side];
                lane.last_at = lane.last_at.max(due);
                lane.pieces.push_back((lane.last_at, piece));
            }
        }
    }

    fn find(&self, host: usize, link: LinkId) -> Option<(usize, usize)> {
        let life = self.hosts[host].life;
        let wires = self.wires.iter().enumerate().rev();
        wires
            .filter_map(|(at, wire)| wire.side(host, link).map(|side| (at, side)))
            .find(|(at, side)| self.wires[*at].ends[*side].life == life)
    }

    fn run_wires(&mut self) {
        for at in 0..self.wires.len() {
            for side in 0..2 {
                while self.wires[at].lanes[side].pieces.front().is_some_and(|p| p.0 <= self.now) {
                    self.arrive(at, side);
                }
            }
        }
        self.wires.retain(|wire| wire.state != WireState::Closed);
    }

    fn arrive(&mut self, at: usize, side: usize) {
        if self.chance(self.config.faults.reset) {
            self.marks.insert("reset");
            return self.break_wire(at);
        }
        if self.chance(self.config.faults.half_open) {
            self.marks.insert("half-open");
            self.wires[at].state = WireState::HalfOpen;
            self.wires[at].lanes.iter_mut().for_each(|lane| lane.pieces.clear());
            return;
        }
        let wire = &mut self.wires[at];
        let end = wire.ends[side];
        let Some((_, piece)) = wire.lanes[side].pieces.pop_front() else { return };
        let host = &mut self.hosts[end.host];
        let Ok(node) = &mut host.node else { return };
        if host.life != end.life {
            return;
        }
        match piece {
            Piece::Bytes(bytes) => {
                let tail = &mut wire.lanes[side].tail;
                tail.extend_from_slice(&bytes);
                node.handle_received(end.link, tail, self.now, &mut host.out);
            }
            Piece::End => {
                wire.state = WireState::Closed;
                wire.lanes.iter_mut().for_each(|lane| lane.pieces.clear());
                node.handle_closed(end.link, "closed", self.now, &mut host.out);
            }
        }
        self.apply(end.host);
    }

    /// Ends a connection for both ends at once.
    fn break_wire(&mut self, at: usize) {
        self.wires[at].state = WireState::Closed;
        self.wires[at].lanes.iter_mut().for_each(|lane| lane.pieces.clear());
        for end in self.wires[at].ends {
            let host = &mut self.hosts[end.host];
            if let (Ok(node), true) = (&mut host.node, host.life == end.life) {
                node.handle_closed(end.link, "reset", self.now, &mut host.out);
                self.apply(end.host);
            }
        }
    }

    /// When all is quiet: every call answered, every table empty, every host linked again.
    fn finish(mut self) -> Report {
        self.checker.finish();
        for host in &self.hosts {
            let Ok(node) = &host.node else {
                self.checker.blame("L4", 0, "a host is still down");
                continue;
            };
            if node.calls_in_flight() != 0 {
                let left = node.calls_in_flight();
                self.checker.blame("S12", 0, &format!("{} still holds {left} calls", host.name));
            }
            if host.role != Role::Main && !node.control().is_connected() {
                self.checker.blame("L4", 0, &format!("{} is not linked again", host.name));
            }
            if host.role == Role::Main {
                let found = node.control().registry().len() as usize;
                if found != 2 * self.config.homes {
                    self.checker.blame("L2", 0, &format!("the Main knows {found} offers"));
                }
            }
        }
        Report {
            verdicts: self.checker.verdicts,
            answered: self.checker.answered,
            succeeded: self.checker.succeeded,
            marks: self.marks,
            virtual_time: self.now.since(Instant::ZERO),
            trace_hash: self.trace,
        }
    }

    fn note(&mut self, word: u64) {
        self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
    }

    fn chance(&mut self, parts_of_million: u32) -> bool {
        parts_of_million > 0 && self.below(1_000_000) < parts_of_million
    }

    fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 { 0 } else { (self.rng.next_u64() % u64::from(bound)) as u32 }
    }

    fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

const MAIN: usize = 0;
const FIRST_CALL_AT: Duration = Duration::from_millis(200);
/// Longer than every deadline, every idle time and every pause before a new dial.
const SETTLE_TIME: Duration = Duration::from_secs(90);
