//! The list of checks: what they are called, what they run and which tools they need. To add a
//! check, add a row.

use crate::{invocation::Invocation, tools::Tool};

/// One row of the list.
pub(crate) struct Step {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Fetched when missing, before the first command.
    pub(crate) needs: &'static [Tool],
    /// Run one after the other; the first failure ends the step.
    pub(crate) commands: &'static [Invocation],
}

/// Cheap checks first, so that a slip in the formatting is told in the first second. All of them
/// use the dev profile: the dependencies are checked once (clippy, doc) and built once (tests, doc
/// tests).
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "the formatting",
        needs: &[Tool::Rustfmt],
        commands: &[
            Invocation::new("cargo fmt --all --check"),
            Invocation::new("cargo fmt --manifest-path fuzz/Cargo.toml --check"),
        ],
    },
    Step {
        name: "clippy",
        about: "the lints of the workspace, every warning an error",
        needs: &[Tool::Clippy],
        commands: &[Invocation::new(
            "cargo clippy --workspace --all-targets --locked -- -D warnings",
        )],
    },
    Step {
        name: "doc",
        about: "the API documentation and its links",
        needs: &[],
        commands: &[Invocation::new("cargo doc --workspace --no-deps --locked")
            .env(&[("RUSTDOCFLAGS", "-D warnings")])],
    },
    Step {
        name: "test",
        about: "unit tests, scenarios, properties, end-to-end tests, tidy",
        needs: &[
            Tool::Nextest,
            Tool::Python,
            Tool::Chromium,
            Tool::Node,
            Tool::Pip,
            Tool::Npm,
            Tool::PythonPackages,
            Tool::NodePackages,
        ],
        commands: &[Invocation::new("cargo nextest run --workspace --locked")],
    },
    Step {
        name: "doctest",
        about: "the examples in the API documentation",
        needs: &[],
        commands: &[Invocation::new("cargo test --doc --workspace --locked")],
    },
    Step {
        name: "wasm",
        about: "core, driver and the scenarios of shells for the browser",
        needs: &[Tool::WasmTarget],
        commands: &[Invocation::new(
            "cargo build -p relay-core -p relay-driver -p relay-shell-tests --lib \
             --target wasm32-unknown-unknown --locked",
        )],
    },
    Step {
        name: "browser",
        about: "the npm package relay-wasm: its size, its types, Node, pages in Chromium, Vite",
        needs: &[Tool::WasmTarget, Tool::Node, Tool::Npm, Tool::Chromium, Tool::Openssl],
        commands: &[Invocation::new("cargo xtask wasm --test")],
    },
    Step {
        name: "fuzz-replay",
        about: "every input the fuzzers have kept, on the stable compiler",
        needs: &[],
        commands: &[Invocation::new("cargo test --manifest-path fuzz/Cargo.toml --locked")
            .env(&[("CARGO_TARGET_DIR", "@target/fuzz-stable")])],
    },
    Step {
        name: "deny",
        about: "licences, banned crates and sources of the dependencies (needs cargo-deny)",
        needs: &[Tool::Deny],
        commands: &[Invocation::new(
            "cargo deny --all-features --config .cargo/deny.toml check --hide-inclusion-graph \
             bans licenses sources",
        )],
    },
    Step {
        name: "traces",
        about: "200 seeds, the same worlds in every build; 100 golden traces, equal in every shell",
        needs: &[Tool::WasiTarget, Tool::WasmTarget, Tool::Node, Tool::Chromium],
        commands: &[Invocation::new("cargo xtask traces --seeds 200")],
    },
    Step {
        name: "mutants",
        about: "planted bugs, each to be found by the simulator within ten minutes",
        needs: &[],
        commands: &[Invocation::new("cargo xtask mutants --known --seconds 600")],
    },
];

/// The step of that name.
pub(crate) fn find(name: &str) -> Result<&'static Step, String> {
    STEPS.iter().find(|step| step.name == name).ok_or_else(|| {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        format!("there is no step '{name}'; the steps are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (at, step) in STEPS.iter().enumerate() {
            assert!(STEPS[at + 1..].iter().all(|other| other.name != step.name), "{}", step.name);
            assert!(find(step.name).is_ok());
            assert!(!step.commands.is_empty(), "{} checks nothing", step.name);
        }
        assert!(find("nothing").is_err_and(|message| message.contains("clippy")));
    }

    #[test]
    fn no_word_of_a_command_needs_quoting() {
        for command in STEPS.iter().flat_map(|step| step.commands) {
            assert!(!command.line.contains(['"', '\'', '$']), "{command}");
            assert!(!command.line.contains("  "), "{command}");
        }
    }
}
