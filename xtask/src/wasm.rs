//! `cargo xtask wasm`: builds the npm package `relay-wasm`, says how large it is, fails when that
//! is too large, and tests it in Node and in Chromium.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{
    invocation::{root, target_folder},
    tools::{Found, Tool},
};

/// What `wasm` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run the tests of the package as well: types, Node, pages in Chromium, Vite, npm pack
    #[arg(long)]
    test: bool,
    /// Only tests whose name contains this
    #[arg(long, value_name = "NAME", requires = "test")]
    only: Option<String>,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  cargo xtask wasm                        the package in target/wasm-package, and its size
  cargo xtask wasm --test                 the same, and every test of it
  cargo xtask wasm --test --only frozen   one of the tests
  npm install ./target/wasm-package       what to type in a project that uses it";

/// Builds, measures and perhaps tests.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    need(Tool::WasmTarget)?;
    let package = root().join("target/wasm-package");
    let module = compile("relay-wasm")?;
    assemble(&module, &package)?;
    let sizes = measure(&package)?;
    print!("{}", table(&sizes));
    println!("the package is in {}", package.display());
    let total: u64 = sizes.iter().map(|size| size.gzip).sum();
    if total > GZIP_BYTES_MAX {
        return Err(format!(
            "{total} bytes after gzip, at most {GZIP_BYTES_MAX}: `cargo tree -p relay-wasm \
             --target {TARGET} -e features` shows what comes along"
        ));
    }
    if arguments.test {
        return test(&package, arguments.only.as_deref());
    }
    Ok(ExitCode::SUCCESS)
}

/// Compiles a crate. Returns the module as rustc wrote it.
fn compile(name: &str) -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--package", name, "--profile", "wasm", "--locked"]);
    cargo.args(["--target", TARGET]).env("CARGO_ENCODED_RUSTFLAGS", nowhere());
    shown(&mut cargo)?;
    Ok(target_folder().join(TARGET).join(format!("wasm/{}.wasm", name.replace('-', "_"))))
}

/// Flags that keep the paths of this machine out of the module: panics name their files.
fn nowhere() -> String {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home);
    let places = [(cargo, "cargo"), (Some(root()), "relay")];
    let flag = |(from, to): (Option<PathBuf>, &str)| {
        Some(format!("--remap-path-prefix={}={to}", from?.display()))
    };
    places.into_iter().filter_map(flag).collect::<Vec<_>>().join("\x1f")
}

/// Writes the module for JavaScript into a folder, with the script that loads it.
fn bind(module: &Path, folder: &Path) -> Result<(), String> {
    let mut bindgen = Command::new("cargo");
    bindgen.args(["run", "--quiet", "--locked", "--manifest-path", "wasm/bindgen/Cargo.toml"]);
    bindgen.arg("--target-dir").arg(target_folder().join("wasm-bindgen"));
    bindgen.arg("--").args([module, folder]);
    shown(&mut bindgen)
}

/// Writes the package: the module with what wasm-bindgen writes around it, our own scripts, the
/// manifest.
fn assemble(module: &Path, package: &Path) -> Result<(), String> {
    if package.exists() {
        fs::remove_dir_all(package).map_err(|error| trouble("remove", package, &error))?;
    }
    fs::create_dir_all(package).map_err(|error| trouble("create", package, &error))?;
    bind(module, package)?;
    // The types that users see are those of wasm/js/index.d.ts.
    for inner in ["relay_wasm.d.ts", "relay_wasm_bg.wasm.d.ts"] {
        let path = package.join(inner);
        fs::remove_file(&path).map_err(|error| trouble("remove", &path, &error))?;
    }
    for folder in ["wasm/js", "wasm/package"] {
        copy_all(&root().join(folder), package)?;
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| trouble("create", to, &error))?;
    for path in entries(from)? {
        let copy = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_all(&path, &copy)?;
        } else if path.extension().is_some_and(|ending| ending == "js") {
            let text = fs::read_to_string(&path).map_err(|error| trouble("read", &path, &error))?;
            fs::write(&copy, without_comments(&text))
                .map_err(|error| trouble("write", &copy, &error))?;
        } else {
            fs::copy(&path, &copy).map_err(|error| trouble("copy", &path, &error))?;
        }
    }
    Ok(())
}

/// A script without the lines that are comments: half of its size, and of no use to a page. What
/// users may read is in the types.
fn without_comments(script: &str) -> String {
    let mut is_comment = false;
    let kept = script.lines().filter(|line| {
        let line = line.trim_start();
        is_comment |= line.starts_with("/**");
        let is_kept = !is_comment && !line.starts_with("//") && !line.is_empty();
        is_comment &= !line.ends_with("*/");
        is_kept
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

struct Size {
    name: String,
    bytes: u64,
    gzip: u64,
}

/// What a page downloads: the module and the scripts.
fn measure(package: &Path) -> Result<Vec<Size>, String> {
    let mut paths = entries(package)?;
    paths.extend(entries(&package.join("shared"))?);
    let ending = |path: &PathBuf| path.extension().and_then(OsStr::to_str).map(str::to_owned);
    paths.retain(|path| matches!(ending(path).as_deref(), Some("js" | "wasm")));
    let mut sizes = vec![Size { name: "our scripts".into(), bytes: 0, gzip: 0 }];
    for path in paths {
        let bytes = fs::metadata(&path).map_err(|error| trouble("read", &path, &error))?.len();
        let gzip = gzipped(&path)?;
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if name.starts_with("relay_wasm") {
            sizes.push(Size { name: name.into(), bytes, gzip });
        } else {
            sizes[0].bytes += bytes;
            sizes[0].gzip += gzip;
        }
    }
    Ok(sizes)
}

fn gzipped(path: &Path) -> Result<u64, String> {
    let output = Command::new("gzip").args(["-9", "--stdout"]).arg(path).output();
    let output = output.map_err(|error| format!("cannot run gzip to measure: {error}"))?;
    if !output.status.success() {
        return Err(format!("gzip failed on {}", path.display()));
    }
    Ok(output.stdout.len() as u64)
}

fn table(sizes: &[Size]) -> String {
    let mut text = format!("\n{:<22} {:>9} {:>9}\n", "file", "bytes", "gzip");
    let mut total = Size { name: "all".into(), bytes: 0, gzip: 0 };
    for size in sizes {
        text.push_str(&format!("{:<22} {:>9} {:>9}\n", size.name, size.bytes, size.gzip));
        total.bytes += size.bytes;
        total.gzip += size.gzip;
    }
    let Size { name, bytes, gzip } = total;
    text + &format!("{name:<22} {bytes:>9} {gzip:>9}   of {GZIP_BYTES_MAX}\n\n")
}

/// Runs the tests against the package and a Main of its own.
fn test(package: &Path, only: Option<&str>) -> Result<ExitCode, String> {
    for tool in [Tool::Node, Tool::Npm, Tool::Chromium] {
        need(tool)?;
    }
    let tools = root().join("target/wasm-tools");
    install(&tools)?;
    let scenarios = root().join("target/wasm-scenarios");
    bind(&compile("relay-wasm-scenarios")?, &scenarios)?;
    // A test beside it, and everything has the features that the tests of the workspace are built
    // with: where they have run, nothing is compiled again.
    let relay = ["build", "--workspace", "--bin", "relay", "--test", "acceptance", "--locked"];
    shown(Command::new("cargo").args(relay))?;
    let mut node = Command::new("node");
    // One file at a time: each starts a Chromium.
    node.args(["--test", "--test-concurrency=1"]);
    if let Some(only) = only {
        node.arg(format!("--test-name-pattern={only}"));
    }
    let mut tests = entries(&root().join("wasm/tests"))?;
    tests.retain(|path| path.to_string_lossy().ends_with(".test.mjs"));
    node.args(tests);
    node.env("RELAY_PROGRAM", target_folder().join("debug/relay"));
    node.env("RELAY_PACKAGE", package).env("RELAY_TOOLS", tools);
    node.env("RELAY_SCENARIOS", scenarios);
    node.env("RELAY_PICTURES", root().join("target/wasm-pictures"));
    Ok(if shown(&mut node).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The npm packages that only tests need, of fixed versions.
fn install(folder: &Path) -> Result<(), String> {
    let is_here = |wanted: &&str| {
        let (name, version) = wanted.rsplit_once('@').unwrap_or((wanted, ""));
        let manifest = folder.join("node_modules").join(name).join("package.json");
        let text = fs::read_to_string(manifest).unwrap_or_default();
        text.contains(&format!("\"version\": \"{version}\""))
    };
    if NPM_PACKAGES.iter().all(is_here) {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| trouble("create", folder, &error))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(folder);
    shown(npm.args(NPM_PACKAGES))
}

fn need(tool: Tool) -> Result<(), String> {
    match tool.ensure()? {
        Found::Yes => Ok(()),
        Found::Skip(hint) => Err(format!("{tool:?} is missing; {hint}")),
    }
}

/// Runs a command at the root, after showing it.
fn shown(command: &mut Command) -> Result<(), String> {
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let line = format!("{} {}", command.get_program().to_string_lossy(), words.join(" "));
    println!("$ {line}");
    let status = command.current_dir(root()).status();
    let status = status.map_err(|error| format!("cannot run `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed: see above")) }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let read = fs::read_dir(folder).map_err(|error| trouble("read", folder, &error))?;
    let mut paths: Vec<_> = read.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

fn trouble(what: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}

const TARGET: &str = "wasm32-unknown-unknown";
/// What a page may have to download, after gzip.
const GZIP_BYTES_MAX: u64 = 250 << 10;
/// For the tests; nothing that users get needs them.
const NPM_PACKAGES: &[&str] =
    &["puppeteer-core@25.16.0", "typescript@5.9.3", "vite@7.3.8", "ws@8.23.0"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_adds_up() {
        let size = |name: &str, bytes, gzip| Size { name: name.into(), bytes, gzip };
        let text = table(&[size("a.wasm", 100, 40), size("b.js", 20, 5)]);
        assert!(text.contains("a.wasm                       100        40\n"), "{text}");
        assert!(
            text.contains("all                          120        45   of 256000\n"),
            "{text}"
        );
    }

    #[test]
    fn comments_are_left_out_and_nothing_else() {
        let script = "// a\nlet x = 1; // b\n\n  /** c */\n  /**\n   * d\n   */\n  y('//');\n";
        assert_eq!(without_comments(script), "let x = 1; // b\n  y('//');\n");
    }

    /// The two speak a format that changes from version to version.
    #[test]
    fn bindgen_has_the_version_of_the_crate() {
        let lock = fs::read_to_string(root().join("Cargo.lock")).expect("a lock file");
        let own = fs::read_to_string(root().join("wasm/bindgen/Cargo.toml")).expect("a manifest");
        let (_, rest) = lock.split_once("name = \"wasm-bindgen\"\nversion = \"").expect("locked");
        let version = rest.split('"').next().unwrap_or_default();
        assert!(own.contains(&format!("wasm-bindgen-cli-support = \"={version}\"")), "{version}");
    }
}
