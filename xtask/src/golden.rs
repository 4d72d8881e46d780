//! The second half of `cargo xtask traces`: the golden traces, replayed by the bare loop, on tokio,
//! on smol, and as WebAssembly in Node and in a headless Chromium, must give the digests of
//! `tests/shells/golden.txt`.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    invocation::{root, target_folder},
    page,
    tools::{Tool, chromium},
    traces::digest,
};

/// Replays the traces in every way, prints a table, and returns what keeps them from being equal.
pub(crate) fn run() -> Vec<String> {
    let replayed = match replay_all() {
        Ok(replayed) => replayed,
        Err(message) => return vec![format!("golden traces: {message}")],
    };
    print!("{}", table(&replayed));
    let golden = fs::read_to_string(root().join(GOLDEN)).unwrap_or_default();
    let golden: Vec<String> = golden.lines().map(str::to_owned).collect();
    replayed.iter().filter_map(|player| difference(&golden, player)).collect()
}

/// What one player made of the traces.
struct Replayed {
    name: String,
    seconds: Option<f64>,
    /// One for each trace: seed, node, inputs, digest.
    lines: Vec<String>,
}

fn replay_all() -> Result<Vec<Replayed>, String> {
    for tool in [Tool::WasmTarget, Tool::Node, Tool::Chromium] {
        tool.ensure()?;
    }
    let folder = target_folder().join("golden");
    fs::create_dir_all(&folder).map_err(|error| trouble(&folder, &error))?;
    let mut replayed = native(&folder)?;
    assemble(&folder)?;
    let script = root().join(WEB).join("replay.mjs");
    replayed.push(timed("node", || output(Command::new("node").arg(script).arg(&folder)))?);
    replayed.push(timed("chromium", || page::lines(&folder, chromium()?))?);
    Ok(replayed)
}

fn timed(name: &str, replay: impl FnOnce() -> Result<String, String>) -> Result<Replayed, String> {
    println!("-- {name}");
    let started = Instant::now();
    let text = replay().map_err(|error| format!("{name}: {error}"))?;
    let seconds = Some(started.elapsed().as_secs_f64());
    Ok(Replayed { name: name.into(), seconds, lines: text.lines().map(str::to_owned).collect() })
}

/// Records the traces into the folder and replays them without WebAssembly.
fn native(folder: &Path) -> Result<Vec<Replayed>, String> {
    let words = ["run", "--quiet", "--locked", "--package", "relay-replay", "--example", "golden"];
    println!("-- bare, tokio, smol: cargo {}", words.join(" "));
    let mut cargo = Command::new("cargo");
    let text = output(cargo.args(words).arg("--").arg(folder.join("traces")))?;
    let mut players = BTreeMap::<&str, Vec<String>>::new();
    for (name, line) in text.lines().filter_map(|line| line.split_once(' ')) {
        players.entry(name).or_default().push(line.to_owned());
    }
    let player = |(name, lines): (&str, _)| Replayed { name: name.into(), seconds: None, lines };
    Ok(players.into_iter().map(player).collect())
}

/// Puts the module, what wasm-bindgen writes around it, and the page into the folder.
fn assemble(folder: &Path) -> Result<(), String> {
    let words = ["--package", "relay-replay", "--lib", "--crate-type", "cdylib"];
    println!("-- node, chromium: cargo rustc {} --target {TARGET}", words.join(" "));
    let mut cargo = Command::new("cargo");
    output(cargo.args(["rustc", "--quiet", "--locked"]).args(words).args(["--target", TARGET]))?;
    let module = target_folder().join(TARGET).join("debug/relay_replay.wasm");
    let mut bindgen = Command::new("cargo");
    bindgen.args(["run", "--quiet", "--locked", "--manifest-path", "wasm/bindgen/Cargo.toml"]);
    bindgen.arg("--target-dir").arg(target_folder().join("wasm-bindgen"));
    output(bindgen.arg("--").arg(module).arg(folder))?;
    // Node takes a file for a module of this kind by its name.
    copy(&folder.join("relay_replay.js"), &folder.join("relay_replay.mjs"))?;
    copy(&root().join(WEB).join("index.html"), &folder.join("index.html"))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(drop).map_err(|error| trouble(from, &error))
}

/// What a command printed; its errors go to the terminal.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.current_dir(root()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot run {name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}; see above", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first trace of which a player made something else, and how many there are.
fn difference(golden: &[String], player: &Replayed) -> Option<String> {
    let Replayed { name, lines, .. } = player;
    if golden.is_empty() || lines.len() != golden.len() {
        return Some(format!("{name}: {} lines, {} in {GOLDEN}", lines.len(), golden.len()));
    }
    let pairs = || golden.iter().zip(lines).filter(|(golden, line)| golden != line);
    let (expected, found) = pairs().next()?;
    Some(format!(
        "{name}: {} of {} traces differ, first (seed, node, inputs, digest):\n    \
         {:<8} {expected}\n    {name:<8} {found}",
        pairs().count(),
        golden.len(),
        "golden"
    ))
}

fn table(players: &[Replayed]) -> String {
    let mut text = format!(
        "\n{:<8} {:>8} {:>7} {:>7}  hash of all lines\n",
        "player", "ran", "traces", "inputs"
    );
    for Replayed { name, seconds, lines } in players {
        let inputs = lines.iter().filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok());
        let ran = seconds.map_or_else(String::new, |seconds| format!("{seconds:.1} s"));
        text.push_str(&format!(
            "{name:<8} {ran:>8} {:>7} {:>7}  {:016x}\n",
            lines.len(),
            inputs.sum::<u64>(),
            digest(lines)
        ));
    }
    text
}

fn trouble(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

const GOLDEN: &str = "tests/shells/golden.txt";
const WEB: &str = "tests/shells/replay/web";
const TARGET: &str = "wasm32-unknown-unknown";

#[cfg(test)]
mod tests {
    use super::*;

    fn player(name: &str, lines: &[&str]) -> Replayed {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Replayed { name: name.into(), seconds: Some(1.5), lines }
    }

    #[test]
    fn a_player_that_differs_is_told_with_its_first_trace() {
        let golden = ["1 main-0 40 aa", "2 home-1 2 bb"].map(str::to_owned);
        assert_eq!(
            difference(&golden, &player("smol", &["1 main-0 40 aa", "2 home-1 2 bb"])),
            None
        );
        let other = player("tokio", &["1 main-0 40 aa", "2 home-1 2 b0"]);
        let text = difference(&golden, &other).expect("a difference");
        for part in ["tokio: 1 of 2", "2 home-1 2 bb", "2 home-1 2 b0"] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        assert!(difference(&golden, &player("node", &["1 main-0 40 aa"])).is_some());
        assert!(difference(&[], &player("node", &[])).is_some());
    }

    #[test]
    fn the_table_counts_traces_and_inputs() {
        let text = table(&[player("node", &["1 main-0 40 aa", "2 home-1 2 bb"])]);
        assert!(text.contains("node        1.5 s       2      42  "), "{text}");
    }
}
