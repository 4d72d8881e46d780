//! Lengths: too small, too large, never fulfilled, damaged.

use crate::attacker::{frame, label, within};
use crate::messages::{Request, texts};
use crate::wire::Kind;
use crate::world::World;
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{ErrorCode, Role};
use std::time::Duration;

rows! {
    f01_a_length_of_zero,
    f02_a_length_over_the_limit,
    f03_a_frame_that_drips,
    f04_a_length_without_room_for_the_header,
    f05_a_length_that_overflows,
    f07_a_damaged_length,
}

async fn f01_a_length_of_zero(kind: Kind) {
    let mut world = World::start(kind).await;
    for role in [Role::Home, Role::Caller] {
        let mut link = world.open(role).await;
        link.send(&[0; 4]).await;
        world.must_close(link, ErrorCode::BadRequest, role.name()).await;
    }
    let mut link = world.connect().await;
    link.send(&[0; 64]).await;
    world.must_close(link, ErrorCode::BadRequest, "before the handshake").await;
    world.still_serves().await;
}

/// The header is all that is ever sent: waiting for the body would wait for ever.
async fn f02_a_length_over_the_limit(kind: Kind) {
    let mut world = World::start(kind).await;
    let limits = [(Role::Home, 16 << 20), (Role::Caller, 1 << 20)];
    for (role, limit) in limits {
        for length in [limit + 1, 1 << 31, u32::MAX] {
            let mut link = world.open(role).await;
            link.send(&length.to_be_bytes()).await;
            world.must_close(link, ErrorCode::TooLarge, &format!("{role:?} {length}")).await;
        }
    }
    // Where the body does follow, the sender still gets to know why.
    let mut link = world.open(Role::Caller).await;
    link.send(&frame(FrameKind::Request, label(0, 1), &vec![b'x'; 2 << 20])).await;
    world.must_close(link, ErrorCode::TooLarge, "a large frame, sent to its end").await;
    let mut link = world.connect().await;
    link.send(&((16_u32 << 10) + 1).to_be_bytes()).await;
    world.must_close(link, ErrorCode::TooLarge, "before the handshake").await;
    // The smaller bound of both sides counts.
    let mut link = world.connect().await;
    let (signing, mut hello) = world.stranger(Role::Home);
    hello.frame_bytes_max = 8_192;
    link.shake(&hello, &signing).await.expect("a legal bound");
    link.send(&8_193_u32.to_be_bytes()).await;
    world.must_close(link, ErrorCode::TooLarge, "over the bound it named itself").await;
    world.still_serves().await;
}

async fn f03_a_frame_that_drips(kind: Kind) {
    let short = |limits: &mut relay_tokio::Limits| {
        limits.frame_timeout = Duration::from_millis(400);
        limits.handshake_timeout = Duration::from_secs(3);
    };
    let mut world = World::start_with(kind, short).await;
    for role in [Role::Home, Role::Caller] {
        let mut link = world.open(role).await;
        link.send(&(1_u32 << 20).to_be_bytes()).await;
        link.send(&frame(FrameKind::Request, label(0, 1), b"")[4..]).await;
        // Each byte is progress of a kind; it must not buy time.
        let down = within("the end of a frame that drips", async {
            loop {
                link.send(b"x").await;
                let pause = Duration::from_millis(20);
                if let Ok(down) = tokio::time::timeout(pause, world.down()).await {
                    return down;
                }
            }
        })
        .await;
        assert_eq!(down.reason.to_wire(), ErrorCode::Truncated as u16, "{down:?}");
        assert!(down.detail.contains("in time"), "{down:?}");
    }
    let mut link = world.connect().await;
    link.send(&frame(FrameKind::Handshake, 0, &[0; 999])[..500]).await;
    let down = world.down().await;
    assert_eq!(down.reason, relay_tokio::CloseReason::HandshakeTimeout);
    drop(link);
    world.still_serves().await;
}

async fn f04_a_length_without_room_for_the_header(kind: Kind) {
    let mut world = World::start(kind).await;
    for length in 1..14_u32 {
        let mut link = world.open(Role::Caller).await;
        let mut bytes = frame(FrameKind::Ping, 0, b"");
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        link.send(&bytes).await;
        world.must_close(link, ErrorCode::BadRequest, &format!("length {length}")).await;
    }
    world.still_serves().await;
}

/// Lengths to which the four bytes of the length itself cannot be added in 32 bits, and lengths
/// inside the payload that reach behind its end.
async fn f05_a_length_that_overflows(kind: Kind) {
    let mut world = World::start_with(kind, |limits| limits.frame_bytes_max = 64 << 20).await;
    for length in [u32::MAX, u32::MAX - 1, u32::MAX - 3, u32::MAX - 13, 1 << 31, i32::MAX as u32] {
        let mut link = world.open(Role::Home).await;
        let mut bytes = frame(FrameKind::Ping, 0, b"");
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        link.send(&bytes).await;
        world.must_close(link, ErrorCode::TooLarge, &format!("length {length}")).await;
    }
    let mut link = world.open(Role::Caller).await;
    for (index, inner) in [u64::MAX, u64::from(u32::MAX), 1 << 31, 1_000].into_iter().enumerate() {
        let payload = crate::messages::Writer::default().varint(inner).raw(&[b'x'; 40]).0;
        let id = label(index as u32, 1);
        link.send_frame(FrameKind::Request, id, &payload).await;
        let (at, said) = link.answer().await;
        let crate::attacker::Said::Failed(error) = said else { panic!("{said:?}") };
        assert_eq!((at, error.code), (id, ErrorCode::BadRequest), "inner length {inner}");
    }
    link.is_alive().await;
    drop(link);
    world.down().await;
    // The same in a message that ends at the Main, where it costs the link.
    let mut link = world.open(Role::Home).await;
    let huge = crate::messages::Writer::default().varint(u64::MAX).0;
    let payload = crate::messages::Writer::default().raw(&[0]).text("x").raw(&huge).0;
    link.send_frame(FrameKind::Control, 0, &payload).await;
    world.must_close(link, ErrorCode::BadRequest, "a list that never ends").await;
    let lied = [&texts(["a"])[..], &huge].concat();
    let mut link = world.open(Role::Home).await;
    link.send_frame(FrameKind::Control, 0, &crate::messages::register(b"x", &lied)).await;
    let down = world.down().await;
    assert!([101, 211].contains(&down.reason.to_wire()), "{down:?}");
    drop(link);
    world.still_serves().await;
}

/// Whatever the damage makes of the frame and of the one behind it, no handler runs, and the link
/// ends: nobody looks for the next frame in the middle of another.
async fn f07_a_damaged_length(kind: Kind) {
    let short = |limits: &mut relay_tokio::Limits| {
        limits.frame_timeout = Duration::from_millis(400);
    };
    let mut world = World::start_with(kind, short).await;
    let call = |index| {
        let request = Request::to("echo", "echo", b"[1,2,3]");
        frame(FrameKind::Request, label(index, 1), &request.encode())
    };
    for bit in 0..32 {
        let mut link = world.open(Role::Caller).await;
        let mut bytes = call(0);
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes.extend(call(1));
        link.send(&bytes).await;
        let down = world.down().await;
        assert!(down.reason.to_wire() >= 100, "bit {bit}: {down:?}");
        drop(link);
    }
    assert_eq!(world.ran(), 0, "a handler ran");
    world.still_serves().await;
}
