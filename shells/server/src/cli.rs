//! The command line: reads the arguments, picks the command and turns its outcome into an exit
//! code. What a command does is decided in `commands`, what a setting means in `config`.

mod args;
mod failure;
mod single_dash;

pub use args::{
    BenchArgs, CallArgs, CallerArgs, Cli, Command, DemoArgs, LinkArgs, NodeArgs, PubArgs,
    RequestArgs, RunArgs, SimArgs, SubArgs, TlsArgs, TraceArgs,
};
pub use failure::Failure;
pub(crate) use failure::one_line;
pub use single_dash::with_two_dashes;

use crate::commands;
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Runs the command line of this process and returns its exit code: 0 when all went well, 1 when
/// the work failed, 2 when the command line or the configuration is wrong.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match parse(arguments).and_then(dispatch) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// What the arguments of a process ask for.
#[derive(Debug)]
pub enum Parsed {
    /// A command to run.
    Run(Box<Cli>),
    /// Text to print, as for `--help`.
    Print(String),
}

/// Reads `arguments`, the first of which is the name of the program.
///
/// # Errors
/// [`Failure`] with exit code 2 when they do not fit together.
pub fn parse(arguments: Vec<OsString>) -> Result<Parsed, Failure> {
    let mut command = Cli::command();
    command.build();
    let arguments = with_two_dashes(&command, arguments);
    let matches = Cli::command().try_get_matches_from(arguments);
    match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(Parsed::Run(Box::new(cli))),
        Err(error) if !error.use_stderr() => Ok(Parsed::Print(text_of(&error))),
        Err(error) => Err(Failure::from_clap(&error.render().to_string())),
    }
}

fn dispatch(parsed: Parsed) -> Result<ExitCode, Failure> {
    let cli = match parsed {
        Parsed::Print(text) => return print(&text),
        Parsed::Run(cli) => *cli,
    };
    match cli.command {
        None => commands::run::execute(&cli.run),
        Some(Command::Demo(args)) => commands::demo::execute(&args),
        Some(Command::Call(args)) => commands::call::execute(&args),
        Some(Command::Trace(args)) => commands::call::execute_trace(&args),
        Some(Command::Pub(args)) => commands::topics::publish(&args),
        Some(Command::Sub(args)) => commands::topics::listen(&args),
        Some(Command::Bench(args)) => commands::bench::execute(&args),
        Some(Command::Services(args)) => commands::services::execute(&args),
        Some(Command::Peers(args)) => commands::peers::execute(&args),
        Some(Command::Topology(args)) => commands::topology::execute(&args),
        Some(Command::Explain { code }) => commands::explain::execute(code.as_deref()),
        Some(Command::Sim(args)) => commands::sim::execute(&args),
        Some(Command::Completions { shell }) => print(&completions(shell)),
    }
}

fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "relay", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes `text` to the standard output. A reader that went away (`relay --help | head -1`) is no
/// failure.
pub(crate) fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::work(format!("cannot write to the standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

fn text_of(error: &clap::Error) -> String {
    let text = error.render();
    let has_colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if has_colour { text.ansi().to_string() } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, Failure> {
        parse(line.split_whitespace().map(OsString::from).collect())
    }

    fn run_args(line: &str) -> RunArgs {
        match parsed(line) {
            Ok(Parsed::Run(cli)) if cli.command.is_none() => cli.run,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_program_stands_beside_the_subcommands() {
        let args = run_args("relay blog.rhai -connect ws://localhost:8080");
        assert_eq!(args.program.as_deref(), Some(std::path::Path::new("blog.rhai")));
        assert_eq!(args.connect, ["ws://localhost:8080"]);
        let args = run_args("relay -server -node-type main -port 8080 demo.rhai");
        assert_eq!(args.program.as_deref(), Some(std::path::Path::new("demo.rhai")));
        assert!(args.server);
        assert_eq!((args.node_type.as_deref(), args.port.as_deref()), (Some("main"), Some("8080")));
    }

    #[test]
    fn peers_are_split_at_commas() {
        let args = run_args("relay -server -peers ws://b:8081,ws://c:8082 -add-peer http://d:1");
        assert_eq!(args.peers, ["ws://b:8081", "ws://c:8082"]);
        assert_eq!(args.add_peer, ["http://d:1"]);
    }

    #[test]
    fn a_wrong_flag_is_one_line_and_a_hint() {
        let failure = parsed("relay --serve").expect_err("no such flag");
        assert_eq!(failure.exit_code(), 2);
        assert!(!failure.message().contains('\n'), "{failure:?}");
        assert!(failure.message().contains("--serve"), "{failure:?}");
        assert!(failure.hint().is_some_and(|hint| hint.contains("--server")), "{failure:?}");
    }

    #[test]
    fn call_takes_negative_numbers_pairs_and_a_dash() {
        for (line, params) in [
            ("relay call echo.echo -", vec!["-"]),
            ("relay call counter.increment by=-5 note=x", vec!["by=-5", "note=x"]),
            ("relay call -timeout 1s counter.increment -5", vec!["-5"]),
        ] {
            match parsed(line) {
                Ok(Parsed::Run(cli)) => match cli.command {
                    Some(Command::Call(args)) => {
                        assert_eq!(args.request.caller.params, params, "{line}");
                    }
                    other => panic!("{line}: {other:?}"),
                },
                other => panic!("{line}: {other:?}"),
            }
        }
    }
}
