//! The rules of the house that no compiler checks, as tests: sizes, banned words, what the core may
//! name, and whether the commands and links of the documents are real. Each rule prints file, line
//! and what to do.
//!
//! The rules read the files that git tracks or would track, so a file counts from the moment it is
//! written.

mod commands;
mod documents;
mod files;
mod manifest;
mod purity;
mod size;
mod source;
mod words;

use std::fmt;

use files::Tree;

/// A line that breaks a rule.
struct Finding {
    path: String,
    line: usize,
    /// What is wrong and what to do.
    text: String,
}

impl Finding {
    fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

/// Files that may break a size rule, with the size they may have: rule, path, size. It may only get
/// shorter, and the sizes may only go down; an entry that is no longer needed is a finding itself.
const RATCHET: &[size::Exception] = &[];

#[test]
fn the_tree_is_found() {
    let tree = Tree::load();
    for path in ["Cargo.toml", "tests/tidy/main.rs", ".cargo/config.toml"] {
        assert!(tree.has(path), "{path} is not among the {} files found", tree.files.len());
    }
}

#[test]
fn files_functions_and_lines_are_small() {
    check(size::check(&Tree::load(), RATCHET));
}

#[test]
fn modules_are_named_files() {
    check(size::check_module_files(&Tree::load()));
}

#[test]
fn no_banned_words() {
    check(words::check(&Tree::load()));
}

#[test]
fn no_paths_of_one_machine() {
    check(words::check_machine_paths(&Tree::load()));
}

#[test]
fn the_core_names_no_outside_world() {
    check(purity::check(&Tree::load()));
}

#[test]
fn every_entry_of_the_core_is_fuzzed() {
    check(purity::check_fuzzed(&Tree::load()));
}

#[test]
fn commands_in_documents_exist() {
    check(commands::check(&Tree::load()));
}

#[test]
fn links_in_documents_exist() {
    check(documents::check_links(&Tree::load()));
}

#[test]
fn documents_name_no_registry_hosts() {
    check(documents::check_hosts(&Tree::load()));
}

fn check(findings: Vec<Finding>) {
    let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "{} findings\n{}\n", lines.len(), lines.join("\n"));
}
