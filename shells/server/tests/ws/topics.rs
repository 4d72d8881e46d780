//! Pub/sub of JSON clients: who hears what, byte for byte, and who must not be disturbed by it.

use crate::world::{Server, Ws, until, within};
use relay_server::http::{ClientLimits, GatewayConfig};
use relay_tokio::{Endpoint, NodeConfig, Role};
use serde_json::{Value, json};
use std::time::Duration;

impl Ws {
    async fn subscribe(&mut self, topic: &str) {
        self.send_json(&json!({ "type": "subscribe", "topic": topic })).await;
        let expected = json!({ "type": "subscribed", "topic": topic });
        assert_eq!(self.json().await, expected);
    }

    /// Subscribes with an id, so that the answer is one to this question.
    async fn refused(&mut self, kind: &str, topic: &str) -> Value {
        let message = json!({ "type": kind, "topic": topic, "data": 1, "id": 7 });
        self.send_json(&message).await;
        let error = self.json().await;
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!(7)), "{error}");
        error
    }

    async fn publish(&mut self, topic: &str, data: Value) {
        self.send_json(&json!({ "type": "message", "topic": topic, "data": data })).await;
    }

    /// The next message, as topic and data.
    async fn heard(&mut self) -> (String, Value) {
        let message = self.json().await;
        assert_eq!(message["type"], "message", "{message}");
        (message["topic"].as_str().unwrap().to_owned(), message["data"].clone())
    }
}

/// A node with an id, and a gateway in front of it.
async fn server(role: Role, id: &str, upstream: Option<&Server>) -> Server {
    server_with(role, id, upstream, |_| {}).await
}

async fn server_with(
    role: Role,
    id: &str,
    upstream: Option<&Server>,
    change: impl FnOnce(&mut NodeConfig),
) -> Server {
    let mut node = NodeConfig::new(role);
    node.node_id = Some(id.to_owned());
    node.upstreams = upstream.map(endpoint).into_iter().collect();
    change(&mut node);
    let server = Server::of_node(node, GatewayConfig::default()).await;
    if upstream.is_some() {
        within(server.node.connected()).await;
    }
    server
}

fn endpoint(server: &Server) -> Endpoint {
    Endpoint::parse(&format!("ws://{}", server.address)).unwrap()
}

#[tokio::test]
async fn k2_k7_whoever_subscribed_hears_it_and_nobody_else() {
    let server = Server::start().await;
    let (mut all, mut one) = (server.client().await, server.client().await);
    let (mut tail, mut publisher) = (server.client().await, server.client().await);
    one.subscribe("messages.user.42").await;
    all.subscribe("messages.user.*").await;
    // However many patterns stand for a topic, it is heard once.
    all.subscribe("messages.user.42").await;
    tail.subscribe("messages.**").await;
    for topic in ["messages.user.42", "messages.user.7", "messages", "other"] {
        publisher.publish(topic, json!(topic)).await;
    }
    let said = |topic: &str| (topic.to_owned(), json!(topic));
    assert_eq!(one.heard().await, said("messages.user.42"));
    assert_eq!(all.heard().await, said("messages.user.42"));
    assert_eq!(all.heard().await, said("messages.user.7"));
    for topic in ["messages.user.42", "messages.user.7", "messages"] {
        assert_eq!(tail.heard().await, said(topic));
    }
    publisher.publish("messages.user.42", json!("end")).await;
    for client in [&mut one, &mut all, &mut tail] {
        assert_eq!(client.heard().await.1, "end", "and nothing before it");
    }
}

#[tokio::test]
async fn k7_a_publisher_hears_itself_if_it_subscribed() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.subscribe("a").await;
    let message = json!({ "type": "message", "topic": "a", "data": { "n": 1 }, "id": "x",
        "headers": { "tenant": "acme" } });
    client.send_json(&message).await;
    let published = json!({ "type": "published", "topic": "a", "links": 1, "mains": 0, "id": "x" });
    assert_eq!(client.json().await, published);
    let expected = json!({ "type": "message", "topic": "a", "data": { "n": 1 },
        "publisher": "main-a", "seq": 1, "headers": { "tenant": "acme" } });
    assert_eq!(client.json().await, expected);
}

#[tokio::test]
async fn k7_data_passes_byte_for_byte() {
    let server = Server::start().await;
    let (mut subscriber, mut publisher) = (server.client().await, server.client().await);
    subscriber.subscribe("a").await;
    for (seq, data) in
        [r#"{"b" : 1.0e2,"a":12345678901234567890123, "a":[ ]}"#, "null", "\"\\u00e4 ä\"", "1e400"]
            .iter()
            .enumerate()
    {
        publisher.send(format!(r#"{{"type":"message","topic":"a","data": {data} }}"#)).await;
        let seq = seq + 1;
        let expected = format!(
            r#"{{"type":"message","topic":"a","data":{data},"publisher":"main-a","seq":{seq}}}"#
        );
        assert_eq!(subscriber.text().await, expected);
    }
}

#[tokio::test]
async fn what_is_no_json_comes_in_base64() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.subscribe("a").await;
    // The last one would be a message of its own if it were spliced in.
    for (body, base64) in [
        (&b"\x00\xff"[..], "AP8="),
        (b"", ""),
        (b"1,\"seq\":7", "MSwic2VxIjo3"),
        (b"1}{\"type\":\"auth_success\"}", "MX17InR5cGUiOiJhdXRoX3N1Y2Nlc3MifQ=="),
    ] {
        server.node.publish("a", body).unwrap();
        let message = client.json().await;
        assert_eq!((&message["data_base64"], message.get("data")), (&json!(base64), None));
    }
}

#[tokio::test]
async fn nothing_comes_behind_unsubscribed() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.subscribe("a").await;
    client.subscribe("b.*").await;
    for round in 0..20 {
        // In one go, so that publications wait while the pattern is taken away.
        client.publish("a", json!(round)).await;
        client.publish("b.x", json!(round)).await;
        client.send_json(&json!({ "type": "unsubscribe", "topic": "a", "id": round })).await;
        client.publish("a", json!(round)).await;
        client.send_json(&json!({ "type": "ping" })).await;
        let (mut is_over, mut has_pong, mut others) = (false, false, 0);
        while !(is_over && has_pong && others == 1) {
            let message = client.json().await;
            match message["type"].as_str().unwrap() {
                "message" if message["topic"] == "a" => assert!(!is_over, "{message}"),
                "message" => others += 1,
                "unsubscribed" => {
                    assert_eq!((&message["topic"], &message["id"]), (&json!("a"), &json!(round)));
                    is_over = true;
                }
                kind => {
                    assert_eq!(kind, "pong");
                    has_pong = true;
                }
            }
        }
        client.subscribe("a").await;
    }
    // To take away what is not there is no mistake.
    client.send_json(&json!({ "type": "unsubscribe", "topic": "nothing.**" })).await;
    let expected = json!({ "type": "unsubscribed", "topic": "nothing.**" });
    assert_eq!(client.json().await, expected);
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let long = "x".repeat(65);
    for topic in ["", "a.", ".a", "a b", "a..b", "ä", "a.**.b", "a*", "1.2.3.4.5.6.7.8.9", &long] {
        for kind in ["subscribe", "unsubscribe", "message"] {
            let error = client.refused(kind, topic).await;
            assert_eq!((&error["code"], &error["topic"]), (&json!("NAME_INVALID"), &json!(topic)));
        }
    }
    for pattern in ["a.*", "**", "*"] {
        let error = client.refused("message", pattern).await;
        assert_eq!(error["code"], "NAME_INVALID", "a pattern is subscribed to, not published on");
    }
    let error = client.refused("message", &"x".repeat(300)).await;
    assert_eq!((&error["code"], error.get("topic")), (&json!("NAME_INVALID"), None));
    assert_eq!(server.node.subscriptions(), []);
}

#[tokio::test]
async fn patterns_of_a_connection_are_bounded() {
    let limits = ClientLimits { patterns_max: 3, ..ClientLimits::default() };
    let server = Server::bounded(limits).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    for pattern in ["a", "b", "c", "a"] {
        client.subscribe(pattern).await;
    }
    assert_eq!(client.refused("subscribe", "d").await["code"], "OVERLOADED");
    other.subscribe("d").await;
    client.send_json(&json!({ "type": "unsubscribe", "topic": "a" })).await;
    assert_eq!(client.json().await["type"], "unsubscribed");
    client.subscribe("d").await;
    assert_eq!(server.node.subscriptions().len(), 3, "b, c and d");
    drop(client);
    drop(other);
    until(|| server.node.subscriptions().is_empty()).await;
}

#[tokio::test]
async fn whoever_publishes_too_much_is_told() {
    let limits = ClientLimits { publish_bytes_per_second: 1, ..ClientLimits::default() };
    let server = Server::bounded(limits).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    // A debt of more than a day.
    client.publish("a", json!("x".repeat(100_000))).await;
    assert_eq!(client.refused("message", "a").await["code"], "RATE_LIMITED");
    assert_eq!(client.call("demo.echo", json!([1])).await["result"], json!([1]));
    other.subscribe("a").await;
    other.publish("a", json!(1)).await;
    assert_eq!(other.heard().await.1, 1, "each has a bound of its own");
}

#[tokio::test]
async fn a_slow_client_misses_some_and_disturbs_nobody() {
    let write_timeout = Duration::from_secs(600);
    let config = GatewayConfig { write_timeout, ..GatewayConfig::default() };
    let server = Server::with(config).await;
    let (mut slow, mut fast) = (server.client().await, server.client().await);
    slow.subscribe("a").await;
    fast.subscribe("a").await;
    let text = "x".repeat(64 << 10);
    // Far more than the buffers of both systems and the queue of the subscription hold.
    for n in 1..=PUBLICATIONS {
        fast.publish("a", json!([n, text])).await;
        let message = fast.json().await;
        assert_eq!((&message["seq"], message.get("missed")), (&json!(n), None), "none is missed");
    }
    // Answers do not queue behind what waits, nor give way with it.
    slow.send_json(&json!({ "jsonrpc": "2.0", "id": 1, "method": "demo.echo", "params": [1] }))
        .await;
    let (mut heard, mut missed, mut last, mut answered_at) = (0_u64, 0, 0, None);
    while last < PUBLICATIONS || answered_at.is_none() {
        let message = slow.json().await;
        match message["type"].as_str() {
            None => {
                assert_eq!(message["result"], json!([1]));
                answered_at = Some(last);
            }
            Some("missed") => missed += message["count"].as_u64().unwrap(),
            Some(_) => {
                let seq = message["seq"].as_u64().unwrap();
                assert!(seq > last, "in order, and none twice");
                last = seq;
                heard += 1;
            }
        }
    }
    assert!(missed > 0 && heard > 0, "{missed} {heard}");
    assert_eq!(heard + missed, PUBLICATIONS, "each was heard or counted");
    assert!(answered_at.unwrap() < PUBLICATIONS - heard.min(16), "ahead of what waited");
    // It reads again, and misses nothing more.
    fast.publish("a", json!("end")).await;
    assert_eq!(slow.heard().await.1, "end");
}

#[tokio::test]
async fn k15_a_subscriber_at_one_main_hears_a_publisher_at_another() {
    let (a, b) =
        (server(Role::Main, "main-x", None).await, server(Role::Main, "main-y", None).await);
    a.node.add_peer(&endpoint(&b));
    until(|| a.node.census().links.mains == 1 && b.node.census().links.mains == 1).await;
    let (mut subscriber, mut publisher) = (a.client().await, b.client().await);
    subscriber.subscribe("messages.user.*").await;
    // The other Main learns of it a moment later; from then on nothing is lost.
    let mut n = 0;
    let first = loop {
        let message = json!({ "type": "message", "topic": "messages.user.1", "data": n, "id": n });
        publisher.send_json(&message).await;
        n += 1;
        if publisher.json().await["mains"] == 1 {
            break n - 1;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    for data in first..first + 100 {
        if data > first {
            publisher.publish("messages.user.1", json!(data)).await;
        }
        let message = subscriber.json().await;
        assert_eq!((&message["data"], &message["publisher"]), (&json!(data), &json!("main-y")));
        assert_eq!(message.get("missed"), None);
    }
}

#[tokio::test]
async fn clients_of_a_home_hear_what_its_main_confirmed() {
    let one_pattern = |node: &mut NodeConfig| node.limits.subscriptions_per_link_max = 1;
    let main = server_with(Role::Main, "main-x", None, one_pattern).await;
    let home = server(Role::Home, "home-x", Some(&main)).await;
    let (mut at_home, mut at_main) = (home.client().await, main.client().await);
    at_home.subscribe("a.*").await;
    at_main.publish("a.b", json!(1)).await;
    assert_eq!(at_home.heard().await.1, 1);
    at_home.publish("a.c", json!(2)).await;
    let message = at_home.json().await;
    assert_eq!((&message["data"], &message["publisher"]), (&json!(2), &json!("home-x")));
    // The second pattern is over the bound of the Main, which the Home does not know.
    let error = at_home.refused("subscribe", "b").await;
    assert_eq!((&error["code"], &error["topic"]), (&json!("OVERLOADED"), &json!("b")));
    at_main.publish("b", json!(3)).await;
    at_main.publish("a.b", json!(4)).await;
    assert_eq!(at_home.heard().await.1, 4);
}

/// 64 KiB each.
const PUBLICATIONS: u64 = 500;
