//! Whole nodes, and wires between them that show how bodies travel.
#![cfg(all(feature = "lz4", feature = "zstd"))]

use crate::frame::{Frame, Kind};
use crate::{
    Answer, Call, Compression, Config, Delivery, Identity, Instant, LinkId, LocalCallId, Node,
    NodeId, Outbox, Output, Reply, Role, Side,
};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use bytes::{Bytes, BytesMut};
use core::time::Duration;

/// A request, an answer or a chunk that crossed a wire: from which node, and how its body was.
type Crossed = (usize, Kind, Option<Compression>);

#[derive(Default)]
struct Net {
    nodes: Vec<Node>,
    wires: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    crossed: Vec<Crossed>,
    answers: Vec<(LocalCallId, Answer)>,
    chunks: Vec<Bytes>,
    /// What handlers were given.
    asked: Vec<Bytes>,
    now: Instant,
    /// Handlers send this before they answer, where they may.
    chunk: Bytes,
}

impl Net {
    fn add(&mut self, role: Role, change: impl FnOnce(&mut Config)) -> usize {
        let mut config = Config::new(role);
        change(&mut config);
        let at = self.nodes.len();
        let name = NodeId::new(&format!("node-{at}")).expect("a legal name");
        let identity = Identity::new(&[at as u8 + 1; 32], Some(name)).expect("a key");
        self.nodes.push(Node::new(config, identity, [at as u8; 32]));
        at
    }

    /// A Home of `main` with a service of that name.
    fn home(&mut self, main: usize, service: &str, change: impl FnOnce(&mut Config)) -> usize {
        let home = self.add(Role::Home, change);
        self.act(home, |node, now, out| {
            node.register(service, &["run"], now, out).expect("a legal name");
        });
        self.link(home, main);
        home
    }

    fn link(&mut self, from: usize, to: usize) {
        let mut out = Outbox::default();
        let dial = self.nodes[from].dial("there", self.now, &mut out);
        let a = self.nodes[from].open_link(Side::Dialled(dial), self.now, &mut out).expect("room");
        let b = self.nodes[to].open_link(Side::Accepted, self.now, &mut out).expect("room");
        self.wires.insert((from, a), (to, b));
        self.wires.insert((to, b), (from, a));
        self.settle(from, out);
        // Mains tell each other a little later.
        for _ in 0..3 {
            self.now = self.now.after(Duration::from_millis(200));
            for at in 0..self.nodes.len() {
                self.act(at, |node, now, out| node.handle_timeout(now, out));
            }
        }
        self.crossed.clear();
    }

    fn act(&mut self, at: usize, act: impl FnOnce(&mut Node, Instant, &mut Outbox)) {
        let mut out = Outbox::default();
        act(&mut self.nodes[at], self.now, &mut out);
        self.settle(at, out);
    }

    /// Carries everything until nothing moves.
    fn settle(&mut self, at: usize, mut out: Outbox) {
        let mut queue: Vec<(usize, Output)> = out.drain().map(|output| (at, output)).collect();
        while !queue.is_empty() {
            let (at, output) = queue.remove(0);
            match output {
                Output::Transmit { link, frame } => {
                    self.cross(at, &frame);
                    let (to, link) = self.wires[&(at, link)];
                    let mut input = BytesMut::from(&frame[..]);
                    self.nodes[to].handle_received(link, &mut input, self.now, &mut out);
                    queue.extend(out.drain().map(|output| (to, output)));
                }
                Output::Deliver(Delivery::Request(call)) => {
                    self.asked.push(call.body());
                    let node = &mut self.nodes[at];
                    if call.streams {
                        let sent = node.send(call.call, &self.chunk, false, self.now, &mut out);
                        sent.expect("granted");
                    }
                    node.reply(call.call, Reply::Result(&call.body()), self.now, &mut out);
                    queue.extend(out.drain().map(|output| (at, output)));
                }
                Output::Deliver(Delivery::Answer { call, answer, .. }) => {
                    self.answers.push((call, answer));
                }
                Output::Deliver(Delivery::Chunk { body, .. }) => self.chunks.push(body),
                Output::Close { reason, .. } => panic!("node {at} closes a link: {reason}"),
                Output::Open(_) | Output::Deliver(_) | Output::Event(_) | Output::Mail(_) => {}
            }
        }
    }

    fn cross(&mut self, from: usize, frame: &[u8]) {
        let mut bytes = BytesMut::from(frame);
        let frame = Frame::take(&mut bytes, u32::MAX, 3).expect("legal").expect("whole");
        if matches!(frame.kind(), Kind::Request | Kind::Response | Kind::Error | Kind::Stream) {
            self.crossed.push((from, frame.kind(), frame.compression()));
        }
    }

    /// Calls with a body that shrinks, and gets it back. Returns how it travelled.
    fn call(&mut self, from: usize, service: &str) -> Vec<Crossed> {
        let body = body();
        let call = Call { service, method: "run", body: &body, ..Call::default() };
        self.call_as(from, call)
    }

    fn call_as(&mut self, from: usize, call: Call<'_>) -> Vec<Crossed> {
        self.act(from, |node, now, out| {
            node.call(call, now, out).expect("accepted");
        });
        let (_, answer) = self.answers.pop().expect("one answer");
        assert!(answer == Answer::Result(Bytes::copy_from_slice(call.body)), "the same again");
        assert!(self.asked.pop().as_deref() == Some(call.body), "as it was sent");
        assert!(self.answers.is_empty() && self.asked.is_empty(), "each came once");
        for node in &self.nodes {
            let usage = node.audit().expect("nothing is left over");
            assert_eq!(usage.calls, 0);
        }
        core::mem::take(&mut self.crossed)
    }
}

fn body() -> Vec<u8> {
    b"[1,2,3,\"some text that repeats itself\"],".repeat(100)
}

fn with(compression: Compression) -> impl Fn(&mut Config) {
    move |config| config.compression = Some(compression)
}

fn plain(_: &mut Config) {}

const LZ4: Option<Compression> = Some(Compression::Lz4);
const ZSTD: Option<Compression> = Some(Compression::Zstd);
const REQUEST: Kind = Kind::Request;
const RESPONSE: Kind = Kind::Response;

#[test]
fn bodies_are_compressed_where_the_writer_does_so() {
    for (asks, answers) in [(None, None), (LZ4, None), (None, ZSTD), (ZSTD, LZ4), (LZ4, ZSTD)] {
        let mut net = Net::default();
        let main = net.add(Role::Main, plain);
        let home = net.home(main, "echo", |config| config.compression = answers);
        let from = net.add(Role::Caller, |config| config.compression = asks);
        net.link(from, main);
        let crossed = net.call(from, "echo");
        let expected = [
            (from, REQUEST, asks),
            (main, REQUEST, asks),
            (home, RESPONSE, answers),
            (main, RESPONSE, answers),
        ];
        assert_eq!(crossed, expected);
        let [from, main, home] = [from, main, home].map(|at| {
            let stats = net.nodes[at].stats();
            (stats.bodies_deflated, stats.bodies_inflated)
        });
        let (asks, answers) = (u64::from(asks.is_some()), u64::from(answers.is_some()));
        assert_eq!((from, home), ((asks, answers), (answers, asks)));
        assert_eq!(main, (0, 0), "a Main only passes on");
    }
}

#[test]
fn short_bodies_and_noise_go_plain() {
    let mut net = Net::default();
    let main = net.add(Role::Main, plain);
    net.home(main, "echo", with(Compression::Zstd));
    let from = net.add(Role::Caller, with(Compression::Lz4));
    net.link(from, main);
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..5_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    for body in [&body()[..1_023], &noise, b""] {
        let call = Call { service: "echo", method: "run", body, ..Call::default() };
        assert!(net.call_as(from, call).iter().all(|(_, _, how)| how.is_none()));
    }
    let call = Call { service: "echo", method: "run", body: &body()[..1_024], ..Call::default() };
    assert!(net.call_as(from, call).iter().all(|(_, _, how)| how.is_some()));
}

/// The Home takes only LZ4, or nothing: the caller learns that by a call that nobody notices, and
/// remembers it.
#[test]
fn a_call_that_nobody_takes_compressed_is_sent_again_plain() {
    for mains in [1, 2, 3] {
        let mut net = Net::default();
        let chain: Vec<usize> =
            (0..mains).map(|_| net.add(Role::Main, |config| config.limits.hops_max = 5)).collect();
        for pair in chain.windows(2) {
            net.link(pair[0], pair[1]);
        }
        net.home(chain[mains - 1], "old", |config| config.compressions = 0);
        net.home(chain[mains - 1], "new", plain);
        let from = net.add(Role::Caller, with(Compression::Zstd));
        net.link(from, chain[0]);
        let first = net.call(from, "old");
        let sent: Vec<_> =
            first.iter().filter(|(at, kind, _)| (*at, *kind) == (from, REQUEST)).collect();
        assert_eq!(sent, [&(from, REQUEST, ZSTD), &(from, REQUEST, None)], "{mains} Mains");
        assert_eq!(first.iter().filter(|(_, kind, _)| *kind == Kind::Error).count(), mains);
        let second = net.call(from, "old");
        assert!(second.iter().all(|(_, kind, how)| *kind != Kind::Error && how.is_none()));
        assert_eq!(net.nodes[from].stats().calls_sent_plain, 1);
        // Of other services nothing is believed.
        assert!(net.call(from, "new").contains(&(from, REQUEST, ZSTD)));
        net.now = net.now.after(Duration::from_secs(61));
        assert!(net.call(from, "old").contains(&(from, REQUEST, ZSTD)));
        assert_eq!(net.nodes[from].stats().calls_sent_plain, 2);
    }
}

#[test]
fn an_instance_that_takes_it_is_preferred() {
    let mut net = Net::default();
    let main = net.add(Role::Main, plain);
    let homes = [0, 1, 2].map(|at| {
        net.home(main, "echo", |config| config.compressions = if at == 1 { 1 } else { 0 })
    });
    let from = net.add(Role::Caller, with(Compression::Lz4));
    net.link(from, main);
    for _ in 0..20 {
        assert!(net.call(from, "echo").contains(&(homes[1], RESPONSE, None)));
    }
    // The Main's own calls know what each instance takes before they are compressed.
    let mut net = Net::default();
    let main = net.add(Role::Main, with(Compression::Zstd));
    net.home(main, "old", |config| config.compressions = 0);
    net.home(main, "half", |config| config.compressions = 1);
    net.home(main, "new", plain);
    assert_eq!(net.call(main, "old")[0], (main, REQUEST, None));
    assert_eq!(net.call(main, "half")[0], (main, REQUEST, LZ4), "the other one that it can");
    assert_eq!(net.call(main, "new")[0], (main, REQUEST, ZSTD));
    assert_eq!(net.nodes[main].stats().calls_sent_plain, 0);
}

/// Somebody on the way back takes less than the caller: what he takes is what is used.
#[test]
fn answers_are_as_every_link_on_the_way_back_takes_them() {
    for (taken, expected) in [([3, 3, 3], ZSTD), ([1, 3, 3], LZ4), ([3, 1, 3], LZ4)] {
        for last in [None, Some(0), Some(2)] {
            let mut net = Net::default();
            let chain = taken.map(|taken| {
                net.add(Role::Main, |config| {
                    config.compressions = taken;
                    config.limits.hops_max = 5;
                })
            });
            net.link(chain[0], chain[1]);
            net.link(chain[1], chain[2]);
            net.home(chain[2], "echo", with(Compression::Zstd));
            let from = net.add(Role::Caller, |config| {
                config.compressions = last.unwrap_or(config.compressions);
            });
            net.link(from, chain[0]);
            let crossed = net.call(from, "echo");
            let expected = match last {
                None => expected,
                Some(0) => None,
                Some(_) => expected.filter(|one| Some(*one) == ZSTD),
            };
            let answers = crossed.iter().filter(|(_, kind, _)| *kind == RESPONSE);
            let answers: Vec<_> = answers.map(|(_, _, how)| *how).collect();
            assert_eq!(answers, vec![expected; 4], "{taken:?}, {last:?}");
        }
    }
}

#[test]
fn traced_answers_and_streams_are_compressed_as_well() {
    let mut net = Net { chunk: Bytes::from(body()), ..Net::default() };
    let main = net.add(Role::Main, plain);
    let home = net.home(main, "echo", with(Compression::Zstd));
    let from = net.add(Role::Caller, with(Compression::Lz4));
    net.link(from, main);
    let body = body();
    let call = Call { service: "echo", method: "run", body: &body, ..Call::default() };
    let traced = net.call_as(from, Call { trace: true, ..call });
    assert!(traced.iter().all(|(_, _, how)| how.is_some()) && traced.len() == 4, "{traced:?}");

    // Its handler may answer before it is granted anything, so the grant goes along.
    let call = Call { stream: true, ..call };
    let mut out = Outbox::default();
    let id = net.nodes[from].call(call, net.now, &mut out).expect("accepted");
    net.nodes[from].grant(id, 10_000, net.now, &mut out).expect("few");
    let mut outputs: Vec<Output> = out.drain().collect();
    assert_eq!(outputs.len(), 2, "the request and the credit");
    // The credit is there when the handler looks, if both are read at once.
    let mut input = BytesMut::new();
    let mut wire = None;
    for output in outputs.drain(..) {
        let Output::Transmit { link, frame } = output else { panic!("{output:?}") };
        input.extend_from_slice(&frame);
        wire = Some(link);
    }
    let (to, link) = net.wires[&(from, wire.expect("sent"))];
    net.nodes[to].handle_received(link, &mut input, net.now, &mut out);
    let both: Vec<Output> = out.drain().collect();
    let mut input = BytesMut::new();
    for output in &both {
        let Output::Transmit { frame, .. } = output else { panic!("{output:?}") };
        input.extend_from_slice(frame);
    }
    let Output::Transmit { link, .. } = &both[0] else { panic!("the request") };
    let (to, link) = net.wires[&(main, *link)];
    assert_eq!(to, home);
    net.nodes[home].handle_received(link, &mut input, net.now, &mut out);
    net.settle(home, out);
    let [chunk, end] = &net.chunks[..] else { panic!("{} chunks", net.chunks.len()) };
    assert!(*chunk == body && end.is_empty());
    let chunks: Vec<_> = net.crossed.iter().filter(|(_, kind, _)| *kind == Kind::Stream).collect();
    assert_eq!(chunks.len(), 4, "the chunk and the end, twice each: {chunks:?}");
    assert_eq!(chunks.iter().filter(|(_, _, how)| *how == ZSTD).count(), 2, "{chunks:?}");
    let answer = net.answers.pop().map(|(_, answer)| answer);
    assert!(answer == Some(Answer::Result(body.into())));
}

/// What is kept so that it can be sent again plain counts against the same bound as other retries.
#[test]
fn what_could_not_be_sent_again_is_not_compressed() {
    let mut net = Net::default();
    let main = net.add(Role::Main, plain);
    net.home(main, "old", |config| config.compressions = 0);
    let from = net.add(Role::Caller, |config| {
        config.compression = ZSTD;
        config.limits.retry_bytes_max = 1_000;
    });
    net.link(from, main);
    assert!(net.call(from, "old").iter().all(|(_, _, how)| how.is_none()));
}

#[test]
fn what_inflates_to_more_than_is_taken_says_so() {
    let mut net = Net::default();
    let main = net.add(Role::Main, plain);
    net.home(main, "small", |config| config.limits.inflate_bytes_max = 2_000);
    net.home(main, "echo", with(Compression::Lz4));
    let from = net.add(Role::Caller, with(Compression::Lz4));
    net.link(from, main);
    let small = net.add(Role::Caller, |config| config.limits.inflate_bytes_max = 2_000);
    net.link(small, main);
    let body = body();
    for (at, service, executed) in
        [(from, "small", crate::Executed::No), (small, "echo", crate::Executed::Yes)]
    {
        let call = Call { service, method: "run", body: &body, ..Call::default() };
        net.act(at, |node, now, out| {
            node.call(call, now, out).expect("accepted");
        });
        let Some((_, Answer::Failed(error))) = net.answers.pop() else { panic!("no error") };
        let told = (error.code, error.executed, error.limit);
        assert_eq!(told, (crate::ErrorCode::TooLarge, executed, Some(2_000)), "{error}");
        let text = String::from("the body inflates to more than 2000 bytes");
        assert_eq!(error.message, text);
    }
}
