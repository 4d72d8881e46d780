//! Connections that carry nothing for a while, and everything then.

use crate::ledger::Ledger;
use crate::wire::{Fate, Flow, Wire};
use crate::world::{Main, answer, call, failure, start_home};
use futures_util::future::join_all;

/// Calls do not get to the Home in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_that_come_too_late() {
    stall(Fate::new(Flow::Pass, Flow::Stall)).await;
}

/// Their answers do not get back in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn answers_that_come_too_late() {
    stall(Fate::new(Flow::Stall, Flow::Pass)).await;
}

/// Deadlines are kept all the same, without a guess about what ran. What arrives at last belongs to
/// calls that are over: it runs nothing twice and answers nobody else.
async fn stall(fate: Fate) {
    let ledger = Ledger::new(&format!("stall-{:?}", fate.up));
    let main = Main::start();
    let wire = Wire::to(main.address).await;
    let home = start_home(wire.address, "alice.home", &[&ledger.service()]);
    main.until_offered("ledger", "alice.home").await;
    let record = |uid: &str| call("ledger.record", "1", &format!("[\"{uid}\"]"));
    let uids: Vec<String> = (0..10).map(|nth| format!("stalled-{nth}")).collect();

    wire.set(fate);
    let calls = uids.iter().map(|uid| {
        let body = record(uid);
        let main = &main;
        async move { main.rpc_with("Relay-Timeout: 300ms\r\n", &body).await }
    });
    for answer in join_all(calls).await {
        assert_eq!(failure(&answer), ("DEADLINE", "unknown"), "{answer}");
    }
    wire.set(Fate::new(Flow::Pass, Flow::Pass));
    // A link is ordered: what was held back has arrived before this.
    main.until_offered("ledger", "alice.home").await;
    let after = main.rpc(&record("after")).await;
    assert_eq!(after.body, answer("1", "{\"uid\": \"after\"}"));

    let runs = ledger.runs();
    println!("{} of {} stalled calls ran", runs.len() - 1, uids.len());
    assert!(runs.values().all(|count| *count == 1), "{runs:?}");
    assert!(runs.contains_key("after"), "{runs:?}");
    drop(home);
}
