//! The core decides and does nothing: it names no clock, socket, thread, runtime or unordered map.
//! And what it reads from outside is fuzzed.

use crate::{Finding, files::Tree, source};

/// What core/src may not name, and the attributes of its root.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.under("core/src").filter(|(path, _)| path.ends_with(".rs")) {
        for (at, line) in source::code_only(text).lines().enumerate() {
            for (name, instead) in
                BANNED_NAMES.iter().filter(|(name, _)| source::has_word(line, name))
            {
                findings.push(Finding::new(
                    path,
                    at + 1,
                    format!("the core may not name {name}: {instead}"),
                ));
            }
        }
    }
    let code = source::code_only(tree.text(CORE_ROOT));
    for (attribute, is_there) in [
        ("#![no_std]", code.lines().any(|line| line.starts_with("#![") && line.contains("no_std"))),
        ("#![forbid(unsafe_code)]", code.contains("#![forbid(unsafe_code)]")),
    ] {
        if !is_there {
            findings.push(Finding::new(CORE_ROOT, 1, format!("{attribute} must be set")));
        }
    }
    findings
}

/// Every public `decode_*` and `handle_*` of the core is called by a fuzz target.
pub(crate) fn check_fuzzed(tree: &Tree) -> Vec<Finding> {
    let fuzzed: String = tree
        .under("fuzz/src")
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(_, text)| source::code_only(text))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in tree.under("core/src").filter(|(path, _)| path.ends_with(".rs")) {
        let code = source::code_only(text);
        let production = code.lines().take(source::tests_begin(&code) - 1);
        for (at, line) in production.enumerate() {
            let Some(name) = entry_name(line) else { continue };
            if !source::has_word(&fuzzed, name) {
                let text = format!("no fuzz target calls {name}: call it in fuzz/src/lib.rs");
                findings.push(Finding::new(path, at + 1, text));
            }
        }
    }
    findings
}

/// The name in `pub fn decode_…` or `pub fn handle_…`.
fn entry_name(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = rest.strip_prefix("const ").unwrap_or(rest).strip_prefix("fn ")?;
    let name = &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_')?];
    (name.starts_with("decode_") || name.starts_with("handle_")).then_some(name)
}

const CORE_ROOT: &str = "core/src/lib.rs";

/// Names, and what the core has in their place.
const BANNED_NAMES: &[(&str, &str)] = &[
    ("std::time", "time is an argument, see time.rs"),
    ("SystemTime", "time is an argument, see time.rs"),
    ("std::net", "sockets belong to the shells"),
    ("std::fs", "files belong to the shells"),
    ("std::io", "bytes come in and go out as arguments"),
    ("std::thread", "threads belong to the shells"),
    ("std::sync", "a machine has one owner and needs no lock; Arc is in alloc::sync"),
    ("tokio", "runtimes belong to the shells"),
    ("HashMap", "its order differs from run to run; use a BTreeMap, a slab or a sorted slice"),
    ("HashSet", "its order differs from run to run; use a BTreeSet or a sorted slice"),
];

#[test]
fn the_outside_world_is_found() {
    let root = "#![cfg_attr(not(test), no_std)]\n#![forbid(unsafe_code)]\n// HashMap, tokio\n";
    assert!(check(&Tree::of(&[(CORE_ROOT, root)])).is_empty());
    let bad = "use std::time::Instant;\nlet text = \"std::net\";\n";
    let tree = Tree::of(&[(CORE_ROOT, "// #![no_std]\n"), ("core/src/a.rs", bad)]);
    let found: Vec<_> = check(&tree).iter().map(|f| (f.path.clone(), f.line)).collect();
    assert_eq!(
        found,
        [("core/src/a.rs", 1), (CORE_ROOT, 1), (CORE_ROOT, 1)].map(|(p, l)| (p.to_owned(), l))
    );
}

#[test]
fn entries_without_a_target_are_found() {
    let core = "pub fn decode_one(x: u8) {}\npub const fn handle_two() {}\nfn decode_own() {}\n\
                pub(crate) fn handle_inner() {}\n#[cfg(test)]\n\
                mod tests {\npub fn decode_x() {}\n}\n";
    let fuzz = "// handle_two\nfn f() { decode_one(1); }\n";
    let tree = Tree::of(&[("core/src/a.rs", core), ("fuzz/src/lib.rs", fuzz)]);
    let found = check_fuzzed(&tree);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].line, 2);
}
