//! `/federation…`: Mains that are linked, Mains that are not, and what can be called.

use crate::client::{Server, post};
use relay_server::http::GatewayConfig;
use relay_tokio::Limits;
use serde_json::{Value, json};
use std::time::Duration;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn c15_m20_the_registry_tells_origin_and_path() {
    let server = Server::start().await;
    let registry = server.get("/federation/registry").await.json();
    assert_eq!(keys(&registry), ["node_address", "node_id", "peers", "servers", "timestamp"]);
    let demo = &registry["servers"]["demo"];
    for (key, value) in [
        ("name", json!("demo")),
        ("scope", json!("node")),
        ("is_local", json!(true)),
        ("origin", json!("main-a")),
        ("path", json!([])),
        ("breaker", json!("closed")),
        ("latency_ms", Value::Null),
    ] {
        assert_eq!(demo[key], value, "{key}");
    }
    let plain = server.get("/registry").await.json();
    assert_eq!(plain["servers"]["demo"]["origin"], Value::Null, "only the federation tells");
}

#[tokio::test]
async fn c16_c17_peers_that_are_up_and_down() {
    let (server, other) = (Server::start().await, Server::named("main-b").await);
    let health = server.get("/federation/health").await.json();
    let expected = [
        "average_latency",
        "average_latency_ms",
        "connected_homes",
        "connected_peers",
        "failed_services",
        "peers",
        "status",
        "total_services",
    ];
    assert_eq!(keys(&health), expected);
    assert_eq!(
        (&health["status"], &health["total_services"], &health["average_latency"]),
        (&json!("healthy"), &json!(1), &json!("0ms"))
    );
    server.add_peer(other.address).await;
    let peers =
        until(&server, "/federation/peers", |peers| peers["peers"][0]["status"] == "connected")
            .await;
    assert_eq!(keys(&peers), ["node_address", "node_id", "peers", "timestamp"]);
    let peer = &peers["peers"][0];
    let expected = [
        "address",
        "bytes_in",
        "bytes_out",
        "error",
        "idle_seconds",
        "is_draining",
        "is_healthy",
        "last_seen",
        "latency_ms",
        "node_id",
        "services",
        "state",
        "status",
        "transport",
        "uptime_seconds",
    ];
    assert_eq!(keys(peer), expected);
    assert_eq!((&peer["transport"], &peer["error"]), (&json!("ws"), &Value::Null));
    assert_eq!((&peer["node_id"], &peer["is_healthy"]), (&json!("main-b"), &json!(true)));
    assert!(peer["address"].as_str().unwrap().contains(&other.address.to_string()));
    // Both have said hello and told what they offer.
    assert!(peer["bytes_in"].as_u64() > Some(0) && peer["bytes_out"].as_u64() > Some(0), "{peer}");
    assert!(peer["uptime_seconds"].is_f64() && peer["idle_seconds"].is_f64(), "{peer}");
    assert!(peer["last_seen"].as_str().unwrap().ends_with('Z'));
    let health = server.get("/federation/health").await.json();
    assert_eq!((&health["status"], &health["connected_peers"]), (&json!("healthy"), &json!(1)));
    let address = &peer["address"];
    let named = json!([{"node_id": "main-b", "address": address, "status": "connected"}]);
    assert_eq!(health["peers"], named);
    // The other side did not dial, and sees the link all the same.
    let seen =
        until(&other, "/federation/peers", |peers| peers["peers"][0]["node_id"] == "main-a").await;
    assert_eq!((&seen["peers"][0]["address"], &seen["peers"][1]), (&json!(""), &Value::Null));
    assert_eq!(seen["peers"][0]["transport"], "ws");

    c17_a_peer_that_is_down(&server).await;
    let text = server.get("/metrics").await.body;
    for sample in ["relay_dials{state=\"connected\"} 1\n", "relay_links{role=\"main\"} 1\n"] {
        assert!(text.contains(sample), "{sample}{text}");
    }
    server.gateway.drain();
    assert_eq!(server.get("/federation/health").await.json()["status"], "draining");
}

async fn c17_a_peer_that_is_down(server: &Server) {
    // Nobody may listen on port 1 without privileges, and nobody does.
    let add = r#"{"address": "127.0.0.1:1"}"#;
    server.request(&post("/registry/peers/add", "", add)).await;
    let peers = until(server, "/federation/peers", |peers| {
        let peers = peers["peers"].as_array().unwrap();
        peers.iter().any(|peer| peer["status"] == "waiting")
    })
    .await;
    let down = peers["peers"].as_array().unwrap().iter().find(|peer| peer["status"] == "waiting");
    let down = down.unwrap();
    assert_eq!(
        (&down["node_id"], &down["is_healthy"], &down["last_seen"]),
        (&Value::Null, &json!(false), &Value::Null)
    );
    assert_eq!((&down["state"], &down["transport"]), (&json!("failed"), &json!("ws")));
    assert!(down["error"].as_str().unwrap().contains("refused"), "{down}");
    let health = server.get("/federation/health").await.json();
    assert_eq!((&health["status"], &health["connected_peers"]), (&json!("degraded"), &json!(1)));
    let statuses: Vec<&Value> =
        health["peers"].as_array().unwrap().iter().map(|peer| &peer["status"]).collect();
    assert_eq!(statuses, ["waiting", "connected"]);
}

/// What subscribers want travels as services do, and is none.
#[tokio::test]
async fn c16_c18_a_subscription_is_no_service() {
    let (server, other) = (Server::start().await, Server::named("main-b").await);
    server.add_peer(other.address).await;
    until(&server, "/federation/peers", |peers| peers["peers"][0]["services"] == 1).await;
    let subscription = other.node.subscribe("messages.*").unwrap();
    subscription.ready().await.unwrap();
    // The first Main has heard of it when it passes publications on.
    let publish = post("/publish/messages.a", "", "1");
    let passed_on = async || server.request(&publish).await.json()["mains"] == 1;
    while !passed_on().await {
        tokio::task::yield_now().await;
    }
    let peers = server.get("/federation/peers").await.json();
    assert_eq!(peers["peers"][0]["services"], 1, "{peers}");
    let peers = server.get("/registry/peers").await.json();
    assert_eq!(peers["main-b"]["server_count"], 1, "{peers}");
    let text = server.get("/metrics").await.body;
    for sample in
        ["relay_services{scope=\"federated\"} 1\n", "relay_breakers{state=\"closed\"} 2\n"]
    {
        assert!(text.contains(sample), "{sample}{text}");
    }
}

/// The way to a peer and back is measured in each health interval, from the side that dialled and
/// from the other.
#[tokio::test]
async fn c16_the_way_to_a_peer_is_measured() {
    let short = |limits: &mut Limits| limits.health_interval = Duration::from_millis(100);
    let (server, other) =
        (Server::limited("main-a", short).await, Server::limited("main-b", short).await);
    let add = format!(r#"{{"address": "{}"}}"#, other.address);
    assert_eq!(server.request(&post("/registry/peers/add", "", &add)).await.status, 200);
    for side in [&server, &other] {
        let peers =
            until(side, "/federation/peers", |peers| peers["peers"][0]["latency_ms"].is_number())
                .await;
        let millis = peers["peers"][0]["latency_ms"].as_f64().unwrap();
        assert!(millis > 0.0, "{peers}");
    }
}

#[tokio::test]
async fn m18_the_average_latency_is_measured() {
    let server = Server::start().await;
    server.rpc(r#"{"jsonrpc":"2.0","id":1,"method":"demo.slow"}"#).await;
    let health = server.get("/federation/health").await.json();
    let millis = health["average_latency_ms"].as_f64().unwrap();
    assert!(millis >= 300.0, "the method sleeps that long: {health}");
    assert_eq!(health["average_latency"], format!("{millis:.0}ms"));
}

#[tokio::test]
async fn without_a_registry_names_are_not_told() {
    let config = GatewayConfig { enable_registry: false, ..GatewayConfig::default() };
    let server = Server::with(config).await;
    for path in ["/federation/registry", "/federation/peers", "/federation/topology"] {
        let response = server.get(path).await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (404, r#"{"error":"Registry Not Available"}"#),
            "{path}"
        );
    }
    let health = server.get("/federation/health").await;
    assert_eq!((health.status, &health.json()["peers"]), (200, &Value::Null), "names nobody");
    assert_eq!(server.get("/metrics").await.status, 200);
    let index = server.get("/").await.body;
    assert!(!index.contains("/federation/registry") && index.contains("/federation/health"));
}

/// The first of three Mains in a chain sees the last one, and the Home there.
#[tokio::test]
async fn e18_a_chain_is_a_map() {
    let (a, b) = (Server::in_chain("main-a").await, Server::in_chain("main-b").await);
    let c = Server::in_chain("main-c").await;
    a.add_peer(b.address).await;
    b.add_peer(c.address).await;
    let echo = |_: String, params: Value| async move { Ok(params) };
    let home = relay_tokio::Home::connect(format!("ws://{}", c.address));
    let home = home.node_id("alice.home").service("echo", echo).start().await.unwrap();
    let map = until(&a, "/federation/topology", |map| map["nodes"].as_array().unwrap().len() == 4);
    let map = map.await;
    assert_eq!(keys(&map), ["edges", "node_id", "nodes", "timestamp"]);
    let node = |id: &str, of: &str, known: &str, path: &[&str]| {
        let services = 1;
        json!({"node_id": id, "node_type": of, "known": known, "path": path, "services": services})
    };
    let nodes = [
        node("alice.home", "home", "announced", &["main-b", "main-c"]),
        node("main-a", "main", "own", &[]),
        node("main-b", "main", "link", &["main-b"]),
        node("main-c", "main", "announced", &["main-b", "main-c"]),
    ];
    assert_eq!(map["nodes"], json!(nodes));
    let edge = |one, other, known| json!({"nodes": [one, other], "known": known});
    let edges = [
        edge("alice.home", "main-c", "announced"),
        edge("main-a", "main-b", "link"),
        edge("main-b", "main-c", "announced"),
    ];
    assert_eq!(map["edges"], json!(edges));
    drop(home);
}

async fn until(server: &Server, path: &str, done: impl Fn(&Value) -> bool) -> Value {
    let looking = async {
        loop {
            let answer = server.get(path).await.json();
            if done(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let looked = tokio::time::timeout(Duration::from_secs(60), looking).await;
    looked.unwrap_or_else(|_| panic!("{path} never says so"))
}
