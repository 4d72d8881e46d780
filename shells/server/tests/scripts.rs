//! The scripts of `examples/`, each in a short form, with the binary that was just built.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking, too")]

use std::process::{Command, Output};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

/// Runs a script on free ports. It has to pass, with at least `checks` of them: one that stopped
/// looking would pass as well.
fn passes(script: &str, arguments: &[&str], checks: usize) {
    let path = format!("{EXAMPLES}/{script}");
    let output = bash(&[&[path.as_str()], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_default();
    let passed = last.strip_suffix(" passed, 0 failed").and_then(|count| count.parse().ok());
    assert!(output.status.success(), "{script}: {text}\n{errors}");
    assert!(passed.is_some_and(|passed: usize| passed >= checks), "{script}: {text}\n{errors}");
}

fn bash(arguments: &[&str]) -> Output {
    let mut command = Command::new("bash");
    command.args(arguments).env("RELAY", env!("CARGO_BIN_EXE_relay"));
    command.env("PORT1", "0").env("PORT2", "0").output().expect("bash is installed")
}

#[test]
fn q1_two_nodes_and_two_services() {
    passes("e2e_p2p_test_simple.sh", &[], 14);
}

#[test]
fn q2_three_nodes_in_a_chain() {
    passes("e2e_p2p_test.sh", &["--ports", "0,0,0", "--report-times"], 74);
}

#[test]
fn q4_the_registry_of_two_nodes() {
    passes("test_p2p_registry.sh", &[], 25);
}

#[test]
fn q5_links_between_nodes() {
    passes("test_websocket_p2p.sh", &[], 21);
}

#[test]
fn q6_three_mains_and_six_homes() {
    passes("test_full_federation.sh", &[], 61);
}

#[test]
fn q7_chaos_heals() {
    passes("test_federation_chaos.sh", &["--duration", "20s", "--failure-rate", "10%"], 17);
}

#[test]
fn q8_a_thousand_calls_across_two_mains() {
    passes("test_federation_load.sh", &["--calls", "1000", "--concurrency", "50"], 14);
}

#[test]
fn r3_the_quickstart_to_the_letter() {
    passes("test_quickstart.sh", &[], 10);
}

#[test]
fn r7_the_blog() {
    passes("federated-blog/run.sh", &[], 8);
}

#[test]
fn r7_the_shop_calls_the_blog() {
    passes("federated-shop/run.sh", &[], 13);
}

/// What all of the scripts rest on: a check that does not hold fails, and so does a script that
/// ends early or checks nothing.
#[test]
fn scripts_can_fail() {
    for (script, expected) in [
        ("check one 1 1; check two 2 3", "1 passed, 1 failed"),
        ("check_json one .a 1 '{\"a\":1}'; check_json two .b 1 '{\"a\":1}'", "1 passed, 1 failed"),
        ("check one 1 1; false; check two 2 2", "1 passed, 1 failed"),
        ("check one 1 1; wait_until false", "1 passed, 1 failed"),
        ("check_soon one false", "0 passed, 1 failed"),
        ("start_node bad --server --node-type home; check one 1 1", "0 passed, 1 failed"),
        ("note nothing", "0 passed, 1 failed"),
    ] {
        let script = format!("PATIENCE=1; source '{EXAMPLES}/lib.sh'; begin; {script}");
        let output = bash(&["-c", &script]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{script}: {text}");
        assert_eq!(text.lines().last(), Some(expected), "{script}: {text}");
    }
}
