//! `relay peers`: the other Mains that a node is linked to, or wants to be, as a table.

use super::client::ask;
use super::table::{cell, lines, table};
use crate::cli::{Failure, NodeArgs, print};
use serde_json::Value;
use std::process::ExitCode;

/// Asks a node for its peers and prints them.
///
/// # Errors
/// [`Failure`] when the node cannot be reached or its answer cannot be read.
pub fn execute(args: &NodeArgs) -> Result<ExitCode, Failure> {
    let answer = ask(args, "/federation/peers")?;
    if args.json {
        return print(&answer.text);
    }
    print(&table_of(&answer.json, &answer.authority)?)
}

fn table_of(answer: &Value, authority: &str) -> Result<String, Failure> {
    let peers = answer.get("peers").and_then(Value::as_array).ok_or_else(|| {
        Failure::work(format!("the answer of {authority} names no \"peers\""))
            .with_hint("check that a relay listens there")
    })?;
    if peers.is_empty() {
        let node = cell(answer.get("node_id"));
        return Ok(format!("{node} is linked to no other Main and dials none\n"));
    }
    let mut table =
        table(&["NODE", "ADDRESS", "STATUS", "LINK", "LATENCY", "SERVICES", "LAST SEEN"]);
    for peer in peers {
        table.add_row([
            cell(peer.get("node_id")),
            cell(peer.get("address")),
            status(peer),
            link(peer),
            latency(peer.get("latency_ms")),
            cell(peer.get("services")),
            cell(peer.get("last_seen")),
        ]);
    }
    Ok(lines(&table))
}

fn status(peer: &Value) -> String {
    let is_draining = peer.get("is_draining").and_then(Value::as_bool) == Some(true);
    let status = cell(peer.get("status"));
    let error = peer.get("error").filter(|error| !error.is_null());
    match (is_draining, error) {
        (true, _) => format!("{status}, leaving"),
        (false, Some(error)) => format!("{status}: {}", cell(Some(error))),
        (false, None) => status,
    }
}

/// What carries the link, and what it does.
fn link(peer: &Value) -> String {
    format!("{}, {}", cell(peer.get("transport")), cell(peer.get("state")))
}

fn latency(value: Option<&Value>) -> String {
    match value.and_then(Value::as_f64) {
        Some(millis) => format!("{millis} ms"),
        None => String::from("-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_peer_is_a_row() {
        let answer = json!({
            "node_id": "main-a",
            "peers": [
                {"node_id": "main-b", "address": "ws://b:8080/ws/p2p", "status": "connected",
                    "is_healthy": true, "is_draining": true, "latency_ms": 12.5, "services": 3,
                    "transport": "quic", "state": "idle", "error": null,
                    "last_seen": "2025-06-20T20:26:42Z"},
                {"node_id": null, "address": "ws://c\u{1b}[31m", "status": "waiting",
                    "is_draining": false, "latency_ms": null, "services": 0, "last_seen": null,
                    "transport": "tls", "state": "failed", "error": "it expired"},
            ],
        });
        let table = table_of(&answer, "h:1").expect("peers");
        let rows: Vec<&str> = table.lines().collect();
        assert_eq!(rows.len(), 3, "{table}");
        for (row, parts) in [
            (0, &["NODE", "STATUS", "LINK", "LATENCY"][..]),
            (
                1,
                &[
                    "main-b",
                    "connected, leaving",
                    "quic, idle",
                    "12.5 ms",
                    "3",
                    "2025-06-20T20:26:42Z",
                ],
            ),
            (2, &["-", "ws://c\\u{1b}", "waiting: it expired", "tls, failed", "0"]),
        ] {
            assert!(parts.iter().all(|part| rows[row].contains(part)), "{table}");
        }
        let none = json!({"node_id": "main-a", "peers": []});
        let none = table_of(&none, "h:1").expect("peers");
        assert_eq!(none, "main-a is linked to no other Main and dials none\n");
        assert!(table_of(&json!({"peers": {}}), "h:1").is_err());
    }
}
