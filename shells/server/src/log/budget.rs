//! How often others may make this process write a line.

use std::time::{Duration, Instant};

/// Lets a number of lines a second into the log and counts the others.
pub(crate) struct LineBudget {
    per_second: u32,
    window_began: Instant,
    used: u32,
    left_out: u64,
}

impl LineBudget {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, window_began: Instant::now(), used: 0, left_out: 0 }
    }

    /// Whether one more line may be logged, with the number left out since the last one.
    pub(crate) fn take(&mut self) -> Option<u64> {
        if self.window_began.elapsed() >= WINDOW {
            self.window_began = Instant::now();
            self.used = 0;
        }
        if self.used == self.per_second {
            self.left_out += 1;
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

const WINDOW: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o18_lines_over_the_budget_are_counted() {
        let mut budget = LineBudget::new(20);
        let logged = (0..1000).filter_map(|_| budget.take()).collect::<Vec<_>>();
        let counted: u64 = logged.iter().sum::<u64>() + budget.left_out;
        assert!(logged.len() < 500, "{}", logged.len());
        assert_eq!(logged.len() as u64 + counted, 1000);
    }
}
