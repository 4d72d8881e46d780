//! `relay topology`: the nodes that a node knows of, as a tree whose root is that node.

use super::client::ask;
use super::table::cell;
use crate::cli::{Failure, NodeArgs, print};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Asks a node for its map and prints it.
///
/// # Errors
/// [`Failure`] when the node cannot be reached or its answer cannot be read.
pub fn execute(args: &NodeArgs) -> Result<ExitCode, Failure> {
    let answer = ask(args, "/federation/topology")?;
    if args.json {
        return print(&answer.text);
    }
    print(&tree_of(&answer.json, &answer.authority)?)
}

fn tree_of(map: &Value, authority: &str) -> Result<String, Failure> {
    let nodes = map.get("nodes").and_then(Value::as_array).ok_or_else(|| {
        Failure::work(format!("the answer of {authority} is no map: it has no \"nodes\""))
            .with_hint("check that a relay listens there")
    })?;
    let root = map.get("node_id").and_then(Value::as_str).unwrap_or_default();
    let mut children: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| id_of(node) != root) {
        children.entry(parent_of(node, root)).or_default().push(node);
    }
    let mut tree = nodes.iter().find(|node| id_of(node) == root).map(line_of).unwrap_or_default();
    tree.push('\n');
    draw(root, "", &mut children, &mut tree);
    Ok(tree)
}

/// Draws what is attached to a node. Each node is drawn once, whatever the map says.
fn draw<'a>(
    parent: &str,
    indent: &str,
    children: &mut BTreeMap<&'a str, Vec<&'a Value>>,
    tree: &mut String,
) {
    let nodes = children.remove(parent).unwrap_or_default();
    let last = nodes.len().saturating_sub(1);
    for (at, node) in nodes.into_iter().enumerate() {
        let (branch, below) = if at == last { ("└ ", "  ") } else { ("├ ", "│ ") };
        tree.push_str(&format!("{indent}{branch}{}\n", line_of(node)));
        // No path has so many Mains; a map that says so is not drawn to its end.
        if indent.chars().count() < INDENT_MAX {
            draw(id_of(node), &format!("{indent}{below}"), children, tree);
        }
    }
}

/// Sixteen levels of two letters.
const INDENT_MAX: usize = 32;

fn id_of(node: &Value) -> &str {
    node.get("node_id").and_then(Value::as_str).unwrap_or_default()
}

/// The node before it on the way: the last Main that is not the node itself.
fn parent_of<'a>(node: &'a Value, root: &'a str) -> &'a str {
    let path = node.get("path").and_then(Value::as_array);
    let mains = path.into_iter().flatten().rev().filter_map(Value::as_str);
    mains.into_iter().find(|main| *main != id_of(node)).unwrap_or(root)
}

fn line_of(node: &Value) -> String {
    let services = match node.get("services").and_then(Value::as_u64) {
        Some(1) => String::from("1 service"),
        Some(count) => format!("{count} services"),
        None => String::from("-"),
    };
    let [id, of, known] = ["node_id", "node_type", "known"].map(|key| cell(node.get(key)));
    format!("{id}  {of}, {known}, {services}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(id: &str, path: &[&str], services: u64) -> Value {
        json!({"node_id": id, "node_type": "main", "known": "link", "path": path,
            "services": services})
    }

    #[test]
    fn e18_each_node_hangs_below_the_one_before_it() {
        let map = json!({
            "node_id": "a",
            "nodes": [
                node("a", &[], 1),
                node("b", &["b"], 0),
                node("c\u{1b}[31m", &["b", "c\u{1b}[31m"], 2),
                node("bob", &["b"], 1),
                node("alice", &[], 1),
            ],
        });
        let expected = "\
a  main, link, 1 service
├ b  main, link, 0 services
│ ├ c\\u{1b}[31m  main, link, 2 services
│ └ bob  main, link, 1 service
└ alice  main, link, 1 service
";
        assert_eq!(tree_of(&map, "h:1").as_deref(), Ok(expected));
        assert!(tree_of(&json!({"nodes": 1}), "h:1").is_err());
    }

    #[test]
    fn a_map_without_end_is_not_drawn_to_its_end() {
        let name = |n: usize| format!("n{n}");
        let chain: Vec<Value> =
            (1..100_000).map(|n| node(&name(n), &[&name(n - 1), &name(n)], 0)).collect();
        let map = json!({"node_id": "n0", "nodes": chain});
        let tree = tree_of(&map, "h:1").expect("a tree");
        assert_eq!(tree.lines().count(), 1 + 17);
    }

    #[test]
    fn a_map_that_makes_no_sense_comes_to_an_end() {
        let nodes = [node("b", &["c"], 0), node("c", &["b"], 0), node("a", &["a"], 0)];
        let tree = tree_of(&json!({"node_id": "a", "nodes": nodes}), "h:1");
        assert_eq!(tree.as_deref(), Ok("a  main, link, 0 services\n"));
    }
}
