//! What cargo can build here: packages and their programs, examples, tests and benches, by the
//! manifests and by the folders cargo looks into by itself.

use std::collections::BTreeSet;

use crate::files::Tree;

/// The names a cargo command may use.
#[derive(Default)]
pub(crate) struct Targets {
    pub(crate) packages: BTreeSet<String>,
    pub(crate) bins: BTreeSet<String>,
    pub(crate) examples: BTreeSet<String>,
    pub(crate) tests: BTreeSet<String>,
    pub(crate) benches: BTreeSet<String>,
    /// From .cargo/config.toml.
    pub(crate) aliases: BTreeSet<String>,
}

impl Targets {
    /// Reads every manifest of the tree.
    pub(crate) fn of(tree: &Tree) -> Self {
        let mut targets = Self::default();
        for (path, text) in tree.with_ending(&["Cargo.toml"]) {
            let folder = path.trim_end_matches("Cargo.toml");
            targets.take_manifest(text);
            targets.take_folders(tree, folder);
        }
        for (section, key, _) in entries(tree.text(".cargo/config.toml")) {
            if section == "[alias]" {
                targets.aliases.insert(key.to_owned());
            }
        }
        targets
    }

    fn take_manifest(&mut self, text: &str) {
        let mut package = None;
        for (section, _, value) in entries(text).filter(|(_, key, _)| *key == "name") {
            let name = value.trim_matches('"').to_owned();
            match section {
                "[package]" => package = Some(name),
                "[[bin]]" => drop(self.bins.insert(name)),
                "[[example]]" => drop(self.examples.insert(name)),
                "[[test]]" => drop(self.tests.insert(name)),
                "[[bench]]" => drop(self.benches.insert(name)),
                _ => {}
            }
        }
        self.packages.extend(package);
    }

    fn take_folders(&mut self, tree: &Tree, folder: &str) {
        let places = [
            ("src/bin", &mut self.bins),
            ("examples", &mut self.examples),
            ("tests", &mut self.tests),
            ("benches", &mut self.benches),
        ];
        for (place, names) in places {
            let place = format!("{folder}{place}");
            for (path, _) in tree.under(&place) {
                let inner = path.trim_start_matches(&place).trim_start_matches('/');
                let name = inner.strip_suffix("/main.rs").or_else(|| inner.strip_suffix(".rs"));
                names.extend(name.filter(|name| !name.contains('/')).map(str::to_owned));
            }
        }
        if let (true, Some(name)) =
            (tree.has(&format!("{folder}src/main.rs")), package_name(tree, folder))
        {
            self.bins.insert(name);
        }
    }
}

fn package_name(tree: &Tree, folder: &str) -> Option<String> {
    let text = tree.text(&format!("{folder}Cargo.toml"));
    let mut names =
        entries(text).filter(|(section, key, _)| *section == "[package]" && *key == "name");
    names.next().map(|(_, _, value)| value.trim_matches('"').to_owned())
}

/// The `key = value` lines of a TOML file with the header they stand under. Enough for the one-line
/// values asked for here.
fn entries(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut section = "";
    text.lines().filter_map(move |line| {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
            return None;
        }
        let (key, value) = line.split_once('=')?;
        (!line.starts_with('#')).then_some((section, key.trim(), value.trim()))
    })
}

#[test]
fn names_are_read_from_manifests_and_folders() {
    let manifest = "# name = \"no\"\n[package]\nname = \"a-server\"\n[[bin]]\nname = \"a\"\n";
    let tree = Tree::of(&[
        ("a/Cargo.toml", manifest),
        ("a/examples/one.rs", ""),
        ("a/examples/two/main.rs", ""),
        ("a/examples/two/part.rs", ""),
        ("tool/Cargo.toml", "[package]\nname = \"tool\"\n"),
        ("tool/src/main.rs", ""),
        (".cargo/config.toml", "[alias]\nt = \"test\"\n[env]\nX = \"1\"\n"),
    ]);
    let targets = Targets::of(&tree);
    assert_eq!(targets.packages.iter().collect::<Vec<_>>(), ["a-server", "tool"]);
    assert_eq!(targets.bins.iter().collect::<Vec<_>>(), ["a", "tool"]);
    assert_eq!(targets.examples.iter().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(targets.aliases.iter().collect::<Vec<_>>(), ["t"]);
}
