//! The line that moves while worlds run: on the standard error output, and only on a terminal.

use super::options::Order;
use super::words::{count, span};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far the work is. Many threads may tell it.
#[derive(Debug)]
pub(super) struct Progress {
    is_shown: bool,
    started: Instant,
    /// Virtual time of one run.
    duration: Duration,
    hunt_for: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    drawn_at: Option<Instant>,
    /// Columns of the line that is on the screen.
    columns: usize,
    seeds: u64,
    calls: u64,
}

impl Progress {
    pub(super) fn new(order: &Order) -> Self {
        Self {
            is_shown: std::io::stderr().is_terminal(),
            started: Instant::now(),
            duration: order.plan.duration.0,
            hunt_for: order.hunt_for,
            state: Mutex::default(),
        }
    }

    /// A run has come this far, from 0 to 1, and made this many calls.
    pub(super) fn advanced(&self, share: f64, calls: u64) {
        self.draw(|state| match self.hunt_for {
            Some(time) => {
                let wall = self.started.elapsed();
                let share = wall.as_secs_f64() / time.as_secs_f64();
                let (wall, time) = (span(Duration::from_secs(wall.as_secs())), span(time));
                let (seeds, calls) = (count(state.seeds), count(state.calls));
                let rest = format!("{wall} of {time}, {seeds} seeds, {calls} calls");
                line(share, &rest)
            }
            None => {
                let virtual_time = Duration::from_secs(self.duration.mul_f64(share).as_secs());
                let (now, end) = (span(virtual_time), span(self.duration));
                line(share, &format!("{now} of {end} virtual time, {} calls", count(calls)))
            }
        });
    }

    /// A run is over, with this many calls.
    pub(super) fn finished(&self, calls: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seeds += 1;
        state.calls += calls;
    }

    /// A violation is being shortened, and this many steps are left.
    pub(super) fn shortening(&self, left: usize) {
        self.draw(|_| format!("shortening the violation: {} steps left", count(left as u64)));
    }

    /// Takes the line off the screen.
    pub(super) fn clear(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let columns = std::mem::take(&mut state.columns);
        if columns > 0 {
            show(&format!("\r{:columns$}\r", ""));
        }
    }

    fn draw(&self, text: impl FnOnce(&State) -> String) {
        if !self.is_shown {
            return;
        }
        // Another thread that draws right now draws for this one, too.
        let Ok(mut state) = self.state.try_lock() else { return };
        if state.drawn_at.is_some_and(|at| at.elapsed() < REDRAW_AFTER) {
            return;
        }
        let text = text(&state);
        let columns = state.columns;
        show(&format!("\r{text:columns$}"));
        state.columns = text.chars().count();
        state.drawn_at = Some(Instant::now());
    }
}

fn line(share: f64, rest: &str) -> String {
    let share = share.clamp(0.0, 1.0);
    let filled = (share * BAR_COLUMNS as f64) as usize;
    let (full, empty) = ("#".repeat(filled), "-".repeat(BAR_COLUMNS - filled));
    format!("[{full}{empty}] {:3.0} %  {rest}", share * 100.0)
}

fn show(text: &str) {
    let mut out = std::io::stderr().lock();
    // A terminal that is gone needs no progress.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

const BAR_COLUMNS: usize = 24;
const REDRAW_AFTER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_keeps_its_length() {
        for (share, hashes) in [(-1.0, 0), (0.0, 0), (0.5, 12), (1.0, 24), (7.0, 24)] {
            let line = line(share, "x");
            assert_eq!(line.matches('#').count(), hashes, "{line}");
            assert_eq!(line.len(), "[########----------------]  33 %  x".len(), "{line}");
        }
    }
}
