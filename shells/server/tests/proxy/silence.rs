//! Hosts that are gone without a word: their connections stay open, and nothing comes any more.

use crate::upstream::Upstream;
use crate::wire::{Fate, Flow, Wire};
use crate::world::{Main, Settings, answer, call, failure, start_home};

/// Nothing gets through in either direction.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_host_that_is_gone() {
    silence(Fate::new(Flow::Lose, Flow::Lose)).await;
}

/// The Main hears nothing of a Home that hears the Main.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_home_that_is_not_heard() {
    silence(Fate::new(Flow::Lose, Flow::Pass)).await;
}

/// A Home hears nothing of the Main that hears the Home.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_main_that_is_not_heard() {
    silence(Fate::new(Flow::Pass, Flow::Lose)).await;
}

/// Keepalives find it, long before any deadline: waiting calls are told that it is not known
/// whether they ran, the Home stops them and comes back over a connection of its own.
async fn silence(fate: Fate) {
    let name = format!("silence-{:?}-{:?}", fate.up, fate.down);
    let settings =
        Settings::new(&name, "[limits]\nkeepalive_after = \"1s\"\nidle_timeout = \"3s\"\n");
    let upstream = Upstream::start().await;
    let main = Main::with(&["--port", "0", "--config", settings.path()]);
    let wire = Wire::to(main.address).await;
    let flags = ["--config", settings.path(), &upstream.service("up")];
    let home = start_home(wire.address, "alice.home", &flags);
    main.until_offered("up", "alice.home").await;
    let waiting: Vec<_> = (0..5).map(|_| main.spawn_rpc(&call("up.hold", "1", "[]"))).collect();
    upstream.until_held(5).await;

    wire.set(fate);
    for call in waiting {
        let answer = call.await.unwrap().json();
        assert_eq!(failure(&answer), ("LINK_LOST", "unknown"), "{answer}");
    }
    upstream.until_gone(5).await;
    main.until_offered("up", "alice.home").await;
    assert_eq!(main.rpc(&call("up.echo", "1", "[1]")).await.body, answer("1", "[1]"));
    assert_eq!(upstream.counts(), (5, 5), "none was sent a second time");
    assert!(wire.count() > 1, "over the connection that was lost?");
    drop(home);
}
