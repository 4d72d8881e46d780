//! "The examples of section 7 of the JSON-RPC 2.0 specification, all of them, literally", over
//! HTTP to a service in a Home. `error.data` is ours to fill and left out of the comparison.

use crate::client::{Client, Response, post};
use crate::process::Process;
use crate::world::{EXAMPLES, Main};
use serde_json::{Value, json};

/// "rpc call with positional parameters", "rpc call with named parameters".
#[tokio::test]
async fn calls_with_parameters() {
    let mut world = World::start().await;
    for (request, response) in [
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
            r#"{"jsonrpc": "2.0", "result": 19, "id": 1}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}"#,
            r#"{"jsonrpc": "2.0", "result": -19, "id": 2}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
            r#"{"jsonrpc": "2.0", "result": 19, "id": 3}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}"#,
            r#"{"jsonrpc": "2.0", "result": 19, "id": 4}"#,
        ),
    ] {
        world.answers(request, response).await;
    }
}

/// "a Notification".
#[tokio::test]
async fn notifications_are_not_answered() {
    let mut world = World::start().await;
    world.is_silent(r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#).await;
    world.is_silent(r#"{"jsonrpc": "2.0", "method": "foobar"}"#).await;
    assert_eq!(world.notified().await, json!([["update", 1, 2, 3, 4, 5]]));
}

/// "rpc call of non-existent method", "rpc call with invalid JSON", "rpc call with invalid Request
/// object".
#[tokio::test]
async fn calls_that_are_wrong() {
    let mut world = World::start().await;
    for (request, response) in [
        (
            r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
            r#"{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
            r#"{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#,
            r#"{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}"#,
        ),
    ] {
        world.answers(request, response).await;
    }
}

/// "rpc call Batch, invalid JSON", "rpc call with an empty Array", "rpc call with an invalid Batch
/// (but not empty)", "rpc call with invalid Batch".
#[tokio::test]
async fn batches_that_are_wrong() {
    let mut world = World::start().await;
    for (request, response) in [
        (
            r#"[
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method"
]"#,
            r#"{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}"#,
        ),
        (
            "[]",
            r#"{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}"#,
        ),
        (
            "[1]",
            r#"[
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
]"#,
        ),
        (
            "[1,2,3]",
            r#"[
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
]"#,
        ),
    ] {
        world.answers(request, response).await;
    }
}

/// "rpc call Batch", "rpc call Batch (all notifications)".
#[tokio::test]
async fn batches() {
    let mut world = World::start().await;
    world
        .answers(
            r#"[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]"#,
            r#"[
        {"jsonrpc": "2.0", "result": 7, "id": "1"},
        {"jsonrpc": "2.0", "result": 19, "id": "2"},
        {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
        {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "5"},
        {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
    ]"#,
        )
        .await;
    assert_eq!(world.notified().await, json!([["notify_hello", 7]]));
    world
        .is_silent(
            r#"[
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
    ]"#,
        )
        .await;
    let mut notified = world.notified().await;
    let new = notified.as_array_mut().unwrap().split_off(1);
    // The entries of a batch may run in any order.
    assert_eq!(sorted(Value::Array(new)), json!([["notify_hello", 7], ["notify_sum", 1, 2, 4]]));
}

struct World {
    client: Client,
    _main: Main,
    _home: Process,
}

impl World {
    async fn start() -> Self {
        let main = Main::start();
        let program = format!("{EXAMPLES}/jsonrpc_spec.rhai");
        let home = main.home("spec.home", &[&program], &["spec"]).await;
        Self { client: main.connect().await, _main: main, _home: home }
    }

    async fn send(&mut self, request: &str) -> Response {
        self.client.send(post("/rpc/spec", "", request)).await;
        self.client.response().await.expect("closed without an answer")
    }

    async fn answers(&mut self, request: &str, response: &str) {
        let got = self.send(request).await;
        assert_eq!(got.status, 200, "{request}");
        let wanted: Value = serde_json::from_str(response).unwrap();
        assert_eq!(sorted(without_data(got.json())), sorted(wanted), "{request}");
    }

    async fn is_silent(&mut self, request: &str) {
        let got = self.send(request).await;
        assert_eq!((got.status, got.body.as_str()), (204, ""), "{request}");
        assert_eq!(got.header("content-length"), None, "a 204 has none");
    }

    async fn notified(&mut self) -> Value {
        let request = r#"{"jsonrpc": "2.0", "method": "get_notified", "id": 0}"#;
        self.send(request).await.json()["result"].take()
    }
}

fn without_data(mut answer: Value) -> Value {
    match &mut answer {
        Value::Array(answers) => {
            for one in answers {
                *one = without_data(one.take());
            }
        }
        one => {
            if let Some(error) = one.get_mut("error").and_then(Value::as_object_mut) {
                error.remove("data");
            }
        }
    }
    answer
}

/// The answers of a batch may come in any order.
fn sorted(mut answer: Value) -> Value {
    if let Value::Array(answers) = &mut answer {
        answers.sort_by_key(Value::to_string);
    }
    answer
}
