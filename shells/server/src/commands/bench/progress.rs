//! The line that moves while calls are made: on the standard error output, and only on a terminal.

use super::tally::Tally;
use crate::commands::sim::words::{count, plural, time};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    is_shown: bool,
    drawn_at: Option<Instant>,
    /// Columns of the line that is on the screen.
    columns: usize,
}

impl Progress {
    pub(super) fn new() -> Self {
        let is_shown = std::io::stderr().is_terminal();
        Self { is_shown, drawn_at: None, columns: 0 }
    }

    /// Draws the line, at most once in a second.
    pub(super) fn draw(&mut self, text: impl FnOnce() -> String) {
        let is_due = self.drawn_at.is_none_or(|at| at.elapsed() >= REDRAW_AFTER);
        if !self.is_shown || !is_due {
            return;
        }
        let text = text();
        let columns = self.columns;
        show(&format!("\r{text:columns$}"));
        self.columns = text.chars().count();
        self.drawn_at = Some(Instant::now());
    }
}

/// Takes the line off the screen.
impl Drop for Progress {
    fn drop(&mut self) {
        let columns = self.columns;
        if columns > 0 {
            show(&format!("\r{:columns$}\r", ""));
        }
    }
}

/// How far a load is.
pub(super) fn line(tally: &Tally, passed: Duration) -> String {
    let last = passed.as_secs().saturating_sub(1) as usize;
    let each_second = tally.ok_each_second.get(last).copied().unwrap_or(0);
    let mut line = format!(
        "{} s  {}, {}/s, {}, p99 {}",
        passed.as_secs(),
        plural(tally.calls, "call"),
        count(each_second),
        plural(tally.errors + tally.lost, "error"),
        time(tally.latency.percentile(990)),
    );
    if tally.wrong > 0 {
        line += &format!(", {} WRONG", count(tally.wrong));
    }
    line
}

fn show(text: &str) {
    let mut out = std::io::stderr().lock();
    // A terminal that is gone needs no progress.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

const REDRAW_AFTER: Duration = Duration::from_secs(1);
