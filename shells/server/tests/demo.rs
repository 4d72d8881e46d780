//! `relay demo` as a person meets it: every command that it prints is pasted into a shell.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking, too")]

#[path = "support/process.rs"]
mod process;

use process::Process;
use std::process::Command;

#[test]
fn every_line_works_when_pasted() {
    let mut demo = Demo::start(&["demo", "--port", "0"]);
    let commands = demo.commands();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in &commands {
        let output = Command::new("sh").args(["-c", command]).output().expect("a shell");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {text}{errors}");
        assert!(!text.trim().is_empty() && !text.contains("\"error\""), "{command}: {text}");
    }
    let count = |node: &str| {
        let command =
            commands.iter().find(|line| line.contains(&format!("{node}.counter.get_count")));
        let command = command.expect("printed");
        let output = Command::new("sh").args(["-c", command]).output().expect("a shell");
        String::from_utf8(output.stdout).expect("UTF-8").trim().parse::<i64>().expect("a number")
    };
    assert_eq!(count("alice.home") + count("bob.home"), 15, "each increment ran exactly once");
    let aloud = commands.iter().find(|line| line.contains("alice.home.counter.get_count"));
    let aloud = aloud.expect("printed").replace("get_count", "count_to to=3 --stream");
    let output = Command::new("sh").args(["-c", &aloud]).output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "1\n2\n3\n3\n", "three chunks and the result: {output:?}");
    assert_eq!(demo.interrupt(), Some(0));
}

#[test]
fn a_call_that_cannot_work_says_why() {
    let mut demo = Demo::start(&["demo", "--port", "0"]);
    let commands = demo.commands();
    let echo = commands.iter().find(|line| line.contains("echo.echo")).expect("printed");
    for (change, wanted) in [
        (("echo.echo", "echo.nope"), "error: NO_SUCH_METHOD: "),
        (("echo.echo", "nope.echo"), "error: NO_SUCH_SERVICE: "),
        (("echo.echo", "nobody.echo.echo"), "executed: no"),
        (("echo.echo", "--cluster other --timeout 1s echo.echo"), "other"),
        (("echo.echo", "--timeout 300ms echo.sleep ms=5000 #"), "executed: unknown"),
    ] {
        let command = echo.replace(change.0, change.1);
        let output = Command::new("sh").args(["-c", &command]).output().expect("a shell");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        assert!(text.starts_with("error: ") && text.contains(wanted), "{command}: {text}");
        assert!(text.lines().count() <= 2, "{command}: {text}");
    }
    let fail = echo.replace("echo.echo", "echo.fail");
    let output = Command::new("sh").args(["-c", &fail]).output().expect("a shell");
    assert_eq!(output.status.code(), Some(1));
    let object: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert!(object["code"].is_i64() && object["message"].is_string(), "{object}");
    assert_eq!(demo.interrupt(), Some(0));
}

#[test]
fn a_taken_port_is_replaced_and_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let mut demo = Demo::start(&["demo", "--port", &port.to_string()]);
    assert!(!demo.commands().is_empty());
    assert!(demo.text.contains(&format!("Port {port} is taken")), "{}", demo.text);
    assert!(!demo.text.contains(&format!("127.0.0.1:{port}/")), "{}", demo.text);
    assert_eq!(demo.interrupt(), Some(0));
}

struct Demo {
    process: Process,
    text: String,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        Self { process: Process::relay(arguments), text: String::new() }
    }

    /// The indented lines after "Try in another terminal".
    fn commands(&mut self) -> Vec<String> {
        self.text = self.process.lines_until("Ctrl-C").join("\n");
        let after = self.text.split_once("Try in another terminal:").expect("told").1;
        let commands = after.lines().filter_map(|line| line.strip_prefix("  "));
        commands.map(str::to_owned).collect()
    }

    fn interrupt(self) -> Option<i32> {
        self.process.signal("INT");
        self.process.ended().0
    }
}
