//! One node as a pure state machine with one link, for what must hold of every byte: no socket, no
//! clock, and everything the node wants to do written down.

use crate::attacker::frame;
use crate::messages::{CHALLENGE, Hello, proof};
use bytes::BytesMut;
use ed25519_dalek::SigningKey;
use relay_core::frame::{Frame, Kind as FrameKind};
use relay_core::handshake::{Acceptor, Grant};
use relay_core::{
    CloseReason, Config, Delivery, Identity, Instant, Limits, LinkId, Node, Outbox, Output, Role,
    Side,
};

/// How far a link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Nothing was received.
    First,
    /// The first message of the peer was right.
    Handshake,
    /// The handshake is done.
    Open,
}

impl Stage {
    pub(crate) const ALL: [Self; 3] = [Self::First, Self::Handshake, Self::Open];
}

/// A node, its link, and the peer's half of the handshake.
pub(crate) struct Machine {
    node: Node,
    link: LinkId,
    out: Outbox,
    input: BytesMut,
    /// What the peer says first.
    pub(crate) opening: Vec<u8>,
    /// The last bytes the node sent in the handshake.
    heard: Vec<u8>,
}

impl Machine {
    /// A Main with the service `echo`, to which a peer of this role has dialled.
    pub(crate) fn accepting(peer: Role, stage: Stage) -> Self {
        Self::accepting_with(peer, stage, |_| {})
    }

    /// The same with other limits.
    pub(crate) fn accepting_with(
        peer: Role,
        stage: Stage,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let mut machine = Self::new(Role::Main, None, change);
        let key = SigningKey::from_bytes(&[7; 32]);
        let hello = Hello { unix_seconds: NOW, ..Hello::honest(&key, peer, "peer") };
        machine.opening = hello.encode();
        if stage != Stage::First {
            let opening = machine.opening.clone();
            machine.handshake(&opening);
        }
        if stage == Stage::Open {
            let proof = proof(&key, &machine.opening, &machine.heard);
            machine.handshake(&proof);
        }
        machine
    }

    /// A node of this role with the service `echo`, which has dialled a Main.
    pub(crate) fn dialling(role: Role, stage: Stage) -> Self {
        let mut machine = Self::new(role, Some("main"), |_| {});
        let (main, identity) =
            (Config::new(Role::Main), Identity::new(&[9; 32], None).expect("a key"));
        let mut acceptor = Acceptor::new([3; 32]);
        let challenge = acceptor.handle_request(&machine.heard, &main, &identity, NOW);
        machine.opening = challenge.expect("an honest request");
        assert_eq!(machine.opening[0], CHALLENGE);
        if stage != Stage::First {
            let opening = machine.opening.clone();
            machine.handshake(&opening);
        }
        if stage == Stage::Open {
            let grant = Grant { session: [1; 16], epoch: 1 };
            let granted = acceptor.handle_proof(&machine.heard, &identity, grant);
            machine.handshake(&granted.expect("an honest proof").1);
        }
        machine
    }

    fn new(role: Role, dial: Option<&str>, change: impl FnOnce(&mut Limits)) -> Self {
        let identity = Identity::new(&[1; 32], None).expect("a key");
        let mut config = Config::new(role);
        change(&mut config.limits);
        let mut node = Node::new(config, identity, [2; 32]);
        let (mut out, now) = (Outbox::default(), Instant::ZERO);
        node.set_wall_clock(NOW, now);
        node.register("echo", &["echo"], now, &mut out).expect("a legal name");
        let side = match dial {
            None => Side::Accepted,
            Some(address) => Side::Dialled(node.dial(address, now, &mut out)),
        };
        let link = node.open_link(side, now, &mut out).expect("room");
        let mut machine =
            Self { node, link, out, input: BytesMut::new(), opening: vec![], heard: vec![] };
        machine.settle();
        machine
    }

    /// Takes bytes and returns what the node wants to do, in order.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<Output> {
        self.input.extend_from_slice(bytes);
        self.node.handle_received(self.link, &mut self.input, Instant::ZERO, &mut self.out);
        self.out.drain().collect()
    }

    /// Lets the application of the node do something and returns what the node wants to do then.
    pub(crate) fn act<T>(
        &mut self,
        act: impl FnOnce(&mut Node, LinkId, &mut Outbox) -> T,
    ) -> (T, Vec<Output>) {
        let done = act(&mut self.node, self.link, &mut self.out);
        (done, self.out.drain().collect())
    }

    /// The connection ends.
    pub(crate) fn end(&mut self) -> Vec<Output> {
        self.node.handle_closed(self.link, "ended", Instant::ZERO, &mut self.out);
        self.out.drain().collect()
    }

    pub(crate) const fn node(&self) -> &Node {
        &self.node
    }

    fn handshake(&mut self, payload: &[u8]) {
        let bytes = frame(FrameKind::Handshake, 0, payload);
        self.input.extend_from_slice(&bytes);
        self.node.handle_received(self.link, &mut self.input, Instant::ZERO, &mut self.out);
        self.settle();
    }

    /// Remembers the last frame sent, and nothing else of what the node did.
    fn settle(&mut self) {
        for output in self.out.drain() {
            if let Output::Transmit { frame, .. } = output {
                let mut bytes = BytesMut::from(&frame[..]);
                let frame =
                    Frame::take(&mut bytes, u32::MAX >> 1, u8::MAX).expect("legal").expect("whole");
                self.heard = frame.payload().to_vec();
            }
        }
    }
}

/// Why the node closes the link, if it does.
pub(crate) fn closed(outputs: &[Output]) -> Option<CloseReason> {
    outputs.iter().find_map(|output| match output {
        Output::Close { reason, .. } => Some(*reason),
        _ => None,
    })
}

/// Whether anything reaches the peer or the application.
pub(crate) fn acts(outputs: &[Output]) -> bool {
    let acts = |output: &Output| {
        let answered = matches!(output, Output::Transmit { .. });
        answered || matches!(output, Output::Deliver(Delivery::Request(_)))
    };
    outputs.iter().any(acts)
}

/// The wall clock of every machine.
const NOW: u64 = 1_800_000_000;
