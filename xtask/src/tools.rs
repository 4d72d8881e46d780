//! The tools the checks need beyond a Rust toolchain: how to see whether they are here, and how to
//! get them.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::invocation::{Invocation, answers, root};

/// Something a step cannot run without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Rustfmt,
    Clippy,
    Nextest,
    WasmTarget,
    /// For programs: the other target has no terminal.
    WasiTarget,
    /// Runs those programs.
    Node,
    Python,
    Pip,
    Npm,
    /// What the clients of examples/clients in Python need.
    PythonPackages,
    /// What those in JavaScript need, and what mounts the React hook.
    NodePackages,
    /// Looks at the page of `relay sim`, and is a client of /ws.
    Chromium,
    /// Makes the certificate of a Main that a page dials over TLS.
    Openssl,
    /// Takes minutes to build, so it is used when it is here and never installed.
    Deny,
}

/// What came of looking for a tool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Yes,
    /// Missing, and the step is left out; the text says what would bring it back.
    Skip(&'static str),
}

impl Tool {
    /// Makes sure that the tool is here, installing it when it may.
    pub(crate) fn ensure(self) -> Result<Found, String> {
        if self.is_here() {
            return Ok(Found::Yes);
        }
        let line = match self {
            Self::Rustfmt => "rustup component add rustfmt",
            Self::Clippy => "rustup component add clippy",
            Self::WasmTarget => "rustup target add wasm32-unknown-unknown",
            Self::WasiTarget => "rustup target add wasm32-wasip1",
            Self::Node => "apt-get install --yes --no-install-recommends nodejs",
            Self::Nextest => "cargo install cargo-nextest --locked",
            Self::Python => "apt-get install --yes --no-install-recommends python3",
            Self::Pip => "apt-get install --yes --no-install-recommends python3-pip",
            Self::Npm => "apt-get install --yes --no-install-recommends npm",
            Self::PythonPackages => {
                "python3 -m pip install --quiet --target target/clients/python websockets"
            }
            Self::NodePackages => {
                "npm install --no-audit --no-fund --prefix target/clients ws@8 react@18 \
                 react-test-renderer@18"
            }
            Self::Chromium => "apt-get install --yes --no-install-recommends chromium",
            Self::Openssl => "apt-get install --yes --no-install-recommends openssl",
            Self::Deny => return Ok(Found::Skip("`cargo install cargo-deny --locked` adds it")),
        };
        install_by(line)?;
        if self.is_here() {
            Ok(Found::Yes)
        } else {
            Err(format!("{self:?} was installed but is still not found: check PATH"))
        }
    }

    fn is_here(self) -> bool {
        match self {
            Self::Rustfmt => answers("cargo", &["fmt", "--version"]),
            Self::Clippy => answers("cargo", &["clippy", "--version"]),
            Self::Nextest => answers("cargo", &["nextest", "--version"]),
            Self::Deny => answers("cargo", &["deny", "--version"]),
            Self::Python => answers("python3", &["--version"]),
            Self::Chromium => CHROMIUMS.iter().any(|name| answers(name, &["--version"])),
            Self::Openssl => answers("openssl", &["version"]),
            Self::Node => answers("node", &["--version"]),
            Self::Pip => answers("python3", &["-m", "pip", "--version"]),
            Self::Npm => answers("npm", &["--version"]),
            Self::PythonPackages => root().join("target/clients/python/websockets").is_dir(),
            Self::NodePackages => ["ws", "react", "react-test-renderer"]
                .iter()
                .all(|name| root().join("target/clients/node_modules").join(name).is_dir()),
            Self::WasmTarget => has_standard_library("wasm32-unknown-unknown"),
            Self::WasiTarget => has_standard_library("wasm32-wasip1"),
        }
    }
}

/// The name of the Chromium on PATH.
pub(crate) fn chromium() -> Result<&'static str, String> {
    let found = CHROMIUMS.into_iter().find(|name| answers(name, &["--version"]));
    found.ok_or_else(|| format!("none of {CHROMIUMS:?} is on PATH"))
}

/// The path of cargo-fuzz: the one on PATH, or one built into target/tools. It is not put on PATH,
/// because cargo warns when an alias (`cargo fuzz`, see .cargo/config.toml) and a program on PATH
/// have the same name.
pub(crate) fn cargo_fuzz() -> Result<PathBuf, String> {
    if answers("cargo-fuzz", &["fuzz", "--version"]) {
        return Ok(PathBuf::from("cargo-fuzz"));
    }
    let folder = root().join("target/tools");
    let program = folder.join("bin/cargo-fuzz");
    if !program.is_file() {
        install(
            Invocation::new("cargo install cargo-fuzz --locked")
                .env(&[("CARGO_INSTALL_ROOT", "@target/tools")]),
        )?;
    }
    Ok(program)
}

/// Makes sure that rustup knows `channel`; without rustup, the compiler on PATH has to be that
/// channel.
pub(crate) fn toolchain(channel: &str) -> Result<(), String> {
    if !answers("rustup", &["--version"]) {
        let version = Command::new("rustc").arg("--version").output();
        let is_channel = version.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).contains(&format!("-{channel}"))
        });
        return if is_channel {
            Ok(())
        } else {
            Err(format!("fuzzing needs a {channel} compiler; rustup (https://rustup.rs) gets it"))
        };
    }
    if answers("rustup", &["run", channel, "rustc", "--version"]) {
        return Ok(());
    }
    println!("-- {channel} is missing: rustup toolchain install {channel} --profile minimal");
    let status = Command::new("rustup")
        .args(["toolchain", "install", channel, "--profile", "minimal"])
        .status()
        .map_err(|error| format!("cannot run rustup: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("rustup could not install {channel}")) }
}

fn install(command: Invocation) -> Result<(), String> {
    println!("-- installing: {command}");
    if command.run()? {
        Ok(())
    } else {
        Err(format!("`{command}` failed: run it by hand to see why"))
    }
}

/// Runs the line that gets a tool. Where there is no apt-get, programs are the user's to install.
fn install_by(line: &'static str) -> Result<(), String> {
    if !line.starts_with("apt-get ") {
        return install(Invocation::new(line));
    }
    if !answers("apt-get", &["--version"]) {
        let program = line.rsplit(' ').next().unwrap_or_default();
        return Err(format!("the checks need {program}: install it and try again"));
    }
    let command = Invocation::new(line).env(&[("DEBIAN_FRONTEND", "noninteractive")]);
    // A fresh machine does not know yet which packages there are.
    install(command).or_else(|_| {
        install(Invocation::new("apt-get update"))?;
        install(command)
    })
}

/// Asks the compiler, not rustup: distributions ship targets too.
fn has_standard_library(target: &str) -> bool {
    let probe = Command::new("rustc")
        .args(["--target", target, "--print", "target-libdir"])
        .current_dir(root())
        .stderr(Stdio::null())
        .output();
    probe.is_ok_and(|output| {
        let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        output.status.success() && path.is_dir()
    })
}

/// The names under which Chromium is found; the test in shells/server looks for the same.
const CHROMIUMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_nobody_has_is_not_here() {
        assert!(!has_standard_library("no-such-target"));
    }

    #[test]
    fn the_toolchain_that_runs_this_test_has_its_own_library() {
        let version = Command::new("rustc").arg("-vV").output().expect("rustc runs");
        let text = String::from_utf8(version.stdout).expect("rustc prints text");
        let host = text.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host line");
        assert!(has_standard_library(host), "{host}");
    }
}
