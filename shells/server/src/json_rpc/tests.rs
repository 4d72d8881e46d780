use super::*;
use relay_tokio::{Answer, Executed, Priority, RegistryView, Retry, ServiceView, TraceHop};
use serde_json::{Value as Json, json};
use std::time::Duration;

const FRONT: Front<'_> = Front {
    node: "here",
    service: None,
    options: CallOptions {
        timeout: None,
        is_idempotent: false,
        is_traced: false,
        priority: Priority::Normal,
    },
    is_connected: false,
};

fn parsed(body: impl AsRef<[u8]>) -> Parsed {
    Parsed::of(&Bytes::copy_from_slice(body.as_ref()), &FRONT)
}

fn entry(body: impl AsRef<[u8]>) -> Entry {
    match parsed(body) {
        Parsed::Single(entry) => entry,
        Parsed::Batch(entries) => panic!("a batch: {entries:?}"),
    }
}

/// The number, the name and the id of an error that answers `body`.
fn refusal(body: impl AsRef<[u8]>) -> (i32, &'static str, Option<String>) {
    match entry(body) {
        Entry::Invalid { id, error } => {
            assert_eq!((error.executed, error.node.as_str()), (Executed::No, "here"));
            let id = id.map(|id| String::from_utf8(id.to_vec()).unwrap());
            (error.code.json_rpc(), error.code.name(), id)
        }
        other @ (Entry::Call { .. } | Entry::Notification(_) | Entry::Ignored(_)) => {
            panic!("not refused: {other:?}")
        }
    }
}

fn call(body: impl AsRef<[u8]>) -> (Bytes, Call) {
    match entry(body) {
        Entry::Call { id, call } => (id, call),
        other @ (Entry::Invalid { .. } | Entry::Notification(_) | Entry::Ignored(_)) => {
            panic!("not a call: {other:?}")
        }
    }
}

fn target(method: &str) -> Result<Target, (i32, &'static str)> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method}).to_string();
    match entry(body) {
        Entry::Call { call, .. } => Ok(call.target),
        Entry::Invalid { error, .. } => Err((error.code.json_rpc(), error.code.name())),
        other @ (Entry::Notification(_) | Entry::Ignored(_)) => panic!("{other:?}"),
    }
}

fn service(node: Option<&str>, service: &str, method: &str) -> Target {
    let node = node.map(str::to_owned);
    Target::Service { node, service: service.to_owned(), method: method.to_owned() }
}

#[test]
fn j01_what_is_not_json_is_a_parse_error() {
    let bodies: [&[u8]; 14] = [
        b"",
        b"  ",
        br#"{"jsonrpc":"2.0","id":1,"method":"a.b"} x"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"a.b"}{}"#,
        b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a.b\"}",
        br#"{"jsonrpc":"2.0","id":1,"method":"a.b","params":[NaN]}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"a.b","params":["\ud800"]}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"a.b","params":{"\udc00":1}}"#,
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a.b\",\"params\":[\"\xff\"]}",
        br#"{"jsonrpc":"2.0","id":1,"method":"a.b","params":[01]}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"a.b","params":[1,]}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"a.b","#,
        br#"[{"jsonrpc":"2.0","id":1,"method":"a.b"},{"jsonrpc":"#,
        br#"{"id":true,"id":2,"method":7,}"#,
    ];
    for body in bodies {
        assert_eq!(refusal(body), (-32700, "PARSE", None), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn j02_nesting_is_bounded() {
    let nested = |depth: usize| {
        let params = "[".repeat(depth) + "]".repeat(depth).as_str();
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a.b","params":{params}}}"#)
    };
    call(nested(31));
    assert_eq!(refusal(nested(32)).0, -32700);
    assert_eq!(refusal(nested(100_000)).0, -32700);
    let brackets_in_text = "[{".repeat(100);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "a.b", "params": [brackets_in_text]});
    call(body.to_string());
}

#[test]
fn j03_duplicate_members() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"a.b","method":"a.c"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a.b","\u006dethod":"a.c"}"#,
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"a.b"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a.b","params":[],"params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a.b","x":1,"x":2}"#,
    ] {
        assert_eq!(refusal(body), (-32600, "BAD_REQUEST", Some("1".into())), "{body}");
    }
    let body = r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a.b"}"#;
    assert_eq!(refusal(body), (-32600, "BAD_REQUEST", None), "neither id can be trusted");
    let (_, inside) = call(r#"{"jsonrpc":"2.0","id":1,"method":"a.b","params":{"a":1,"a":2}}"#);
    assert_eq!(inside.params, r#"{"a":1,"a":2}"#, "what params hold is not ours to judge");
    call(r#"{"jsonrpc":"2.0","id":1,"method":"a.b","meta":{"x":1},"more":null}"#);
    let many: String = (0..40).map(|n| format!(r#""m{n}":0,"#)).collect();
    assert_eq!(refusal(format!(r#"{{{many}"jsonrpc":"2.0","id":1,"method":"a.b"}}"#)).0, -32600);
}

#[test]
fn j04_ids() {
    for id in [
        "0",
        "-0",
        "1e400",
        "9007199254740993",
        "1.5",
        "null",
        r#""""#,
        r#""a\u0062\ud83d\ude00""#,
        "\"\u{1F600}\"",
        &format!("\"{}\"", "x".repeat(62)),
    ] {
        let (echoed, _) = call(format!(r#"{{"jsonrpc":"2.0","method":"a.b","id": {id} }}"#));
        assert_eq!(echoed, id.as_bytes());
    }
    for id in [
        "{}",
        "[]",
        "[1]",
        "true",
        "false",
        &format!("\"{}\"", "x".repeat(63)),
        &"1".repeat(65),
        &format!("\"{}\"", "x".repeat(10_240)),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"a.b","id":{id}}}"#);
        assert_eq!(refusal(body), (-32600, "BAD_REQUEST", None), "{id}");
    }
    assert!(matches!(entry(r#"{"jsonrpc":"2.0","method":"a.b"}"#), Entry::Notification(_)));
    assert!(matches!(entry(r#"{"jsonrpc":"2.0","method":"nodot"}"#), Entry::Ignored(_)));
}

#[test]
fn j05_an_id_is_used_once_in_a_batch() {
    let body = r#"[{"jsonrpc":"2.0","method":"a.b","id":7},{"jsonrpc":"2.0","method":"a.c","id":7},
        {"jsonrpc":"2.0","method":"a.d","id":"7"},{"jsonrpc":"2.0","method":"a.e"}]"#;
    let Parsed::Batch(entries) = parsed(body) else { panic!("no batch") };
    assert!(matches!(&entries[0], Entry::Call { id, .. } if id == "7"));
    assert!(matches!(&entries[1], Entry::Invalid { id: Some(id), error }
        if id == "7" && error.code.json_rpc() == -32600));
    assert!(matches!(&entries[2], Entry::Call { id, .. } if id == "\"7\""));
    assert!(matches!(&entries[3], Entry::Notification(_)));
}

#[test]
fn j06_batches_are_bounded() {
    let of = |count: usize| {
        let one = |n: usize| format!(r#"{{"jsonrpc":"2.0","method":"a.b","id":{n}}}"#);
        format!("[{}]", (0..count).map(one).collect::<Vec<_>>().join(","))
    };
    assert_eq!(refusal("[ ]"), (-32600, "BAD_REQUEST", None));
    assert!(matches!(parsed(of(32)), Parsed::Batch(entries) if entries.len() == 32));
    assert_eq!(refusal(of(33)), (-32600, "BAD_REQUEST", None));
    assert_eq!(refusal(of(10_000)), (-32600, "BAD_REQUEST", None));
    assert_eq!(refusal(of(33).replace("32}", "32}x")).0, -32700, "all of it has to be JSON");
    let Parsed::Batch(entries) = parsed(r#"[[{"jsonrpc":"2.0","method":"a.b","id":1}],1]"#) else {
        panic!("no batch")
    };
    let is_refused = |entry: &Entry| matches!(entry, Entry::Invalid { id: None, .. });
    assert!(entries.len() == 2 && entries.iter().all(is_refused), "a batch holds no batch");
}

#[test]
fn j08_names_have_one_form() {
    assert_eq!(target("blog.get_posts"), Ok(service(None, "blog", "get_posts")));
    assert_eq!(target("n1.blog.get"), Ok(service(Some("n1"), "blog", "get")));
    assert_eq!(target("a.b.c.d"), Ok(service(Some("a.b"), "c", "d")));
    assert_eq!(target("Blog.Get"), Ok(service(None, "Blog", "Get")));
    assert_eq!(target("rpc.discover"), Ok(Target::Discover));
    for method in ["subtract", "rpc.other", "rpc.discover.x", "rpc.", "rpc.*"] {
        assert_eq!(target(method), Err((-32601, "NO_SUCH_METHOD")), "{method}");
    }
    let long = "a".repeat(10_240);
    for method in [
        "",
        "*",
        "a.*",
        "*.b",
        "a.**",
        "a..b",
        "..",
        "..a.b.c",
        "x..a.b",
        ".a.b.c",
        "x..b.c",
        "a.b.",
        ".a.b",
        "a%2eb.c",
        "a.b%2ec",
        "bl\u{43e}g.get",
        "a.b\u{301}",
        "a b.c",
        "a.b\n",
        "Node.a.b",
        "a/../b.c",
        &long,
        &format!("{long}.b"),
        &format!("a.{long}"),
        &format!("{long}.a.b"),
    ] {
        assert_eq!(target(method), Err((-32602, "NAME_INVALID")), "{method}");
    }
}

#[test]
fn j09_params_pass_byte_for_byte() {
    let params =
        "[ 1e400 ,1152921504606846976, -0,{\"k\" :1,\"k\":2}\n, \"\\u0041\u{1F600}\", 1.10 ]";
    let body = format!(r#"{{"params":{params}  ,"method":"a.b","jsonrpc":"2.0","id":1}}"#);
    assert_eq!(call(body).1.params, params.as_bytes());
    assert!(call(r#"{"jsonrpc":"2.0","id":1,"method":"a.b"}"#).1.params.is_empty());
    for params in ["null", "1", "\"a\"", "true"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a.b","params":{params}}}"#);
        assert_eq!(refusal(body), (-32600, "BAD_REQUEST", Some("1".into())), "{params}");
    }
}

#[test]
fn j09_j10_results_are_spliced_or_refused() {
    let written = |answer| {
        let mut out = b"[".to_vec();
        let code = write_answer(&mut out, b"\"x\"", &answer, None, "here");
        (String::from_utf8(out).unwrap().split_off(1), code)
    };
    let exact = "{ \"a\" :1e400,\"a\":-0}";
    let (text, code) = written(Ok(Answer::Result(Bytes::from(exact))));
    assert_eq!(text, format!(r#"{{"jsonrpc":"2.0","result":{exact},"id":"x"}}"#));
    assert_eq!(code, None);
    assert!(written(Ok(Answer::Result(Bytes::new()))).0.contains(r#""result":null"#));
    let exact = r#"{"code": 7,"message":"m","data":[1e400]}"#;
    let (text, code) = written(Ok(Answer::ApplicationError(Bytes::from(exact))));
    assert_eq!((text, code), (format!(r#"{{"jsonrpc":"2.0","error":{exact},"id":"x"}}"#), None));
    let results = ["{", "1 2", "{}},\"id\":2,{", "nope", "\"\\ud800\"", &"[".repeat(200)];
    let errors = [
        "{}",
        "[]",
        "1",
        r#"{"code":"1","message":"m"}"#,
        r#"{"code":1.5,"message":"m"}"#,
        r#"{"code":1,"message":"m"}{}"#,
        r#"{"code":1,"code":2,"message":"m"}"#,
        "",
    ];
    let bad_results = results.iter().map(|text| Answer::Result(text.to_string().into()));
    let bad_errors = errors.iter().map(|text| Answer::ApplicationError(text.to_string().into()));
    for answer in bad_results.chain(bad_errors) {
        let (text, code) = written(Ok(answer));
        assert_eq!(code, Some(ErrorCode::BadResponse), "{text}");
        let value: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(value["error"]["code"], -32017);
        assert_eq!(value["error"]["data"]["executed"], "unknown");
        assert_eq!(value["id"], "x");
    }
}

#[test]
fn errors_carry_the_vocabulary() {
    let written = |error: CallError| {
        let mut out = Vec::new();
        write_error(&mut out, Some(b"1"), &error);
        serde_json::from_slice::<Json>(&out).unwrap()["error"].take()
    };
    let error = CallError::new(ErrorCode::NoSuchService, "main-a", "no service \"x\"");
    assert_eq!(
        written(error),
        json!({"code": -32003, "message": "Service not found", "data":
        {"code": "NO_SUCH_SERVICE", "executed": "no", "retry": "safe", "node": "main-a",
        "detail": "no service \"x\""}})
    );
    let mut error = CallError::new(ErrorCode::Overloaded, "m", "").with_limit(64);
    error.retry = Retry::AfterMs(250);
    assert_eq!(
        written(error),
        json!({"code": -32005, "message": ErrorCode::Overloaded.meaning(),
        "data": {"code": "OVERLOADED", "executed": "no", "retry": "after_ms", "retry_after_ms": 250,
        "node": "m", "limit": 64}})
    );
    for code in ErrorCode::ALL {
        let error = written(CallError::new(*code, "n", "why"));
        assert_eq!(error["code"], code.json_rpc());
        let specified = (-32768..-32099).contains(&code.json_rpc());
        assert_eq!(error["message"] == "why", !specified && *code != ErrorCode::NoSuchService);
    }
}

#[test]
fn c4_c5_c6_remote_call() {
    let remote = |params: &str| {
        entry(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"remote_call","params":{params}}}"#))
    };
    let Entry::Call { call, .. } = remote(
        r#"{"node_id":"bob.home@relay-a.com","server_name":"shop","method":"get","args":[ 1e400 ],
        "timeout_ms":1500,"trace":true,"idempotent":true,"priority":"high"}"#,
    ) else {
        panic!("not a call")
    };
    assert_eq!(call.target, service(Some("bob.home@relay-a.com"), "shop", "get"));
    assert_eq!(call.params, "[ 1e400 ]");
    let timeout = Some(Duration::from_millis(1500));
    let options =
        CallOptions { timeout, is_idempotent: true, is_traced: true, priority: Priority::High };
    assert_eq!(call.options, options);
    let Entry::Call { call, .. } =
        remote(r#"{"service_name":"a","method":"b","timeout":"5s","node_id":"a@127.0.0.1:1"}"#)
    else {
        panic!("not a call")
    };
    assert_eq!(call.options.timeout, Some(Duration::from_secs(5)));
    assert_eq!(call.target, service(Some("a"), "a", "b"), "an address is no id to check");
    let Entry::Call { call, .. } =
        remote(r#"{"service_name":"blog","method":"get","params":{"a":1},"timeout":2.5}"#)
    else {
        panic!("not a call")
    };
    assert_eq!(call.target, service(None, "blog", "get"));
    assert_eq!(
        (&call.params[..], call.options.timeout),
        (&br#"{"a":1}"#[..], Some(Duration::from_millis(2500)))
    );
    for (params, name) in [
        ("[]", "BAD_PARAMS"),
        ("{}", "BAD_PARAMS"),
        (r#"{"service_name":"a"}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","server_name":"b","method":"c"}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","method":"d"}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","args":1}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","nodeid":"x"}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","timeout":"1"}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","timeout":"11m"}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","priority":"urgent"}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","priority":1}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","timeout":1e400}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","timeout_ms":0}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","timeout_ms":600001}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","trace":1}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a","method":"c","node_id":5}"#, "BAD_PARAMS"),
        (r#"{"service_name":"a.b","method":"c"}"#, "NAME_INVALID"),
        (r#"{"service_name":"a","method":"*"}"#, "NAME_INVALID"),
        (r#"{"service_name":"a","method":"c","node_id":"a@b@c"}"#, "NAME_INVALID"),
    ] {
        match remote(params) {
            Entry::Invalid { error, .. } => assert_eq!(error.code.name(), name, "{params}"),
            other @ (Entry::Call { .. } | Entry::Notification(_) | Entry::Ignored(_)) => {
                panic!("{params}: {other:?}")
            }
        }
    }
    assert_eq!(refusal(r#"{"jsonrpc":"2.0","id":1,"method":"remote_call"}"#).1, "BAD_PARAMS");
}

#[test]
fn rpc_discover_lists_methods_with_their_nodes() {
    let view = |name: &str, node: &str, methods: &[&str]| ServiceView {
        name: name.into(),
        node: node.into(),
        methods: methods.iter().map(ToString::to_string).collect(),
        ..ServiceView::default()
    };
    let services = vec![
        view("blog", "n1", &["get"]),
        view("blog", "n2", &["get", "put"]),
        view("any", "n1", &[]),
    ];
    let mut out = Vec::new();
    let info = DiscoverInfo { node: "here", version: "1" };
    write_discover(&mut out, &info, &RegistryView { services, peers: Vec::new() });
    let document: Json = serde_json::from_slice(&out).unwrap();
    assert_eq!(document["openrpc"], "1.3.2");
    assert_eq!(document["methods"][0]["name"], "blog.get");
    assert_eq!(document["methods"][0]["x-relay-nodes"], json!(["n1", "n2"]));
    assert_eq!(document["methods"][1]["name"], "blog.put");
    assert_eq!(document["methods"].as_array().unwrap().len(), 2);
    assert_eq!(document["x-relay-services"], json!({"any": ["n1"], "blog": ["n1", "n2"]}));
}

#[test]
fn j1_a_trace_stands_beside_what_the_service_said() {
    let hop = |node: &str, micros| TraceHop {
        node: node.into(),
        took: Duration::from_micros(micros),
        attempts: 1,
    };
    let hops = [hop("bob.home", 900), hop("relay-b", 2_050), hop("relay-a", 3_007)];
    let written = |answer, hops: &[TraceHop]| {
        let mut out = Vec::new();
        let trace = Trace { node: "relay-a", hops, total: Duration::from_micros(3_100) };
        write_answer(&mut out, b"1", &answer, Some(&trace), "relay-a");
        String::from_utf8(out).unwrap()
    };
    let trace = r#"{"path":["relay-a","relay-b","bob.home"],"hops":[{"node":"relay-a","ms":3.007,"attempts":1},{"node":"relay-b","ms":2.050,"attempts":1},{"node":"bob.home","ms":0.900,"attempts":1}],"total_ms":3.100}"#;
    for (member, answer) in [
        ("result", Answer::Result(Bytes::from("{ \"a\" :1e400}"))),
        ("error", Answer::ApplicationError(Bytes::from(r#"{"code":1, "message":"m"}"#))),
    ] {
        let (Answer::Result(exact) | Answer::ApplicationError(exact)) = answer.clone();
        let exact = std::str::from_utf8(&exact).unwrap();
        let expected = format!(r#"{{"jsonrpc":"2.0","{member}":{exact},"trace":{trace},"id":1}}"#);
        assert_eq!(written(Ok(answer), &hops), expected);
    }
    let refused = CallError::new(ErrorCode::NoSuchService, "relay-a", "");
    let response: Json = serde_json::from_str(&written(Err(refused), &[])).unwrap();
    let expected = json!({"path": ["relay-a"], "hops": [], "total_ms": 3.1});
    assert_eq!(response["error"]["data"]["trace"], expected);
    assert!(response.get("trace").is_none());
}

/// A server for plain method names, as in section 7 of the specification.
fn spec_server(body: &str) -> Option<Json> {
    let front = Front { service: Some("spec"), ..FRONT };
    let respond = |entry: Entry| {
        let mut out = Vec::new();
        match entry {
            Entry::Notification(_) | Entry::Ignored(_) => return None,
            Entry::Invalid { id, error } => write_error(&mut out, id.as_deref(), &error),
            Entry::Call { id, call } => {
                write_answer(&mut out, &id, &spec_method(&call), None, "here");
            }
        }
        let mut response: Json = serde_json::from_slice(&out).unwrap();
        if let Some(error) = response.get_mut("error") {
            assert!(error.as_object_mut().unwrap().remove("data").is_some());
        }
        Some(response)
    };
    match Parsed::of(&Bytes::copy_from_slice(body.as_bytes()), &front) {
        Parsed::Single(entry) => respond(entry),
        Parsed::Batch(entries) => {
            let all: Vec<_> = entries.into_iter().filter_map(respond).collect();
            (!all.is_empty()).then_some(Json::Array(all))
        }
    }
}

fn spec_method(call: &Call) -> Result<Answer, CallError> {
    let Target::Service { method, .. } = &call.target else { panic!("not of a service") };
    let params: Json = serde_json::from_slice(&call.params).unwrap_or_default();
    let number = |by_name: &str, by_place: usize| {
        params.get(by_name).or_else(|| params.get(by_place)).and_then(Json::as_i64).unwrap()
    };
    let result = match method.as_str() {
        "subtract" => json!(number("minuend", 0) - number("subtrahend", 1)),
        "sum" => json!(params.as_array().unwrap().iter().filter_map(Json::as_i64).sum::<i64>()),
        "get_data" => json!(["hello", 5]),
        _ => return Err(CallError::new(ErrorCode::NoSuchMethod, "here", "")),
    };
    Ok(Answer::Result(result.to_string().into()))
}

#[test]
fn c1_examples_of_the_specification() {
    for (request, response) in SPEC_EXAMPLES {
        let expected = (!response.is_empty()).then(|| serde_json::from_str(response).unwrap());
        assert_eq!(spec_server(request), expected, "{request}");
    }
}

/// Request and response of section 7 of the JSON-RPC 2.0 specification.
const SPEC_EXAMPLES: &[(&str, &str)] = &[
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
    (r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#, ""),
    (r#"{"jsonrpc": "2.0", "method": "foobar"}"#, ""),
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
        r#"[{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}]"#,
    ),
    (
        "[1,2,3]",
        r#"[
          {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
          {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
          {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
        ]"#,
    ),
    (
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
    ),
    (
        r#"[
          {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
          {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
        ]"#,
        "",
    ),
];
