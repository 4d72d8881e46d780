//! `cargo xtask fuzz`, and the alias `cargo fuzz`: cargo-fuzz under the toolchain that
//! fuzz/rust-toolchain.toml names, so that the rest of the repository can stay on the stable
//! compiler.

use std::{
    ffi::OsString,
    fs,
    process::{Command, ExitCode},
};

use crate::{invocation::root, tools};

/// What `fuzz` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One target (default: all, one after the other)
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// The words after `cargo fuzz`.
#[derive(clap::Args)]
pub(crate) struct PassedOn {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cargo xtask fuzz                            one minute for each target
  cargo xtask fuzz --seconds 600 handshake    ten minutes for one target
  cargo fuzz run handshake                    until stopped, as cargo-fuzz has it";

/// Runs each target for the time asked; a finding in one does not keep the others from running.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let all = targets()?;
    let chosen = match &arguments.target {
        None => all,
        Some(name) if all.contains(name) => vec![name.clone()],
        Some(name) => {
            return Err(format!("there is no target '{name}'; the targets are {}", all.join(", ")));
        }
    };
    let mut failed = Vec::new();
    for target in chosen {
        println!("\n=== {target}: {} s", arguments.seconds);
        let limit = format!("-max_total_time={}", arguments.seconds);
        let words = ["run", &target, "--", &limit].map(OsString::from);
        let words = lean(&words);
        if !cargo_fuzz()?.args(words).current_dir(root()).status().map_err(not_started)?.success() {
            failed.push(target);
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n*** found something in: {}", failed.join(", "));
    println!(
        "*** the inputs are in fuzz/artifacts; keep one that is fixed in fuzz/regressions/TARGET"
    );
    Ok(ExitCode::FAILURE)
}

/// Hands the words on and gives back what cargo-fuzz gave.
pub(crate) fn pass_on(arguments: PassedOn) -> Result<ExitCode, String> {
    let words = lean(&arguments.words);
    let status = cargo_fuzz()?.args(words).status().map_err(not_started)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Leaves the server out of the build where the target does not need it: seconds for minutes. The
/// target that simulates whole worlds goes without the address sanitizer as well, which slows it to
/// a sixth and has little to find in code without `unsafe`.
fn lean(words: &[OsString]) -> Vec<OsString> {
    let mut words = words.to_vec();
    let runs = words.first().is_some_and(|word| word == "run" || word == "build");
    let said = |part: &str| words.iter().any(|word| word.to_string_lossy().contains(part));
    let of_core = words.get(1).is_some_and(|target| target != GATEWAY_TARGET);
    let of_worlds = words.get(1).is_some_and(|target| target == WORLD_TARGET);
    let sanitizer = said("sanitizer") || words.iter().any(|word| word == "-s");
    let features = said("features");
    if runs && of_worlds && !sanitizer {
        words.insert(1, OsString::from("--sanitizer=none"));
        words.insert(1, OsString::from("--no-trace-compares"));
    }
    if runs && of_core && !features {
        words.insert(1, OsString::from("--no-default-features"));
    }
    words
}

/// The one target that is not of the core.
const GATEWAY_TARGET: &str = "json_rpc";
/// The target that simulates whole worlds.
const WORLD_TARGET: &str = "node";

fn cargo_fuzz() -> Result<Command, String> {
    let channel = channel()?;
    tools::toolchain(&channel)?;
    let mut command = Command::new(tools::cargo_fuzz()?);
    // The first `fuzz` is the word cargo itself passes to a subcommand. RUSTUP_TOOLCHAIN is
    // inherited from the stable cargo that started this program and has to be replaced, or rustup
    // would stay on it.
    command.arg("fuzz").env("RUSTUP_TOOLCHAIN", channel);
    Ok(command)
}

/// The targets, from the names in fuzz/fuzz_targets.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder)
        .map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned)
        })
        .collect();
    names.sort();
    Ok(names)
}

fn channel() -> Result<String, String> {
    let path = root().join("fuzz/rust-toolchain.toml");
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    channel_in(&text).ok_or_else(|| format!("{} has no line `channel = \"…\"`", path.display()))
}

fn channel_in(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("channel"))?;
    let value = line.trim_start().strip_prefix('=')?.trim().trim_matches('"');
    (!value.is_empty()).then(|| value.to_owned())
}

fn not_started(error: std::io::Error) -> String {
    format!("cannot run cargo-fuzz: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_channel() {
        let text = "# channel in words\n[toolchain]\nchannel = \"nightly-2026-01-01\"\n";
        assert_eq!(channel_in(text).as_deref(), Some("nightly-2026-01-01"));
        assert_eq!(channel_in("[toolchain]\n"), None);
        assert_eq!(channel_in("channel = \"\""), None);
        assert!(channel().is_ok());
    }

    #[test]
    fn leaves_the_server_out_where_it_can() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let expected = words("run --no-default-features frame_decode -- -runs=1");
        assert_eq!(lean(&words("run frame_decode -- -runs=1")), expected);
        let world = words("run --no-default-features --no-trace-compares --sanitizer=none node");
        assert_eq!(lean(&words("run node")), world);
        for unchanged in ["run json_rpc", "list", "run --features x frame_decode"] {
            assert_eq!(lean(&words(unchanged)), words(unchanged));
        }
    }

    #[test]
    fn finds_the_targets() {
        assert!(targets().is_ok_and(|names| names.contains(&"frame_decode".to_owned())));
    }
}
