//! A few nodes and the bytes between them, without faults and without chance, for what must hold in
//! one small federation at one moment. The test holds the clock.

use bytes::BytesMut;
use relay_core::{
    Answer, Call, Config, Delivery, Event, Identity, Instant, LinkId, LocalCallId, Node, NodeId,
    Open, Outbox, Output, Reply, Role, Side, TraceHop,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Nodes, known by their place in the list. An address is such a place.
pub(crate) struct Net {
    pub(crate) nodes: Vec<Node>,
    /// Nodes whose application never answers, and nodes that read nothing.
    pub(crate) silent: Vec<usize>,
    pub(crate) deaf: Vec<usize>,
    /// Calls that came to the application of each node.
    pub(crate) asked: Vec<u32>,
    pub(crate) events: Vec<(usize, Event)>,
    answers: BTreeMap<(usize, LocalCallId), (Answer, Vec<TraceHop>)>,
    wires: Vec<Wire>,
    now: Instant,
}

struct Wire {
    ends: [(usize, LinkId); 2],
    /// What is on its way to each end.
    bytes: [BytesMut; 2],
    /// Which end has closed it.
    closed_by: Option<usize>,
}

impl Net {
    /// Nodes of these roles and names; each has the key that `key` tells.
    pub(crate) fn new(nodes: &[(Role, &str, u8)], change: impl Fn(usize, &mut Config)) -> Self {
        let node = |(at, (role, name, key)): (usize, &(Role, &str, u8))| {
            let mut config = Config::new(*role);
            change(at, &mut config);
            let identity = Identity::new(&[*key; 32], NodeId::new(name).ok()).expect("legal");
            let mut node = Node::new(config, identity, [at as u8; 32]);
            node.set_wall_clock(1_800_000_000, Instant::ZERO);
            node
        };
        let nodes: Vec<Node> = nodes.iter().enumerate().map(node).collect();
        let (silent, deaf, asked) = (Vec::new(), Vec::new(), vec![0; nodes.len()]);
        let (events, answers, wires) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { nodes, silent, deaf, asked, events, answers, wires, now: Instant::ZERO }
    }

    /// Lets a node do something, and then all that follows from it.
    pub(crate) fn act<T>(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut Node, Instant, &mut Outbox) -> T,
    ) -> T {
        let mut out = Outbox::default();
        let done = act(&mut self.nodes[at], self.now, &mut out);
        self.take(at, &mut out);
        self.settle();
        done
    }

    /// A node keeps a link to another one from now on.
    pub(crate) fn dial(&mut self, from: usize, to: usize) {
        self.act(from, |node, now, out| node.dial(&to.to_string(), now, out));
    }

    /// A node offers a service from now on.
    pub(crate) fn register(&mut self, at: usize, service: &str) {
        self.act(at, |node, now, out| node.register(service, &["run"], now, out)).expect("legal");
    }

    /// The application of a node calls.
    pub(crate) fn call(&mut self, at: usize, call: Call<'_>) -> LocalCallId {
        let call = Call { method: "run", ..call };
        self.act(at, |node, now, out| node.call(call, now, out)).expect("accepted")
    }

    /// The answer to such a call and its way, if there is one by now.
    pub(crate) fn answer(&mut self, at: usize, call: LocalCallId) -> Option<(Answer, Vec<String>)> {
        let (answer, trace) = self.answers.remove(&(at, call))?;
        Some((answer, trace.into_iter().map(|hop| hop.node).collect()))
    }

    /// Lets time pass for everyone.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            let next = self.nodes.iter().filter_map(Node::poll_timeout).fold(end, Instant::min);
            self.now = self.now.max(next);
            for at in 0..self.nodes.len() {
                self.act(at, |node, now, out| node.handle_timeout(now, out));
            }
        }
    }

    fn take(&mut self, at: usize, out: &mut Outbox) {
        let mut outputs: VecDeque<Output> = out.drain().collect();
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Transmit { link, frame } => {
                    if let Some((wire, side)) = self.wire_of(at, link) {
                        wire.bytes[1 - side].extend_from_slice(&frame);
                    }
                }
                Output::Close { link, .. } => {
                    if let Some((wire, side)) = self.wire_of(at, link) {
                        wire.closed_by = Some(side);
                    }
                }
                Output::Open(open) => self.connect(at, &open, out),
                Output::Deliver(Delivery::Request(call)) => {
                    self.asked[at] += 1;
                    if !self.silent.contains(&at) {
                        self.nodes[at].reply(call.call, Reply::Result(b"1"), self.now, out);
                    }
                }
                Output::Deliver(Delivery::Answer { call, answer, trace }) => {
                    self.answers.insert((at, call), (answer, trace));
                }
                Output::Event(event) => self.events.push((at, *event)),
                _ => {}
            }
            outputs.extend(out.drain());
        }
    }

    fn connect(&mut self, from: usize, open: &Open, out: &mut Outbox) {
        let (to, mut there): (usize, _) =
            (open.address.parse().expect("a place"), Outbox::default());
        let accepted =
            self.nodes[to].open_link(Side::Accepted, self.now, &mut there).expect("room");
        let side = Side::Dialled(open.dial);
        let dialled = self.nodes[from].open_link(side, self.now, out).expect("room");
        let (ends, bytes) = ([(from, dialled), (to, accepted)], Default::default());
        self.wires.push(Wire { ends, bytes, closed_by: None });
        self.take(to, &mut there);
    }

    fn wire_of(&mut self, at: usize, link: LinkId) -> Option<(&mut Wire, usize)> {
        self.wires.iter_mut().find_map(|wire| {
            let side = wire.ends.iter().position(|end| *end == (at, link))?;
            Some((wire, side))
        })
    }

    /// Carries bytes until nobody has any to read.
    fn settle(&mut self) {
        while let Some((wire, side)) = self.next_to_read() {
            let mut out = Outbox::default();
            let ((at, link), (from, back)) = (wire.ends[side], wire.ends[1 - side]);
            let mut input = core::mem::take(&mut wire.bytes[side]);
            if input.is_empty() {
                self.wires.retain(|wire| wire.ends[side] != (at, link));
                self.nodes[at].handle_closed(link, "ended", self.now, &mut out);
            } else {
                self.nodes[from].handle_flushed(back, input.len() as u32);
                self.nodes[at].handle_received(link, &mut input, self.now, &mut out);
            }
            self.take(at, &mut out);
        }
    }

    /// A connection and the end where there is something to read, or where it ends.
    fn next_to_read(&mut self) -> Option<(&mut Wire, usize)> {
        let deaf = &self.deaf;
        self.wires.iter_mut().find_map(|wire| {
            let reads = |side: usize| {
                let has_something =
                    !wire.bytes[side].is_empty() || wire.closed_by == Some(1 - side);
                has_something && wire.closed_by != Some(side) && !deaf.contains(&wire.ends[side].0)
            };
            let side = [0, 1].into_iter().find(|side| reads(*side))?;
            Some((wire, side))
        })
    }
}
