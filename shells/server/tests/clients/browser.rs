//! A headless Chromium that keeps a page open.

use crate::chromium;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A page, open until this is dropped.
pub(crate) struct Page(Child);

impl Page {
    /// Opens `url` with a profile of its own in `folder`.
    pub(crate) fn open(url: &str, folder: &Path) -> Self {
        let mut command = Command::new(chromium::program());
        command
            .args(chromium::FLAGS)
            .args(MORE_FLAGS)
            .arg(format!("--user-data-dir={}", folder.join("profile").display()));
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

/// The port for debugging keeps it open.
const MORE_FLAGS: [&str; 1] = ["--remote-debugging-port=0"];
