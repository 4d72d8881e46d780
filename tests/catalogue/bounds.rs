//! Peers who cost much and say little: silent connections, and floods of the smallest frames.

use crate::attacker::{frame, label};
use crate::messages::{Request, Writer, registered};
use crate::wire::Kind;
use crate::world::{World, until};
use relay_core::frame::Kind as FrameKind;
use relay_tokio::{CloseReason, ErrorCode, Role};
use std::time::Duration;

rows! {
    f13_a_flood_of_the_smallest_frames,
    h01_connect_and_send_nothing,
    h02_many_half_open_handshakes,
}

/// While it lasts others are served, and it does not last.
async fn f13_a_flood_of_the_smallest_frames(kind: Kind) {
    let mut world = World::start(kind).await;
    let refresh = Writer::default().raw(&[4]).0;
    let floods = [
        (FrameKind::Ping, vec![]),
        (FrameKind::Pong, vec![]),
        (FrameKind::Control, refresh),
        (FrameKind::Extension, vec![]),
    ];
    for (frame_kind, payload) in floods {
        let mut link = world.open(Role::Home).await;
        let batch = frame(frame_kind, 0, &payload).repeat(250);
        // What was unread when the link closed may take the goodbye with it, so the log decides.
        let mut calls = 0;
        let down = loop {
            link.send(&batch).await;
            let answer = world.call("echo", "1").await;
            assert_eq!(answer, Ok(relay_tokio::Answer::Result("1".into())), "{frame_kind:?}");
            calls += 1;
            let pause = Duration::from_millis(1);
            if let Ok(down) = tokio::time::timeout(pause, world.down()).await {
                break down;
            }
            assert!(calls < 10_000, "{frame_kind:?} goes on for ever");
        };
        assert_eq!(down.reason.to_wire(), ErrorCode::RateLimited as u16, "{frame_kind:?}");
    }
    // Larger ones are no pings.
    let mut link = world.open(Role::Caller).await;
    link.send_frame(FrameKind::Ping, 0, &[0; 65]).await;
    world.must_close(link, ErrorCode::BadRequest, "a ping of 65 bytes").await;
    let mut link = world.open(Role::Home).await;
    link.send_frame(FrameKind::Control, 0, &registered("echo")).await;
    world.must_close(link, ErrorCode::BadState, "a Home that registers a Main").await;
    world.still_serves().await;
}

async fn h01_connect_and_send_nothing(kind: Kind) {
    let short = |limits: &mut relay_tokio::Limits| {
        limits.handshake_timeout = Duration::from_millis(700);
    };
    let mut world = World::start_with(kind, short).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(world.connect().await);
    }
    // Half a handshake is no better than none.
    let (_, hello) = world.stranger(Role::Home);
    let mut half = world.connect().await;
    half.ask(&hello.encode()).await.expect("a challenge");
    silent.push(half);
    for _ in 0..silent.len() {
        let down = world.down().await;
        assert_eq!((down.reason, down.node), (CloseReason::HandshakeTimeout, None));
    }
    for mut link in silent {
        assert!(link.frame().await.is_none(), "closed without a word");
    }
    world.still_serves().await;
}

async fn h02_many_half_open_handshakes(kind: Kind) {
    let few = |limits: &mut relay_tokio::Limits| {
        limits.handshakes_max = 4;
        limits.handshake_timeout = Duration::from_mins(10);
    };
    let mut world = World::start_with(kind, few).await;
    let mut pending = Vec::new();
    for _ in 0..4 {
        pending.push(world.connect().await);
    }
    let mut newest = Vec::new();
    for _ in 0..20 {
        newest.push(world.connect().await);
    }
    until("the newest are refused", || world.main.stats().links_refused == 20).await;
    for mut link in newest {
        assert!(link.frame().await.is_none(), "closed without a word");
    }
    // Whoever is authenticated does not notice.
    for number in 0..50 {
        let answer = world.call("echo", &number.to_string()).await;
        assert_eq!(answer, Ok(relay_tokio::Answer::Result(number.to_string().into())));
    }
    // The older ones were not pushed out, and one that is done makes room.
    let mut oldest = pending.remove(0);
    let (signing, hello) = world.stranger(Role::Caller);
    oldest.shake(&hello, &signing).await.expect("it kept its place");
    oldest.is_alive().await;
    let mut next = world.connect().await;
    let (signing, hello) = world.stranger(Role::Caller);
    next.shake(&hello, &signing).await.expect("there is room again");
    drop(pending);
    for _ in 0..3 {
        assert_eq!(world.down().await.reason, CloseReason::PeerClosed);
    }
    drop((oldest, next));
    world.still_serves().await;
}

/// The index of a label is a number that the peer declares: one small call must not make the Main
/// set room aside for all the calls that might be in flight. Each link may take what a few hundred
/// calls cost, far from the 16 384 that are granted.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn r2_a_high_label_takes_no_room_for_lower_ones() {
    let resident_pages = || {
        let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
        let pages = text.split(' ').nth(1).expect("the second number is of resident pages");
        pages.parse::<usize>().expect("a number")
    };
    let world = World::start(Kind::Tcp).await;
    let before = resident_pages();
    let mut links = Vec::new();
    for _ in 0..LINKS {
        let mut link = world.open(Role::Caller).await;
        link.call(label(16_383, 1), &Request::to("echo", "echo", b"1")).await;
        link.answer().await;
        links.push(link);
    }
    let bytes = resident_pages().saturating_sub(before) * PAGE_BYTES / LINKS;
    assert!(bytes < 128 << 10, "{bytes} bytes for each link that sent one call");
    drop(links);
    world.still_serves().await;
}

#[cfg(target_os = "linux")]
const LINKS: usize = 200;
/// The usual size; where pages are larger the bound is easier to meet.
#[cfg(target_os = "linux")]
const PAGE_BYTES: usize = 4_096;
