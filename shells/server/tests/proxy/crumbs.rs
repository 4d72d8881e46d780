//! Connections that carry one byte at a time: frames mean the same however they are cut.

use crate::process::Process;
use crate::process::command;
use crate::wire::{Fate, Flow, Wire};
use crate::world::Main;
use std::net::SocketAddr;

/// Handshakes, registrations, calls and streams over WebSockets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_in_crumbs() {
    let main = Main::start();
    crumbs(&main, main.address, "ws").await;
}

/// The same over bare TCP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_in_crumbs() {
    let main = Main::with(&["--port", "0", "--listen-tcp", "127.0.0.1:0"]);
    let lines = main.process.lines();
    let address =
        lines.iter().find_map(|line| line.split_once("TCP endpoint: tcp://")?.1.parse().ok());
    crumbs(&main, address.expect("the log tells the address"), "tcp").await;
}

async fn crumbs(main: &Main, address: SocketAddr, scheme: &str) {
    let wire = Wire::with(address, Fate::new(Flow::Crumbs, Flow::Crumbs), |_| u64::MAX).await;
    let url = format!("{scheme}://{}", wire.address);
    let services = ["--service=loud=demo:echo", "--service=counter=demo:counter"];
    let home =
        Process::relay(&[&["--connect", &url, "--node-id", "alice.home"], &services[..]].concat());
    main.until_offered("loud", "alice.home").await;
    let call = |arguments: &[&str]| {
        let arguments = [&["call", "--connect", &url, "--timeout", "60s"], arguments].concat();
        tokio::task::block_in_place(|| {
            let output = command(&arguments).output().expect("runs");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
            String::from_utf8(output.stdout).expect("UTF-8")
        })
    };
    assert_eq!(call(&["loud.echo", "[1]"]), "[1]\n");
    let large = format!("[\"{}\"]", "ä".repeat(4_000));
    assert_eq!(call(&["loud.echo", &large]), format!("{large}\n"));
    let counted = call(&["counter.count_to", "[20]", "--stream"]);
    let numbers: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
    let lines: Vec<&str> = counted.lines().collect();
    assert_eq!(lines[..20], numbers, "{counted}");
    assert_eq!(wire.count(), 4, "no link was lost");
    drop(home);
}
