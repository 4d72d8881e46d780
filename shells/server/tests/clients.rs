//! The programs of examples/clients, each against a relay of its own, with the packages that
//! `cargo xtask test` puts into target/clients.

#![cfg(unix)]
#![expect(clippy::expect_used, clippy::panic, reason = "this is all test code")]

#[path = "clients/browser.rs"]
mod browser;
#[path = "support/chromium.rs"]
mod chromium;
#[path = "support/process.rs"]
mod process;
#[path = "clients/world.rs"]
mod world;

use world::{Folder, Relay, node, python};

/// What both callers print.
const CALLER: [&str; 6] =
    ["add: 5", "chunk: 1", "chunk: 2", "chunk: 3", "count: done", "cancelled: CANCELLED"];

fn has_all(lines: &[String], wanted: &[&str]) {
    let mut found = lines.iter();
    for line in wanted {
        assert!(found.any(|one| one == line), "no {line:?} in {lines:#?}");
    }
}

#[test]
fn r12_python_serves_and_calls() {
    let (folder, relay) = (Folder::new("python"), Relay::start(&[]));
    let service = python(&folder, "python_service.py", &[&relay.ws()]);
    service.lines_until("\"node\"");
    let (code, lines) = python(&folder, "python_caller.py", &[&relay.ws(), "py"]).ended();
    has_all(&lines, &CALLER);
    assert_eq!(code, Some(0), "{lines:#?}");
    let failed = relay.rpc("py.add", r#"["a"]"#);
    assert!(failed.contains("TypeError"), "{failed}");
}

#[test]
fn r12_node_serves_and_calls() {
    let (folder, relay) = (Folder::new("node"), Relay::start(&[]));
    let service = node(&folder, "node_service.mjs", &[&relay.ws()]);
    service.lines_until("main-a");
    let (code, lines) = node(&folder, "node_caller.mjs", &[&relay.ws(), "js"]).ended();
    has_all(&lines, &CALLER);
    assert_eq!(code, Some(0), "{lines:#?}");
    // Each language calls the other.
    let other = python(&folder, "python_service.py", &[&relay.ws()]);
    other.lines_until("\"node\"");
    let (_, lines) = node(&folder, "node_caller.mjs", &[&relay.ws(), "py"]).ended();
    has_all(&lines, &CALLER);
    let (_, lines) = python(&folder, "python_caller.py", &[&relay.ws(), "js"]).ended();
    has_all(&lines, &CALLER);
}

#[test]
fn r11_a_client_comes_back_and_offers_its_services_again() {
    let (folder, relay) = (Folder::new("reconnect"), Relay::start(&[]));
    let port = relay.port();
    let client = node(&folder, "reconnect.mjs", &[&relay.ws()]);
    client.lines_until("state: open");
    client.lines_until("served: 1");
    relay.stop();
    client.lines_until("state: lost 1001");
    let relay = Relay::start(&["--port", &port.to_string()]);
    client.lines_until("served: 2");
    assert!(relay.rpc("again.count", "[]").contains("\"result\":3"));
}

#[test]
fn r11_a_client_hears_topics_again_after_it_came_back() {
    let (folder, relay) = (Folder::new("topics"), Relay::start(&[]));
    let port = relay.port();
    let client = node(&folder, "topics.mjs", &[&relay.ws()]);
    let lines = client.lines_until("ready");
    has_all(&lines, &["refused: NAME_INVALID", "handed: {\"links\":1,\"mains\":0}"]);
    client.lines_until(r#"all messages.b.x null 1"#);
    relay.stop();
    client.lines_until("state: lost 1001");
    let relay = Relay::start(&["--port", &port.to_string()]);
    relay.until_handed("messages", "\"back\"");
    client.lines_until(r#"all messages "back""#);
    relay.until_handed("done", "1");
    let (code, lines) = client.ended();
    assert_eq!(code, Some(0), "{lines:#?}");
    let has = |wanted: &str| lines.iter().filter(|line| line.starts_with(wanted)).count();
    assert_eq!((has("all messages.a.x"), has("some messages.a.x"), has("some")), (1, 1, 1));
}

#[test]
fn r12_the_react_hook_calls_and_serves() {
    let folder = Folder::new("react");
    let token = folder.write("token", "a-secret\n");
    let relay = Relay::start(&["--service", "echo=demo:echo", "--token-file", &token]);
    let (code, lines) = node(&folder, "hook.mjs", &[&relay.ws(), "a-secret"]).ended();
    let expected =
        ["state: open", r#"call: ["hi"]"#, "service: 42", "messages: true", "closed: no"];
    has_all(&lines, &expected);
    assert_eq!(code, Some(0), "{lines:#?}");
}

#[test]
fn a_page_is_a_service_in_chromium() {
    let folder = Folder::new("browser");
    let (_server, port) = folder.serve();
    let settings = format!("[http]\nlink_origins = [\"http://127.0.0.1:{port}\"]\n");
    let settings = folder.write("relay.toml", &settings);
    let relay = Relay::start(&["--config", &settings]);
    let page = format!("http://127.0.0.1:{port}/browser.html?{}", relay.ws());
    let page = browser::Page::open(&page, folder.path());
    relay.rpc_until("notes.list", "[]", r#""result":["hello"]"#);
    let added = relay.rpc("notes.add", r#"["milk"]"#);
    assert!(added.contains("\"result\":2"), "{added}");
    let listed = relay.rpc("notes.list", "[]");
    assert!(listed.contains(r#""result":["hello","milk"]"#), "{listed}");
    drop(page);
    relay.rpc_until("notes.list", "[]", "NO_SUCH_SERVICE");
}

#[test]
fn a_page_of_others_is_not_let_in() {
    let folder = Folder::new("stranger");
    let (_server, port) = folder.serve();
    let relay = Relay::start(&[]);
    let shown = format!("http://127.0.0.1:{port}/browser.html?{}", relay.ws());
    let _page = browser::Page::open(&shown, folder.path());
    relay.metric_until("relay_http_requests_total{route=\"/ws\",status=\"403\"}");
    assert!(relay.rpc("notes.list", "[]").contains("NO_SUCH_SERVICE"));
}

#[test]
fn curl_calls_the_service_of_another_language() {
    let (folder, relay) = (Folder::new("curl"), Relay::start(&[]));
    let service = python(&folder, "python_service.py", &[&relay.ws()]);
    service.lines_until("\"node\"");
    let (code, lines) = folder.bash("curl.sh", &[&relay.http(), "py"]).ended();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert_eq!(lines[0], r#"{"jsonrpc":"2.0","result":5,"id":1}"#);
    assert_eq!(lines[1], r#"{"jsonrpc":"2.0","result":5,"id":2}"#);
    assert!(lines[2].contains(r#""result":2,"trace":"#), "{lines:#?}");
    assert!(lines[2].contains(r#""name":"py.count""#), "{lines:#?}");
}
