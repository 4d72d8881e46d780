//! Flag words: what was not negotiated is refused, what is optional is ignored and counted.

use crate::attacker::{frame, frame_with_flags};
use crate::wire::Kind;
use crate::world::{World, until};
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{ErrorCode, Role};

rows! {
    f10_flags_that_were_not_negotiated,
    f11_kinds_without_meaning,
}

const fn flags(version: u16, compression: u16, checksum: u16, kind: u16, ttl: u16) -> u16 {
    ttl << 12 | kind << 8 | checksum << 7 | compression << 4 | version
}

async fn f10_flags_that_were_not_negotiated(kind: Kind) {
    let mut world = World::start(kind).await;
    for frame_kind in 0..12 {
        let mut link = world.open(Role::Caller).await;
        link.send(&frame_with_flags(flags(1, 0, 0, frame_kind, 0), 0, b"xxxx")).await;
        let what = format!("kind {frame_kind} without a checksum");
        world.must_close(link, ErrorCode::BadFlags, &what).await;
        // Only requests (4) and publishes (10) are forwarded.
        if ![4, 10].contains(&frame_kind) {
            let mut link = world.open(Role::Home).await;
            link.send(&frame_with_flags(flags(1, 0, 1, frame_kind, 8), 0, b"")).await;
            world.must_close(link, ErrorCode::BadFlags, &format!("kind {frame_kind}, TTL")).await;
        }
    }
    for version in [0, 2, 3, 15] {
        let mut link = world.open(Role::Caller).await;
        link.send(&frame_with_flags(flags(version, 0, 1, 1, 0), 0, b"")).await;
        world.must_close(link, ErrorCode::Version, &format!("frame version {version}")).await;
    }
    let mut link = world.connect().await;
    link.send(&frame_with_flags(flags(1, 0, 0, 0, 0), 0, b"xxxx")).await;
    world.must_close(link, ErrorCode::BadFlags, "before the handshake").await;
    world.still_serves().await;
}

async fn f11_kinds_without_meaning(kind: Kind) {
    let mut world = World::start(kind).await;
    for number in 12..16 {
        for role in [Role::Home, Role::Caller] {
            let mut link = world.open(role).await;
            link.send(&frame_with_flags(flags(1, 0, 1, number, 0), 0, b"")).await;
            world.must_close(link, ErrorCode::BadState, &format!("kind {number}")).await;
        }
        let mut link = world.connect().await;
        link.send(&frame_with_flags(flags(1, 0, 1, number, 0), 0, b"")).await;
        world.must_close(link, ErrorCode::BadState, &format!("kind {number}, first")).await;
    }
    // One write each, so that all are counted at the same moment.
    let extension = frame(FrameKind::Extension, 0, b"of a later version");
    let mut link = world.open(Role::Caller).await;
    link.send(&extension.repeat(100)).await;
    link.is_alive().await;
    until("all are counted", || world.main.stats().extensions_ignored == 100).await;
    drop(link);
    world.down().await;
    // A window of a second may end in mid-way on a slow machine; three times as many fill the next.
    let mut link = world.open(Role::Caller).await;
    link.send(&extension.repeat(300)).await;
    world.must_close(link, ErrorCode::RateLimited, "more than 100 in a second").await;
    world.still_serves().await;
}
