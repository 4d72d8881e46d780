//! `relay services`: the registry of a node as a table.

mod client;

use super::{block_on, timeout_of};
use crate::cli::{Failure, ServicesArgs, print};
use client::get;
use comfy_table::{ContentArrangement, Table, presets};
use relay_tokio::Endpoint;
use serde_json::Value;
use std::process::ExitCode;

/// Asks a node for its registry and prints it.
///
/// # Errors
/// [`Failure`] when the node cannot be reached or its answer cannot be read.
pub fn execute(args: &ServicesArgs) -> Result<ExitCode, Failure> {
    let timeout = timeout_of(&args.timeout)?;
    let authority = authority_of(&args.connect)?;
    let mut body = Vec::new();
    block_on(async {
        body = get(&authority, "/registry", timeout).await?;
        Ok(ExitCode::SUCCESS)
    })?;
    let registry: Value = serde_json::from_slice(&body).map_err(|error| {
        Failure::work(format!("the answer of {authority} is no JSON: {error}"))
            .with_hint("check that a relay listens there")
    })?;
    if args.json {
        let text = String::from_utf8_lossy(&body);
        return print(&format!("{}\n", text.trim_end()));
    }
    print(&table_of(&registry, &authority)?)
}

/// Host and port of an address in any of the forms that the other flags take.
fn authority_of(url: &str) -> Result<String, Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("--connect: {why}"))
            .with_hint("write it as in http://127.0.0.1:8080")
    };
    let endpoint = Endpoint::parse(url).map_err(|error| refused(&error))?;
    match &endpoint {
        Endpoint::WebSocket { authority, .. } => Ok(authority.clone()),
        Endpoint::Tcp { .. } => Err(refused(&format!("{endpoint} does not speak HTTP"))),
    }
}

fn table_of(registry: &Value, authority: &str) -> Result<String, Failure> {
    let services = registry.get("servers").and_then(Value::as_object).ok_or_else(|| {
        Failure::work(format!("the answer of {authority} is no registry: it has no \"servers\""))
            .with_hint("check that a relay listens there")
    })?;
    let node = cell(registry.get("node_id"));
    if services.is_empty() {
        return Ok(format!("{node} knows no services yet\n"));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["SERVICE", "NODE", "METHODS", "SCOPE", "LAST SEEN"]);
    for (key, service) in services.iter().flat_map(|(key, entry)| instances(key, entry)) {
        let name = service.get("name").map_or_else(|| clean(key), |name| cell(Some(name)));
        table.add_row([
            name,
            cell(service.get("node_id")),
            methods(service.get("methods")),
            scope(service),
            cell(service.get("last_seen")),
        ]);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    Ok(lines.join("\n") + "\n")
}

/// The entry of a service, and the further instances that it carries.
fn instances<'a>(key: &'a str, entry: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let others = entry.get("instances").and_then(Value::as_array);
    std::iter::once(entry).chain(others.into_iter().flatten()).map(|one| (key, one)).collect()
}

fn methods(value: Option<&Value>) -> String {
    let names: Vec<String> = value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|method| cell(Some(method)))
        .collect();
    if names.is_empty() { String::from("any") } else { names.join(", ") }
}

fn scope(service: &Value) -> String {
    match (service.get("scope"), service.get("is_local").and_then(Value::as_bool)) {
        (Some(scope), _) => cell(Some(scope)),
        (None, Some(true)) => String::from("local"),
        (None, Some(false) | None) => String::from("remote"),
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => clean(text),
        Some(other @ (Value::Number(_) | Value::Bool(_))) => other.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::from("-"),
    }
}

/// Text from another machine, shortened and without control characters.
fn clean(text: &str) -> String {
    crate::cli::one_line(&text.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_come_in_several_forms() {
        for (url, wanted) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("ws://relay.com:81/ws/p2p", "relay.com:81"),
            ("localhost:8080", "localhost:8080"),
            ("http://relay.com", "relay.com:80"),
            ("http://[::1]:8080/", "[::1]:8080"),
        ] {
            assert_eq!(authority_of(url).as_deref(), Ok(wanted));
        }
        for url in
            ["", "http://", "https://relay.com", "tcp://a:1", "http://a b", "http://u@h:1", ":80"]
        {
            assert_eq!(authority_of(url).expect_err(url).exit_code(), 2);
        }
    }

    #[test]
    fn each_instance_is_a_row() {
        let registry = json!({
            "node_id": "relay-a",
            "servers": {
                "blog": {"name": "blog", "node_id": "alice.home", "methods": ["get", "put"],
                    "last_seen": "2025-06-20T20:26:42Z", "is_local": true, "scope": "attached",
                    "instances": [{"name": "blog", "node_id": "bob.home", "scope": "attached"}]},
                "kv": {"node_id": "b\u{1b}[31m", "methods": [], "is_local": false},
            },
        });
        let table = table_of(&registry, "h:1").expect("a registry");
        let rows: Vec<&str> = table.lines().collect();
        assert_eq!(rows.len(), 4, "{table}");
        for (row, parts) in [
            (0, &["SERVICE", "LAST SEEN"][..]),
            (1, &["blog", "alice.home", "get, put", "attached"]),
            (2, &["blog", "bob.home", "attached"]),
            (3, &["kv", "any", "remote", "\\u{1b}"]),
        ] {
            assert!(parts.iter().all(|part| rows[row].contains(part)), "{table}");
        }
        assert!(!table.contains('\u{1b}'));
        assert_eq!(
            table_of(&json!({"node_id": "a", "servers": {}}), "h:1").as_deref(),
            Ok("a knows no services yet\n")
        );
        assert!(table_of(&json!({"error": 1}), "h:1").is_err());
        assert!(table_of(&json!([]), "h:1").is_err());
    }
}
