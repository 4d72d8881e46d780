//! Services that answer wrongly, endlessly or never, and callers that go away, with a Home and a
//! Main between them.

use crate::client::post;
use crate::process::Process;
use crate::upstream::Upstream;
use crate::world::{EXAMPLES, Main, SOON, answer, call, failure, until};
use std::time::Instant;

/// J07: "batch half of which needs the same slow Home: entries independent; one deadline for all;
/// no head-of-line for others".
#[tokio::test]
async fn j07_a_slow_half_of_a_batch() {
    let (upstream, main, _home) = world(&["--service=loud=demo:echo"]).await;
    let entries: Vec<String> = (0..20)
        .map(|n| {
            let method = if n % 2 == 0 { "up.hold" } else { "loud.echo" };
            call(method, &n.to_string(), &format!("[{n}]"))
        })
        .collect();
    let batch = main.spawn_rpc(&format!("[{}]", entries.join(",")));
    upstream.until_held(10).await;
    let mut other = main.connect().await;
    for round in 0..100 {
        let method = ["up.echo", "loud.echo"][round % 2];
        let params = format!("[{round}]");
        let began = Instant::now();
        other.send(post("/rpc", "", &call(method, "1", &params))).await;
        assert_eq!(other.response().await.unwrap().body, answer("1", &params));
        assert!(began.elapsed() < SOON, "{method} took {:?}", began.elapsed());
    }
    assert!(!batch.is_finished(), "nothing was released");
    upstream.release();
    let answers: Vec<String> = (0..20).map(|n| answer(&n.to_string(), &format!("[{n}]"))).collect();
    assert_eq!(batch.await.unwrap().body, format!("[{}]", answers.join(",")));

    // One deadline for all: what is ready is kept, what is late is told.
    let (upstream, main, _home) = world(&[]).await;
    let batch = format!("[{},{}]", call("up.hold", "1", "[]"), call("up.echo", "2", "[2]"));
    let mut client = main.connect().await;
    client.send(post("/rpc", "Relay-Timeout-Ms: 300\r\n", &batch)).await;
    let answers = client.response().await.unwrap().json();
    assert_eq!(failure(&answers[0]), ("DEADLINE", "unknown"), "{answers}");
    assert_eq!(answers[1]["result"][0], 2, "{answers}");
    upstream.until_gone(1).await;
}

/// J10: "Home returns malformed JSON / result+error both / wrong id: caller gets BAD_RESPONSE,
/// outcome unknown".
#[tokio::test]
async fn j10_answers_that_are_none() {
    let (_upstream, main, _home) = world(&[]).await;
    for method in ["malformed", "both", "wrong_id"] {
        let got = main.rpc(&call(&format!("up.{method}"), "1", "[]")).await;
        assert_eq!(failure(&got.json()), ("BAD_RESPONSE", "unknown"), "{method}: {got:?}");
        assert_eq!(got.header("relay-error"), Some("BAD_RESPONSE"));
        let good = main.rpc(&call("up.echo", "1", "[1]")).await;
        assert_eq!(good.body, answer("1", "[1]"), "after {method}");
    }
    let broken = format!("[{},{}]", call("up.malformed", "1", "[]"), call("up.echo", "2", "[2]"));
    let answers = main.rpc(&broken).await.json();
    assert_eq!(failure(&answers[0]).0, "BAD_RESPONSE");
    assert_eq!(answers[1]["result"][0], 2, "the rest of the batch stands");
}

/// J11: "Home returns [too much]: TOO_LARGE to caller […]; memory ≤ window", the Home stays usable.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn j11_answers_over_every_limit() {
    let (_upstream, main, home) = world(&[]).await;
    let before = [&main.process, &home].map(Process::resident_kib);
    for method in ["large", "large_in_pieces"] {
        let got = main.rpc(&call(&format!("up.{method}"), "1", "[67108864]")).await;
        assert_eq!(failure(&got.json()), ("TOO_LARGE", "unknown"), "{method}: {}", got.body);
        let good = main.rpc(&call("up.echo", "1", "[1]")).await;
        assert_eq!(good.body, answer("1", "[1]"), "after {method}");
    }
    let after = [&main.process, &home].map(Process::resident_peak_kib);
    println!("KiB of Main and Home before {before:?}, at most {after:?}");
    assert!(after[0] - before[0] < 64 << 10, "Main: {before:?} {after:?}");
    assert!(after[1] - before[1] < 64 << 10, "Home: {before:?} {after:?}");
    assert_eq!(links_of(&home), 1, "the link held");
}

/// J11, just around the limits: an answer arrives whole or is refused, and the link holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn j11_answers_around_the_limits() {
    let (_upstream, main, home) = world(&[]).await;
    let (mut whole, mut refused) = (0, 0);
    for bytes in [
        (1 << 20) - 100,
        1 << 20,
        8 << 20,
        (16 << 20) - 4096,
        (16 << 20) - 100,
        (16 << 20) - 50,
        16 << 20,
    ] {
        let got = main.rpc(&call("up.large", "1", &format!("[{bytes}]"))).await;
        if got.body.len() > bytes {
            assert_eq!(got.body, answer("1", &format!("\"{}\"", "x".repeat(bytes))));
            whole += 1;
        } else {
            assert_eq!(failure(&got.json()).0, "TOO_LARGE", "{bytes}: {}", got.body);
            refused += 1;
        }
        let good = main.rpc(&call("up.echo", "1", "[1]")).await;
        assert_eq!(good.body, answer("1", "[1]"), "after {bytes}");
    }
    println!("{whole} answers came whole, {refused} were refused");
    assert!(whole >= 3 && refused >= 1, "{whole} {refused}");
    assert_eq!(links_of(&home), 1, "the link held");
}

/// J12: "client disconnects mid-call: cancel propagates; pending entry freed ≤ 1 s".
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn j12_callers_that_go_away() {
    let (upstream, main, home) = world(&[]).await;
    let hold = call("up.hold", "1", "[]");
    let mut client = main.connect().await;
    client.send(post("/rpc", "", &hold)).await;
    upstream.until_held(1).await;
    let left = Instant::now();
    drop(client);
    upstream.until_gone(1).await;
    let over_http = left.elapsed();

    let mut client = main.connect().await;
    client.send(post("/rpc", "", &format!("[{hold},{}]", call("up.hold", "2", "[]")))).await;
    upstream.until_held(3).await;
    let left = Instant::now();
    drop(client);
    upstream.until_gone(3).await;
    let batch = left.elapsed();

    let caller = Process::start(main.relay_call(&["up.hold"]));
    upstream.until_held(4).await;
    let left = Instant::now();
    caller.signal("KILL");
    upstream.until_gone(4).await;
    let over_link = left.elapsed();

    let mut client = main.connect().await;
    client.send(post("/rpc", "Relay-Timeout-Ms: 200\r\n", &hold)).await;
    assert_eq!(failure(&client.response().await.unwrap().json()), ("DEADLINE", "unknown"));
    let left = Instant::now();
    upstream.until_gone(5).await;
    let late = left.elapsed();
    println!("cancelled after {over_http:?} (HTTP), {batch:?} (batch), {over_link:?} (link)");
    println!("and {late:?} after its deadline");
    for time in [over_http, batch, over_link, late] {
        assert!(time < SOON, "{time:?}");
    }
    // Nothing is left that the end would have to wait for.
    let stopped = Instant::now();
    // A Main waits for Homes that may have another one to go to, so this one stops first.
    for process in [home, main.process] {
        process.signal("TERM");
        assert_eq!(process.ended().0, Some(0));
    }
    assert!(stopped.elapsed() < SOON, "{:?}", stopped.elapsed());
}

/// J12 for a child: what was asked of it is forgotten, its late answer reaches nobody.
#[tokio::test]
async fn j12_late_answers_of_a_child_are_dropped() {
    let main = Main::start();
    let child = format!("--service=text=exec:python3 '{EXAMPLES}/child.py'");
    let home = main.home("alice.home", &[&child], &["text"]).await;
    let mut client = main.connect().await;
    client.send(post("/rpc", "Relay-Timeout-Ms: 100\r\n", &call("text.slow", "1", "[400]"))).await;
    assert_eq!(failure(&client.response().await.unwrap().json()).0, "DEADLINE");
    // The same id on the same connection, while the late answer comes in.
    let began = Instant::now();
    let mut calls = 0;
    until("the late answer is in", async || {
        client.send(post("/rpc", "", &call("text.add", "1", &format!("[{calls},1]")))).await;
        let sum = (calls + 1).to_string();
        assert_eq!(client.response().await.unwrap().body, answer("1", &sum));
        calls += 1;
        began.elapsed().as_millis() > 600
    })
    .await;
    assert_eq!(links_of(&home), 1, "the link held");
}

async fn world(flags: &[&str]) -> (Upstream, Main, Process) {
    let upstream = Upstream::start().await;
    let main = Main::start();
    let service = upstream.service("up");
    let offers: &[&str] = if flags.is_empty() { &["up"] } else { &["up", "loud"] };
    let home = main.home("alice.home", &[&[service.as_str()], flags].concat(), offers).await;
    (upstream, main, home)
}

fn links_of(home: &Process) -> usize {
    home.lines().iter().filter(|line| line.contains(" link up ")).count()
}
