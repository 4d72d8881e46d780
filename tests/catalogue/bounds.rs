//! Strangers who hold connections and say nothing.

use crate::wire::Kind;
use crate::world::{World, until};
use relay_tokio::{CloseReason, Role};
use std::time::Duration;

rows! {
    h01_connect_and_send_nothing,
    h02_many_half_open_handshakes,
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
