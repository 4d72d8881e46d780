//! A headless Chromium that keeps a page open.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A page, open until this is dropped.
pub(crate) struct Page(Child);

impl Page {
    /// Opens `url` with a profile of its own in `folder`.
    pub(crate) fn open(url: &str, folder: &Path) -> Self {
        let mut command = Command::new(program());
        command.args(FLAGS).arg(format!("--user-data-dir={}", folder.join("profile").display()));
        command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("Chromium starts"))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> &'static str {
    let answers = |name: &&str| {
        let mut version = Command::new(name);
        let version = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    let found = PROGRAMS.into_iter().find(answers);
    found.unwrap_or_else(|| panic!("none of {PROGRAMS:?} is on PATH: install Chromium"))
}

const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// The port for debugging keeps it open; nothing is asked of the network.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
];
