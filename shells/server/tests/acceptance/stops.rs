//! "SIGTERM: calls in flight finish or are answered; exit code 0", of a Home and of a Main.

use crate::client::Response;
use crate::process::Process;
use crate::upstream::Upstream;
use crate::world::{Main, SOON, answer, call, failure};
use std::time::Instant;
use tokio::task::JoinHandle;

/// "SIGTERM: calls in flight finish".
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_home_finishes_its_calls() {
    let world = World::start(&[], &["--shutdown-grace", "60s"]).await;
    let waiting = world.hold(3).await;
    world.home.signal("TERM");
    world.home.lines_until("stopping");
    // Nothing new is begun by a Home that leaves.
    let refused = world.main.rpc(&call("up.echo", "1", "[1]")).await.json();
    assert_eq!(failure(&refused).1, "no", "{refused}");
    world.upstream.release();
    for call in waiting {
        assert_eq!(call.await.unwrap().body, answer("1", "[]"));
    }
    assert_eq!(stopped(world.home), Some(0));
    let gone = world.main.rpc(&call("up.echo", "1", "[1]")).await.json();
    assert_eq!(failure(&gone).1, "no", "{gone}");
}

/// "SIGTERM: calls in flight […] are answered", when they outlive the grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_home_gives_up_calls_after_the_grace() {
    let world = World::start(&[], &["--shutdown-grace", "300ms"]).await;
    let waiting = world.hold(3).await;
    let began = Instant::now();
    world.home.signal("TERM");
    for call in waiting {
        let answer = call.await.unwrap().json();
        assert_eq!(failure(&answer).1, "unknown", "{answer}");
    }
    assert_eq!(stopped(world.home), Some(0));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

/// "SIGTERM: calls in flight finish": a Main says at once that it is not ready, and serves on while
/// anybody is still linked; then it closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_main_serves_on_until_everyone_has_left() {
    let world = World::start(&["--shutdown-grace", "120s"], &["--shutdown-grace", "60s"]).await;
    let waiting = world.hold(3).await;
    let mut idle = world.main.connect().await;
    world.main.process.signal("TERM");
    world.main.process.lines_until("serving on until everyone has moved");
    let mut client = world.main.connect().await;
    client.send("GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(client.response().await.unwrap().status, 503);
    assert_eq!(world.main.rpc(&call("up.echo", "1", "[1]")).await.body, answer("1", "[1]"));
    // The Home leaves too, once its calls are done.
    world.home.signal("TERM");
    world.home.lines_until("stopping");
    world.upstream.release();
    for call in waiting {
        assert_eq!(call.await.unwrap().body, answer("1", "[]"));
    }
    assert_eq!(stopped(world.home), Some(0));
    world.main.process.lines_until("everyone has left");
    assert!(idle.is_closed_within(SOON).await, "nobody waits for a caller that asks nothing");
    assert_eq!(stopped(world.main.process), Some(0));
}

/// "SIGTERM: calls in flight […] are answered", when they outlive the grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_main_answers_for_calls_after_the_grace() {
    let world = World::start(&["--shutdown-grace", "300ms"], &[]).await;
    let waiting = world.hold(3).await;
    let began = Instant::now();
    world.main.process.signal("TERM");
    for call in waiting {
        let answer = call.await.unwrap().json();
        assert_eq!(failure(&answer).1, "unknown", "{answer}");
    }
    assert_eq!(stopped(world.main.process), Some(0));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    world.upstream.until_gone(3).await;
    // The Home outlives its Main and waits for it.
    world.home.lines_until("dialling again");
}

fn stopped(process: Process) -> Option<i32> {
    let (code, lines) = process.ended();
    assert!(lines.iter().any(|line| line.ends_with("stopped")), "{lines:#?}");
    code
}

struct World {
    upstream: Upstream,
    main: Main,
    home: Process,
}

impl World {
    async fn start(of_main: &[&str], of_home: &[&str]) -> Self {
        let upstream = Upstream::start().await;
        let main = Main::with(&[&["--port", "0"], of_main].concat());
        let service = upstream.service("up");
        let flags = [&[service.as_str()], of_home].concat();
        let home = main.home("alice.home", &flags, &["up"]).await;
        Self { upstream, main, home }
    }

    /// Calls that are with the upstream and wait.
    async fn hold(&self, count: usize) -> Vec<JoinHandle<Response>> {
        let hold = call("up.hold", "1", "[]");
        let calls = (0..count).map(|_| self.main.spawn_rpc(&hold)).collect();
        self.upstream.until_held(count).await;
        calls
    }
}
