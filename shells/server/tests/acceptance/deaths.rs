//! Processes that die without a word, and come back.

use crate::upstream::Upstream;
use crate::world::{Main, SOON, answer, call, failure, start_home, until};
use std::process::Stdio;
use std::time::Instant;

/// "kill -9 a Home: its services leave /registry within 1 s, waiting calls are answered at once
/// with `executed: unknown`, later ones with `executed: no`."
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_home() {
    let upstream = Upstream::start().await;
    let main = Main::start();
    let flags = [&upstream.service("up"), "--service=loud=demo:echo"];
    let home = main.home("alice.home", &flags, &["up", "loud"]).await;
    let waiting: Vec<_> = (0..5).map(|_| main.spawn_rpc(&call("up.hold", "1", "[]"))).collect();
    upstream.until_held(5).await;

    let killed = Instant::now();
    home.signal("KILL");
    for call in waiting {
        let answer = call.await.unwrap().json();
        assert_eq!(failure(&answer).1, "unknown", "{answer}");
    }
    let answered = killed.elapsed();
    for service in ["up", "loud"] {
        until("the services leave", async || !main.lists(service, "alice.home").await).await;
    }
    let left = killed.elapsed();
    println!(
        "killed Home: waiting calls answered after {answered:?}, services left after {left:?}"
    );
    assert!(answered < SOON && left < SOON, "{answered:?} {left:?}");

    for method in ["up.echo", "alice.home.up.echo", "loud.echo"] {
        let began = Instant::now();
        let answer = main.rpc(&call(method, "1", "[1]")).await.json();
        assert_eq!(failure(&answer).1, "no", "{method}: {answer}");
        assert!(began.elapsed() < SOON, "{method} took {:?}", began.elapsed());
    }
    assert_eq!(home.ended().0, None, "killed by the signal");

    let again = main.home("alice.home", &flags, &["up", "loud"]).await;
    assert_eq!(main.rpc(&call("up.echo", "1", "[1]")).await.body, answer("1", "[1]"));
    drop(again);
}

/// "kill -9 and restart the Main (same port): Homes are back and callable without help."
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_main_that_comes_back() {
    let upstream = Upstream::start().await;
    let main = Main::start();
    let alice = main.home("alice.home", &[&upstream.service("up")], &["up"]).await;
    let bob = main.home("bob.home", &["--service=loud=demo:echo"], &["loud"]).await;
    for _ in 0..3 {
        assert_eq!(main.called(&["loud.echo", "[1]"]), "[1]\n");
    }
    let mut waiting = main.relay_call(&["up.hold"]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    upstream.until_held(1).await;

    let address = main.address;
    let killed = Instant::now();
    main.process.signal("KILL");
    assert_eq!(main.process.ended().0, None);
    let output = waiting.wait_with_output().unwrap();
    let told = killed.elapsed();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("executed: unknown"), "{text}");
    upstream.until_gone(1).await;
    let gone = killed.elapsed();
    println!("killed Main: caller told after {told:?}, call cancelled in its Home after {gone:?}");
    assert!(told < SOON && gone < SOON, "{told:?} {gone:?}");

    let main = Main::start_at(address);
    let restarted = Instant::now();
    main.until_offered("up", "alice.home").await;
    main.until_offered("loud", "bob.home").await;
    println!("restarted Main: Homes are back after {:?}", restarted.elapsed());
    for method in ["up.echo", "alice.home.up.echo", "loud.echo", "bob.home.loud.echo"] {
        let got = main.rpc(&call(method, "1", "[1]")).await;
        assert_eq!(got.body, answer("1", "[1]"), "{method}");
    }
    drop((alice, bob));
}

/// "A Home started before its Main connects later."
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_home_that_was_there_first() {
    let main = Main::start();
    let address = main.address;
    main.process.signal("KILL");
    main.process.ended();
    let home = start_home(address, "alice.home", &["--service=loud=demo:echo"]);
    home.lines_until("dialling again");
    let main = Main::start_at(address);
    main.until_offered("loud", "alice.home").await;
    home.lines_until("connected to the Main Relay");
    assert_eq!(main.rpc(&call("loud.echo", "1", "[1]")).await.body, answer("1", "[1]"));
}
