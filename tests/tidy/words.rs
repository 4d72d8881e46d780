//! Words that mean "not done", and paths that exist on one machine only.

use crate::{Finding, files::Tree, source};

/// Unfinished work is not committed.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.with_ending(&[".rs"]) {
        for (at, line) in source::code_only(text).lines().enumerate() {
            for name in UNFINISHED_MACROS.iter().filter(|name| has_macro(line, name)) {
                findings.push(Finding::new(path, at + 1, format!("{name}! is banned: finish it")));
            }
        }
    }
    for (path, file) in tree.files.iter().filter(|(path, _)| !is_generated(path)) {
        for (at, line) in file.text.lines().enumerate() {
            for word in UNFINISHED_WORDS.iter().filter(|word| is_unfinished(line, word)) {
                let text = format!("'{word}' is banned: do it now or write down why not");
                findings.push(Finding::new(path, at + 1, text));
            }
        }
    }
    findings
}

/// A path of the machine someone wrote this on is wrong on every other one.
pub(crate) fn check_machine_paths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in &tree.files {
        for (at, line) in file.text.lines().enumerate() {
            for machine_path in MACHINE_PATHS.iter().filter(|start| has_path(line, start)) {
                let text = format!("{machine_path}… is a path of one machine: make it relative");
                findings.push(Finding::new(path, at + 1, text));
            }
        }
    }
    findings
}

fn has_macro(line: &str, name: &str) -> bool {
    source::has_word(line, name) && line.contains(&format!("{name}!"))
}

fn is_unfinished(line: &str, word: &str) -> bool {
    if word.chars().all(|c| c.is_ascii_uppercase()) {
        return source::has_word(line, word);
    }
    // `<input placeholder="…">` and `input::placeholder` are finished.
    let line = line.to_lowercase();
    line.match_indices(word).any(|(at, _)| {
        let is_attribute = line[at + word.len()..].starts_with('=');
        !is_attribute && !line[..at].ends_with("::") && !line[..at].ends_with('.')
    })
}

/// Whether a path that starts like this stands in the line, not as the end of a longer one.
fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = &line[..at];
        let continues = before.ends_with(|c: char| {
            c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '/' | '*')
        });
        !continues || before.ends_with("file://")
    })
}

fn is_generated(path: &str) -> bool {
    path.ends_with(".lock") || path.ends_with("package-lock.json")
}

// In two halves, so that this file keeps its own rules.
const UNFINISHED_MACROS: &[&str] =
    &[concat!("to", "do"), concat!("unimple", "mented"), concat!("d", "bg")];
const UNFINISHED_WORDS: &[&str] =
    &[concat!("FIX", "ME"), concat!("XX", "X"), concat!("place", "holder")];
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp", "/hw")];

#[test]
fn unfinished_work_is_found() {
    let source = format!(
        "fn a() {{ {}!() }} // {}: later\n// a {}!\nlet {0}_list = 1;\n",
        UNFINISHED_MACROS[0], UNFINISHED_WORDS[0], UNFINISHED_MACROS[0]
    );
    let tree = Tree::of(&[("a.rs", &source)]);
    assert_eq!(check(&tree).len(), 2);
}

#[test]
fn html_attributes_and_long_patterns_are_fine() {
    let page = format!(
        "<input {}=\"name\">\nmktemp -d relay.{}{1}\n",
        UNFINISHED_WORDS[2], UNFINISHED_WORDS[1]
    );
    assert!(check(&Tree::of(&[("a.html", &page)])).is_empty());
    let stub = format!("// a {} for now\n", UNFINISHED_WORDS[2]);
    assert_eq!(check(&Tree::of(&[("a.rs", &stub)])).len(), 1);
}

#[test]
fn machine_paths_are_found() {
    let start = MACHINE_PATHS[0];
    let text = format!("cd {start}main\nnet{start}x\nfile://{start}y\n");
    let lines: Vec<_> =
        check_machine_paths(&Tree::of(&[("a.md", &text)])).iter().map(|f| f.line).collect();
    assert_eq!(lines, [1, 3]);
}
