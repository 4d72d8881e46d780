//! Small files, small functions, short lines, no mod.rs.

use crate::{
    Finding,
    files::{RustKind, Tree, rust_kind},
    source,
};

/// A file that may be larger than the rule says, up to `size`.
pub(crate) struct Exception {
    pub(crate) rule: Rule,
    pub(crate) path: &'static str,
    pub(crate) size: usize,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    FileLines,
    FunctionLines,
    LineColumns,
}

/// All size rules, except for what the ratchet allows.
pub(crate) fn check(tree: &Tree, ratchet: &[Exception]) -> Vec<Finding> {
    let mut measured = Vec::new();
    for (path, text) in tree.with_ending(&[".rs"]) {
        measure_file(path, text, &mut measured);
        measure_functions(path, text, &mut measured);
    }
    for (path, text) in tree.with_ending(&[".rs", ".md", ".py", ".sh", ".ci/run"]) {
        measure_lines(path, text, &mut measured);
    }
    let mut findings = stale_exceptions(&measured, ratchet);
    findings.extend(measured.into_iter().filter_map(|size| {
        let allowed = ratchet.iter().find(|e| e.rule == size.rule && e.path == size.finding.path);
        (size.size > allowed.map_or(0, |exception| exception.size)).then_some(size.finding)
    }));
    findings
}

/// `foo.rs` beside `foo/` has a name in an editor's tab; `mod.rs` has not.
pub(crate) fn check_module_files(tree: &Tree) -> Vec<Finding> {
    let is_mod = |path: &str| path == "mod.rs" || path.ends_with("/mod.rs");
    let found = tree.with_ending(&["mod.rs"]).filter(|(path, _)| is_mod(path));
    found
        .map(|(path, _)| Finding::new(path, 1, "name it after its folder: foo.rs + foo/"))
        .collect()
}

/// Something over its limit.
struct Oversize {
    rule: Rule,
    size: usize,
    finding: Finding,
}

fn measure_file(path: &str, text: &str, measured: &mut Vec<Oversize>) {
    let lines = text.lines().count();
    let mut over = |line, what, size, limit| {
        let text = format!("{size} lines of {what}, at most {limit}: split it by what it decides");
        if size > limit {
            let finding = Finding::new(path, line, text);
            measured.push(Oversize { rule: Rule::FileLines, size, finding });
        }
    };
    match rust_kind(path) {
        RustKind::Tests => over(1, "tests", lines, TEST_FILE_LINES_MAX),
        RustKind::Production => {
            let tests_begin = source::tests_begin(&source::code_only(text));
            over(1, "production code", tests_begin - 1, FILE_LINES_MAX);
            over(tests_begin, "tests", lines + 1 - tests_begin, TEST_FILE_LINES_MAX);
        }
    }
}

fn measure_functions(path: &str, text: &str, measured: &mut Vec<Oversize>) {
    for function in source::functions(&source::code_only(text)) {
        if function.lines > FUNCTION_LINES_MAX {
            let text = format!(
                "fn {} has {} lines, at most {FUNCTION_LINES_MAX}: take a part of it out",
                function.name, function.lines
            );
            let finding = Finding::new(path, function.line, text);
            measured.push(Oversize { rule: Rule::FunctionLines, size: function.lines, finding });
        }
    }
}

fn measure_lines(path: &str, text: &str, measured: &mut Vec<Oversize>) {
    let is_document = path.ends_with(".md");
    let mut is_fenced = false;
    for (at, line) in text.lines().enumerate() {
        is_fenced ^= is_document && line.trim_start().starts_with("```");
        let columns = line.chars().count();
        // What a program printed is shown as it printed it, and a raw string cannot be wrapped.
        let is_verbatim = is_fenced || line.contains("r#\"");
        let is_free = line.contains("://") || is_table(line, is_document) || is_verbatim;
        let columns_max = if is_document { PROSE_COLUMNS_MAX } else { LINE_COLUMNS_MAX };
        if columns > columns_max && !is_free {
            let text = format!("{columns} columns, at most {columns_max}: wrap the line");
            let finding = Finding::new(path, at + 1, text);
            measured.push(Oversize { rule: Rule::LineColumns, size: columns, finding });
        }
    }
}

fn is_table(line: &str, is_document: bool) -> bool {
    let line = line.trim_start();
    let cells = if is_document { line } else { line.trim_start_matches(['/', '!', '#', ' ']) };
    cells.starts_with('|')
}

/// Exceptions for what has become smaller: the ratchet only turns one way.
fn stale_exceptions(measured: &[Oversize], ratchet: &[Exception]) -> Vec<Finding> {
    let largest = |exception: &Exception| {
        let own = measured
            .iter()
            .filter(|size| size.rule == exception.rule && size.finding.path == exception.path);
        own.map(|size| size.size).max().unwrap_or(0)
    };
    let stale = ratchet.iter().filter(|exception| largest(exception) < exception.size);
    stale
        .map(|exception| {
            let text = format!(
                "the exception for {:?} of {} can go down to {}, or go (0)",
                exception.rule,
                exception.path,
                largest(exception)
            );
            Finding::new("tests/tidy/main.rs", 1, text)
        })
        .collect()
}

const FILE_LINES_MAX: usize = 500;
const TEST_FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;
const PROSE_COLUMNS_MAX: usize = 140;

#[test]
fn sizes_over_the_limit_are_found() {
    let long_file = "\n".repeat(FILE_LINES_MAX + 1);
    let long_function = format!("fn f() {{{}}}\n", "\n".repeat(FUNCTION_LINES_MAX));
    let long_line = format!("{}\n| {0}\nsee https://example.org/{0}\n", "x".repeat(141));
    let tree = Tree::of(&[
        ("a/src/file.rs", &long_file),
        ("a/src/file/tests.rs", &long_file),
        ("a/src/function.rs", &long_function),
        ("a/line.md", &long_line),
    ]);
    let found: Vec<_> = check(&tree, &[]).iter().map(Finding::to_string).collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("a/src/file.rs:1: 501 lines"), "{found:#?}");
    assert!(found[1].starts_with("a/src/function.rs:1: fn f has 71 lines"), "{found:#?}");
    assert!(found[2].starts_with("a/line.md:1: 141 columns"), "{found:#?}");
}

#[test]
fn the_ratchet_allows_no_more_than_it_says() {
    let text = "\n".repeat(520);
    let tree = Tree::of(&[("a.rs", &text)]);
    let exception = |size| [Exception { rule: Rule::FileLines, path: "a.rs", size }];
    assert!(check(&tree, &exception(520)).is_empty());
    assert_eq!(check(&tree, &exception(519)).len(), 1);
    assert!(check(&tree, &exception(530))[0].text.contains("go down to 520"));
}

#[test]
fn module_files_are_found() {
    let tree = Tree::of(&[("a/mod.rs", ""), ("a/my_mod.rs", "")]);
    assert_eq!(check_module_files(&tree).len(), 1);
}
