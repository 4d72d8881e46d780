//! Every `cargo …` and `relay …` line in a command block of a document can be typed: the
//! subcommand, package, target or program it names exists.

use std::collections::BTreeSet;

use crate::{Finding, documents, files::Tree, manifest::Targets, source};

/// Looks at the blocks marked `sh` or `console` in every document.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let known = Known::of(tree);
    let mut findings = Vec::new();
    for (path, text) in tree.with_ending(&[".md"]) {
        for (number, line) in command_lines(text) {
            for command in line.split(['|', ';', '&']).map(without_prefix) {
                if let Err(text) = known.judge(tree, command) {
                    findings.push(Finding::new(path, number, text));
                }
            }
        }
    }
    findings
}

/// What can be typed here.
struct Known {
    targets: Targets,
    xtask: BTreeSet<String>,
    xtask_text: String,
    relay: BTreeSet<String>,
}

impl Known {
    fn of(tree: &Tree) -> Self {
        let folders = ["shells/server/src/cli.rs", "shells/server/src/cli"];
        let relay = folders.iter().flat_map(|folder| tree.under(folder));
        Self {
            targets: Targets::of(tree),
            xtask: tree.under("xtask/src").flat_map(|(_, text)| subcommands(text)).collect(),
            xtask_text: tree.under("xtask/src").map(|(_, text)| text).collect(),
            relay: relay.flat_map(|(_, text)| subcommands(text)).collect(),
        }
    }

    fn judge(&self, tree: &Tree, command: &str) -> Result<(), String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["cargo", rest @ ..] => self.judge_cargo(tree, rest),
            ["relay", first, ..] => self.judge_relay(tree, first),
            _ => Ok(()),
        }
    }

    fn judge_cargo(&self, tree: &Tree, words: &[&str]) -> Result<(), String> {
        let words = match words {
            [toolchain, rest @ ..] if toolchain.starts_with('+') => rest,
            _ => words,
        };
        let (Some(&subcommand), rest) = (words.first(), words.get(1..).unwrap_or_default()) else {
            return Ok(());
        };
        match subcommand {
            "xtask" => self.judge_xtask(rest),
            "fuzz" => match rest {
                ["run" | "build" | "cmin" | "tmin" | "coverage" | "fmt", target, ..]
                    if !target.starts_with('-') =>
                {
                    let is_there = tree.has(&format!("fuzz/fuzz_targets/{target}.rs"));
                    found(is_there, || format!("there is no fuzz target {target}"))
                }
                _ => Ok(()),
            },
            name if name.starts_with('-') => Ok(()),
            name if CARGO_SUBCOMMANDS.contains(&name) => self.judge_options(tree, rest),
            name => found(self.targets.aliases.contains(name), || {
                format!("there is no `cargo {name}`: neither in cargo nor in .cargo/config.toml")
            }),
        }
    }

    fn judge_xtask(&self, words: &[&str]) -> Result<(), String> {
        let Some(task) = words.first().filter(|word| !word.starts_with('-')) else {
            return Ok(());
        };
        found(self.xtask.contains(*task), || format!("there is no `cargo xtask {task}`"))?;
        for pair in words.windows(2).filter(|pair| pair[0] == "--only") {
            let is_there = self.xtask_text.contains(&format!("name: \"{}\"", pair[1]));
            found(is_there, || {
                format!("there is no step {}: see cargo xtask test --list", pair[1])
            })?;
        }
        Ok(())
    }

    /// The names after `-p`, `--bin` and so on. What follows `--` is for the program.
    fn judge_options(&self, tree: &Tree, words: &[&str]) -> Result<(), String> {
        let own: Vec<&str> = words
            .iter()
            .take_while(|word| **word != "--")
            .flat_map(|word| word.splitn(if word.starts_with("--") { 2 } else { 1 }, '='))
            .collect();
        for pair in own.windows(2) {
            let (kind, names) = match pair[0] {
                "-p" | "--package" | "--exclude" => ("package", &self.targets.packages),
                "--bin" => ("program", &self.targets.bins),
                "--example" => ("example", &self.targets.examples),
                "--test" => ("test", &self.targets.tests),
                "--bench" => ("bench", &self.targets.benches),
                "--path" | "--manifest-path" => {
                    found(tree.exists(pair[1]), || format!("there is no {}", pair[1]))?;
                    continue;
                }
                _ => continue,
            };
            let name = pair[1].trim_matches(['"', '\'']);
            let is_there = name.contains('*') || names.contains(name);
            found(is_there, || format!("there is no {kind} {name}"))?;
        }
        match words.iter().position(|word| *word == "--") {
            Some(at) if own.windows(2).any(|pair| pair == ["--bin", "relay"]) => {
                words.get(at + 1).map_or(Ok(()), |first| self.judge_relay(tree, first))
            }
            _ => Ok(()),
        }
    }

    /// A subcommand, or a program file, or flags of a node, which the server's own tests cover.
    fn judge_relay(&self, tree: &Tree, first: &str) -> Result<(), String> {
        let is_open = first.starts_with(['-', '<', '[', '$', '#']) || first == "help";
        let is_program = first.contains('.') || first.contains('/');
        if is_open || self.relay.contains(first) {
            Ok(())
        } else if is_program {
            found(tree.exists(first), || format!("there is no program {first}"))
        } else {
            Err(format!("there is no `relay {first}`: see shells/server/src/cli"))
        }
    }
}

fn found(is_there: bool, otherwise: impl Fn() -> String) -> Result<(), String> {
    if is_there { Ok(()) } else { Err(otherwise() + "; name one that exists or remove the line") }
}

/// The lines a reader types, with lines that end in `\` joined to the next. In a `console` block
/// only lines after `$ ` are typed, if it has any; the others are what the program prints.
fn command_lines(text: &str) -> Vec<(usize, String)> {
    let mut commands: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for line in documents::lines(text) {
        if !line
            .fence
            .is_some_and(|language| matches!(language, "sh" | "console" | "bash" | "shell"))
        {
            continues = false;
            continue;
        }
        let typed = line.text.trim();
        let (part, goes_on) = typed.strip_suffix('\\').map_or((typed, false), |part| (part, true));
        match commands.last_mut() {
            Some((_, command)) if continues => command.push_str(part),
            _ => commands.push((line.number, part.trim_start_matches("$ ").to_owned())),
        }
        continues = goes_on;
    }
    commands
}

/// The command without a comment, `VARIABLE=value` words, `sudo` or `exec` before it.
fn without_prefix(command: &str) -> &str {
    let mut rest = command.split(" #").next().unwrap_or_default().trim();
    while let Some((word, after)) = rest.split_once(' ') {
        let is_variable = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        });
        if !is_variable && !matches!(word, "sudo" | "exec" | "time") {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

/// The names clap gives to the variants of the enums that derive `Subcommand`, and names set by
/// hand.
fn subcommands(text: &str) -> Vec<String> {
    let code = source::code_only(text);
    let mut names = Vec::new();
    let (mut is_derived, mut depth) = (false, 0_usize);
    for (line, original) in code.lines().zip(text.lines()) {
        is_derived |= line.contains("derive(") && source::has_word(line, "Subcommand");
        if is_derived && depth == 1 {
            names.extend(variant(line));
            let by_hand = original
                .split_once("command(name = \"")
                .and_then(|(_, rest)| rest.split('"').next());
            names.extend(by_hand.map(str::to_owned));
        }
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        is_derived &= !(depth == 0 && line.contains('}'));
    }
    names
}

/// `CargoFuzz(…),` is the subcommand cargo-fuzz.
fn variant(line: &str) -> Option<String> {
    let line = line.trim();
    let end = line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len());
    let name = &line[..end];
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.extend(c.to_lowercase());
    }
    Some(words)
}

const CARGO_SUBCOMMANDS: &[&str] = &[
    "add", "bench", "build", "check", "clean", "clippy", "deny", "doc", "fetch", "fmt", "install",
    "metadata", "miri", "new", "nextest", "publish", "run", "test", "tree", "update",
];

#[cfg(test)]
fn found_in(document: &str) -> Vec<String> {
    let tree = Tree::of(&[
        ("README.md", document),
        ("Cargo.toml", "[workspace]\n"),
        (".cargo/config.toml", "[alias]\nxtask = \"run\"\n"),
        (
            "xtask/src/main.rs",
            "#[derive(Subcommand)]\nenum Task {\n    /// X\n    Test(A),\n    CargoFuzz,\n}\n",
        ),
        ("xtask/src/steps.rs", "Step { name: \"fmt\" }"),
        ("server/Cargo.toml", "[package]\nname = \"relay-server\"\n[[bin]]\nname = \"relay\"\n"),
        ("server/examples/home.rs", ""),
        ("fuzz/fuzz_targets/frame.rs", ""),
        ("examples/blog.rhai", ""),
        (
            "shells/server/src/cli/args.rs",
            "#[derive(Debug, Subcommand)]\npub enum C {\nCall(X),\nRun { a: B },\n}\n\
             enum D {\nOther,\n}\n",
        ),
    ]);
    check(&tree).into_iter().map(|finding| format!("{}: {}", finding.line, finding.text)).collect()
}

#[test]
fn commands_that_exist_are_fine() {
    let document = "cargo nothing outside a fence\n```sh\n# a comment\n\
        cargo xtask test --only fmt\n\
        RUST_LOG=info cargo run --release --bin relay -- call blog.get # more\n\
        cargo run -p relay-server \\\n  --example=home\ncargo fuzz run frame -- -runs=1\n\
        relay --server & relay examples/blog.rhai\nrelay run | head\ncargo +nightly test\n\
        cargo install --path server\n```\n```text\nrelay nothing\n```\n";
    assert_eq!(found_in(document), Vec::<String>::new());
}

#[test]
fn commands_that_do_not_exist_are_found() {
    for (command, what) in [
        ("cargo xtask deploy", "cargo xtask deploy"),
        ("cargo xtask test --only x", "step x"),
        ("cargo nothing", "cargo nothing"),
        ("cargo run --bin nobody", "program nobody"),
        ("cargo run --bin relay -- nothing", "relay nothing"),
        ("cargo test -p nobody", "package nobody"),
        ("cargo run \\\n --example nobody", "example nobody"),
        ("cargo fuzz run nobody", "fuzz target nobody"),
        ("$ relay other", "relay other"),
        ("relay blog.rhai", "program blog.rhai"),
        ("relay call x && relay nothing", "relay nothing"),
    ] {
        let found = found_in(&format!("```console\n{command}\n```\n"));
        assert!(found.len() == 1 && found[0].contains(what), "{command}: {found:?}");
        assert!(found[0].starts_with("2: "), "{command}: {found:?}");
    }
}
