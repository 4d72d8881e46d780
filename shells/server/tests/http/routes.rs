//! Health, registry, CORS, extra headers and the door for relay links.

use crate::client::{Client, Response, Server, post};
use relay_server::http::{Cors, Gateway, GatewayConfig};
use relay_tokio::{Node, NodeConfig, Role};
use serde_json::json;

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn is_timestamp(value: &serde_json::Value) -> bool {
    let text = value.as_str().unwrap();
    text.len() == 20 && text.starts_with("20") && text.ends_with('Z') && text.contains('T')
}

#[tokio::test]
async fn c9_health_ready_info() {
    let server = Server::start().await;
    let health = server.get("/health").await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("healthy")));
    assert_eq!(server.get("/ready").await.json()["status"], "ready");
    let info = server.get("/info").await.json();
    assert_eq!(
        (&info["name"], &info["node_id"], &info["node_type"]),
        (&json!("relay"), &json!("main-a"), &json!("main"))
    );
    assert_eq!(info["address"], server.address.to_string());
    assert_eq!(info["limits"]["batch_entries_max"], 32);
    assert!(info["endpoints"].as_array().unwrap().contains(&json!("POST /rpc")));
    let page = server.get("/").await;
    assert!(page.header("content-type").unwrap().starts_with("text/plain"));
    assert!(page.body.contains("/registry/peers/add"));
    server.gateway.drain();
    let ready = server.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["status"]), (503, &json!("not_ready")));
    assert_eq!(server.get("/health").await.status, 200, "draining is not death");
}

#[tokio::test]
async fn c19_a_main_without_homes_is_not_ready() {
    let mut node = NodeConfig::new(Role::Main);
    node.node_id = Some("empty".to_owned());
    let node = Node::start(node).unwrap();
    let gateway = std::sync::Arc::new(Gateway::new(node, GatewayConfig::default()).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(gateway.serve(listener, std::future::pending()));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /ready HTTP/1.0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.0 503 ") && text.contains("no Home is connected"), "{text}");
}

#[tokio::test]
async fn c10_c11_c14_registry_shapes() {
    let server = Server::start().await;
    let registry = server.get("/registry").await.json();
    assert_eq!(keys(&registry), ["node_address", "node_id", "peers", "servers", "timestamp"]);
    assert_eq!(registry["node_id"], "main-a");
    assert_eq!(registry["node_address"], server.address.to_string());
    assert!(is_timestamp(&registry["timestamp"]));
    let demo = &registry["servers"]["demo"];
    assert_eq!(
        keys(demo),
        ["is_local", "last_seen", "methods", "name", "node_address", "node_id", "scope"]
    );
    assert_eq!(
        (&demo["name"], &demo["node_id"], &demo["is_local"], &demo["scope"]),
        (&json!("demo"), &json!("main-a"), &json!(true), &json!("node"))
    );
    assert_eq!(demo["methods"][0], "echo");
    assert!(is_timestamp(&demo["last_seen"]));
    assert_eq!(server.get("/registry/servers").await.json(), registry["servers"]);
    assert_eq!(server.get("/registry/peers").await.json(), json!({}));
    let health = server.get("/registry/health").await.json();
    assert_eq!(
        keys(&health),
        ["node_address", "node_id", "peer_count", "server_count", "status", "timestamp"]
    );
    assert_eq!(
        (&health["status"], &health["server_count"], &health["peer_count"]),
        (&json!("healthy"), &json!(1), &json!(0))
    );
}

#[tokio::test]
async fn c12_c13_peers_are_added_and_removed() {
    let server = Server::start().await;
    let add = async |body: &str| server.request(&post("/registry/peers/add", "", body)).await;
    let added = add(r#"{"node_id": "peer_node_123", "address": "192.0.2.1:8080"}"#).await;
    assert_eq!(
        (added.status, added.json()),
        (200, json!({"status": "added", "node_id": "peer_node_123", "address": "192.0.2.1:8080"}))
    );
    for body in ["{}", "[", r#"{"node_id":"A B","address":"h:1"}"#, r#"{"address":5}"#] {
        assert_eq!(add(body).await.status, 400, "{body}");
    }
    assert_eq!(add(&" ".repeat(5000)).await.status, 413);
    let remove = post("/registry/peers/remove", "", r#"{"node_id": "nobody"}"#)
        .replacen("POST", "DELETE", 1);
    let removed = server.request(&remove).await;
    assert_eq!((removed.status, &removed.json()["error"]), (404, &json!("Peer Not Found")));
    let peers = async || server.get("/registry/peers").await.json().as_object().unwrap().len();
    add(r#"{"node_id": "peer_node_123", "address": "192.0.2.1:8080"}"#).await;
    assert_eq!(peers().await, 1, "added twice, dialled once");
    add(r#"{"address": "ws://192.0.2.2:8080"}"#).await;
    assert_eq!(peers().await, 2);
    for id in ["peer_node_123", "192.0.2.2:8080"] {
        let request = post("/registry/peers/remove", "", &format!(r#"{{"node_id": "{id}"}}"#));
        let response = server.request(&request.replacen("POST", "DELETE", 1)).await;
        assert_eq!((response.status, &response.json()["status"]), (200, &json!("removed")), "{id}");
    }
    assert_eq!(peers().await, 0);
    let simple = remove.replacen("application/json", "text/plain", 1);
    assert_eq!(server.request(&simple).await.status, 415);
}

#[tokio::test]
async fn the_registry_can_be_switched_off() {
    let config = GatewayConfig { enable_registry: false, ..GatewayConfig::default() };
    let server = Server::with(config).await;
    for path in ["/registry", "/registry/servers", "/registry/health"] {
        let response = server.get(path).await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (404, r#"{"error":"Registry Not Available"}"#),
            "{path}"
        );
    }
    assert_eq!(server.request(&post("/registry/peers/add", "", "{}")).await.status, 404);
    assert!(!server.get("/").await.body.contains("/registry"));
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods() {
    let server = Server::start().await;
    for path in ["/nope", "/rpcx", "/registryx", "/health/"] {
        let response = server.get(path).await;
        assert_eq!(
            (response.status, &response.json()["error"]),
            (404, &json!("Not Found")),
            "{path}"
        );
    }
    let response = server.get("/rpc").await;
    assert_eq!((response.status, response.header("allow")), (405, Some("POST")));
    let response = server.request(&post("/health", "", "{}")).await;
    assert_eq!((response.status, response.header("allow")), (405, Some("GET,HEAD")));
    assert_eq!(response.json()["error"], "Method Not Allowed");
}

#[tokio::test]
async fn c22_w08_cors() {
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /rpc HTTP/1.1\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n\r\n"
        )
    };
    let call = |origin: &str| {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"demo.echo"}"#;
        post("/rpc", &format!("Origin: {origin}\r\n"), body)
    };
    let allowed = |response: &Response| {
        let name = "access-control-allow-origin";
        response.header(name).map(str::to_owned)
    };
    let cors = Cors::list(&["https://app.example"], true).unwrap();
    let server = Server::with(GatewayConfig { cors, ..GatewayConfig::default() }).await;
    for request in [preflight("https://app.example"), call("https://app.example")] {
        let response = server.request(&request).await;
        assert_eq!(allowed(&response).as_deref(), Some("https://app.example"));
        assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(response.header("vary"), Some("origin"));
    }
    let response = server.request(&preflight("https://app.example")).await;
    assert_eq!(response.status, 204);
    assert!(response.header("access-control-allow-headers").unwrap().contains("content-type"));
    for origin in ["https://evil.example", "null", "https://app.example.evil"] {
        let response = server.request(&preflight(origin)).await;
        assert!(!response.head.to_lowercase().contains("access-control"), "{response:?}");
        assert_eq!(allowed(&server.request(&call(origin)).await), None);
    }
    let server =
        Server::with(GatewayConfig { cors: Cors::any(), ..GatewayConfig::default() }).await;
    let response = server.request(&call("https://anyone.example")).await;
    assert_eq!(allowed(&response).as_deref(), Some("*"));
    assert_eq!(response.header("access-control-allow-credentials"), None);
    let server = Server::start().await;
    assert_eq!(server.request(&preflight("https://app.example")).await.status, 405);
    assert_eq!(allowed(&server.request(&call("https://app.example")).await), None);
}

#[tokio::test]
async fn c23_extra_headers() {
    let headers = |name: &str, value: &str| GatewayConfig {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..GatewayConfig::default()
    };
    let server = Server::with(headers("X-Frame-Options", "DENY")).await;
    for path in ["/health", "/nope", "/rpc"] {
        assert_eq!(server.get(path).await.header("x-frame-options"), Some("DENY"), "{path}");
    }
    let node = Node::start(NodeConfig::new(Role::Main)).unwrap();
    for (name, value) in [
        ("a b", "c"),
        ("X", "a\r\nb"),
        ("Content-Length", "1"),
        ("connection", "close"),
        ("Access-Control-Allow-Origin", "*"),
    ] {
        assert!(Gateway::new(node.clone(), headers(name, value)).is_err(), "{name}");
    }
}

const UPGRADE: &str = "GET /ws/p2p HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn upgrade(server: &Server, request: &str) -> (Client, Response) {
    let mut client = server.connect().await;
    client.send(request).await;
    let response = client.response().await.unwrap();
    (client, response)
}

#[tokio::test]
async fn w03_w04_relay_links_are_upgraded() {
    let server = Server::with(GatewayConfig {
        allowed_origins: vec!["https://good.example".parse().unwrap()],
        ..GatewayConfig::default()
    })
    .await;
    let (_, response) = upgrade(&server, UPGRADE).await;
    assert_eq!(response.status, 101);
    // The sample of RFC 6455, section 1.3.
    assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let with = |header: &str| UPGRADE.replacen("\r\n", &format!("\r\n{header}\r\n"), 1);
    let own = format!("Origin: http://localhost:{}", server.address.port());
    for header in ["Origin: https://good.example", own.as_str()] {
        assert_eq!(upgrade(&server, &with(header)).await.1.status, 101, "{header}");
    }
    for origin in [
        "https://evil",
        "null",
        "file://",
        "https://good.example.evil",
        "http://good.example",
        "https://good.example:443",
        "https://GOOD.example",
        "http://localhost",
        "http://localhost:1",
        "",
    ] {
        let response = upgrade(&server, &with(&format!("Origin: {origin}"))).await.1;
        assert_eq!(response.status, 403, "{origin}");
    }
    for (from, to, status) in [
        ("Upgrade: websocket", "X: y", 426),
        ("Upgrade: websocket", "Upgrade: h2c", 426),
        ("keep-alive, Upgrade", "keep-alive", 426),
        ("Version: 13", "Version: 8", 426),
        ("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 8", 426),
        ("Host: x", "Content-Length: 5", 400),
        ("Host: x", "Transfer-Encoding: chunked", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", 400),
        ("Sec-WebSocket-Key: ", "X: ", 400),
    ] {
        let (_, response) = upgrade(&server, &UPGRADE.replacen(from, to, 1)).await;
        assert_eq!(response.status, status, "{to}");
        let version = (status == 426).then_some("13");
        assert_eq!(response.header("sec-websocket-version"), version);
    }
    let home = Server::of(Role::Home, GatewayConfig::default()).await;
    assert_eq!(upgrade(&home, UPGRADE).await.1.status, 404, "a Home takes no links");
}

#[tokio::test]
async fn a_link_no_longer_counts_as_an_http_connection() {
    let server =
        Server::with(GatewayConfig { connections_max: 1, ..GatewayConfig::default() }).await;
    let (_link, response) = upgrade(&server, UPGRADE).await;
    assert_eq!(response.status, 101);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(server.get("/health").await.status, 200);
}
