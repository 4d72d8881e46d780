//! `cargo xtask test`: runs the steps in order, keeps going after a failure, and ends with a table.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{
    steps::{self, STEPS, Step},
    tools::Found,
};

/// What `test` and `ci` take.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only this step (may be given more than once)
    #[arg(long, value_name = "STEP", conflicts_with = "list")]
    only: Vec<String>,
    /// Print the steps and their commands, and run nothing
    #[arg(long)]
    list: bool,
    /// Stop at the first step that fails
    #[arg(long)]
    fail_fast: bool,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cargo xtask test                          everything
  cargo xtask test --list                   the steps and their commands
  cargo xtask test --only fmt --only test   two steps
  cargo xtask test --fail-fast              stop at the first failure";

/// Runs the chosen steps.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    if arguments.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<&Step> = if arguments.only.is_empty() {
        STEPS.iter().collect()
    } else {
        arguments.only.iter().map(|name| steps::find(name)).collect::<Result<_, _>>()?
    };

    let started = Instant::now();
    let mut rows = Vec::with_capacity(chosen.len());
    for step in chosen {
        println!("\n=== {}: {} (+{})", step.name, step.about, seconds(started.elapsed()));
        let step_started = Instant::now();
        let outcome = run_step(step);
        match &outcome {
            Outcome::Passed => {}
            Outcome::Skipped(hint) => println!("*** SKIPPED {}: {hint}", step.name),
            Outcome::Failed(message) => println!("*** FAILED {}: {message}", step.name),
        }
        let is_failure = matches!(outcome, Outcome::Failed(_));
        rows.push(Row { name: step.name, outcome, took: step_started.elapsed() });
        if is_failure && arguments.fail_fast {
            break;
        }
    }
    print!("{}", table(&rows, started.elapsed()));
    let is_good = rows.iter().all(|row| !matches!(row.outcome, Outcome::Failed(_)));
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Row {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

enum Outcome {
    Passed,
    /// With what would make it run.
    Skipped(String),
    /// With what to do.
    Failed(String),
}

fn run_step(step: &Step) -> Outcome {
    for tool in step.needs {
        match tool.ensure() {
            Ok(Found::Yes) => {}
            Ok(Found::Skip(hint)) => {
                return Outcome::Skipped(format!("{tool:?} is missing; {hint}"));
            }
            Err(message) => return Outcome::Failed(message),
        }
    }
    for command in step.commands {
        println!("$ {command}");
        match command.run() {
            Ok(true) => {}
            Ok(false) => return Outcome::Failed(format!("to repeat it: {command}")),
            Err(message) => return Outcome::Failed(message),
        }
    }
    Outcome::Passed
}

fn list() {
    for step in STEPS {
        println!("{:<12} {}", step.name, step.about);
        for command in step.commands {
            println!("{:<12}   {command}", "");
        }
    }
}

/// The summary, one row a step, failures with the command that repeats them.
fn table(rows: &[Row], total: Duration) -> String {
    let mut text = format!("\n{:<12} {:<8} {:>9}\n", "step", "result", "time");
    for row in rows {
        let (result, note) = match &row.outcome {
            Outcome::Passed => ("passed", ""),
            Outcome::Skipped(hint) => ("SKIPPED", hint.as_str()),
            Outcome::Failed(message) => ("FAILED", message.as_str()),
        };
        let line = format!("{:<12} {result:<8} {:>9}  {note}", row.name, seconds(row.took));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&format!("{:<12} {:<8} {:>9}\n", "all", "", seconds(total)));
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{invocation::Invocation, tools::Tool};

    fn step(commands: &'static [Invocation]) -> Step {
        Step { name: "x", about: "", needs: &[], commands }
    }

    #[test]
    fn a_failure_names_the_command_that_failed_and_stops_the_step() {
        const GOOD: &[Invocation] = &[Invocation::new("cargo --version")];
        const BAD: &[Invocation] = &[
            Invocation::new("cargo --version"),
            Invocation::new("cargo no-such-subcommand-here"),
            Invocation::new("no-such-program-here"),
        ];
        let outcome = run_step(&step(BAD));
        assert!(
            matches!(outcome, Outcome::Failed(text) if text.ends_with("no-such-subcommand-here"))
        );
        assert!(matches!(run_step(&step(GOOD)), Outcome::Passed));
    }

    #[test]
    fn the_table_tells_every_outcome() {
        let rows = [
            Row { name: "fmt", outcome: Outcome::Passed, took: Duration::from_millis(400) },
            Row { name: "deny", outcome: Outcome::Skipped("why".to_owned()), took: Duration::ZERO },
            Row { name: "doc", outcome: Outcome::Failed("do x".to_owned()), took: Duration::ZERO },
        ];
        let text = table(&rows, Duration::from_secs(2));
        assert!(text.contains("fmt          passed       0.4 s\n"), "{text}");
        assert!(text.contains("SKIPPED      0.0 s  why\n"), "{text}");
        assert!(text.contains("FAILED       0.0 s  do x\n"), "{text}");
        assert!(text.ends_with("2.0 s\n"), "{text}");
    }

    #[test]
    fn only_cargo_deny_may_be_left_out() {
        let optional: Vec<_> =
            STEPS.iter().filter(|step| step.needs.contains(&Tool::Deny)).map(|s| s.name).collect();
        assert_eq!(optional, ["deny"]);
    }
}
