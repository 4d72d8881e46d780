//! Every kind and every message has a vector, and the decoders read each one as it was meant.

use bytes::BytesMut;
use relay_core::compress::{InflateError, inflate};
use relay_core::frame::{Frame, Kind};
use relay_core::handshake::{Acceptor, Dialler};
use relay_core::message::{
    ChunkEnvelope, ControlMessage, Credit, ErrorEnvelope, Hop, MessageError, PublicationEnvelope,
    Record, RequestEnvelope, ResponseEnvelope, Status, Towards, records,
};
use relay_core::{CallError, ErrorCode, Executed, HandshakeError, Retry, Role};

use crate::ours::{
    self, ACCEPT_NONCE, DIAL_NONCE, GRANT, LABEL, OPAQUE, Packed, UNIX_SECONDS, home, main_node,
};
use crate::vectors::Vectors;

#[test]
fn every_kind_has_a_vector() {
    let vectors = Vectors::load();
    for kind in Kind::ALL {
        let taken = take(vectors.get(vector_of(kind)));
        assert_eq!((taken.kind(), taken.verify()), (kind, Ok(())));
        assert!(kind as u8 <= 15, "a kind has four bits");
    }
}

#[test]
fn the_decoders_read_requests_responses_and_errors() {
    let vectors = Vectors::load();
    for (name, label, ttl, request, body) in ours::requests(&Packed::new()) {
        let taken = take(vectors.get(name));
        assert_eq!((taken.kind(), taken.id(), taken.ttl()), (Kind::Request, label, ttl));
        assert_eq!(RequestEnvelope::decode(taken.payload()), Ok((request, body)), "{name}");
    }
    for (name, response, expected, body) in ours::responses() {
        let vector = match response.status {
            Status::Result => "response/result",
            Status::ApplicationError => "response/application_error",
            Status::TracedResult => "response/traced_result",
            Status::TracedApplicationError => "response/traced_application_error",
        };
        assert_eq!(name, vector);
        let (read, hops, rest) =
            ResponseEnvelope::decode(vectors.payload(name)).expect("a response");
        assert_eq!((read, rest), (response, body), "{name}");
        assert_eq!(hops.iter().collect::<Vec<Hop<'_>>>(), expected, "{name}");
    }
    let mut executed = 0;
    for (name, error, expected) in ours::errors() {
        let vector = match error.retry {
            _ if !expected.is_empty() => "error/traced",
            Retry::Safe => "error/safe",
            Retry::Unsafe => "error/unsafe",
            Retry::AfterMs(_) => "error/after_ms",
            Retry::Never => "error/never_with_limit",
        };
        assert_eq!(name, vector);
        executed |= match error.executed {
            Executed::No => 1,
            Executed::Yes => 2,
            Executed::Unknown => 4,
        };
        let read = CallError {
            code: ErrorCode::from_wire(error.code).expect("a known code"),
            executed: error.executed,
            retry: error.retry,
            node: error.node.to_owned(),
            message: error.message.to_owned(),
            limit: error.limit,
        };
        let (found, hops) = ErrorEnvelope::decode(vectors.payload(name)).expect("an error");
        assert_eq!(found, read, "{name}");
        assert_eq!(hops.iter().collect::<Vec<Hop<'_>>>(), expected, "{name}");
    }
    assert_eq!(executed, 7, "every outcome has a vector");
}

#[test]
fn compressed_bodies_inflate_to_what_they_were() {
    let vectors = Vectors::load();
    for (name, kind, ttl, payload, compression, plain) in ours::compressed() {
        let taken = take(vectors.get(name));
        assert_eq!((taken.kind(), taken.ttl(), taken.verify()), (kind, ttl, Ok(())), "{name}");
        assert_eq!((taken.compression(), taken.payload()), (Some(compression), &payload[..]));
        let body = match kind {
            Kind::Request => RequestEnvelope::decode(&payload).expect("a request").1,
            _ => ResponseEnvelope::decode(&payload).expect("a response").2,
        };
        assert_eq!(inflate(body, compression, 1 << 20, b""), Ok(plain.clone()), "{name}");
        let short = plain.len() as u32 - 1;
        let refused = inflate(body, compression, short, b"");
        assert_eq!(refused, Err(InflateError::TooLarge { limit: short }), "{name}");
    }
}

#[test]
fn the_decoders_read_control_messages() {
    let (vectors, packed) = (Vectors::load(), Packed::new());
    for (name, message) in ours::control(&packed) {
        let vector = match message {
            ControlMessage::Register { methods, .. } if methods.0.is_empty() => {
                "control/register_any_method"
            }
            ControlMessage::Register { .. } => "control/register",
            ControlMessage::Registered { .. } => "control/registered",
            ControlMessage::Refused { .. } => "control/refused",
            ControlMessage::Withdraw { .. } => "control/withdraw",
            ControlMessage::Refresh => "control/refresh",
            ControlMessage::Goodbye { .. } => "control/goodbye",
            ControlMessage::Labels { .. } => "control/labels",
            ControlMessage::Hello { .. } => "control/hello",
            ControlMessage::Announce { page } if records(page).count() == 1 => "control/announce",
            ControlMessage::Announce { .. } => "control/announce_changes",
            ControlMessage::Digest { .. } => "control/digest",
            ControlMessage::Resync => "control/resync",
            ControlMessage::Leaving => "control/leaving",
            ControlMessage::Subscribe { .. } => "control/subscribe",
            ControlMessage::Unsubscribe { .. } => "control/unsubscribe",
            ControlMessage::Subscribed { .. } => "control/subscribed",
            ControlMessage::Unsubscribed { .. } => "control/unsubscribed",
            ControlMessage::NotSubscribed { .. } => "control/not_subscribed",
            ControlMessage::Missed { .. } => "control/missed",
            ControlMessage::NotPublished { .. } => "control/not_published",
        };
        assert_eq!(name, vector);
        assert_eq!(ControlMessage::decode(vectors.payload(name)), Ok(message), "{name}");
    }
    for number in 0..CONTROL_MESSAGES {
        let starts = |name: &str| vectors.payload(name)[0] == number;
        let found = vectors.names().any(|name| name.starts_with("control/") && starts(name));
        assert!(found, "control message {number} has no vector");
    }
    let is_control = |bytes: &[u8]| ControlMessage::decode(bytes).is_ok();
    let refresh = 4;
    assert!(some_zeros_fit(&[refresh], is_control));
    // A message that is not in the vectors would be read here, whatever its fields are.
    assert!(!some_zeros_fit(&[CONTROL_MESSAGES], postcard_takes_control));
}

/// A new kind of record does not compile until it has a vector.
#[test]
fn every_record_has_a_vector() {
    let (vectors, packed) = (Vectors::load(), Packed::new());
    let payload = vectors.payload("control/announce_changes");
    let Ok(ControlMessage::Announce { page }) = ControlMessage::decode(payload) else {
        panic!("not a page")
    };
    let read: Vec<Record<'_>> = records(page).collect();
    assert_eq!(read, packed.changes());
    let mut found = [false; 3];
    for record in read {
        match record {
            Record::Up { .. } => found[0] = true,
            Record::Down { .. } => found[1] = true,
            Record::Lost { .. } => found[2] = true,
        }
    }
    assert_eq!(found, [true; 3]);
}

#[test]
fn the_handshake_of_the_vectors_is_accepted_by_both_ends() {
    let vectors = Vectors::load();
    let (config, identity) = home(None);
    let (main_config, main_identity) = main_node();
    let (mut dialler, _) = Dialler::new(&config, &identity, DIAL_NONCE, UNIX_SECONDS);
    let mut acceptor = Acceptor::new(ACCEPT_NONCE);
    let request = vectors.payload("handshake/request");
    acceptor
        .handle_request(request, &main_config, &main_identity, UNIX_SECONDS)
        .expect("the request of the vectors");
    dialler
        .handle_challenge(vectors.payload("handshake/challenge"), &config, &identity)
        .expect("the challenge of the vectors");
    let proof = vectors.payload("handshake/proof");
    let (home, _) = acceptor.handle_proof(proof, &main_identity, GRANT).expect("the proof");
    let main = dialler.handle_response(vectors.payload("handshake/accepted")).expect("accepted");
    assert_eq!((home.node.as_str(), home.role, home.epoch), ("alice", Role::Home, 7));
    assert_eq!((main.node.as_str(), main.role, main.epoch), ("main", Role::Main, 7));
    assert_eq!((home.session, main.session), (GRANT.session, GRANT.session));
    assert_eq!(main.capabilities.frame_bytes_max, 16 << 20);
}

#[test]
fn a_token_and_a_refusal_are_read() {
    let vectors = Vectors::load();
    let (mut main_config, main_identity) = main_node();
    main_config.token = Some("s3cret".to_owned());
    for (name, accepted) in [("handshake/request", false), ("handshake/request_with_token", true)] {
        let read = Acceptor::new(ACCEPT_NONCE).handle_request(
            vectors.payload(name),
            &main_config,
            &main_identity,
            UNIX_SECONDS,
        );
        assert_eq!(read.is_ok(), accepted, "{name}: {:?}", read.err());
    }
    let (config, identity) = home(None);
    let (mut dialler, _) = Dialler::new(&config, &identity, DIAL_NONCE, UNIX_SECONDS);
    let refusal = vectors.payload("handshake/rejected");
    let message = "clock skew 412 s".to_owned();
    let expected = HandshakeError::Rejected { code: ErrorCode::Unauthenticated, message };
    assert_eq!(dialler.handle_challenge(refusal, &config, &identity), Err(expected));
    let (mut dialler, _) = Dialler::new(&config, &identity, DIAL_NONCE, UNIX_SECONDS);
    let later = vectors.payload("handshake/later");
    let expected = HandshakeError::Later { wait_ms: 2_000 };
    assert_eq!(dialler.handle_challenge(later, &config, &identity), Err(expected));
}

/// The messages are private to the core, so a new one cannot be matched here. It can be noticed:
/// what is a handshake message but not the one awaited is out of turn, all else is malformed.
#[test]
fn every_handshake_message_has_a_vector() {
    let vectors = Vectors::load();
    let starts = [
        ("handshake/request", &[0][..]),
        ("handshake/challenge", &[1]),
        ("handshake/proof", &[2]),
        ("handshake/accepted", &[3, 0]),
        ("handshake/rejected", &[3, 1]),
        ("handshake/later", &[3, 2]),
    ];
    for (name, start) in starts {
        assert!(vectors.payload(name).starts_with(start), "{name}");
        assert!(some_zeros_fit(start, is_handshake_message), "{name}");
    }
    for start in [&[4][..], &[5], &[3, 3], &[3, 4]] {
        assert!(!some_zeros_fit(start, is_handshake_message), "{start:?} has no vector");
    }
}

#[test]
fn the_decoders_read_chunks_and_credit() {
    let vectors = Vectors::load();
    for (name, chunk, body) in ours::CHUNKS {
        let expected = match chunk.to {
            Towards::Caller => "stream/first",
            Towards::Handler => "stream/last",
        };
        assert_eq!(*name, expected);
        assert_eq!(ChunkEnvelope::decode(vectors.payload(name)), Ok((*chunk, *body)), "{name}");
    }
    let (name, credit) = ours::CREDIT;
    assert_eq!(Credit::decode(vectors.payload(name)), Ok(credit));
    assert_eq!(ChunkEnvelope::decode(vectors.payload("stream")), Err(MessageError::Malformed));
    assert_eq!(Credit::decode(vectors.payload("credit")), Err(MessageError::Malformed));
}

#[test]
fn the_decoders_read_publications() {
    let (vectors, packed) = (Vectors::load(), Packed::new());
    for (name, publication, body) in ours::publications(&packed) {
        let taken = take(vectors.get(name));
        assert_eq!((taken.kind(), taken.id(), taken.ttl()), (Kind::Publish, 0, 10), "{name}");
        let read = PublicationEnvelope::decode(taken.payload());
        assert_eq!(read, Ok((publication, body)), "{name}");
    }
}

#[test]
fn opaque_frames_keep_their_payload() {
    let vectors = Vectors::load();
    for (name, kind, id, ttl, payload) in OPAQUE {
        let taken = take(vectors.get(name));
        assert_eq!((taken.kind(), taken.id(), taken.ttl()), (*kind, *id, *ttl), "{name}");
        assert_eq!(&taken.into_payload()[..], *payload, "{name}");
    }
    assert_eq!(LABEL as u32, 0, "the index is in the low half");
}

/// A new kind does not compile until it has a vector.
const fn vector_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Handshake => "handshake/request",
        Kind::Ping => "ping",
        Kind::Pong => "pong",
        Kind::Control => "control/register",
        Kind::Request => "request/short",
        Kind::Response => "response/result",
        Kind::Error => "error/safe",
        Kind::Stream => "stream",
        Kind::Credit => "credit",
        Kind::Cancel => "cancel",
        Kind::Publish => "publish/short",
        Kind::Extension => "extension",
    }
}

fn take(bytes: &[u8]) -> Frame {
    let mut input = BytesMut::from(bytes);
    let taken = Frame::take(&mut input, 1 << 20, u8::MAX).expect("legal").expect("whole");
    assert!(input.is_empty(), "a vector is one frame");
    taken
}

/// Zeros are legal numbers, empty texts, absent options and any key: with the right count of them
/// behind it, the number of any message makes a whole message.
fn some_zeros_fit(start: &[u8], is_message: impl Fn(&[u8]) -> bool) -> bool {
    let mut bytes = start.to_vec();
    (0..1_024).any(|_| {
        let fits = is_message(&bytes);
        bytes.push(0);
        fits
    })
}

fn is_handshake_message(payload: &[u8]) -> bool {
    let (config, identity) = home(None);
    let (mut dialler, _) = Dialler::new(&config, &identity, DIAL_NONCE, UNIX_SECONDS);
    let read = dialler.handle_challenge(payload, &config, &identity);
    read.err().is_some_and(|error| error != HandshakeError::Malformed)
}

/// Like the decoder of the core, without the rules for names.
fn postcard_takes_control(bytes: &[u8]) -> bool {
    postcard::take_from_bytes::<ControlMessage<'_>>(bytes).is_ok_and(|(_, rest)| rest.is_empty())
}

/// How many there are; the match above fails to compile when one is new.
const CONTROL_MESSAGES: u8 = 19;
