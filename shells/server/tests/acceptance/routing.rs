//! Two Mains that federate, with a Home each: ways, instances and breakers.

use crate::process::{Process, command};
use crate::upstream::Upstream;
use crate::world::{Main, Settings, answer, call, failure, start_home, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;

/// "Request trace shows the full path and timing across hops".
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_across_two_mains_tells_its_way() {
    let world = Pair::start().await;
    let response = world.a.rpc(&call("up.echo", "7", "[ 1,2 ]")).await;
    assert_eq!(response.body, answer("7", "[ 1,2 ]"));
    let traced = world.a.rpc_with("Relay-Trace: 1\r\n", &call("up.echo", "7", "[1]")).await;
    let trace = &traced["trace"];
    assert_eq!(trace["path"], json!(["relay-a", "relay-b", "bob.home"]), "{traced}");
    let times: Vec<f64> = trace["hops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hop| hop["ms"].as_f64().unwrap())
        .chain([0.0])
        .collect();
    assert!(times.is_sorted_by(|near, far| near >= far), "{traced}");
    assert!(trace["total_ms"].as_f64().unwrap() >= times[0], "{traced}");
    let remote = r#"{"service_name":"up","method":"nothing","trace":true}"#;
    let failed = world.a.rpc(&call("remote_call", "1", remote)).await.json();
    assert_eq!(failed["trace"]["path"], json!(["relay-a", "relay-b", "bob.home"]), "{failed}");

    let output = world.a.relay_call(&["--trace", "up.echo", "[1]"]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "[1]\n");
    let tree = String::from_utf8(output.stderr).unwrap();
    let places: Vec<_> = ["this caller", "relay-a", "relay-b", "bob.home"]
        .map(|node| tree.find(node).unwrap_or_else(|| panic!("no {node}: {tree}")))
        .to_vec();
    assert!(places.is_sorted(), "{tree}");
    // The first Main that answers is asked.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mains = format!("ws://{nobody},{}", world.a.url());
    let output = command(&["call", "--connect", &mains, "up.echo", "[2]"]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "[2]\n");
    let json =
        command(&["trace", "--connect", &world.a.url(), "--json", "up.echo", "[1]"]).output();
    let json: Value = serde_json::from_slice(&json.unwrap().stdout).unwrap();
    let path = json["path"].as_array().unwrap();
    assert_eq!(json!(path[1..]), json!(["relay-a", "relay-b", "bob.home"]), "{json}");
}

/// "node@main": the Main that is named is the one that the node has to be attached to.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_node_is_looked_for_at_the_main_that_is_named() {
    let world = Pair::start().await;
    let remote = |node: &str| {
        let target = r#""service_name":"up","method":"echo","args":[3]"#;
        call("remote_call", "1", &format!(r#"{{"node_id":"{node}",{target}}}"#))
    };
    let dotted = call("bob.home@relay-b.up.echo", "1", "[3]");
    for body in [remote("bob.home"), remote("bob.home@relay-b"), dotted] {
        assert_eq!(world.a.rpc(&body).await.body, answer("1", "[3]"), "{body}");
    }
    assert_eq!(world.a.called(&["--node", "bob.home@relay-b", "up.echo", "[3]"]), "[3]\n");
    let wrong = call("bob.home@relay-a.up.echo", "1", "[3]");
    for body in [remote("bob.home@relay-a"), remote("bob.home@relay-c"), wrong] {
        let refused = world.a.rpc(&body).await.json();
        assert_eq!(refused["error"]["message"], "Service not found", "{body}: {refused}");
        assert_eq!(failure(&refused), ("NO_SUCH_SERVICE", "no"), "{body}: {refused}");
    }
}

/// W3C Trace Context passes through both Mains and the Home.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn trace_context_reaches_the_upstream() {
    let world = Pair::start().await;
    let headers = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
                   tracestate: a=1\r\n";
    let seen = world.a.rpc_with(headers, &call("up.trace_context", "1", "[]")).await;
    let mut lines: Vec<&str> =
        seen["result"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    lines.sort_unstable();
    let sent: Vec<&str> = headers.trim_end().split("\r\n").collect();
    assert_eq!(lines, sent, "{seen}");
    let without = world.a.rpc_with("", &call("up.trace_context", "1", "[]")).await;
    assert_eq!(without["result"], json!([]), "{without}");
}

/// Round robin by the rules of one service; an instance that stops gets no more calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn instances_get_their_turns() {
    let rules = "[balancing.services.counter]\nbalance = \"round-robin\"\n";
    let settings = Settings::new("turns", rules);
    let main = Main::with(&["--port", "0", "--config", settings.path()]);
    let flags = ["--service=counter=demo:counter"];
    let _alice = main.home("alice.home", &flags, &["counter"]).await;
    let bob = main.home("bob.home", &flags, &["counter"]).await;
    let count = async |calls: usize| {
        let mut counts = BTreeMap::new();
        for _ in 0..calls {
            let answer = main.rpc(&call("counter.increment", "1", "[1]")).await.json();
            let node = answer["result"]["node_id"].as_str().unwrap_or_else(|| panic!("{answer}"));
            *counts.entry(node.to_owned()).or_insert(0) += 1;
        }
        counts
    };
    let both = BTreeMap::from([("alice.home".to_owned(), 5), ("bob.home".to_owned(), 5)]);
    assert_eq!(count(10).await, both);
    bob.signal("TERM");
    assert_eq!(bob.ended().0, Some(0));
    assert_eq!(count(10).await, BTreeMap::from([("alice.home".to_owned(), 10)]));
}

/// "5 failures open it": five calls find an upstream that is down, the others are told at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_breaker_of_a_dead_upstream_opens() {
    let rules = "[balancing.services.fragile]\nbreaker_failures = 2\nbreaker_open = \"10m\"\n";
    let settings = Settings::new("breaker", rules);
    let main = Main::with(&["--port", "0", "--config", settings.path()]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let services = ["down", "fragile"].map(|name| format!("--service={name}=http://{nobody}/"));
    let _home = start_home(main.address, "alice.home", &[&services[0], &services[1]]);
    for (service, failures, pause) in [("down", 5, 30_000), ("fragile", 2, 600_000)] {
        let mut codes = Vec::new();
        while codes.len() < 10 {
            let answer = main.rpc(&call(&format!("{service}.get"), "1", "[]")).await.json();
            let (code, executed) = failure(&answer);
            // Not offered yet.
            if code == "NO_SUCH_SERVICE" {
                continue;
            }
            assert_eq!(executed, "no", "{answer}");
            if code == "CIRCUIT_OPEN" {
                let after = answer["error"]["data"]["retry_after_ms"].as_u64();
                assert!(after.is_some_and(|ms| (1..=pause).contains(&ms)), "{answer}");
                assert_eq!(answer["error"]["data"]["node"], "main-a", "{answer}");
            }
            codes.push(code.to_owned());
        }
        let expected =
            [vec!["UNAVAILABLE"; failures], vec!["CIRCUIT_OPEN"; 10 - failures]].concat();
        assert_eq!(codes, expected, "{service}");
    }
    main.process.lines_until("breaker=\"open\"");
}

/// "Multi-step routing over intermediate nodes": three Mains in a row, of which the first one does
/// not know the last one.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_mode_p2p_reaches_over_chains_of_mains() {
    let flags = ["--port", "0", "--mode", "p2p"];
    let c = Main::named("relay-c", &flags);
    let b = Main::named("relay-b", &[&flags[..], &["--peers", &c.url()]].concat());
    let a = Main::named("relay-a", &[&flags[..], &["--peers", &b.url()]].concat());
    let _home = c.home("bob.home", &["--service=echo=demo:echo"], &["echo"]).await;
    let body = call("bob.home@relay-c.echo.echo", "1", "[1]");
    let mut traced = Value::Null;
    until("the first Main knows the way", async || {
        traced = a.rpc_with("Relay-Trace: 1\r\n", &body).await;
        traced.get("result").is_some()
    })
    .await;
    let path = json!(["relay-a", "relay-b", "relay-c", "bob.home"]);
    assert_eq!(traced["trace"]["path"], path, "{traced}");
}

/// Two Mains that know each other, and what is attached to the second one.
struct Pair {
    a: Main,
    _b: Main,
    _home: Process,
    _upstream: Upstream,
}

impl Pair {
    async fn start() -> Self {
        let b = Main::named("relay-b", &["--port", "0"]);
        let a = Main::named("relay-a", &["--port", "0", "--peers", &b.url()]);
        let upstream = Upstream::start().await;
        let home = b.home("bob.home", &[&upstream.service("up")], &["up"]).await;
        until("the first Main knows what the second one has", async || {
            let probe = call("up.echo", "1", "[]");
            a.rpc(&probe).await.json().get("result").is_some()
        })
        .await;
        Self { a, _b: b, _home: home, _upstream: upstream }
    }
}
