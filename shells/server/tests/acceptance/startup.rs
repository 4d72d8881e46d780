//! What a node says when it starts, and when it cannot.

use crate::process::{Process, command};
use crate::world::{Main, start_home};
use std::collections::BTreeSet;

/// "`relay -server -node-type home` and other contradictions: one-line errors that say what to
/// do".
#[test]
fn contradictions_say_what_to_do() {
    for (line, wrong, to_do) in [
        (
            "-server -node-type home",
            "error: --server makes a Main, but --node-type says home",
            "--connect ws://HOST:PORT without --server",
        ),
        ("-node-type home", "error: a Home needs a Main", "add --connect ws://HOST:PORT"),
        (
            "-server -connect ws://127.0.0.1:8080",
            "error: --server makes a Main and --connect makes a Home",
            "use --peers URL",
        ),
        (
            "-connect ws://127.0.0.1:8080 -node-type main",
            "error: --connect makes a Home, but --node-type says main",
            "use --peers URL instead of --connect URL",
        ),
        (
            "-connect ws://127.0.0.1:8080 -peers ws://127.0.0.1:8081",
            "error: a Home has no peers of its own",
            "remove the peers",
        ),
        ("-server -node-type hub", "error: ", "main or home"),
        ("-server -host 0.0.0.0", "error: ", "--insecure-public"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let output = command(&words).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {text}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with(wrong), "{line}: {text}");
        assert!(text.contains(to_do), "{line}: {text}");
        assert!(lines.len() == 1 || (lines.len() == 2 && lines[1].starts_with("hint: ")), "{text}");
    }
}

/// "the startup texts of A-5": "Starting as Main Relay with auto-generated node ID", "Starting as
/// Home Relay with auto-generated node ID".
#[test]
fn the_type_and_the_id_are_told() {
    let mut ids = BTreeSet::new();
    let mut said = |process: &Process, text: &str| {
        let lines = process.lines_until(" ready ");
        let line = lines.iter().find(|line| line.contains(text));
        let line = line.unwrap_or_else(|| panic!("no {text:?}: {lines:#?}"));
        let id = line.split_once("node_id=").unwrap().1.split(' ').next().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} is not unique");
        id.to_owned()
    };
    let is_generated =
        |id: &str| id.len() == 16 && id.bytes().all(|b| b"0123456789abcdef".contains(&b));
    for flags in [&["-server", "-port", "0"][..], &["-node-type", "main", "-port", "0"]] {
        let main = Process::relay(flags);
        let id = said(&main, "Starting as Main Relay with auto-generated node ID");
        assert!(is_generated(&id), "{id}");
    }
    let main = Main::start();
    assert_eq!(said(&main.process, "Starting as Main Relay with node ID"), "main-a");
    let url = format!("ws://{}", main.address);
    for flags in [&["-connect", &url][..], &["-connect", &url, "-node-type", "home"]] {
        let home = Process::relay(flags);
        let id = said(&home, "Starting as Home Relay with auto-generated node ID");
        assert!(is_generated(&id), "{id}");
        main.process.lines_until(&format!("link up peer={id} "));
    }
    let home = start_home(main.address, "alice.home", &[]);
    assert_eq!(said(&home, "Starting as Home Relay with node ID"), "alice.home");
}

/// A dial that fails is a line at a Main and at a Home: where to, and why. Another one says that it
/// is tried again.
#[test]
fn a_dial_that_fails_is_told_with_its_address_and_its_reason() {
    // Nobody may listen on port 1 without privileges, and nobody does.
    let nobody = "ws://127.0.0.1:1";
    let main = Main::with(&["--port", "0", "--peers", nobody]);
    let home = Process::relay(&["--connect", nobody, "--node-id", "alice.home"]);
    for process in [&main.process, &home] {
        let lines = process.lines_until("could not connect");
        let line = lines.last().unwrap();
        assert!(line.contains("address=") && line.contains("127.0.0.1:1"), "{line}");
        assert!(line.contains("refused"), "{line}");
        process.lines_until("no link; dialling again after the pause");
    }
}
