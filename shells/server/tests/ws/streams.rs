//! Streams in both directions, of calls that a client makes and of calls that it answers.

use crate::world::{Server, failure, request};
use relay_server::http::ClientLimits;
use relay_tokio::CallRequest;
use serde_json::json;

#[tokio::test]
async fn chunks_come_before_the_result_and_as_they_were_written() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let chunks = r#"[1e400,{"a":1,"a":2},"x"]"#;
    let call = r#""method":"demo.stream","relay":{"stream":true}"#;
    client.send(format!(r#"{{"jsonrpc":"2.0","id":"s",{call},"params":{chunks}}}"#)).await;
    for chunk in ["1e400", r#"{"a":1,"a":2}"#, "\"x\""] {
        let params = format!(r#"{{"id":"s","chunk":{chunk}}}"#);
        let expected = format!(r#"{{"jsonrpc":"2.0","method":"rpc.chunk","params":{params}}}"#);
        assert_eq!(client.text().await, expected);
    }
    assert_eq!(client.text().await, r#"{"jsonrpc":"2.0","result":3,"id":"s"}"#);
    // Without being asked for, there are none.
    assert_eq!(client.call("demo.stream", json!([1])).await["result"], json!(null));
    let relay = json!({ "stream": true, "trace": true });
    client.send_json(&request(90, "demo.binary", json!([]), relay)).await;
    let chunk = client.json().await;
    assert_eq!(chunk["params"], json!({ "id": 90, "base64": "AP8=" }));
    let answer = client.json().await;
    assert_eq!((&answer["result"], &answer["trace"]["path"]), (&json!(true), &json!(["main-a"])));
}

#[tokio::test]
async fn no_more_comes_than_was_granted() {
    let server = Server::start().await;
    let mut client = server.client().await;
    // One chunk uses it up, whatever its size.
    client.send_json(&request(90, "demo.stream", json!([1, 2, 3]), json!({ "credit": 1 }))).await;
    assert_eq!(client.json().await["params"]["chunk"], 1);
    assert_eq!(client.call("demo.echo", json!([])).await["result"], json!([]));
    for chunk in [2, 3] {
        // What a chunk costs: its length and 32.
        client.notify("rpc.credit", json!({ "id": 90, "bytes": 33 })).await;
        assert_eq!(client.json().await["params"]["chunk"], chunk);
        assert_eq!(client.call("demo.echo", json!([])).await["result"], json!([]));
    }
    assert_eq!(client.answer(90).await["result"], 3);
    let answer = client.call("rpc.credit", json!({ "id": 90, "bytes": 1 })).await;
    assert_eq!(answer["result"], false);
    // Whoever never grants is told at the deadline and not later.
    let relay = json!({ "credit": 0, "timeout_ms": 1 });
    client.send_json(&request(91, "demo.stream", json!([1]), relay)).await;
    assert_eq!(failure(&client.answer(91).await).0, "DEADLINE");
}

#[tokio::test]
async fn a_caller_sends_chunks_too() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send_json(&request(90, "demo.gather", json!([]), json!({ "stream": true }))).await;
    client.notify("rpc.chunk", json!({ "id": 90, "chunk": [1] })).await;
    client.notify("rpc.chunk", json!({ "id": 90, "chunk": "b" })).await;
    client.notify("rpc.chunk", json!({ "id": 90, "last": true })).await;
    assert_eq!(client.answer(90).await["result"], json!([[1], "b"]));
    let answer = client.call("rpc.chunk", json!({ "id": 90, "chunk": 1 })).await;
    assert_eq!(answer["result"], false);
    let answer = client.call("rpc.chunk", json!({ "id": 90 })).await;
    assert_eq!(failure(&answer), ("BAD_PARAMS", "no"));
    // A notification has no id that its chunks could name; it runs without.
    let relay = json!({ "stream": true });
    client.send_json(&json!({ "jsonrpc": "2.0", "method": "demo.gather", "relay": relay })).await;
    assert_eq!(client.call("demo.echo", json!([])).await["result"], json!([]));
}

#[tokio::test]
async fn chunks_of_a_caller_are_bounded() {
    let limits = ClientLimits { window_bytes: 1000, ..ClientLimits::default() };
    let server = Server::bounded(limits).await;
    let mut client = server.client().await;
    client.send_json(&request(90, "demo.gather", json!([]), json!({ "stream": true }))).await;
    client.notify("rpc.chunk", json!({ "id": 90, "chunk": "x".repeat(64 << 10) })).await;
    assert_eq!(failure(&client.answer(90).await), ("TOO_LARGE", "yes"));
    // The service reads nothing, so everything waits here once its own window is full.
    client.send_json(&request(91, "demo.never", json!([]), json!({ "stream": true }))).await;
    for _ in 0..40 {
        client.notify("rpc.chunk", json!({ "id": 91, "chunk": "x".repeat(60 << 10) })).await;
    }
    assert_eq!(failure(&client.answer(91).await), ("OVERLOADED", "yes"));
    assert_eq!(client.call("demo.echo", json!([1])).await["result"], json!([1]));
}

#[tokio::test]
async fn a_caller_is_granted_what_was_read() {
    let limits = ClientLimits { window_bytes: 200, ..ClientLimits::default() };
    let server = Server::bounded(limits).await;
    let mut client = server.client().await;
    client.send_json(&request(90, "demo.gather", json!([]), json!({ "stream": true }))).await;
    client.notify("rpc.chunk", json!({ "id": 90, "chunk": "x".repeat(98) })).await;
    let credit = client.json().await;
    assert_eq!(
        (&credit["method"], &credit["params"]),
        (&json!("rpc.credit"), &json!({ "id": 90, "bytes": 132 }))
    );
    client.notify("rpc.chunk", json!({ "id": 90, "chunk": 1, "last": true })).await;
    assert_eq!(client.answer(90).await["result"][1], 1);
}

#[tokio::test]
async fn a_service_streams_to_whoever_asked_for_it() {
    let server = Server::start().await;
    let mut service = server.client().await;
    service.register("job").await;
    let call = CallRequest::new("job", "run", "[3]");
    let (stream, answer) = server.node.call_streaming(&call).unwrap();
    let asked = service.json().await;
    let id = asked["id"].clone();
    assert_eq!((&asked["method"], &asked["params"]), (&json!("job.run"), &json!([3])));
    assert_eq!(asked["relay"]["stream"], true);
    for chunk in [1, 2] {
        service.notify("rpc.chunk", json!({ "id": id, "chunk": chunk })).await;
    }
    service.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": "done" })).await;
    assert_eq!(stream.next().await.unwrap(), "1");
    assert_eq!(stream.next().await.unwrap(), "2");
    assert_eq!(stream.next().await, None);
    assert_eq!(format!("{:?}", answer.await.unwrap()), r#"Result(b"\"done\"")"#);
    // A caller that asked for no stream gets the answer alone.
    let other = server.client().await;
    let (mut other, caller) = (other, json!({ "jsonrpc": "2.0", "id": 1, "method": "job.run" }));
    other.send_json(&caller).await;
    let asked = service.json().await;
    assert_eq!(asked["relay"].get("stream"), None);
    service.notify("rpc.chunk", json!({ "id": asked["id"], "chunk": 1 })).await;
    service.send_json(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": 5 })).await;
    assert_eq!(other.json().await, json!({ "jsonrpc": "2.0", "id": 1, "result": 5 }));
}

#[tokio::test]
async fn a_service_reads_the_chunks_of_the_caller_as_it_grants() {
    let server = Server::start().await;
    let mut service = server.client().await;
    let params = json!({ "service": "job", "credit": 1 });
    service.call("rpc.register", params).await;
    let mut caller = server.client().await;
    caller.send_json(&request(90, "job.run", json!([]), json!({ "stream": true }))).await;
    let id = service.json().await["id"].clone();
    for chunk in [1, 2] {
        caller.notify("rpc.chunk", json!({ "id": 90, "chunk": chunk })).await;
    }
    caller.notify("rpc.chunk", json!({ "id": 90, "last": true })).await;
    assert_eq!(service.json().await["params"], json!({ "id": id, "chunk": 1 }));
    assert_eq!(service.call("demo.echo", json!([])).await["result"], json!([]));
    service.notify("rpc.credit", json!({ "id": id, "bytes": 100 })).await;
    assert_eq!(service.json().await["params"], json!({ "id": id, "chunk": 2 }));
    assert_eq!(service.json().await["params"], json!({ "id": id, "last": true }));
    service.send_json(&json!({ "jsonrpc": "2.0", "id": id, "result": 1 })).await;
    assert_eq!(caller.answer(90).await["result"], 1);
}

#[tokio::test]
async fn a_service_that_floods_ends_that_call_alone() {
    let limits = ClientLimits { window_bytes: 1000, ..ClientLimits::default() };
    let server = Server::bounded(limits).await;
    let mut service = server.client().await;
    service.register("job").await;
    let mut caller = server.client().await;
    caller.send_json(&request(90, "job.run", json!([]), json!({ "credit": 0 }))).await;
    caller.send_json(&request(91, "job.other", json!([]), json!({}))).await;
    let id = service.json().await["id"].clone();
    let other = service.json().await["id"].clone();
    for _ in 0..40 {
        service.notify("rpc.chunk", json!({ "id": id, "chunk": "x".repeat(60 << 10) })).await;
    }
    assert_eq!(failure(&caller.answer(90).await), ("OVERLOADED", "yes"));
    let cancel = loop {
        let message = service.json().await;
        if message["method"] == "rpc.cancel" {
            break message;
        }
    };
    assert_eq!(cancel["params"], json!({ "id": id }));
    service.send_json(&json!({ "jsonrpc": "2.0", "id": other, "result": 1 })).await;
    assert_eq!(caller.answer(91).await["result"], 1);
}
