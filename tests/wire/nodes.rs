//! Whole nodes write the same bytes as the encoders: what the vectors say is what is sent.

use bytes::BytesMut;
use relay_core::frame::{Frame, Kind};
use relay_core::handshake::Dialler;
use relay_core::{
    Call, Delivery, ErrorCode, Executed, Instant, LinkId, Node, Outbox, Output, Reply, Side,
};
use std::time::Duration;

use crate::ours::{self, DIAL_NONCE, UNIX_SECONDS, frame};
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
        let mut node = Node::new(config, identity, [9; 32]);
        node.set_wall_clock(UNIX_SECONDS, Instant::ZERO);
        let mut out = Outbox::default();
        let link = node.open_link(Side::Accepted, Instant::ZERO, &mut out).expect("room");
        Self { node, link, now: Instant::ZERO, closed: 0, delivered: Vec::new() }
    }

    /// A Main whose peer, the Home "alice" of the vectors, has authenticated.
    fn open() -> Self {
        let mut wire = Self::main();
        let (config, identity) = ours::home(None);
        let (mut dialler, request) = Dialler::new(&config, &identity, DIAL_NONCE, UNIX_SECONDS);
        let challenge = wire.receive(&frame(Kind::Handshake, 0, 0, &request)).remove(0);
        let challenge = &challenge[14..challenge.len() - 4];
        let proof = dialler.handle_challenge(challenge, &config, &identity).expect("legal");
        let accepted = wire.receive(&frame(Kind::Handshake, 0, 0, &proof)).remove(0);
        dialler.handle_response(&accepted[14..accepted.len() - 4]).expect("accepted");
        wire
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

#[test]
fn a_main_sends_the_request_of_the_vectors() {
    let (vectors, mut wire) = (Vectors::load(), Wire::open());
    wire.receive(vectors.get("control/register"));
    let sent = wire.act(|node, _, now, out| {
        let (service, method, deadline) = ("blog", "get_posts", Duration::from_secs(60));
        let call = Call { node: "", service, method, body: b"[]", deadline, idempotent: false };
        node.call(call, now, out).expect("accepted");
    });
    assert_eq!(sent, [vectors.get("request/short")]);
    let mut answer = Frame::take(&mut BytesMut::from(vectors.get("response/result")), 1 << 20)
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
        let mut space = Vec::new();
        let any = ours::requests(&mut space).remove(1);
        let request = relay_core::message::RequestEnvelope { node: "", ..any.3 };
        let request = frame(Kind::Request, any.1, 10, &ours::envelope(&request, any.4));
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
    let mut space = Vec::new();
    let (_, _, ttl, request, body) = ours::requests(&mut space).remove(0);
    let request = frame(Kind::Request, ours::LABEL, ttl, &ours::envelope(&request, body));
    assert_eq!(wire.receive(&request), [vectors.get("error/safe")]);
}

#[test]
fn reserved_kinds_close_an_open_link() {
    let vectors = Vectors::load();
    for name in ["stream", "credit", "publish", "handshake/request"] {
        let mut wire = Wire::open();
        wire.receive(vectors.get(name));
        assert_eq!(wire.closed, 1, "{name}");
    }
}
