//! Who may offer what.

use crate::world::{Server, failure};
use relay_server::http::ClientLimits;
use serde_json::json;

#[tokio::test]
async fn a_name_belongs_to_whoever_came_first() {
    let server = Server::start().await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    first.register("job").await;
    for params in [json!({ "service": "job" }), json!({ "service": "job", "share": true })] {
        let answer = second.call("rpc.register", params).await;
        assert_eq!(failure(&answer), ("NAME_CONFLICT", "no"));
    }
    let answer = second.call("rpc.register", json!({ "service": "demo" })).await;
    assert_eq!(failure(&answer), ("NAME_CONFLICT", "no"), "a service of the node itself");
    // Said again it replaces what was said before.
    first.call("rpc.register", json!({ "service": "job", "methods": ["run"] })).await;
    let view = server.node.registry();
    let job = view.services.iter().find(|service| service.name == "job").unwrap();
    assert_eq!(job.methods, ["run"]);
    let answer = second.call("rpc.withdraw", json!({ "service": "job" })).await;
    assert_eq!(answer["result"], false, "of another client");
    assert!(server.node.is_offered("job"));
    let answer = first.call("rpc.withdraw", json!({ "service": "job" })).await;
    assert_eq!(answer["result"], true);
    assert!(!server.node.is_offered("job"));
    second.register("job").await;
}

#[tokio::test]
async fn clients_that_share_a_service_answer_in_turn() {
    let server = Server::start().await;
    let mut workers = [server.client().await, server.client().await];
    let params = json!({ "service": "job", "methods": ["run"], "share": true });
    for worker in &mut workers {
        worker.call("rpc.register", params.clone()).await;
    }
    let mut other = server.client().await;
    let differs = json!({ "service": "job", "methods": ["go"], "share": true });
    let answer = other.call("rpc.register", differs).await;
    assert_eq!(failure(&answer), ("NAME_CONFLICT", "no"));
    // Each has one call to answer before any has two.
    for id in [90, 91] {
        other.send_json(&json!({ "jsonrpc": "2.0", "id": id, "method": "job.run" })).await;
    }
    for worker in &mut workers {
        let id = worker.json().await["id"].clone();
        worker.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": 1 })).await;
    }
    for id in [90, 91] {
        assert_eq!(other.answer(id).await["result"], 1);
    }
    let [first, mut second] = workers;
    drop(first);
    // The one that is left answers alone, from when the loss was noticed.
    let mut answered = 0;
    while answered < 3 {
        let id = 100 + answered;
        other.send_json(&json!({ "jsonrpc": "2.0", "id": id, "method": "job.run" })).await;
        tokio::select! {
            asked = second.json() => {
                let id = &asked["id"];
                second.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": 2 })).await;
                assert_eq!(other.answer(id_of(100 + answered)).await["result"], 2);
                answered += 1;
            }
            lost = other.answer(id_of(id)) => assert_eq!(failure(&lost).0, "LINK_LOST"),
        }
    }
    assert!(server.node.is_offered("job"));
}

const fn id_of(id: u64) -> u64 {
    id
}

#[tokio::test]
async fn names_and_counts_are_checked() {
    let limits = ClientLimits { services_max: 2, ..ClientLimits::default() };
    let server = Server::bounded(limits).await;
    let mut client = server.client().await;
    for (params, code) in [
        (json!({ "service": "a.b" }), "NAME_INVALID"),
        (json!({ "service": "" }), "NAME_INVALID"),
        (json!({ "service": "a", "methods": ["not legal"] }), "NAME_INVALID"),
        (json!({ "service": "a", "methods": vec!["m"; 100_000] }), "OVERLOADED"),
        (json!({ "service": 1 }), "BAD_PARAMS"),
        (json!({ "service": "a", "more": 1 }), "BAD_PARAMS"),
        (json!([]), "BAD_PARAMS"),
    ] {
        let answer = client.call("rpc.register", params.clone()).await;
        let shown: String = params.to_string().chars().take(100).collect();
        assert_eq!(failure(&answer), (code, "no"), "{shown}");
    }
    client.register("one").await;
    client.register("two").await;
    let answer = client.call("rpc.register", json!({ "service": "three" })).await;
    assert_eq!(failure(&answer), ("OVERLOADED", "no"));
    assert_eq!(answer["error"]["data"]["limit"], 2);
}
