//! One command line of the project: how it is run and how it is shown to a person who wants to run
//! it again.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// A command that starts at the root of the repository.
#[derive(Clone, Copy)]
pub(crate) struct Invocation {
    /// Variables set for this command only; a value starting with `@` is a path from the root.
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// The program and its arguments, separated by single spaces, without any quoting.
    pub(crate) line: &'static str,
}

impl Invocation {
    pub(crate) const fn new(line: &'static str) -> Self {
        Self { env: &[], line }
    }

    pub(crate) const fn env(self, env: &'static [(&'static str, &'static str)]) -> Self {
        Self { env, line: self.line }
    }

    /// Runs the command with this terminal and tells whether it succeeded.
    pub(crate) fn run(self) -> Result<bool, String> {
        let mut words = self.line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(root());
        for (name, value) in self.env {
            match value.strip_prefix('@') {
                Some(path) => command.env(name, root().join(path)),
                None => command.env(name, value),
            };
        }
        let status = command.status().map_err(|error| format!("cannot run `{self}`: {error}"))?;
        Ok(status.success())
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.env {
            let value = value.strip_prefix('@').unwrap_or(value);
            if value.contains(' ') {
                write!(f, "{name}=\"{value}\" ")?;
            } else {
                write!(f, "{name}={value} ")?;
            }
        }
        f.write_str(self.line)
    }
}

/// The root of the repository this binary was started for.
pub(crate) fn root() -> PathBuf {
    // `cargo run` says where the package is now; the compiled-in path is of the place where it was
    // built.
    let package = std::env::var("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&package).parent().unwrap_or_else(|| Path::new(".")).to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Whether a command starts and succeeds, with its output hidden.
pub(crate) fn answers(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_a_line_that_a_shell_understands() {
        let plain = Invocation::new("cargo fmt --all");
        assert_eq!(plain.to_string(), "cargo fmt --all");
        let with_env =
            plain.env(&[("RUSTDOCFLAGS", "-D warnings"), ("CARGO_TARGET_DIR", "@target/x")]);
        assert_eq!(
            with_env.to_string(),
            "RUSTDOCFLAGS=\"-D warnings\" CARGO_TARGET_DIR=target/x cargo fmt --all"
        );
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("xtask/Cargo.toml").is_file(), "{} is not the root", root().display());
    }

    #[test]
    fn a_missing_program_is_an_error_and_a_failing_one_is_not() {
        assert!(Invocation::new("no-such-program-here --version").run().is_err());
        assert_eq!(Invocation::new("cargo no-such-subcommand-here").run(), Ok(false));
        assert!(!answers("no-such-program-here", &[]));
    }
}
