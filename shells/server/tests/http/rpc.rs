//! JSON-RPC through the gateway.

use crate::client::{APPLICATION_ERROR, Server, post};
use relay_server::http::GatewayConfig;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn call(method: &str, id: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params},"id":{id}}}"#)
}

#[tokio::test]
async fn c1_results_errors_and_statuses() {
    let server = Server::start().await;
    let response = server.rpc(&call("demo.subtract", "1", "[42,23]")).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.body, r#"{"jsonrpc":"2.0","result":19,"id":1}"#);
    for (body, number, name) in [
        ("{".to_owned(), -32700, "PARSE"),
        ("[]".to_owned(), -32600, "BAD_REQUEST"),
        (call("demo.nope", "1", "[]"), -32601, "NO_SUCH_METHOD"),
        (call("nope.nope", "1", "[]"), -32003, "NO_SUCH_SERVICE"),
        (call("other-node.demo.echo", "1", "[]"), -32003, "NO_SUCH_SERVICE"),
        (call("*.echo", "1", "[]"), -32602, "NAME_INVALID"),
        (call("demo.broken", "1", "[]"), -32017, "BAD_RESPONSE"),
    ] {
        let response = server.rpc(&body).await;
        assert_eq!((response.status, response.header("relay-error")), (200, Some(name)), "{body}");
        let error = response.json()["error"].take();
        assert_eq!((&error["code"], &error["data"]["code"]), (&json!(number), &json!(name)));
        assert_eq!(error["data"]["node"], "main-a");
    }
    let named = server.rpc(&call("main-a.demo.echo", "1", "[5]")).await;
    assert_eq!(named.json()["result"], json!([5]));
    let remote = |node: &str| {
        let target = r#""server_name":"demo","method":"echo","args":[6]"#;
        call("remote_call", "1", &format!(r#"{{"node_id":"{node}",{target}}}"#))
    };
    // An address says where the Main is, an id which one it has to be.
    for node in ["main-a@127.0.0.1:8080", "main-a@main-a"] {
        assert_eq!(server.rpc(&remote(node)).await.json()["result"], json!([6]), "{node}");
    }
    let elsewhere = server.rpc(&remote("main-a@main-b")).await.json();
    assert_eq!(elsewhere["error"]["message"], "Service not found", "{elsewhere}");
    let found = server.rpc(r#"{"jsonrpc":"2.0","method":"rpc.discover","id":1}"#).await.json();
    assert_eq!(found["result"]["x-relay-services"], json!({"demo": ["main-a"]}));
}

#[tokio::test]
async fn j1_a_traced_answer_tells_its_way() {
    let server = Server::start().await;
    let traced = |body: &str| post("/rpc", "Relay-Trace: 1\r\n", body);
    let response = server.request(&traced(&call("demo.echo", "1", "[ 1e400 ]"))).await;
    let start = r#"{"jsonrpc":"2.0","result":[ 1e400 ],"trace":{"path":["main-a"],"hops":["#;
    assert!(response.body.starts_with(start), "{response:?}");
    let failed = server.request(&traced(&call("demo.nope", "1", "[]"))).await.json();
    assert_eq!(failed["error"]["data"]["trace"]["path"], json!(["main-a"]), "{failed}");
    assert_eq!(failed["error"]["data"]["trace"]["hops"][0]["attempts"], 1, "{failed}");
    let own = server.request(&traced(&call("demo.fail", "1", "[]"))).await;
    let start =
        format!(r#"{{"jsonrpc":"2.0","error":{APPLICATION_ERROR},"trace":{{"path":["main-a"]"#);
    assert!(own.body.starts_with(&start), "{own:?}");
    let remote = r#"{"service_name":"demo","method":"echo","trace":true,"priority":"low"}"#;
    let by_member = server.rpc(&call("remote_call", "1", remote)).await.json();
    assert_eq!(by_member["trace"]["path"], json!(["main-a"]), "{by_member}");
    let plain = server.rpc(&call("demo.echo", "1", "[]")).await;
    assert_eq!(plain.body, r#"{"jsonrpc":"2.0","result":[],"id":1}"#);
    let refused = post("/rpc", "Relay-Priority: urgent\r\n", &call("demo.echo", "1", "[]"));
    assert_eq!(server.request(&refused).await.status, 400);
}

#[tokio::test]
async fn c1_the_service_can_be_named_by_the_url() {
    let server = Server::start().await;
    let to = async |path: &str, body: String| server.request(&post(path, "", &body)).await;
    let response = to("/rpc/demo", call("subtract", "1", "[42,23]")).await;
    assert_eq!(response.body, r#"{"jsonrpc":"2.0","result":19,"id":1}"#);
    for (path, method) in
        [("/rpc/demo", "foobar"), ("/rpc/demo", "demo.echo"), ("/rpc", "subtract")]
    {
        let error = to(path, call(method, "1", "[]")).await.json()["error"].take();
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!(-32601), &json!("Method not found"))
        );
    }
    for path in ["/rpc/", "/rpc/a.b", "/rpc/a%2eb", "/rpc/demo/", "/rpc/*"] {
        assert_eq!(to(path, call("echo", "1", "[]")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn j03_duplicate_members_http() {
    let server = Server::start().await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"demo.echo","method":"demo.subtract"}"#;
    assert_eq!(server.rpc(body).await.json()["error"]["code"], -32600);
    assert_eq!(server.calls.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn j06_batches() {
    let server = Server::start().await;
    let notify = r#"{"jsonrpc":"2.0","method":"demo.echo"}"#;
    let response = server.rpc(&format!("[{notify},{notify}]")).await;
    assert_eq!((response.status, response.body.as_str()), (204, ""));
    assert_eq!(server.calls.begun.load(Ordering::SeqCst), 2, "both ran");
    let response = server.rpc(notify).await;
    assert_eq!((response.status, response.header("content-length")), (204, None));
    let mixed =
        format!("[{},{notify},7,{}]", call("demo.echo", "1", "[1]"), call("a.b", "2", "[]"));
    let response = server.rpc(&mixed).await;
    assert_eq!((response.status, response.header("relay-error")), (200, None));
    let answers = response.json();
    assert_eq!(answers.as_array().unwrap().len(), 3);
    assert_eq!(answers[0], json!({"jsonrpc": "2.0", "result": [1], "id": 1}));
    assert_eq!((&answers[1]["error"]["code"], &answers[1]["id"]), (&json!(-32600), &json!(null)));
    assert_eq!((&answers[2]["error"]["code"], &answers[2]["id"]), (&json!(-32003), &json!(2)));
    let many: Vec<_> = (0..33).map(|n| call("demo.echo", &n.to_string(), "[]")).collect();
    let response = server.rpc(&format!("[{}]", many.join(","))).await.json();
    assert_eq!((&response["error"]["code"], &response["id"]), (&json!(-32600), &json!(null)));
}

#[tokio::test]
async fn j06_the_sum_of_a_batch_is_bounded() {
    let config = GatewayConfig { batch_bytes_max: 1 << 20, ..GatewayConfig::default() };
    let server = Server::with(config).await;
    let calls: Vec<_> = (0..32).map(|n| call("demo.big", &n.to_string(), "[]")).collect();
    let response = server.rpc(&format!("[{}]", calls.join(","))).await;
    assert!(response.body.len() < (1 << 20) + 32 * 512, "{}", response.body.len());
    let answers = response.json();
    let (whole, refused): (Vec<_>, Vec<_>) =
        answers.as_array().unwrap().iter().partition(|answer| answer.get("result").is_some());
    assert_eq!((whole.len(), refused.len()), (3, 29));
    for answer in refused {
        let data = &answer["error"]["data"];
        assert_eq!(answer["error"]["code"], -32008);
        assert_eq!(data["executed"], "yes");
        assert_eq!((&data["retry"], &data["limit"]), (&json!("never"), &json!(1 << 20)));
    }
}

#[tokio::test]
async fn j07_entries_of_a_batch_run_side_by_side() {
    let server = Server::start().await;
    let calls: Vec<_> = (0..16).map(|n| call("demo.slow", &n.to_string(), "[]")).collect();
    let begun = std::time::Instant::now();
    let response = server.rpc(&format!("[{}]", calls.join(","))).await;
    assert_eq!(response.body.matches("slept").count(), 16);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn j09_bytes_pass_unchanged_both_ways() {
    let server = Server::start().await;
    let params =
        "[1e400, 1152921504606846976,-0, {\"k\":1,\"k\" : 2}, \"\\u0041\u{1F600}\", 1.10 ]";
    for id in ["9007199254740993", "\"\\u0061\"", "-0", "1e400", "null"] {
        let response = server.rpc(&call("demo.echo", id, params)).await;
        assert_eq!(response.body, format!(r#"{{"jsonrpc":"2.0","result":{params},"id":{id}}}"#));
    }
    let response = server.rpc(&call("demo.fail", "1", "[]")).await;
    assert_eq!(response.body, format!(r#"{{"jsonrpc":"2.0","error":{APPLICATION_ERROR},"id":1}}"#));
    assert_eq!(response.header("relay-error"), None, "the service failed it, not the relay");
    let response = server.rpc(r#"{"jsonrpc":"2.0","method":"demo.echo","id":1}"#).await;
    assert_eq!(response.body, r#"{"jsonrpc":"2.0","result":null,"id":1}"#);
}

#[tokio::test]
async fn j12_a_client_that_goes_away_cancels_its_call() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.send(post("/rpc", "", &call("demo.never", "1", "[]"))).await;
    let until = async |count: &std::sync::atomic::AtomicUsize| {
        let reached = async {
            while count.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(1), reached).await.is_ok()
    };
    assert!(until(&server.calls.begun).await);
    assert_eq!(server.calls.dropped.load(Ordering::SeqCst), 0);
    drop(client);
    assert!(until(&server.calls.dropped).await, "the call goes on without its caller");
}

#[tokio::test]
async fn headers_set_the_options_of_a_call() {
    let server = Server::start().await;
    let body = call("demo.never", "1", "[]");
    let response = server.request(&post("/rpc", "Relay-Timeout-Ms: 50\r\n", &body)).await;
    assert_eq!(response.header("relay-error"), Some("DEADLINE"));
    assert_eq!(response.json()["error"]["data"]["executed"], "unknown");
    for header in [
        "Relay-Timeout-Ms: 0",
        "Relay-Timeout-Ms: x",
        "Relay-Timeout-Ms: 600001",
        "Relay-Timeout-Ms: +5",
        "Relay-Idempotent: yes",
    ] {
        let response = server.request(&post("/rpc", &format!("{header}\r\n"), &body)).await;
        assert_eq!(response.status, 400, "{header}");
    }
}

#[tokio::test]
async fn requests_are_answered_in_order_on_one_connection() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let bodies: Vec<_> = (0..50).map(|n| call("demo.echo", &n.to_string(), "[]")).collect();
    client.send(bodies.iter().map(|body| post("/rpc", "", body)).collect::<String>()).await;
    for n in 0..50 {
        assert_eq!(client.response().await.unwrap().json()["id"], n);
    }
}
