//! Programs in Rhai: the example, calls to others, and what a program cannot do.

use super::{EXAMPLES, LONG, application, call, failure, text, until};
use relay_server::hosts::{Caller, LateNode, Program};
use relay_tokio::{ErrorCode, Executed, Node, NodeConfig, Received, Role, Service, ServiceRequest};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

type Services = BTreeMap<String, Arc<dyn Service>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_publishes() {
    let (node, services) = parsed(
        r#"service("a", #{
               say: |topic, value| publish(topic, value),
               try_it: |topic| {
                   try { publish(topic, 1) } catch (error) { return error.data.cause.code; }
               },
           });"#,
    );
    let heard = node.subscribe("messages.**").unwrap();
    let a = &*services["a"];
    let answer = text(call(a, "say", r#"["messages.user.42", {"n": [1, "x"]}]"#).await);
    assert_eq!(answer, r#"{"links":1,"mains":0}"#);
    let Some(Received::Publication(said)) = heard.next().await else { panic!("missed") };
    assert_eq!((said.topic(), &said.body()[..]), ("messages.user.42", &br#"{"n":[1,"x"]}"#[..]));
    let answer = text(call(a, "say", r#"["nobody.hears", null]"#).await);
    assert_eq!(answer, r#"{"links":0,"mains":0}"#);
    assert_eq!(text(call(a, "try_it", r#"["messages.*"]"#).await), "\"NAME_INVALID\"");
}

#[tokio::test]
async fn the_example_counts_and_remembers() {
    let path = format!("{EXAMPLES}/test_p2p_registry.rhai");
    let program = Program::load(Path::new(&path)).unwrap();
    let (node, services) = started(&program);
    let id = node.id();
    let counter = &*services["test_counter"];
    assert_eq!(counter.methods(), ["get_count", "get_info", "increment", "reset"]);
    let expected = format!(r#"{{"increment":10,"local_count":10,"node_id":"{id}"}}"#);
    assert_eq!(text(call(counter, "increment", "[10]").await), expected);
    text(call(counter, "increment", "").await);
    text(call(counter, "increment", r#"{"by":4}"#).await);
    assert_eq!(application(call(counter, "increment", "[\"x\"]").await)["code"], -32602);
    assert_eq!(text(call(counter, "get_count", "[]").await), "15");
    let info: serde_json::Value =
        serde_json::from_slice(&call(counter, "get_info", "").await.unwrap()).unwrap();
    assert_eq!((&info["count"], &info["calls"]), (&15.into(), &3.into()));
    assert_eq!(text(call(counter, "reset", "").await), "0");
    assert_eq!(text(call(counter, "get_count", "").await), "0");

    let log = &*services["discovery_test"];
    assert_eq!(log.methods(), ["get_events", "get_stats", "record_event"]);
    for number in 1..=105 {
        let body = format!(r#"["peer_added", "node{number}"]"#);
        assert_eq!(text(call(log, "record_event", body).await), number.to_string());
    }
    text(call(log, "record_event", r#"{"kind":"peer_lost","peer":"node1"}"#).await);
    assert!(call(log, "record_event", "[7]").await.is_err());
    let events: Vec<serde_json::Value> =
        serde_json::from_slice(&call(log, "get_events", "").await.unwrap()).unwrap();
    assert_eq!((events.len(), &events[0]["number"]), (100, &7.into()));
    assert_eq!(events[99]["kind"], "peer_lost");
    let stats = text(call(log, "get_stats", "").await);
    let expected = r#"{"by_kind":{"peer_added":105,"peer_lost":1},"kept":100,"#;
    assert!(stats.starts_with(expected), "{stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_one_service_run_one_at_a_time_in_order() {
    let (_node, services) = parsed(
        r#"service("a", #{
               log: [],
               add: |n| { let seen = this.log; sleep_ms(1); seen.push(n); this.log = seen; },
               log_of: || this.log,
           });"#,
    );
    let a = &services["a"];
    let calls: Vec<_> =
        (0..50).map(|n| tokio::spawn(a.call(request("add", &format!("[{n}]"))))).collect();
    // The turn of a call is taken when it is made, not when it is first polled.
    for answer in calls {
        assert_eq!(text(answer.await.unwrap()), "null");
    }
    let expected: Vec<u32> = (0..50).collect();
    let log: Vec<u32> = serde_json::from_slice(&call(&**a, "log_of", "").await.unwrap()).unwrap();
    assert_eq!(log, expected);
}

#[tokio::test]
async fn services_run_side_by_side_and_call_each_other() {
    let (node, services) = parsed(
        r#"service("front", #{
               ask: |n| message("back", "double", n) + 1,
               ask_by_node: |n| message(node_id() + ".back", "double", n),
               catch_error: || { try { message("back", "fail", "why") } catch (e) { return e; } },
               pass_error: || message("back", "fail", "why"),
               nobody: || message("nobody", "m"),
               self_call: || message("front", "ask", 1),
               own: |n| this._private(n),
               _private: |n| n * 100,
               big: || message("back", "big"),
               bad_name: || message("a b", "m"),
           });
           service("back", #{
               double: |n| n * 2,
               big: || 1152921504606846976,
               fail: |text| { throw #{ code: 7, message: text, data: [1.5] } },
           });"#,
    );
    let front = &*services["front"];
    assert_eq!(text(call(front, "ask", "[4]").await), "9");
    assert_eq!(text(call(front, "ask_by_node", "[4]").await), "8");
    assert_eq!(text(call(front, "own", "[4]").await), "400");
    assert_eq!(text(call(front, "big", "").await), "1152921504606846976");
    let thrown = r#"{"code":7,"data":[1.5],"message":"why"}"#;
    assert_eq!(text(call(front, "catch_error", "").await), thrown);
    let expected: serde_json::Value = serde_json::from_str(thrown).unwrap();
    assert_eq!(application(call(front, "pass_error", "").await), expected);
    let error = application(call(front, "nobody", "").await);
    assert_eq!(
        (&error["code"], &error["data"]["cause"]["code"]),
        (&(-32000).into(), &"NO_SUCH_SERVICE".into())
    );
    assert_eq!(error["data"]["cause"]["node"], node.id().as_str());
    let error = application(call(front, "self_call", "").await);
    assert!(error["message"].as_str().unwrap().contains("wait for itself"), "{error}");
    let error = application(call(front, "bad_name", "").await);
    assert!(error["message"].as_str().unwrap().contains("service name"), "{error}");
    for private in ["_private", "nope", "log", "service"] {
        let answer = call(front, private, "[]").await;
        assert_eq!(failure(answer), (ErrorCode::NoSuchMethod, Executed::No));
    }
}

#[tokio::test]
async fn arguments_arrive_by_position_or_as_one_map() {
    let (_node, services) = parsed(
        r#"const LIMIT = 9;
           fn helper(x) { x ?? "absent" }
           service("a", #{
               two: |x, y| [helper(x), helper(y), LIMIT],
               none: || "none",
               kind: |x| type_of(x),
               same: |x| x,
               nan: || 0.0 / 0.0,
               all: || this,
           });"#,
    );
    let a = &*services["a"];
    assert_eq!(text(call(a, "two", "[1, null]").await), r#"[1,"absent",9]"#);
    assert_eq!(text(call(a, "two", "").await), r#"["absent","absent",9]"#);
    assert_eq!(text(call(a, "two", r#"{"x":1}"#).await), r#"[{"x":1},"absent",9]"#);
    assert_eq!(text(call(a, "none", "{}").await), "\"none\"");
    assert_eq!(text(call(a, "kind", "[1.0]").await), "\"f64\"");
    assert_eq!(text(call(a, "same", "[9007199254740993]").await), "9007199254740993");
    assert_eq!(text(call(a, "same", "[\"😀\"]").await), "\"😀\"");
    assert_eq!(text(call(a, "all", "").await), "{}");
    for (method, body) in [
        ("none", "[1]"),
        ("none", r#"{"a":1}"#),
        ("two", "[1,2,3]"),
        ("same", "[1e400]"),
        ("same", "[9223372036854775808]"),
        ("same", "[1"),
        ("same", "7"),
    ] {
        let answer = call(a, method, body).await;
        assert_eq!(failure(answer), (ErrorCode::BadParams, Executed::No), "{method} {body}");
    }
    assert!(application(call(a, "nan", "").await)["message"].as_str().unwrap().contains("NaN"));
}

#[tokio::test]
async fn a_bad_call_costs_nobody_else() {
    let (_node, services) = parsed(
        r#"service("a", #{
               count: 0,
               forever: || { loop { this.count += 0; } },
               deep: || this.deep(),
               large: || { let s = "x"; loop { s += s; } },
               many: || { let a = []; loop { a += [1]; a += a; } },
               mistake: || {
                   let a = [];
                   a[3]
               },
               mixed: || 1 + "a".len().nothing(),
               change_and_throw: || { this.count += 1; throw "no" },
               get: || this.count,
           });"#,
    );
    let a = &*services["a"];
    for (method, hint) in [
        ("forever", "operations"),
        ("deep", "overflow"),
        ("large", "too large"),
        ("many", "too large"),
        ("mistake", "line 9"),
        ("mixed", "nothing"),
        ("change_and_throw", "no"),
    ] {
        let error = application(call(a, method, "").await);
        let message = error["message"].as_str().unwrap();
        assert_eq!(error["code"], -32000);
        assert!(message.to_lowercase().contains(hint), "{method}: {message}");
    }
    assert_eq!(text(call(a, "get", "").await), "1");
}

#[tokio::test]
async fn a_call_ends_with_its_deadline_or_its_caller() {
    let (_node, services) = parsed(
        r#"service("a", #{
               nap: |ms| sleep_ms(ms),
               stubborn: || { loop { try { sleep_ms(60000) } catch { } } },
               get: || 1,
           });"#,
    );
    let a = &services["a"];
    assert_eq!(text(call(&**a, "nap", "[1]").await), "null");
    assert!(application(call(&**a, "nap", "[60001]").await)["message"].is_string());
    assert!(application(call(&**a, "nap", "[-1]").await)["message"].is_string());
    let short = ServiceRequest { deadline: Duration::from_millis(20), ..request("stubborn", "") };
    let answer = tokio::time::timeout(LONG, a.call(short)).await.unwrap();
    assert_eq!(failure(answer), (ErrorCode::Deadline, Executed::Unknown));

    let abandoned = tokio::spawn(a.call(request("stubborn", "")));
    let queued = a.call(ServiceRequest { deadline: Duration::ZERO, ..request("get", "") });
    abandoned.abort();
    let queued = tokio::time::timeout(LONG, queued).await.unwrap();
    assert_eq!(failure(queued), (ErrorCode::Deadline, Executed::No));
    assert_eq!(text(call(&**a, "get", "").await), "1", "the next one has its turn");
}

#[tokio::test]
async fn waiting_calls_are_bounded() {
    let (_node, services) = parsed(
        r#"service("a", #{ nap: || sleep_ms(60000), get: || 1 });
           service("b", #{ get: || 2 });"#,
    );
    let a = &services["a"];
    let nap = a.call(request("nap", ""));
    let waiting: Vec<_> = (0..1026).map(|_| a.call(request("get", ""))).collect();
    let refused = a.call(request("get", "")).await;
    assert_eq!(failure(refused), (ErrorCode::Overloaded, Executed::No));
    assert_eq!(text(call(&*services["b"], "get", "").await), "2", "the other service is free");
    drop((nap, waiting));
    until("the abandoned calls make room", async || call(&**a, "get", "").await.is_ok()).await;
    let large = format!("[\"{}\"]", "x".repeat(65 * 1024 * 1024));
    let refused = call(&**a, "get", large).await;
    assert_eq!(failure(refused), (ErrorCode::Overloaded, Executed::No));
}

#[tokio::test]
async fn a_program_can_be_started_before_its_node() {
    let late = Arc::new(LateNode::default());
    let program = Program::parse(
        "t",
        r#"service("a", #{ id: || node_id(), ask: || message("a2", "get") });
           service("a2", #{ get: || 5 });"#,
    )
    .unwrap();
    let caller: Arc<dyn Caller> = late.clone();
    let services: Services = program.start(&caller).unwrap().into_iter().collect();
    let error = application(call(&*services["a"], "ask", "").await);
    assert_eq!(error["data"]["cause"]["code"], "UNAVAILABLE");
    let node = Node::start(NodeConfig::new(Role::Main)).unwrap();
    node.register("a2", Arc::clone(&services["a2"])).unwrap();
    late.set(node.clone());
    assert_eq!(text(call(&*services["a"], "id", "").await), format!("\"{}\"", node.id()));
    assert_eq!(text(call(&*services["a"], "ask", "").await), "5");
}

fn parsed(text: &str) -> (Node, Services) {
    started(&Program::parse("test.rhai", text).unwrap())
}

fn started(program: &Program) -> (Node, Services) {
    let node = Node::start(NodeConfig::new(Role::Main)).unwrap();
    let caller: Arc<dyn Caller> = Arc::new(node.clone());
    let services: Services = program.start(&caller).unwrap().into_iter().collect();
    for (name, service) in &services {
        node.register(name, Arc::clone(service)).unwrap();
    }
    (node, services)
}

fn request(method: &str, body: &str) -> ServiceRequest {
    let body = bytes::Bytes::copy_from_slice(body.as_bytes());
    ServiceRequest {
        method: method.to_owned(),
        body,
        deadline: LONG,
        idempotent: false,
        headers: Vec::new(),
        stream: None,
    }
}
