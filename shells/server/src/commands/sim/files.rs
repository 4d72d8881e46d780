//! The files that a run leaves: tried before it, so that a long run is not for nothing.

use super::options::Order;
use crate::cli::Failure;
use std::fs::OpenOptions;
use std::io::Error;
use std::path::Path;

/// Tries whether the page and the schedule can be written, and leaves everything as it was.
///
/// # Errors
/// [`Failure`] names the first that cannot.
pub(super) fn check(order: &Order) -> Result<(), Failure> {
    let page = order.page.iter().map(|path| (path, "--page"));
    for (path, option) in page.chain(order.schedule.iter().map(|path| (path, "--schedule"))) {
        let refused = |error: Error| {
            let text = format!("cannot write {}: {error}", path.display());
            let hint =
                format!("{option} takes a path in a folder that exists and may be written to");
            Failure::usage(text).with_hint(hint)
        };
        let is_new = path.symlink_metadata().is_err();
        OpenOptions::new().append(true).create(true).open(path).map_err(refused)?;
        if is_new {
            std::fs::remove_file(path).map_err(refused)?;
        }
    }
    Ok(())
}

/// Writes a file whole.
///
/// # Errors
/// [`Failure`] when it cannot be written.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::work(format!("cannot write {}: {error}", path.display())))
}
