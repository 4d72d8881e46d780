//! Many calls at once: every caller gets its own answer.

use crate::client::{Client, post};
use crate::world::{Main, answer, call};
use std::time::Instant;

/// "Two callers using the same JSON-RPC id at the same time get their own answers, 10,000 times."
#[tokio::test]
async fn equal_ids_are_never_mixed_up() {
    let main = Main::start();
    let _home = main.home("alice.home", &["--service=loud=demo:echo"], &["loud"]).await;
    let (mut alice, mut bob) = (main.connect().await, main.connect().await);
    for round in 0..10_000 {
        let of_alice = format!(r#"["alice",{round}]"#);
        let of_bob = format!(r#"["bob",{round}]"#);
        // Both requests are out before either answer is read.
        alice.send(post("/rpc", "", &call("loud.echo", "7", &of_alice))).await;
        bob.send(post("/rpc", "", &call("loud.echo", "7", &of_bob))).await;
        let (to_alice, to_bob) = tokio::join!(alice.response(), bob.response());
        assert_eq!(to_alice.unwrap().body, answer("7", &of_alice));
        assert_eq!(to_bob.unwrap().body, answer("7", &of_bob));
    }
}

/// "1,000 calls at once (50 connections) through the Main to one Home: all complete, none wrong."
///
/// Each call waits for a time of its own and tells it, so that all are in flight together and no
/// two answers are alike.
#[tokio::test]
async fn a_thousand_calls_at_once() {
    let main = Main::start();
    let _home = main.home("alice.home", &["--service=loud=demo:echo"], &["loud"]).await;
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        callers.push(main.connect().await);
    }
    let began = Instant::now();
    let callers = callers.into_iter().enumerate().map(|(number, client)| {
        let first = number * CALLS_EACH;
        tokio::spawn(sleepers(client, first))
    });
    let callers: Vec<_> = callers.collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let took = began.elapsed();
    let total: usize = (0..CONNECTIONS * CALLS_EACH).map(millis).sum();
    println!("1,000 calls that wait {total} ms in total took {took:?}");
    // One after the other on each connection they would take twenty times as long.
    assert!(took.as_millis() < total as u128 / CONNECTIONS as u128 / 2, "{took:?}");
    let after = main.rpc(&call("loud.echo", "1", "[1]")).await;
    assert_eq!(after.body, answer("1", "[1]"));
}

/// Sends one batch of calls; checks that each has its own answer.
async fn sleepers(mut client: Client, first: usize) {
    let calls: Vec<String> = (first..first + CALLS_EACH)
        .map(|number| call("loud.sleep", &number.to_string(), &format!("[{}]", millis(number))))
        .collect();
    client.send(post("/rpc", "", &format!("[{}]", calls.join(",")))).await;
    let response = client.response().await.expect("closed without an answer");
    let answers: Vec<String> = (first..first + CALLS_EACH)
        .map(|number| answer(&number.to_string(), &format!(r#"{{"slept_ms":{}}}"#, millis(number))))
        .collect();
    assert_eq!(response.body, format!("[{}]", answers.join(",")));
}

/// How long a call waits, in no order.
const fn millis(number: usize) -> usize {
    500 + number * 379 % 1000
}

const CONNECTIONS: usize = 50;
const CALLS_EACH: usize = 20;
