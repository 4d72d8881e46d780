//! Calls that a client makes.

use crate::world::{APPLICATION_ERROR, Server, failure, request, until};
use relay_server::http::{ClientLimits, GatewayConfig};
use relay_tokio::Role;
use serde_json::json;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn results_errors_and_ids_pass_byte_for_byte() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for id in ["1", "\"a\\u0041\"", "1e400", "null", "-0"] {
        let params = r#"[1e400, 1152921504606846976,{"a":1,"a":2}]"#;
        let method = r#""method":"demo.echo""#;
        client.send(format!(r#"{{"jsonrpc":"2.0",{method},"params":{params},"id":{id}}}"#)).await;
        let expected = format!(r#"{{"jsonrpc":"2.0","result":{params},"id":{id}}}"#);
        assert_eq!(client.text().await, expected);
    }
    client.send(r#"{"jsonrpc":"2.0","method":"demo.fail","id":1}"#).await;
    let expected = format!(r#"{{"jsonrpc":"2.0","error":{APPLICATION_ERROR},"id":1}}"#);
    assert_eq!(client.text().await, expected);
}

#[tokio::test]
async fn methods_are_addressed_as_by_post() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for (method, params) in [
        ("demo.echo", json!([1])),
        ("main-a.demo.echo", json!([1])),
        ("remote_call", json!({ "service_name": "demo", "method": "echo", "args": [1] })),
    ] {
        assert_eq!(client.call(method, params).await["result"], json!([1]), "{method}");
    }
    let discovered = client.call("rpc.discover", json!([])).await;
    assert_eq!(discovered["result"]["x-relay-services"]["demo"], json!(["main-a"]));
    for (method, code) in [
        ("demo.none", "NO_SUCH_METHOD"),
        ("none.x", "NO_SUCH_SERVICE"),
        ("demo", "NO_SUCH_METHOD"),
        ("a b.c", "NAME_INVALID"),
        ("rpc.none", "NO_SUCH_METHOD"),
    ] {
        let answer = client.call(method, json!([])).await;
        assert_eq!(failure(&answer), (code, "no"), "{method}");
    }
}

#[tokio::test]
async fn a_home_that_listens_takes_clients_too() {
    let server = Server::of(Role::Home, GatewayConfig::default()).await;
    let (mut service, mut caller) = (server.client().await, server.client().await);
    assert_eq!(caller.call("demo.echo", json!([1])).await["result"], json!([1]));
    service.register("job").await;
    caller.send_json(&request(90, "job.run", json!([]), json!({}))).await;
    let id = service.json().await["id"].clone();
    service.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": 1 })).await;
    assert_eq!(caller.answer(90).await["result"], 1);
}

#[tokio::test]
async fn batches_notifications_and_broken_text_are_answered_as_by_post() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let entry =
        |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "demo.echo", "params": [id] });
    let notification = json!({ "jsonrpc": "2.0", "method": "demo.echo" });
    client.send_json(&json!([entry(1), notification, 7, entry(2)])).await;
    let answers = client.json().await;
    assert_eq!(answers[0]["result"], json!([1]));
    assert_eq!(failure(&answers[1]), ("BAD_REQUEST", "no"));
    assert_eq!(answers[2]["result"], json!([2]));
    // Neither of these is answered, so the next message is about the one behind them.
    client.send_json(&json!([notification])).await;
    client.send_json(&notification).await;
    client.send("{").await;
    let answer = client.json().await;
    assert_eq!((failure(&answer), &answer["id"]), (("PARSE", "no"), &json!(null)));
    client.send("[]").await;
    assert_eq!(failure(&client.json().await), ("BAD_REQUEST", "no"));
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    client.send(nested).await;
    assert_eq!(failure(&client.json().await), ("PARSE", "no"));
    let control =
        json!({ "jsonrpc": "2.0", "id": 3, "method": "rpc.cancel", "params": { "id": 9 } });
    client.send_json(&json!([control, entry(4)])).await;
    let answers = client.json().await;
    assert_eq!((&answers[0]["result"], &answers[1]["result"]), (&json!(false), &json!([4])));
}

#[tokio::test]
async fn each_call_has_its_options() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let relay = json!({ "timeout": "7s", "idempotent": true, "priority": "high", "trace": true });
    client.send_json(&request(100, "demo.how", json!([]), relay)).await;
    let answer = client.answer(100).await;
    let left = answer["result"]["ms"].as_u64().unwrap();
    assert!((1..=7_000).contains(&left) && answer["result"]["idempotent"] == true, "{answer}");
    assert_eq!(answer["trace"]["path"], json!(["main-a"]));
    client.send_json(&request(101, "demo.never", json!([]), json!({ "timeout_ms": 1 }))).await;
    assert_eq!(failure(&client.answer(101).await).0, "DEADLINE");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let relay = json!({ "traceparent": parent });
    client.send_json(&request(102, "demo.headers", json!([]), relay)).await;
    assert_eq!(client.answer(102).await["result"], json!([["traceparent", parent]]));
    for relay in [json!({ "timeout": 5 }), json!({ "nothing": 1 }), json!([])] {
        client.send_json(&request(103, "demo.echo", json!([]), relay.clone())).await;
        assert_eq!(failure(&client.answer(103).await), ("BAD_PARAMS", "no"), "{relay}");
    }
}

#[tokio::test]
async fn j05_an_id_is_used_once_at_a_time_and_other_connections_have_their_own() {
    let server = Server::start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    client.send_json(&request(7, "demo.never", json!([]), json!({}))).await;
    client.send_json(&request(7, "demo.echo", json!([]), json!({}))).await;
    let answer = client.answer(7).await;
    assert_eq!(failure(&answer), ("BAD_REQUEST", "no"));
    other.send_json(&request(7, "demo.echo", json!([1]), json!({}))).await;
    assert_eq!(other.answer(7).await["result"], json!([1]));
    client.notify("rpc.cancel", json!({ "id": 7 })).await;
    assert_eq!(failure(&client.answer(7).await).0, "CANCELLED");
    client.send_json(&request(7, "demo.echo", json!([2]), json!({}))).await;
    assert_eq!(client.answer(7).await["result"], json!([2]));
    client.send(r#"{"jsonrpc":"2.0","id":"relay:1","method":"demo.echo"}"#).await;
    assert_eq!(failure(&client.json().await), ("BAD_REQUEST", "no"));
}

#[tokio::test]
async fn a_call_is_cancelled_and_the_service_is_told() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send_json(&request(50, "demo.never", json!([]), json!({}))).await;
    assert_eq!(client.call("rpc.cancel", json!({ "id": 51 })).await["result"], false);
    assert_eq!(client.call("rpc.cancel", json!({ "id": "50" })).await["result"], false);
    client.send(r#"{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":50}}"#).await;
    assert_eq!(failure(&client.answer(50).await), ("CANCELLED", "unknown"));
    until(|| server.dropped.load(Ordering::SeqCst) == 1).await;
    assert_eq!(client.call("rpc.cancel", json!({ "id": 50 })).await["result"], false);
    let answer = client.call("rpc.cancel", json!({})).await;
    assert_eq!(failure(&answer), ("BAD_PARAMS", "no"));
}

#[tokio::test]
async fn j12_a_client_that_goes_cancels_its_calls() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send_json(&request(1, "demo.never", json!([]), json!({}))).await;
    let call = json!({ "jsonrpc": "2.0", "method": "demo.never" });
    client.send_json(&json!([call, call])).await;
    client.call("demo.echo", json!([])).await;
    drop(client);
    until(|| server.dropped.load(Ordering::SeqCst) == 3).await;
    until(|| server.node.calls_in_flight() == 0).await;
}

#[tokio::test]
async fn calls_in_flight_are_bounded() {
    let server = Server::bounded(ClientLimits { calls_max: 2, ..ClientLimits::default() }).await;
    let mut client = server.client().await;
    client.send_json(&request(50, "demo.never", json!([]), json!({}))).await;
    client.send_json(&json!({ "jsonrpc": "2.0", "method": "demo.never" })).await;
    let answer = client.call("demo.echo", json!([])).await;
    assert_eq!(failure(&answer), ("OVERLOADED", "no"));
    assert_eq!(answer["error"]["data"]["limit"], 2);
    client.notify("rpc.cancel", json!({ "id": 50 })).await;
    client.answer(50).await;
    assert_eq!(client.call("demo.echo", json!([1])).await["result"], json!([1]));
}
