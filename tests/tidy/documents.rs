//! What a document promises: its command blocks, its links, and that it sends nobody to one
//! registry host.

use crate::{Finding, files::Tree};

/// A line of a document, and the language of the fence it stands in.
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) text: &'a str,
    /// `None` outside a fence.
    pub(crate) fence: Option<&'a str>,
}

/// The lines of a document without those that open and close a fence.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut fence = None;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language.trim()) };
            return None;
        }
        Some(Line { number: at + 1, text: line, fence })
    })
}

/// Relative links lead to a file or folder of the tree.
pub(crate) fn check_links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.with_ending(&[".md"]) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for line in lines(text).filter(|line| line.fence.is_none()) {
            for target in link_targets(line.text) {
                match resolve(folder, target) {
                    Some(file) if tree.exists(&file) => {}
                    Some(file) => {
                        let text = format!("link to {file}, which is not there: fix or remove it");
                        findings.push(Finding::new(path, line.number, text));
                    }
                    None => {
                        let text =
                            format!("link to {target} leaves the repository: use a relative path");
                        findings.push(Finding::new(path, line.number, text));
                    }
                }
            }
        }
    }
    findings
}

/// Which registry a package manager asks is a setting of the reader's machine.
pub(crate) fn check_hosts(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.with_ending(&[".md"]) {
        for (at, line) in text.lines().enumerate() {
            for host in REGISTRY_HOSTS.iter().filter(|host| line.contains(**host)) {
                let text =
                    format!("{host} is a registry host: name the package, not where it comes from");
                findings.push(Finding::new(path, at + 1, text));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` and `[name]: target` that mean a file.
fn link_targets(line: &str) -> Vec<&str> {
    let prose = without_code(line);
    let mut spans: Vec<(usize, usize)> = prose
        .match_indices("](")
        .filter_map(|(at, _)| Some((at + 2, at + 2 + prose[at + 2..].find(')')?)))
        .collect();
    if prose.starts_with('[')
        && let Some(at) = prose.find("]: ")
    {
        spans.push((at + 3, prose.len()));
    }
    let targets = spans.into_iter().map(|(start, end)| {
        let target = line[start..end].trim();
        let target = target.split([' ', '#']).next().unwrap_or_default();
        target.trim_matches(['<', '>'])
    });
    targets.filter(|target| !target.is_empty() && !is_elsewhere(target)).collect()
}

/// The line with every `code span` blanked, byte for byte.
fn without_code(line: &str) -> String {
    let mut is_code = false;
    let blanked = line.bytes().map(|byte| {
        is_code ^= byte == b'`';
        if is_code || !byte.is_ascii() { b' ' } else { byte }
    });
    String::from_utf8_lossy(&blanked.collect::<Vec<_>>()).into_owned()
}

fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:") || target.starts_with("//")
}

/// The path from the root; `None` when it climbs above the root.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => folder.split('/').filter(|part| !part.is_empty()).collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

// In two halves, so that nobody finds a host by searching for one.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("pypi.", "org/simple"),
    concat!("files.", "pythonhosted.org"),
    concat!("proxy.", "golang.org"),
    concat!("registry-1.", "docker.io"),
    concat!("sparse", "+http"),
];

#[test]
fn links_that_lead_nowhere_are_found() {
    let text = "[a](b.md#part) [c](missing.md) `[d](no.md)` [e](https://example.org/x)\n\
                ```text\n[f](no.md)\n```\n[g]: ../../out.md\n[h](../core/ \"title\") [i](#here)\n\
                ä [j](../gone)\n";
    let tree = Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("core/lib.rs", "")]);
    let found = check_links(&tree);
    let found: Vec<_> = found.iter().map(|f| (f.line, f.text.split(' ').nth(2))).collect();
    assert_eq!(
        found,
        [(1, Some("docs/missing.md,")), (5, Some("../../out.md")), (7, Some("gone,"))]
    );
}

#[test]
fn registry_hosts_are_found() {
    let text = format!("from https://{}/x\n", REGISTRY_HOSTS[0]);
    assert_eq!(check_hosts(&Tree::of(&[("a.md", &text)])).len(), 1);
    assert!(check_hosts(&Tree::of(&[("a.md", "https://crates.io/crates/bytes\n")])).is_empty());
}
