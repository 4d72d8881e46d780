//! A headless Chromium that looks at a page.

use crate::chromium;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the page looks like, as a PNG in `folder`.
pub(crate) fn screenshot(page: &Path, folder: &Path, width: u32, height: u32) -> Vec<u8> {
    let picture = folder.join("page.png");
    run(
        folder,
        &[
            format!("--screenshot={}", picture.display()),
            format!("--window-size={width},{height}"),
            format!("file://{}", page.display()),
        ],
    );
    std::fs::read(&picture).expect("Chromium wrote no picture")
}

fn run(folder: &Path, arguments: &[String]) {
    let profile = folder.join("profile");
    let mut child = Command::new(chromium::program())
        .args(chromium::FLAGS)
        .args(MORE_FLAGS)
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Chromium starts");
    assert!(ends(&mut child), "Chromium did not draw the page within {LONG:?}");
}

fn ends(child: &mut Child) -> bool {
    let started = Instant::now();
    while started.elapsed() < LONG {
        if child.try_wait().expect("a child").is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().and_then(|()| child.wait()).expect("a child");
    false
}

const MORE_FLAGS: [&str; 2] = ["--hide-scrollbars", "--force-color-profile=srgb"];
/// Far more than it takes, so that only what hangs is ended.
const LONG: Duration = Duration::from_secs(120);
