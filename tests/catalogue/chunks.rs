//! Where bytes are cut says nothing: half a frame does nothing, and any cutting gives the same run.

use crate::attacker::{Link, Said, frame, frame_with_flags, label};
use crate::machine::{Machine, Stage, acts, closed};
use crate::messages::{Request, register, registered, result, unavailable};
use crate::wire::Kind;
use crate::world::World;
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{ErrorCode, Role};
use std::collections::BTreeMap;

rows! {
    f08_every_prefix_then_the_end,
    f09_every_way_to_cut,
}

async fn f08_every_prefix_then_the_end(kind: Kind) {
    let mut world = World::start(kind).await;
    let request =
        frame(FrameKind::Request, label(0, 1), &Request::to("echo", "echo", b"1").encode());
    let control = frame(FrameKind::Control, 0, &register(b"half", b""));
    for (role, whole) in [(Role::Caller, request), (Role::Home, control)] {
        for end in 0..whole.len() {
            let mut link = world.open(role).await;
            link.send(&whole[..end]).await;
            drop(link);
            let down = world.down().await;
            let expected = if end == 0 { 2 } else { ErrorCode::Truncated as u16 };
            assert_eq!(down.reason.to_wire(), expected, "{end} bytes from a {role:?}: {down:?}");
        }
    }
    assert_eq!((world.ran(), world.main.registry().services.len()), (0, 1));
    world.still_serves().await;
}

/// All kinds in all states, at both ends.
#[test]
fn f08_no_prefix_of_any_frame_does_anything() {
    for stage in Stage::ALL {
        for (name, make) in machines() {
            for bytes in every_kind(&make(stage).opening) {
                for end in 0..bytes.len() {
                    let mut machine = make(stage);
                    let before = machine.node().stats().frames_in;
                    let outputs = machine.receive(&bytes[..end]);
                    assert!(outputs.is_empty(), "{name} {stage:?} {end}: {outputs:?}");
                    let outputs = machine.end();
                    assert!(!acts(&outputs) && closed(&outputs).is_none(), "{outputs:?}");
                    assert_eq!(machine.node().stats().frames_in, before);
                    assert_eq!(machine.node().stats().links_closed, 1);
                }
            }
        }
    }
}

async fn f09_every_way_to_cut(kind: Kind) {
    let world = World::start(kind).await;
    let mut bytes = Vec::new();
    for number in 0..50 {
        bytes.extend(frame(FrameKind::Ping, number, &number.to_be_bytes()));
        let method = if number % 5 == 0 { "other" } else { "echo" };
        let request = Request::to("echo", method, format!("[{number}]").as_bytes());
        bytes.extend(frame(FrameKind::Request, label(number as u32, 1), &request.encode()));
    }
    let mut runs = Vec::new();
    for length in [bytes.len(), 1, 7] {
        let mut link = world.open(Role::Caller).await;
        link.send_pieces(&bytes, length).await;
        runs.push(answers_to_fifty(&mut link).await);
        link.is_alive().await;
    }
    assert!(runs[0].1.values().any(|said| matches!(said, Said::Result(_))));
    assert_eq!(runs[0], runs[1], "byte by byte");
    assert_eq!(runs[0], runs[2], "by seven bytes");
    assert_eq!(world.ran(), 150);
    world.still_serves().await;
}

/// The pongs in their order, and the answers to calls, which may overtake each other.
async fn answers_to_fifty(link: &mut Link) -> (Vec<Vec<u8>>, BTreeMap<u64, Said>) {
    let (mut pongs, mut answers) = (Vec::new(), BTreeMap::new());
    while pongs.len() < 50 || answers.len() < 50 {
        let frame = link.frame().await.expect("ended early");
        if frame.kind() == FrameKind::Pong {
            pongs.push(frame.payload().to_vec());
        } else if frame.kind() != FrameKind::Ping {
            let before = answers.insert(frame.id(), crate::attacker::said(&frame));
            assert!(before.is_none(), "two answers to one call");
        }
    }
    (pongs, answers)
}

/// The same outputs in the same order, down to the byte, whatever comes together.
#[test]
fn f09_every_way_to_cut_gives_the_same_outputs() {
    for (name, make) in machines() {
        let mut bytes = Vec::new();
        for number in 0..25 {
            let request = Request::to("echo", "echo", b"[]").encode();
            bytes.extend(frame(FrameKind::Ping, number, b"x"));
            bytes.extend(frame(FrameKind::Extension, number, b"xx"));
            if name != "Main to caller" {
                bytes.extend(frame(FrameKind::Request, label(number as u32, 1), &request));
                bytes.extend(frame(FrameKind::Cancel, label(number as u32 / 2, 1), b""));
            }
        }
        // The end of the link is a part of the run: what follows it must not matter.
        bytes.extend(frame_with_flags(0x0f81, 0, b""));
        bytes.extend(frame(FrameKind::Ping, 9, b"never read"));
        let run = |length: usize| {
            let mut machine = make(Stage::Open);
            let outputs = bytes.chunks(length).flat_map(|piece| machine.receive(piece));
            let outputs: Vec<_> = outputs.map(|output| format!("{output:?}")).collect();
            (outputs, machine.node().stats())
        };
        let whole = run(bytes.len());
        assert!(whole.0.len() >= 26, "{name}: {:?}", whole.0);
        for length in [1, 2, 3, 7, 13, 14, 15, 64, 1_000] {
            assert_eq!(run(length), whole, "{name}, by {length} bytes");
        }
    }
}

type Make = fn(Stage) -> Machine;

fn machines() -> [(&'static str, Make); 4] {
    [
        ("Home to Main", |stage| Machine::accepting(Role::Home, stage)),
        ("caller to Main", |stage| Machine::accepting(Role::Caller, stage)),
        ("Main to Home", |stage| Machine::dialling(Role::Home, stage)),
        ("Main to caller", |stage| Machine::dialling(Role::Caller, stage)),
    ]
}

/// One legal frame of each kind.
fn every_kind(opening: &[u8]) -> Vec<Vec<u8>> {
    let request = Request::to("echo", "echo", b"[]").encode();
    let payload = |kind| match kind {
        FrameKind::Handshake => opening.to_vec(),
        FrameKind::Control => registered("echo"),
        FrameKind::Request => request.clone(),
        FrameKind::Response => result(b"1"),
        FrameKind::Error => unavailable("main"),
        FrameKind::Ping
        | FrameKind::Pong
        | FrameKind::Stream
        | FrameKind::Credit
        | FrameKind::Cancel
        | FrameKind::Publish
        | FrameKind::Extension => b"x".to_vec(),
    };
    FrameKind::ALL.map(|kind| frame(kind, label(0, 1), &payload(kind))).to_vec()
}
