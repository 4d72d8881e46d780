//! Runs every kept input through the body of its target. A panic fails the test and names the file.

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use crate::{TARGETS, Target};

#[test]
fn kept_inputs() {
    let mut problems = Vec::new();
    for target in TARGETS {
        let seeds = files(&folder("corpus").join(target.0));
        if seeds.is_empty() {
            problems.push(format!("fuzz/corpus/{0} is empty: put first inputs there", target.0));
        }
        let regressions = files(&folder("regressions").join(target.0));
        let failed = seeds.iter().chain(&regressions).filter(|path| !survives(*target, path));
        problems.extend(
            failed
                .map(|path| format!("{} panics: cargo fuzz run {} {0}", path.display(), target.0)),
        );
        println!("{}: {} seeds, {} regressions", target.0, seeds.len(), regressions.len());
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Forgetting one of the places a target is named in would fuzz or replay less than it seems.
#[test]
fn every_target_is_named_everywhere() {
    let named: BTreeSet<String> = TARGETS.iter().map(|target| target.0.to_owned()).collect();
    assert_eq!(named.len(), TARGETS.len(), "a target is listed twice in TARGETS");

    let programs: BTreeSet<String> =
        files(&folder("fuzz_targets")).iter().filter_map(|path| stem(path)).collect();
    assert_eq!(named, programs, "TARGETS (left) and fuzz_targets/ (right) differ");

    let manifest = fs::read_to_string(folder("Cargo.toml")).expect("Cargo.toml is here");
    for name in &named {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "fuzz/Cargo.toml has no [[bin]] with {path}");
        let program = fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs")))
            .expect("the program was listed above");
        let call = format!("relay_fuzz::{name}(data)");
        assert!(program.contains(&call), "fuzz_targets/{name}.rs does not call {call}");
    }
    for kind in ["corpus", "regressions"] {
        for entry in fs::read_dir(folder(kind)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.path().is_dir();
            assert!(!is_folder || named.contains(&name), "fuzz/{kind}/{name} has no target");
        }
    }
}

fn survives(target: Target, path: &Path) -> bool {
    let data = fs::read(path).expect("a listed file can be read");
    catch_unwind(AssertUnwindSafe(|| target.1(&data))).is_ok()
}

/// The files of a folder in the order of their names; none when there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && !is_hidden(path))
        .collect();
    files.sort();
    files
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn stem(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_str()?.to_owned())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
