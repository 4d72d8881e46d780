//! A request that was damaged before a Main passed it on is not the fault of the link it came over.

use bytes::BytesMut;
use relay_core::{
    Answer, Call, Config, Delivery, ErrorCode, Executed, Identity, Instant, LinkId, Node, NodeId,
    Outbox, Output, Role, Side,
};
use std::time::Duration;

/// A Main, a Home with the service `blog`, a caller. Two wires, each with the bytes to both ends:
/// `wires[0]` between Main and Home, `wires[1]` between Main and caller.
struct Three {
    nodes: [Node; 3],
    links: [[LinkId; 2]; 2],
    wires: [[BytesMut; 2]; 2],
    answers: Vec<Answer>,
}

const MAIN: usize = 0;
const HOME: usize = 1;
const CALLER: usize = 2;
const NOW: Instant = Instant::ZERO;

impl Three {
    fn new() -> Self {
        let node = |role, name: &str, key: u8| {
            let identity = Identity::new(&[key; 32], NodeId::new(name).ok()).expect("legal");
            Node::new(Config::new(role), identity, [key; 32])
        };
        let roles = [(Role::Main, "main", 1), (Role::Home, "home", 2), (Role::Caller, "caller", 3)];
        let mut nodes = roles.map(|(role, name, key)| node(role, name, key));
        let mut out = Outbox::default();
        nodes[HOME].register("blog", &["get"], NOW, &mut out).expect("legal");
        let mut first = Vec::new();
        let links = [HOME, CALLER].map(|at| {
            let dial = nodes[at].dial("main", NOW, &mut out);
            out.drain().for_each(drop);
            let accepted = nodes[MAIN].open_link(Side::Accepted, NOW, &mut out).expect("room");
            let dialled = nodes[at].open_link(Side::Dialled(dial), NOW, &mut out).expect("room");
            first.extend(out.drain());
            [accepted, dialled]
        });
        let mut three = Self { nodes, links, wires: Default::default(), answers: Vec::new() };
        for (at, output) in [HOME, CALLER].into_iter().zip(first) {
            three.carry(at, output);
        }
        three.settle();
        three
    }

    fn carry(&mut self, from: usize, output: Output) {
        match output {
            Output::Transmit { link, frame } => {
                let to_dialler = usize::from(from == MAIN);
                let ours = |wire: &usize| self.links[*wire][1 - to_dialler] == link;
                let wire = (0..2).find(|wire| (from == MAIN || *wire + 1 == from) && ours(wire));
                let wire = wire.expect("a wire of this node");
                self.wires[wire][to_dialler].extend_from_slice(&frame);
            }
            Output::Deliver(Delivery::Answer { answer, .. }) => self.answers.push(answer),
            Output::Close { .. } => panic!("node {from} closed a link"),
            _ => {}
        }
    }

    /// Gives a node what is on its way to it over one wire.
    fn arrive(&mut self, wire: usize, end: usize) {
        let at = if end == 0 { MAIN } else { wire + 1 };
        let mut out = Outbox::default();
        let link = self.links[wire][end];
        self.nodes[at].handle_received(link, &mut self.wires[wire][end], NOW, &mut out);
        let outputs: Vec<Output> = out.drain().collect();
        outputs.into_iter().for_each(|output| self.carry(at, output));
    }

    fn settle(&mut self) {
        let ends = [(0, 0), (0, 1), (1, 0), (1, 1)];
        while let Some((wire, end)) = ends.into_iter().find(|(w, e)| !self.wires[*w][*e].is_empty())
        {
            self.arrive(wire, end);
        }
    }
}

#[test]
fn a_damaged_request_of_a_caller_does_not_cost_a_home_its_link() {
    let mut three = Three::new();
    let mut out = Outbox::default();
    let deadline = Duration::from_secs(5);
    let (node, service, method, body) = ("", "blog", "get", b"body".as_slice());
    let call = Call { node, service, method, body, deadline, ..Call::default() };
    three.nodes[CALLER].call(call, NOW, &mut out).expect("accepted");
    let outputs: Vec<Output> = out.drain().collect();
    outputs.into_iter().for_each(|output| three.carry(CALLER, output));
    // A bit of the body, which no relay reads.
    let at = three.wires[1][0].len() - 5;
    three.wires[1][0][at] ^= 1;
    three.arrive(1, 0);
    assert!(!three.wires[0][1].is_empty(), "the Main passed it on");
    // The Home begins to leave, so it refuses what it would otherwise run.
    three.nodes[HOME].drain(NOW, &mut out);
    out.drain().for_each(drop);
    three.arrive(0, 1);
    three.settle();
    let [Answer::Failed(error)] = &three.answers[..] else { panic!("{:?}", three.answers) };
    assert_eq!((error.code, error.executed), (ErrorCode::BadChecksum, Executed::Unknown));
    assert!(
        three.nodes[HOME].control().is_connected() && three.nodes[CALLER].control().is_connected()
    );
    three.nodes.iter().for_each(|node| assert_eq!(node.calls_in_flight(), 0));
}
