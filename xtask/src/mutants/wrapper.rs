//! This program in the place of rustc: cargo runs it under another name for the crates of the
//! workspace, and it adds the one `--cfg` that switches a planted bug on.
//!
//! RUSTFLAGS would do it too, but cargo would then build every dependency anew for each bug. The
//! path of a workspace wrapper counts for the workspace's own crates only.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Puts this program under a name that holds the name of the bug, for RUSTC_WORKSPACE_WRAPPER.
pub(crate) fn install(folder: &Path, mutant: &str) -> Result<PathBuf, String> {
    let program = env::current_exe().map_err(|error| format!("cannot find this program: {error}"));
    let program = program?;
    let path = folder.join(format!("{PREFIX}{mutant}{}", env::consts::EXE_SUFFIX));
    let failed = |error| format!("cannot write {}: {error}", path.display());
    fs::create_dir_all(folder).map_err(failed)?;
    if path.exists() {
        fs::remove_file(&path).map_err(failed)?;
    }
    if fs::hard_link(&program, &path).is_err() {
        fs::copy(&program, &path).map_err(failed)?;
    }
    Ok(path)
}

/// Compiles, when this program was started as a compiler; nothing otherwise.
pub(crate) fn compile(mut words: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let mutant = mutant_in(&words.next()?)?;
    let rustc = words.next()?;
    let status = Command::new(&rustc).args(words).args(["--cfg", &cfg(&mutant)]).status();
    let code = match status {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        Err(error) => {
            eprintln!("xtask: cannot run {}: {error}", rustc.display());
            1
        }
    };
    Some(ExitCode::from(code))
}

fn mutant_in(program: &OsStr) -> Option<String> {
    let name = Path::new(program).file_stem()?.to_str()?;
    name.strip_prefix(PREFIX).map(str::to_owned)
}

fn cfg(mutant: &str) -> String {
    format!("mutant=\"{mutant}\"")
}

const PREFIX: &str = "rustc-with-bug-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_is_the_name_of_the_bug() {
        let bug = |path: &str| mutant_in(OsStr::new(path));
        assert_eq!(bug("/x/rustc-with-bug-dial_once").as_deref(), Some("dial_once"));
        assert_eq!(bug("rustc-with-bug-dial_once.exe").as_deref(), Some("dial_once"));
        assert_eq!(bug("target/debug/xtask"), None);
    }

    #[test]
    fn other_names_are_no_compiler() {
        let words = ["target/debug/xtask", "rustc", "--version"].map(OsString::from);
        assert!(compile(words.into_iter()).is_none());
    }

    #[test]
    fn the_compiler_is_given_the_cfg() {
        let words = ["rustc-with-bug-dial_once", "rustc", "--version"].map(OsString::from);
        assert_eq!(compile(words.into_iter()), Some(ExitCode::SUCCESS));
        let words = ["rustc-with-bug-dial_once", "rustc", "--no-such-option"].map(OsString::from);
        assert_eq!(compile(words.into_iter()), Some(ExitCode::FAILURE));
        let probe = Command::new("rustc")
            .args(["--print", "cfg", "--cfg", &cfg("dial_once")])
            .output()
            .expect("rustc runs");
        let text = String::from_utf8(probe.stdout).expect("rustc prints text");
        assert!(text.lines().any(|line| line == "mutant=\"dial_once\""), "{text}");
    }
}
