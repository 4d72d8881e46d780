//! Records the golden traces, replays them by the bare loop, on tokio and on smol, and holds the
//! digests against `tests/shells/golden.txt`.
//!
//! `cargo run -p relay-replay --example golden` is a part of `cargo xtask traces`, which replays
//! them in a browser too. `UPDATE_GOLDEN=1` writes the file anew.

use relay_replay::{line, play_on_smol, play_on_tokio};
use relay_sim::golden::{Outcome, Trace, play, record};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let keep = std::env::args().nth(1).map(PathBuf::from);
    match replay_all(keep.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("golden: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Replays every trace in every way. The traces are left in a file where one is named.
fn replay_all(keep: Option<&Path>) -> Result<(), String> {
    let traces: Vec<Trace> = (1..=TRACES).map(record).collect::<Result<_, _>>()?;
    let golden = expected(&traces)?;
    for (name, player) in PLAYERS {
        for (trace, golden) in traces.iter().zip(&golden) {
            let found = line(trace, player(trace).map_err(|error| format!("{name}: {error}"))?);
            println!("{name} {found}");
            if found != *golden {
                return Err(format!(
                    "{name} differs (seed, node, inputs, digest):\n    golden {golden}\n    \
                     {name:<6} {found}\nif a change of behaviour is meant, UPDATE_GOLDEN=1 \
                     writes {GOLDEN} anew"
                ));
            }
        }
    }
    if let Some(path) = keep {
        let bytes = Trace::encode(&traces).map_err(|error| error.to_string())?;
        std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// The lines of the file, written anew by the bare loop if that is asked for.
fn expected(traces: &[Trace]) -> Result<Vec<String>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let named = |error| format!("{}: {error}", path.display());
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        let lines = traces.iter().map(|trace| Ok(line(trace, play(trace)?) + "\n"));
        let text = lines.collect::<Result<String, String>>()?;
        std::fs::write(&path, text).map_err(named)?;
    }
    let text = std::fs::read_to_string(&path).map_err(named)?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() == traces.len() {
        Ok(lines)
    } else {
        Err(format!("{} lines in {GOLDEN} for {} traces", lines.len(), traces.len()))
    }
}

type Player = fn(&Trace) -> Result<Outcome, String>;

const PLAYERS: [(&str, Player); 3] =
    [("bare", play), ("tokio", play_on_tokio), ("smol", play_on_smol)];
const TRACES: u64 = 100;
/// Beside the package.
const GOLDEN: &str = "../golden.txt";
