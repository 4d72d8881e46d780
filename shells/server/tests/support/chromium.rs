//! The Chromium of this machine, and the flags with which it asks nothing of the network and needs
//! no window.

use std::process::{Command, Stdio};

/// The name of the program on PATH.
pub(crate) fn program() -> &'static str {
    let answers = |name: &&str| {
        let mut version = Command::new(name);
        let version = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    let found = PROGRAMS.into_iter().find(answers);
    found.unwrap_or_else(|| panic!("none of {PROGRAMS:?} is on PATH: install Chromium"))
}

/// No sandbox is needed for pages of our own.
pub(crate) const FLAGS: [&str; 7] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
