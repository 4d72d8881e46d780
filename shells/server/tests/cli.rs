//! The binary `relay` from outside: what it prints, where, and with which exit code.

#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking, too")]

#[path = "support/process.rs"]
mod process;

use process::{Process, command};
use std::process::Output;
use std::time::{Duration, Instant};

#[test]
fn each_command_explains_itself_with_examples() {
    for line in [
        "--help",
        "-h",
        "-help",
        "call --help",
        "bench --help",
        "pub --help",
        "sub --help",
        "services --help",
        "peers --help",
        "topology --help",
        "explain --help",
        "demo -h",
        "sim --help",
        "completions --help",
    ] {
        let output = relay(&words(line));
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert!(text.contains("Usage: relay"), "{line}: {text}");
        assert!(text.contains("Examples:") && text.contains("  relay "), "{line}: {text}");
        assert!(output.stderr.is_empty(), "{line}");
    }
    let version = relay(&["-V"]);
    assert_eq!(stdout(&version), format!("relay {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn nothing_given_says_what_to_try() {
    let output = relay(&[]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("relay demo") && text.contains("relay --server"), "{text}");
}

#[test]
fn contradictions_are_one_line_and_say_what_to_do() {
    for line in [
        "-server -node-type home",
        "-node-type home",
        "-server -connect ws://127.0.0.1:8080",
        "-connect ws://127.0.0.1:8080 -node-type main",
        "-connect ws://127.0.0.1:8080 -peers ws://127.0.0.1:8081",
        "-connect ws://127.0.0.1:8080 -port 8081",
        "-port 8081",
        "-server -listen 127.0.0.1:1 -port 2",
        "-server -host 0.0.0.0",
        "-server -port 99999",
        "-server -port=-1",
        "-server -no-such-flag",
        "-server -node-type hub",
        "-server -config /nonexistent/relay.toml",
        "-server -key-file /nonexistent/folder/key",
        "blog.rl -connect ws://127.0.0.1:8080",
        "servces",
        "call",
        "call counter",
        "call counter.increment 5",
        "call counter.increment -timeout 5",
        "services -connect tls://127.0.0.1:1",
        "bench",
        "bench echo",
        "bench echo.echo -rate 5",
        "bench echo.echo [1] -unique",
        "bench echo.echo -connect ftp://127.0.0.1",
        "peers -connect quic://127.0.0.1:1",
        "call -tls-ca /nonexistent/ca.crt a.b",
        "services -tls-cert a.crt",
        "explain BREAKER",
        "explain -1",
    ] {
        let output = relay(&words(line));
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{line}: {text}");
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains(" INFO ")).collect();
        assert!(lines[0].starts_with("error: "), "{line}: {text}");
        assert!(lines.len() <= 2, "{line}: {text}");
        assert!(lines.get(1).is_none_or(|hint| hint.starts_with("hint: ")), "{line}: {text}");
        assert!(output.stdout.is_empty(), "{line}");
    }
    assert!(stderr(&relay(&["blog.rl"])).contains("Rhai"));
    assert!(stderr(&relay(&["servces"])).contains("did you mean relay services?"));
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = relay(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let text = stdout(&output);
        assert!(text.contains("relay") && text.contains("node-type"), "{shell}");
        assert!(
            ["services", "peers", "demo", "sim", "bench", "pub", "sub"]
                .iter()
                .all(|name| text.contains(name)),
            "{shell}"
        );
    }
    assert_eq!(relay(&["completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn completions_know_the_names_of_errors() {
    let text = stdout(&relay(&["completions", "zsh"]));
    assert!(text.contains("CIRCUIT_OPEN") && text.contains("NO_SUCH_SERVICE"), "{text}");
}

#[test]
fn errors_are_explained() {
    for code in ["CIRCUIT_OPEN", "circuit-open", "402", "-32012"] {
        let output = relay(&["explain", code]);
        assert_eq!(output.status.code(), Some(0), "{code}: {}", stderr(&output));
        let text = stdout(&output);
        for part in ["CIRCUIT_OPEN (402)", "executed    no", "HTTP        503", "what to do  "] {
            assert!(text.contains(part), "{code}: {text}");
        }
    }
    let all = relay(&["explain"]);
    assert_eq!(all.status.code(), Some(0));
    let text = stdout(&all);
    assert!(text.starts_with("CODE") && text.contains("NO_SUCH_SERVICE"), "{text}");
    let output = relay(&["explain", "CIRCUT_OPEN"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("hint: did you mean CIRCUIT_OPEN?"), "{text}");
    assert!(!stdout(&relay(&["explain", "--help"])).contains("[possible values"));
}

#[test]
fn the_configuration_is_printed_with_its_sources() {
    let output = command(&["-port", "9000", "--print-config", "-server"])
        .env("RELAY_HTTP__HOST", "127.0.0.2")
        .env("RELAY_LOG", "debug")
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for line in [
        "port = 9000  # flag --port",
        "host = \"127.0.0.2\"  # environment RELAY_HTTP__HOST",
        "level = \"debug\"  # environment RELAY_LOG",
        "server = true  # flag --server",
        "discovery_interval = \"30s\"  # default",
    ] {
        assert!(text.lines().any(|got| got == line), "{line}\n{text}");
    }
}

#[test]
fn an_unreachable_main_is_told_within_the_timeout() {
    // Bound and never accepted from: connecting works, nothing ever answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let started = Instant::now();
    let output = relay(&["services", "--connect", &url, "--timeout", "300ms"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(started.elapsed() < Duration::from_secs(5));
    let text = stderr(&output);
    assert!(text.starts_with("error: cannot reach a node at 127.0.0.1:"), "{text}");
    assert!(text.contains("hint: check that it runs"), "{text}");
}

#[test]
#[cfg(unix)]
fn a_node_starts_says_so_and_stops_on_a_signal() {
    for signal in ["INT", "TERM"] {
        let node = Process::relay(&["-server", "-node-type", "main", "-port", "0"]);
        let lines = node.lines_until(" ready ");
        for wanted in [
            "Starting as Main Relay with auto-generated node ID",
            "WebSocket P2P system started for node ",
            "WebSocket P2P endpoint: ws://127.0.0.1:",
        ] {
            assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted}: {lines:?}");
        }
        assert!(lines.iter().any(|line| line.ends_with("/ws/p2p")), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("127.0.0.1:0")), "{lines:?}");
        node.signal(signal);
        assert_stopped(node);
    }
}

#[test]
#[cfg(unix)]
fn a_chosen_id_and_json_lines() {
    let flags = ["-server", "-port", "0", "-node-id", "custom.relay.com", "-log-format", "json"];
    let node = Process::relay(&flags);
    let lines = node.lines_until("\"ready\"");
    let start = lines.iter().find(|line| line.contains("Starting as Main Relay")).expect("started");
    let object: serde_json::Value = serde_json::from_str(start).expect("a JSON object");
    assert_eq!(object["message"], "Starting as Main Relay with node ID");
    assert_eq!(object["node_id"], "custom.relay.com");
    node.signal("TERM");
    assert_stopped(node);
}

#[test]
#[cfg(unix)]
fn a_taken_port_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let output = relay(&["--server", "--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("cannot listen on 127.0.0.1:"), "{text}");
    assert!(text.contains("hint: another process listens there"), "{text}");
}

#[cfg(unix)]
fn assert_stopped(node: Process) {
    let (code, lines) = node.ended();
    assert_eq!(code, Some(0), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("stopped")), "{lines:?}");
}

fn relay(arguments: &[&str]) -> Output {
    command(arguments).output().expect("runs")
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}
