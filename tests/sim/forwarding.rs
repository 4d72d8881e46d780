//! A Main between a caller and a Home, driven frame by frame: what tests count and benches time.

use crate::machine::{Machine, place_of};
use bytes::BytesMut;
use relay_core::frame::{FrameWriter, HEADER_BYTES, Kind};
use relay_core::message::{RequestEnvelope, ResponseEnvelope, Status, Texts};
use relay_core::{
    Config, Identity, Instant, LinkId, Mail, Node, NodeId, Outbox, Output, Role, Side,
};
use std::collections::VecDeque;
use std::time::Duration;

mod publishing;
mod streams;

pub use publishing::Publishing;
pub use streams::Streaming;

/// A shard of a Main with two authenticated links and a service behind one of them.
pub struct Forwarding {
    machine: Machine,
    caller: LinkId,
    home: LinkId,
    out: Outbox,
    /// What a driver reads into; memory comes back when the frames in it are gone.
    space: BytesMut,
    request: Vec<u8>,
    response: Vec<u8>,
    /// Labels of the requests at the Home.
    labels: Vec<[u8; 8]>,
    round: u64,
    now: Instant,
}

impl Forwarding {
    /// Calls with bodies of `body_bytes`, in a registry of `services` services.
    ///
    /// # Panics
    /// When the handshake does not end as it must.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture that cannot be set up ends the run")]
    pub fn new(body_bytes: usize, services: u32) -> Self {
        let mut main = [Machine::First(Box::new(node(Role::Main, "main", 1)))];
        let mut now = Instant::ZERO;
        for n in 1..services.div_ceil(SERVICES_PER_HOME) {
            let _ = link(&mut main, 0, home(n, SERVICES_PER_HOME), &mut now);
        }
        let home = link(&mut main, 0, home(0, services), &mut now);
        let caller = caller(&mut main, 0, &mut now);
        let [machine] = main;
        let made = Self::over(machine, (home, caller), body_bytes, "service-0-0", now);
        let mut made = made.expect("a legal name");
        assert!(made.calls(1) > body_bytes, "a call must come through before any is counted");
        made
    }

    /// Two shards of one Main, each with links of its own.
    ///
    /// # Panics
    /// When the handshake does not end as it must.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture that cannot be set up ends the run")]
    pub fn two_shards(body_bytes: usize) -> [Self; 2] {
        let identity = Identity::new(&[1; 32], NodeId::new("main").ok()).expect("legal");
        let (first, mut others) = Node::with_shards(Config::new(Role::Main), identity, [1; 32], 2);
        let second = others.pop().expect("there are two");
        let mut main = [Machine::First(Box::new(first)), Machine::Other(Box::new(second))];
        let mut now = Instant::ZERO;
        let links = [0, 1].map(|at: usize| {
            let home = link(&mut main, at, home(at as u32, 1), &mut now);
            (home, caller(&mut main, at, &mut now))
        });
        let mut number = 0;
        let mut links = links.into_iter();
        main.map(|machine| {
            let links = links.next().expect("one for each shard");
            let service = format!("service-{number}-0");
            number += 1;
            Self::over(machine, links, body_bytes, &service, now).expect("a legal name")
        })
    }

    fn over(
        machine: Machine,
        (home, caller): (LinkId, LinkId),
        body_bytes: usize,
        service: &str,
        now: Instant,
    ) -> Result<Self, postcard::Error> {
        let body = vec![b'x'; body_bytes];
        let envelope = postcard::to_allocvec(&RequestEnvelope {
            node: "",
            service,
            method: "run",
            deadline_ms: 60_000,
            options: 0,
            ttl: 10,
            content: 0,
            headers: Texts::default(),
            path: Texts::default(),
            reads: 0,
        })?;
        let request = frame(Kind::Request, &envelope, &body);
        let envelope = ResponseEnvelope { status: Status::Result, content: 0 };
        let response = frame(Kind::Response, &postcard::to_allocvec(&envelope)?, &body);
        Ok(Self {
            machine,
            caller,
            home,
            out: Outbox::with_capacity(64),
            space: BytesMut::new(),
            request,
            response,
            labels: Vec::new(),
            round: 0,
            now,
        })
    }

    /// Puts `count` requests where a driver reads them, as one read would.
    pub fn load_requests(&mut self, count: u32) {
        self.round += 1;
        for slot in 0..u64::from(count) {
            let label = self.round << 32 | slot;
            self.request[6..HEADER_BYTES].copy_from_slice(&label.to_be_bytes());
            self.space.reserve(self.request.len());
            self.space.extend_from_slice(&self.request);
        }
    }

    /// Forwards what was loaded to the Home. This is what is counted and timed.
    #[inline(never)]
    pub fn forward_requests(&mut self) {
        self.machine.handle_received(self.caller, &mut self.space, self.now, &mut self.out);
    }

    /// Takes the forwarded requests away and loads an answer to each.
    pub fn load_answers(&mut self) {
        self.labels.clear();
        for output in self.out.drain() {
            if let Output::Transmit { link, frame } = output {
                let mut label = [0; 8];
                label.copy_from_slice(&frame[6..HEADER_BYTES]);
                self.labels.push(label);
                self.machine.handle_flushed(link, frame.len() as u32);
            }
        }
        for label in &self.labels {
            self.response[6..HEADER_BYTES].copy_from_slice(label);
            self.space.reserve(self.response.len());
            self.space.extend_from_slice(&self.response);
        }
    }

    /// Forwards what was loaded to the caller. This is what is counted and timed.
    #[inline(never)]
    pub fn forward_answers(&mut self) {
        self.machine.handle_received(self.home, &mut self.space, self.now, &mut self.out);
    }

    /// Takes the forwarded answers away and tells how many bytes they were.
    pub fn unload(&mut self) -> usize {
        let mut bytes = 0;
        for output in self.out.drain() {
            if let Output::Transmit { link, frame } = output {
                bytes += frame.len();
                self.machine.handle_flushed(link, frame.len() as u32);
            }
        }
        bytes
    }

    /// `count` whole calls, requests and answers. Returns the bytes of the answers.
    #[inline]
    pub fn calls(&mut self, count: u32) -> usize {
        self.load_requests(count);
        self.forward_requests();
        self.load_answers();
        self.forward_answers();
        self.unload()
    }
}

fn node(role: Role, name: &str, key: u32) -> Node {
    let secret = secret(key);
    Node::new(Config::new(role), identity(name, key), secret)
}

#[expect(clippy::expect_used, reason = "the names of this file are legal")]
fn identity(name: &str, key: u32) -> Identity {
    Identity::new(&secret(key), NodeId::new(name).ok()).expect("legal")
}

fn secret(key: u32) -> [u8; 32] {
    let mut secret = [7; 32];
    secret[..4].copy_from_slice(&key.to_be_bytes());
    secret
}

#[expect(clippy::expect_used, reason = "the names of this file are legal")]
fn home(number: u32, services: u32) -> Node {
    let mut home = node(Role::Home, &format!("home-{number}"), 100 + number);
    let mut out = Outbox::default();
    for n in 0..services.min(SERVICES_PER_HOME) {
        let name = format!("service-{number}-{n}");
        home.register(&name, &["run"], Instant::ZERO, &mut out).expect("legal");
    }
    home
}

fn caller(main: &mut [Machine], at: usize, now: &mut Instant) -> LinkId {
    link(main, at, node(Role::Caller, "caller", 2), now)
}

/// Links `peer` to one machine of a Main and lets all of them say what they have to say.
#[expect(clippy::expect_used, reason = "a fixture that cannot be set up ends the run")]
fn link(main: &mut [Machine], at: usize, mut peer: Node, clock: &mut Instant) -> LinkId {
    let (mut out, now) = (Outbox::default(), *clock);
    let dial = peer.dial("main", now, &mut out);
    let dialled = peer.open_link(Side::Dialled(dial), now, &mut out).expect("room");
    let (mut to_main, mut to_peer) = (BytesMut::new(), BytesMut::new());
    carry(&mut out, &mut to_main);
    let accepted = main[at].open_link(Side::Accepted, now, &mut out).expect("room");
    while !(to_main.is_empty() && to_peer.is_empty()) {
        main[at].handle_received(accepted, &mut to_main, now, &mut out);
        let mut mails = carry(&mut out, &mut to_peer);
        while let Some(mail) = mails.pop_front() {
            main[place_of(&mail)].handle_mail(mail, now, &mut out);
            mails.extend(carry(&mut out, &mut to_peer));
        }
        peer.handle_received(dialled, &mut to_peer, now, &mut out);
        carry(&mut out, &mut to_main);
    }
    // Route tables are published once in a while; let that while pass.
    *clock = now.after(PUBLISH_TIME);
    main[0].handle_timeout(*clock, &mut out);
    for mail in carry(&mut out, &mut to_peer) {
        main[place_of(&mail)].handle_mail(mail, *clock, &mut out);
    }
    accepted
}

/// Puts bytes on the wire and returns the mail.
fn carry(out: &mut Outbox, wire: &mut BytesMut) -> VecDeque<Mail> {
    let mut mails = VecDeque::new();
    for output in out.drain() {
        match output {
            Output::Transmit { frame, .. } => wire.extend_from_slice(&frame),
            Output::Mail(mail) => mails.push_back(mail),
            _ => {}
        }
    }
    mails
}

fn frame(kind: Kind, envelope: &[u8], body: &[u8]) -> Vec<u8> {
    let ttl = if kind == Kind::Request { 10 } else { 0 };
    let write = |out: &mut BytesMut| out.extend_from_slice(envelope);
    FrameWriter::default().write(kind, 0, ttl, write, body).freeze().to_vec()
}

/// Longer than the shortest time between two route tables.
const PUBLISH_TIME: Duration = Duration::from_millis(20);
/// As many as one Home may register.
const SERVICES_PER_HOME: u32 = 64;
