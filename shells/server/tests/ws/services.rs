//! Calls that a client answers.

use crate::world::{Server, failure, request, until};
use relay_server::http::ClientLimits;
use serde_json::{Value, json};
use std::time::Instant;

#[tokio::test]
async fn a_service_is_called_from_everywhere_and_listed_like_any_other() {
    let server = Server::start().await;
    let mut service = server.client().await;
    let params = json!({ "service": "notes", "methods": ["add", "list"] });
    let answer = service.call("rpc.register", params).await;
    assert_eq!(answer["result"], json!({ "service": "notes", "node": "main-a" }));
    let began = Instant::now();
    let caller = async {
        server
            .rpc(&json!({ "jsonrpc": "2.0", "id": 1, "method": "notes.add", "params": [1] }))
            .await
    };
    let answering = async {
        let asked = service.json().await;
        assert_eq!((&asked["method"], &asked["params"]), (&json!("notes.add"), &json!([1])));
        // A minute, less what has passed of it: on a slow machine that is more than a second.
        let left = asked["relay"]["timeout_ms"].as_u64().unwrap();
        let passed = began.elapsed().as_millis() as u64;
        assert!(left <= 60_000 && left + passed >= 59_000, "{left} ms left after {passed} ms");
        let id = asked["id"].as_str().unwrap();
        assert!(id.starts_with("relay:"), "{id}");
        let answer = format!(r#"{{"jsonrpc":"2.0","id":"{id}","result":{{"a":1e400,"a":2}}}}"#);
        service.send(answer.replace("1e400", "1e40")).await;
    };
    let (answer, ()) = tokio::join!(caller, answering);
    assert_eq!(answer["result"], json!({ "a": 2 }));
    let registry = server.get("/registry").await.json();
    let listed = &registry["servers"]["notes"];
    assert_eq!(listed["node_id"], "main-a", "{registry}");
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("relay_websocket_clients 1"), "{metrics}");
    assert!(metrics.contains(r#"service="notes""#), "{metrics}");
    let discovered = service.call("rpc.discover", json!([])).await;
    let methods: Vec<&Value> = discovered["result"]["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(methods, ["notes.add", "notes.list"]);
}

#[tokio::test]
async fn answers_pass_byte_for_byte_and_doubtful_ones_are_none() {
    let server = Server::start().await;
    let (mut service, mut caller) = (server.client().await, server.client().await);
    service.register("job").await;
    for (answer, expected) in [
        (r#""result":{"a":1e400,"a":2}"#, r#""result":{"a":1e400,"a":2}"#),
        (r#""result":null"#, r#""result":null"#),
        (
            r#""error":{"code":5,"message":"m","data":1e400}"#,
            r#""error":{"code":5,"message":"m","data":1e400}"#,
        ),
        (r#""result":1,"error":{"code":5,"message":"m"}"#, "BAD_RESPONSE"),
        (r#""error":{"code":"5","message":"m"}"#, "BAD_RESPONSE"),
        (r#""result":1,"result":2"#, "BAD_RESPONSE"),
    ] {
        caller.send_json(&request(1, "job.run", json!([]), json!({}))).await;
        let id = service.json().await["id"].clone();
        service.send(format!(r#"{{"jsonrpc":"2.0",{answer},"id":{id}}}"#)).await;
        let text = caller.text().await;
        assert!(text.contains(expected), "{answer}: {text}");
    }
}

#[tokio::test]
async fn answers_to_nothing_harm_nobody() {
    let server = Server::start().await;
    let (mut service, mut caller) = (server.client().await, server.client().await);
    service.register("job").await;
    caller.send_json(&request(1, "job.run", json!([]), json!({}))).await;
    let id = service.json().await["id"].clone();
    for guess in [json!("relay:0"), json!("relay:2"), json!(1), json!(null)] {
        service.send_json(&json!({ "jsonrpc": "2.0", "id": guess, "result": "wrong" })).await;
        // Of another connection it would be just as wrong.
        caller.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": "wrong" })).await;
    }
    service.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": "right" })).await;
    service.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": "late" })).await;
    assert_eq!(caller.answer(1).await["result"], "right");
}

#[tokio::test]
async fn a_service_is_told_of_cancels_and_deadlines() {
    let server = Server::start().await;
    let (mut service, mut caller) = (server.client().await, server.client().await);
    service.register("job").await;
    caller.send_json(&request(50, "job.run", json!([]), json!({}))).await;
    let id = service.json().await["id"].clone();
    caller.notify("rpc.cancel", json!({ "id": 50 })).await;
    assert_eq!(failure(&caller.answer(50).await), ("CANCELLED", "unknown"));
    let told = service.json().await;
    assert_eq!((&told["method"], &told["params"]), (&json!("rpc.cancel"), &json!({ "id": id })));
    let relay = json!({ "timeout_ms": 200 });
    caller.send_json(&request(51, "job.run", json!([]), relay)).await;
    let asked = service.json().await;
    assert!(asked["relay"]["timeout_ms"].as_u64().unwrap() <= 200, "{asked}");
    assert_eq!(failure(&caller.answer(51).await), ("DEADLINE", "unknown"));
    assert_eq!(service.json().await["params"], json!({ "id": asked["id"] }));
}

#[tokio::test]
async fn a_dead_socket_ends_calls_and_withdraws_services_at_once() {
    let server = Server::start().await;
    let (mut service, mut caller) = (server.client().await, server.client().await);
    service.register("job").await;
    caller.send_json(&request(1, "job.run", json!([]), json!({}))).await;
    service.json().await;
    drop(service);
    assert_eq!(failure(&caller.answer(1).await), ("LINK_LOST", "unknown"));
    // Whoever hears of the loss finds the service gone.
    let answer = caller.call("job.run", json!([])).await;
    assert_eq!(failure(&answer), ("NO_SUCH_SERVICE", "no"));
    until(|| !server.node.is_offered("job")).await;
}

#[tokio::test]
async fn a_client_in_two_roles_may_call_itself() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.register("self").await;
    client.send_json(&request(90, "self.ask", json!([1]), json!({}))).await;
    let id = client.json().await["id"].clone();
    client.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": 2 })).await;
    assert_eq!(client.answer(90).await["result"], 2);
}

#[tokio::test]
async fn calls_to_one_client_are_bounded() {
    let limits = ClientLimits { served_max: 1, ..ClientLimits::default() };
    let server = Server::bounded(limits).await;
    let (mut service, mut caller) = (server.client().await, server.client().await);
    service.register("job").await;
    caller.send_json(&request(50, "job.run", json!([]), json!({}))).await;
    let id = service.json().await["id"].clone();
    let answer = caller.call("job.run", json!([])).await;
    assert_eq!(failure(&answer), ("OVERLOADED", "no"));
    service.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": 1 })).await;
    assert_eq!(caller.answer(50).await["result"], 1);
}

#[tokio::test]
async fn params_that_would_break_out_of_the_message_are_refused() {
    let server = Server::start().await;
    let mut service = server.client().await;
    service.register("job").await;
    for body in ["1", "[1],\"id\":9", "[", "\u{0}"] {
        let call = relay_tokio::CallRequest::new("job", "run", body.to_owned());
        let error = server.node.call(call).await.unwrap_err();
        assert_eq!(error.code.name(), "BAD_PARAMS", "{body}");
    }
}
