//! `relay services`: the registry of a node as a table.

use super::client::ask;
use super::table::{cell, clean, lines, table};
use crate::cli::{Failure, NodeArgs, print};
use serde_json::Value;
use std::process::ExitCode;

/// Asks a node for its registry and prints it.
///
/// # Errors
/// [`Failure`] when the node cannot be reached or its answer cannot be read.
pub fn execute(args: &NodeArgs) -> Result<ExitCode, Failure> {
    let answer = ask(args, "/federation/registry")?;
    if args.json {
        return print(&answer.text);
    }
    print(&table_of(&answer.json, &answer.authority)?)
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
    let services = services.iter().flat_map(|(key, entry)| instances(key, entry));
    let services: Vec<(&str, &Value)> = services.collect();
    // Only some nodes know these; a column of dashes helps nobody.
    let is_known = |column: &str| services.iter().any(|(_, one)| one.get(column).is_some());
    let optional = [("ORIGIN", "origin"), ("BREAKER", "breaker")];
    let optional = optional.into_iter().filter(|(_, key)| is_known(key));
    let (titles, keys): (Vec<&str>, Vec<&str>) = optional.unzip();
    let mut table =
        table(&[&["SERVICE", "NODE", "METHODS", "SCOPE"], &titles[..], &["LAST SEEN"]].concat());
    for (key, service) in &services {
        let name = service.get("name").map_or_else(|| clean(key), |name| cell(Some(name)));
        let node = cell(service.get("node_id"));
        let mut row = vec![name, node, methods(service.get("methods")), scope(service)];
        row.extend(keys.iter().map(|key| cell(service.get(*key))));
        row.push(cell(service.get("last_seen")));
        table.add_row(row);
    }
    Ok(lines(&table))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
