//! A Main between a caller and a Home, driven frame by frame: what tests count and benches time.

use bytes::{Bytes, BytesMut};
use relay_core::frame::{FrameWriter, HEADER_BYTES, Kind};
use relay_core::message::{RequestEnvelope, ResponseEnvelope, Status, Texts};
use relay_core::{Config, Identity, Instant, LinkId, Node, NodeId, Outbox, Output, Role, Side};

/// A Main with two authenticated links and a registered service.
pub struct Forwarding {
    main: Node,
    caller: LinkId,
    home: LinkId,
    out: Outbox,
    /// What a driver reads into; memory comes back when the frames in it are gone.
    space: BytesMut,
    request: Vec<u8>,
    response: Vec<u8>,
    next_label: u64,
    now: Instant,
}

impl Forwarding {
    /// Calls to `service-0` of `services` registered ones, with bodies of `body_bytes`.
    ///
    /// # Panics
    /// When the handshake does not end as it must.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture that cannot be set up ends the run")]
    pub fn new(body_bytes: usize, services: u32) -> Self {
        let now = Instant::ZERO;
        let mut main = node(Role::Main, "main", 1);
        let mut home = node(Role::Home, "home", 2);
        let mut out = Outbox::with_capacity(64);
        for n in 0..services.min(64) {
            let name = format!("service-{n}");
            home.register(&name, &["run"], now, &mut out).expect("legal");
        }
        let home = link(&mut main, home, now);
        let caller = link(&mut main, node(Role::Caller, "caller", 3), now);
        let body = vec![b'x'; body_bytes];
        let envelope = RequestEnvelope {
            node: "",
            service: "service-0",
            method: "run",
            deadline_ms: 60_000,
            options: 0,
            ttl: 10,
            content: 0,
            headers: Texts::default(),
        };
        let envelope = postcard::to_allocvec(&envelope).expect("it can be written");
        let request = frame(Kind::Request, &envelope, &body);
        let envelope = ResponseEnvelope { status: Status::Result, content: 0 };
        let envelope = postcard::to_allocvec(&envelope).expect("it can be written");
        let response = frame(Kind::Response, &envelope, &body);
        let space = BytesMut::new();
        Self { main, caller, home, out, space, request, response, next_label: 1 << 32, now }
    }

    /// One request in from the caller, one out to the Home. Returns the label it left with.
    #[inline]
    pub fn request(&mut self) -> u64 {
        self.request[6..HEADER_BYTES].copy_from_slice(&self.next_label.to_be_bytes());
        self.next_label += 1 << 32;
        self.space.reserve(self.request.len());
        self.space.extend_from_slice(&self.request);
        self.main.handle_received(self.caller, &mut self.space, self.now, &mut self.out);
        let frame = self.sent();
        let mut label = [0; 8];
        label.copy_from_slice(&frame[6..HEADER_BYTES]);
        u64::from_be_bytes(label)
    }

    /// The answer in from the Home, and out to the caller. Returns the bytes that left.
    #[inline]
    pub fn answer(&mut self, label: u64) -> usize {
        self.response[6..HEADER_BYTES].copy_from_slice(&label.to_be_bytes());
        self.space.reserve(self.response.len());
        self.space.extend_from_slice(&self.response);
        self.main.handle_received(self.home, &mut self.space, self.now, &mut self.out);
        self.sent().len()
    }

    /// A whole call: request and answer.
    #[inline]
    pub fn call(&mut self) -> usize {
        let label = self.request();
        self.answer(label)
    }

    /// The one frame in the outbox.
    fn sent(&mut self) -> Bytes {
        let mut sent = None;
        for output in self.out.drain() {
            if let Output::Transmit { link, frame } = output {
                sent = Some((link, frame));
            }
        }
        let Some((link, frame)) = sent else { return Bytes::new() };
        self.main.handle_flushed(link, frame.len() as u32);
        frame
    }
}

fn node(role: Role, name: &str, key: u8) -> Node {
    let identity = Identity::new(&[key; 32], NodeId::new(name).ok());
    #[expect(clippy::expect_used, reason = "the names of this file are legal")]
    let identity = identity.expect("legal");
    Node::new(Config::new(role), identity, [key; 32])
}

/// Links `peer` to `main` and lets both say what they have to say.
#[expect(clippy::expect_used, reason = "a fixture that cannot be set up ends the run")]
fn link(main: &mut Node, mut peer: Node, now: Instant) -> LinkId {
    let mut out = Outbox::default();
    let dial = peer.dial("main", now, &mut out);
    let dialled = peer.open_link(Side::Dialled(dial), now, &mut out).expect("room");
    let (mut to_main, mut to_peer) = (BytesMut::new(), BytesMut::new());
    carry(&mut out, &mut to_main);
    let accepted = main.open_link(Side::Accepted, now, &mut out).expect("room");
    while !(to_main.is_empty() && to_peer.is_empty()) {
        main.handle_received(accepted, &mut to_main, now, &mut out);
        carry(&mut out, &mut to_peer);
        peer.handle_received(dialled, &mut to_peer, now, &mut out);
        carry(&mut out, &mut to_main);
    }
    accepted
}

fn carry(out: &mut Outbox, wire: &mut BytesMut) {
    for output in out.drain() {
        if let Output::Transmit { frame, .. } = output {
            wire.extend_from_slice(&frame);
        }
    }
}

fn frame(kind: Kind, envelope: &[u8], body: &[u8]) -> Vec<u8> {
    let ttl = if kind == Kind::Request { 10 } else { 0 };
    let write = |out: &mut BytesMut| out.extend_from_slice(envelope);
    FrameWriter::default().write(kind, 0, ttl, write, body).freeze().to_vec()
}
