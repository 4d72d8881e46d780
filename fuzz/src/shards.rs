//! One node of one or two shards, driven by steps read from the input: links that shake hands
//! honestly and then send anything, connections that break, dials, local calls and services, time.

use bytes::BytesMut;
use relay_core::frame::{FrameWriter, Kind};
use relay_core::message::{
    ChunkEnvelope, Credit, ErrorEnvelope, OPTION_HIGH, OPTION_IDEMPOTENT, OPTION_LOW, OPTION_PATH,
    OPTION_STREAM, OPTION_TRACE, Priority, PublicationEnvelope, RequestEnvelope, ResponseEnvelope,
    Status, Texts, Towards,
};
use relay_core::{Call, CloseReason, ErrorCode, Executed, Publish, Reply, Retry, Role};
use serde::Serialize;
use std::time::Duration;

use crate::input::Input;
use control::control;
use world::{World, mark};

mod control;
mod world;

/// A node of one or two shards and the steps of everything around it.
pub fn shards(data: &[u8]) {
    let mut input = Input::new(data);
    let first = input.byte();
    let role = [Role::Main, Role::Home, Role::Main, Role::Caller][usize::from(first) % 4];
    let mut world = World::new(role, 1 + u16::from(first & 4 != 0));
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        step(&mut world, &mut input);
    }
    world.finish();
}

fn step(world: &mut World, input: &mut Input<'_>) {
    match STEPS[input.below(STEPS.len())] {
        Step::Accept => world.accept(input.below(2) as u16),
        Step::Meet => {
            world.accept(input.below(2) as u16);
            let peer = input.byte();
            world.shake_hands(world.links.len().wrapping_sub(1), peer);
        }
        Step::Dial => world.dial(&["main"]),
        Step::Connect => {
            let dial = input.below(world.dials.len());
            let peer = input.byte();
            world.connect(dial, input.below(2) as u16, peer);
        }
        Step::DialFails => {
            let dial = input.below(world.dials.len());
            world.fail_dial(dial);
        }
        Step::Undial => {
            let dial = input.below(world.dials.len());
            if let Some(dial) = world.dials.get(dial).copied() {
                world.on_node(|node, now, out| {
                    node.undial(dial, now, out);
                });
            }
        }
        Step::Frame => frame(world, input),
        Step::Answer => answer(world, input),
        Step::Bytes => {
            let link = input.below(world.links.len());
            let bytes = input.piece().to_vec();
            world.receive(link, &bytes);
        }
        Step::Lose => {
            let link = input.below(world.links.len());
            world.lose(link);
        }
        Step::Flush => {
            let link = input.below(world.links.len());
            world.flush(link, u32::from(input.short()));
        }
        Step::Wait => {
            let scale = [1, 1_000, 60_000][input.below(3)];
            world.wait(Duration::from_millis(u64::from(input.byte()) * scale));
        }
        Step::UntilDue => world.until_due(),
        Step::Application => application(world, input),
        Step::Drain => world.on_node(|node, now, out| node.drain(now, out)),
        Step::CloseAll => world.close_all(CloseReason::Shutdown),
        Step::Leave => world.leave(),
        Step::DialMore => world.dial(&["main", "other", "third"]),
    }
}

/// A step of the application that holds the node.
fn application(world: &mut World, input: &mut Input<'_>) {
    match input.below(10) {
        0..3 => {
            let (target, body) = (input.byte(), input.byte());
            let call = Call {
                node: target_node(target),
                service: SERVICES[usize::from(target >> 2 & 3)],
                method: "get",
                body: &vec![b'7'; usize::from(body) * 4],
                deadline: Duration::from_millis(u64::from(input.short())),
                idempotent: target & 64 != 0,
                priority: [Priority::Normal, Priority::High, Priority::Low][usize::from(body) % 3],
                trace: target & 32 != 0,
                stream: target & 16 != 0,
                headers: &[],
            };
            world.call(u16::from(target >> 7), call);
        }
        3 | 4 => {
            let (number, size) = (input.byte(), input.byte());
            let body = vec![b'1'; usize::from(size) * 16];
            let (code, executed) = (ErrorCode::BadResponse, Executed::Unknown);
            if size & 1 != 0 {
                world.send(usize::from(number >> 2), &body);
            }
            world.reply(
                usize::from(number >> 2),
                match number & 3 {
                    0 | 1 => Reply::Result(&body),
                    2 => Reply::ApplicationError(&body),
                    _ => Reply::Failed { code, executed, message: "no" },
                },
            );
        }
        5 => world.cancel(input.below(8)),
        6 => {
            let service = SERVICES[input.below(4)];
            world.on_node(|node, now, out| {
                let _ = node.register(service, &["get"], now, out);
            });
        }
        7 => {
            let service = SERVICES[input.below(4)];
            world.on_node(|node, now, out| {
                node.withdraw(service, now, out);
            });
        }
        8 => {
            let (pattern, is_on) = (TOPICS[input.below(TOPICS.len())], input.below(3) > 0);
            world.on_node(|node, now, out| {
                if is_on {
                    let _ = node.subscribe(pattern, now, out);
                } else {
                    node.unsubscribe(pattern, now, out);
                }
            });
        }
        _ => {
            let (topic, size) = (TOPICS[input.below(TOPICS.len())], input.byte());
            let body = vec![b'2'; usize::from(size) * 16];
            world.on_node(|node, now, out| {
                let publish = Publish { topic, body: &body, ..Publish::default() };
                let _ = node.publish(publish, now, out);
            });
        }
    }
}

/// A frame with a right header, and often with a payload that says something.
fn frame(world: &mut World, input: &mut Input<'_>) {
    let link = input.below(world.links.len());
    let kind = Kind::ALL[input.below(Kind::ALL.len())];
    let (label, ttl) = (input.byte(), input.byte());
    let mut payload = match kind {
        Kind::Control => control(input),
        Kind::Request => request(input),
        Kind::Response => encoded(&ResponseEnvelope { status: Status::Result, content: 0 }),
        Kind::Stream => encoded(&ChunkEnvelope {
            to: if ttl & 1 == 0 { Towards::Caller } else { Towards::Handler },
            number: u32::from(ttl >> 1 & 3),
            is_last: ttl & 8 != 0,
        }),
        Kind::Credit => encoded(&Credit {
            to: if ttl & 1 == 0 { Towards::Caller } else { Towards::Handler },
            bytes: u32::from(ttl | 1) << (ttl & 24),
        }),
        Kind::Publish => encoded(&PublicationEnvelope {
            topic: TOPICS[usize::from(label) % TOPICS.len()],
            publisher: NODES[1 + usize::from(label >> 4) % 3],
            key: mark([0, 1, 3][usize::from(label >> 4) % 3]),
            life: 1,
            seq: u64::from(label) + 1,
            content: 0,
            headers: Texts::default(),
            path: Texts::default(),
        }),
        Kind::Handshake
        | Kind::Ping
        | Kind::Pong
        | Kind::Error
        | Kind::Cancel
        | Kind::Extension => Vec::new(),
    };
    payload.extend_from_slice(input.piece());
    let mut bytes = BytesMut::from(&written(kind, short_label(label), ttl, &payload)[..]);
    if ttl & 0x10 != 0 {
        let at = bytes.len() - 1 - usize::from(label) % bytes.len();
        bytes[at] ^= ttl;
    }
    world.receive(link, &bytes);
}

fn request(input: &mut Input<'_>) -> Vec<u8> {
    let (target, what, ttl) = (input.byte(), input.byte(), input.byte());
    let (mut space, mut way) = (Vec::new(), Vec::new());
    let headers = ["traceparent", "00-1-2-01"];
    let option = |bit: u8, option: u8| if what & bit == 0 { 0 } else { option };
    let options = option(1, OPTION_IDEMPOTENT)
        | option(2, OPTION_TRACE)
        | option(8, OPTION_HIGH)
        | option(16, OPTION_LOW)
        | option(32, OPTION_PATH)
        | option(64, OPTION_STREAM);
    let ways: [&[&str]; 4] =
        [&["here"], &["here", "peer-1"], &["peer-0", "here", "peer-1"], &["here", "here"]];
    encoded(&RequestEnvelope {
        node: target_node(target),
        service: SERVICES[usize::from(target >> 2 & 3)],
        method: "get",
        deadline_ms: u32::from(input.short()),
        options,
        ttl: ttl % 16,
        content: 0,
        headers: if what & 4 == 0 { Texts::default() } else { Texts::pack(headers, &mut space) },
        path: if what & 32 == 0 {
            Texts::default()
        } else {
            Texts::pack(ways[usize::from(target >> 6)], &mut way)
        },
        reads: 0,
    })
}

/// Whom a call is for, with or without the Main of the node.
fn target_node(target: u8) -> &'static str {
    let nodes = if target & 16 == 0 { NODES } else { NODES_AT_MAINS };
    nodes[usize::from(target & 3)]
}

/// A peer answers what it was asked, which a made-up label seldom hits.
fn answer(world: &mut World, input: &mut Input<'_>) {
    let (link, which) = (input.below(world.links.len()), input.byte());
    let Some(asked) = world.links.get(link).map(|link| link.asked.clone()) else { return };
    let Some(label) = asked.get(usize::from(which >> 2) % asked.len().max(1)).copied() else {
        return;
    };
    let size = usize::from(input.byte()) * 32;
    let (kind, mut payload) = match which & 3 {
        0 => (Kind::Error, input.piece().to_vec()),
        1 => (Kind::Response, encoded(&response(Status::ApplicationError))),
        2 => (Kind::Response, encoded(&response(Status::Result))),
        _ => (Kind::Error, failure(input.byte())),
    };
    if kind == Kind::Response && which & 0x80 != 0 {
        payload = encoded(&response(Status::TracedResult));
        payload.extend_from_slice(&encoded(&Texts(input.piece())));
    }
    payload.resize(payload.len() + if kind == Kind::Error { 0 } else { size }, b'1');
    world.receive(link, &written(kind, label, 0, &payload));
}

/// An error after which a call may be sent elsewhere, or may not.
fn failure(what: u8) -> Vec<u8> {
    let codes = [ErrorCode::Overloaded, ErrorCode::Unavailable, ErrorCode::Deadline];
    let (retry, executed) = match what >> 2 & 3 {
        0 => (Retry::Safe, Executed::No),
        1 => (Retry::AfterMs(u32::from(what)), Executed::No),
        2 => (Retry::Unsafe, Executed::Unknown),
        _ => (Retry::Never, Executed::Yes),
    };
    let error = ErrorEnvelope {
        code: codes[usize::from(what & 3) % 3] as u16,
        executed,
        retry,
        limit: None,
        node: NODES[1 + usize::from(what >> 4) % 3],
        message: "no",
    };
    let mut payload = encoded(&error);
    if what & 0x80 != 0 {
        // One hop: "a", a microsecond, one attempt.
        payload.extend_from_slice(&encoded(&Texts(&[1, b'a', 1, 1])));
    }
    payload
}

const fn response(status: Status) -> ResponseEnvelope {
    ResponseEnvelope { status, content: 0 }
}

/// Few indices and few generations, so that labels meet.
fn short_label(byte: u8) -> u64 {
    u64::from(byte >> 4) << 32 | u64::from(byte & 15)
}

fn written(kind: Kind, id: u64, ttl: u8, payload: &[u8]) -> Vec<u8> {
    FrameWriter::default().write(kind, id, ttl, |_| {}, payload).freeze().to_vec()
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("writing does not fail")
}

#[derive(Clone, Copy)]
enum Step {
    Accept,
    Meet,
    Dial,
    Connect,
    DialFails,
    Undial,
    Frame,
    Answer,
    Bytes,
    Lose,
    Flush,
    Wait,
    UntilDue,
    Application,
    Drain,
    CloseAll,
    Leave,
    DialMore,
}

/// What a byte chooses; the order is the meaning of the kept inputs, so new steps go to the end.
const STEPS: [Step; 21] = [
    Step::Accept,
    Step::Meet,
    Step::Dial,
    Step::Connect,
    Step::DialFails,
    Step::Undial,
    Step::Frame,
    Step::Answer,
    Step::Bytes,
    Step::Lose,
    Step::Flush,
    Step::Wait,
    Step::UntilDue,
    Step::Application,
    Step::Application,
    Step::Application,
    Step::Frame,
    Step::Drain,
    Step::CloseAll,
    Step::Leave,
    Step::DialMore,
];

const NODES: [&str; 4] = ["", "peer-0", "peer-1", "here"];
const NODES_AT_MAINS: [&str; 4] = ["peer-0@here", "peer-0@peer-1", "peer-1@peer-2", "here@here"];
const SERVICES: [&str; 4] = ["a", "b", "c", "d"];
/// Topics, patterns, and what is neither.
const TOPICS: [&str; 6] = ["t.1", "t.*", "**", "t.2", "t.**", "t."];
const STEPS_MAX: usize = 64;
