//! `cargo xtask mutants`: proves that the simulator can find bugs. Each bug that is planted in
//! relay-core is chosen and hunted; an oracle has to notice it. The same core without a planted bug
//! has to pass on the same seeds.

mod hunt;
mod list;
mod table;

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use crate::invocation::root;
use hunt::Hunt;
use list::{MUTANTS, Mutant};
use table::Row;

/// What `mutants` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Hunt only this planted bug (may be given more than once)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["list", "write"])]
    only: Vec<String>,
    /// Print the planted bugs and the oracles that must catch them, and run nothing
    #[arg(long, conflicts_with = "write")]
    list: bool,
    /// How long each bug is hunted at most
    #[arg(long, default_value_t = 600, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// The seed to begin with
    #[arg(long, default_value_t = 1, value_name = "N")]
    first_seed: u64,
    /// Try the seeds of docs/testing.md first, and hunt only what they do not catch any more
    #[arg(long, conflicts_with_all = ["list", "write", "first_seed"])]
    known: bool,
    /// Put the table into docs/testing.md
    #[arg(long)]
    write: bool,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cargo xtask mutants                                 hunt every planted bug
  cargo xtask mutants --known                         the seeds of docs/testing.md before that
  cargo xtask mutants --list                          their names
  cargo xtask mutants --only dial_once --seconds 60   one of them, for a minute at most
  cargo xtask mutants --write                         all, with the table in docs/testing.md";

/// Hunts the chosen bugs, one after the other.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    if arguments.list {
        for Mutant { name, about, oracles } in MUTANTS {
            println!("{name:<26} {:<16} {about}", oracles.join(" "));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<&'static Mutant> = if arguments.only.is_empty() {
        MUTANTS.iter().collect()
    } else {
        arguments.only.iter().map(|name| list::find(name)).collect::<Result<_, _>>()?
    };
    let page = root().join(PAGE);
    if arguments.write {
        table::check_place(&page)?;
    }
    let known = if arguments.known { table::known_seeds(&page)? } else { BTreeMap::new() };
    let simulator = Simulator::build()?;
    let passed =
        simulator.run_clean(arguments.first_seed, arguments.seconds.min(CONTROL_SECONDS))?;
    let rows: Vec<Row> = chosen
        .iter()
        .zip(1..)
        .map(|(mutant, number)| {
            tell(&format!("[{number:>2}/{}] {}: {}", chosen.len(), mutant.name, mutant.about));
            let seed = known.get(mutant.name).copied();
            let hunt = simulator.hunt(mutant.name, seed, arguments);
            println!("{}", outcome(&hunt));
            Row { mutant, hunt }
        })
        .collect();
    for seed in beyond(&rows, arguments.first_seed.saturating_add(passed.seeds_tried)) {
        simulator.run_clean(seed, 1)?;
    }
    print!("{}", table::plain(&rows));
    let missed = rows.iter().filter(|row| !row.is_caught()).count();
    if missed > 0 {
        println!("\n*** {missed} of {} planted bugs were not caught", rows.len());
        return Ok(ExitCode::FAILURE);
    }
    if arguments.write {
        table::write(&page, &table::markdown(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The simulator with all bugs planted, of which none shows itself until it is chosen.
struct Simulator {
    program: PathBuf,
}

impl Simulator {
    fn build() -> Result<Self, String> {
        tell("building relay-sim with every bug planted");
        let (started, folder) = (Instant::now(), folder());
        let status = Command::new("cargo")
            .args(["build", "--quiet", "--locked", "--package", "relay-sim", "--bin", "hunt"])
            .current_dir(root())
            .env("CARGO_TARGET_DIR", &folder)
            .env("CARGO_INCREMENTAL", "0")
            .env("RUSTFLAGS", "--cfg mutants")
            .envs(PROFILE.iter().copied())
            .status()
            .map_err(|error| format!("cannot run cargo build: {error}"))?;
        if !status.success() {
            return Err("the simulator cannot be built".to_owned());
        }
        println!("; {:.1} s", started.elapsed().as_secs_f64());
        let name = format!("hunt{}", std::env::consts::EXE_SUFFIX);
        Ok(Self { program: folder.join("debug").join(name) })
    }

    /// The known seed first. A change of behaviour makes another world of it, which may not catch
    /// the bug any more; then it is hunted as if none was known.
    fn hunt(&self, name: &str, known: Option<u64>, range: &Arguments) -> Result<Hunt, String> {
        let log = folder().join(format!("{name}.log"));
        let hunt = |first: u64, seeds: Option<u64>| {
            hunt::run(&self.program, Some(name), first, seeds, range.seconds, &log)
        };
        match known.map(|seed| hunt(seed, Some(1))) {
            Some(Ok(caught)) if caught.catch.is_some() => Ok(caught),
            _ => hunt(range.first_seed, None),
        }
    }

    /// What is caught means nothing while the core breaks an oracle without any planted bug.
    fn run_clean(&self, first_seed: u64, seconds: u32) -> Result<Hunt, String> {
        tell(&format!("without a planted bug, from seed {first_seed}"));
        let log = folder().join("without.log");
        let hunt = hunt::run(&self.program, None, first_seed, None, seconds, &log);
        println!("{}", outcome(&hunt));
        let hunt = hunt?;
        match &hunt.catch {
            None => Ok(hunt),
            Some(catch) => Err(format!(
                "the core breaks {} at seed {} without a planted bug: {}; mend that first",
                catch.oracle, catch.seed, catch.what
            )),
        }
    }
}

/// The seeds of catches that the control has not passed yet.
fn beyond(rows: &[Row], first_not_tried: u64) -> Vec<u64> {
    let catches = rows.iter().filter_map(|row| row.hunt.as_ref().ok()?.catch.as_ref());
    let mut seeds: Vec<u64> =
        catches.map(|catch| catch.seed).filter(|seed| *seed >= first_not_tried).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

fn outcome(hunt: &Result<Hunt, String>) -> String {
    match hunt {
        Ok(Hunt { catch: Some(catch), seeds_tried, seconds }) => format!(
            "; {} at seed {}, seed number {seeds_tried}, after {seconds:.1} s: {}",
            catch.oracle, catch.seed, catch.what
        ),
        Ok(Hunt { catch: None, seeds_tried, seconds }) => {
            format!("; {seeds_tried} seeds passed in {seconds:.1} s")
        }
        Err(message) => format!("; {message}"),
    }
}

/// Prints the beginning of a line, at once.
fn tell(text: &str) {
    print!("{text}");
    // Progress that cannot be shown is no reason to stop.
    let _ = std::io::stdout().flush();
}

fn folder() -> PathBuf {
    root().join(Path::new("target/mutants"))
}

const PAGE: &str = "docs/testing.md";
/// Seeds of catches beyond those that the control passes in this time are tried one by one.
const CONTROL_SECONDS: u32 = 30;
/// Debug assertions and overflow checks stay on; the rest is for speed.
const PROFILE: [(&str, &str); 2] =
    [("CARGO_PROFILE_DEV_OPT_LEVEL", "2"), ("CARGO_PROFILE_DEV_DEBUG", "0")];

#[cfg(test)]
mod tests {
    use super::{hunt::Catch, *};

    #[test]
    fn the_control_is_tried_on_each_seed_that_caught_something() {
        let row = |seed| {
            let catch = Catch { seed, oracle: "S1".to_owned(), what: String::new() };
            let hunt = Ok(Hunt { seeds_tried: 1, seconds: 0.1, catch: Some(catch) });
            Row { mutant: &MUTANTS[0], hunt }
        };
        let none = Ok(Hunt { seeds_tried: 1, seconds: 0.1, catch: None });
        let rows = [row(30), row(7), row(30), row(12), Row { mutant: &MUTANTS[0], hunt: none }];
        assert_eq!(beyond(&rows, 12), [12, 30]);
        assert_eq!(beyond(&rows, 31), Vec::<u64>::new());
    }
}
