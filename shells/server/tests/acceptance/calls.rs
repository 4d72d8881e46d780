//! Real processes: a Main; a Home with Python behind HTTP and Python behind pipes; a Home with a
//! program.

use crate::process::Process;
use crate::world::{EXAMPLES, Main, answer, call};
use serde_json::{Value, json};
use std::process::Command;

/// "Real processes: Main; Home A with a Python JSON-RPC HTTP upstream (examples/upstream.py) and
/// an `exec:` Python child (examples/child.py); Home B with `examples/test_p2p_registry.rhai`
/// (test_counter, discovery_test). Calls by `service.method`, `node.service.method` and
/// `remote_call` (with node_id+server_name+method, with service_name, with id@main) give right
/// answers through curl and through `relay call`".
#[tokio::test]
async fn every_form_of_a_call_is_answered() {
    let world = World::start().await;
    let at_main = format!("alice.home@{}", world.main.address);
    let remote = |members: &str| call("remote_call", "1", &format!("{{{members}}}"));
    for (body, result) in [
        (call("math.add", "1", "[2,3]"), "5"),
        (call("alice.home.math.add", "1", r#"{"a":2,"b":3}"#), "5"),
        (
            remote(r#""node_id":"alice.home","server_name":"math","method":"add","params":[2,3]"#),
            "5",
        ),
        (remote(r#""service_name":"math","method":"add","args":[2,3]"#), "5"),
        (
            remote(&format!(
                r#""node_id":"{at_main}","server_name":"math","method":"add","args":[2,3]"#
            )),
            "5",
        ),
        (call("text.upper", "1", r#"["hello"]"#), r#""HELLO""#),
        (call("alice.home.text.upper", "1", r#"{"text":"hello"}"#), r#""HELLO""#),
        (
            remote(&format!(
                r#""node_id":"{at_main}","service_name":"text","method":"upper","args":["x"]"#
            )),
            r#""X""#,
        ),
        (call("bob.home.test_counter.get_count", "1", "[]"), "0"),
        (remote(r#""service_name":"test_counter","method":"get_count""#), "0"),
        (call("discovery_test.record_event", "1", r#"["peer_added","alice.home"]"#), "1"),
        (
            remote(
                r#""node_id":"bob.home","server_name":"discovery_test","method":"record_event",
                   "args":{"kind":"peer_lost","peer":"x"}"#,
            ),
            "2",
        ),
    ] {
        assert_eq!(world.main.curl("/rpc", &body), answer("1", result), "{body}");
    }
    let counted =
        world.main.curl("/rpc", &call("bob.home.test_counter.increment", "\"x\"", "[10]"));
    let expected = r#"{"increment":10,"local_count":10,"node_id":"bob.home"}"#;
    assert_eq!(counted, answer("\"x\"", expected));
    assert_eq!(world.main.curl("/rpc/math", &call("add", "1", "[2,3]")), answer("1", "5"));
    let events = world.main.curl("/rpc", &call("discovery_test.get_events", "1", "[]"));
    let events: Value = serde_json::from_str(&events).unwrap();
    assert_eq!(events["result"][1]["kind"], "peer_lost", "{events}");

    for (arguments, printed) in [
        (&["math.add", "a=2", "b=3"][..], "5\n"),
        (&["alice.home.math.add", "[2,3]"], "5\n"),
        (&["--node", "alice.home", "math.add", "[2,3]"], "5\n"),
        (&["--node", &at_main, "math.add", "[2,3]"], "5\n"),
        (&["text.upper", "text=hello"], "\"HELLO\"\n"),
        (&["bob.home.test_counter.get_count"], "10\n"),
        (&["discovery_test.record_event", "[\"peer_added\",\"y\"]"], "3\n"),
    ] {
        assert_eq!(world.main.called(arguments), printed, "{arguments:?}");
    }
}

/// "Calls by `service.method`, `node.service.method` […] give right answers": where both Homes
/// offer a service, the node that is named is the one that answers.
#[tokio::test]
async fn the_named_node_answers_and_no_other() {
    let world = World::start().await;
    let who = |answer: &str| {
        let answer: Value = serde_json::from_str(answer).unwrap();
        answer["result"]["node_id"].as_str().unwrap().to_owned()
    };
    for node in ["alice.home", "bob.home"].repeat(10) {
        let body = call(&format!("{node}.both.get_info"), "1", "[]");
        assert_eq!(who(&world.main.rpc(&body).await.body), node);
        let members = format!(r#"{{"node_id":"{node}","server_name":"both","method":"get_info"}}"#);
        assert_eq!(who(&world.main.rpc(&call("remote_call", "1", &members)).await.body), node);
    }
    let any = who(&world.main.curl("/rpc", &call("both.get_info", "1", "[]")));
    assert!(["alice.home", "bob.home"].contains(&any.as_str()), "{any}");
    for method in ["alice.home.test_counter.get_count", "carol.home.both.get_info"] {
        let answer = world.main.rpc(&call(method, "1", "[]")).await.json();
        assert_eq!(answer["error"]["data"]["executed"], "no", "{method}: {answer}");
    }
    let output = world.main.relay_call(&["bob.home.math.add", "[1,2]"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("executed: no"), "{output:?}");
}

/// "ids of every legal JSON type are echoed byte-exact".
#[tokio::test]
async fn ids_come_back_as_they_were_written() {
    let world = World::start().await;
    for id in [
        "1",
        "0",
        "-0",
        "-7",
        "1.50",
        "1e400",
        "1E+2",
        "9007199254740993",
        "12345678901234567890123456789",
        "null",
        r#""""#,
        r#""a b""#,
        r#""\u0041\/\n""#,
        r#""😀 \ud83d\ude00""#,
        r#""1""#,
    ] {
        for method in ["math.echo", "alice.home.loud.echo"] {
            let got = world.main.curl("/rpc", &call(method, id, "[1]"));
            assert_eq!(got, answer(id, "[1]"), "{method}");
        }
        let got = world.main.curl("/rpc", &call("nobody.nothing", id, "[1]"));
        assert!(got.ends_with(&format!(r#","id":{id}}}"#)), "{got}");
    }
    for id in ["true", "[]", "{}", "[1]"] {
        let got = world.main.rpc(&call("loud.echo", id, "[1]")).await.json();
        assert_eq!((&got["error"]["code"], &got["id"]), (&json!(-32600), &Value::Null), "{id}");
    }
}

/// "params and results pass byte-identical (1e400, 2^60, duplicate keys inside params, emoji)".
#[tokio::test]
async fn params_and_results_pass_byte_for_byte() {
    let world = World::start().await;
    for params in [
        "[1e400]",
        "[1152921504606846976, 1152921504606846977, -0, -0.0, 1.0, 1.10e+02]",
        r#"{"a":1,"a":2,"b":{"c":1,"c":1}}"#,
        r#"["😀", "\ud83d\ude00", "\u0000", "\/", "é", "e\u0301"]"#,
        "[ 1 ,\t2 , { \"b\" : [ ] , \"a\" : null } ]",
        "{}",
        "[123456789012345678901234567890.123456789012345678901234567890]",
    ] {
        for method in ["math.echo", "alice.home.math.echo", "loud.echo", "alice.home.loud.echo"] {
            let got = world.main.curl("/rpc", &call(method, "1", params));
            assert_eq!(got, answer("1", params), "{method}");
            let printed = world.main.called(&[method, params]);
            assert_eq!(printed, format!("{params}\n"), "{method}");
        }
        let members = format!(r#"{{"service_name":"math","method":"echo","args":{params}}}"#);
        let got = world.main.curl("/rpc", &call("remote_call", "1", &members));
        assert_eq!(got, answer("1", params));
        let failed = world.main.curl("/rpc", &call("loud.fail", "1", params));
        assert!(failed.contains(&format!(r#""data":{params}}}"#)), "{failed}");
    }
}

/// `relay services` lists what all of them offer, every instance in a row of its own.
#[tokio::test]
async fn the_table_of_services_shows_all_of_them() {
    let world = World::start().await;
    let url = format!("http://{}", world.main.address);
    let output = crate::process::command(&["services", "--connect", &url]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    for (service, node) in [
        ("math", "alice.home"),
        ("text", "alice.home"),
        ("loud", "alice.home"),
        ("both", "alice.home"),
        ("both", "bob.home"),
        ("test_counter", "bob.home"),
        ("discovery_test", "bob.home"),
    ] {
        let is_row = |row: &str| row.starts_with(service) && row.contains(node);
        assert!(table.lines().any(is_row), "{service} of {node}: {table}");
    }
}

struct World {
    main: Main,
    _others: [Process; 3],
}

impl World {
    async fn start() -> Self {
        let mut python = Command::new("python3");
        python.args([&format!("{EXAMPLES}/upstream.py"), "0"]);
        let upstream = Process::start(python);
        let port = upstream.lines_until("").remove(0);
        let main = Main::start();
        let math = format!("--service=math=http://127.0.0.1:{port}/");
        let text = format!("--service=text=exec:python3 '{EXAMPLES}/child.py'");
        let demos = ["--service=loud=demo:echo", "--service=both=demo:counter"];
        let flags = [&[math.as_str(), &text], &demos[..]].concat();
        let alice = main.home("alice.home", &flags, &["math", "text", "loud", "both"]).await;
        let program = format!("{EXAMPLES}/test_p2p_registry.rhai");
        let offers = ["test_counter", "discovery_test", "both"];
        let bob = main.home("bob.home", &[&program, demos[1]], &offers).await;
        Self { main, _others: [upstream, alice, bob] }
    }
}
