//! `cargo xtask bench`: the criterion benches, in the profile users run.

use std::process::{Command, ExitCode};

use crate::invocation::root;

/// What `bench` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only benches whose name contains this
    filter: Option<String>,
    /// Keep the figures under this name, to compare later runs with
    #[arg(long, value_name = "NAME", conflicts_with = "baseline")]
    save_baseline: Option<String>,
    /// Compare with the figures kept under this name
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                          all benches
  cargo xtask bench forward                  those with `forward` in their name
  cargo xtask bench --save-baseline before   keep the figures, then after a change:
  cargo xtask bench --baseline before        compare";

/// Runs the benches.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let mut command = Command::new("cargo");
    command.args(["bench", "--package", "relay-benches", "--bench", "*", "--locked", "--"]);
    command.args(words(arguments)).current_dir(root());
    let status = command.status().map_err(|error| format!("cannot run cargo bench: {error}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn words(arguments: &Arguments) -> Vec<&str> {
    let mut words = Vec::new();
    if let Some(name) = &arguments.save_baseline {
        words.extend(["--save-baseline", name]);
    }
    if let Some(name) = &arguments.baseline {
        words.extend(["--baseline", name]);
    }
    words.extend(arguments.filter.as_deref());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_criterion_in_its_order() {
        let arguments = Arguments {
            filter: Some("forward".to_owned()),
            save_baseline: None,
            baseline: Some("before".to_owned()),
        };
        assert_eq!(words(&arguments), ["--baseline", "before", "forward"]);
    }
}
