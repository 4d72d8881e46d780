//! Every kind of frame in every state from every role: one table, and no cell is missing.

use crate::attacker::{Link, frame, label};
use crate::machine::{Machine, Stage, acts, closed};
use crate::messages::{
    Request, author, chunk, credit, publication, register, registered, result, unavailable,
};
use crate::wire::Kind;
use crate::world::World;
use relay_core::CloseReason;
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{ErrorCode, Role};

rows! {
    f12_every_kind_in_every_state_from_every_role,
}

/// What must happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cell {
    /// The next step of the handshake.
    Next,
    /// The link closes with BAD_STATE.
    Closed,
    /// The link stays, and there is an effect: an answer or a running handler.
    Served,
    /// The link stays, and nothing else happens.
    Kept,
}

use Cell::{Closed as X, Kept as K, Next as N, Served as S};

/// For each stage, who sends to whom: Home, caller and Main to a Main; a Main to a Home and to a
/// caller.
type Row = [[Cell; 5]; 3];

const MATRIX: [(FrameKind, Row); 12] = [
    (FrameKind::Handshake, [[N, N, N, N, N], [X, X, X, X, X], [X, X, X, X, X]]),
    (FrameKind::Ping, [[X, X, X, X, X], [X, X, X, X, X], [S, S, S, S, S]]),
    (FrameKind::Pong, [[X, X, X, X, X], [X, X, X, X, X], [K, K, K, K, K]]),
    (FrameKind::Control, [[X, X, X, X, X], [X, X, X, X, X], [S, X, X, K, X]]),
    (FrameKind::Request, [[X, X, X, X, X], [X, X, X, X, X], [S, S, S, S, X]]),
    (FrameKind::Response, [[X, X, X, X, X], [X, X, X, X, X], [K, X, K, K, K]]),
    (FrameKind::Error, [[X, X, X, X, X], [X, X, X, X, X], [K, X, K, K, K]]),
    (FrameKind::Stream, [[X, X, X, X, X], [X, X, X, X, X], [K, K, K, K, K]]),
    (FrameKind::Credit, [[X, X, X, X, X], [X, X, X, X, X], [K, K, K, K, K]]),
    (FrameKind::Cancel, [[X, X, X, X, X], [X, X, X, X, X], [K, K, K, K, X]]),
    (FrameKind::Publish, [[X, X, X, X, X], [X, X, X, X, X], [K, K, K, K, K]]),
    (FrameKind::Extension, [[X, X, X, X, X], [X, X, X, X, X], [K, K, K, K, K]]),
];

async fn f12_every_kind_in_every_state_from_every_role(kind: Kind) {
    let mut world = World::start(kind).await;
    for (frame_kind, row) in MATRIX {
        for (stage, cells) in Stage::ALL.into_iter().zip(row) {
            for (role, cell) in [Role::Home, Role::Caller, Role::Main].into_iter().zip(cells) {
                let what = format!("{frame_kind:?} from a {role:?} at {stage:?}");
                to_the_main(&mut world, (frame_kind, role, stage), cell, &what).await;
            }
        }
    }
    world.still_serves().await;
}

#[test]
fn f12_the_table_names_every_kind() {
    assert_eq!(MATRIX.map(|(kind, _)| kind), FrameKind::ALL);
}

/// The whole table again without sockets, where the other end of a link can be driven too.
#[test]
fn f12_every_cell_of_the_table() {
    for (kind, row) in MATRIX {
        for (stage, cells) in Stage::ALL.into_iter().zip(row) {
            let machines = [
                Machine::accepting(Role::Home, stage),
                Machine::accepting(Role::Caller, stage),
                Machine::accepting(Role::Main, stage),
                Machine::dialling(Role::Home, stage),
                Machine::dialling(Role::Caller, stage),
            ];
            for (to, (mut machine, cell)) in machines.into_iter().zip(cells).enumerate() {
                let bytes = frame(kind, label(0, 1), &payload(kind, to < 3, &machine.opening));
                let outputs = machine.receive(&bytes);
                let what = format!("{kind:?} at {stage:?}, column {to}: {outputs:?}");
                let bad_state = Some(CloseReason::Fault(ErrorCode::BadState));
                let expected = if cell == X { bad_state } else { None };
                assert_eq!(closed(&outputs), expected, "{what}");
                match cell {
                    Cell::Next | Cell::Served => assert!(acts(&outputs), "{what}"),
                    Cell::Kept => assert!(!acts(&outputs), "{what}"),
                    Cell::Closed => assert_eq!(machine.node().calls_in_flight(), 0, "{what}"),
                }
            }
        }
    }
}

async fn to_the_main(
    world: &mut World,
    (kind, role, stage): (FrameKind, Role, Stage),
    cell: Cell,
    what: &str,
) {
    let mut link = world.connect().await;
    let (signing, hello) = world.stranger(role);
    match stage {
        Stage::First => {}
        Stage::Handshake => drop(link.ask(&hello.encode()).await.expect("a challenge")),
        Stage::Open => {
            link.shake(&hello, &signing).await.expect("accepted");
            if role == Role::Main {
                // Mains greet each other first.
                link.expect(FrameKind::Control).await;
            }
        }
    }
    link.send_frame(kind, label(0, 1), &payload(kind, true, &hello.encode())).await;
    match cell {
        Cell::Closed => return must_close(world, link, what).await,
        Cell::Next => drop(link.expect(FrameKind::Handshake).await),
        Cell::Served => {
            let answer = link.frame().await.expect("still there").kind();
            let is_answer = match kind {
                FrameKind::Ping => answer == FrameKind::Pong,
                FrameKind::Request => answer == FrameKind::Response,
                _ => answer == kind,
            };
            assert!(is_answer, "{what}: {answer:?}");
            link.is_alive().await;
        }
        Cell::Kept => link.is_alive().await,
    }
    drop(link);
    let down = world.down().await;
    assert_eq!(down.reason, CloseReason::PeerClosed, "{what}: {down:?}");
}

async fn must_close(world: &mut World, mut link: Link, what: &str) {
    if !link.is_open {
        let rejection = link.rejection().await;
        assert_eq!(rejection.code, ErrorCode::BadState as u64, "{what}: {rejection:?}");
    }
    world.must_close(link, ErrorCode::BadState, what).await;
}

/// A payload that is right for the kind, so that only the state can be wrong.
fn payload(kind: FrameKind, to_main: bool, opening: &[u8]) -> Vec<u8> {
    match kind {
        FrameKind::Handshake => opening.to_vec(),
        FrameKind::Control if to_main => register(b"mine", b""),
        FrameKind::Control => registered("echo"),
        FrameKind::Request => Request::to("echo", "echo", b"[]").encode(),
        FrameKind::Response => result(b"1"),
        FrameKind::Error => unavailable("someone"),
        // To a Main as of a caller, from a Main as of a handler.
        FrameKind::Stream => chunk(u8::from(to_main), 0, false, b"x"),
        FrameKind::Credit => credit(u8::from(!to_main), 1),
        FrameKind::Publish if to_main => publication("news", author(opening), 1, b"x"),
        FrameKind::Publish => publication("news", ("someone", [0; 8]), 1, b"x"),
        FrameKind::Ping | FrameKind::Pong | FrameKind::Cancel | FrameKind::Extension => {
            b"x".to_vec()
        }
    }
}
