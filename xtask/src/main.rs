//! The project's own tasks. Decides nothing about the product: it only knows which commands prove
//! that a tree is good, which tools they need, and how to get those that are missing.

mod bench;
mod fuzz;
mod golden;
mod invocation;
mod mutants;
mod page;
mod steps;
mod test;
mod tools;
mod traces;
mod wasm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Every check a change must pass; installs the tools it needs and does not find
    #[command(after_help = test::EXAMPLES)]
    Test(test::Arguments),
    /// The same as `test`, under the name a CI job looks for
    #[command(after_help = test::EXAMPLES)]
    Ci(test::Arguments),
    /// Runs each fuzz target for a while (nightly compiler, cargo-fuzz)
    #[command(after_help = fuzz::EXAMPLES)]
    Fuzz(fuzz::Arguments),
    /// Plants bugs in the core, one after the other, and lets the simulator find each
    #[command(after_help = mutants::EXAMPLES)]
    Mutants(mutants::Arguments),
    /// Runs seeds in every build, and replays the life of nodes in every shell, to be the same
    #[command(after_help = traces::EXAMPLES)]
    Traces(traces::Arguments),
    /// Builds the npm package relay-wasm, says how large it is, and tests it in Node and Chromium
    #[command(after_help = wasm::EXAMPLES)]
    Wasm(wasm::Arguments),
    /// Runs the benches
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::Arguments),
    /// What the alias `cargo fuzz` calls: cargo-fuzz under the toolchain of the folder fuzz/
    #[command(hide = true, disable_help_flag = true)]
    CargoFuzz(fuzz::PassedOn),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test(arguments) | Task::Ci(arguments) => test::run(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Mutants(arguments) => mutants::run(&arguments),
        Task::Traces(arguments) => traces::run(&arguments),
        Task::Wasm(arguments) => wasm::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::CargoFuzz(words) => fuzz::pass_on(words),
    };
    outcome.unwrap_or_else(|message| {
        eprintln!("xtask: {message}");
        ExitCode::FAILURE
    })
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                 all checks, with a table at the end
  cargo xtask test --only clippy   one of them
  cargo xtask test --list          their names
  cargo xtask fuzz --seconds 30    thirty seconds for each fuzz target
  cargo xtask traces               the same seeds in every build, to be the same worlds
  cargo xtask mutants              planted bugs, each to be found by the simulator
  cargo xtask bench                the benches";
