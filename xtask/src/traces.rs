//! `cargo xtask traces`: proves that a seed is the same world in every build. The program `traces`
//! of relay-sim runs each seed two times in debug, in release and on wasm32, and every build has to
//! print the same lines. Then the golden traces are replayed in every shell (golden.rs).

use std::{
    ffi::OsStr,
    process::{Command, ExitCode, Stdio},
    thread,
    time::Instant,
};

use crate::{
    golden,
    invocation::{root, target_folder},
    tools::Tool,
};

/// What `traces` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 200, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// The seed to begin with
    #[arg(long, default_value_t = 1, value_name = "N")]
    first: u32,
    /// Only the golden traces, which take no seeds
    #[arg(long)]
    golden_only: bool,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cargo xtask traces                         seeds 1 to 200 in every build
  cargo xtask traces --seeds 5000            more of them
  cargo xtask traces --first 52 --seeds 1    the one that differed
  cargo xtask traces --golden-only           the life of 100 nodes in every shell
  UPDATE_GOLDEN=1 cargo xtask traces         a change of behaviour is meant";

/// Runs the seeds in each build, replays the golden traces, and compares.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let mut problems = if arguments.golden_only { Vec::new() } else { compare_builds(arguments)? };
    problems.extend(golden::run());
    for problem in &problems {
        println!("\n*** {problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the seeds in each build. Returns what keeps the builds from being equal.
fn compare_builds(arguments: &Arguments) -> Result<Vec<String>, String> {
    for tool in [Tool::WasiTarget, Tool::Node] {
        tool.ensure()?;
    }
    // A build runs while the next one is compiled: neither keeps two cores busy all the time.
    let rows: Vec<Row> = thread::scope(|scope| {
        let runs: Vec<_> = BUILDS
            .iter()
            .map(|build| {
                println!("-- {}: cargo build {}", build.name, build.words().join(" "));
                (
                    build.name,
                    build.compile().map(|took| scope.spawn(move || build.run(arguments, took))),
                )
            })
            .collect();
        let end = |run: thread::ScopedJoinHandle<'_, Result<Traces, String>>| {
            run.join().unwrap_or_else(|_| Err("it panicked".to_owned()))
        };
        runs.into_iter().map(|(name, run)| Row { name, outcome: run.and_then(end) }).collect()
    });
    print!("{}", table(&rows));
    Ok(problems(&rows))
}

/// One way to build the simulator.
struct Build {
    name: &'static str,
    /// For cargo.
    options: &'static [&'static str],
    /// What runs the program, if it does not run by itself.
    runner: &'static [&'static str],
    /// In the target folder.
    program: &'static str,
}

impl Build {
    fn words(&self) -> Vec<&'static str> {
        ["--package", "relay-sim", "--bin", "traces"].iter().chain(self.options).copied().collect()
    }

    /// Compiles it. Returns the seconds that took.
    fn compile(&self) -> Result<f64, String> {
        let started = Instant::now();
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--locked"]).args(self.words()).current_dir(root());
        let status = cargo.status();
        let status = status.map_err(|error| format!("cannot run cargo build: {error}"))?;
        if !status.success() {
            return Err("it does not build".to_owned());
        }
        Ok(started.elapsed().as_secs_f64())
    }

    fn run(&self, arguments: &Arguments, build_seconds: f64) -> Result<Traces, String> {
        let started = Instant::now();
        let (first, seeds) = (arguments.first.to_string(), arguments.seeds.to_string());
        let program = target_folder().join(self.program);
        let mut words: Vec<&OsStr> = self.runner.iter().map(OsStr::new).collect();
        words.push(program.as_os_str());
        let output = Command::new(words[0])
            .args(&words[1..])
            .args(["--first", &first, "--seeds", &seeds])
            .current_dir(root())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run {}: {error}", words[0].display()))?;
        let seconds = started.elapsed().as_secs_f64();
        let lines: Vec<String> =
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        if !output.status.success() {
            return Err(format!("{} after {} seeds; see above", output.status, lines.len()));
        }
        check_seeds(&lines, arguments)?;
        Ok(Traces { build_seconds, seconds, lines })
    }
}

/// What a build printed, and how long it took.
struct Traces {
    build_seconds: f64,
    seconds: f64,
    lines: Vec<String>,
}

struct Row {
    name: &'static str,
    outcome: Result<Traces, String>,
}

/// Nothing compared with nothing is equal too: there has to be a line for each seed.
fn check_seeds(lines: &[String], Arguments { first, seeds, .. }: &Arguments) -> Result<(), String> {
    if lines.len() != *seeds as usize {
        return Err(format!("{} lines for {seeds} seeds", lines.len()));
    }
    for (line, seed) in lines.iter().zip(u64::from(*first)..) {
        let words: Vec<&str> = line.split(' ').collect();
        if words.len() != 4 || words[0] != seed.to_string() {
            return Err(format!("expected `{seed} HASH EVENTS CALLS`, found `{line}`"));
        }
    }
    Ok(())
}

/// What keeps the builds from being equal, each with what to look at.
fn problems(rows: &[Row]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut reference = None::<(&str, &[String])>;
    for Row { name, outcome } in rows {
        match outcome {
            Err(message) => problems.push(format!("{name}: {message}")),
            Ok(Traces { lines, .. }) => {
                let (other, expected) = *reference.get_or_insert((name, lines));
                problems.extend(difference(other, expected, name, lines));
            }
        }
    }
    problems
}

/// The first seed that is not the same in two builds, and how many there are.
fn difference(name: &str, lines: &[String], other: &str, others: &[String]) -> Option<String> {
    let pairs = || lines.iter().zip(others).filter(|(one, other)| one != other);
    let (one, another) = pairs().next()?;
    let seed = one.split(' ').next().unwrap_or_default();
    Some(format!(
        "{} of {} seeds differ between {name} and {other}, first seed {seed} \
         (seed, hash, events, calls):\n    {name:<8} {one}\n    {other:<8} {another}",
        pairs().count(),
        lines.len()
    ))
}

fn table(rows: &[Row]) -> String {
    let mut text =
        format!("\n{:<8} {:>8} {:>8} {:>6}  hash of all lines\n", "build", "built", "ran", "seeds");
    for Row { name, outcome } in rows {
        let line = match outcome {
            Ok(Traces { build_seconds, seconds, lines }) => format!(
                "{name:<8} {build_seconds:>6.1} s {seconds:>6.1} s {:>6}  {:016x}\n",
                lines.len(),
                digest(lines)
            ),
            Err(_) => format!("{name:<8} FAILED\n"),
        };
        text.push_str(&line);
    }
    text
}

/// FNV-1a: short, and the same whatever the compiler.
pub(crate) fn digest(lines: &[String]) -> u64 {
    let bytes = lines.iter().flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Debug adds checks and changes no world; wasm32 has other words, other arithmetic and no clock.
const BUILDS: [Build; 3] = [
    Build { name: "debug", options: &[], runner: &[], program: "debug/traces" },
    Build { name: "release", options: &["--release"], runner: &[], program: "release/traces" },
    Build {
        name: "wasm32",
        options: &["--release", "--target", "wasm32-wasip1"],
        runner: &["node", "--no-warnings", "tests/tools/traces.mjs"],
        program: "wasm32-wasip1/release/traces.wasm",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    fn row(name: &'static str, text: &str) -> Row {
        let traces = Traces { build_seconds: 1.0, seconds: 2.0, lines: lines(text) };
        Row { name, outcome: Ok(traces) }
    }

    #[test]
    fn equal_builds_are_no_problem() {
        let rows = [row("debug", "1 aa 5 6\n2 bb 7 8\n"), row("wasm32", "1 aa 5 6\n2 bb 7 8\n")];
        assert!(problems(&rows).is_empty());
        let hash = format!("{:016x}", digest(&lines("1 aa 5 6\n2 bb 7 8\n")));
        assert_eq!(table(&rows).matches(&hash).count(), 2);
    }

    #[test]
    fn the_first_difference_is_shown_with_both_lines() {
        let rows = [
            row("debug", "1 aa 5 6\n2 bb 7 8\n3 cc 9 9\n"),
            row("release", "1 aa 5 6\n2 bb 7 8\n3 cc 9 9\n"),
            row("wasm32", "1 aa 5 6\n2 b0 7 8\n3 cc 9 1\n"),
        ];
        let found = problems(&rows);
        assert_eq!(found.len(), 1, "{found:?}");
        for part in ["2 of 3", "debug and wasm32", "first seed 2 ", "2 bb 7 8", "2 b0 7 8"] {
            assert!(found[0].contains(part), "{part} is missing: {}", found[0]);
        }
        assert!(digest(&lines("1 aa")) != digest(&lines("1 ab")));
    }

    #[test]
    fn a_build_that_fails_is_a_problem_and_the_others_are_compared() {
        let failed = Row { name: "debug", outcome: Err("it does not build".to_owned()) };
        let rows = [failed, row("release", "1 aa 5 6\n"), row("wasm32", "1 aa 5 7\n")];
        let found = problems(&rows);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("debug: it does not build"), "{found:?}");
        assert!(table(&rows).contains("debug    FAILED\n"));
    }

    #[test]
    fn there_is_a_line_for_each_seed() {
        let check = |text, first, seeds| {
            check_seeds(&lines(text), &Arguments { first, seeds, golden_only: false })
        };
        assert_eq!(check("7 aa 5 6\n8 bb 7 8\n", 7, 2), Ok(()));
        for (text, first, seeds) in [
            ("", 1, 200),
            ("7 aa 5 6\n", 7, 2),
            ("7 aa 5 6\n9 bb 7 8\n", 7, 2),
            ("7 aa 5 6\n8 bb 7\n", 7, 2),
        ] {
            assert!(check(text, first, seeds).is_err(), "{text:?}");
        }
    }
}
