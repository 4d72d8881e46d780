//! The files of the tree: which there are, and which kind each one is.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Every tracked text file. Paths are relative to the root, with `/`.
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, File>,
}

/// One text file.
pub(crate) struct File {
    pub(crate) text: String,
}

/// Which size rule holds for a Rust file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RustKind {
    Production,
    Tests,
}

impl Tree {
    /// Reads the tree this test was built in.
    pub(crate) fn load() -> Self {
        let root = root();
        let mut files = BTreeMap::new();
        for path in listed_by_git(&root).unwrap_or_else(|| walk(&root)) {
            // Kept fuzz inputs are noise on purpose, lock files are written by tools.
            if path.starts_with("fuzz/corpus/") || path.starts_with("fuzz/regressions/") {
                continue;
            }
            if let Ok(text) = fs::read_to_string(root.join(&path)) {
                files.insert(path, File { text });
            }
        }
        Self { files }
    }

    /// A tree of the given files, for the tests of the rules.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), File { text: (*text).to_owned() }))
            .collect();
        Self { files }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    pub(crate) fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", |file| file.text.as_str())
    }

    /// The files whose name ends in one of `endings`.
    pub(crate) fn with_ending(&self, endings: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        let matching =
            self.files.iter().filter(|(path, _)| endings.iter().any(|end| path.ends_with(end)));
        matching.map(|(path, file)| (path.as_str(), file.text.as_str()))
    }

    /// The files below a folder, or a single file, written `a/b`.
    pub(crate) fn under(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{folder}/");
        let matching = self
            .files
            .iter()
            .filter(move |(path, _)| path.starts_with(&prefix) || path.as_str() == folder);
        matching.map(|(path, file)| (path.as_str(), file.text.as_str()))
    }

    /// Whether a file or folder of that path is in the tree or, for what is not text, on the disk.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.has(path) || self.under(path).next().is_some() || root().join(path).exists()
    }
}

/// What a Rust file is. The simulator (tests/sim) is a library that others read, so it counts as
/// production.
pub(crate) fn rust_kind(path: &str) -> RustKind {
    let is_tests = path.split('/').any(|part| part == "tests" || part == "tests.rs")
        && !path.starts_with("tests/sim/");
    let is_side = ["fuzz/", "benches/"].iter().any(|folder| path.starts_with(folder));
    if is_tests || is_side { RustKind::Tests } else { RustKind::Production }
}

fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// Tracked files and those that are new and not ignored. `None` outside a git checkout.
fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    let names = String::from_utf8(output.stdout).ok()?;
    let files: Vec<_> =
        names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    (output.status.success() && !files.is_empty()).then_some(files)
}

/// Every file, for a tree that was unpacked from an archive.
fn walk(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let path = folder.join(&name);
            if !entry.path().is_dir() {
                found.push(path.to_string_lossy().replace('\\', "/"));
            } else if !SKIPPED_FOLDERS.iter().any(|skipped| name == *skipped) {
                folders.push(path);
            }
        }
    }
    found
}

/// Folders that git ignores or owns.
const SKIPPED_FOLDERS: &[&str] =
    &["target", ".git", "node_modules", "artifacts", "coverage", "__pycache__"];

#[test]
fn kinds_of_rust_files() {
    assert_eq!(rust_kind("core/src/frame.rs"), RustKind::Production);
    assert_eq!(rust_kind("core/src/frame/tests.rs"), RustKind::Tests);
    assert_eq!(rust_kind("core/src/frame/tests/wire.rs"), RustKind::Tests);
    assert_eq!(rust_kind("tests/scenarios/failover.rs"), RustKind::Tests);
    assert_eq!(rust_kind("tests/sim/lib.rs"), RustKind::Production);
    assert_eq!(rust_kind("fuzz/src/lib.rs"), RustKind::Tests);
}

#[test]
fn git_and_the_walk_agree_on_the_sources() {
    let root = root();
    let Some(listed) = listed_by_git(&root) else { return };
    let walked = walk(&root);
    for path in listed.iter().filter(|path| path.ends_with(".rs") && root.join(path).exists()) {
        assert!(walked.contains(path), "the walk misses {path}");
    }
}
