//! Whole nodes write the same bytes as the encoders: what the vectors say is what is sent.

use bytes::BytesMut;
use relay_core::frame::{Frame, Kind};
use relay_core::handshake::Dialler;
use relay_core::message::{ControlMessage, Record, Texts, records};
use relay_core::{
    Call, Config, Delivery, ErrorCode, Executed, Identity, Instant, LinkId, Node, Outbox, Output,
    Reply, Side,
};
use std::time::Duration;

use crate::ours::{self, DIAL_NONCE, EPOCH, Packed, UNIX_SECONDS, envelope, frame};
use crate::vectors::{Vectors, hex};

/// The payload with which a Main whose clock is 412 s ahead refuses the request of the vectors.
pub(crate) fn refusal() -> Vec<u8> {
    let mut main = Wire::main();
    main.node.set_wall_clock(UNIX_SECONDS + 412, Instant::ZERO);
    let (config, identity) = ours::home(None);
    let (_, request) = Dialler::new(&config, &identity, DIAL_NONCE, UNIX_SECONDS);
    let sent = main.receive(&frame(Kind::Handshake, 0, 0, &request));
    let [refusal] = &sent[..] else { panic!("one frame, not {}", sent.len()) };
    assert_eq!(main.closed, 1, "the link closes after the refusal");
    refusal[14..refusal.len() - 4].to_vec()
}

/// The payload with which a Main that has no time for a second handshake puts it off.
pub(crate) fn pacing() -> Vec<u8> {
    let (mut config, identity) = ours::main_node();
    config.limits.handshakes_per_second = 2;
    let mut main = Wire::new(Node::new(config, identity, [9; 32]));
    let (config, identity) = ours::home(None);
    let (_, request) = Dialler::new(&config, &identity, DIAL_NONCE, UNIX_SECONDS);
    let request = frame(Kind::Handshake, 0, 0, &request);
    assert_eq!(main.receive(&request).len(), 1);
    main.connect();
    let sent = main.receive(&request);
    let [later] = &sent[..] else { panic!("one frame, not {}", sent.len()) };
    assert_eq!(main.closed, 1, "the link closes after it");
    later[14..later.len() - 4].to_vec()
}

/// A Main with one link whose other end is the test.
struct Wire {
    node: Node,
    link: LinkId,
    now: Instant,
    closed: u32,
    delivered: Vec<Delivery>,
}

impl Wire {
    fn main() -> Self {
        let (config, identity) = ours::main_node();
        Self::new(Node::new(config, identity, [9; 32]))
    }

    fn new(mut node: Node) -> Self {
        node.set_wall_clock(UNIX_SECONDS, Instant::ZERO);
        let mut out = Outbox::default();
        let link = node.open_link(Side::Accepted, Instant::ZERO, &mut out).expect("room");
        Self { node, link, now: Instant::ZERO, closed: 0, delivered: Vec::new() }
    }

    /// One more link, over which everything goes from now on.
    fn connect(&mut self) {
        let mut out = Outbox::default();
        self.link = self.node.open_link(Side::Accepted, self.now, &mut out).expect("room");
    }

    /// A Main whose peer, the Home "alice" of the vectors, has authenticated.
    fn open() -> Self {
        Self::authenticated(Self::main())
    }

    fn authenticated(mut wire: Self) -> Self {
        let (config, identity) = ours::home(None);
        wire.shake_hands(&config, &identity);
        wire
    }

    /// The other end authenticates. Returns what the Main says next.
    fn shake_hands(&mut self, config: &Config, identity: &Identity) -> Vec<Vec<u8>> {
        let (mut dialler, request) = Dialler::new(config, identity, DIAL_NONCE, UNIX_SECONDS);
        let challenge = self.receive(&frame(Kind::Handshake, 0, 0, &request)).remove(0);
        let challenge = &challenge[14..challenge.len() - 4];
        let proof = dialler.handle_challenge(challenge, config, identity).expect("legal");
        let mut sent = self.receive(&frame(Kind::Handshake, 0, 0, &proof));
        let accepted = sent.remove(0);
        dialler.handle_response(&accepted[14..accepted.len() - 4]).expect("accepted");
        sent
    }

    fn receive(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut input = BytesMut::from(bytes);
        self.act(|node, link, now, out| node.handle_received(link, &mut input, now, out))
    }

    /// Runs one step and returns the frames that were sent.
    fn act(&mut self, step: impl FnOnce(&mut Node, LinkId, Instant, &mut Outbox)) -> Vec<Vec<u8>> {
        let mut out = Outbox::default();
        step(&mut self.node, self.link, self.now, &mut out);
        let mut sent = Vec::new();
        for output in out.drain() {
            match output {
                Output::Transmit { frame, .. } => sent.push(frame.to_vec()),
                Output::Close { .. } => self.closed += 1,
                Output::Deliver(delivery) => self.delivered.push(delivery),
                _ => {}
            }
        }
        sent
    }
}

#[test]
fn a_main_answers_a_registration_and_a_ping() {
    let (vectors, mut wire) = (Vectors::load(), Wire::open());
    let sent = wire.receive(vectors.get("control/register"));
    assert_eq!(sent, [vectors.get("control/registered")]);
    assert_eq!(wire.receive(vectors.get("ping")), [vectors.get("pong")]);
    assert!(wire.receive(vectors.get("control/refresh")).is_empty());
    assert!(wire.receive(vectors.get("extension")).is_empty());
    assert!(wire.receive(vectors.get("control/withdraw")).is_empty());
    assert_eq!((wire.closed, wire.node.control().registry().iter().count()), (0, 0));
}

/// Both say first what they know of each other; then the Main announces, confirms, and announces
/// again when it is asked to.
#[test]
fn a_main_announces_what_the_vectors_say() {
    let (mut config, identity) = ours::main_node();
    config.limits.health_interval = Duration::from_secs(2);
    let wire = Wire::new(Node::new(config, identity, [9; 32]));
    let (vectors, mut wire) = (Vectors::load(), Wire::authenticated(wire));
    // Changes wait for a moment after the last ones were announced, or after the start.
    wire.now = wire.now.after(Duration::from_secs(1));
    assert!(wire.receive(vectors.get("control/labels")).is_empty());
    wire.receive(vectors.get("control/register"));
    let (config, identity) = ours::other_main();
    wire.connect();
    let hello = |epoch_seen| {
        let hello = ControlMessage::Hello { epoch_seen };
        frame(Kind::Control, 0, 0, &envelope(&hello, b""))
    };
    assert_eq!(wire.shake_hands(&config, &identity), [hello(0)]);
    // The peer knows a life of this Main that is ahead of its clock.
    assert_eq!(wire.receive(&hello(EPOCH - 1)), [vectors.get("control/announce")]);
    assert_eq!(hello(EPOCH - 1), vectors.get("control/hello"));
    wire.now = wire.now.after(Duration::from_secs(2));
    let mut sent = wire.act(|node, _, now, out| node.handle_timeout(now, out));
    sent.retain(|bytes| bytes[4] == Kind::Control as u8);
    assert_eq!(sent, [vectors.get("control/digest")]);
    let again = wire.receive(vectors.get("control/resync"));
    let [again] = &again[..] else { panic!("one page, not {}", again.len()) };
    assert_eq!(again.len(), vectors.get("control/announce").len(), "all but the lease is the same");
    let sent = wire.act(|node, _, now, out| node.leave(now, out));
    assert_eq!(sent, [vectors.get("control/leaving"), vectors.get("control/leaving")]);
    assert_eq!(wire.closed, 0);
}

/// Were it believed, there would be no life after this one that anybody listens to.
#[test]
fn a_life_far_ahead_of_every_clock_is_not_believed() {
    for epoch_seen in [u64::MAX, u64::MAX - 1, 1 << 60] {
        let mut wire = Wire::open();
        wire.now = wire.now.after(Duration::from_secs(1));
        wire.receive(Vectors::load().get("control/register"));
        let (config, identity) = ours::other_main();
        wire.connect();
        wire.shake_hands(&config, &identity);
        let hello = envelope(&ControlMessage::Hello { epoch_seen }, b"");
        let announced = wire.receive(&frame(Kind::Control, 0, 0, &hello)).remove(0);
        let message = ControlMessage::decode(&announced[14..announced.len() - 4]).expect("legal");
        let ControlMessage::Announce { page } = message else { panic!("{message:?}") };
        let Some(Record::Up { epoch, .. }) = records(page).next() else { panic!("nothing is up") };
        assert_eq!(epoch >> 20, UNIX_SECONDS, "{epoch_seen:#x}");
    }
}

/// A Home refreshes a short lease more often than Mains confirm anything to each other, so what is
/// announced has to stand until the digest after the next.
#[test]
fn a_short_lease_is_announced_for_two_digests() {
    let mut wire = Wire::open();
    wire.now = wire.now.after(Duration::from_secs(1));
    let register =
        ControlMessage::Register { service: "blog", methods: Texts::default(), ttl_ms: 5_000 };
    wire.receive(&frame(Kind::Control, 0, 0, &envelope(&register, b"")));
    let (config, identity) = ours::other_main();
    wire.connect();
    let hello = wire.shake_hands(&config, &identity).remove(0);
    let announced = wire.receive(&hello).remove(0);
    let message = ControlMessage::decode(&announced[14..announced.len() - 4]).expect("legal");
    let ControlMessage::Announce { page } = message else { panic!("{message:?}") };
    let Some(Record::Up { ttl_ms, .. }) = records(page).next() else { panic!("nothing is up") };
    assert_eq!(ttl_ms, 60_000, "the health interval is 30 s");
}

#[test]
fn a_main_sends_the_request_of_the_vectors() {
    let (vectors, mut wire) = (Vectors::load(), Wire::open());
    wire.receive(vectors.get("control/register"));
    let sent = wire.act(|node, _, now, out| {
        let (service, method, deadline) = ("blog", "get_posts", Duration::from_secs(60));
        let call = Call { service, method, body: b"[]", deadline, ..Call::default() };
        node.call(call, now, out).expect("accepted");
    });
    assert_eq!(sent, [vectors.get("request/short")]);
    let mut answer =
        Frame::take(&mut BytesMut::from(vectors.get("response/result")), 1 << 20, u8::MAX)
            .expect("legal")
            .expect("whole");
    answer.set_id(1 << 32);
    wire.receive(&answer.freeze());
    let [Delivery::Answer { answer: relay_core::Answer::Result(body), .. }] = &wire.delivered[..]
    else {
        panic!("one result, not {:?}", wire.delivered)
    };
    assert_eq!(&body[..], b"[1,2]");
}

#[test]
fn a_main_serves_the_request_of_the_vectors() {
    let vectors = Vectors::load();
    for (reply, name) in [
        (Reply::Result(b"[1,2]"), "response/result"),
        (
            Reply::ApplicationError(br#"{"code":7,"message":"no such post"}"#),
            "response/application_error",
        ),
        (
            Reply::Failed {
                code: ErrorCode::LinkLost,
                executed: Executed::Unknown,
                message: "the link to alice ended",
            },
            "error/unsafe",
        ),
    ] {
        let mut wire = Wire::open();
        wire.act(|node, _, now, out| node.register("blog", &["get_posts"], now, out).expect("new"));
        let packed = Packed::new();
        let any = ours::requests(&packed).remove(1);
        let request = relay_core::message::RequestEnvelope { node: "", ..any.3 };
        let request = frame(Kind::Request, any.1, 10, &envelope(&request, any.4));
        assert!(wire.receive(&request).is_empty());
        let Some(Delivery::Request(call)) = wire.delivered.pop() else { panic!("no request") };
        assert_eq!((call.idempotent, &call.body()[..]), (true, &br#"{"limit":2}"#[..]));
        let sent = wire.act(|node, _, now, out| {
            assert!(node.reply(call.call, reply, now, out));
        });
        let [sent] = &sent[..] else { panic!("one frame for {name}, not {}", sent.len()) };
        assert_eq!(hex(sent), hex(vectors.get(name)), "{name}");
    }
}

#[test]
fn an_unknown_service_is_answered_with_the_error_of_the_vectors() {
    let (vectors, mut wire) = (Vectors::load(), Wire::open());
    let packed = Packed::new();
    let (_, _, ttl, request, body) = ours::requests(&packed).remove(0);
    let request = frame(Kind::Request, ours::LABEL, ttl, &envelope(&request, body));
    assert_eq!(wire.receive(&request), [vectors.get("error/safe")]);
}

#[test]
fn reserved_kinds_close_an_open_link() {
    let vectors = Vectors::load();
    for name in ["stream", "credit", "handshake/request"] {
        let mut wire = Wire::open();
        wire.receive(vectors.get(name));
        assert_eq!(wire.closed, 1, "{name}");
    }
}
