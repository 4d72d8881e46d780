//! What the tools say of a node: services, peers, and the numbers behind them.

use crate::world::{EXAMPLES, Main, call, until};
use serde_json::{Value, json};

#[tokio::test]
async fn peers_and_services_as_tables_and_json() {
    let other = Main::named("main-b", &["--port", "0"]);
    let peer = format!("ws://{}", other.address);
    // Nobody may listen on port 1 without privileges, and nobody does.
    let main = Main::with(&["--port", "0", "--peers", &peer, "--add-peer", "ws://127.0.0.1:1"]);
    let program = format!("{EXAMPLES}/test_p2p_registry.rhai");
    let _home = main.home("blog.home", &[&program], &["test_counter"]).await;
    until("main-b is linked and the other peer is given up for now", async || {
        let table = main.asked("peers", &[]);
        table.contains("connected") && table.contains("waiting")
    })
    .await;
    let table = main.asked("peers", &[]);
    let row = |with: &str| table.lines().find(|line| line.contains(with)).unwrap();
    assert!(row("main-b").contains("connected") && row("main-b").contains(&peer), "{table}");
    assert!(row("127.0.0.1:1").contains("waiting"), "{table}");
    let peers: Value = serde_json::from_str(&main.asked("peers", &["--json"])).unwrap();
    assert_eq!(
        (&peers["node_id"], &peers["peers"][1]["node_id"]),
        (&json!("main-a"), &json!("main-b"))
    );

    let table = main.asked("services", &[]);
    for title in ["SERVICE", "SCOPE", "ORIGIN", "BREAKER"] {
        assert!(table.lines().next().unwrap().contains(title), "{table}");
    }
    let row = table.lines().find(|line| line.contains("test_counter")).unwrap();
    for part in ["blog.home", "attached", "main-a", "closed"] {
        assert!(row.contains(part), "{table}");
    }
    let registry: Value = serde_json::from_str(&main.asked("services", &["--json"])).unwrap();
    assert_eq!(registry["servers"]["test_counter"]["origin"], "main-a");

    let attached = registry["servers"].as_object().unwrap().len();
    let metrics = text(&main, "/metrics").await;
    for sample in [
        format!("relay_services{{scope=\"attached\"}} {attached}\n"),
        String::from("relay_links{role=\"home\"} 1\n"),
        String::from("relay_links{role=\"main\"} 1\n"),
    ] {
        assert!(metrics.contains(&sample), "{sample}{metrics}");
    }

    main.rpc(&call("test_counter.increment", "1", "[]")).await;
    let health: Value = serde_json::from_str(&text(&main, "/federation/health").await).unwrap();
    assert_eq!(
        (&health["status"], &health["connected_homes"], &health["connected_peers"]),
        (&json!("degraded"), &json!(1), &json!(1))
    );
    assert!(health["average_latency_ms"].as_f64().unwrap() > 0.0, "{health}");
}

async fn text(main: &Main, path: &str) -> String {
    let mut client = main.connect().await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    client.response().await.unwrap().body
}
