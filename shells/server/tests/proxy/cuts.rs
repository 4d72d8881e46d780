//! Connections that are reset: in the middle of calls, and at any byte.

use crate::ledger::Ledger;
use crate::process::{Process, command};
use crate::upstream::Upstream;
use crate::wire::{Fate, Flow, Wire};
use crate::world::{Main, Settings, answer, call, failure, start_home};
use futures_util::future::join_all;
use relay_tokio::{CallRequest, Endpoint, Executed, Node, NodeConfig, Role};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

/// Callers of a Home whose connection is reset are told at once that it is not known whether their
/// calls ran; the Home stops what it runs for nobody, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_link_of_a_home() {
    let upstream = Upstream::start().await;
    let main = Main::start();
    let wire = Wire::to(main.address).await;
    let home = start_home(wire.address, "alice.home", &[&upstream.service("up")]);
    main.until_offered("up", "alice.home").await;
    for round in 1..=3 {
        let waiting: Vec<_> = (0..5).map(|_| main.spawn_rpc(&call("up.hold", "1", "[]"))).collect();
        upstream.until_held(5 * round).await;
        wire.reset();
        for call in waiting {
            let answer = call.await.unwrap().json();
            assert_eq!(failure(&answer), ("LINK_LOST", "unknown"), "{answer}");
        }
        upstream.until_gone(5 * round).await;
        main.until_offered("up", "alice.home").await;
        assert_eq!(main.rpc(&call("up.echo", "1", "[1]")).await.body, answer("1", "[1]"));
        // None of them was sent a second time.
        assert_eq!(upstream.counts(), (5 * round, 5 * round));
    }
    assert!(wire.count() > 3, "{} connections", wire.count());
    drop(home);
}

/// A caller whose connection is reset is told at once, and what it asked for is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_link_of_a_caller() {
    let upstream = Upstream::start().await;
    let main = Main::start();
    let wire = Wire::to(main.address).await;
    let home = main.home("alice.home", &[&upstream.service("up")], &["up"]).await;
    let url = format!("ws://{}", wire.address);
    let mut caller = command(&["call", "--connect", &url, "--timeout", "5m", "up.hold"]);
    let caller = caller.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    upstream.until_held(1).await;
    wire.reset();
    upstream.until_gone(1).await;
    let output = caller.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("LINK_LOST") && text.contains("executed: unknown"), "{text}");
    assert_eq!(main.rpc(&call("up.echo", "1", "[1]")).await.body, answer("1", "[1]"));
    drop(home);
}

/// Both the link of the Home and that of the caller are reset again and again, each time at another
/// byte, in handshakes and in frames, while calls go over them: what is told is true, and nothing
/// runs twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn links_that_are_cut_at_any_byte() {
    let ledger = Ledger::new("cuts");
    let main = Main::start();
    let passes = Fate::new(Flow::Pass, Flow::Pass);
    let of_home = Wire::with(main.address, passes, |nth| bytes_of(nth, 11)).await;
    let of_caller = Wire::with(main.address, passes, |nth| bytes_of(nth, 47)).await;
    let settings = Settings::new("cuts", "[limits]\nreconnect_max = \"200ms\"\n");
    let flags = ["--config", settings.path(), &ledger.service()];
    let home = start_home(of_home.address, "alice.home", &flags);
    let caller = caller(&of_caller);

    let told = RefCell::new(BTreeMap::new());
    let results = || told.borrow().values().filter(|told| **told == Told::Result).count();
    let is_enough = || results() >= RESULTS && of_home.count() > CUTS && of_caller.count() > CUTS;
    join_all((0..LANES).map(|lane| {
        let (caller, told, is_enough) = (&caller, &told, &is_enough);
        async move {
            for turn in 0..TURNS_MAX {
                if is_enough() {
                    return;
                }
                let uid = format!("{lane}-{turn}");
                let outcome = record(caller, &uid).await;
                let failed = outcome != Told::Result;
                told.borrow_mut().insert(uid, outcome);
                if failed {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }))
    .await;
    let told = told.into_inner();
    // Whatever is still on its way may run until the Home has ended.
    settled(home);
    println!("{} and {} connections", of_home.count(), of_caller.count());
    judge(&told, &ledger.runs());
}

/// What a caller is told.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Told {
    Result,
    Failed(Executed),
}

fn caller(wire: &Wire) -> Node {
    let mut config = NodeConfig::new(Role::Caller);
    config.upstreams = vec![Endpoint::parse(&format!("ws://{}", wire.address)).unwrap()];
    config.limits.reconnect_max = Duration::from_millis(200);
    Node::start(config).unwrap()
}

async fn record(caller: &Node, uid: &str) -> Told {
    let request = CallRequest::new("ledger", "record", format!("[\"{uid}\"]"));
    match caller.call(request).await {
        Ok(answer) => {
            let expected = relay_tokio::Answer::Result(format!("{{\"uid\": \"{uid}\"}}").into());
            assert_eq!(answer, expected, "the answer of another call");
            Told::Result
        }
        Err(error) => Told::Failed(error.executed),
    }
}

/// Ends a Home in good order.
fn settled(home: Process) {
    home.signal("TERM");
    let (code, lines) = home.ended();
    assert_eq!(code, Some(0), "{lines:#?}");
}

/// Holds what callers were told against what ran.
fn judge(told: &BTreeMap<String, Told>, runs: &BTreeMap<String, u32>) {
    let mut counts = [0; 4];
    let mut broken = Vec::new();
    for (uid, outcome) in told {
        let ran = runs.get(uid).copied().unwrap_or_default();
        let (at, holds) = match outcome {
            Told::Result => (0, ran == 1),
            Told::Failed(Executed::No) => (1, ran == 0),
            Told::Failed(Executed::Unknown) => (2, ran <= 1),
            Told::Failed(Executed::Yes) => (3, ran == 1),
        };
        counts[at] += 1;
        if !holds {
            broken.push(format!("{uid} ran {ran} times, and its caller was told {outcome:?}"));
        }
    }
    let [results, no, unknown, yes] = counts;
    println!("{results} results, {no} did not run, {unknown} may have run, {yes} ran and failed");
    assert!(runs.keys().all(|uid| told.contains_key(uid)), "something ran that nobody called");
    assert_eq!(broken, Vec::<String>::new());
    assert!(results >= RESULTS, "{results} results");
    assert!(no + unknown > 0, "no cut hit a call");
}

/// After how many bytes the nth connection of a wire is cut. The first bytes are a handshake of
/// about a kilobyte.
const fn bytes_of(nth: u64, step: u64) -> u64 {
    match nth % 4 {
        0 => nth * step * 7 % 1_200,
        _ => 1_500 + nth * step * 997 % 9_000,
    }
}

const LANES: usize = 4;
const TURNS_MAX: usize = 20_000;
const RESULTS: usize = 300;
const CUTS: usize = 20;
