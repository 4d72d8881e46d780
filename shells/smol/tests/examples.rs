//! The example programs, as processes that find each other.

#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking, too")]

use relay_smol::{CallFailure, CallRequest, Client};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

/// An example that runs until the test ends.
struct Example {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child =
            command(name).args(arguments).stdout(Stdio::piped()).spawn().expect("it was built");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line comes").expect("UTF-8")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds the examples of a package with its tests, into a folder beside theirs.
fn command(name: &str) -> Command {
    let test = std::env::current_exe().expect("a path");
    let folder = test.ancestors().nth(2).expect("target/debug");
    let program =
        folder.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        program.is_file(),
        "no {program:?}: build it with cargo build -p relay-smol --examples"
    );
    Command::new(program)
}

#[test]
fn a_main_and_two_homes_serve_callers_over_both_transports() {
    let mut main = Example::start("main_relay", &["127.0.0.1:0", "127.0.0.1:0"]);
    let (websocket, tcp) = (main.line(), main.line());
    assert!(websocket.starts_with("ws://") && tcp.starts_with("tcp://"), "{websocket} {tcp}");
    let mut over_websocket = Example::start("home", &[&websocket, "alice"]);
    let mut over_tcp = Example::start("home", &[&tcp, "bob"]);
    for home in [&mut over_websocket, &mut over_tcp] {
        let line = home.line();
        assert!(line.starts_with("linked to "), "{line}");
    }
    smol::block_on(async {
        for address in [&websocket, &tcp] {
            let client = Client::connect(address).await.expect("connects");
            for node in ["alice", "bob"] {
                let request = || CallRequest {
                    node: Some(node.into()),
                    ..CallRequest::new("text", "upper", "[\"straße\"]")
                };
                // The registration is on its way when the link is up.
                let answer = loop {
                    match client.node().call(request()).await {
                        Err(error) if error.code == relay_smol::ErrorCode::NoSuchService => {}
                        other => break other.expect("answered"),
                    }
                };
                assert_eq!(answer, relay_smol::Answer::Result("\"STRASSE\"".into()));
            }
            let count: u32 = client.call("text", "count", "straße").await.expect("answered");
            assert_eq!(count, 6);
            let failure = client.call::<Value>("text", "lower", "A").await.expect_err("no method");
            let CallFailure::Application(object) = failure else { panic!("{failure}") };
            assert!(object.get().contains("-32601"), "{object}");
            let failure = client.call::<Value>("text", "upper", &json!(7)).await.expect_err("7");
            assert!(matches!(failure, CallFailure::Application(o) if o.get().contains("-32602")));
        }
    });
}

#[test]
fn wrong_arguments_are_answered_with_the_usage() {
    for (name, arguments) in
        [("main_relay", vec!["--help"]), ("home", vec![]), ("home", vec!["x"; 3])]
    {
        let output = command(name).args(&arguments).output().expect("runs");
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{name}: {text}");
        assert!(text.starts_with(&format!("Usage: {name} ")), "{name}: {text}");
    }
    let output = command("home").arg("ftp://nowhere").output().expect("runs");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("is no address of a Main") && text.contains("Usage: home"), "{text}");
}
