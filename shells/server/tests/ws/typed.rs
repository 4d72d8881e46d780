//! Messages with a `type`: of older programs, and the JSON form of what relays say to each other.

use crate::world::{Server, failure, request};
use relay_server::http::GatewayConfig;
use serde_json::{Value, json};

async fn reply(client: &mut crate::world::Ws, message: &Value) -> Value {
    client.send_json(message).await;
    client.json().await
}

#[tokio::test]
async fn d3_k5_pings_of_every_form_are_answered() {
    let server = Server::start().await;
    let mut client = server.client().await;
    assert_eq!(reply(&mut client, &json!({ "type": "ping" })).await, json!({ "type": "pong" }));
    let old = json!({ "type": "ping", "from": "node1", "to": "node2" });
    let pong = json!({ "type": "pong", "from": "node2", "to": "node1" });
    assert_eq!(reply(&mut client, &old).await, pong);
    let heartbeat = json!({ "Type": "heartbeat", "TTL": 10, "SourceNode":
        { "Type": "home", "ID": "alice.home", "MainRelay": "relay.com" }, "CorrelationID": "c-1" });
    let expected = json!({ "type": "heartbeat",
        "source_node": { "type": "main", "id": "main-a", "main_relay": "" },
        "destination_node": { "type": "home", "id": "alice.home", "main_relay": "relay.com" },
        "ttl": 10, "routing_path": ["main-a"], "correlation_id": "c-1" });
    assert_eq!(reply(&mut client, &heartbeat).await, expected);
}

#[tokio::test]
async fn k5_k6_k7_a_client_shows_its_token_before_it_hears_of_topics() {
    let config = GatewayConfig { token: Some("secret".to_owned()), ..GatewayConfig::default() };
    let server = Server::with(config).await;
    let mut client = server.client().await;
    for message in [
        json!({ "type": "subscribe", "topic": "messages" }),
        json!({ "type": "unsubscribe", "topic": "messages" }),
        json!({ "type": "message", "topic": "messages", "data": 1 }),
    ] {
        let error = reply(&mut client, &message).await;
        assert_eq!(error["code"], "UNAUTHENTICATED", "{error}");
    }
    assert_eq!(server.node.subscriptions(), []);
    let auth = json!({ "type": "auth", "token": "secret" });
    let expected = json!({ "type": "auth_success", "node_id": "main-a" });
    assert_eq!(reply(&mut client, &auth).await, expected);
    assert_eq!(client.call("demo.echo", json!([1])).await["result"], json!([1]));
    let subscribe = json!({ "type": "subscribe", "topic": "messages" });
    let expected = json!({ "type": "subscribed", "topic": "messages" });
    assert_eq!(reply(&mut client, &subscribe).await, expected);
    // What is about topics has a type; there is no second way to say it.
    assert_eq!(failure(&client.call("rpc.subscribe", json!({})).await).0, "NO_SUCH_METHOD");
    let mut client = server.client().await;
    let error = reply(&mut client, &json!({ "type": "auth", "token": "wrong" })).await;
    assert_eq!(error["code"], "UNAUTHENTICATED");
    assert_eq!(client.closed().await, 1008);
}

#[tokio::test]
async fn d1_d2_a_request_is_answered_by_a_response() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let request = json!({ "Type": "request", "ServerName": "demo", "Method": "echo", "TTL": 10,
        "SourceNode": { "Type": "home", "ID": "alice.home", "MainRelay": "relay.com" },
        "DestinationNode": { "Type": "main", "ID": "main-a", "MainRelay": "" },
        "Priority": "high", "Timeout": 5, "Params": [1], "CorrelationID": 7, "Result": null });
    let response = reply(&mut client, &request).await;
    let expected = json!({ "type": "response",
        "source_node": { "type": "main", "id": "main-a", "main_relay": "" },
        "destination_node": { "type": "home", "id": "alice.home", "main_relay": "relay.com" },
        "server_name": "demo", "method": "echo", "ttl": 10, "routing_path": ["main-a"],
        "correlation_id": 7, "result": [1] });
    assert_eq!(response, expected);
    let bytes = r#"{"a":1e400,"a":2}"#;
    let call = r#""server_name":"demo","method":"echo","correlation_id":"c""#;
    client.send(format!(r#"{{"type":"request",{call},"params":[{bytes}]}}"#)).await;
    assert!(client.text().await.ends_with(&format!(r#""result":[{bytes}]}}"#)));
    for (member, code) in [
        (json!({ "destination_node": "nobody" }), "UNAVAILABLE"),
        (json!({ "server_name": "none" }), "NO_SUCH_SERVICE"),
        (json!({ "priority": "urgent" }), "BAD_PARAMS"),
        (json!({ "method": "a b" }), "NAME_INVALID"),
    ] {
        let mut message = json!({ "type": "request", "server_name": "demo", "method": "echo",
            "correlation_id": 1 });
        message.as_object_mut().unwrap().extend(member.as_object().unwrap().clone());
        let response = reply(&mut client, &message).await;
        assert_eq!(response["type"], "response", "{response}");
        let found = response["error"]["data"]["code"].as_str().unwrap_or_default();
        assert!(
            found == code || code == "UNAVAILABLE" && found.starts_with("NO_SUCH"),
            "{response}"
        );
    }
}

#[tokio::test]
async fn d2_a_registration_offers_a_service() {
    let server = Server::start().await;
    let (mut service, mut caller) = (server.client().await, server.client().await);
    let message = json!({ "type": "registration", "server_name": "blog", "methods": ["get"],
        "correlation_id": "r" });
    let response = reply(&mut service, &message).await;
    assert_eq!((&response["type"], &response["result"]), (&json!("response"), &json!(true)));
    let error = reply(&mut caller, &message).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("NAME_CONFLICT")));
    caller.send_json(&request(90, "blog.get", json!([]), json!({}))).await;
    let id = service.json().await["id"].clone();
    service
        .send_json(&json!({ "type": "response", "correlation_id": id, "result": { "posts": 1 } }))
        .await;
    assert_eq!(caller.answer(90).await["result"], json!({ "posts": 1 }));
    caller.send_json(&request(91, "blog.get", json!([]), json!({}))).await;
    let id = service.json().await["id"].clone();
    service.send_json(&json!({ "type": "response", "correlation_id": id })).await;
    assert_eq!(failure(&caller.answer(91).await), ("BAD_RESPONSE", "unknown"));
}

#[tokio::test]
async fn d5_malformed_messages_are_refused_in_words() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for (message, code, named) in [
        (json!({ "type": "nothing" }), "BAD_REQUEST", "'type' is auth"),
        (json!({ "type": 1 }), "BAD_REQUEST", "cannot be read"),
        (json!({ "type": "auth" }), "BAD_REQUEST", "'token'"),
        (json!({ "type": "subscribe" }), "BAD_REQUEST", "'topic'"),
        (json!({ "type": "subscribe", "topic": 1 }), "BAD_REQUEST", "cannot be read"),
        (json!({ "type": "subscribe", "topic": "a", "id": [1] }), "BAD_REQUEST", "'id'"),
        (json!({ "type": "subscribe", "topic": "a", "id": "x".repeat(63) }), "BAD_REQUEST", "'id'"),
        (json!({ "type": "unsubscribe", "topic": "a..b" }), "NAME_INVALID", "pattern"),
        (json!({ "type": "message", "topic": "a" }), "BAD_REQUEST", "'data'"),
        (json!({ "type": "message", "data": 1 }), "BAD_REQUEST", "'topic'"),
        (
            json!({ "type": "request", "server_name": "demo", "method": "echo" }),
            "BAD_REQUEST",
            "'correlation_id'",
        ),
        (
            json!({ "type": "request", "method": "echo", "correlation_id": 1 }),
            "BAD_REQUEST",
            "'server_name'",
        ),
        (
            json!({ "type": "request", "server_name": "demo", "correlation_id": 1 }),
            "BAD_REQUEST",
            "'method'",
        ),
        (json!({ "type": "heartbeat", "ttl": 0 }), "HOP_LIMIT", "ttl"),
        (json!({ "type": "heartbeat", "ttl": -1 }), "BAD_REQUEST", "cannot be read"),
        (json!({ "type": "heartbeat", "source_node": "a b" }), "NAME_INVALID", "node id"),
        (json!({ "type": "registration" }), "BAD_REQUEST", "'server_name'"),
        (json!({ "type": "response", "result": 1 }), "BAD_REQUEST", "'correlation_id'"),
    ] {
        let error = reply(&mut client, &message).await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{message}");
        assert!(error["message"].as_str().unwrap().contains(named), "{message}: {error}");
    }
}
