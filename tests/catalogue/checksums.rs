//! One wrong bit: noticed where the frame is consumed, and nothing runs.

use crate::attacker::{Said, frame, label};
use crate::messages::{Hello, Request, register, result};
use crate::wire::Kind;
use crate::world::World;
use relay_core::frame::{HEADER_BYTES, Kind as FrameKind};
use relay_tokio::{CallRequest, ErrorCode, Executed, Role};

rows! {
    f06_one_wrong_bit,
}

async fn f06_one_wrong_bit(kind: Kind) {
    let mut world = World::start(kind).await;
    frames_that_end_at_the_main(&mut world).await;
    requests_of_a_caller(&world).await;
    assert_eq!(world.ran(), 0, "a handler ran");
    answers_of_a_home(&mut world).await;
    world.still_serves().await;
}

/// A wrong checksum here costs the link.
async fn frames_that_end_at_the_main(world: &mut World) {
    let frames = [
        (FrameKind::Ping, b"ping".to_vec()),
        (FrameKind::Pong, b"pong".to_vec()),
        (FrameKind::Control, register(b"stolen", b"")),
        // One bit from a control message: what is ignored must be what was sent.
        (FrameKind::Extension, b"unknown".to_vec()),
    ];
    for (frame_kind, payload) in frames {
        let whole = frame(frame_kind, 0, &payload);
        for byte in [HEADER_BYTES, HEADER_BYTES + payload.len() - 1, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[byte] ^= 0x10;
            let mut link = world.open(Role::Home).await;
            link.send(&bytes).await;
            let what = format!("{frame_kind:?}, byte {byte}");
            world.must_close(link, ErrorCode::BadChecksum, &what).await;
        }
    }
    let mut link = world.open(Role::Caller).await;
    let mut bytes = frame(FrameKind::Cancel, label(3, 1), b"");
    bytes[HEADER_BYTES - 1] ^= 1;
    link.send(&bytes).await;
    world.must_close(link, ErrorCode::BadChecksum, "Cancel").await;
    let mut link = world.connect().await;
    let (_, hello) = world.stranger(Role::Home);
    let mut bytes = frame(FrameKind::Handshake, 0, &Hello::encode(&hello));
    *bytes.last_mut().unwrap() ^= 1;
    link.send(&bytes).await;
    world.must_close(link, ErrorCode::BadChecksum, "Handshake").await;
    assert!(world.main.registry().services.iter().all(|found| found.name != "stolen"));
}

/// Every bit behind the header. What the Main would refuse ends the link: with its label damaged an
/// answer could reach another call. What it passes on is found by whoever would run it.
async fn requests_of_a_caller(world: &World) {
    let mut link = world.open(Role::Caller).await;
    let payload = Request::to("echo", "echo", b"{\"amount\":100}").encode();
    let body_at = payload.len() - 14;
    let length = frame(FrameKind::Request, 0, &payload).len();
    let (mut answered, mut closed, mut index) = (0, 0, 0);
    for bit in 0..(length - HEADER_BYTES) * 8 {
        let id = label(index, 1);
        let mut bytes = frame(FrameKind::Request, id, &payload);
        bytes[HEADER_BYTES + bit / 8] ^= 1 << (bit % 8);
        link.send(&bytes).await;
        match link.answer_or_end().await {
            Some((at, Said::Failed(error))) => {
                assert_eq!((at, error.code), (id, ErrorCode::BadChecksum), "bit {bit}: {error}");
                assert_eq!(error.executed, Executed::Unknown, "bit {bit}: {error}");
                (answered, index) = (answered + 1, index + 1);
            }
            Some((_, said)) => panic!("bit {bit}: {said:?}"),
            None => {
                assert!(bit / 8 < body_at, "bit {bit}: only the envelope is read on the way");
                link = world.open(Role::Caller).await;
                (closed, index) = (closed + 1, 0);
            }
        }
    }
    assert!(answered >= 14 * 8 && closed >= 32, "{answered} answered, {closed} links closed");
    link.is_alive().await;
}

/// A damaged answer is no answer; a damaged frame that costs the link leaves its calls unknown.
async fn answers_of_a_home(world: &mut World) {
    let mut link = world.open_home("bad").await;
    let ask = |world: &World| {
        let caller = world.caller.node().clone();
        tokio::spawn(async move { caller.call(CallRequest::new("bad", "ask", "1")).await })
    };
    let asked = ask(world);
    let id = link.expect(FrameKind::Request).await.id();
    let mut bytes = frame(FrameKind::Response, id, &result(b"{\"amount\":100}"));
    bytes[HEADER_BYTES + 12] ^= 1;
    link.send(&bytes).await;
    let error = asked.await.unwrap().expect_err("damaged");
    assert_eq!((error.code, error.executed), (ErrorCode::BadResponse, Executed::Unknown));
    let asked = ask(world);
    link.expect(FrameKind::Request).await;
    let mut bytes = frame(FrameKind::Ping, 0, b"ping");
    bytes[HEADER_BYTES] ^= 1;
    link.send(&bytes).await;
    let error = asked.await.unwrap().expect_err("lost");
    assert_eq!((error.code, error.executed), (ErrorCode::LinkLost, Executed::Unknown));
    // The strangers before were dropped by the test and come first in the log.
    let down = loop {
        let down = world.down().await;
        if down.reason != relay_tokio::CloseReason::PeerClosed {
            break down;
        }
    };
    assert_eq!(down.reason.to_wire(), ErrorCode::BadChecksum as u16, "{down:?}");
}
