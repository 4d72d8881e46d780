//! The highest rate that holds: doubled until one does not, then halved in between.

use super::load::Finished;
use super::tally::Tally;
use crate::cli::Failure;
use crate::commands::sim::words::{count, time};
use relay_sim::Histogram;
use std::time::Duration;

/// Which rate to try next. A rate is too high once it did not hold twice: a machine that was busy
/// with something else for a moment must not decide.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Search {
    good: Option<u64>,
    bad: Option<u64>,
    /// Did not hold once.
    doubted: Option<u64>,
}

/// What came of one rate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub(super) rate: u64,
    pub(super) holds: bool,
    pub(super) p99: Duration,
    /// Calls that were made.
    pub(super) calls: u64,
    /// Errors and missing answers.
    pub(super) errors: u64,
    pub(super) wrong: u64,
}

/// What the search came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// The highest rate that held; 0 when the search was interrupted before one did.
    pub(super) rate: u64,
    pub(super) steps: Vec<Step>,
    pub(super) is_interrupted: bool,
}

impl Search {
    /// None when it is known closely enough.
    pub(super) fn next_rate(&self) -> Option<u64> {
        if self.doubted.is_some() {
            return self.doubted;
        }
        match (self.good, self.bad) {
            (None, None) => Some(FIRST),
            (Some(good), None) => (good < RATE_MAX).then(|| (good * 2).min(RATE_MAX)),
            (None, Some(bad)) => (bad > 1).then_some(bad / 2),
            (Some(good), Some(bad)) => {
                let is_close = bad - good <= (good / CLOSE).max(1);
                (!is_close).then(|| good.midpoint(bad))
            }
        }
    }

    pub(super) fn judge(&mut self, rate: u64, holds: bool) {
        let was_doubted = self.doubted.take() == Some(rate);
        if holds {
            self.good = Some(rate);
        } else if was_doubted {
            self.bad = Some(rate);
        } else {
            self.doubted = Some(rate);
        }
    }

    /// The highest rate that held.
    pub(super) const fn rate(&self) -> Option<u64> {
        self.good
    }
}

impl Step {
    pub(super) fn of(rate: u64, finished: &Finished, p99_max: Duration) -> Self {
        let tally = &finished.tally;
        let p99 = tally.latency.percentile(990);
        // What was cut off was cut off because it was hopeless, or by the user.
        let bad = tally.bad() + tally.cut_off();
        let holds = tally.ok > 0 && p99 <= p99_max && bad * 1_000 <= tally.calls;
        let errors = tally.errors + tally.lost;
        Self { rate, holds, p99, calls: tally.calls, errors, wrong: tally.wrong }
    }
}

/// Whether a rate cannot hold any more, whatever becomes of the rest of its `calls`.
pub(super) fn is_hopeless(tally: &Tally, calls: u64, p99_max: Duration) -> bool {
    tally.bad() * 1_000 > calls || surely_longer(&tally.latency, p99_max) * 100 > calls
}

/// How many times are longer, as far as the buckets tell: each is at most a sixteenth wide.
fn surely_longer(times: &Histogram, than: Duration) -> u64 {
    let end = than + than / 16;
    times.buckets().filter(|(at, _)| *at > end).map(|(_, count)| count).sum()
}

/// The failure of a search in which not even one call a second held.
pub(super) fn nothing_holds(steps: &[Step]) -> Failure {
    let last = steps.last().map_or_else(String::new, |step| format!(": {}", words(step)));
    Failure::work(format!("no rate holds{last}"))
        .with_hint("make one call with relay call, or allow more time with --p99")
}

/// A step in words.
pub(super) fn words(step: &Step) -> String {
    let Step { rate, calls, errors, wrong, .. } = step;
    let (rate, calls, errors) = (count(*rate), count(*calls), count(*errors));
    let wrong = if *wrong == 0 { String::new() } else { format!(", {} wrong", count(*wrong)) };
    let verdict = if step.holds { "holds" } else { "too fast" };
    format!(
        "{rate} calls/s {verdict}: p99 {}, {errors} errors{wrong} in {calls} calls",
        time(step.p99)
    )
}

/// The first rate.
const FIRST: u64 = 100;
const RATE_MAX: u64 = 10_000_000;
/// The answer is exact to one part in so many.
const CLOSE: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found where exactly the rates up to `limit` hold, and after how many steps.
    fn find(limit: u64) -> (Option<u64>, u32) {
        let (mut search, mut steps) = (Search::default(), 0);
        while let Some(rate) = search.next_rate() {
            search.judge(rate, rate <= limit);
            steps += 1;
        }
        (search.rate(), steps)
    }

    #[test]
    fn the_limit_is_found_to_a_twentieth() {
        for limit in [1, 2, 99, 100, 101, 5_000, 12_345, 1_000_000, RATE_MAX] {
            let (rate, steps) = find(limit);
            let rate = rate.expect("one holds");
            assert!(rate <= limit && limit - rate <= (rate / CLOSE).max(1), "{limit}: {rate}");
            assert!(steps < 40, "{limit}: {steps}");
        }
        assert_eq!(find(0).0, None);
    }

    #[test]
    fn one_bad_moment_decides_nothing() {
        let mut search = Search::default();
        search.judge(100, false);
        assert_eq!(search.next_rate(), Some(100));
        search.judge(100, true);
        assert_eq!(search.next_rate(), Some(200));
        search.judge(200, false);
        search.judge(200, false);
        assert_eq!(search.next_rate(), Some(150));
    }

    #[test]
    fn hopeless_is_only_what_cannot_be_mended() {
        let limit = Duration::from_millis(100);
        let mut tally = Tally::default();
        for millis in [99, 100, 101] {
            (0..50).for_each(|_| tally.latency.add(Duration::from_millis(millis)));
        }
        assert!(!is_hopeless(&tally, 100, limit), "all may be in time, as far as is known");
        (0..11).for_each(|_| tally.latency.add(Duration::from_millis(130)));
        assert!(!is_hopeless(&tally, 1_100, limit) && is_hopeless(&tally, 1_000, limit));
        tally = Tally { errors: 1, ..Tally::default() };
        assert!(!is_hopeless(&tally, 1_000, limit) && is_hopeless(&tally, 999, limit));
    }
}
